"""A version keeps the temperature that was fitted on its val; who says a probability uses it, and nobody else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import MadeOnce, Project, picture, pictures

from pipeline.artifacts.model import Description
from pipeline.data import dataset
from pipeline.judging import calibration, metrics
from pipeline.judging.calibration import Confidence


@pytest.fixture
def judged(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A champion, and a second cycle up to its verdict."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(evaluate={"suspicious": 0.501, "min_probability": 0.6, "max_wrong": None})
        project.add("first", pictures(range(40), "cat", "dog"))
        project.cycle()
        project.promote()
        second = pictures(range(100, 120), "cat", "dog")
        second["dog"] |= {f"wrong-{number}.png": picture(number, "cat") for number in range(200, 206)}
        project.add("second", second)
        done = project.upto("evaluate")
        assert done.code == 0, done.err
        assert f"train: temperature {description(project).temperature:g}, fitted on val" in done.out

    return made_once("calibrated", make).copy(tmp_path / "clone")


def description(project: Project) -> Description:
    return Description.read(project.root / "data/cycle/model/model.json")


def answers(project: Project, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The true labels of a split, and the logits of the weights that are served."""
    from pipeline.learning import model

    part = dataset.read(project.root / "data/cycle/dataset").part(split)
    weights = project.root / "data/cycle/model/weights.npz"
    return part.labels, model.logits(model.load(description(project), weights, "test"), part.inputs, 32)


def repin(project: Project, name: str, temperature: float | None) -> None:
    """Let parent.json or champion.json name another temperature, or none as an earlier version."""
    path = project.root / "data/cycle" / name
    content = json.loads(path.read_text())
    made = content["lineage"]["model"]
    assert made.pop("temperature") > 0
    if temperature is not None:
        made["temperature"] = temperature
    path.write_text(json.dumps(content))


def test_the_temperature_is_that_of_the_weights_that_are_served(judged: Project) -> None:
    assert description(judged).temperature != 1
    assert description(judged).temperature == pytest.approx(calibration.temperature(*answers(judged, "val")), rel=1e-3)


def test_a_warm_start_is_the_same_whatever_temperature_its_parent_has(judged: Project) -> None:
    folder = judged.root / "data/cycle/model"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for temperature in (7.0, None):
        repin(judged, "parent.json", temperature)
        (folder / "weights.npz").unlink()
        assert judged.run("train").code == 0
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_both_models_are_judged_each_by_its_own_temperature(judged: Project) -> None:
    found: dict[str, Any] = judged.space.read("evaluation.json")
    labels, logits = answers(judged, "holdout")
    own = Confidence.of(labels, logits, description(judged).temperature)
    left = calibration.coverage(own, 0.6)
    assert found["challenger"]["calibration_error"] == pytest.approx(calibration.error(own), abs=1e-4)
    assert found["challenger"]["answered"] == pytest.approx({"coverage": left.coverage, "accuracy": left.accuracy})
    assert 0 <= found["champion"]["calibration_error"] <= 1
    assert found["challenger"]["loss"] == pytest.approx(metrics.scores(labels, logits).loss), "that of training"
    assert (judged.root / "data/cycle/evaluation/reliability.png").stat().st_size > 10_000


def test_a_temperature_changes_probabilities_and_doubts_and_no_verdict(judged: Project) -> None:
    def judge() -> tuple[dict[str, Any], int, bytes]:
        done = judged.run("evaluate")
        assert done.code == 0, done.err
        doubts = judged.suspicious()
        verdict = (judged.root / "data/cycle/evaluation/verdict.json").read_bytes()
        return judged.space.read("evaluation.json"), len(doubts), verdict

    scores, doubts, verdict = judge()
    repin(judged, "champion.json", 10_000.0)
    even, none, same = judge()
    assert same == verdict
    assert even["champion"]["accuracy"] == scores["champion"]["accuracy"]
    assert even["champion"]["loss"] == scores["champion"]["loss"]
    assert even["champion"]["answered"] == {"coverage": 0.0, "accuracy": None}
    assert even["champion"]["calibration_error"] != scores["champion"]["calibration_error"]
    assert even["challenger"] == scores["challenger"]
    assert none < doubts, "of two labels none is surer than the other; that of the images that it did not learn is"
    repin(judged, "champion.json", 1.0)
    as_it_is = judge()
    repin(judged, "champion.json", None)
    assert judge() == as_it_is, "a version of before it came"


