"""`python -m pipeline explain`: why a version got its verdict, and what it would get with other settings."""

from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures


@pytest.fixture
def two(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """Two versions; v1 was the champion when v2 was judged."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.add("second", pictures(range(100, 120), "cat", "dog"))
        project.cycle()

    return made_once("two versions to explain", make).copy(tmp_path / "clone")


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
    assert metrics["holdout_backward_transfer"] == pytest.approx(change / 100)


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
    ],
)
def test_what_cannot_be_explained_is_refused(two: Project, words: list[str], code: int, error: str) -> None:
    done = two.call("explain", *words)
    assert done.code == code
    assert error in done.error


def test_where_there_is_no_version_the_way_to_one_is_said(empty_database: Path, tmp_path: Path) -> None:
    done = Project.create(tmp_path / "clone", empty_database).call("explain")
    assert done.code == 5
    assert "evergreen has no version yet; `dvc repro` makes the first one" in done.error
