"""`python -m pipeline checkpoints` lists what is kept; `run --from-epoch` goes back to it, by way of DVC."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from project import MadeOnce, Project, pictures, pipeline, ran

from benchmarks.workspace import CHECKOUT
from pipeline.learning import checkpoint


@pytest.fixture
def kept(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose first cycle kept the states of 4 epochs; its params.yaml has its comments."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        text = (CHECKOUT / "params.yaml").read_text()
        for old, new in {
            "max_epochs: auto": "max_epochs: 4", "batch_size: 32": "batch_size: 16",
            "image_size: auto": "image_size: 8", "min_split: 10": "min_split: 3", "keep: 2": "keep: all",
            "min_accuracy: 0.5": "min_accuracy: 0.0", "margin: 0.01": "margin: 0.99",
        }.items():  # fmt: skip
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (root / "params.yaml").write_text(text)
        project.add("first", pictures(range(30), "cat", "dog"))
        done = project.space.repro(quiet=True)
        assert done.code == 0, done.output
        project.space.commit("First cycle")

    return made_once("kept cycle", make).copy(tmp_path / "clone")


def setting(project: Project) -> Any:
    return yaml.safe_load((project.root / "params.yaml").read_text())["train"]["from_epoch"]


def name(project: Project) -> str:
    """Of the training of the first cycle."""
    (folder,) = (project.root / "data/scratch/training").glob("*-finished")
    return folder.name.removesuffix("-finished")


def test_epochs_are_listed_with_scores_rate_time_and_size_and_the_best_is_marked(kept: Project) -> None:
    history = kept.space.read("model/training.json")["history"]
    best = kept.space.read("training.json")["best_epoch"]
    done = kept.call("checkpoints")
    assert done.code == 0, done.err
    title, header, *rows, empty, total = done.out.splitlines()
    size = r"\d+\.\d MB"
    assert re.fullmatch(
        rf"training {name(kept)}: of this cycle, with these settings; finished; {size} in "
        rf"data/scratch/training/{name(kept)}-finished",
        title,
    )
    assert header.split() == ["epoch", "val_loss", "val_accuracy", "learning", "rate", "saved", "size"]
    for epoch, row in enumerate(rows):
        now = history[epoch]
        numbers = f"{epoch} +{now['val_loss']:.4f} +{now['val_accuracy']:.4f} +{now['learning_rate']:.3g}"
        mark = "  best" if epoch == best else ""
        assert re.fullmatch(rf" +{numbers}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d  {size}{mark}", row), row
    assert len(rows) == 5
    assert empty == ""
    assert re.fullmatch(rf"in all {size}; delete the folder of a training to free its space", total)


def test_what_a_training_belongs_to_is_said(kept: Project) -> None:
    kept.space.params(train={"monitor": "accuracy", "learning_rate": 0.001})
    other = kept.call("checkpoints")
    assert ": of this cycle (params.train.learning_rate 0.002 there, 0.001 here, params.train.monitor val_" in other.out
    kept.add("more", pictures(range(50, 60), "cat", "dog"))
    assert kept.upto("prepare").code == 0
    assert ": of another cycle; finished; " in kept.call("checkpoints").out
    (kept.root / "data/cycle/dataset/dataset.json").unlink()
    assert ": of another cycle; finished; " in kept.call("checkpoints").out


def test_an_unfinished_training_is_listed_too_and_a_best_epoch_that_is_not_kept(kept: Project) -> None:
    kept.space.params(train={"seed": 8, "monitor": "val_accuracy", "mode": "min"}, budget={"max_steps": 8})
    assert kept.run("train").code == 75
    path = next(path for path in (kept.root / "data/scratch/training").iterdir() if len(path.name) == 16)
    history = checkpoint.read(max(path.glob("*-step-*")))[0].history
    best = min(range(3), key=lambda epoch: history[epoch]["val_accuracy"])
    (path / f"epoch-{best:04d}.checkpoint").unlink()
    done = kept.call("checkpoints")
    assert (
        f"training {path.name}: of this cycle, with these settings; unfinished, in epoch 3 after step 2; " in done.out
    )
    assert re.search(rf"^ +{best}( +-){{5}}  best, not kept$", done.out, re.M)


def test_where_none_is_kept_one_line_says_so_and_a_run_back_is_refused(project: Project) -> None:
    done = project.call("checkpoints")
    assert done.code == 0
    assert done.out == (
        "checkpoints: none in data/scratch/training; training writes them, and checkpoint.keep says which are kept\n"
    )
    back = project.call("run", "--from-epoch", "7")
    assert back.error == (
        "run: error: epoch 7 of a training of this cycle is not kept in data/scratch/training: none is "
        "(checkpoint.keep says which will be)"
    )


def test_listing_does_not_load_tensorflow(kept: Project) -> None:
    script = "import sys; from pipeline.__main__ import main; main(['checkpoints']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=kept.root, env=dict(kept.space.env), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "training " in done.stdout
    assert not {"tensorflow", "keras", "mlflow", "dvc"} & set(done.stdout.splitlines()[-1].split())


def test_run_goes_back_to_an_epoch_as_the_result_and_dvc_goes_on_to_promote(kept: Project) -> None:
    """Only what a person chose changes in params.yaml; DVC reruns train and what follows, and then nothing."""
    before = (kept.root / "params.yaml").read_text()
    done = pipeline(kept, "run", "--from-epoch", "1", "--finish")
    assert done.code == 0, done.err
    target = f"{name(kept)}/1 finish"
    assert f"run: params.yaml says train.from_epoch: {target}; set it to null together with the next batch" in done.out
    assert (kept.root / "params.yaml").read_text() == before.replace("from_epoch: null", f"from_epoch: {target}")
    assert all(f"\n{stage}: " in f"\n{done.out}" for stage in ("resolve", "train", "evaluate", "promote"))
    assert "evaluate: " in done.out
    assert "promote: v2 " in done.out
    assert kept.space.read("model/training.json")["is_chosen"]
    kept.space.commit("Epoch 1")
    again = kept.space.repro(quiet=True)
    assert ran(again.output) == {"resolve", "promote"}
    assert "nothing to do: v2 is registered" in again.output
    assert kept.space.git("status", "--porcelain") == ""
    # Set back, the undisturbed model is there again, and nothing is trained.
    kept.space.params(train={"from_epoch": None})
    (kept.root / "params.yaml").write_text(before)
    undone = kept.space.repro(quiet=True)
    assert undone.code == 0, undone.output
    assert "train: epoch" not in undone.output
    assert not kept.space.read("model/training.json")["is_chosen"]


def test_run_goes_on_from_the_best_epoch(kept: Project) -> None:
    best, first = kept.space.read("training.json")["best_epoch"], name(kept)
    kept.space.params(train={"learning_rate": 0.0005, "max_epochs": 6})
    done = pipeline(kept, "run", "--from-epoch", "best")
    assert done.code == 0, done.err
    assert setting(kept) == f"{first}/{best}"
    assert f"train: back to epoch {best} of training {first} (train.from_epoch)" in done.out
    assert "promote: v2 " in done.out
    history = kept.space.read("model/training.json")["history"]
    assert [round(row["learning_rate"], 7) for row in history] == [0.002] * (best + 1) + [0.0005] * (6 - best)
    # Of two trainings of this cycle a person has to say which.
    both = (
        r"epoch best is kept of 2 trainings of this cycle; say which: --from-epoch \w{16}/\d or --from-epoch \w{16}/\d$"
    )
    said = kept.call("run", "--from-epoch", "best").error
    assert re.search(both, said)
    assert setting(kept) == f"{first}/{best}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--finish"], "--finish says that an epoch is the result; say which one with --from-epoch EPOCH"),
        (["--from-epoch", "last"], "--from-epoch 'last': expected the number of an epoch, best, or TRAINING/EPOCH"),
        (["--from-epoch", "9"], "epoch 9 of a training of this cycle is not kept in data/scratch/training: kept are "),
        (["--from-epoch", f"{'0' * 16}/1"], f"epoch 1 of training {'0' * 16} is not kept in data/scratch/training: "),
    ],
    ids=str,
)
def test_what_cannot_be_gone_back_to_is_one_line_and_changes_nothing(
    kept: Project, words: list[str], said: str
) -> None:
    before = (kept.root / "params.yaml").read_bytes()
    done = kept.call("run", *words)
    assert done.code == 1
    assert said in done.error
    assert (kept.root / "params.yaml").read_bytes() == before


def test_a_file_of_settings_that_is_written_otherwise_is_left_to_the_person(kept: Project) -> None:
    path = kept.root / "params.yaml"
    text = path.read_text().replace("start_at_drift: null", "start_at_drift: &none null")
    path.write_text(text.replace("from_epoch: null", "from_epoch: *none"))
    error = kept.call("run", "--from-epoch", "1").error
    expected = f"expected each setting as a plain `name: value`; set train.from_epoch: {name(kept)}/1 there yourself"
    assert error == f"run: error: params.yaml: {expected}"
    assert setting(kept) is None
