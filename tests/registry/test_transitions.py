"""Moves of the champion's alias, on real databases and a real server: raced, killed, and done by people."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from interrupting import KilledError, interrupt
from versions import event, register

from pipeline.base import files
from pipeline.base.errors import RegistryError
from pipeline.registry import transitions
from pipeline.registry.chain import Story
from pipeline.registry.client import Registry
from pipeline.registry.transitions import MOVING, SETTLED, Transitions
from pipeline.settings import Params

Fresh = Callable[[], Registry]


@pytest.fixture
def fresh(registry_uri: str, settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fresh:
    """Gives the same registry as another process would see it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry_uri)
    monkeypatch.setattr(transitions, "CONFIRM", 0.0)
    return lambda: Registry(settings.resolve)


@pytest.fixture
def reg(fresh: Fresh) -> Registry:
    """A registry with three versions."""
    made = fresh()
    for key in "abc":
        register(made, key, sources=f"data-{key}", lineage=f"lineage-{key}")
    return made


def promote(reg: Registry, number: int, source: int | None, **more: str) -> bool:
    done = Transitions(reg).append(event(reg, number, source, **more))
    Transitions(reg).settle()
    return done is not None


def champion(reg: Registry) -> int | None:
    found = reg.champion()
    return found.number if found else None


def tags(reg: Registry) -> dict[str, str]:
    return dict(reg._client.get_registered_model(reg.name).tags)


def test_a_move_is_an_event_and_then_an_alias(reg, fresh):
    assert promote(reg, 1, None)
    assert promote(reg, 3, 1)
    assert champion(fresh()) == 3
    told = [(one.kind, one.source, one.version, one.data) for one in Transitions(fresh()).chain()]
    assert told == [("promoted", None, 1, "data-a"), ("promoted", 1, 3, "data-c")]
    assert tags(reg) == {f"{SETTLED}.champion": "2"}


def test_the_alias_moves_only_from_the_version_that_was_judged_against(reg, fresh):
    promote(reg, 1, None)
    assert promote(fresh(), 2, 1)
    assert not promote(reg, 3, 1)
    assert champion(fresh()) == 2


def test_a_key_is_done_once_even_after_a_person_went_back(reg, fresh):
    promote(reg, 1, None)
    assert promote(reg, 2, 1, key="once")
    back = Transitions(reg).event("rolled back", reg.version(1), 2, "it was worse")
    assert Transitions(reg).append(back)
    Transitions(reg).settle()
    assert promote(fresh(), 2, 1, key="once"), "it was done, before"
    assert champion(fresh()) == 1


def test_many_at_once_and_one_wins(reg, fresh):
    """Six processes in threads, each with a registry of its own: whoever is first, all see the same afterwards."""
    promote(reg, 1, None)
    won: dict[int, bool] = {}

    def race(number: int) -> None:
        won[number] = promote(fresh(), 2 + number % 2, 1, key=str(number))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(won.values()) == 1
    chain = Transitions(fresh()).chain()
    assert len(chain.entries) == 2
    assert champion(fresh()) == chain.of("champion").champion
    assert set(tags(reg)) == {f"{SETTLED}.champion"}


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_call_leaves_what_a_rerun_completes(reg, fresh, is_after):
    promote(reg, 1, None)
    for at in range(1, 30):
        number = 2 + at % 2
        source = champion(fresh())
        killed = fresh()
        calls = interrupt(killed, at, is_after)
        try:
            promote(killed, number, source, key=str(at))
        except KilledError:
            pass
        else:
            break
        assert promote(fresh(), number, source, key=str(at)), calls.calls
        story = Transitions(fresh()).story()
        assert champion(fresh()) == number == story.champion, calls.calls
        assert {one.kind for one in story.events} == {"promoted"}, f"no move of a person: {calls.calls}"
        assert len(story.events) == at + 1
    else:
        pytest.fail("it was killed each time")
    assert at > 4


def test_a_slow_process_that_sets_an_old_champion_late_is_no_person(reg, fresh):
    """It wrote that it is about to; it never finished."""
    promote(reg, 1, None)
    promote(reg, 2, 1)
    slow = fresh()
    slow._client.set_registered_model_tag(reg.name, f"{MOVING}.champion.abc", "1 2999-01-01T00:00:00+00:00")
    slow._client.set_registered_model_alias(reg.name, "champion", "1")
    Transitions(fresh()).settle()
    assert champion(fresh()) == 2
    assert [one.kind for one in Transitions(fresh()).chain()] == ["promoted", "promoted"]


