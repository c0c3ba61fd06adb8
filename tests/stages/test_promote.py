"""The alias moves only from where the challenger was judged, however long its upload takes."""

import json
from pathlib import Path
from typing import Any

import pytest
from project import MadeOnce, Project, pictures
from receiving import SECRET, receiver

from pipeline.registry import promotion


@pytest.fixture
def judged(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose second challenger beat v1, the champion, and is to be promoted."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.promote(1)
        project.add("second", pictures(range(100, 120), "cat", "dog"))
        done = project.upto("evaluate")
        assert done.code == 0, done.err
        verdict = project.space.read("evaluation/verdict.json") | {"decision": "promote"}
        (root / "data/cycle/evaluation/verdict.json").write_text(json.dumps(verdict))

    return made_once("judged", make).copy(tmp_path / "clone")


def champion(project: Project) -> int:
    return int(project.mlflow.get_model_version_by_alias("evergreen", "champion").version)


def test_a_challenger_that_beat_the_champion_is_promoted(judged: Project) -> None:
    done = judged.run("promote")
    assert done.code == 0, done.err
    assert "v2 is the new champion" in done.out
    assert champion(judged) == 2
    assert judged.space.read("promotion.json")["promoted"]


def test_a_champion_that_would_not_be_promoted_any_more_is_told(judged: Project) -> None:
    judged.run("promote")
    path = judged.root / "data/cycle/evaluation/verdict.json"
    path.write_text(json.dumps(judged.space.read("evaluation/verdict.json") | {"decision": "reject"}))
    done = judged.run("promote")
    assert done.code == 0, done.err
    told = "by today's verdict it would not be promoted: `python -m pipeline rollback 1 --why REASON` takes it back"
    assert told in done.out
    assert champion(judged) == 2, "people decide that"


def test_a_person_who_moves_the_alias_during_the_upload_is_not_overwritten(
    judged: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = promotion.upload

    def slow(*arguments: Any) -> str:
        digest = upload(*arguments)
        run_id = judged.mlflow.get_model_version("evergreen", "1").run_id
        other = judged.mlflow.create_model_version("evergreen", "runs:/none", run_id)
        judged.mlflow.set_registered_model_alias("evergreen", "champion", other.version)
        return digest

    monkeypatch.setattr(promotion, "upload", slow)
    done = judged.run("promote")
    assert done.code == 0, done.err
    assert "v3 keeps its verdict, but champion is v2 by now and stays" in done.out
    assert champion(judged) == 2
    assert not judged.space.read("promotion.json")["promoted"]
    assert judged.mlflow.get_model_version("evergreen", "3").tags["evergreen.promoted"] == "false"


def test_a_receiver_that_is_down_holds_up_no_cycle_and_is_told_by_the_next_call(judged: Project) -> None:
    with receiver() as running:
        address = {"url": f"{running.url}/moved", "secret_env": "HOOK_SECRET"}
        judged.space.params(promote={"notify": [address]})
        running.answer = lambda _: 503
        done = judged.run("promote", HOOK_SECRET=SECRET)
        assert done.code == 0, done.err
        assert "promote: warning: 127.0.0.1:" in done.out
        assert "v2 is the new champion" in done.out
        running.answer = lambda _: 200
        running.got.clear()
        done = judged.run("resolve", HOOK_SECRET=SECRET)
        assert done.code == 0, done.err
        (got,) = running.got
        assert (got.message["type"], got.message["data"]["event"]["version"]) == ("champion.promoted", 2)
        done = judged.run("resolve", HOOK_SECRET=SECRET)
        assert done.code == 0, done.err
        assert len(running.got) == 1
