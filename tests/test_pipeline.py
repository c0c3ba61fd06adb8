"""`dvc repro` for real, as one story: each test reads what its steps left behind."""

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks import digits, workspace
from benchmarks.workspace import Repro, Workspace
from pipeline.registry.version import DECIDED, MADE, unpacked

pytestmark = pytest.mark.project


@dataclass
class Story:
    """The workspace as it is now, and how each `dvc repro` went."""

    space: Workspace
    first: Repro
    again: Repro
    second: Repro
    after: Repro
    dirty: str
    facts: dict[str, dict]

    def versions(self) -> list[tuple[int, str]]:
        """Version number and the verdict registered with it, straight from the database."""
        with sqlite3.connect(self.space.root / "store/mlflow.db") as database:
            return database.execute(
                "select version, value from model_version_tags where key = 'evergreen.verdict' order by version"
            ).fetchall()

    def champion(self) -> int:
        with sqlite3.connect(self.space.root / "store/mlflow.db") as database:
            ((version,),) = database.execute("select version from registered_model_aliases where alias = 'champion'")
            return version


def facts(space: Workspace) -> dict[str, dict]:
    names = ("parent", "model/training", "delta/summary", "promotion", "evaluation", "evaluation/verdict")
    return {name: space.read(f"{name}.json") for name in names}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    space = workspace.create(tmp_path_factory.mktemp("story") / "clone")
    # Not more than five points worse is what so few holdout images can show, whatever the processor's last bits.
    space.params(
        train={"max_epochs": 12, "flip": False, "restore": ["optimizer", "learning_rate"], "audit_above": None},
        evaluate={"margin": 0.05},
    )
    space.put("first", digits.batch(0, 400))
    space.push("first", "First batch")
    first = space.repro(quiet=True)
    assert first.code == 0, first.output
    found = {"first": facts(space)}
    again = space.repro(quiet=True)
    space.commit("First cycle")
    space.put("second", digits.batch(400, 900))
    space.push("second", "Second batch")
    second = space.repro(quiet=True)
    assert second.code == 0, second.output
    found["second"] = facts(space)
    space.commit("Second cycle")
    after = space.repro(quiet=True)
    dirty = space.git("status", "--porcelain")
    space.dvc("push", "--quiet")
    return Story(space, first, again, second, after, dirty, found)


def ran(repro: Repro) -> set[str]:
    """Stages that a `dvc repro` executed, those that always run left out."""
    stages = {stage for stage in workspace.STAGES if f"Running stage '{stage}'" in repro.output}
    return stages - {"resolve", "promote"}


def test_first_cycle_starts_cold_and_makes_the_first_champion(story: Story) -> None:
    first = story.facts["first"]
    assert first["parent"] == {"version": None, "ladder": {"rung": 0, "cycles": 0}}
    assert first["delta/summary"]["added"] == 400
    assert first["model/training"]["start"] == "cold"
    assert first["promotion"]["promoted"]
    assert first["promotion"]["version"] == 1


def test_second_cycle_detects_exactly_the_new_images(story: Story) -> None:
    import pandas as pd

    delta = pd.read_parquet(story.space.root / "data/cycle/delta/images.parquet")
    on_disk = {p.relative_to(story.space.root).as_posix() for p in story.space.root.glob("data/images/second/*/*.png")}
    assert set(delta["path"]) == on_disk
    assert set(delta["kind"]) == {"added"}


def test_second_cycle_warm_starts_from_the_champion_and_says_so(story: Story) -> None:
    assert story.facts["second"]["model/training"]["start"] == "warm"
    assert "warm start: from v1" in story.second.output


def test_second_cycle_makes_the_second_champion(story: Story) -> None:
    assert story.facts["second"]["evaluation/verdict"]["decision"] == "promote"
    assert story.facts["second"]["promotion"]["promoted"]
    assert story.facts["second"]["promotion"]["version"] == 2


def test_validation_loss_before_the_first_step_is_the_champions(story: Story) -> None:
    """Scored here anew with the champion's registered weights on the second cycle's val images."""
    from pipeline.artifacts.model import Description
    from pipeline.data import dataset
    from pipeline.judging import metrics
    from pipeline.learning import model

    root = story.space.root
    pinned = story.facts["second"]["parent"]
    images = dataset.read(root / "data/cycle/dataset")
    description = Description.from_json(json.dumps(pinned["lineage"]["model"]).encode(), "v1")
    stored = root / "data/scratch/objects" / pinned["lineage"]["files"]["model/weights.npz"]
    network = model.load(description, stored, "v1")
    val = images.part("val")
    champions = metrics.scores(val.labels, model.logits(network, val.inputs, 64)).loss
    history = story.facts["second"]["model/training"]["history"]
    fresh = story.facts["first"]["model/training"]["history"][0]["val_loss"]
    assert history[0]["val_loss"] == pytest.approx(champions, rel=1e-3)
    assert history[0]["val_loss"] < fresh / 2


