"""Moves of the champion's alias: by the pipeline, by people, and what others left; test_races.py has many at once."""

import pytest
from interrupting import interrupt
from versions import advance, champion, event, tags

from pipeline.base.errors import RegistryError
from pipeline.registry import events
from pipeline.registry.chain import Story
from pipeline.registry.client import Registry
from pipeline.registry.transitions import MOVING, SETTLED, Transitions

pytestmark = pytest.mark.parametrize("registry_uri", ["sqlite"], indirect=True)


def test_a_move_is_an_event_and_then_an_alias(reg, fresh):
    assert advance(reg, 1, None)
    assert advance(reg, 3, 1)
    assert champion(fresh()) == 3
    told = [(one.kind, one.source, one.version, one.data) for one in Transitions(fresh()).chain()]
    assert told == [("promoted", None, 1, "data-a"), ("promoted", 1, 3, "data-c")]
    assert tags(reg) == {f"{SETTLED}.champion": "2"}


def test_a_key_is_done_once_even_after_a_person_went_back(reg, fresh):
    advance(reg, 1, None)
    assert advance(reg, 2, 1, key="once")
    back = Transitions(reg).event("rolled back", reg.version(1), 2, "it was worse")
    assert Transitions(reg).append(back)
    Transitions(reg).settle()
    assert advance(fresh(), 2, 1, key="once"), "it was done, before"
    assert champion(fresh()) == 1


def test_a_slow_process_that_sets_an_old_champion_late_is_no_person(reg, fresh):
    """It wrote that it is about to; it never finished."""
    advance(reg, 1, None)
    advance(reg, 2, 1)
    slow = fresh()
    slow._client.set_registered_model_tag(reg.name, f"{MOVING}.champion.abc", "1 2999-01-01T00:00:00+00:00")
    slow._client.set_registered_model_alias(reg.name, "champion", "1")
    Transitions(fresh()).settle()
    assert champion(fresh()) == 2
    assert [one.kind for one in Transitions(fresh()).chain()] == ["promoted", "promoted"]


def test_a_tag_of_a_process_that_is_long_dead_is_taken_away(reg):
    advance(reg, 1, None)
    reg._client.set_registered_model_tag(reg.name, f"{MOVING}.champion.abc", "1 2020-01-01T00:00:00+00:00")
    advance(reg, 2, 1)
    assert set(tags(reg)) == {f"{SETTLED}.champion"}


def test_a_person_who_moves_the_alias_while_the_pipeline_promotes_is_not_overruled(reg, fresh):
    """After the event, before the alias: what the person says is the last word."""
    advance(reg, 1, None)
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
    advance(reg, 1, None)
    advance(reg, 2, 1)
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
    advance(reg, 1, None)
    other = Registry(settings.resolve.model_copy(update={"alias": "staging"}))
    assert Transitions(other).settle() == Story(())
    assert advance(other, 2, None)
    assert (champion(other), champion(fresh())) == (2, 1)


@pytest.mark.parametrize(
    ("said", "kind", "now"),
    [("approved", "promoted", 2), ("Approve", "promoted", 2), ("declined", "rejected", 1), ("Rejected", "rejected", 1)],
)
def test_a_person_may_decide_by_a_tag(reg, fresh, said, kind, now):
    advance(reg, 1, None)
    assert Transitions(reg).append(Transitions(reg).event("nominated", reg.version(2), 1, "better"))
    reg.annotate(2, {"review": said, "why": "I looked at it"})
    reg.annotate(3, {"review": "approved"})  # does not wait: nobody proved it
    story = Transitions(fresh()).settle()
    assert (story.events[-1].kind, story.events[-1].why) == (kind, "I looked at it")
    assert champion(fresh()) == story.champion == now
    assert len(Transitions(fresh()).settle().events) == 3


def test_a_history_that_cannot_be_written_moves_nothing(reg, fresh, monkeypatch):
    import mlflow

    def refuse(*_, **__):
        raise mlflow.exceptions.MlflowException("no")

    monkeypatch.setattr(reg._client, "create_model_version", refuse)
    with pytest.raises(RegistryError):
        advance(reg, 1, None)
    assert champion(fresh()) is None


def test_others_that_are_always_first_are_told(reg, monkeypatch):
    advance(reg, 1, None)
    monkeypatch.setattr(events, "ATTEMPTS", 2)
    monkeypatch.setattr(type(Transitions(reg)), "_write", lambda *_: 99)
    monkeypatch.setattr(type(Transitions(reg)), "_drop", lambda *_: None)
    with pytest.raises(
        RegistryError, match=r"2 times others wrote into evergreen-history first; .*the alias was not moved"
    ):
        Transitions(reg).append(event(reg, 2, 1))


def test_a_no_op_reads_only(reg, fresh):
    advance(reg, 1, None)
    looking = fresh()
    calls = interrupt(looking, 1, is_after=False)
    Transitions(looking).settle()
    assert calls.calls == []


def test_a_workspace_finds_its_own_run_again_and_no_other(fresh, tmp_path):
    first = fresh().runs.begin("a", "cycle", tmp_path / "one").run_id
    assert fresh().runs.begin("a", "cycle", tmp_path / "one").run_id == first
    other = fresh().runs.begin("a", "cycle", tmp_path / "two").run_id
    assert other != first
    fresh()._client.delete_run(first)
    assert fresh().runs.begin("a", "cycle", tmp_path / "one").run_id not in (first, other)


def test_a_tag_that_decides_nothing_is_told(reg, fresh, capsys):
    advance(reg, 1, None)
    assert Transitions(reg).append(Transitions(reg).event("nominated", reg.version(2), 1, "better"))
    reg.annotate(2, {"review": "aproved"})
    assert Transitions(fresh()).settle().is_waiting(2)
    said = "warning: tag evergreen.review of v2 says 'aproved', which decides nothing; expected approved or declined"
    assert said in capsys.readouterr().out


def test_the_remedy_for_a_lost_alias_names_no_version_that_was_declined(reg, fresh):
    advance(reg, 1, None)
    advance(reg, 3, 1)
    assert Transitions(reg).append(Transitions(reg).event("rolled back", reg.version(1), 3, "worse"))
    Transitions(reg).settle()
    reg._client.delete_model_version(reg.name, "1")
    with pytest.raises(RegistryError, match=r"v1, the champion, was deleted; .*promote 2 --why REASON"):
        Transitions(fresh()).settle()
