"""Lineage: which model versions learned from an image."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pipeline.base import files
from pipeline.registry.client import Registry, Version

IMAGES = "model/images.parquet"
"""Run artifact: columns digest, split, is_new: what a version's own cycle trained, chose and judged by."""


@dataclass(frozen=True)
class Use:
    """What a version has to do with some images."""

    version: Version
    trained: int
    """How many of them its own cycle fitted."""
    chosen: int
    """How many were in the validation set that stopped training and chose the epoch."""
    judged: int
    """How many it was judged by; that teaches it nothing."""
    inherited: int | None
    """The version that it was warm-started from, if that one learned from them."""

    @property
    def learned(self) -> bool:
        """Whether its weights may know the images."""
        return bool(self.trained or self.chosen or self.inherited)


def uses(registry: Registry, digests: Collection[str], objects: Path) -> list[Use]:
    """What each version, oldest first, has to do with these images.

    Args:
        registry: whose versions.
        digests: of the images.
        objects: folder of downloads.

    Raises:
        RegistryError: a version's record cannot be had; nothing is said of versions that are not whole.
    """
    import polars as pl

    found: dict[int, Use] = {}
    for version in reversed(registry.all()):
        if "evergreen.lineage" not in version.tags:
            continue
        content = registry.lineage(version, objects)
        # Versions of before this record name no images of their own; their ledger says what they had seen.
        artifact = IMAGES if IMAGES in content["files"] else "ledger/ledger.parquet"
        path = registry.download(version.run_id, artifact, content["files"][artifact], objects)
        rows = files.read_table(path, ["digest", "split"]).filter(pl.col("digest").is_in(list(digests)))
        counts = dict(rows.group_by("split").len().iter_rows())
        parent = content["parent"] if content.get("is_warm", True) else None
        inherits = parent in found and found[parent].learned
        found[version.number] = Use(
            version=version,
            trained=counts.get("train", 0),
            chosen=counts.get("val", 0),
            judged=counts.get("holdout", 0),
            inherited=parent if inherits else None,
        )
    return list(found.values())
