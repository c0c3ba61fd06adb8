"""Look at the registry and at the pointers: what to start from, what to beat, what the data is.

The only stage that looks at mutable outside state, so it runs each time; the stages after it run
only if the bytes of its outputs change. That a promotion moves the alias must not cause the next
training, hence the pin: the parent is that of the newest version trained on exactly this data, if
there is one; else the champion. The champion to beat is pinned in the same way.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.base import files, params, recipe
from pipeline.base.errors import RegistryError
from pipeline.base.paths import Paths
from pipeline.data import labels, sources, tree, trigger
from pipeline.data.sources import Source
from pipeline.data.store import Store
from pipeline.data.trigger import Change
from pipeline.registry.client import LEDGER, Registry, Version, shown
from pipeline.settings import Params

SAMPLE = 200
"""New images that are looked at to see whether they drift."""


def run(paths: Paths) -> None:
    """Pin what this cycle starts from and what it has to beat; or hold at the last cycle's data until enough is new."""
    chosen = params.load(paths.params, Params)
    found = sources.find(paths.images)
    store = Store(Path())
    for warning in tree.check(paths.images, found, store, chosen.detect.ignore, paths.scratch / "tree.json"):
        print(f"resolve: warning: {warning}")
    registry = Registry(chosen.resolve, paths.scratch / "registry.json")

    current = registry.champion()
    if current is None:
        _refuse_empty(registry)
    found = _due(registry, store, found, paths.images, chosen, paths.scratch)
    data, how = sources.digest(found), recipe.digest(chosen)
    on_data = registry.newest(sources=data)
    on_recipe = registry.newest(sources=data, recipe=how)
    start = _version(registry, on_data.parent) if on_data else current
    if start and not on_data and chosen.resolve.after_removal == "retrain":
        start = _clean(registry, store, start, found, paths.images, chosen, paths.scratch)
    rival = _version(registry, on_recipe.rival) if on_recipe else current
    elder = _elder(registry, on_data, paths.scratch)

    files.write_json(paths.sources, {"digest": data, "sources": sources.to_json(found)})
    renamed = chosen.prepare.renamed_labels
    pinned = _pinned(registry, start, renamed, paths.scratch) | _splits_of(registry, elder, start, paths.scratch)
    files.write_json(paths.parent, pinned | _ladder(registry, on_data, paths.scratch))
    files.write_json(paths.champion, _pinned(registry, rival, renamed, paths.scratch))
    files.write_json(paths.snapshot, {"recipe": how, "known": _known(registry, data)})
    _say(found, current, on_recipe, start, is_known=on_data is not None)


def _due(
    registry: Registry, store: Store, found: tuple[Source, ...], images: Path, chosen: Params, scratch: Path
) -> tuple[Source, ...]:
    """The data of this cycle: what there is, or that of the last cycle while too little is new."""
    rule = chosen.resolve
    if rule.start_at == 1 or os.environ.get(trigger.FORCE) or registry.newest(sources=sources.digest(found)):
        return found
    last = registry.newest_whole()
    if last is None:
        return found
    lineage = labels.named(registry.lineage(last, scratch / "objects"), chosen.prepare.renamed_labels)
    before = sources.from_json(lineage["sources"])
    change = _change(store, before, found, lineage, images, chosen, scratch)
    why = trigger.reason(change, rule)
    if why is None:
        print(f"resolve: {trigger.waiting(change, rule)}")
        return before
    print(f"resolve: a cycle is due: {why}")
    return found


def _change(
    store: Store,
    before: tuple[Source, ...],
    now: tuple[Source, ...],
    lineage: dict[str, Any],
    images: Path,
    chosen: Params,
    scratch: Path,
) -> Change:
    import polars as pl

    from pipeline.data.inventory import Inventory

    inventory = Inventory(store, images, chosen.detect.ignore)
    delta = inventory.between(before, now, lineage.get("quarantine", [])).delta
    news = delta.filter(pl.col("kind").is_in(["added", "removed", "relabelled"]))
    found = {label for label in news.filter(pl.col("kind") != "removed")["label"] if label}
    drift = _drift(store, delta, lineage, chosen, scratch) if chosen.resolve.start_at_drift else {}
    paths = [source.path for source in set(now) ^ set(before)]
    return Change(
        images=news["digest"].n_unique(),
        total=sum(lineage["label_counts"].values()),
        hours=_hours(paths, lineage["commit"].rstrip("+")),
        new_labels=sorted(found - set(lineage["label_counts"])),
        drift=drift,
    )


def _drift(store: Store, delta: Any, lineage: dict[str, Any], chosen: Params, scratch: Path) -> dict[str, float]:
    """Distances of a sample of the added images from the last cycle's; none where there are too few to tell."""
    import polars as pl

    from pipeline.checking import drift, facts
    from pipeline.images import pixels
    from pipeline.images.decoding import THUMBNAIL

    sample = delta.filter(pl.col("kind") == "added").unique("digest").sort("digest").head(SAMPLE)
    reference = drift.usable(lineage.get("reference", {}))
    if min(len(sample), reference.num_images) < drift.MIN_IMAGES:
        return {}
    seen = pixels.look(
        store, sample, THUMBNAIL, pixels.limits(chosen.validate_), scratch / "sample.npy", "resolve: drift"
    )
    table = facts.table(seen).with_columns(sample["digest"], sample["label"], sample["path"]).filter("readable")
    return drift.distances(reference, facts.statistics(table))


