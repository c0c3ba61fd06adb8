"""The outbox: each receiver gets each event at least once and in order, whatever is down, killed or done twice."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from interrupting import KilledError, interrupt
from receiving import SECRET, Receiver, receiver
from versions import event, register

from pipeline.registry import delivery, outbox, transitions
from pipeline.registry.chain import Event
from pipeline.registry.client import Registry
from pipeline.registry.outbox import NOTIFIED, Account, Mark, News, Patience, Queue
from pipeline.registry.receivers import Webhook
from pipeline.registry.transitions import Transitions
from pipeline.settings import Params

Fresh = Callable[..., Registry]


@pytest.fixture
def here(settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Fresh]:
    """Gives a registry as another process would see it, by its address."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    monkeypatch.setattr(transitions, "CONFIRM", 0.0)
    monkeypatch.setattr(delivery, "PAUSE", 0.01)

    def at(uri: str) -> Fresh:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return lambda memory=None: Registry(settings.resolve, memory)

    return at


@pytest.fixture
def fresh(here: Callable[[str], Fresh], empty_database: Path, tmp_path: Path) -> Fresh:
    return here(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}")


@pytest.fixture
def running() -> Iterator[Receiver]:
    with receiver() as mine:
        yield mine


def hook(running: Receiver, **more: str) -> Webhook:
    return Webhook(**{"url": f"{running.url}/moved", "secret_env": "HOOK_SECRET", **more})


def with_versions(reg: Registry) -> Registry:
    for key in "abc":
        register(reg, key, sources=f"data-{key}", lineage=f"lineage-{key}")
    return reg


def move(reg: Registry, number: int) -> None:
    """Make a version champion."""
    story = Transitions(reg).story()
    assert Transitions(reg).append(event(reg, number, story.champion))
    Transitions(reg).settle()


def nominate(reg: Registry, number: int) -> None:
    assert Transitions(reg).append(
        Transitions(reg).event("nominated", reg.version(number), Transitions(reg).story().champion, "better")
    )


def deliver(reg: Registry, *receivers: Webhook) -> list[Account]:
    return outbox.deliver(reg, receivers, "test")


def test_each_move_is_told_once_and_in_order(fresh, running, capsys):
    reg = with_versions(fresh())
    deliver(reg, hook(running))
    assert running.got == [], "there is nothing to tell yet"
    for number in (1, 2, 3):
        move(reg, number)
        deliver(fresh(), hook(running))
    assert running.numbers == [1, 2, 3]
    told = [(got.message["type"], got.message["data"]["version_uri"]) for got in running.got]
    assert told == [("champion.promoted", f"models:/evergreen/{number}") for number in (1, 2, 3)]
    assert [got.id for got in running.got] == [one.hash for one in Transitions(reg).chain()]
    assert "has event 3: " in capsys.readouterr().out
    deliver(fresh(), hook(running))
    assert len(running.got) == 3


def test_nothing_is_lost_while_a_receiver_is_down_and_another_one_goes_on(fresh, running, capsys):
    reg = with_versions(fresh())
    with receiver() as other:
        both = (hook(running), hook(other))
        move(reg, 1)
        deliver(reg, *both)
        running.answer = lambda _: 503
        for number in (2, 3, 2):
            move(reg, number)
            account, _ = deliver(fresh(), *both)
            assert account.waiting[0].number == 2
        assert other.numbers == [1, 2, 3, 4]
        said = capsys.readouterr().out
        name = both[0].name
        assert (
            f"test: warning: {name} has not event 2 and 2 later ones: it is not well, or busy (503); expected an "
            "answer, 2xx; nothing is lost: the next `dvc repro` and `python -m pipeline notify` send it\n"
        ) in said
        running.answer = lambda _: 200
        running.got.clear()
        deliver(fresh(), *both)
        assert running.numbers == [2, 3, 4]
        assert other.numbers == [1, 2, 3, 4]


def test_a_receiver_that_comes_later_begins_with_the_newest_event(fresh, running):
    reg = with_versions(fresh())
    for number in (1, 2, 3):
        move(reg, number)
    deliver(fresh(), hook(running))
    assert running.numbers == [3]


