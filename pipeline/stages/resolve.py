"""Look at the registry and at the pointers: what to start from, what to beat, what the data is.

The only stage that looks at mutable outside state, so it runs each time; the stages after it run
only if the bytes of its outputs change. That a promotion moves the alias must not cause the next
training, hence the pin: the parent is that of the newest version trained on exactly this data, if
there is one; else the champion. The champion to beat is pinned in the same way.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import filing, recipe
from pipeline.artifacts.lineage import FEATURES, LEDGER, Lineage
from pipeline.artifacts.parent import Champion, Elder, Parent, Pin
from pipeline.artifacts.snapshot import Registered, Snapshot
from pipeline.artifacts.sources import Source, Sources
from pipeline.artifacts.training import FOOT, Place
from pipeline.base import code, files, git, params
from pipeline.base.errors import RegistryError
from pipeline.base.paths import Paths
from pipeline.base.words import are, counted
from pipeline.data import conflicts, labels, sources, trigger, worktree
from pipeline.data.inventory import REMEMBERED, Inventory
from pipeline.data.store import Store
from pipeline.data.trigger import Change
from pipeline.learning import pretrained
from pipeline.registry import anchor, outbox, promotion, setbacks
from pipeline.registry.chain import Story
from pipeline.registry.client import Registry
from pipeline.registry.connection import shown
from pipeline.registry.events import Events
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import FORMAT, Version, name
from pipeline.settings import Params

if TYPE_CHECKING:
    from pipeline.data.delta import Delta

STAGES = ("detect", "validate", "prepare", "train", "evaluate")
"""Those that run only if something that they read changed, their code for one."""

SAMPLE = 200
"""New images that are looked at to see whether they drift."""


def run(paths: Paths) -> None:
    """Pin what this cycle starts from and what it has to beat; or hold at the last cycle's data until enough is new."""
    settings = params.load(paths.params, Params)
    here = _World.look(settings, paths)
    champion = here.registry.version(here.story.champion) if here.story.champion else None
    if champion is None:
        _refuse_empty(here.registry)
    batches = _due(here)
    weights = pretrained.identity(settings.train.architecture, settings.train.pretrained)
    digests = code.of_stages(STAGES, settings.train.architecture, paths.scratch / "code.json")
    cycle = _Cycle.of(here, batches, recipe.digest(settings, digests, weights), champion)

    parent = _parent(here, cycle)
    if cycle.on_recipe is None:
        _bring_weights(here)
        _refuse_unfit(parent, settings, paths.scratch)
    judges = _champion(here, cycle)
    _refuse_foreign((parent.pin, judges.pin, judges.anchor), settings)
    Sources(digest=cycle.data, sources=batches).write(paths.sources)
    parent.write(paths.parent)
    judges.write(paths.champion)
    for stage, digest in digests.items():
        files.write(paths.code / stage, f"{digest}\n".encode())
    files.write(paths.pretrained, f"{weights}\n".encode())
    Snapshot(recipe=cycle.recipe, registered=_registered(here, cycle.data)).write(paths.snapshot)
    _say(batches, champion, cycle)
    pointers = sources.pointers(paths.images)
    for setback in setbacks.left(here.past, here.story, batches, here.lineage):
        print(f"resolve: warning: {setback.told(pointers)}")
    stands = params.differing(paths.params)
    if stands and cycle.on_recipe is None:
        network = f"{settings.train.architecture}{' with pretrained weights' if settings.train.pretrained else ''}"
        values = ", ".join(f"{key} {value if value == 'all' else json.dumps(value)}" for key, value in stands.items())
        print(f"resolve: auto stands for what suits {network}: {values}")


