"""Tell receivers of the moves of the alias that they have not been told of."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.base import params as parameters
from pipeline.base import project
from pipeline.base.errors import ParamsError, RegistryError
from pipeline.base.words import counted
from pipeline.registry import delivery, outbox
from pipeline.registry.client import Registry
from pipeline.registry.delivery import DeliveryError
from pipeline.registry.outbox import ON_DEMAND, Mark, News, Queue
from pipeline.registry.transitions import Transitions
from pipeline.settings import Params

EXAMPLE = "python -m pipeline notify --again 7"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--dry-run", action="store_true", help="show what would be sent, as JSON; nothing is changed")
    numbers = parser.add_mutually_exclusive_group()
    numbers.add_argument("--since", type=_number, metavar="NUMBER", help="send this event and all later ones anew")
    numbers.add_argument("--again", type=_number, metavar="NUMBER", help="send this event anew, and no other")
    numbers.add_argument("--skip", type=_number, metavar="NUMBER", help="leave out this event, which is next")
    parser.add_argument("--to", metavar="NAME", default="", help="only receivers whose name has this in it")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of an event; `history --json` lists them")
    return int(text)


def run(dry_run: bool, since: int | None, again: int | None, skip: int | None, to: str, params: Path) -> int:
    """Tell receivers of the moves of the alias that they have not been told of.

    They stand in promote.notify. Cycles and verbs do the same; this is for whoever does not wait for the next one, such
    as cron. What a person did in MLflow is noticed first. Exit code 5 while something is not delivered.
    """
    settings = parameters.load(params, Params)
    receivers = [one for one in settings.promote.notify if to in one.name]
    if not settings.promote.notify:
        print("notify: promote.notify names no receiver; nothing to do")
        return 0
    if not receivers:
        names = ", ".join(one.name for one in settings.promote.notify)
        raise ParamsError(f"--to {to} fits no receiver of promote.notify; expected a part of one of: {names}")
    registry = Registry(settings.resolve)
    queues = [Queue(registry, receiver) for receiver in receivers]
    if dry_run:
        return _shown(queues, since, again, skip)
    _notice(registry)
    if again:
        return _sent_again(queues, again)
    for queue, mark in [(queue, _mark(queue, since, skip)) for queue in queues]:
        if mark:
            queue.note(mark)
    accounts = outbox.deliver(registry, receivers, "notify", ON_DEMAND)
    late = [account.receiver.name for account in accounts if account.waiting or account.fault]
    if late:
        raise RegistryError(
            f"{', '.join(late)} could not be told all, for the reasons above; expected each receiver to have all "
            "events; nothing is lost; mend what stands in the way, then run the same again"
        )
    print(f"notify: {counted(len(receivers), 'receiver')}: all events delivered")
    return 0


def _notice(registry: Registry) -> None:
    """Write down what people did in MLflow; if that is refused, what is written already is sent all the same."""
    try:
        Transitions(registry).settle()
    except RegistryError as error:
        print(f"notify: warning: {error}")


def _found(queue: Queue, number: int) -> News:
    wanted = queue.wanted()
    if found := next((news for news in wanted if news.number == number), None):
        return found
    numbers = ", ".join(str(news.number) for news in wanted[-10:]) or "none"
    raise RegistryError(
        f"the history has no event {number} that {queue.receiver.name} is told of; expected one of the newest: "
        f"{numbers}; `python -m pipeline history --json` lists all; nothing was sent"
    )


def _mark(queue: Queue, since: int | None, skip: int | None) -> Mark | None:
    """What the receiver is to count as having; None if that is not to be changed."""
    if since:
        return queue.before(_found(queue, since).number)
    if not skip:
        return None
    news, waiting = _found(queue, skip), queue.waiting()
    if not waiting or waiting[0] != news:
        following = f"event {waiting[0].number}" if waiting else "none"
        raise RegistryError(
            f"event {skip} is not the next one for {queue.receiver.name}, which is {following}; expected that one: "
            "what comes later may still be delivered; nothing was changed"
        )
    return Mark.at(news)


def _sent_again(queues: Sequence[Queue], number: int) -> int:
    """Send an event whatever was sent before; what waits goes on waiting."""
    found = [(queue, _found(queue, number)) for queue in queues]
    faults = []
    for queue, news in found:
        try:
            delivery.send(queue.receiver, queue.message(news), ON_DEMAND.answer)
            print(f"notify: {queue.receiver.name} has event {number} again")
        except DeliveryError as error:
            faults.append(f"{queue.receiver.name}: {error}")
    if faults:
        raise RegistryError(f"event {number} was not delivered again: {'; '.join(faults)}; then run the same again")
    return 0


def _shown(queues: Sequence[Queue], since: int | None, again: int | None, skip: int | None) -> int:
    for queue in queues:
        waiting = queue.waiting()
        if since:
            waiting = [news for news in queue.wanted() if news.number >= _found(queue, since).number]
        if again:
            waiting = [_found(queue, again)]
        for news in waiting:
            if news.number != skip:
                message = queue.message(news)
                print(f"notify: event {news.number} to {queue.receiver.name}, id {message.id}:")
                print(json.dumps(message.body, indent=1))
        if not waiting:
            print(f"notify: {queue.receiver.name} has all events")
    return 0
