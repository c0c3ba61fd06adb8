"""Moves that meet and moves that are killed, on each kind of registry."""

import threading
from pathlib import Path

import pytest
from interrupting import KilledError, interrupt
from versions import advance, champion, tags

from pipeline.base import files
from pipeline.registry import transitions
from pipeline.registry.client import again
from pipeline.registry.transitions import SETTLED, Transitions
from pipeline.registry.version import created


def test_the_alias_moves_only_from_the_version_that_was_judged_against(reg, fresh):
    advance(reg, 1, None)
    assert advance(fresh(), 2, 1)
    assert not advance(reg, 3, 1)
    assert champion(fresh()) == 2


@pytest.mark.parametrize("source", [1, None], ids=["over a champion", "of an empty registry"])
def test_many_at_once_and_one_wins(reg, fresh, source):
    """Six processes in threads, each with a registry of its own: whoever is first, all see the same afterwards."""
    if source:
        advance(reg, 1, None)
    won: dict[int, bool] = {}

    def race(number: int) -> None:
        won[number] = advance(fresh(), 2 + number % 2, source, key=str(number))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(won.values()) == 1
    chain = Transitions(fresh()).chain()
    assert len(chain.links) == (2 if source else 1)
    assert champion(fresh()) == chain.of("champion").champion
    assert set(tags(reg)) == {f"{SETTLED}.champion"}


@pytest.mark.parametrize("source", [1, None], ids=["over a champion", "of an empty registry"])
def test_on_a_database_an_old_look_moves_nothing(reg, fresh, monkeypatch, source):
    """A server has no such call: there it may, and the README says so."""
    if source:
        advance(reg, 1, None)
    late = fresh().connection
    seen = late.client.search_registered_models(f"name='{reg.name}'")
    monkeypatch.setattr(late.client._client, "search_registered_models", lambda *_, **__: seen)
    advance(reg, 2, source)
    assert late.move_alias(reg.name, "champion", source, 3) is late.is_server
    assert champion(fresh()) == (3 if late.is_server else 2)


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_leaves_what_a_rerun_completes(reg, fresh, is_after):
    advance(reg, 1, None)
    for at in range(1, 30):
        number = 2 + at % 2
        source = champion(fresh())
        killed = fresh()
        calls = interrupt(killed, at, is_after)
        try:
            advance(killed, number, source, key=str(at))
        except KilledError:
            pass
        else:
            break
        assert advance(fresh(), number, source, key=str(at)), calls.calls
        story = Transitions(fresh()).story()
        assert champion(fresh()) == number == story.champion, calls.calls
        assert {one.kind for one in story.events} == {"promoted"}, f"no move of a person: {calls.calls}"
        assert len(story.events) == at + 1
    else:
        pytest.fail("it was killed each time")
    assert at > 4


@pytest.mark.parametrize("number", [1, 3], ids=["back", "on"])
def test_a_person_who_moves_the_alias_is_noticed(reg, fresh, number):
    advance(reg, 1, None)
    advance(reg, 2, 1)
    reg._client.set_registered_model_alias(reg.name, "champion", str(number))
    story = Transitions(fresh()).settle()
    assert champion(fresh()) == story.champion == number
    assert (story.events[-1].kind, story.events[-1].source, story.events[-1].who) == ("moved", 2, transitions.SOMEONE)
    assert len(Transitions(fresh()).settle().events) == 3, "it is written down once"
    assert story.standing(2) == ("rolled back" if number == 1 else "was champion")


def test_a_version_that_waits_gets_an_alias_until_a_person_decides(reg, fresh):
    advance(reg, 1, None)
    waits = Transitions(reg).event("nominated", reg.version(2), 1, "better")
    assert Transitions(reg).append(waits)
    Transitions(reg).settle()
    aliases = reg._client.get_registered_model(reg.name).aliases
    assert {name: int(number) for name, number in aliases.items()} == {"champion": 1, "challenger": 2}
    assert Transitions(fresh()).append(Transitions(reg).event("rejected", reg.version(2), 1, "no"))
    Transitions(fresh()).settle()
    assert set(reg._client.get_registered_model(reg.name).aliases) == {"champion"}


