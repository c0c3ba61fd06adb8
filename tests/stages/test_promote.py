"""The stage promote: once, whatever ends it, whoever else promotes, and whatever people decide meanwhile."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interrupting import Interrupted, KilledError
from project import Done, MadeOnce, Project, pictures

from pipeline.registry import promotion, transitions
from pipeline.registry.connection import Connection
from pipeline.registry.version import created


@pytest.fixture
def judged(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose second challenger beat v1, the champion, and is to be promoted."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.add("second", pictures(range(100, 120), "cat", "dog"))
        done = project.upto("evaluate")
        assert done.code == 0, done.err
        decide(project, "promote")

    return made_once("judged", make).copy(tmp_path / "clone")


def decide(project: Project, decision: str) -> None:
    """Let the verdict be another one."""
    path = project.root / "data/cycle/evaluation/verdict.json"
    path.write_text(json.dumps(project.space.read("evaluation/verdict.json") | {"decision": decision}))


def champion(project: Project) -> int:
    return int(project.mlflow.get_model_version_by_alias("evergreen", "champion").version)


def tags(project: Project, number: int) -> dict[str, str]:
    return project.tags(number)


def card(project: Project, number: int) -> str:
    return str(project.mlflow.get_model_version("evergreen", str(number)).description)


def kinds(project: Project) -> list[tuple[str, int]]:
    """The history: what happened to which version."""
    done = project.call("history", "--json")
    assert done.code == 0, done.err
    return [(event["kind"], event["version"]) for event in json.loads(done.out)]


def promote(project: Project) -> Done:
    done = project.run("promote")
    assert done.code == 0, done.err
    return done


def test_a_challenger_that_beat_the_champion_is_promoted_once(judged: Project) -> None:
    assert "v2 is the new champion" in promote(judged).out
    assert champion(judged) == 2
    assert judged.space.read("promotion.json")["promoted"]
    assert kinds(judged) == [("promoted", 1), ("promoted", 2)]
    assert (tags(judged, 2)["standing"], tags(judged, 1)["standing"]) == ("champion", "was champion")
    assert "**Decided**: v2 is the new champion (by the verdict, " in card(judged, 2)
    assert "**Decided**: v1 was champion until a better one came\n" in card(judged, 1)
    assert judged.artifact(2, "card.md").read_text().startswith("promoted: ")
    judged.run("resolve")
    assert "nothing to do: v2 is registered with this verdict" in promote(judged).out


def test_a_champion_that_would_not_be_promoted_any_more_is_told(judged: Project) -> None:
    promote(judged)
    decide(judged, "reject")
    told = "by today's verdict it would not be promoted: `python -m pipeline rollback 1 --why REASON` takes it back"
    assert told in promote(judged).out
    assert champion(judged) == 2, "people decide that"
    assert judged.artifact(2, "data/verdict.json").is_file()
    assert '"decision": "promote"' in judged.artifact(2, "data/verdict.json").read_text(), "the first one stays"
    done = judged.call("explain", "2")
    assert "v2 against v1, the champion: reject" in done.out, "and the new one counts"


def test_a_loser_is_judged_again_by_the_next_cycle_without_training(
    judged: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person moves the alias during the upload; that is not overwritten."""
    upload = promotion.upload

    def slow(*arguments: Any) -> str:
        digest = upload(*arguments)
        run_id = judged.mlflow.get_model_version("evergreen", "1").run_id
        source = judged.mlflow.get_model_version("evergreen", "1").source
        made = created(judged.tags(1) | {"run_key": "other"})
        other = judged.mlflow.create_model_version("evergreen", source, run_id, tags=made)
        judged.mlflow.set_registered_model_alias("evergreen", "champion", other.version)
        return digest

    monkeypatch.setattr(promotion, "upload", slow)
    done = promote(judged)
    due = (
        "v3 keeps its verdict, but that is about v1, and champion is v2 by now; it is due for a new judgement: run "
        "`dvc repro` again, which judges it against v2 without training"
    )
    assert due in done.out
    assert champion(judged) == 2
    assert not judged.space.read("promotion.json")["promoted"]
    assert tags(judged, 3)["promoted"] == "false"
    assert kinds(judged) == [("promoted", 1), ("moved", 2)]
    again = judged.upto("promote")
    assert again.code == 0, again.err
    assert "v3 is due for a new judgement, against v2; nothing is trained" in again.out
    assert "nothing to train, v3 was trained from the same inputs" in again.out
    assert "against v2" in again.out
    assert tags(judged, 3)["rival"] == "2"
    settled = judged.run("resolve", "promote")
    assert "due" not in settled.out
    assert "nothing to do" in settled.out


