"""`python -m pipeline explain`: why a version got its verdict, and what it would get with other settings."""

import io
import json
import re
from pathlib import Path

import polars as pl
import pytest
from project import MadeOnce, Project, two_versions

from pipeline.commands import explain


@pytest.fixture
def two(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """Two versions; v1 was the champion when v2 was judged."""
    return two_versions(made_once, empty_database).copy(tmp_path / "clone")


def test_the_newest_version_is_explained_in_words_and_numbers(two: Project) -> None:
    done = two.call("explain")
    assert done.code == 0, done.err
    verdict = two.space.read("evaluation/verdict.json")
    lines = done.out.splitlines()
    assert lines[0] == f"v2 against v1, the champion: {verdict['decision']}"
    assert [line.strip() for line in lines[1 : 1 + len(verdict["reasons"])]] == verdict["reasons"]
    rows = two.table("evaluation/predictions.parquet")
    (everything,) = [line for line in lines if line.startswith("all ")]
    won = len(rows.filter((rows["challenger"] == rows["label"]) & (rows["champion"] != rows["label"])))
    assert everything.split()[1] == str(len(rows))
    assert everything.split()[-2] == str(won)
    cats = len(rows.filter(rows["label"] == "cat"))
    assert next(line for line in lines if line.startswith("label cat ")).split()[2] == str(cats)


def test_what_was_forgotten_since_it_was_learned_is_told(two: Project) -> None:
    """v1 knew the images of the first batch."""
    lines = two.call("explain").out.splitlines()
    rows = two.table("evaluation/predictions.parquet")
    known = rows.filter(~rows["is_new"])
    before, now = (known.filter(known[who] == known["label"]) for who in ("champion", "challenger"))
    change = 100 * (len(now) - len(before)) / len(known)
    (said,) = [line for line in lines if line.startswith("since images were first known: ")]
    assert said.startswith(f"since images were first known: {change:+.2f} points (backward transfer)")
    assert any(line.startswith(f"  of {len(known)} images that v1 knew it gets ") for line in lines)
    assert two.space.read("evaluation.json")["backward_transfer"] == pytest.approx(change / 100)
    metrics = two.mlflow.get_run(two.mlflow.get_model_version("evergreen", "2").run_id).data.metrics
    assert metrics["holdout/backward_transfer"] == pytest.approx(change / 100)


def test_a_version_is_judged_again_with_other_settings_and_nothing_changes(two: Project) -> None:
    before = two.mlflow.get_model_version("evergreen", "2")
    done = two.call("explain", "v2", "--as-if", "evaluate.margin=0.02", "evaluate.risk=null")
    assert done.code == 0, done.err
    assert "with evaluate.margin=0.02, evaluate.risk=null: " in done.out
    again = done.out.partition("evaluate.risk=null: ")[2]
    assert "best so far" not in again
    same = two.call("explain", "2", "--as-if", "evaluate.margin=0.99").out.partition("evaluate.margin=0.99: ")[2]
    verdict = two.space.read("evaluation/verdict.json")
    assert same.splitlines()[0] == verdict["decision"], "as it was judged"
    assert two.mlflow.get_model_version("evergreen", "2") == before


def test_a_first_version_is_explained(two: Project) -> None:
    done = two.call("explain", "1")
    assert done.code == 0, done.err
    assert done.out.startswith("v1 without a champion: promote\n  no champion yet; holdout accuracy ")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["9"], 5, "evergreen has no version '9'; expected a number that the MLflow UI lists, e.g. 7"),
        (["two"], 5, "evergreen has no version 'two'; expected a number"),
        (
            ["2", "--as-if", "margin=0.1"],
            3,
            "--as-if margin=0.1: expected a setting of section evaluate, e.g. evaluate.",
        ),
        (["2", "--as-if", "evaluate.margin"], 3, "expected a setting of section evaluate, e.g. evaluate.margin=0.02"),
        (["2", "--as-if", "evaluate.margn=0.1"], 3, "evaluate.margn is not a setting; did you mean evaluate.margin?"),
        (["2", "--as-if", "evaluate.margin=7"], 3, "--as-if on v2: evaluate.margin is 7; expected"),
        (["2", "--as-if", "evaluate.margin=[1"], 3, "expected a value as params.yaml has it"),
        (["2", "--as-if", f"evaluate.margin={'[' * 5000}"], 3, "expected a value as params.yaml has it"),
        (["2", "--as-if", "evaluate.margin=&a [*a]"], 3, "expected a value as params.yaml has it"),
        (["2", "--as-if", "evaluate.margin=2024-13-45"], 3, "expected a value as params.yaml has it"),
        (["2", "--as-if", "evaluate.margin=!!bool x"], 3, "expected a value as params.yaml has it"),
        (["2", "--as-if", "evaluate.margin="], 3, "--as-if on v2: evaluate.margin is null; expected a number"),
        (
            ["2", "--as-if", "evaluate.margin=.nan"],
            3,
            "--as-if on v2: evaluate.margin is nan; expected a finite number",
        ),
        (
            ["2", "--as-if", "train.seed=1"],
            3,
            "--as-if train.seed=1: expected a setting of section evaluate, e.g. eval",
        ),
        (["2", "--as-if", "evaluate.mar\ngin=1"], 3, r"--as-if on v2: evaluate.mar\u000agin is not a setting; did you"),
        (["2", "--as-if", "evaluate.margin=\x1b[31m"], 3, r"--as-if evaluate.margin=\u001b[31m: expected a value as"),
        (
            ["2", "--as-if", "evaluate.risk=null", "evaluate.margin=0.1", "evaluate.risk=0.1"],
            3,
            "--as-if has evaluate.risk twice; expected each setting once; take one of the two out",
        ),
        (["9" * 30], 5, "expected a number that the MLflow UI lists, e.g. 7"),
        (["9" * 5000], 5, "expected a number that the MLflow UI lists, e.g. 7"),
    ],
)
def test_what_cannot_be_explained_is_refused(two: Project, words: list[str], code: int, error: str) -> None:
    done = two.call("explain", *words)
    assert done.code == code
    assert error in done.error