def test_a_lost_answer_does_not_write_an_event_twice(reg, fresh, monkeypatch):
    """The call was carried out; its answer never came, and MLflow's client says that nobody answered."""
    import mlflow

    advance(reg, 1, None)
    create = reg._client.create_model_version

    def lost(*values, **named):
        create(*values, **named)
        raise mlflow.exceptions.MlflowException("502 bad gateway")

    monkeypatch.setattr(reg._client, "create_model_version", lost)
    assert advance(reg, 2, 1)
    assert len(Transitions(fresh()).chain().links) == 2
    assert champion(fresh()) == 2


def test_the_same_version_is_registered_once_by_many(fresh):
    """Of each run key one version and one run remain."""
    made: list[int] = []

    def register_one(number: int) -> None:
        mine = fresh()
        run = mine.runs.begin("same", "cycle", Path(f"scratch-{number}"))
        version = mine.create_version(run, f"runs:/{run.run_id}/model", None, {"run_key": "same"}, "card")
        mine.runs.of(version).end()
        mine.drop_seconds(version)
        mine.runs.tidy(version)
        made.append(version.number)

    threads = [threading.Thread(target=register_one, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    reg = fresh()
    (version,) = reg.all(run_key="same")
    assert set(made) == {version.number}
    reg.runs.tidy(version)
    (run,) = reg.runs._search("")
    assert run.info.run_id == version.run_id


def test_logged_models_that_no_version_names_are_deleted_with_what_made_them(reg, tmp_path):
    """Of a kill between a model and its version, and of a version that came second."""

    def logged(run_id: str) -> str:
        experiment = reg._client.get_run(run_id).info.experiment_id
        return str(reg._client.create_logged_model(experiment, source_run_id=run_id).model_id)

    run = reg.runs.begin("key", "cycle", tmp_path)
    left, mine, second = (logged(run.run_id) for _ in range(3))
    version = reg.create_version(run, f"models:/{mine}", mine, {"run_key": "key"}, "card")
    made = created({"run_key": "key"})
    reg._client.create_model_version(reg.name, f"models:/{second}", run.run_id, tags=made, model_id=second)
    reg.drop_seconds(version)
    models = {one.model_id for one in reg._client.search_logged_models([reg.runs._experiment()])}
    assert {left, mine} <= models
    assert second not in models
    reg.runs.tidy(version)
    models = {one.model_id for one in reg._client.search_logged_models([reg.runs._experiment()])}
    assert mine in models
    assert left not in models


def test_what_a_later_judgement_says_lies_beside_the_first_and_both_can_be_read(reg, tmp_path):
    run, objects = reg.runs.of(reg.version(1)), tmp_path / "objects"
    digests = []
    for text in (b"first", b"second"):
        files.write(tmp_path / "verdict.json", text)
        digest = files.sha256(text)
        run.upload(tmp_path / "verdict.json", again("data/verdict.json", digest) if digests else "data/verdict.json")
        digests.append(digest)
    found = [reg.download(run.run_id, "data/verdict.json", digest, objects).read_bytes() for digest in digests]
    assert found == [b"first", b"second"]


def test_an_alias_that_is_not_where_it_was_seen_is_not_moved(reg, fresh):
    """On a database in one statement; on a server by a look before."""
    advance(reg, 1, None)
    assert not fresh().connection.move_alias(reg.name, "champion", 2, 3)
    assert champion(fresh()) == 1
    assert fresh().connection.move_alias(reg.name, "champion", 1, 3)
    assert champion(fresh()) == 3
    assert not fresh().connection.move_alias(reg.name, "other", 1, 3)
    assert fresh().connection.move_alias(reg.name, "other", None, 2)