def killed(project: Project, call: str, turn: int, is_after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill promote at the n-th call of this name."""
    real = Connection.__dict__["client"].func

    class Named(Interrupted):
        WRITES = (call,)

    with monkeypatch.context() as patch:
        made: list[Named] = []

        def client(connection: Connection) -> Any:
            if not made:
                made.append(Named(real(connection), turn, is_after))
            return made[0]

        patch.setattr(Connection, "client", property(client))
        with pytest.raises(KilledError):
            project.run("promote")


@pytest.mark.parametrize(
    ("call", "turn", "is_after"),
    [
        ("create_model_version", 1, True),  # the version is there, and nothing says what became of it
        ("create_model_version", 2, True),  # the event is there, and the alias has not moved
        ("set_registered_model_tag", 2, False),  # the alias has moved, and nothing is written down beside the version
        ("set_terminated", 1, False),
        ("set_model_version_tag", 4, True),
    ],
)
def test_a_kill_is_mended_by_the_next_run(
    judged: Project, call: str, turn: int, is_after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(judged, call, turn, is_after, monkeypatch)
    done = judged.run("resolve", "promote")
    assert done.code == 0, done.err
    assert champion(judged) == 2
    assert kinds(judged) == [("promoted", 1), ("promoted", 2)]
    assert (tags(judged, 2)["promoted"], tags(judged, 2)["standing"]) == ("true", "champion")
    assert "v2 is the new champion" in card(judged, 2)
    experiment = judged.mlflow.get_experiment_by_name("evergreen")
    assert experiment is not None
    runs = judged.mlflow.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert len(judged.mlflow.search_model_versions("name='evergreen'")) == 2
    assert judged.call("verify").code == 0


def test_a_rerun_after_a_kill_does_not_undo_what_a_person_decided(
    judged: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(judged, "set_registered_model_tag", 2, False, monkeypatch)
    back = judged.call("rollback", "--why", "it was worse in the shop")
    assert back.code == 0, back.err
    assert champion(judged) == 1
    done = judged.run("resolve", "promote")
    assert done.code == 0, done.err
    assert champion(judged) == 1
    assert "v2 was rolled back by Evergreen demo <demo@example.org>" in done.out
    assert "(it was worse in the shop), and is not promoted" in done.out
    assert tags(judged, 2)["standing"] == "rolled back"


def test_two_workspaces_promote_the_same_cycle_and_one_version_remains(judged: Project, tmp_path: Path) -> None:
    """The other one began the same cycle, with a run of its own."""
    other = judged.copy(tmp_path / "other")
    registry = judged.space.env["MLFLOW_TRACKING_URI"]
    (other.root / "data/scratch/runs").joinpath(other.space.read("model/training.json")["run_key"]).unlink()
    promote(judged)
    done = other.run("promote", MLFLOW_TRACKING_URI=registry)
    assert done.code == 0, done.err
    assert "v2 is the new champion" in done.out
    versions = judged.mlflow.search_model_versions("name='evergreen'")
    assert len(versions) == 2
    experiment = judged.mlflow.get_experiment_by_name("evergreen")
    assert experiment is not None
    runs = judged.mlflow.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == {version.run_id for version in versions}
    assert kinds(judged) == [("promoted", 1), ("promoted", 2)]


def test_of_two_that_trained_the_first_ones_weights_and_verdict_count(judged: Project, tmp_path: Path) -> None:
    """Two kinds of machines differ in the last bits."""
    other = judged.copy(tmp_path / "other")
    decide(judged, "reject")
    promote(judged)
    weights = other.root / "data/cycle/model/weights.npz"
    content = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(content + b"\0")
    done = other.run("promote", MLFLOW_TRACKING_URI=judged.space.env["MLFLOW_TRACKING_URI"])
    assert done.code == 0, done.err
    assert "another workspace registered v2 of this cycle first; its verdict counts" in done.out
    assert champion(judged) == 1, "it was rejected there"
    again = other.run("resolve", "promote", MLFLOW_TRACKING_URI=judged.space.env["MLFLOW_TRACKING_URI"])
    assert "nothing to do" in again.out


@pytest.fixture
def waiting(judged: Project) -> Project:
    """Approve mode: the challenger waits."""
    judged.space.params(promote={"automatic": False})
    done = judged.run("resolve", "promote")
    assert done.code == 0, done.err
    assert "v2 waits for a person: `python -m pipeline promote 2 --why REASON` approves it" in done.out
    return judged


def test_a_version_that_waits_is_approved_and_all_say_so(waiting: Project) -> None:
    aliases = waiting.mlflow.get_registered_model("evergreen").aliases
    assert {name: int(number) for name, number in aliases.items()} == {
        "champion": 1, "champion-anchor": 1, "challenger": 2,
    }  # fmt: skip
    assert tags(waiting, 2)["standing"] == "waiting"
    waiting.space.params(promote={"automatic": True})
    again = waiting.run("resolve", "promote")
    assert "v2 waits for a person" in again.out, "to let the pipeline decide from now on decides nothing of before"
    assert champion(waiting) == 1
    done = waiting.call("promote", "v2", "--why", "looked at the losses")
    assert done.code == 0, done.err
    assert "v2 became champion in place of v1; by Evergreen demo <demo@example.org>: looked at the losses" in done.out
    assert champion(waiting) == 2
    assert (tags(waiting, 2)["promoted"], tags(waiting, 2)["standing"]) == ("true", "champion")
    assert "v2 is champion by Evergreen demo" in card(waiting, 2)
    assert set(waiting.mlflow.get_registered_model("evergreen").aliases) == {"champion", "champion-anchor"}
    assert "v2 is champion by Evergreen demo" in waiting.run("resolve", "promote").out


def test_a_version_that_waits_is_declined(waiting: Project) -> None:
    done = waiting.call("reject", "2", "--why", "the labels of that batch are wrong")
    assert done.code == 0, done.err
    assert "reject: warning: v2 was rejected by Evergreen demo <demo@example.org> (the labels of that batch" in done.out
    assert "it learned from data/images/second, which v1 did not, and that is still in the data" in done.out
    assert "to take it out: `dvc remove --outs data/images/second.dvc`, then commit" in done.out
    assert champion(waiting) == 1
    assert tags(waiting, 2)["standing"] == "rejected"
    waiting.space.params(promote={"automatic": True})
    assert "v2 was rejected by" in waiting.run("resolve", "promote").out
    assert champion(waiting) == 1


@pytest.mark.parametrize("how", ["rejected", "rolled back"])
def test_a_model_that_people_declined_stays_out_when_its_version_was_deleted(judged: Project, how: str) -> None:
    """The next cycle registers it anew, under another number; what they decided is about the model."""
    judged.space.params(promote={"automatic": how == "rolled back"})
    done = judged.run("resolve", "promote")
    assert done.code == 0, done.err
    done = judged.call(*(["reject", "2"] if how == "rejected" else ["rollback"]), "--why", "worse in the shop")
    assert done.code == 0, done.err
    judged.mlflow.delete_model_version("evergreen", "2")
    judged.space.params(promote={"automatic": True})
    for _ in range(2):
        done = judged.run("resolve", "promote")
        assert done.code == 0, done.err
        assert f"v3 is the same model as v2, which was {how} by Evergreen demo <demo@example.org> on" in done.out
        assert "and is not promoted; `python -m pipeline promote 3 --why REASON` promotes it all the same" in done.out
        assert champion(judged) == 1
    assert "is the same model as v2" in card(judged, 3)
    done = judged.call("promote", "3", "--why", "it was deleted by mistake")
    assert done.code == 0, done.err
    assert "promote: Evergreen demo <demo@example.org> declined v2, the same model, before (worse in" in done.out
    assert champion(judged) == 3
    assert "v3 is champion by Evergreen demo" in judged.run("resolve", "promote").out


def test_a_version_that_was_deleted_while_it_waited_is_in_nobodys_way(waiting: Project) -> None:
    waiting.mlflow.delete_model_version("evergreen", "2")
    assert waiting.call("verify").code == 0
    done = waiting.run("resolve", "promote")
    assert done.code == 0, done.err
    assert "v3 waits for a person" in done.out
    assert int(waiting.mlflow.get_model_version_by_alias("evergreen", "challenger").version) == 3


def test_what_waited_before_there_was_a_history_waits_on_when_the_pipeline_decides_again(waiting: Project) -> None:
    waiting.mlflow.delete_registered_model("evergreen-history")
    waiting.mlflow.delete_registered_model_alias("evergreen", "challenger")
    waiting.mlflow.delete_registered_model_tag("evergreen", "evergreen.settled.champion")
    waiting.mlflow.delete_model_version_tag("evergreen", "2", "evergreen.standing")
    waiting.space.params(promote={"automatic": True})
    done = waiting.run("resolve", "promote")
    assert done.code == 0, done.err
    assert "v2 waits for a person" in done.out
    assert champion(waiting) == 1
    assert kinds(waiting) == [("began", 1), ("nominated", 2)]


@pytest.mark.parametrize("how", ["alias", "tag"])
def test_an_approval_in_mlflow_is_learned(waiting: Project, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "CONFIRM", 0.0)
    if how == "alias":
        waiting.mlflow.set_registered_model_alias("evergreen", "champion", "2")
    else:
        waiting.mlflow.set_model_version_tag("evergreen", "2", "evergreen.review", "approved")
    history = waiting.call("history").out
    if how == "tag":
        assert "not in it: tag evergreen.review of v2 says approved, which the next `dvc repro` writes down" in history
        assert "verify: note: tag evergreen.review of v2 says approved" in waiting.call("verify").out
    else:
        assert "not in it: alias champion is v2, and the history says v1; the next `dvc repro` brings them" in history
    done = waiting.run("resolve", "promote")
    assert done.code == 0, done.err
    now = "someone moved the alias from v1 to v2 in MLflow" if how == "alias" else "v2 became champion in place of v1"
    assert f"{now}; by someone in MLflow" in next(one for one in done.out.splitlines() if "noticed" in one)
    assert champion(waiting) == 2
    assert (tags(waiting, 2)["promoted"], tags(waiting, 2)["standing"]) == ("true", "champion")
    assert "v2 is champion by someone in MLflow since" in card(waiting, 2)
    assert kinds(waiting)[-1] == ("moved" if how == "alias" else "promoted", 2)


def test_a_rollback_names_what_is_still_in_the_data_and_its_command_takes_that_out(judged: Project) -> None:
    promote(judged)
    done = judged.call("rollback", "--why", "worse in the shop")
    assert done.code == 0, done.err
    assert "champion went back from v2 to v1; by Evergreen demo <demo@example.org>: worse in the shop" in done.out
    told = (
        "v2 was rolled back by Evergreen demo <demo@example.org> (worse in the shop); it learned from "
        "data/images/second, which v1 did not, and that is still in the data"
    )
    assert f"rollback: warning: {told}" in done.out
    assert f"resolve: warning: {told}" in judged.run("resolve").out
    judged.space.dvc("remove", "--outs", "data/images/second.dvc")
    judged.space.commit("without it")
    assert "still in the data" not in judged.run("resolve").out


def test_an_alias_that_is_gone_ends_the_cycle_before_anything_is_trained(judged: Project) -> None:
    judged.mlflow.delete_registered_model_alias("evergreen", "champion")
    done = judged.run("resolve")
    assert done.code == 5
    assert "alias champion of evergreen is gone: it named v1 last" in done.err
    assert "`python -m pipeline promote 1 --why REASON` makes a version champion" in done.err
    looked = judged.call("verify")
    assert looked.code == 5
    lost = (
        "alias champion of evergreen is gone: it named v1 last; `python -m pipeline promote 1 --why REASON` makes a "
        "version champion (there are: v1)"
    )
    assert f"verify: {lost}" in looked.out
    assert f"not in it: {lost}" in judged.call("history").out
    helped = judged.call("promote", "1", "--why", "it was deleted by mistake")
    assert helped.code == 0, helped.err
    assert "v1 became champion in place of none: its alias was gone" in helped.out
    assert judged.run("resolve").code == 0
    assert champion(judged) == 1


def test_each_command_that_tells_of_a_deleted_champion_names_one_that_is_there(judged: Project) -> None:
    promote(judged)
    judged.mlflow.delete_model_version("evergreen", "2")
    told = "v2, the champion, was deleted; `python -m pipeline promote 1 --why REASON`"
    assert told in judged.call("verify").out
    assert told in judged.call("history").out
    assert judged.run("resolve").code == 5
    assert judged.call("promote", "1", "--why", "v2 was deleted").code == 0
    assert judged.run("resolve").code == 0


def test_an_anchor_that_is_gone_or_names_another_version_is_told(judged: Project) -> None:
    decide(judged, "reject")
    promote(judged)
    told = "and the best so far is v1: later versions must not fall below it (evaluate.risk); set the alias"
    judged.mlflow.set_registered_model_alias("evergreen", "champion-anchor", "2")
    assert f"verify: alias champion-anchor is v2, {told}" in judged.call("verify").out
    judged.mlflow.delete_registered_model_alias("evergreen", "champion-anchor")
    looked = judged.call("verify")
    assert looked.code == 5
    assert f"verify: alias champion-anchor is none, {told} champion-anchor to v1 in the MLflow UI\n" in looked.out
    judged.mlflow.set_registered_model_alias("evergreen", "champion-anchor", "1")  # as it says
    assert judged.call("verify").code == 0


def test_a_parent_that_was_deleted_costs_nothing(judged: Project) -> None:
    promote(judged)
    judged.run("resolve")
    pins = {name: (judged.root / f"data/cycle/{name}.json").read_bytes() for name in ("parent", "champion")}
    judged.mlflow.delete_model_version("evergreen", "1")
    done = judged.run("resolve", "promote")
    assert done.code == 0, done.err
    assert "nothing to do" in done.out
    assert pins == {name: (judged.root / f"data/cycle/{name}.json").read_bytes() for name in pins}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["promote", "1", "--why", "x"], 5, "v1 is champion already"),
        (["promote", "9", "--why", "x"], 5, "evergreen has no version '9'"),
        (["rollback", "--why", "x"], 5, "v1 is the first champion; expected one before it to go back to"),
        (["rollback", "1", "--why", "x"], 5, "v1 is champion now; expected an earlier one"),
        (["reject", "1", "--why", "x"], 5, "v1 is champion; expected a version that is not; to take it back: `python"),
        (["champion-at", "2020-01-01"], 5, "the history of evergreen knows no champion at 2020-01-01"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_what_cannot_be_decided_is_told(judged: Project, words: list[str], code: int, said: str) -> None:
    done = judged.call(*words)
    assert done.code == code
    assert said in done.err


@pytest.mark.parametrize(
    "words",
    [["promote", "1"], ["promote", "1", "--why", " "], ["champion-at", "soon"], ["reject", "--why", "x"]],
    ids=" ".join,
)
def test_what_is_no_decision_is_a_usage_error(words: list[str], run_words: Callable[[list[str]], int]) -> None:
    assert run_words(words) == 2


@pytest.fixture
def run_words() -> Callable[[list[str]], int]:
    """The exit code of words that argparse refuses."""
    from pipeline import __main__ as command

    def run(words: list[str]) -> int:
        with pytest.raises(SystemExit) as ended:
            command.main(words)
        return int(ended.value.code or 0)

    return run


def test_the_champion_at_a_time_and_a_history_that_was_tampered_with(judged: Project) -> None:
    promote(judged)
    assert judged.call("champion-at", "2100-01-01").out == "2\n"
    good = judged.call("verify", "--all")
    assert good.code == 0, good.err
    assert "verify: 2 events, 2 versions, the artifacts of 2 of them: all as they should be" in good.out
    judged.artifact(1, "model/weights.npz").write_bytes(b"changed")
    model = judged.mlflow.get_model_version("evergreen", "2").source.removeprefix("models:/")
    served = judged.root / f"store/artifacts/models/{model}/artifacts/MLmodel"
    served.write_text(served.read_text() + "\n# changed")
    judged.mlflow.delete_model_version("evergreen-history", "2")
    bad = judged.call("verify", "--all")
    assert bad.code == 5
    assert "v1: model/weights.npz of run" in bad.out
    assert "is damaged" in bad.out
    assert "v2: MLmodel is not what it was when the version was proven" in bad.out
    assert (
        "evergreen-history ends with v1, and the alias was brought to v2 once: the newest events were deleted"
        in bad.out
    )
    assert "alias champion is v2, and the history says v1; the next `dvc repro` brings them together" in bad.out
    assert "nothing was changed" in bad.err
    mended = judged.run("resolve")
    assert mended.code == 0, mended.err
    assert kinds(judged) == [("promoted", 1), ("moved", 2)]
