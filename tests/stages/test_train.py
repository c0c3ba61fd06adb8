"""The stage train: pauses, resumes, is interrupted, is not alone; each end is one that can be gone on from."""

import hashlib
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import Done, MadeOnce, Project, pictures


@pytest.fixture
def ready(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose next stage is train: 60 images, 3 epochs of 3 steps."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(train={"max_epochs": 3, "patience": 9, "batch_size": 16})
        project.add("first", pictures(range(30), "cat", "dog"))
        done = project.upto("prepare")
        assert done.code == 0, done.err

    return made_once("ready", make).copy(tmp_path / "clone")


def status(project: Project) -> list[str]:
    """Of the runs in MLflow."""
    client = project.mlflow
    experiment = client.get_experiment_by_name("evergreen")
    assert experiment is not None
    return [run.info.status for run in client.search_runs([experiment.experiment_id])]


def outcome(project: Project) -> dict[str, str]:
    """SHA-256 of every byte that training gave."""
    cycle = project.root / "data/cycle"
    paths = [*sorted((cycle / "model").iterdir()), cycle / "curves.csv", cycle / "training.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def states(project: Project) -> list[Path]:
    return sorted((project.root / "data/scratch/training").glob("*/*.checkpoint"))


def started(project: Project, **env: str) -> "subprocess.Popen[str]":
    """The stage in a process of its own, in the middle of an endless training."""
    project.space.params(
        train={"max_epochs": 100_000, "patience": 100_000}, checkpoint={"epochs": None, "steps": None, "seconds": None}
    )
    cmd = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]["train"]["cmd"]
    words = [sys.executable, *shlex.split(cmd)[1:]]
    process = subprocess.Popen(
        words,
        cwd=project.root,
        env={**project.space.env, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("train: epoch   5"):
            return process
    raise AssertionError(process.stderr and process.stderr.read())


def test_paused_by_the_budget_ten_times_it_ends_in_the_same_bytes(ready: Project) -> None:
    whole = ready.run("train")
    assert whole.code == 0, whole.err
    expected = outcome(ready)
    for path in (ready.root / "data/cycle/model").iterdir():
        path.unlink()

    ready.space.params(budget={"max_steps": 1})
    said: list[Done] = []
    while not said or said[-1].code == 75:
        said.append(ready.run("train"))
        assert len(said) < 20
    assert said[-1].code == 0, said[-1].err
    assert len(said) >= 9
    assert outcome(ready) == expected
    first = said[0].out.splitlines()
    assert first[1].startswith("train: cold start: fresh weights: no version to start from")
    assert first[-1].startswith("train: paused, out of budget.max_steps: 1, in epoch 1 after step 1; best val_loss ")
    assert first[-1].endswith(", of epoch 0; the state is saved, run `dvc repro` to go on from it")
    resumed = r"train: resume: epoch 2, step 2, after \d+ s, from the checkpoint in data/scratch/training/[0-9a-f]{16}"
    assert re.fullmatch(resumed, said[4].out.splitlines()[1])
    assert status(ready) == ["FINISHED"]
    assert not states(ready)


def test_a_paused_run_is_scheduled_and_nothing_comes_after_it(ready: Project) -> None:
    ready.space.params(budget={"max_epochs": 1})
    done = ready.run("train", "evaluate")
    assert done.code == 75
    assert "evaluate:" not in done.out
    assert status(ready) == ["SCHEDULED"]
    assert not (ready.root / "data/cycle/model").exists()


def test_finishing_with_the_best_so_far_is_an_end(ready: Project) -> None:
    ready.space.params(budget={"max_steps": 4, "when_spent": "finish"})
    done = ready.run("train")
    assert done.code == 0, done.err
    assert "train: stopped by the budget of 4 steps; epoch " in done.out
    assert len(ready.space.read("model/training.json")["history"]) == 3


def test_run_calls_a_pause_no_failure_and_the_next_goes_on(ready: Project) -> None:
    ready.space.params(budget={"max_epochs": 2})
    words = [sys.executable, "-m", "pipeline", "run"]
    env = dict(ready.space.env)
    done = subprocess.run(words, cwd=ready.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the state is saved, run `dvc repro` to go on from it" in done.stdout
    assert "run: this is no failure; the next run goes on" in done.stdout
    again = ready.space.repro(quiet=True)
    assert again.code == 0, again.output
    assert "train: resume: epoch 3, step 1" in again.output
    assert "promote: v1" in again.output


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")], ids=str
)
def test_asked_to_stop_it_saves_and_leaves_no_run_behind(ready: Project, number: int, code: int, name: str) -> None:
    process = started(ready)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert time.monotonic() - began < 5
    assert re.search(rf"^train: interrupted by {name}, (in epoch \d+ after step \d+|after epoch \d+); best", out, re.M)
    assert out.endswith("; the state is saved, run `dvc repro` to go on from it\n")
    assert status(ready) == ["KILLED"]
    ready.space.params(budget={"max_steps": 1})
    done = ready.run("train")
    assert "train: resume: epoch " in done.out
    assert int(done.out.partition("resume: epoch ")[2].partition(",")[0]) >= 6


def test_a_killed_run_is_reaped_by_the_next_and_a_second_at_once_is_refused(ready: Project) -> None:
    process = started(ready)
    second = ready.run("train")
    assert second.code == 1
    assert f"train: error: a training runs here already (process {process.pid}, " in second.err
    process.kill()
    process.communicate()
    assert status(ready) == ["RUNNING"]
    ready.space.params(train={"max_epochs": 1, "seed": 8})
    done = ready.run("train")
    assert done.code == 0, done.err
    assert sorted(status(ready)) == ["FINISHED", "KILLED"]


def paused(project: Project) -> Path:
    """Its newest state."""
    project.space.params(budget={"max_steps": 2}, checkpoint={"steps": 1})
    assert project.run("train").code == 75
    return states(project)[-1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"learning_rate": 0.001}}, "params.train.learning_rate 0.002 there, 0.001 here"),
        ({"train": {"seed": 8, "restore": ["optimizer"]}}, 'params.train.restore [] there, ["optimizer"] here'),
    ],
    ids=str,
)
def test_a_state_of_other_params_is_not_used_and_both_are_said(
    ready: Project, changes: dict[str, dict[str, Any]], said: str
) -> None:
    path = paused(ready)
    ready.space.params(**changes)
    done = ready.run("train")
    assert f"train: {path.relative_to(ready.root)} (epoch 1, step 2) is not used: " in done.out
    assert said in done.out
    assert "cold start" in done.out
    assert path.is_file(), "it may be wanted again"