@dataclass(frozen=True)
class _World:
    """What is outside of the cycle: the settings, the disk, the pointers, the registry."""

    settings: Params
    paths: Paths
    store: Store
    registry: Registry
    story: Story
    """What happened to the champion's alias until now."""
    batches: tuple[Source, ...]
    """That Git tracks now."""

    @classmethod
    def look(cls, settings: Params, paths: Paths) -> "_World":
        """Find the batches, and hold the disk against them; with a Git that answers, as promote needs it later."""
        git.check()
        batches, store = sources.find(paths.images), Store(Path())
        memory = paths.scratch / "tree.json"
        found = worktree.check(paths.images, batches, store, settings.detect.ignore, memory)
        for warning in [*conflicts.warnings(batches), *found]:
            print(f"resolve: warning: {warning}")
        registry = Registry(settings.resolve, paths.scratch / "registry.json")
        story = Transitions(registry).settle()
        promotion.record(registry, story, filing.retold)
        outbox.deliver(registry, settings.promote.notify, "resolve")
        return cls(settings, paths, store, registry, story, batches)

    @property
    def objects(self) -> Path:
        """Folder of downloads."""
        return self.paths.scratch / "objects"

    def lineage(self, version: Version) -> Lineage:
        """What a version was made from."""
        return self.registry.lineage(version, self.objects)

    def today(self, lineage: Lineage) -> Lineage:
        """A lineage with its labels as they are called today."""
        return labels.named(lineage, self.settings.prepare.renamed_labels)

    def past(self, number: int | None) -> Version | None:
        """A version by its number, also one that people deleted since; None if nothing tells of it any more."""
        return None if number is None else Events(self.registry).past(number)

    def delta(self, version: Version, batches: tuple[Source, ...]) -> "Delta":
        """What differs between a version's data, its labels as they are called today, and some batches."""
        inventory = Inventory(self.store, self.paths.images, self.settings.detect.ignore, self.paths.scratch)
        recall = partial(self.registry.pinned_ledger, _pin(self, version), self.objects, REMEMBERED)
        return inventory.since(self.today(self.lineage(version)), batches, recall).delta


@dataclass(frozen=True)
class _Cycle:
    """What the registry knows of this data, and what follows for the cycle."""

    data: str
    """Digest of the batches."""
    recipe: str
    on_data: Version | None
    """The newest version trained on exactly this data."""
    on_recipe: Version | None
    """The same with these settings and this code."""
    start: Version | None
    """What the cycle starts from."""
    champion: Version | None
    """What it has to beat."""
    is_due: bool = False
    """Whether it is only judged, against the champion of today."""

    @classmethod
    def of(cls, here: _World, batches: tuple[Source, ...], recipe: str, champion: Version | None) -> "_Cycle":
        """Ask the registry.

        What an earlier Evergreen trained counts as a start and not as this data's own version: its recipe is of another
        kind, and the cycle that follows an upgrade starts from the champion.
        """
        data, registry = sources.digest(batches), here.registry
        on_data = registry.newest(sources=data, format=FORMAT)
        on_recipe = registry.newest(sources=data, format=FORMAT, recipe=recipe)
        start = _start(here, on_data, champion)
        # Also of known data: it may have been trained before that was asked for.
        if start and not on_recipe and here.settings.resolve.after_removal == "retrain":
            start = _clean(here, start, batches)
        is_due = on_recipe is not None and promotion.is_due(on_recipe, here.story)
        if is_due:
            print(
                f"resolve: {name(on_recipe)} is due for a new judgement, against {name(champion)}; nothing is trained"
            )
        beat = champion if on_recipe is None or is_due else _beaten(here, on_recipe, champion)
        return cls(data, recipe, on_data, on_recipe, start, beat, is_due)


def _beaten(here: _World, on_recipe: Version, champion: Version | None) -> Version | None:
    """What a version was judged against; the champion of today if nothing tells of that one any more."""
    return None if on_recipe.champion is None else here.past(on_recipe.champion) or champion


def _start(here: _World, on_data: Version | None, champion: Version | None) -> Version | None:
    """What the newest version on this data started from, else the champion."""
    if on_data is None or on_data.parent is None:
        return None if on_data else champion
    start = here.past(on_data.parent)
    if start is None:
        print(
            f"resolve: warning: v{on_data.parent}, from which {name(on_data)} was trained, was deleted, and nothing "
            f"tells of it any more; this cycle starts from {name(champion)}"
        )
    return start or champion


def _due(here: _World) -> tuple[Source, ...]:
    """The data of this cycle: what there is, or that of the last cycle while too little is new."""
    rule = here.settings.resolve
    if os.environ.get(trigger.FORCE) or here.registry.newest(sources=sources.digest(here.batches)):
        return here.batches
    last = here.registry.newest_whole()
    if last is None:
        return here.batches
    lineage = here.today(here.lineage(last))
    if here.delta(last, here.batches).rows.is_empty():
        print("resolve: files in the batches changed, their images and labels did not")
        return lineage.sources
    if rule.start_at == 1:
        return here.batches
    change = _change(here, last)
    why = trigger.reason(change, rule)
    if why is None:
        print(f"resolve: {trigger.waiting(change, rule)}")
        return lineage.sources
    print(f"resolve: a cycle is due: {why}")
    return here.batches