def test_dynamic_hyperparameters_go_on_where_the_parent_left_off(story: Story) -> None:
    first, second = (story.facts[name]["model/training"] for name in ("first", "second"))
    assert second["history"][0]["learning_rate"] == first["history"][first["best_epoch"]]["learning_rate"]


def test_the_best_epoch_is_registered_not_the_last(story: Story) -> None:
    for cycle in ("first", "second"):
        training = story.facts[cycle]["model/training"]
        losses = [row["val_loss"] for row in training["history"]]
        assert training["best_epoch"] == losses.index(min(losses))


@pytest.mark.parametrize("when", ["again", "after"], ids=["same data again", "right after a promotion"])
def test_unchanged_data_trains_and_registers_nothing(story: Story, when: str) -> None:
    repro = getattr(story, when)
    assert repro.code == 0
    assert ran(repro) == set()
    assert "nothing to do" in repro.output


def test_a_no_op_changes_no_tracked_file(story: Story) -> None:
    assert story.dirty == ""


def test_a_fresh_clone_can_judge_anew_without_the_images(story: Story, tmp_path: Path) -> None:
    before, champion = story.versions(), story.champion()
    clone = story.space.clone(tmp_path / "clone")
    clone.params(evaluate={"margin": 0.06})
    repro = clone.repro("--pull", "--allow-missing", quiet=True)
    assert repro.code == 0, repro.output
    assert ran(repro) == {"evaluate"}
    assert (story.versions(), story.champion()) == (before, champion)


@pytest.mark.parametrize("options", [[], ["--pull", "--allow-missing"]], ids=["plain", "pull"])
def test_a_fresh_clone_trains_and_registers_nothing(story: Story, tmp_path: Path, options: list[str]) -> None:
    before = story.versions()
    clone = story.space.clone(tmp_path / "clone")
    repro = clone.repro(*options, quiet=True)
    assert repro.code == 0, repro.output
    assert "train: epoch" not in repro.output
    assert "nothing to do" in repro.output
    assert story.versions() == before
    assert not (clone.root / "data/images/first").exists(), "a no-op needs no image"
    if options:
        assert ran(repro) == set()


def test_after_a_revert_of_the_last_push_nothing_is_trained(story: Story) -> None:
    before, space = story.versions(), story.space
    pushed = space.git("log", "--format=%H", "--max-count=1", "--", "data/images/second.dvc").strip()
    space.git("revert", "--no-edit", pushed)
    try:
        repro = space.repro(quiet=True)
        assert repro.code == 0, repro.output
        assert "500 files in 'data/images/second' are left over" in repro.output
        assert "train: epoch" not in repro.output
        assert story.versions() == before
        assert story.champion() == before[-1][0]
    finally:
        space.git("reset", "--hard", "--quiet", "HEAD~1")
        assert space.repro(quiet=True).code == 0


_TAGS = "select key, value from model_version_tags where name = 'evergreen' and version = 2"


def test_versions_carry_lineage_and_verdict(story: Story) -> None:
    with sqlite3.connect(story.space.root / "store/mlflow.db") as database:
        tags = dict(database.execute(_TAGS).fetchall())
        (card,) = database.execute(
            "select description from model_versions where name = 'evergreen' and version = 2"
        ).fetchone()
    assert set(tags) <= {"evergreen.verdict", "evergreen.standing", MADE, DECIDED}, "more would hide the versions"
    made = unpacked(tags[MADE])
    assert made["parent"] == "1"
    assert made["sources"] == story.space.read("sources.json")["digest"]
    # Without a +: what DVC writes into dvc.lock during the cycle is no uncommitted change.
    assert made["commit"] == story.space.git("rev-parse", "HEAD~1").strip()
    assert tags["evergreen.verdict"] == "promote"
    assert card.startswith("promoted: ")
    assert "warm start" in card


