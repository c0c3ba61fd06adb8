"""The outbox: who is told of which events. The history is the queue; a tag for each receiver says up to where it is.

At least once: a tag is only set after the receiver has the event, so nothing is lost whoever is killed when. An event
may come twice, with the same id. Each receiver gets them in their order; one that is down holds up nobody else.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipeline.base.errors import RegistryError
from pipeline.base.words import counted
from pipeline.registry import delivery, limits, messages
from pipeline.registry.chain import Chain, Event
from pipeline.registry.client import Registry
from pipeline.registry.delivery import DeliveryError
from pipeline.registry.events import told
from pipeline.registry.messages import Message
from pipeline.registry.receivers import Repository, Webhook
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import PREFIX

NOTIFIED = f"{PREFIX}notified"
"""Tags of the registered model, one for each alias and receiver: up to which event it has all."""


@dataclass(frozen=True)
class Patience:
    """How long receivers are waited for."""

    answer: float
    """Seconds for one answer."""
    in_all: float
    """Seconds after which no further event is sent to a receiver."""


IN_CYCLES = Patience(answer=5.0, in_all=15.0)
"""Whoever waits for a cycle does not wait long for others."""

ON_DEMAND = Patience(answer=20.0, in_all=600.0)
"""Standard Webhooks advises 15 to 30 seconds for an answer."""


@dataclass(frozen=True)
class News:
    """An event that counts, and its number in the history."""

    number: int
    event: Event

    @classmethod
    def of(cls, chain: Chain) -> "list[News]":
        """All events that count, oldest first."""
        return [cls(link.number, link.event) for link in chain.links if link.event]


@dataclass(frozen=True)
class Mark:
    """The newest event that a receiver has; all before it that concern it, it has too."""

    number: int = 0
    """0: it has none."""
    hash: str = ""
    when: str = ""

    @classmethod
    def at(cls, news: News | None) -> "Mark":
        """The mark of a receiver that has this event, and those before."""
        return cls(news.number, news.event.hash, news.event.when) if news else cls()

    @classmethod
    def read(cls, text: str) -> "Mark | None":
        """What a tag says; None if it says nothing that can be read."""
        number, hash_, when, *_ = [*text.split(), "", "", ""]
        return cls(int(number), hash_.strip("-"), when.removeprefix("-")) if number.isdecimal() else None

    def text(self, name: str) -> str:
        """As a tag has it, with the receiver's name for people, and never twice the same: MLflow would not write it."""
        now = datetime.now(UTC).isoformat()
        return limits.cut(f"{self.number} {self.hash or '-'} {self.when or '-'} {name}, noted {now}", 500)

    def late(self, history: Sequence[News]) -> list[News]:
        """Those events that a receiver has not.

        If somebody deleted or changed the history, so that its event is not there any more, what happened since counts
        as not sent, by its number or by its time: twice is better than never.
        """
        is_there = not self.number or any((one.number, one.event.hash) == (self.number, self.hash) for one in history)
        return [one for one in history if one.number > self.number or (not is_there and one.event.when >= self.when)]


@dataclass(frozen=True)
class Account:
    """How it went with one receiver."""

    receiver: Webhook | Repository
    sent: tuple[News, ...] = ()
    waiting: tuple[News, ...] = ()
    """Not sent, oldest first."""
    fault: str = ""
    """Why not; empty if only time was up."""


