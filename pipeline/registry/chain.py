"""The history of a registered model: a chain of events, each of which names the hash of the one before it. Pure.

Events are written by machines and people that do not know of each other. An event counts if it names the hash of the
last event that counts; of two that name the same one, the first counts and the other never will. So to add an event is
to compare and to set (optimistic concurrency control, Kung and Robinson 1981), and nobody can change or drop an event
in the middle without every later one telling of it (Haber and Stornetta 1991).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

Kind = Literal["began", "nominated", "promoted", "rejected", "rolled back", "moved"]
"""What happened: the history began with a champion that was there; a good verdict waits for a person; the alias moved
to a better version; a person declined a version; a person went back; someone moved the alias in MLflow."""

KINDS: tuple[Kind, ...] = ("began", "nominated", "promoted", "rejected", "rolled back", "moved")

MOVES: tuple[Kind, ...] = ("began", "promoted", "rolled back", "moved")
"""Those after which another version is champion."""


Standing = Literal["champion", "was champion", "waiting", "rejected", "rolled back", ""]
"""What became of a version; nothing if no person and no verdict made anything of it."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happened to a version, when, by whom and why."""

    kind: Kind
    alias: str
    """Which one is meant: a registered model may have several."""
    version: int
    """That it is about: of a move, the champion from then on."""
    source: int | None
    """Number of the champion until then."""
    when: str
    """ISO 8601, UTC, seconds."""
    who: str
    """Person or CI run."""
    why: str
    run_id: str = ""
    """Run of the version: it is still to be found when the version was deleted."""
    lineage: str = ""
    """SHA-256 of the version's lineage."""
    verdict: str = ""
    """SHA-256 of the judgement; empty if a person decided."""
    decision: str = ""
    """The verdict's word on the version, which a person may have overruled."""
    data: str = ""
    """Digest of the batches that the version was trained on."""
    run_key: str = ""
    """Of the version: the same model has it again if it is registered anew after its version was deleted. Events of
    before this was noted have none, and their hashes are without it."""
    key: str = ""
    """What is done once: another event with the same key is not added."""
    previous: str = ""
    """Hash of the event before; empty for the first one."""

    @property
    def hash(self) -> str:
        """SHA-256 of all that it says."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def left(self) -> int | None:
        """Number of the version that people declined, if that is what they did by it."""
        return self.version if self.kind == "rejected" else self.source

    @property
    def how(self) -> Literal["rejected", "rolled back"]:
        """What they did with that version."""
        return "rejected" if self.kind == "rejected" else "rolled back"

    def to_json(self) -> str:
        """One line; the same event always gives the same."""
        values = asdict(self)
        if not self.run_key:
            del values["run_key"]
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Event":
        """Read what `to_json` wrote.

        Raises:
            ValueError: that was not it.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            event = cls(**value)
            datetime.fromisoformat(event.when)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"no event of a history: {error}") from None
        texts = [getattr(event, name) for name in _TEXTS]
        is_typed = all(isinstance(one, str) for one in texts)
        if not is_typed or event.kind not in KINDS or not _is_number(event.version):
            raise ValueError(f"no event of a history: kind {event.kind!r}, version {event.version!r}")
        if event.source is not None and not _is_number(event.source):
            raise ValueError(f"no event of a history: source {event.source!r}")
        return event


_TEXTS = (
    "alias",
    "when",
    "who",
    "why",
    "run_id",
    "lineage",
    "verdict",
    "decision",
    "data",
    "run_key",
    "key",
    "previous",
)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


@dataclass(frozen=True)
class Link:
    """A place in the registry where an event stands, or what was found there instead."""

    number: int
    """Given by the registry: later links have higher ones."""
    event: Event | None
    """None if no event can be read there."""