def test_a_tag_of_a_process_that_is_long_dead_is_taken_away(reg):
    promote(reg, 1, None)
    reg._client.set_registered_model_tag(reg.name, f"{MOVING}.champion.abc", "1 2020-01-01T00:00:00+00:00")
    promote(reg, 2, 1)
    assert set(tags(reg)) == {f"{SETTLED}.champion"}


@pytest.mark.parametrize("number", [1, 3], ids=["back", "on"])
def test_a_person_who_moves_the_alias_is_noticed(reg, fresh, number):
    promote(reg, 1, None)
    promote(reg, 2, 1)
    reg._client.set_registered_model_alias(reg.name, "champion", str(number))
    story = Transitions(fresh()).settle()
    assert champion(fresh()) == story.champion == number
    assert (story.events[-1].kind, story.events[-1].source, story.events[-1].who) == ("moved", 2, transitions.SOMEONE)
    assert len(Transitions(fresh()).settle().events) == 3, "it is written down once"
    assert story.standing(2) == ("rolled back" if number == 1 else "was champion")


def test_a_person_who_moves_the_alias_while_the_pipeline_promotes_is_not_overruled(reg, fresh):
    """After the event, before the alias: what the person says is the last word."""
    promote(reg, 1, None)
    late = fresh()
    assert Transitions(late).append(event(late, 2, 1))
    reg._client.set_registered_model_alias(reg.name, "champion", "3")
    Transitions(late).settle()
    assert champion(fresh()) == 3
    assert [one.kind for one in Transitions(fresh()).chain()] == ["promoted", "promoted", "moved"]


def test_champions_of_before_there_was_a_history_are_taken_over(reg, fresh):
    for number in (1, 2):
        reg.annotate(number, {"promoted": "true"})
    reg._client.set_registered_model_alias(reg.name, "champion", "3")
    story = Transitions(fresh()).settle()
    assert [(one.kind, one.version, one.source) for one in story.events] == [
        ("began", 1, None),
        ("began", 2, 1),
        ("began", 3, 2),
    ]
    assert len(Transitions(fresh()).settle().events) == 3
    deleted = fresh()
    deleted._client.delete_model_version(reg.name, "1")
    past = Transitions(fresh()).past(1)
    assert past is not None
    assert (past.run_id, past.lineage_digest, past.sources) == (
        reg.version(2).run_id[:0] + story.events[0].run_id,
        "lineage-a",
        "data-a",
    )


@pytest.mark.usefixtures("reg")
def test_without_any_promotion_there_is_no_history_and_no_error(fresh):
    assert Transitions(fresh()).settle() == Story(())


def test_an_alias_that_is_gone_is_an_error_that_names_the_verb(reg, fresh):
    promote(reg, 1, None)
    promote(reg, 2, 1)
    reg._client.delete_registered_model_alias(reg.name, "champion")
    named = (
        r"alias champion of evergreen is gone: it named v2 last; expected a champion, for there was one, and a cycle "
        r"without one would begin anew; `python -m pipeline promote 2 --why REASON` makes a version champion \(there "
        r"are: v3, v2, v1\); to begin anew on purpose, choose another resolve.registered_model"
    )
    with pytest.raises(RegistryError, match=named):
        Transitions(fresh()).settle()
    reg._client.delete_model_version(reg.name, "2")
    with pytest.raises(RegistryError, match=r"v2, the champion, was deleted; .*promote 1 --why .*there are: v3, v1\)"):
        Transitions(fresh()).settle()
    helped = fresh()
    assert Transitions(helped).settle(without_alias=True).champion == 2
    assert Transitions(helped).append(event(helped, 1, 2))
    assert Transitions(helped).settle().champion == champion(fresh()) == 1


def test_an_alias_that_is_gone_is_an_error_in_a_registry_without_history_too(reg, fresh):
    reg.annotate(2, {"promoted": "true"})
    with pytest.raises(RegistryError, match=r"alias champion of evergreen is gone: it named v2 last"):
        Transitions(fresh()).settle()


def test_another_alias_of_the_same_model_begins_without_an_error(reg, settings, fresh):
    promote(reg, 1, None)
    other = Registry(settings.resolve.model_copy(update={"alias": "staging"}))
    assert Transitions(other).settle() == Story(())
    assert promote(other, 2, None)
    assert (champion(other), champion(fresh())) == (2, 1)


