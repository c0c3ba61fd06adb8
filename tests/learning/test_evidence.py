"""Evidence on new labels, of a model of which the head alone is trained: by heads that are fitted to features."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.artifacts.model import Description, Frozen
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.data.splits import SPLITS
from pipeline.judging import trust
from pipeline.learning import evidence
from pipeline.learning.contenders import Contender

OLD, NEW, FEATURES = 400, 160, 48
LABELS = ("glass", "metal", "paper", "trash")
NEWCOMER = 3
MAX_WRONG = 0.01


def described(labels: tuple[str, ...]) -> Description:
    return Description(
        architecture="tiny", image_shape=(8, 8, 3), labels=labels, frozen=Frozen(cut="head", weights="abc")
    )


def world(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features around one place for each label, the labels, and which images are new; only those have the new label."""
    rng = np.random.default_rng(seed)
    is_new = np.arange(OLD + NEW) >= OLD
    labels = np.where(is_new, rng.integers(0, 4, OLD + NEW), rng.integers(0, NEWCOMER, OLD + NEW))
    places = np.random.default_rng(7).normal(0, 1, (4, FEATURES))
    places[NEWCOMER] = 0.6 * places[2] + 0.4 * places[NEWCOMER]  # most like one of those that are known
    return (places[labels] + rng.normal(0, 1.2, (OLD + NEW, FEATURES))).astype(np.float16), labels, is_new


def written(folder: Path, features: np.ndarray, labels: np.ndarray, is_new: np.ndarray) -> Dataset:
    """A dataset of them, a third in each split."""
    folder.mkdir()
    name, parts = described(LABELS).inputs, {}
    for number, split in enumerate(SPLITS):
        rows = np.flatnonzero(np.arange(len(labels)) % 3 == number)
        np.save(dataset.file(folder, split, name), features[rows])
        marks = dict.fromkeys(dataset.MARKS, is_new[rows])
        digests = [f"{row:032x}" for row in rows]
        parts[split] = pl.DataFrame({"digest": digests, "label": labels[rows], **marks})
    batches = pl.DataFrame(
        [(f"{row:032x}", "batch", "second" if new else "first") for row, new in enumerate(is_new)],
        schema=["digest", "slice", "value"],
        orient="row",
    )
    nothing = pl.DataFrame(schema={"one": pl.String, "other": pl.String})
    dataset.write_remarks(folder, batches, nothing)
    return dataset.write(
        folder,
        parts,
        labels=LABELS,
        image_shape=(8, 8, 3),
        fit="crop",
        inputs={name: "key"},
        num_images=len(labels),
        num_added=NEW,
        num_unlearned=NEW,
        num_known=OLD,
        num_computed=0,
        is_unchanged=False,
        label_counts=[0] * 4,
    )


def assessed(images: Dataset, believed: tuple[str, ...] = ()) -> tuple[trust.Trust, dict[str, str]]:
    champion, challenger = (
        Contender(described(labels), lambda inputs: inputs, LABELS) for labels in (LABELS[:NEWCOMER], LABELS)
    )
    gathered, _, names = evidence.gather(images, champion, challenger, {}, believed)
    return trust.assess(gathered, MAX_WRONG), names


@pytest.mark.parametrize("seed", range(5))
def test_right_labels_of_a_new_kind_are_trusted(tmp_path: Path, seed: int) -> None:
    """No old image has the label: a head that learned only these says that it is any other one."""
    found, _ = assessed(written(tmp_path / "dataset", *world(seed)))
    assert found.is_trusted, found.reasons
    assert not found.is_doubtful
    assert found.share.estimate < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_beside_a_new_kind_are_still_found(tmp_path: Path, seed: int) -> None:
    features, labels, is_new = world(seed)
    rng, wrong = np.random.default_rng(seed), labels.copy()
    chosen = rng.choice(np.flatnonzero(is_new), 32, replace=False)
    wrong[chosen] = (wrong[chosen] + rng.integers(1, 4, len(chosen))) % 4
    images = written(tmp_path / "dataset", features, wrong, is_new)
    found, names = assessed(images)
    assert not found.is_trusted
    assert 0.08 < found.share.estimate < 0.35
    digests = [digest for split in SPLITS for digest in images.part(split).digests]
    first = {digests[row] for row in found.ranking[: len(chosen)]}
    assert len(first & {f"{row:032x}" for row in chosen}) > 0.6 * len(chosen)
    assert assessed(images, tuple(names.values()))[0].is_trusted, "a person found them right"
