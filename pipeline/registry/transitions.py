"""Transitions: how the champion's alias moves, so that no two moves overwrite each other, whoever is killed when.

MLflow has no compare-and-set for an alias. So who is champion follows from the history (`registry.events`). The alias
is only brought to what that says, as often as it takes (level-triggered). A person who moves it in MLflow is noticed,
and becomes an event too.
"""

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.base.errors import RegistryError
from pipeline.registry import connection
from pipeline.registry.chain import MOVES, Chain, Event, Kind, Story
from pipeline.registry.events import Events, told
from pipeline.registry.version import PREFIX, Version, numbered

SETTLED = f"{PREFIX}settled"
"""Tag of the registered model, one for each alias: number of the newest event that the alias was brought to."""

MOVING = f"{PREFIX}moving"
"""Tags of the registered model, one for each process that is about to set an alias: when, and to which version. A
process that is killed leaves its tag, and so its move is not taken for a person's."""

ATTEMPTS = 60
"""How often the alias is brought to what the history says while others do the same."""

FORGOTTEN = timedelta(hours=1)
"""After that nobody is still about to set an alias."""

SOMEONE = "someone in MLflow"

APPROVED = "approved"
"""Value of the tag review of a version that waits, with which a person promotes it."""

DECLINED = "declined"
"""Value with which a person rejects it."""

DECIDES_NOTHING = f"decides nothing; expected {APPROVED} or {DECLINED}"

CONFIRM = 0.25
"""Seconds after which an alias that a person seems to have moved is read again: a move of the pipeline lasts less."""


