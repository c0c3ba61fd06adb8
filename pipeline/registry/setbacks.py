"""Setbacks: batches that came with a version from which people went back, and that are in the data all the same."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """A batch that came with a version from which people went back."""

    version: int
    """From which."""
    event: Event
    """How they did."""
    source: Source
    """The batch as it was then."""
    commit: str | None
    """Of the champion, which knows an earlier state of the batch; None if it does not know the batch."""

    def told(self, pointers: Mapping[str, str]) -> str:
        """What is still in the data, and the command that takes it out.

        Args:
            pointers: paths of the pointers by what they track.
        """
        how = "rejected" if self.event.kind == "rejected" else "rolled back"
        pointer = shlex.quote(pointers.get(self.source.path, f"{self.source.path}.dvc"))
        if self.commit:
            what = f"{self.source.path} as it came with v{self.version}"
            command = f"git checkout {self.commit} -- {pointer} && dvc checkout {pointer}"
        else:
            what, command = f"{self.source.path}, which came with v{self.version},", f"dvc remove --outs {pointer}"
        return (
            f"{what} is still in the data, and v{self.version} was {how} by {self.event.who} ({self.event.why}); what "
            f"is trained learns from it again; `{command}` and a commit take it out"
        )


def left(
    past: Callable[[int], Version | None],
    story: Story,
    batches: Sequence[Source],
    lineage: Callable[[Version], Lineage],
) -> list[Setback]:
    """Batches that came with versions from which people went back, and that are among these.

    Args:
        past: gives a version, also one that was deleted since.
        story: of the champion's alias.
        batches: that are in the data.
        lineage: of a version.
    """
    champion = past(story.champion) if story.champion else None
    if champion is None or not story.setbacks:
        return []
    found: dict[str, Setback] = {}
    for number, event in list(_declined(story))[-LATEST:]:
        version = past(number)
        if version is None or version.lineage_digest is None:
            continue
        try:
            known, came = lineage(champion), lineage(version).sources
        except LostError:  # nobody can tell any more what came with it
            continue
        for source in sorted((set(came) - set(known.sources)) & set(batches)):
            is_changed = source.path in {one.path for one in known.sources}
            found[source.path] = Setback(number, event, source, known.commit.rstrip("+") if is_changed else None)
    return list(found.values())


def _declined(story: Story) -> Iterator[tuple[int, Event]]:
    """Versions from which people went back, with how they did."""
    for event in story.setbacks:
        number = event.version if event.kind == "rejected" else event.source
        if number is not None:
            yield number, event