def test_a_new_receiver_that_is_down_loses_nothing_from_its_first_event_on(fresh, running):
    reg = with_versions(fresh())
    move(reg, 1)
    move(reg, 2)
    running.answer = lambda _: 500
    deliver(fresh(), hook(running))
    move(reg, 3)
    running.answer = lambda _: 200
    running.got.clear()
    deliver(fresh(), hook(running))
    assert running.numbers == [2, 3]


def test_champions_of_before_there_was_a_history_are_no_news(fresh, running):
    reg = with_versions(fresh())
    reg.annotate(1, {"promoted": "true"})
    reg._client.set_registered_model_alias(reg.name, "champion", "2")
    Transitions(reg).settle()
    deliver(reg, hook(running))
    assert running.got == []
    for number in (3, 1):  # two before the next look
        move(reg, number)
    deliver(fresh(), hook(running))
    assert running.numbers == [3, 4]


def test_a_move_by_hand_is_told_too(fresh, running):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    reg._client.set_registered_model_alias(reg.name, "champion", "3")
    moved = fresh()
    Transitions(moved).settle()
    deliver(moved, hook(running))
    assert running.got[-1].message["type"] == "champion.moved"


def test_who_wants_all_is_told_what_waits_too(fresh, running):
    reg = with_versions(fresh())
    with receiver() as other:
        both = (hook(running), hook(other, events="all"))
        move(reg, 1)
        deliver(reg, *both)
        nominate(reg, 2)
        assert Transitions(reg).append(Transitions(reg).event("rejected", reg.version(2), 1, "no"))
        deliver(reg, *both)
        assert running.numbers == [1]
        assert other.numbers == [1, 2, 3]
        assert [got.message["type"] for got in other.got[1:]] == ["challenger.nominated", "challenger.rejected"]


def test_another_alias_is_another_queue(fresh, running, settings):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    other = Registry(settings.resolve.model_copy(update={"alias": "staging"}))
    assert Transitions(other).append(event(other, 2, None))
    Transitions(other).settle()
    deliver(other, hook(running))
    deliver(fresh(), hook(running))
    assert running.numbers == [1, 2]
    assert running.got[1].message["data"]["alias_uri"] == "models:/evergreen@staging"


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_write_loses_nothing(fresh, running, is_after):
    reg = with_versions(fresh())
    move(reg, 1)
    move(reg, 2)
    for at in range(1, 20):
        number = 1 + at % 3
        move(reg, number)
        killed = fresh()
        interrupt(killed, at, is_after)
        try:
            deliver(killed, hook(running))
        except KilledError:
            pass
        else:
            break
        deliver(fresh(), hook(running))
        assert running.numbers[-1] == Transitions(reg).chain().number
    first = list(dict.fromkeys(running.numbers))
    assert first == sorted(first)
    assert first == list(range(first[0], Transitions(reg).chain().number + 1)), "none is left out"
    assert at > 2


def test_a_kill_between_the_answer_and_the_note_sends_the_same_again(fresh, running):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    move(reg, 2)
    killed = fresh()
    interrupt(killed, 2, is_after=False)  # the first call tries whether it may note anything
    with pytest.raises(KilledError):
        deliver(killed, hook(running))
    deliver(fresh(), hook(running))
    assert running.numbers == [1, 2, 2]
    assert running.got[1].id == running.got[2].id
    assert running.got[1].body == running.got[2].body


def test_many_at_once_lose_nothing_and_keep_the_order(here, registry_uri, running):
    """On each kind of registry: two that deliver while events come in."""
    fresh = here(registry_uri)
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    running.answer = lambda _: time.sleep(0.01) or 200
    ended = threading.Event()

    def go_on() -> None:
        mine = fresh()
        while not ended.is_set():
            deliver(mine, hook(running))

    threads = [threading.Thread(target=go_on) for _ in range(2)]
    for one in threads:
        one.start()
    writer = fresh()
    for number in (2, 3):
        move(writer, number)
    ended.set()
    for one in threads:
        one.join()
    while deliver(fresh(), hook(running))[0].sent:
        pass
    chain = Transitions(fresh()).chain()
    assert list(dict.fromkeys(running.numbers)) == [link.number for link in chain.links]
    assert {got.id for got in running.got} == {one.hash for one in chain}


