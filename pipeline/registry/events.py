"""Events: the history of a registered model, read and added to.

MLflow has one thing that happens once: a version gets a number that no other one gets, together with its tags. So each
event (`registry.chain`) is a version of a registered model of its own, NAME-history.
"""

import random
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pipeline.base import actor
from pipeline.base.errors import RegistryError
from pipeline.registry import limits
from pipeline.registry.chain import MOVES, Chain, Event, Kind, Link, Story
from pipeline.registry.client import Registry
from pipeline.registry.version import PREFIX, Version, created, numbered

EVENT = f"{PREFIX}event"
"""Tag of a version of the history: the event."""

PAGE = 200
"""Events that are asked for at once."""

ATTEMPTS = 60
"""How often an event is tried to be added while others add theirs. One of all those who try succeeds each time."""

SHOWN = 200
"""Characters of a reason that are shown; `history --json` has all that are kept."""

WHY = 500
"""Characters of a reason that are kept: an event has to fit into a tag."""


class Events:
    """The history of one alias of a registered model."""

    def __init__(self, registry: Registry) -> None:
        """The history of the champion's alias of a registry."""
        self.history = f"{registry.name}-history"
        self._registry = registry
        self._connection = registry.connection
        self._name = registry.name
        self._alias = registry.alias
        self._chain = Chain()
        self._read_to = 0

    @property
    def _client(self) -> Any:
        return self._connection.client

    def chain(self, is_fresh: bool = False) -> Chain:
        """All events, as far as they can be read now.

        Args:
            is_fresh: whether to read those anew that are known already.
        """
        if is_fresh:
            self._chain, self._read_to = Chain(), 0
        links = self._links(self._read_to)
        if links:
            self._read_to = links[-1].number
            self._chain = self._chain.extended(links)
        return self._chain

    def story(self) -> Story:
        """What happened to this alias."""
        return self.chain().of(self._alias)

    def _links(self, after: int) -> list[Link]:
        def ask() -> list[list[Any]]:
            condition = f"name='{self.history}' and version_number > {after}"
            found: list[list[Any]] = []
            token = None
            while True:
                page = self._client.search_model_versions(
                    condition, max_results=PAGE, order_by=["version_number ASC"], page_token=token
                )
                found += [[int(one.version), dict(one.tags).get(EVENT, "")] for one in page]
                token = page.token
                if not token:
                    return found

        answer = self._registry.remembered(["events", self.history, after], ask)
        return [Link(number, _read(text)) for number, text in answer]

    def past(self, number: int) -> Version | None:
        """A version by its number, as far as the history knows it if it was deleted; None if nothing does."""
        if found := self._registry.find(number):
            return found
        event = self.story().last(number)
        if event is None or not event.lineage:
            return None
        tags = {"lineage": event.lineage, "sources": event.data, "run_key": event.run_key}
        return Version(number, event.run_id, created(tags))

    def append(self, event: Event) -> Event | None:
        """Add an event, if the champion is the one that it names; the same key is never added twice.

        Args:
            event: has a key and no `previous`. Of a move, `source` is the champion that was seen.

        Returns:
            The event as it stands in the history, now or before; None if there is another champion by now.

        Raises:
            RegistryError: MLflow does not answer, or too many others write at the same time.
        """
        error: RegistryError | None = None
        for attempt in range(ATTEMPTS):
            chain = self.chain()
            if done := _by_key(chain, event.key):
                return done
            if event.kind in MOVES and chain.of(event.alias).champion != event.source:
                return None
            if error and attempt > 3:
                raise error
            try:
                number = self._write(replace(event, previous=chain.head))
            except RegistryError as failed:  # MLflow may have done it all the same: it is looked for again
                error = failed
                _pause(attempt)
                continue
            if _by_key(self.chain(), event.key) is None:
                self._drop(number)
                _pause(attempt)
        raise RegistryError(
            f"{ATTEMPTS} times others wrote into {self.history} first; expected to be among the first once; the "
            "alias was not moved; run the same again"
        )

    def _write(self, event: Event) -> int:
        """Make a version of the history of an event; gives its number."""
        with self._connection.reach():
            self._connection.make_model(
                self.history,
                f"What happened to the alias {self._alias} of {self._name}, an event each. Append-only: do not delete "
                "or edit; `python -m pipeline history` reads it, `verify` checks it.",
            )
            created = self._client.create_model_version(
                self.history,
                f"models:/{self._name}/{event.version}",
                event.run_id or None,
                tags={EVENT: event.to_json()},
                description=limits.cut(told(event), limits.DESCRIPTION),
            )
        return int(created.version)

    def _drop(self, number: int) -> None:
        """Take away an event that came second."""
        with self._connection.reach():
            self._client.delete_model_version(self.history, str(number))

    def event(self, kind: Kind, version: Version, source: int | None, why: str, **more: Any) -> Event:
        """An event of now, by whoever runs this; a key of its own unless one is given."""
        return Event(
            **{"who": actor.name(), "key": uuid.uuid4().hex, "decision": version.verdict} | more,
            kind=kind,
            alias=self._alias,
            version=version.number,
            source=source,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=limits.cut(why, WHY),
            run_id=version.run_id or "",
            lineage=version.lineage_digest or "",
            data=version.sources,
            run_key=version.run_key,
        )


def told(event: Event) -> str:
    """An event in a sentence, as the MLflow UI and `history` show it."""
    source = numbered(event.source)
    if event.source == event.version and event.kind in MOVES:
        source = "none: its alias was gone"
    what = {
        "began": f"the history began; champion is v{event.version}",
        "nominated": f"v{event.version} waits for a person; champion is {source}",
        "promoted": f"v{event.version} became champion in place of {source}",
        "rejected": f"v{event.version} was rejected; champion is {source}",
        "rolled back": f"champion went back from {source} to v{event.version}",
        "moved": f"someone moved the alias from {source} to v{event.version} in MLflow",
    }[event.kind]
    return f"{event.when}: {what}; by {event.who}: {limits.cut(event.why, SHOWN)}"


def _by_key(chain: Chain, key: str) -> Event | None:
    return next((event for event in chain if event.key == key), None) if key else None


def _read(text: str) -> Event | None:
    try:
        return Event.from_json(text)
    except ValueError:
        return None


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, min(0.02 * 2**attempt, 1.0)))  # noqa: S311 - so that two do not meet again