@dataclass(frozen=True)
class Chain:
    """The events that count, oldest first, and what is wrong with the others."""

    links: tuple[Link, ...] = ()
    """Those that count."""
    lost: tuple[Link, ...] = ()
    """Events that came second: another one had taken their place."""
    gaps: tuple[int, ...] = ()
    """Numbers of links that count and name an event that is not there: someone deleted or changed what was before."""
    unreadable: tuple[int, ...] = ()
    """Numbers of links that are no events."""
    _known: frozenset[str] = field(default=frozenset(), repr=False)
    """Hashes of all events that count."""

    def __iter__(self) -> Iterator[Event]:
        """The events that count, oldest first."""
        return (event for _, event in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Event]]:
        """The same, each with its number."""
        return ((link.number, link.event) for link in self.links if link.event)

    @property
    def head(self) -> str:
        """Hash of the newest event; empty without one."""
        return self.links[-1].event.hash if self.links and self.links[-1].event else ""

    @property
    def number(self) -> int:
        """Number of the newest link that counts; 0 without one."""
        return self.links[-1].number if self.links else 0

    def extended(self, links: Iterable[Link]) -> "Chain":
        """The chain with further links, by ascending number, each of a higher number than those before."""
        counted, lost, gaps, unreadable = list(self.links), list(self.lost), list(self.gaps), list(self.unreadable)
        known, head = set(self._known), self.head
        for link in links:
            if link.event is None:
                unreadable.append(link.number)
                continue
            if link.event.previous != head:
                if link.event.previous in known or not link.event.previous:
                    lost.append(link)
                    continue
                gaps.append(link.number)
            counted.append(link)
            head = link.event.hash
            known.add(head)
        return Chain(tuple(counted), tuple(lost), tuple(gaps), tuple(unreadable), frozenset(known))

    def of(self, alias: str) -> "Story":
        """What the events say of one alias."""
        return Story(tuple(event for event in self if event.alias == alias))

    def until(self, number: int) -> "Chain":
        """The chain as it was when this link was its newest."""
        return replace(self, links=tuple(link for link in self.links if link.number <= number))


@dataclass(frozen=True)
class Story:
    """The events of one alias, oldest first, and what follows from them."""

    events: tuple[Event, ...]

    @property
    def champion(self) -> int | None:
        """Number of the version under the alias; None if there never was one."""
        return self.move.version if self.move else None

    @cached_property
    def move(self) -> Event | None:
        """The one that made the champion."""
        return next((event for event in reversed(self.events) if event.kind in MOVES), None)

    @cached_property
    def champions(self) -> frozenset[int]:
        """Numbers of all that ever were champion."""
        moved = [event for event in self.events if event.kind in MOVES]
        return frozenset(number for event in moved for number in (event.version, event.source) if number)

    @cached_property
    def waiting(self) -> int | None:
        """The newest version that waits for a person: nominated, and neither promoted nor rejected since."""
        newest = max(self.nominees, default=None)
        # Once a later version is champion, an earlier one that waits is of no use any more.
        return None if newest is None or newest < (self.champion or 0) else newest

    @property
    def nominees(self) -> frozenset[int]:
        """All versions that wait for a person, also those that are of no use any more."""
        return frozenset(version for version in self._last if self.is_waiting(version))

    def is_waiting(self, version: int) -> bool:
        """Whether a version was nominated, and no person has decided on it since."""
        event = self.last(version)
        is_open = version != self.champion and not self.declined(version)
        return event is not None and event.kind == "nominated" and is_open

    def last(self, version: int) -> Event | None:
        """The newest event that decides on a version."""
        return self._last.get(version)

    @cached_property
    def _last(self) -> Mapping[int, Event]:
        return {event.version: event for event in self.events}

    def declined(self, version: int) -> Event | None:
        """How a person declined a version, by going back from it or by rejecting it; None if it may be promoted."""
        return self._declined.get(version)

    def kept_out(self, version: int, run_key: str) -> Event | None:
        """How people declined a version, or the one of the same model that was deleted and made room for it.

        What people decided on the version itself counts first.

        Args:
            version: its number.
            run_key: of it.
        """
        twins = [one for one, event in self._last.items() if run_key and event.run_key == run_key]
        return self.declined(version) if version in self._last or not twins else self.declined(max(twins))

    @cached_property
    def _declined(self) -> Mapping[int, Event]:
        found: dict[int, Event] = {}
        for event in self.events:
            if event.kind in MOVES and event.source and event.version < event.source and not event.verdict:
                found[event.source] = event
            found.pop(event.version, None)
            if event.kind == "rejected":
                found[event.version] = event
        return found

    @property
    def setbacks(self) -> tuple[Event, ...]:
        """How people declined versions, as far as that still stands, oldest first."""
        standing = set(self._declined.values())
        return tuple(event for event in self.events if event in standing)

    def before(self, version: int) -> int | None:
        """The champion that this one took the place of, when it last did."""
        taken = [event.source for event in self.events if event.kind in MOVES and event.version == version]
        return taken[-1] if taken else None

    def standing(self, version: int) -> Standing:
        """What became of a version."""
        declined = self.declined(version)
        if version == self.champion:
            return "champion"
        if declined:
            return declined.how
        if version in self.champions:
            return "was champion"
        return "waiting" if self.is_waiting(version) else ""

    def at(self, when: str) -> int | None:
        """Number of the champion at a time, ISO 8601 in UTC; None if there was none."""
        return Story(tuple(event for event in self.events if event.when <= when)).champion