class Queue:
    """The events that one receiver is told of."""

    def __init__(self, registry: Registry, receiver: Webhook | Repository) -> None:
        self.receiver = receiver
        self._registry = registry
        self._transitions = Transitions(registry)
        self._tag = f"{NOTIFIED}.{registry.alias}.{receiver.identity}"

    def _history(self) -> list[News]:
        return News.of(self._transitions.chain())

    def _mark(self) -> Mark | None:
        return Mark.read(self._transitions.aliases().tags.get(self._tag, ""))

    def note(self, mark: Mark) -> None:
        """Say up to which event the receiver has all."""
        self._transitions.tag(self._tag, mark.text(self.receiver.name))

    def raise_to(self, news: News) -> None:
        """Say that the receiver has an event, unless another process says already that it has a later one."""
        mark = self._mark()
        if mark is None or news in mark.late([*self._history(), news]):
            self.note(Mark.at(news))

    def before(self, number: int) -> Mark:
        """The mark of a receiver that has everything before an event."""
        return Mark.at(next((one for one in reversed(self._history()) if one.number < number), None))

    def wanted(self) -> list[News]:
        """All events that the receiver wants to be told of, oldest first."""
        alias, wants = self._registry.alias, self.receiver.wants
        return [one for one in self._history() if one.event.alias == alias and wants(one.event.kind)]

    def begin(self) -> None:
        """Note where a new receiver begins: the newest event is the first that it gets."""
        if self._mark() is None and (mark := self._first()):
            self.note(mark)

    def _first(self) -> Mark | None:
        history, wanted = self._history(), self.wanted()
        if wanted:
            return self.before(wanted[-1].number)
        return Mark.at(history[-1]) if history else None

    def waiting(self) -> list[News]:
        """Those that the receiver has not, oldest first."""
        mark = self._mark() or self._first()
        late = {one.number for one in mark.late(self._history())} if mark else set()
        return [one for one in self.wanted() if one.number in late]

    def message(self, news: News) -> Message:
        """What the receiver is told of an event."""
        return messages.of(news.number, news.event, self._registry.name, told(news.event), self._registry.uri)

    def empty(self, patience: Patience) -> Account:
        """Send what waits, until all is sent or something stands in the way.

        Raises:
            RegistryError: MLflow does not answer, or what is sent could not be noted.
        """
        self.begin()
        account, until = Account(self.receiver), time.monotonic() + patience.in_all
        while True:
            sent = {one.number for one in account.sent}
            waiting = tuple(one for one in self.waiting() if one.number not in sent)
            account = replace(account, waiting=waiting)
            if not waiting or time.monotonic() > until:
                return account
            if not sent and (mark := self._mark()):
                self.note(mark)  # whoever may not note what was sent would send the same each time
            try:
                delivery.send(self.receiver, self.message(waiting[0]), patience.answer)
            except DeliveryError as error:
                return replace(account, fault=f"{error}{self._skipping(error, waiting[0])}")
            self.raise_to(waiting[0])
            account = replace(account, sent=(*account.sent, waiting[0]))

    def _skipping(self, error: DeliveryError, news: News) -> str:
        skip = f"python -m pipeline notify --skip {news.number} --to '{self.receiver.name}'"
        return f"; mend the receiver, or leave this event out: `{skip}`" if error.is_refused else ""


def deliver(
    registry: Registry, receivers: Sequence[Webhook | Repository], verb: str, patience: Patience = IN_CYCLES
) -> list[Account]:
    """Tell receivers what they have not been told, and print how it went; whatever stands in the way is no error.

    Args:
        registry: with the history.
        receivers: who is told.
        verb: the command that does it.
        patience: how long it may take.
    """
    accounts: list[Account] = []
    for receiver in receivers:
        try:
            accounts.append(Queue(registry, receiver).empty(patience))
        except RegistryError as error:  # and so for all others
            names = ", ".join(one.name for one in receivers[len(accounts) :])
            print(
                f"{verb}: warning: it cannot be looked up or noted which events {names} has: {error}; what was sent "
                "already may come again, with the same id"
            )
            return [*accounts, *(Account(one, fault=str(error)) for one in receivers[len(accounts) :])]
        _tell(verb, accounts[-1])
    return accounts


def _tell(verb: str, account: Account) -> None:
    """Print how it went."""
    name = account.receiver.name
    for news in account.sent:
        print(f"{verb}: {name} has event {news.number}: {told(news.event)}")
    if account.waiting:
        first, more = account.waiting[0].number, len(account.waiting) - 1
        others = f" and {counted(more, 'later one')}" if more else ""
        why = account.fault or "time was up; the others are sent next time"
        print(
            f"{verb}: warning: {name} has not event {first}{others}: {why}; nothing is lost: the next `dvc repro` and "
            "`python -m pipeline notify` send it"
        )