def test_the_run_carries_curves_plots_and_params(story: Story) -> None:
    with sqlite3.connect(story.space.root / "store/mlflow.db") as database:
        run = database.execute("select run_id from model_versions where name = 'evergreen' and version = 2").fetchone()
        steps = database.execute("select step from metrics where run_uuid = ? and key = 'val/loss'", run).fetchall()
        params = dict(database.execute("select key, value from params where run_uuid = ?", run).fetchall())
        ((status, artifacts),) = database.execute("select status, artifact_uri from runs where run_uuid = ?", run)
    history = story.facts["second"]["model/training"]["history"]
    assert sorted(step for (step,) in steps) == list(range(len(history)))
    assert params["train.monitor"] == "val_loss"
    assert status == "FINISHED"
    uploaded = {p.name for p in Path(artifacts.removeprefix("file://")).rglob("*") if p.is_file()}
    assert uploaded >= {
        "curves.png",
        "confusion.png",
        "ledger.parquet",
        "lineage.json",
        "state.npz",
        "weights.npz",
        "comparison.json",
        "labels.png",
        "history.png",
        "page.html",
        "pictures.parquet",
        "report.html",
    }


def test_the_registered_model_classifies_encoded_images(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow
    import pandas as pd

    monkeypatch.chdir(story.space.root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", story.space.env["MLFLOW_TRACKING_URI"])
    mlflow.set_tracking_uri(story.space.env["MLFLOW_TRACKING_URI"])
    try:
        served = mlflow.pyfunc.load_model("models:/evergreen@champion")
    finally:
        mlflow.set_tracking_uri(None)
    truth = [(label, content) for label, images in digits.batch(0, 100).items() for content in images.values()]
    found = served.predict(pd.DataFrame({"image": [content for _, content in truth]}))
    right = sum(label == truth[row][0] for row, label in enumerate(found["label"]))
    assert right > 80
    assert found["probability"].between(0, 1).all()


def test_metrics_and_plots_are_shown_by_dvc(story: Story) -> None:
    shown = json.loads(story.space.dvc("metrics", "show", "--json"))
    values = shown[""]["data"]
    assert values["data/cycle/training.json"]["data"]["best_epoch"] >= 1
    ((images, scores),) = values["data/cycle/metrics.json"]["data"].items()
    assert images.startswith("holdout_")
    assert scores.keys() == {"accuracy", "balanced", "champion", "flips"}
    changed = json.loads(story.space.dvc("metrics", "diff", "HEAD~2", "--json"))
    told = {name: change for path in changed.values() for name, change in path.items()}
    of_images = {name for name in told if name.startswith(("holdout_", "val_"))}
    assert any(told[name]["old"] is None for name in of_images)
    assert any(told[name]["new"] is None for name in of_images)
    assert not [name for name in of_images if "diff" in told[name]], "two holdouts are not one"
    story.space.dvc("plots", "show", "--out", "page")
    page = (story.space.root / "page/index.html").read_text()
    for title in ("Loss by epoch", "Accuracy by epoch", "Challenger on the holdout images"):
        assert title in page
    assert "best" in page
    assert "stopped" in page
    for picture in ("labels", "confusion", "curves"):  # what is seen of it without a network
        assert (story.space.root / f"page/static/workspace_data_cycle_evaluation_{picture}.png").is_file()


def test_a_persons_rollback_is_not_undone(story: Story) -> None:
    import mlflow

    client, version = mlflow.MlflowClient(story.space.env["MLFLOW_TRACKING_URI"]), story.champion()
    client.set_registered_model_alias("evergreen", "champion", "1")
    try:
        repro = story.space.repro(quiet=True)
        assert repro.code == 0, repro.output
        assert story.champion() == 1
        assert ran(repro) == set()
    finally:
        client.set_registered_model_alias("evergreen", "champion", str(version))


def test_a_reworded_comment_reruns_nothing_and_changed_code_only_what_runs_through_it(story: Story) -> None:
    before, path = story.versions(), story.space.root / "pipeline/judging/gate.py"
    code = path.read_text()
    try:
        path.write_text(f"{code}\n# Another word for it.\n")
        reworded = story.space.repro(quiet=True)
        assert (reworded.code, ran(reworded)) == (0, set())
        path.write_text(f"{code}\nCHANGED = True\n")
        changed = story.space.repro(quiet=True)
        assert (changed.code, ran(changed)) == (0, {"evaluate"})
        assert story.versions() == before
    finally:
        path.write_text(code)
        story.space.git("checkout", "--quiet", "dvc.lock")
        assert story.space.repro(quiet=True).code == 0


def test_other_settings_on_the_same_data_are_judged_against_the_champion_of_today(story: Story) -> None:
    """The parent stays pinned to the data; the one to beat is whoever is champion when the settings are new."""
    before, space = story.versions(), story.space
    space.params(train={"learning_rate": 0.002, "restore": [], "max_epochs": 2})
    repro = space.repro(quiet=True)
    try:
        assert repro.code == 0, repro.output
        assert "warm start: from v1" in repro.output
        assert "against v2" in repro.output
        assert len(story.versions()) == len(before) + 1
        again = space.repro(quiet=True)
        assert ran(again) == set()
        assert len(story.versions()) == len(before) + 1
    finally:
        space.git("checkout", "--quiet", "params.yaml", "dvc.lock")
        back = space.repro(quiet=True)
        assert "train: epoch" not in back.output
        assert "nothing to do" in back.output


def refused(repro: Repro, stage: str, *words: str) -> None:
    """One line that says it all, no traceback, nothing promoted, nothing lost."""
    lines = [line for line in repro.output.splitlines() if line.startswith(f"{stage}: error:")]
    assert repro.code != 0
    assert len(lines) == 1, repro.output
    assert "Traceback" not in repro.output
    for word in words:
        assert word in lines[0]


@pytest.fixture
def undisturbed(story: Story) -> Iterator[Story]:
    """The story, put back as it was; registry and champion must not have changed."""
    before, champion = story.versions(), story.champion()
    head = story.space.git("rev-parse", "HEAD").strip()
    yield story
    story.space.git("reset", "--hard", "--quiet", head)
    story.space.git("clean", "-ffdq", "data/images")
    story.space.dvc("checkout", "--quiet", "--force", "--allow-missing")
    assert story.versions() == before
    assert story.champion() == champion


def test_more_unreadable_images_than_allowed_stop_the_cycle(undisturbed: Story) -> None:
    space = undisturbed.space
    space.params(validate={"max_quarantined_images": 0})
    space.put("bad", {"3": {"torn.png": next(iter(digits.batch(900, 901).values()))["0900.png"][:60]}})
    space.push("bad", "Torn image")
    repro = space.repro(quiet=True)
    refused(repro, "validate", "at most 0 images are set aside", "found 1", "mend or remove", "validation/page.html")
    assert "set aside 'data/images/bad/3/torn.png': damaged PNG" in repro.output


def test_a_batch_that_is_not_tracked_is_refused_with_the_command(undisturbed: Story) -> None:
    undisturbed.space.put("loose", {"3": {"a.png": b"x"}})
    repro = undisturbed.space.repro(quiet=True)
    refused(repro, "resolve", "data/images/loose/3/a.png", "dvc add 'data/images/loose'")


def test_a_label_that_the_parent_does_not_know_is_refused(undisturbed: Story) -> None:
    space = undisturbed.space
    space.put("new", {"eleven": digits.batch(900, 1100)["3"]})
    space.push("new", "New label")
    refused(space.repro(quiet=True), "validate", "eleven", "list the new label in validate.labels", "gets an output")


def test_a_registry_that_does_not_answer_is_an_error(undisturbed: Story) -> None:
    environment = {**undisturbed.space.env, "MLFLOW_TRACKING_URI": "http://user:secret@127.0.0.1:9"}
    environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
    repro = replace(undisturbed.space, env=environment).repro(quiet=True)
    refused(repro, "resolve", "does not answer", "MLFLOW_TRACKING_URI", "***@127.0.0.1")
    assert "secret" not in repro.output


def test_a_parent_of_another_input_size_is_refused(undisturbed: Story) -> None:
    space = undisturbed.space
    space.params(prepare={"image_size": 16})
    refused(space.repro(quiet=True), "resolve", "(32, 32, 3)", "(16, 16, 3)", "train.start: cold")


def test_a_misspelt_parameter_is_refused(undisturbed: Story) -> None:
    path = undisturbed.space.root / "params.yaml"
    path.write_text(path.read_text().replace("patience:", "patiance:"))
    repro = undisturbed.space.repro(quiet=True)
    assert repro.code != 0
    assert "train.patiance is not a setting; did you mean train.patience?" in repro.output


def test_stages_say_which_environment_is_missing() -> None:
    """`dvc repro` outside the virtual environment finds a Python without TensorFlow and the rest."""
    import subprocess
    import sys

    bare = {"PATH": os.defpath, "PYTHONPATH": str(workspace.CHECKOUT), "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "pipeline", "resolve", "--help"],
        cwd=workspace.CHECKOUT, env=bare, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "make setup" in done.stderr
    assert "Traceback" not in done.stderr