@dataclass(frozen=True)
class Aliases:
    """What the registry says of one alias at one moment."""

    version: int | None
    """Under the alias."""
    challenger: int | None
    """Under the alias of the version that waits for a person."""
    settled: int
    """Number of the newest event that it was brought to; 0 if none."""
    moving: Mapping[str, "Moving"]
    """What somebody may be about to do, by tag."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """All that the registered model has."""


@dataclass(frozen=True)
class Moving:
    """An alias that somebody is about to set."""

    version: int
    when: str
    """Since then, ISO 8601 in UTC."""

    @property
    def is_over(self) -> bool:
        """Whether whoever was about to do it is dead by now."""
        return self.when < (datetime.now(UTC) - FORGOTTEN).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Discrepancy:
    """Something in a registry that is not as it should be."""

    what: str
    remedy: str


class Transitions(Events):
    """The history of one alias of a registered model, and the alias."""

    def aliases(self) -> Aliases:
        """What the registry says of the alias."""
        aliases, tags = self._registry.described()
        moving = {key: value for key, value in tags.items() if key.startswith(f"{MOVING}.{self._alias}.")}
        return Aliases(
            version=aliases.get(self._alias),
            challenger=aliases.get(self._registry.challenger_alias),
            settled=int(tags.get(f"{SETTLED}.{self._alias}") or 0),
            moving={key: Moving(int(value.split(" ")[0]), value.split(" ")[-1]) for key, value in moving.items()},
            tags=tags,
        )

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the registered model."""
        with self._connection.reach():
            connection.repeat(lambda: self._client.set_registered_model_tag(self._name, name, value))

    def settle(self, without_alias: bool = False) -> Story:
        """Bring the alias to what the history says, and the history to what people did in MLflow.

        Args:
            without_alias: whether to go on if somebody took the alias away, for a person who is about to set it.

        Returns:
            What happened to the alias until now, all of it carried out.

        Raises:
            RegistryError: MLflow does not answer, or somebody took the alias away.
        """
        tag = f"{MOVING}.{self._alias}.{uuid.uuid4().hex}"
        for _ in range(ATTEMPTS):
            seen, chain = self.aliases(), self.chain()
            story = chain.of(self._alias)
            if self._notice(seen, chain, story, without_alias):
                continue
            is_given_up = without_alias and seen.version is None
            if story.champion is None or is_given_up or _is_settled(seen, chain, story):
                self._settle_challenger(seen, story)
                self._forget([moving for moving in seen.moving if moving == tag or seen.moving[moving].is_over])
                return story
            try:
                self._bring(seen, chain, story.champion, tag)
            except RegistryError:
                with contextlib.suppress(RegistryError):
                    self._forget([tag])
                raise
        raise RegistryError(
            f"alias {self._alias} of {self._name} was moved {ATTEMPTS} times while it was to be settled; expected "
            "nobody else to move it all the time; look for what does, then run the same again"
        )

    def _bring(self, seen: Aliases, chain: Chain, champion: int, tag: str) -> None:
        """Set the alias to what the history said, unless either changed meanwhile.

        Args:
            seen: where the alias was.
            chain: what the history said.
            champion: by that.
            tag: tells others that it is about to move.
        """
        with self._connection.reach():
            if seen.version != champion:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self.tag(tag, f"{champion} {now}")
                if not self._connection.move_alias(self._name, self._alias, seen.version, champion):
                    return
            if self.chain().number == chain.number:
                self.tag(f"{SETTLED}.{self._alias}", str(chain.number))

    def _settle_challenger(self, seen: Aliases, story: Story) -> None:
        if seen.challenger == story.waiting:
            return
        with self._connection.reach():
            if story.waiting and self._registry.find(story.waiting):  # else somebody deleted it
                alias, waiting = self._registry.challenger_alias, str(story.waiting)
                connection.repeat(lambda: self._client.set_registered_model_alias(self._name, alias, waiting))
            elif seen.challenger:
                self._client.delete_registered_model_alias(self._name, self._registry.challenger_alias)

    def _forget(self, tags: Sequence[str]) -> None:
        """Take away the tags of moves that are over; others may do the same."""
        with self._connection.reach():
            for tag in tags:
                self._client.delete_registered_model_tag(self._name, tag)

    def _notice(self, seen: Aliases, chain: Chain, story: Story, without_alias: bool) -> bool:
        """Write down what people did in MLflow: they moved the alias, or decided by a tag; whether there was anything.

        A registry of before there was a history gets one.

        Raises:
            RegistryError: the alias is gone, though there was a champion.
        """
        number = chain.number
        if seen.version and all(event.kind == "began" for event in story.events):
            self._begin(seen.version, story)
        elif seen.version is None and not without_alias:
            self._refuse_gone(seen, chain, story)
        elif version := self._moved_by_hand(seen, chain):
            champion = self.story().champion
            is_approved = self.story().is_waiting(version)
            why = "it was approved by moving the alias in MLflow" if is_approved else "the alias was moved in MLflow"
            key = f"moved:{self._alias}:{self.chain().head}:{version}"
            self._write_down(self.event("moved", self._of(version), champion, why, who=SOMEONE, key=key))
        self._reviewed()
        return self._chain.number != number

    def _reviewed(self) -> None:
        """Write down what people decided by a tag on a version that waits: it was proven before it began to wait."""
        for version in self._reviews():
            if version.review not in (APPROVED, DECLINED):
                print(
                    f"warning: tag {PREFIX}review of v{version.number} says {version.review!r}, which {DECIDES_NOTHING}"
                )
                continue
            is_approved = version.review == APPROVED
            why = version.why or f"its tag {PREFIX}review says {version.review}"
            kind: Kind = "promoted" if is_approved else "rejected"
            key = f"review:{version.number}:{self.chain().head}"
            self._write_down(self.event(kind, version, self.story().champion, why, who=SOMEONE, key=key))

    def _reviews(self) -> Iterator[Version]:
        """Versions that wait and carry the tag, newest first; one may decide on another, so each is looked at anew."""
        for version in self._registry.reviewed() if self.story().nominees else ():
            if version.review and self.story().is_waiting(version.number):
                yield version

    def _write_down(self, event: Event) -> None:
        """Add what a person did in MLflow to the history, and say so: what follows may surprise who did not do it."""
        if done := self.append(event):
            print(f"noticed, and written down: {told(done)}", flush=True)

    def _begin(self, version: int, story: Story) -> None:
        """Take over the champions of before there was a history."""
        if story.champion == version:
            return
        before = [one.number for one in reversed(self._registry.all()) if one.promoted and one.number != version]
        source = story.champion
        for number in [one for one in before if one not in story.champions] + [version]:
            why = "it was champion before there was a history"
            event = self.event("began", self._of(number), source, why, key=f"began:{self._alias}:{number}")
            if self.append(event) is None:
                return  # somebody else does the same, and is further
            source = number

    def _of(self, number: int) -> Version:
        """A version by its number."""
        return self._registry.find(number) or Version(number, "", {})

    def _refuse_gone(self, seen: Aliases, chain: Chain, story: Story) -> None:
        """Refuse to go on without an alias, if there was one: 'no champion' would begin anew."""
        if lost := self.lost(seen, chain, story):
            raise RegistryError(
                f"{lost.what}; expected a champion, for there was one, and a cycle without one would begin anew; "
                f"{lost.remedy}; to begin anew on purpose, choose another resolve.registered_model"
            )

    def astray(self) -> Discrepancy | None:
        """Where the alias is, if that is not what the history says; nothing is changed."""
        seen, chain = self.aliases(), self.chain()
        story = chain.of(self._alias)
        if seen.version is None and (lost := self.lost(seen, chain, story)):
            return lost
        if seen.version == story.champion:
            return None
        return Discrepancy(
            f"alias {self._alias} is {numbered(seen.version)}, and the history says {numbered(story.champion)}",
            "the next `dvc repro` brings them together: a person's move becomes an event",
        )

    def unread_reviews(self) -> Iterator[str]:
        """What people say by a tag on a version that waits, and the history does not have yet; nothing is changed."""
        for version in self._reviews():
            said = f"tag {PREFIX}review of v{version.number} says {version.review}"
            is_known = version.review in (APPROVED, DECLINED)
            yield f"{said}, which {'the next `dvc repro` writes down' if is_known else DECIDES_NOTHING}"

    def lost(self, seen: Aliases, chain: Chain, story: Story) -> Discrepancy | None:
        """That somebody took the alias away, and which version may get it; None if it was never set, or is to be set.

        Args:
            seen: has no alias.
            chain: all events.
            story: those of the alias.
        """
        versions, last = self._registry.all(), story.champion
        if last is None:
            past = [one.number for one in versions if one.promoted or one.champion]
            if not past or any(event.alias != self._alias for event in chain):
                return None  # none was ever promoted under this alias
            last = max(past)
        elif seen.settled < _last_move(chain, story) or last in [one.version for one in seen.moving.values()]:
            return None  # it is about to be set
        numbers = [one.number for one in versions]
        what = f"v{last}, the champion, was deleted" if last not in numbers else f"it named v{last} last"
        named = ", ".join(f"v{number}" for number in numbers[:10]) or "none"
        good = [one.number for one in versions if not story.kept_out(one.number, one.run_key)]
        example = next((number for number in (last, *_past(story), *good) if number in good), last)
        return Discrepancy(
            f"alias {self._alias} of {self._name} is gone: {what}",
            f"`python -m pipeline promote {example} --why REASON` makes a version champion (there are: {named})",
        )

    def _moved_by_hand(self, seen: Aliases, chain: Chain) -> int | None:
        """The version to which a person moved the alias in MLflow; None if nobody did.

        The alias is read before the history, and twice: the pipeline's own moves are never taken for a person's.
        """
        version = self._strange(seen, chain)
        if version is None:
            return None
        time.sleep(CONFIRM)
        seen = self.aliases()
        return version if self._strange(seen, self.chain()) == version else None

    def _strange(self, seen: Aliases, chain: Chain) -> int | None:
        """What the alias says, if no event explains it."""
        story = chain.of(self._alias)
        if seen.version is None or seen.version == story.champion:
            return None
        expected = {moving.version for moving in seen.moving.values()}
        if seen.settled < _last_move(chain, story):  # the alias may still be where it was
            expected |= _champions_since(chain, seen.settled, self._alias)
        return None if seen.version in expected else seen.version


def _is_settled(seen: Aliases, chain: Chain, story: Story) -> bool:
    return seen.version == story.champion and seen.settled >= _last_move(chain, story)


def _last_move(chain: Chain, story: Story) -> int:
    """Number of the event that made the champion; 0 without one."""
    numbers = [link.number for link in chain.links if link.event is story.move]
    return numbers[-1] if numbers else 0


def _past(story: Story) -> list[int]:
    """The champions so far, the latest first."""
    return [event.version for event in reversed(story.events) if event.kind in MOVES]


def _champions_since(chain: Chain, settled: int, alias: str) -> set[int]:
    """The champion when an alias was settled last, and all that came after it."""
    then = chain.until(settled).of(alias).champion
    later = {link.event.version for link in chain.links if link.event and link.number > settled}
    return later | ({then} if then else set())
