"""Find what is new: compare the data now with the data that the parent was trained on."""

from functools import partial
from pathlib import Path

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.sources import Sources
from pipeline.base import files, params
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.base.words import are, counted
from pipeline.data import removals, sources
from pipeline.data.inventory import REMEMBERED, Inventory
from pipeline.data.settings import Detect
from pipeline.data.store import Store
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel


class Settings(Excerpt):
    """What detect reads of params.yaml."""

    resolve: RegisteredModel
    """Only the parent's ledger is asked for, where a listing of its data is nowhere any more."""
    detect: Detect


def run(paths: Paths) -> None:
    """List the images added, removed, relabelled and renamed since the parent; no image is opened."""
    settings = params.load(paths.params, Settings)
    detect = settings.detect
    batches, parent = Sources.read(paths.sources).sources, Parent.read(paths.parent)

    inventory = Inventory(Store(Path()), paths.images, detect.ignore, paths.scratch)
    recall = partial(Registry(settings.resolve).pinned_ledger, parent.pin, paths.scratch / "objects", REMEMBERED)
    comparison = inventory.since(parent.lineage, batches, recall)
    removals.refuse_many(comparison.delta, parent.lineage.label_counts if parent.lineage else {}, detect)

    changes = comparison.delta.changes(comparison.warnings)
    by_batch = sources.counted(comparison.delta.added["path"], batches)
    changes = changes.model_copy(update={"added_by_batch": by_batch})
    files.sweep(paths.delta)
    comparison.delta.write(paths.delta / "images.parquet")
    changes.write(paths.delta / "summary.json")
    for warning in comparison.warnings:
        print(f"detect: warning: {warning}")
    print(f"detect: {_words(changes, parent)}")


def _words(changes: Changes, parent: Parent) -> str:
    since = f"since v{parent.version}" if parent.pin else "in all"
    again = f"; {are(changes.retried, 'image')} tried again that did not pass before" if changes.retried else ""
    kinds = ("added", "removed", "relabelled", "renamed")
    found = {kind: getattr(changes, kind) for kind in kinds if getattr(changes, kind)}
    each = [f"{number:,} {kind}" for kind, number in found.items()]
    if found:
        first = next(iter(found.values()))
        each[0] = f"{counted(first, 'image')} {next(iter(found))}"
    return f"{', '.join(each) or 'no image is new'} {since}{again}"
