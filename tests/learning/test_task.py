"""What a cycle is to train: by what it is named, when there is nothing to learn, how much there is to spend."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.data import dataset
from pipeline.learning.task import Task
from pipeline.settings import Params

PARENT = {"version": 4, "lineage": {"files": {"model/weights.npz": "abc"}}, "ladder": {"rung": 0, "cycles": 0}}
DUE = PARENT | {"ladder": {"rung": 0, "cycles": 2}}
"""Its next cycle is audited."""


@pytest.fixture
def task(tmp_path: Path, settings: Params):
    """A task with some things other than usual: `task(known=4, new=2, train={"replay": 10})`."""

    def made(known: int = 4, new: int = 2, pinned: Any = PARENT, is_unchanged: bool = False, **sections: Any) -> Task:
        sizes = {"train": known + new, "val": 1, "holdout": 1}
        folder = tmp_path / "dataset"
        folder.mkdir(exist_ok=True)
        for split, size in sizes.items():
            np.save(dataset.file(folder, split, 8, 3), np.zeros((size, 8, 8, 3), np.uint8))
        tables = {}
        for split, size in sizes.items():
            names = [f"{split}{at}" for at in range(size)]
            is_new = [split == "train" and at >= known for at in range(size)]
            tables[split] = pl.DataFrame(
                {"digest": names, "label": [0] * size, "is_new": is_new, "is_unlearned": is_new}
            )
        written = dataset.write(
            folder, tables, labels=["cat"], image_shape=(8, 8, 3), num_images=9, num_added=new,
            is_unchanged=is_unchanged,
        )  # fmt: skip
        usual = {"train": {"audit_every": 3}, "prepare": {"replay": 20}}
        changes = {name: usual[name] | sections.get(name, {}) for name in usual}
        chosen = settings.model_copy(
            update={name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
        )
        return Task(written, pinned, chosen)

    return made


@pytest.mark.parametrize(
    ("changes", "is_another"),
    [
        ({}, False),
        ({"train": {"seed": 8}}, True),
        ({"train": {"blend": ()}}, True),
        ({"new": 3}, True),
        ({"pinned": DUE}, True),
        ({"pinned": {"version": None}}, True),
        ({"pinned": PARENT | {"lineage": {"files": {"model/weights.npz": "abd"}}}}, True),
        ({"pinned": PARENT | {"run_id": "another"}}, False),
        ({"prepare": {"replay": 10}}, False),
    ],
    ids=str,
)
def test_the_key_names_what_makes_another_model(task, changes, is_another) -> None:
    assert (task(**changes).key != task().key) == is_another


def test_an_audited_cycle_is_another_with_another_replay(task) -> None:
    """All images are in its dataset, whatever is replayed."""
    assert task(pinned=DUE).key != task(pinned=DUE, prepare={"replay": 10}).key


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
    assert (task(**changes).limit.max_epochs == 0) == is_idle


def test_without_anything_to_learn_val_loss_is_what_is_scored(task) -> None:
    limit = task(is_unchanged=True, train={"monitor": "accuracy", "mode": "max", "target": 0.9}).limit
    assert (limit.monitor, limit.mode, limit.target) == ("val_loss", "auto", None)


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
    assert (made.limit.max_epochs, made.limit.replay) == (epochs, replay)
    assert (made.audit_limit.max_epochs, made.audit_limit.replay) == (60, "all")