def test_a_state_of_another_dataset_is_not_used(ready: Project) -> None:
    paused(ready)
    ready.add("more", pictures(range(50, 60), "cat", "dog"))
    done = ready.upto("train")
    assert done.code == 75, done.err
    assert " is not used: dataset " in done.out


def test_a_state_of_other_libraries_is_not_used(ready: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.learning import engine

    paused(ready)
    versions = engine.versions()
    monkeypatch.setattr(engine, "versions", lambda: versions | {"keras": "4.0.0"})
    done = ready.run("train")
    assert f" is not used: libraries.keras {versions['keras']} there, 4.0.0 here" in done.out


def test_a_state_moved_from_another_training_is_refused(ready: Project) -> None:
    path = paused(ready)
    ready.space.params(train={"seed": 8})
    assert ready.run("train").code == 75
    other = next(found for found in states(ready) if found.parent != path.parent)
    other.with_name("epoch-0099.checkpoint").write_bytes(path.read_bytes())
    done = ready.run("train")
    assert done.code == 1
    assert "is a checkpoint of another training: params.train.seed 7 there, 8 here; move it to where it" in done.error


def test_a_damaged_state_gives_way_to_the_one_before(ready: Project) -> None:
    path = paused(ready)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = ready.run("train")
    assert f"train: warning: {path.relative_to(ready.root)} is damaged" in done.err
    assert "train: resume: epoch 1, step 2" in done.out


def test_a_place_that_cannot_be_written_to_is_an_error_before_training(ready: Project) -> None:
    for path in states(ready):
        path.unlink()
    ready.space.params(budget={"max_steps": 1})
    ready.run("train")
    (folder,) = {path.parent for path in states(ready)}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_bytes(b"")  # a file where a folder should be: root may write to read-only folders
    done = ready.run("train")
    assert done.code == 1
    assert "train: error: the state of training cannot be saved: " in done.err
    assert "Traceback" not in done.err
    assert "FAILED" in status(ready)
