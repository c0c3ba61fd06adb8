"""Verification: whether the registry is what it says: history, aliases, versions, the bytes of their artifacts."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.artifacts.lineage import Lineage
from pipeline.base.errors import LostError
from pipeline.registry import proof
from pipeline.registry.chain import Chain, Story
from pipeline.registry.client import Registry
from pipeline.registry.transitions import Aliases, Discrepancy, Transitions
from pipeline.registry.version import Version, name, numbered


def of_history(chain: Chain, seen: Aliases, history: str) -> Iterator[Discrepancy]:
    """What is wrong with the events.

    Args:
        chain: all of them, read anew.
        seen: what the registry says of the alias.
        history: name of the registered model that holds it.
    """
    for number in chain.gaps:
        yield Discrepancy(
            f"{history} v{number} names an event before it that is not there: one was deleted or changed",
            "find out who did it; what came after it counts",
        )
    for number in chain.unreadable:
        yield Discrepancy(
            f"{history} v{number} is no event of a history", f"delete v{number} of {history} if nobody needs it"
        )
    if seen.settled > chain.number:
        yield Discrepancy(
            f"{history} ends with v{chain.number}, and the alias was brought to v{seen.settled} once: the newest "
            "events were deleted",
            "the next `dvc repro` writes down where the alias is; find out who did it",
        )


def of_aliases(transitions: Transitions, registry: Registry, objects: Path) -> Iterator[Discrepancy]:
    """Where an alias is not what the history says, or what the champion was judged by.

    Args:
        transitions: of the registry; what it read of the history counts.
        registry: has the aliases.
        objects: folder for downloads.
    """
    seen, story = transitions.aliases(), transitions.story()
    if astray := transitions.astray():
        yield astray
    waits = story.waiting if story.waiting and registry.find(story.waiting) else None
    if seen.challenger != waits:
        yield Discrepancy(
            f"alias {registry.challenger_alias} is {numbered(seen.challenger)}, and {numbered(waits)} waits "
            "for a person",
            "`dvc repro` sets it",
        )
    champion = registry.find(story.champion) if story.champion else None
    if champion and champion.lineage_digest:
        yield from _of_anchor(registry, champion, objects)


def _of_anchor(registry: Registry, champion: Version, objects: Path) -> Iterator[Discrepancy]:
    """Where the alias of the best so far is none that this champion can have been judged by."""
    try:
        judged_by = champion.number if champion.is_best else registry.lineage(champion, objects).anchor
    except LostError:
        return  # told with the version's files
    anchor = registry.anchor()
    if judged_by is None or (anchor and anchor.number in (judged_by, champion.number)):
        return
    yield Discrepancy(
        f"alias {registry.anchor_alias} is {name(anchor)}, and the best so far is v{judged_by}: later versions must "
        "not fall below it (evaluate.risk)",
        f"set the alias {registry.anchor_alias} to v{judged_by} in the MLflow UI",
    )


def of_version(registry: Registry, version: Version) -> Iterator[Discrepancy]:
    """What is wrong with a version: each artifact is fetched anew and compared with its SHA-256."""
    if version.lineage_digest is None:
        yield Discrepancy(
            f"v{version.number} was not registered by Evergreen", "no cycle can start from it; delete it, or not"
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            lineage = registry.lineage(version, Path(folder))
        except LostError as error:
            yield Discrepancy(f"v{version.number}: {error.what}", "restore the file from a backup")
            return
        yield from _of_artifacts(registry, version, lineage, Path(folder))
        yield from _of_served(registry, version, Path(folder))


def _of_artifacts(registry: Registry, version: Version, lineage: Lineage, folder: Path) -> Iterator[Discrepancy]:
    for artifact, sha256 in lineage.files.items():
        try:
            registry.download(version.run_id, artifact, sha256, folder).unlink()
        except LostError as error:
            yield Discrepancy(f"v{version.number}: {error.what}", "restore the file from a backup")


def _of_served(registry: Registry, version: Version, folder: Path) -> Iterator[Discrepancy]:
    """What MLflow would serve, held against the proof: nothing of it is run."""
    kept = proof.kept(registry, version, folder)
    if version.proof_digest and kept is None:
        yield Discrepancy(
            f"v{version.number}: the record of its proof is gone or damaged",
            "restore the file from a backup",
        )
    for file in proof.changed(registry, version, kept) if kept else ():
        yield Discrepancy(
            f"v{version.number}: {file} is not what it was when the version was proven",
            "serve another version, and restore the file from a backup",
        )


def of_seconds(versions: Sequence[Version]) -> Iterator[Discrepancy]:
    """Versions of which there should be one."""
    by_key: dict[str, list[int]] = {}
    for version in versions:
        by_key.setdefault(version.run_key, []).append(version.number)
    for key, numbers in by_key.items():
        if key and len(numbers) > 1:
            named = ", ".join(f"v{number}" for number in sorted(numbers))
            yield Discrepancy(
                f"{named} are of one run key", "the next `dvc repro` of their data deletes those that came second"
            )


def remains(registry: Registry, story: Story, versions: Sequence[Version]) -> Iterator[str]:
    """What no version names any more, and may be all that is left of one: told, and no fault."""
    past = {event.run_id: event for event in story.events}
    for run in registry.runs.without_version(versions):
        event = past.get(run)
        was = f"v{event.version}, which was deleted after {event.when[:10]}" if event else "a version that was deleted"
        yield f"run {run} has the files of {was}; it is all that is left of it: keep it, unless nobody wants that back"
