"""What a cycle is to train: by what it is named, when there is nothing to learn, how much there is to spend."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from samples import parent

from pipeline.artifacts.parent import Parent
from pipeline.base import code
from pipeline.data import dataset
from pipeline.learning.task import Task
from pipeline.settings import Params

PARENT = parent(4)
DUE = parent(4, cycles=2)
"""Its next cycle is audited."""


@pytest.fixture
def task(tmp_path: Path, settings: Params):
    """A task with some things other than usual: `task(known=4, new=2, train={"replay": 10})`."""

    def made(
        known: int = 4, new: int = 2, pinned: Parent = PARENT, is_unchanged: bool = False, **sections: Any
    ) -> Task:
        sizes = {"train": known + new, "val": 1, "holdout": 1}
        folder = tmp_path / "dataset"
        folder.mkdir(exist_ok=True)
        for split, size in sizes.items():
            np.save(dataset.file(folder, split, "8x8x3"), np.zeros((size, 8, 8, 3), np.uint8))
        tables = {}
        for split, size in sizes.items():
            names = [f"{split}{at}" for at in range(size)]
            is_new = [split == "train" and at >= known for at in range(size)]
            tables[split] = pl.DataFrame({"digest": names, "label": [0] * size} | dict.fromkeys(dataset.MARKS, is_new))
        written = dataset.write(
            folder, tables, labels=["cat"], image_shape=(8, 8, 3), fit="crop", inputs={"8x8x3": None}, num_images=9,
            num_added=new, num_computed=0,
            num_unlearned=new, num_known=100, is_unchanged=is_unchanged,
            label_counts=[known + new],
        )  # fmt: skip
        usual = {"train": {"audit_every": 3}, "prepare": {"replay": 20}}
        changes = {name: usual[name] | sections.get(name, {}) for name in usual}
        train, prepare = (getattr(settings, name).model_copy(update=changes[name]) for name in usual)
        return Task(written, pinned, train, prepare.replay, "none")

    return made


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({}, False),
        ({"train": {"seed": 8}}, True),
        ({"train": {"blend": ()}}, True),
        ({"new": 3}, True),
        ({"pinned": DUE}, True),
        ({"new": 51}, True),
        ({"pinned": parent(None)}, True),
        ({"pinned": parent(4, files={"model/weights.npz": "c" * 64})}, True),
        ({"pinned": parent(4, run_key="another")}, False),
        ({"prepare": {"replay": 10}}, False),
    ],
    ids=str,
)
def test_the_key_names_what_makes_another_model(task, changes, is_another) -> None:
    assert (task(**changes).key != task().key) == is_another


@pytest.mark.parametrize("changes", [{"pinned": DUE}, {"new": 51}], ids=["due", "many new images"])
def test_an_audited_cycle_is_another_with_another_replay(task, changes) -> None:
    """All images are in its dataset, whatever is replayed."""
    assert task(**changes).plan.is_audited
    assert task(**changes).key != task(**changes, prepare={"replay": 10}).key


@pytest.mark.parametrize(
    ("changes", "is_idle"),
    [
        ({}, False),
        ({"known": 0, "new": 0}, True),
        ({"known": 0, "new": 0, "train": {"start": "cold"}}, True),
        ({"is_unchanged": True}, True),
        ({"is_unchanged": True, "train": {"start": "shrink"}}, True),
        ({"is_unchanged": True, "train": {"start": "cold"}}, False),
        ({"new": 0}, False),
        ({"new": 0, "train": {"replay": 10}}, True),
        ({"new": 0, "pinned": DUE}, True),
        ({"new": 0, "train": {"replay": 10, "start": "shrink"}}, False),
    ],
    ids=str,
)
def test_nothing_is_to_be_learned_without_images_or_a_change(task, changes, is_idle) -> None:
    assert task(**changes).is_idle == is_idle
    assert (task(**changes).train_now.max_epochs == 0) == is_idle


def test_without_anything_to_learn_val_loss_is_what_is_scored(task) -> None:
    now = task(is_unchanged=True, train={"monitor": "accuracy", "mode": "max", "target": 0.9}).train_now
    assert (now.monitor, now.mode, now.target) == ("val_loss", "auto", None)


@pytest.mark.parametrize(
    ("changes", "epochs", "replay"),
    [
        ({}, 8, "all"),  # 24 passes, 6 images an epoch: 4 epochs for each of the 2 new ones
        ({"new": 4}, 10, "all"),
        ({"train": {"replay": 1}}, 10, 1),
        ({"pinned": DUE, "prepare": {"replay": 1}}, 10, 1),
        ({"pinned": DUE, "prepare": {"replay": "all"}}, 8, "all"),
        ({"train": {"start": "shrink", "replay": 1}}, 60, "all"),
        ({"train": {"start": "cold", "replay": 1}}, 60, "all"),
    ],
    ids=str,
)
def test_a_warm_start_spends_by_what_is_new_and_another_all_it_needs(task, changes, epochs, replay) -> None:
    spent = {"passes_per_new": 24, "warm_epochs": 10, "max_epochs": 60, "replay": "all"}
    made = task(**{**changes, "train": spent | {"audit_every": 3} | changes.get("train", {})})
    assert (made.train_now.max_epochs, made.train_now.replay) == (epochs, replay)
    assert (made.train_on_all.max_epochs, made.train_on_all.replay) == (60, "all")


def test_only_a_warm_start_repeats_what_is_new(task) -> None:
    assert task(train={"repeat_new": 3}).train_now.repeat_new == 3
    assert task(train={"repeat_new": 3}).train_on_all.repeat_new == 1
    assert task(train={"repeat_new": 3, "start": "cold"}).train_now.repeat_new == 1


def test_the_inputs_name_what_they_always_named(task) -> None:
    """States on disk and runs in the registry are found by them."""
    inputs = task(pinned=DUE).inputs
    assert list(inputs) == ["dataset", "parent", "start", "params", "code", "own code"]
    assert (inputs["parent"], inputs["start"], inputs["own code"]) == ("a" * 64, "warm, audited", None)
    assert (inputs["params"]["train.audit_every"], inputs["params"]["prepare.replay"]) == (3, 20)
    assert task(pinned=parent(None)).inputs["parent"] is None


def test_a_users_own_architecture_is_another_model_if_its_code_is_another(task, tmp_path, monkeypatch) -> None:
    """A module that it imports counts; a comment does not."""
    digest = code.digest
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "digest", lambda *names: digest(*names) if names == ("own",) else "of the stage")

    def key(own: str, blocks: str) -> str:
        (tmp_path / "own.py").write_text(own)
        (tmp_path / "blocks.py").write_text(blocks)
        return task(train={"architecture": "own:build"}).key

    before = key("import blocks\n", "filters = 8\n")
    assert key("import blocks  # ours\n", '"""Blocks."""\nfilters = 8\n') == before
    assert key("import blocks\n", "filters = 9\n") != before
