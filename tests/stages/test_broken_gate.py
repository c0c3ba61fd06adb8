"""A gate that does not give the verdicts that it must is refused in the cycle in which it is broken."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from project import MadeOnce, Project, pictures

from pipeline.judging import verdict
from pipeline.learning import contenders


@pytest.fixture
def to_judge(made_once: MadeOnce, lived: Project, tmp_path: Path) -> Project:
    """A challenger that learned, and the verdict of the cycle before it still on disk."""

    def make(root: Path) -> None:
        project = lived.copy(root)
        project.space.params(train={"start": "cold", "blend": []})
        project.add("more2", pictures(range(200, 212), "cat", "dog"))
        done = project.upto("train")
        assert done.code == 0, done.err

    return made_once("a challenger to judge", make).copy(tmp_path / "to judge")


def refused(project: Project) -> str:
    """The error of evaluate; nothing can be promoted after it."""
    assert (project.root / "data/cycle/evaluation/verdict.json").is_file(), "of the cycle before"
    done = project.run("evaluate")
    assert done.code == 8
    promote = project.run("promote")
    assert promote.code == 4
    assert "data/cycle/evaluation/verdict.json: no such file; a stage before this one writes it" in promote.error
    assert int(project.mlflow.get_model_version_by_alias("evergreen", "champion").version) == 2
    assert len(project.mlflow.search_model_versions("name='evergreen'")) == 2
    return done.error


def test_a_gate_that_always_says_promote_is_refused(to_judge: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = verdict.of
    monkeypatch.setattr(verdict, "of", lambda *given: replace(judge(*given), decision="promote"))
    assert refused(to_judge) == (
        "evaluate: error: the gate is broken: a stand-in that answers as the champion does gets 'promote'; expected "
        "that it is not promoted; nothing was judged and nothing will be promoted; undo the last change of "
        "pipeline/judging or of section evaluate in params.yaml, or report this"
    )
    monkeypatch.undo()
    assert to_judge.run("evaluate").code == 0


def test_a_champion_that_is_judged_in_place_of_the_challenger_is_refused(
    to_judge: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, loaded = contenders.load, []

    def first(*given: Any) -> Any:
        loaded.append(load(*given))
        return loaded[0]

    monkeypatch.setattr(contenders, "load", first)
    assert refused(to_judge) == (
        "evaluate: error: the gate is broken: challenger and champion, v2, have other weights and say the same to the "
        "last bit, so one was held against itself; nothing was judged and nothing will be promoted; undo the last "
        "change of pipeline/learning, or report this"
    )