def _change(here: _World, last: Version) -> Change:
    """What changed since the last cycle."""
    lineage, delta = here.today(here.lineage(last)), here.delta(last, here.batches)
    labels_now = {label for label in delta.arrived["label"] if label}
    known = sources.pointers(here.paths.images)
    changed = [source.path for source in set(here.batches) ^ set(lineage.sources)]
    return Change(
        images=delta.num_changed,
        total=sum(lineage.label_counts.values()),
        hours=_hours([known.get(path, f"{path}.dvc") for path in changed], lineage.commit.rstrip("+")),
        new_labels=sorted(labels_now - set(lineage.label_counts)),
        drift=_drift(here, delta, lineage) if here.settings.resolve.start_at_drift else {},
    )


def _drift(here: _World, delta: "Delta", lineage: Lineage) -> Mapping[str, float]:
    """Distances of a sample of the added images from the last cycle's; none where there are too few to tell."""
    from pipeline.checking import drift, facts
    from pipeline.data.delta import once
    from pipeline.images import pixels

    sample = once(delta.added).sort("digest").head(SAMPLE)
    reference = drift.usable(lineage.reference)
    if min(len(sample), reference.num_images) < drift.MIN_IMAGES:
        return {}
    seen = pixels.look(here.store, sample, pixels.limits(here.settings.validate_), {}, "resolve: drift")
    table = facts.table(seen).with_columns(sample["digest"], sample["label"], sample["path"]).filter("readable")
    return drift.distances(reference, facts.statistics(table))


def _hours(pointers: Sequence[str], commit: str) -> float:
    """Age of the oldest change of these pointers that the last cycle's commit does not have."""
    committed = git.oldest_change(pointers, since=commit)
    if not git.knows(commit) and git.is_shallow():
        print(
            "resolve: warning: this shallow clone does not have the last cycle's commit, so changes may be older than "
            "they look; `git fetch --unshallow` brings it"
        )
    return 0.0 if committed is None else (time.time() - committed) / 3600


def _clean(here: _World, start: Version, batches: tuple[Source, ...]) -> Version | None:
    """The newest champion, up to `start`, that never learned from an image that is gone now; None if there is none."""
    from pipeline.registry import uses

    removed = set(here.delta(start, batches).removed["digest"])
    if not removed:
        return start
    clean, versions = None, uses.of(here.registry, removed, here.objects)
    # The tag is the pipeline's own; of what a person promoted, only that later cycles began with it or had to beat it.
    champions = {start.number, *(use.version.parent for use in versions), *(use.version.champion for use in versions)}
    for use in versions:
        promoted = use.version.promoted or use.version.number in champions
        if promoted and not use.learned and use.version.number <= start.number:
            clean = use.version
    print(
        f"resolve: {are(len(removed), 'image')} gone since {name(start)}; this cycle starts from "
        f"{name(clean) if clean else 'fresh weights'}, which never saw what is gone (resolve.after_removal)"
    )
    return clean


def _parent(here: _World, cycle: _Cycle) -> Parent:
    """What the cycle starts from, and what it must know of the cycles before it."""
    parent = Parent(pin=_pin(here, cycle.start), ladder=_place(here, cycle.on_data))
    elder = _elder(here, cycle)
    return parent.model_copy(update={"elder": elder}) if elder else parent


def _champion(here: _World, cycle: _Cycle) -> Champion:
    """What the cycle has to beat, and the best that there ever was; of known data and settings, as it was then."""
    newest = here.registry.newest_whole() if cycle.is_due else cycle.on_recipe or here.registry.newest_whole()
    then = here.lineage(newest) if newest else None
    judged = then.judged if then else 0
    if cycle.champion is None:
        return Champion(pin=None, judged=judged)
    if cycle.on_recipe is None or cycle.is_due:
        best, judged = anchor.current(here.registry, cycle.champion, here.story.champions, here.objects), judged + 1
        for version in (cycle.champion, best):
            anchor.refuse_lost(here.registry, version, cycle.champion, here.objects)
    else:
        best = anchor.of_then(here.registry, then.anchor if then else None, cycle.champion, here.objects)
    pin = _pin(here, cycle.champion)
    return Champion(pin=pin, anchor=_pin(here, best) if best != cycle.champion else None, judged=judged)


