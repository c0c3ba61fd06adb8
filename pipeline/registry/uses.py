"""Uses of images: which versions learned from an image, which were only judged by it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.lineage import IMAGES, LEDGER
from pipeline.base import files
from pipeline.registry.client import Registry
from pipeline.registry.version import Version


@dataclass(frozen=True)
class Use:
    """What a version has to do with some images."""

    version: Version
    trained: int
    """How many of them its own cycle fitted."""
    selected: int
    """How many were in the validation set, which stopped training and selected the epoch."""
    judged: int
    """How many it was judged by; that teaches it nothing."""
    inherited: int | None
    """The version that it was warm-started from, if that one learned from them."""

    @property
    def learned(self) -> bool:
        """Whether its weights may know the images."""
        return bool(self.trained or self.selected or self.inherited)


def of(registry: Registry, digests: Collection[str], objects: Path) -> list[Use]:
    """What each version, oldest first, has to do with these images; versions of other origin are left out.

    Args:
        registry: whose versions.
        digests: of the images.
        objects: folder of downloads.

    Raises:
        RegistryError: a version's record cannot be had.
    """
    by_version: dict[int, Use] = {}
    for version in reversed(registry.all()):
        if version.lineage_digest is None:
            continue
        lineage = registry.lineage(version, objects)
        counts = _images_by_split(registry, version, lineage.files, digests, objects)
        parent = lineage.parent if lineage.is_warm else None
        inherits = parent in by_version and by_version[parent].learned
        by_version[version.number] = Use(
            version=version,
            trained=counts.get("train", 0),
            selected=counts.get("val", 0),
            judged=counts.get("holdout", 0),
            inherited=parent if inherits else None,
        )
    return list(by_version.values())


def _images_by_split(
    registry: Registry, version: Version, artifacts: Mapping[str, str], digests: Collection[str], objects: Path
) -> dict[str, int]:
    """How many of these images a version's cycle had in each split.

    Args:
        artifacts: SHA-256 of each artifact of the version's run.
    """
    import polars as pl

    # Versions from before there was a list of their own images are told by their ledger: it has all they had seen.
    artifact = IMAGES if IMAGES in artifacts else LEDGER
    path = registry.download(version.run_id, artifact, artifacts[artifact], objects)
    rows = files.read_table(path, ["digest", "split"]).filter(pl.col("digest").is_in(list(digests)))
    return dict(rows.group_by("split").len().iter_rows())
