"""The anchor: which version is the best so far, whatever became of its alias, and whether it can still judge."""

from collections.abc import Collection, Sequence
from pathlib import Path

from pipeline.artifacts.lineage import LEDGER, WEIGHTS
from pipeline.base.errors import LostError
from pipeline.registry.client import Registry
from pipeline.registry.version import Version

JUDGING = (WEIGHTS, LEDGER)
"""What a cycle needs of a version that it judges by, besides the lineage."""


def current(registry: Registry, champion: Version, champions: Collection[int], objects: Path) -> Version:
    """The best version that there ever was: what the alias says, unless the champion has taken its place.

    A person who sets the champion back takes back what came after it, also as an anchor.

    Args:
        registry: has the alias.
        champion: today's.
        champions: numbers of all that ever were.
        objects: folder of downloads.
    """
    if champion.is_best:
        return champion
    anchor = registry.anchor()
    if anchor is None or anchor.number > champion.number or anchor.number not in champions:
        number = registry.lineage(champion, objects).anchor
        best = found(registry, number, champion)
        if number is not None:  # else a version of before there were anchors
            why = "is gone" if anchor is None else f"names v{anchor.number}, which {_misfit(anchor, champion)}"
            print(f"resolve: alias {registry.anchor_alias} {why}; v{best.number} is the best so far, and gets it back")
        return best
    if not anchor.is_whole:
        print(
            f"resolve: warning: alias {registry.anchor_alias} names v{anchor.number}, which Evergreen did not "
            f"register; v{champion.number}, the champion, is taken as the best so far"
        )
        return champion
    return anchor


def _misfit(anchor: Version, champion: Version) -> str:
    return "came after the champion" if anchor.number > champion.number else "never was champion"


def of_then(registry: Registry, number: int | None, champion: Version, objects: Path) -> Version:
    """The anchor of a cycle that is known; the champion where that one cannot be read, and a person says so.

    Raises:
        LostError: see `refuse_lost`.
    """
    anchor = found(registry, number, champion)
    try:
        refuse_lost(registry, anchor, champion, objects, artifacts=())
    except LostError:
        if registry.anchor() == champion:
            return champion
        raise
    return anchor


def found(registry: Registry, number: int | None, champion: Version) -> Version:
    """The anchor of this number; the champion where there was none, or where it was deleted since."""
    if number is None:
        return champion
    anchor = registry.find(number)
    if anchor is None:
        print(
            f"resolve: warning: v{number}, the best so far, is not in the registry any more; v{champion.number}, the "
            "champion, takes its place"
        )
    return anchor or champion


def refuse_lost(
    registry: Registry, anchor: Version, champion: Version, objects: Path, artifacts: Sequence[str] = JUDGING
) -> None:
    """Refuse a version that cannot judge any more, before anything is trained that it would have to judge.

    Who dropped it without a word would take back what was promised for all cycles.

    Args:
        registry: has both.
        anchor, champion: may be one.
        objects: folder of downloads; they are kept for the stages that need them.
        artifacts: what has to be there besides the lineage.

    Raises:
        LostError: something of it is gone, damaged, or of another version of Evergreen.
    """
    try:
        lineage = registry.lineage(anchor, objects)
        for artifact in artifacts:
            registry.download(anchor.run_id, artifact, lineage.files[artifact], objects)
    except LostError as error:
        if anchor.number == champion.number:
            raise
        raise LostError(
            f"v{anchor.number}, the best so far, cannot judge any more: {error.what}",
            f"restore it from a backup, use the version of Evergreen that registered it, or set the alias "
            f"{registry.anchor_alias} to v{champion.number}, the champion, which then counts as the best so far",
        ) from None