def _hours(paths: list[str], commit: str) -> float:
    """Age of the oldest change of these batches that the last cycle's commit does not have."""
    pointers = [f"{path}.dvc" for path in paths]
    for span in ([f"{commit}..HEAD"] if commit else [], ["--max-count=1"]):
        if not span:
            continue
        command = ["git", "log", "--format=%ct", *span, "--", *pointers]
        dates = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        if dates:
            return (time.time() - int(dates[-1])) / 3600
    return 0.0  # not committed yet


def _clean(
    registry: Registry,
    store: Store,
    start: Version,
    found: tuple[Source, ...],
    images: Path,
    chosen: Params,
    scratch: Path,
) -> Version | None:
    """The newest champion, up to `start`, that never learned from an image that is gone now; None if there is none."""
    import polars as pl

    from pipeline.data.inventory import Inventory
    from pipeline.registry import lineage

    content = registry.lineage(start, scratch / "objects")
    inventory = Inventory(store, images, chosen.detect.ignore)
    before = sources.from_json(content["sources"])
    delta = inventory.between(before, found, content.get("quarantine", [])).delta
    removed = set(delta.filter(pl.col("kind") == "removed")["digest"])
    if not removed:
        return start
    clean, uses = None, lineage.uses(registry, removed, scratch / "objects")
    # The tag is the pipeline's own; of what a person promoted, only that later cycles began with it or had to beat it.
    champions = {start.number, *(use.version.parent for use in uses), *(use.version.rival for use in uses)}
    for use in uses:
        promoted = use.version.tags.get("evergreen.promoted") == "true" or use.version.number in champions
        if promoted and not use.learned and use.version.number <= start.number:
            clean = use.version
    print(
        f"resolve: {len(removed)} images are gone since {_name(start)}; this cycle starts from "
        f"{_name(clean) if clean else 'fresh weights'}, which never saw them (resolve.after_removal)"
    )
    return clean


def _elder(registry: Registry, on_data: Version | None, scratch: Path) -> Version | None:
    """The version whose ledger has every split that was ever dealt: of known data what it was then."""
    if on_data:
        number = registry.lineage(on_data, scratch / "objects").get("elder")
        return _version(registry, number)
    return registry.newest_whole()


def _splits_of(registry: Registry, elder: Version | None, start: Version | None, scratch: Path) -> dict[str, Any]:
    """Where the splits of images are to be had that the parent never saw, so that they stay for ever."""
    if elder is None or (start and start.number == elder.number):
        return {}
    sha256 = registry.lineage(elder, scratch / "objects")["files"][LEDGER]
    return {"elder": {"version": elder.number, "run_id": elder.run_id, "ledger": sha256}}


def _version(registry: Registry, number: int | None) -> Version | None:
    return None if number is None else registry.version(number)


def _ladder(registry: Registry, on_data: Version | None, scratch: Path) -> dict[str, Any]:
    """Where the cycles before this one stood on the ladder: of known data, as it was then."""
    newest = on_data or registry.newest_whole()
    found = registry.lineage(newest, scratch / "objects").get("ladder", {}) if newest else {}
    # At its foot to begin with, and said so: the same data must give the same bytes later.
    return {"ladder": found.get("before" if on_data else "after", {"rung": 0, "cycles": 0})}


def _pinned(registry: Registry, version: Version | None, renamed: Mapping[str, str], scratch: Path) -> dict[str, Any]:
    if version is None:
        return {"version": None}
    raw = registry.lineage(version, scratch / "objects")
    lineage = labels.named(raw, renamed)
    called = raw["model"]["labels"]
    return {"version": version.number, "run_id": version.run_id, "lineage": lineage, "called": called}


def _known(registry: Registry, data: str) -> dict[str, dict[str, Any]]:
    """By run key, the versions on this data as they are: what `promote` need not do again."""
    return {
        version.run_key: {
            "version": version.number,
            "verdict_digest": version.tags.get("evergreen.verdict_digest", ""),
            "promoted": version.tags.get("evergreen.promoted") == "true",
        }
        for version in reversed(registry.all(sources=data))
    }


def _refuse_empty(registry: Registry) -> None:
    """A clone that forgot to name the registry must not begin anew: dvc.lock knows that a cycle was registered."""
    lock = Path("dvc.lock")
    registered = lock.is_file() and "promote" in (files.parse_yaml(lock.read_bytes()) or {}).get("stages", {})
    if registered and registry.newest() is None:
        raise RegistryError(
            f"dvc.lock says that a cycle was registered, and the registry at {shown(registry.uri)} has no version of "
            f"{registry.name}; set MLFLOW_TRACKING_URI to the registry that has it, or begin anew with `rm dvc.lock`"
        )


def _say(
    found: tuple[sources.Source, ...],
    current: Version | None,
    same: Version | None,
    start: Version | None,
    *,
    is_known: bool,
) -> None:
    batches = f"{len(found)} {'batch' if len(found) == 1 else 'batches'}"
    num_files = sum(source.num_files for source in found)
    print(f"resolve: {batches}, {num_files} files; champion: {_name(current)}", end="; ")
    if same:
        print(f"this data is known, v{same.number} was trained on it")
    elif start:
        print(f"{'known data, other settings' if is_known else 'new data'}: its parent is {_name(start)}")
    else:
        print("nothing to start from yet")


def _name(version: Version | None) -> str:
    return f"v{version.number}" if version else "none"
