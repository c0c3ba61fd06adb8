"""Decisions of people: a version is promoted, rejected, or gone back from, and the history tells who did it and why."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.base.errors import RegistryError
from pipeline.registry.chain import Event, Story
from pipeline.registry.client import Registry
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import MADE, Version, name, numbered

Prove = Callable[[Version], None]
"""Loads a version from the registry and lets it answer; raises an error if it does not answer as it was judged."""


@dataclass(frozen=True)
class Decided:
    """What became of a decision."""

    story: Story
    """Of the alias, settled."""
    event: Event


def promote(registry: Registry, version: Version, why: str, prove: Prove) -> Decided:
    """Make a version champion.

    Raises:
        RegistryError: it cannot be, or the champion moved meanwhile.
    """
    transitions = Transitions(registry)
    story = transitions.settle(without_alias=True)
    champion = registry.champion()
    if champion == version:
        raise RegistryError(f"v{version.number} is {registry.alias} already; expected another version; nothing to do")
    _refuse_stranger(registry, version)
    prove(version)
    return _written(transitions, registry.alias, transitions.event("promoted", version, story.champion, why))


def roll_back(registry: Registry, version: Version | None, why: str, prove: Prove) -> Decided:
    """Go back to a version that was champion before: the last one, unless another is named.

    Raises:
        RegistryError: there is nothing to go back to, or the champion moved meanwhile.
    """
    transitions = Transitions(registry)
    story = transitions.settle(without_alias=True)
    champion = story.champion
    if champion is None:
        raise RegistryError(f"{registry.name} has no {registry.alias}; expected one to go back from; nothing to do")
    target = version or _before(registry, story, champion)
    if target.number == champion:
        raise RegistryError(f"v{champion} is {registry.alias} now; expected an earlier one, to go back to")
    if target.number not in story.champions:
        past = ", ".join(f"v{number}" for number in sorted(story.champions - {champion})) or "none"
        raise RegistryError(
            f"v{target.number} never was {registry.alias}, so one cannot go back to it; expected one of: {past}; to "
            f"make it champion all the same: `python -m pipeline promote {target.number} --why REASON`"
        )
    _refuse_stranger(registry, target)
    prove(target)
    return _written(transitions, registry.alias, transitions.event("rolled back", target, story.champion, why))


def reject(registry: Registry, version: Version, why: str) -> Decided:
    """Decline a version: no rerun promotes it, and it waits no more.

    Raises:
        RegistryError: it is the champion.
    """
    transitions = Transitions(registry)
    story = transitions.settle()
    if version.number == story.champion:
        raise RegistryError(
            f"v{version.number} is {registry.alias}; expected a version that is not; to take it back: `python -m "
            "pipeline rollback --why REASON`"
        )
    return _written(transitions, registry.alias, transitions.event("rejected", version, story.champion, why))


def _written(transitions: Transitions, alias: str, event: Event) -> Decided:
    if transitions.append(event) is None:
        now = transitions.settle().champion
        raise RegistryError(
            f"{alias} moved from {numbered(event.source)} to {numbered(now)} meanwhile; expected it to stay "
            "while a person decides; nothing was changed; look at `python -m pipeline history`, then decide again"
        )
    return Decided(transitions.settle(), event)


def _before(registry: Registry, story: Story, champion: int) -> Version:
    """The champion before the present one that is still there, and from which nobody went back."""
    number, seen = story.before(champion), {champion}
    while number is not None and number not in seen:
        seen.add(number)
        found = registry.find(number)
        if found and not story.declined(number):
            return found
        number = story.before(number)
    raise RegistryError(
        f"v{champion} is the first {registry.alias}; expected one before it to go back to; `python -m pipeline "
        "history` lists all, `python -m pipeline promote VERSION --why REASON` makes another version champion"
    )


def _refuse_stranger(registry: Registry, version: Version) -> None:
    if not version.is_whole:
        raise RegistryError(
            f"{registry.name} {name(version)} was not registered by Evergreen (no tag {MADE}); expected a "
            "version that a cycle made: later ones start from it; nothing was changed"
        )