def test_a_version_that_waits_gets_an_alias_until_a_person_decides(reg, fresh):
    promote(reg, 1, None)
    waits = Transitions(reg).event("nominated", reg.version(2), 1, "better")
    assert Transitions(reg).append(waits)
    Transitions(reg).settle()
    aliases = reg._client.get_registered_model(reg.name).aliases
    assert {name: int(number) for name, number in aliases.items()} == {"champion": 1, "challenger": 2}
    assert Transitions(fresh()).append(Transitions(reg).event("rejected", reg.version(2), 1, "no"))
    Transitions(fresh()).settle()
    assert set(reg._client.get_registered_model(reg.name).aliases) == {"champion"}


@pytest.mark.parametrize(
    ("said", "kind", "now"),
    [("approved", "promoted", 2), ("Approve", "promoted", 2), ("declined", "rejected", 1), ("no", "rejected", 1)],
)
def test_a_person_may_decide_by_a_tag(reg, fresh, said, kind, now):
    promote(reg, 1, None)
    assert Transitions(reg).append(Transitions(reg).event("nominated", reg.version(2), 1, "better"))
    reg.annotate(2, {"review": said, "why": "I looked at it"})
    reg.annotate(3, {"review": "approved"})  # does not wait: nobody proved it
    story = Transitions(fresh()).settle()
    assert (story.events[-1].kind, story.events[-1].why) == (kind, "I looked at it")
    assert champion(fresh()) == story.champion == now
    assert len(Transitions(fresh()).settle().events) == 3


def test_a_lost_answer_does_not_write_an_event_twice(reg, fresh, monkeypatch):
    """The call was carried out; its answer never came, and MLflow's client says that nobody answered."""
    import mlflow

    promote(reg, 1, None)
    create = reg._client.create_model_version

    def lost(*values, **named):
        create(*values, **named)
        raise mlflow.exceptions.MlflowException("502 bad gateway")

    monkeypatch.setattr(reg._client, "create_model_version", lost)
    assert promote(reg, 2, 1)
    assert len(Transitions(fresh()).chain().entries) == 2
    assert champion(fresh()) == 2


def test_a_history_that_cannot_be_written_moves_nothing(reg, fresh, monkeypatch):
    import mlflow

    def refuse(*_, **__):
        raise mlflow.exceptions.MlflowException("no")

    monkeypatch.setattr(reg._client, "create_model_version", refuse)
    with pytest.raises(RegistryError):
        promote(reg, 1, None)
    assert champion(fresh()) is None


def test_others_that_are_always_first_are_told(reg, monkeypatch):
    promote(reg, 1, None)
    monkeypatch.setattr(transitions, "ATTEMPTS", 2)
    monkeypatch.setattr(type(Transitions(reg)), "_write", lambda *_: 99)
    monkeypatch.setattr(type(Transitions(reg)), "_drop", lambda *_: None)
    with pytest.raises(
        RegistryError, match=r"2 times others wrote into evergreen-history first; .*the alias was not moved"
    ):
        Transitions(reg).append(event(reg, 2, 1))


def test_a_no_op_reads_only(reg, fresh):
    promote(reg, 1, None)
    looking = fresh()
    calls = interrupt(looking, 1, is_after=False)
    Transitions(looking).settle()
    assert calls.calls == []


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


def test_a_workspace_finds_its_own_run_again_and_no_other(fresh, tmp_path):
    first = fresh().runs.begin("a", "cycle", tmp_path / "one").run_id
    assert fresh().runs.begin("a", "cycle", tmp_path / "one").run_id == first
    other = fresh().runs.begin("a", "cycle", tmp_path / "two").run_id
    assert other != first
    fresh()._client.delete_run(first)
    assert fresh().runs.begin("a", "cycle", tmp_path / "one").run_id not in (first, other)


def test_what_a_later_judgement_says_lies_beside_the_first_and_both_can_be_read(reg, tmp_path):
    from pipeline.registry.client import again

    run, objects = reg.runs.of(reg.version(1)), tmp_path / "objects"
    digests = []
    for text in (b"first", b"second"):
        files.write(tmp_path / "verdict.json", text)
        digest = files.sha256(text)
        run.upload(tmp_path / "verdict.json", again("data/verdict.json", digest) if digests else "data/verdict.json")
        digests.append(digest)
    found = [reg.download(run.run_id, "data/verdict.json", digest, objects).read_bytes() for digest in digests]
    assert found == [b"first", b"second"]