def forbid_tags(reg: Registry) -> None:
    """Let the database refuse tags, as it does whoever may only read."""
    from sqlalchemy import create_engine, text

    with create_engine(reg.uri).begin() as connection:
        for change in ("insert", "update"):
            connection.execute(
                text(
                    f"create trigger no_{change} before {change} on registered_model_tags "
                    "begin select raise(abort, 'read only'); end"
                )
            )


def test_whoever_may_not_write_sends_nothing(fresh, running, capsys):
    """Else it would send the same each time."""
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    move(reg, 2)
    forbid_tags(reg)
    (account,) = deliver(fresh(), hook(running))
    assert running.numbers == [1]
    assert account.fault
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(
        f"test: warning: it cannot be looked up or noted which events {hook(running).name} has: the "
    )
    assert "read only" in said
    assert said.endswith("what was sent already may come again, with the same id")


@pytest.mark.usefixtures("fresh")
def test_a_registry_that_is_not_there_is_a_warning(running, settings, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    accounts = deliver(Registry(settings.resolve), hook(running), hook(running, url=f"{running.url}/other"))
    assert all(account.fault for account in accounts)
    assert len(accounts) == 2
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"test: warning: it cannot be looked up or noted which events {hook(running).name}, ")


def test_a_receiver_that_is_slow_is_sent_the_rest_next_time(fresh, running, capsys):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    for number in (2, 3, 1):
        move(reg, number)
    running.answer = lambda _: time.sleep(0.2) or 200
    account = Queue(fresh(), hook(running)).empty(Patience(answer=5.0, in_all=0.1))
    assert [one.number for one in account.sent] == [2]
    assert [one.number for one in account.waiting] == [3, 4]
    outbox.deliver(fresh(), [hook(running)], "test", Patience(answer=5.0, in_all=0.1))
    assert "has not event 4: time was up; the others are sent next time; nothing is lost" in capsys.readouterr().out


def test_without_anything_to_tell_a_no_op_asks_nothing_anew(fresh, running, tmp_path, monkeypatch):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    memory = tmp_path / "registry.json"
    settled = fresh(memory)
    Transitions(settled).settle()
    deliver(settled, hook(running))
    again = fresh(memory)
    monkeypatch.setattr(type(again.connection), "client", property(lambda _: pytest.fail("MLflow was asked")))
    Transitions(again).settle()
    deliver(again, hook(running))
    assert len(running.got) == 1


def test_tags_of_receivers_do_not_disturb_the_alias(fresh, running):
    reg = with_versions(fresh())
    move(reg, 1)
    deliver(reg, hook(running))
    tags = {name: value for name, value in Transitions(fresh()).aliases().tags.items() if name.startswith(NOTIFIED)}
    ((name, value),) = tags.items()
    assert name == f"{NOTIFIED}.champion.{hook(running).identity}"
    newest = News.of(Transitions(reg).chain())[-1]
    assert value.startswith(f"1 {newest.event.hash} {newest.event.when} {hook(running).name}, noted 20")
    move(reg, 2)
    assert fresh().champion() == reg.version(2)


def news(number: int, day: int) -> News:
    when = f"2026-01-{day:02}T00:00:00+00:00"
    return News(number, Event(kind="moved", alias="champion", version=number, source=None, when=when, who="", why=""))


def test_a_history_that_was_deleted_and_begun_anew_is_told_from_its_beginning():
    """Its numbers are lower than the one that the receiver had."""
    mark = Mark.at(news(9, 5))
    anew = [news(1, 6), news(2, 7)]
    assert mark.late(anew) == anew


def test_a_history_in_which_the_last_event_told_was_deleted_goes_on():
    mark = Mark.at(news(3, 5))
    left = [news(1, 1), news(2, 4), news(4, 6)]
    assert mark.late(left) == [left[2]]


@pytest.mark.parametrize("text", ["", "x", "-1", "9a abc", "²"])
def test_a_tag_that_somebody_wrote_over_is_none(text):
    assert Mark.read(text) is None


def test_what_a_tag_says_is_read_again():
    for mark in (Mark(), Mark.at(news(3, 5))):
        assert Mark.read(mark.text("a b c")) == mark
    assert Mark.read("7") == Mark(7)