def _elder(here: _World, cycle: _Cycle) -> Elder | None:
    """Where the splits of images are to be had that the parent never saw, so that they stay for ever.

    That version's ledger has every split that was ever dealt; of known data it is the one that it was then, if the
    cycle starts from where it did then.
    """
    on_data, start = cycle.on_data, cycle.start.number if cycle.start else None
    is_as_then = on_data is not None and on_data.parent == start
    version = here.past(here.lineage(on_data).elder) if on_data and is_as_then else here.registry.newest_whole()
    if version is None or start == version.number:
        return None
    listed = here.lineage(version).files
    return Elder(version=version.number, run_id=version.run_id, ledger=listed[LEDGER], features=listed.get(FEATURES))


def _place(here: _World, on_data: Version | None) -> Place:
    """Where the cycles before this one stood on the ladder: of known data, as it was then."""
    newest = on_data or here.registry.newest_whole()
    places = here.lineage(newest).ladder if newest else None
    if places is None:
        return FOOT  # and not nothing, for the same data must give the same bytes later
    return places.before if on_data else places.after


def _pin(here: _World, version: Version | None) -> Pin | None:
    if version is None:
        return None
    lineage = here.lineage(version)
    called = lineage.model.labels
    return Pin(version=version.number, run_id=version.run_id, lineage=here.today(lineage), called=called)


def _bring_weights(here: _World) -> None:
    """Bring a file of pretrained weights here that DVC tracks."""
    train = here.settings.train
    path = pretrained.source(train.architecture, train.pretrained)
    if path and not path.exists() and (digest := pretrained.tracked(path)):
        print(f"resolve: bringing {path}", flush=True)
        files.write(path, here.store.read(digest, path.as_posix()))


def _refuse_unfit(parent: Parent, settings: Params, scratch: Path) -> None:
    """Refuse a network that a cycle could not train, while the model of the last one is still there."""
    from pipeline.learning import architecture

    size, channels = settings.prepare.image_size, settings.prepare.channels
    network = architecture.described(settings.train, (size, size, channels), settings.prepare.fit)
    architecture.refuse_misfit(parent, settings.train, network)
    architecture.refuse_unbuildable(network, scratch / "architecture", settings.train)


def _refuse_foreign(pins: Sequence[Pin | None], settings: Params) -> None:
    """Refuse versions that are built by what params.yaml does not name."""
    if any(pin and pin.lineage.model.is_custom for pin in pins):
        from pipeline.learning import architecture

        architecture.refuse_foreign(pins, settings.train, settings.resolve)


def _registered(here: _World, data: str) -> dict[str, Registered]:
    """By run key, the versions on this data as they are: what `promote` need not do again."""
    return {
        version.run_key: Registered(
            version=version.number,
            verdict_digest=version.verdict_digest,
            promoted=version.promoted,
            min_probability=version.min_probability,
            weights=version.weights,
            standing=(said := promotion.by_people(here.story, version)),
            filed=filing.filed(version, here.story, here.registry.alias, said),
        )
        for version in reversed(here.registry.all(sources=data))
    }


def _refuse_empty(registry: Registry) -> None:
    """A clone that forgot to name the registry must not begin anew: dvc.lock knows that a cycle was registered."""
    if "promote" in conflicts.lock().get("stages", {}) and registry.newest() is None:
        raise RegistryError(
            f"dvc.lock says that a cycle was registered, and the registry at {shown(registry.uri)} has no version of "
            f"{registry.name}; set MLFLOW_TRACKING_URI to the registry that has it, or begin anew with `rm dvc.lock`"
        )


def _say(batches: Sequence[Source], champion: Version | None, cycle: _Cycle) -> None:
    data = f"{counted(len(batches), 'batch', 'batches')}, {counted(sum(one.num_files for one in batches), 'file')}"
    if cycle.on_recipe:
        what = f"this data is known, v{cycle.on_recipe.number} was trained on it"
    elif cycle.start:
        known = "known data, other settings or code" if cycle.on_data else "new data"
        what = f"{known}: this cycle starts from {name(cycle.start)}"
    else:
        what = "nothing to start from yet"
    print(f"resolve: {data}; champion: {name(champion)}; {what}")
