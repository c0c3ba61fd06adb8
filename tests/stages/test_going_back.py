"""The stage train with states that are kept: what is on disk, going back to an epoch, an epoch as the result."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from project import Done, MadeOnce, Project, pictures

from pipeline.base import files
from pipeline.learning import checkpoint


@pytest.fixture
def kept(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project that trained 4 epochs of 3 steps, and kept them all."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(
            train={"max_epochs": 4, "patience": 9, "batch_size": 16, "reduce_patience": 1, "min_delta": 10.0},
            checkpoint={"keep": "all"},
        )
        project.add("first", pictures(range(30), "cat", "dog"))
        done = project.upto("train")
        assert done.code == 0, done.err

    return made_once("kept", make).copy(tmp_path / "clone")


def folders(project: Project) -> dict[str, list[str]]:
    """Names of the states by that of their folder."""
    training = project.root / "data/scratch/training"
    return {path.name: sorted(one.stem for one in path.iterdir()) for path in training.iterdir() if path.is_dir()}


def name(project: Project) -> str:
    """Of the one training that is finished."""
    (folder,) = folders(project)
    return folder.removesuffix("-finished")


def outcome(project: Project) -> dict[str, str]:
    """SHA-256 of every byte that training gave, but for training.json of the model, which names the run."""
    cycle = project.root / "data/cycle"
    paths = [*sorted((cycle / "model").iterdir()), cycle / "curves.csv", cycle / "training.json"]
    files = [path for path in paths if path.parent.name != "model" or path.name != "training.json"]
    return {str(path.relative_to(cycle)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def training(project: Project) -> dict[str, Any]:
    return dict(project.space.read("model/training.json"))


def back(project: Project, epoch: int, finish: str = "", **train: Any) -> Done:
    """Train after a person went back to an epoch."""
    project.space.params(train={"from_epoch": f"{name(project)}/{epoch}{finish}", **train})
    return project.run("train")


def test_a_finished_training_keeps_the_end_of_each_epoch(kept: Project) -> None:
    ((folder, states),) = folders(kept).items()
    assert re.fullmatch("[0-9a-f]{16}-finished", folder)
    assert states == ["epoch-0000", "epoch-0001", "epoch-0002", "epoch-0003", "epoch-0004"]


@pytest.mark.parametrize(("keep", "number"), [(2, 0), (5, 0), ("best 2", 2)], ids=str)
def test_what_is_kept_changes_no_byte_of_the_model_and_trains_nothing_again(
    kept: Project, keep: object, number: int
) -> None:
    expected, whole = outcome(kept), training(kept)
    kept.space.params(checkpoint={"keep": keep, "steps": 1})
    done = kept.run("train")
    assert done.code == 0, done.err
    assert "cold start" in done.out, "and not on from those of the training before"
    assert outcome(kept) == expected
    assert training(kept) == whole
    found = folders(kept)
    assert len(found.get(f"{name(kept)}-finished", ())) == (number or 5), "else those of before stay"


def test_gone_back_with_the_same_settings_the_model_is_the_same_to_the_last_byte(kept: Project) -> None:
    expected, whole = outcome(kept), training(kept)
    done = back(kept, 2)
    assert done.code == 0, done.err
    assert f"train: back to epoch 2 of training {name_of(done)} (train.from_epoch)" in done.out
    assert "train: resume: epoch 3, step 1, after " in done.out
    assert outcome(kept) == expected
    found = training(kept)
    assert found["run_key"] != whole["run_key"], "who went back is another cycle to the registry"
    said = f"{whole['start_reason']}; back to epoch 2 of training {name_of(done)}, as a person chose (train.from_epoch)"
    assert found["start_reason"] == said
    assert {**found, "run_key": 0, "start_reason": 0} == {**whole, "run_key": 0, "start_reason": 0}


def name_of(done: Done) -> str:
    """The training that was gone back to."""
    return re.findall("back to epoch [0-9]+ of training ([0-9a-f]{16})", done.out)[0]


def test_gone_back_and_paused_it_goes_on_from_its_own_state(kept: Project) -> None:
    expected = outcome(kept)
    kept.space.params(budget={"max_steps": 2})
    said = [back(kept, 2)]
    while said[-1].code == 75:
        said.append(kept.run("train"))
        assert len(said) < 9
    assert said[-1].code == 0, said[-1].err
    assert [" (train.from_epoch)\n" in done.out for done in said] == [True, *[False] * (len(said) - 1)]
    assert outcome(kept) == expected


def test_gone_back_with_another_learning_rate_the_epochs_before_stay_and_those_after_have_it(kept: Project) -> None:
    whole = training(kept)
    done = back(kept, 2, learning_rate=0.001)
    assert done.code == 0, done.err
    history, before = training(kept)["history"], whole["history"]
    assert history[:3] == before[:3]
    assert [row["learning_rate"] for row in history[3:]] == pytest.approx(
        [row["learning_rate"] / 2 for row in before[3:]], rel=1e-6
    )
    assert history[3:] != before[3:]


def test_a_chosen_epoch_is_the_result_and_all_say_that_a_person_chose_it(kept: Project) -> None:
    whole = training(kept)
    done = back(kept, 1, " finish")
    assert done.code == 0, done.err
    assert "train: stopped by a person's choice of epoch 1 (train.from_epoch); epoch 1 is kept; 3 steps in " in done.out
    found = training(kept)
    assert (found["best_epoch"], found["epochs"], found["is_chosen"]) == (1, 1, True)
    assert found["history"] == whole["history"][:2]
    assert found["stop_reason"] == "a person's choice of epoch 1 (train.from_epoch)"
    assert ",chosen and stopped" in (kept.root / "data/cycle/curves.csv").read_text()
    rest = kept.run("evaluate", "promote")
    assert rest.code == 0, rest.err
    card = (kept.root / "data/cycle/report.md").read_text()
    assert "epoch 1 of 1 is chosen by a person" in card
    assert "as a person chose (train.from_epoch)" in card
    registered = kept.mlflow.get_model_version("evergreen", "1")
    run = kept.mlflow.get_run(registered.run_id)
    assert run.data.tags["evergreen.stop"] == found["stop_reason"]
    assert run.data.params["train.from_epoch"] == f"{name_of(done)}/1 finish"


def test_a_chosen_epoch_that_was_registered_is_not_taken_for_the_undisturbed_training(kept: Project) -> None:
    expected = outcome(kept)
    target = f"{name(kept)}/1 finish"
    kept.space.params(train={"from_epoch": target})
    kept.cycle()
    chosen = outcome(kept)
    kept.space.params(train={"from_epoch": None})
    done = kept.upto("train")
    assert "nothing to train" not in done.out
    assert outcome(kept) == expected
    kept.space.params(train={"from_epoch": target})
    for path in (kept.root / "data/scratch/training").glob("*/*.checkpoint"):
        path.unlink()
    again = kept.upto("train")
    assert again.code == 0, again.err
    assert "nothing to train, v1 was trained from the same inputs; taken from the registry" in again.out
    assert outcome(kept) == chosen, "no state is needed where the registry has it"


def test_a_chosen_epoch_of_a_warm_start_is_served_as_it_is_also_after_a_promotion(kept: Project) -> None:
    """No share of the parent is mixed in, and no audit comes after it: a person chose these weights."""
    assert kept.run("evaluate", "promote").code == 0
    kept.promote()
    kept.space.params(train={"warm_epochs": 3, "audit_every": 2})
    for number in (1, 2):
        before = set(folders(kept))
        kept.add(f"more{number}", pictures(range(50 * number, 50 * number + 20), "cat", "dog"))
        kept.cycle()
        kept.promote()
    assert training(kept)["audit"] is not None
    (last,) = (folder.removesuffix("-finished") for folder in folders(kept).keys() - before)
    kept.space.params(train={"from_epoch": f"{last}/2 finish"})
    done = kept.upto("train")
    assert done.code == 0, done.err
    assert "train: audit: an epoch that a person chose gets none; the next is due in 2 cycles" in done.out
    found = training(kept)
    assert (found["start"], found["best_epoch"], found["share"], found["blended"]) == ("warm", 2, 1.0, [])
    state, _ = checkpoint.read(kept.root / f"data/scratch/training/{last}-finished/epoch-0002.checkpoint")
    served = files.read_arrays(kept.root / "data/cycle/model/weights.npz")
    assert all((served[at] == state.now.average[at]).all() for at in served)


def test_an_epoch_that_is_not_kept_is_refused(kept: Project) -> None:
    done = back(kept, 9)
    assert done.code == 1
    assert f"epoch 9 of training {name(kept)} is not kept in data/scratch/training: kept are " in done.error
    assert f"{name(kept)}/0, 1, 2, 3, 4; choose one of them with " in done.error


def test_an_epoch_of_other_data_is_refused_and_the_remedy_works(kept: Project) -> None:
    target = f"{name(kept)}/2"
    kept.add("more", pictures(range(50, 60), "cat", "dog"))
    kept.space.params(train={"from_epoch": target})
    done = kept.upto("train")
    assert done.code == 1
    assert "is of another training than this one can go on from: dataset " in done.error
    assert done.error.endswith("; put back what differs, or set train.from_epoch: null")
    kept.space.params(train={"from_epoch": None})
    assert kept.run("train").code == 0


def test_an_epoch_of_another_network_is_refused(kept: Project) -> None:
    done = back(kept, 2, optimizer="sgd", average=0)
    assert done.code == 1
    assert (
        "params.train.optimizer adamw there, sgd here, params.train.average 2.0 there, 0.0 here; put back" in done.error
    )


def test_a_folder_that_cannot_be_written_to_is_an_error_before_training(
    kept: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.learning.checkpoint import Folder

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "save", fail)
    done = back(kept, 2)
    assert done.code == 1
    assert "the state of training cannot be saved: [Errno 28] No space left on device; free space or" in done.error


def test_an_unfinished_training_can_be_gone_back_in_and_finished(kept: Project) -> None:
    kept.space.params(train={"seed": 8}, budget={"max_steps": 8})
    assert kept.run("train").code == 75
    (folder,) = [folder for folder in folders(kept) if not folder.endswith("-finished")]
    assert folders(kept)[folder] == ["epoch-0000", "epoch-0001", "epoch-0002", "epoch-0003-retry-0-step-000002"]
    kept.space.params(train={"from_epoch": f"{folder}/1 finish"})
    done = kept.run("train")
    assert done.code == 0, done.err
    assert training(kept)["best_epoch"] == 1
    kept.space.params(train={"from_epoch": None})
    on = kept.run("train")
    assert "train: resume: epoch 3, step 3" in on.out, "nothing is lost"
