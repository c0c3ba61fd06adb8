"""Find what is new: compare the data now with the data that the parent was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import delta, sources
from pipeline.data.inventory import Inventory
from pipeline.data.settings import Detect
from pipeline.data.store import Store

if TYPE_CHECKING:
    import polars as pl


class Settings(Excerpt):
    """What detect reads of params.yaml."""

    detect: Detect


def run(paths: Paths) -> None:
    """List the images added, removed, relabelled and renamed since the parent; no image is opened."""
    chosen = parameters.load(paths.params, Settings).detect
    state, pinned = files.read_json(paths.sources), files.read_json(paths.parent)
    now = sources.from_json(state["sources"])
    lineage = pinned["lineage"] if pinned["version"] else {}
    before = sources.from_json(lineage.get("sources", ()))

    inventory = Inventory(Store(Path()), paths.images, chosen.ignore)
    compared = inventory.between(before, now, lineage.get("quarantine", []))
    found, summary = compared.delta, delta.summary(compared.delta)
    _refuse_mass_removal(found, lineage, chosen)

    files.write_table(paths.delta / "images.parquet", found)
    files.write_json(paths.delta / "summary.json", summary | {"warnings": list(compared.warnings)})
    for warning in compared.warnings:
        print(f"detect: warning: {warning}")
    since = f"since v{pinned['version']}" if pinned["version"] else "in all"
    kinds = ", ".join(f"{summary[kind]} {kind}" for kind in ("added", "removed", "relabelled", "renamed"))
    again = f", {summary['retried']} set aside before are tried again" if summary["retried"] else ""
    print(f"detect: {kinds} {since}{again} (opened {compared.opened} of {len(now)} batches)")


def _refuse_mass_removal(found: "pl.DataFrame", lineage: Mapping[str, Any], chosen: Detect) -> None:
    """Many images gone at once are more often an accident than a wish.

    What is acknowledged is this very set of images, so it stays so until the parent has done without them too.
    """
    import polars as pl

    counts = lineage.get("label_counts", {})
    removed = found.filter(pl.col("kind") == "removed").unique("digest")
    name = f"gone-{files.sha256_json(sorted(removed['digest']))[:12]}"
    if name in chosen.acknowledged:
        return
    by_label = dict(removed.group_by("label").len().iter_rows())
    shares = [("of all labels", len(removed), sum(counts.values()), chosen.max_removed, "detect.max_removed")]
    shares += [
        (
            f"of label {label}",
            count,
            counts.get(label, count),
            chosen.max_removed_of_label,
            "detect.max_removed_of_label",
        )
        for label, count in sorted(by_label.items())
    ]
    for what, gone, total, at_most, setting in shares:
        if gone > at_most * total:
            raise DataError(
                f"{gone} of {total} images ({what}) are gone at once, more than {at_most:.0%} ({setting}), e.g. "
                f"{removed['path'].min()!a}; if that is meant, put {name} into detect.acknowledged in "
                "params.yaml; if not, `git revert` the push that removed them, then `dvc checkout`"
            )
