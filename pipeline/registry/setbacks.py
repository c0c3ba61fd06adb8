"""Setbacks: batches that came with a version from which people went back, and that are in the data all the same."""

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.sources import Source
from pipeline.base.errors import LostError
from pipeline.registry.chain import Event, Story
from pipeline.registry.version import Version

LATEST = 5
"""Setbacks that are looked at: each costs a look into a lineage."""


@dataclass(frozen=True)
class Setback:
    """A version from which people went back, and what of its data is in the data now."""

    version: int
    """From which."""
    event: Event
    """How they did."""
    champion: int
    """Which did not learn from these batches, or not from all of each."""
    sources: tuple[Source, ...]
    """The batches, as they were then."""
    grown: Collection[str]
    """Paths of those of which the champion knows an earlier state."""
    commit: str
    """Of the champion."""

    def told(self, pointers: Mapping[str, str]) -> str:
        """What is still in the data, and the commands that take it out.

        Args:
            pointers: paths of the pointers by what they track.
        """
        named = ", ".join(source.path for source in self.sources)
        commands = [self._command(source.path, pointers) for source in self.sources]
        which = "look which of them is at fault; to take one out: " if len(commands) > 1 else "to take it out: "
        return (
            f"v{self.version} was {self.event.how} by {self.event.who} ({self.event.why}); it learned from {named}, "
            f"which v{self.champion} did not, and that is still in the data: what is trained learns from it again; "
            f"{which}"
            f"{' or '.join(f'`{command}`' for command in commands)}, then commit"
        )

    def _command(self, path: str, pointers: Mapping[str, str]) -> str:
        pointer = shlex.quote(pointers.get(path, f"{path}.dvc"))
        if path in self.grown:
            return f"git checkout {self.commit} -- {pointer} && dvc checkout {pointer}"
        return f"dvc remove --outs {pointer}"


def left(
    past: Callable[[int], Version | None],
    story: Story,
    batches: Sequence[Source],
    lineage: Callable[[Version], Lineage],
) -> list[Setback]:
    """Versions from which people went back, and what of their data is among these batches.

    Args:
        past: gives a version, also one that was deleted since.
        story: of the champion's alias.
        batches: that are in the data.
        lineage: of a version.
    """
    champion = past(story.champion) if story.champion else None
    if champion is None or not story.setbacks:
        return []
    found = []
    for number, event in list(_declined(story))[-LATEST:]:
        version = past(number)
        if version is None or version.lineage_digest is None:
            continue
        try:
            known, came = lineage(champion), lineage(version).sources
        except LostError:  # nobody can tell any more what came with it
            continue
        sources = tuple(sorted((set(came) - set(known.sources)) & set(batches)))
        if sources:
            paths = {one.path for one in known.sources}
            found.append(Setback(number, event, champion.number, sources, paths, known.commit.rstrip("+")))
    return found


def _declined(story: Story) -> Iterator[tuple[int, Event]]:
    """Versions from which people went back, with how they did."""
    for event in story.setbacks:
        if event.left is not None:
            yield event.left, event