def test_what_is_registered_is_calibrated_and_gives_no_answer_below_the_threshold(judged: Project) -> None:
    """Through the registry, and as the server of MLflow writes it."""
    import mlflow
    from mlflow.pyfunc.scoring_server import predictions_to_json

    temperature = description(judged).temperature
    assert judged.run("promote").code == 0
    run = judged.mlflow.get_run(judged.mlflow.get_model_version("evergreen", "2").run_id)
    scores = judged.space.read("evaluation.json")
    assert float(run.data.params["kept.temperature"]) == pytest.approx(temperature, rel=1e-5)
    for who, prefix in (("champion", "champion_"), ("challenger", "")):
        assert run.data.metrics[f"holdout/{prefix}calibration_error"] == scores[who]["calibration_error"]
        assert run.data.metrics[f"holdout/{prefix}coverage"] == scores[who]["answered"]["coverage"]
    assert "reliability.png" in {one.path for one in judged.mlflow.list_artifacts(run.info.run_id)}
    assert "Expected calibration error " in (judged.root / "data/cycle/report.html").read_text()
    assert "**Answers**: with evaluate.min_probability " in (judged.root / "data/cycle/report.md").read_text()

    mlflow.set_tracking_uri(judged.space.env["MLFLOW_TRACKING_URI"])
    try:
        served = mlflow.pyfunc.load_model("models:/evergreen/2")
    finally:
        mlflow.set_tracking_uri(None)
    assert {one.name: one.default for one in served.metadata.signature.params.params} == {"min_probability": 0.6}
    images = pd.DataFrame({"image": [picture(number, "cat" if number % 2 else "dog", 12) for number in range(20)]})
    every, kept = served.predict(images, params={"min_probability": 0.0}), served.predict(images)
    assert set(every["label"]) <= {"cat", "dog"}
    assert kept["probability"].tolist() == every["probability"].tolist()
    expected = [
        label if probability >= 0.6 else None
        for label, probability in zip(every["label"], every["probability"], strict=True)
    ]
    assert kept["label"].tolist() == expected
    middle = float(every["probability"].median())
    sink = _Text()
    predictions_to_json(served.predict(images, params={"min_probability": middle}), sink)
    rows = json.loads(sink.text, parse_constant=_no_json)["predictions"]
    assert {row["label"] is None for row in rows} == {True, False}


class _Text:
    """What is written, together."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def test_a_version_says_that_it_keeps_the_threshold_that_it_was_registered_with(judged: Project) -> None:
    assert judged.run("promote").code == 0
    judged.promote(2)
    judged.space.params(evaluate={"min_probability": 0.9})
    done = judged.upto("promote")
    assert done.code == 0, done.err
    kept = (
        "v2 keeps evaluate.min_probability: 0.6, as it was registered; 0.9 goes with the next version, and until then "
        "a request can give it as a parameter"
    )
    assert "promote: nothing to do: v2 is registered with this verdict; v2 is champion by someone in MLflow" in done.out
    assert f"(the alias was moved in MLflow); {kept}\n" in done.out
    judged.space.params(promote={"automatic": False})  # the version is annotated anew
    done = judged.upto("promote")
    assert done.code == 0, done.err
    assert kept in done.out
    judged.space.params(evaluate={"min_probability": 0.6})
    assert "keeps" not in judged.upto("promote").out