@pytest.mark.parametrize("key", explain.UNTOLD)
def test_a_setting_that_predictions_cannot_judge_again_is_refused(two: Project, key: str) -> None:
    done = two.call("explain", "2", "--as-if", f"evaluate.{key}=0.5")
    assert done.code == 3
    assert (
        f"--as-if evaluate.{key}=0.5: predictions alone cannot tell what it would change; expected one of" in done.error
    )
    assert "evaluate.margin, " in done.error
    assert "set it in params.yaml, and `dvc repro` judges the last cycle again" in done.error


def test_a_version_that_was_judged_by_fewer_settings_is_judged_again(two: Project) -> None:
    lineage = json.loads(two.artifact(2, "lineage/lineage.json").read_text())
    section = {key: lineage["params"]["evaluate"][key] for key in ("margin", "confidence", "min_accuracy")}
    two.relist(2, params={**lineage["params"], "evaluate": {**section, "of_then": 3}})
    done = two.call("explain", "2", "--as-if", "evaluate.margin=0.99")
    assert done.code == 0, done.err
    assert "v2 was judged before there was evaluate.risk; 0.05 of params.yaml is taken" in done.out
    assert "before there was evaluate.batch_size" not in done.out
    again = done.out.partition("with evaluate.margin=0.99: ")[2]
    assert again.splitlines()[0] == two.space.read("evaluation/verdict.json")["decision"]


PREDICTIONS = "data/predictions.parquet"


def cannot_be_explained(project: Project) -> str:
    """Why v2 cannot be."""
    done = project.call("explain", "2", "--as-if", "evaluate.margin=0.1")
    assert done.code == 5
    what, _, remedy = done.error.partition("; its description in the MLflow UI has the verdict; ")
    assert remedy == "restore the file from a backup, or use the version of Evergreen that registered it"
    assert not done.out
    return what.removeprefix("explain: error: v2 cannot be explained: ")


def test_predictions_that_are_gone_or_damaged_are_told(two: Project) -> None:
    path = two.artifact(2, PREDICTIONS)
    content = path.read_bytes()
    two.forget()
    path.write_bytes(content[:-9])
    assert re.match(rf"{PREDICTIONS} of run \w+ is damaged: SHA-256 \w+, registered as \w+$", cannot_be_explained(two))
    path.unlink()
    assert re.match(rf"{PREDICTIONS} of run \w+ is not there any more$", cannot_be_explained(two))
    path.write_bytes(content)
    assert two.call("explain", "2").code == 0
    two.replace(2, PREDICTIONS, content[:-9])
    assert cannot_be_explained(two).startswith(f"{PREDICTIONS} is not a Parquet table (")
    two.replace(2, PREDICTIONS, None)
    done = two.call("explain", "2")
    assert done.code == 5
    assert "v2 was registered before predictions were kept" in done.error


def test_predictions_and_verdicts_of_another_evergreen_are_told(two: Project) -> None:
    table, verdict = pl.read_parquet(two.artifact(2, PREDICTIONS)), two.artifact(2, "data/verdict.json").read_bytes()
    sink = io.BytesIO()
    table.drop("is_fresh").write_parquet(sink)
    two.replace(2, PREDICTIONS, sink.getvalue())
    other = "of another version of Evergreen, or damaged: it"
    assert cannot_be_explained(two) == f"{PREDICTIONS} is {other} lacks the column is_fresh"
    two.replace(2, "data/verdict.json", b'{"newer": 1,' + verdict[1:])
    assert cannot_be_explained(two) == f"data/verdict.json is {other} has newer, which is unknown here"
    two.relist(2, newer=1)
    assert cannot_be_explained(two) == f"the lineage of evergreen v2 is {other} has newer, which is unknown here"


def test_a_verdict_that_names_no_anchor_is_judged_again_against_the_champion(two: Project) -> None:
    """And not as that of a first version, which needs no more than evaluate.min_accuracy."""
    verdict = json.loads(two.artifact(2, "data/verdict.json").read_text())
    verdict.pop("anchor")
    two.replace(2, "data/verdict.json", json.dumps(verdict).encode())
    done = two.call("explain", "2", "--as-if", "evaluate.margin=0.99")
    assert done.code == 0, done.err
    assert done.out.startswith("v2 against v1, the champion: ")
    assert "no champion yet" not in done.out


def test_where_there_is_no_version_the_way_to_one_is_said(empty_database: Path, tmp_path: Path) -> None:
    done = Project.create(tmp_path / "clone", empty_database).call("explain")
    assert done.code == 5
    assert "evergreen has no version yet; `dvc repro` makes the first one" in done.error
