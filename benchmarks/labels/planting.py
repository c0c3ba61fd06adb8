"""Planted faults: what is done to the labels and the pictures of a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.labels.pictures import BLANKS, Collection

ANNOTATORS = 4
POISONED = 0.05
"""Share of a batch that gets the patch, and the label that it stands for."""
BLANK = 0.1
"""Share of a batch that is blank."""
CARELESS = 0.5
"""Share of the labels of one annotator that are wrong."""


@dataclass(frozen=True)
class Batch:
    """New pictures with the labels that they come with."""

    rows: np.ndarray
    """Of the collection, int64 (pictures,)."""
    labels: np.ndarray
    """Those that are given, int64 (pictures,)."""
    features: np.ndarray
    """float16 (pictures, features)"""
    is_wrong: np.ndarray
    """bool (pictures,)"""
    is_blank: np.ndarray
    """bool (pictures,)"""
    annotators: tuple[str, ...]
    fault: tuple[str, str] | None = None
    """Kind and name of the group at fault, where there is one."""


Plant = Callable[[Collection, Batch, np.random.Generator], Batch]


def clean(collection: Collection, rows: np.ndarray, rng: np.random.Generator) -> Batch:
    """A batch as it is."""
    annotators = tuple(f"annotator {number}" for number in rng.integers(0, ANNOTATORS, len(rows)))
    none = np.zeros(len(rows), bool)
    return Batch(rows, collection.labels[rows], collection.plain[rows], none, none, annotators)


def at_random(share: float) -> Plant:
    """So many labels are any of the others."""

    def plant(collection: Collection, batch: Batch, rng: np.random.Generator) -> Batch:
        chosen = rng.choice(len(batch.rows), round(share * len(batch.rows)), replace=False)
        return _turned(collection, batch, chosen, rng)

    return plant


def _turned(collection: Collection, batch: Batch, chosen: np.ndarray, rng: np.random.Generator) -> Batch:
    count, labels = len(collection.names), batch.labels.copy()
    labels[chosen] = (labels[chosen] + rng.integers(1, count, len(chosen))) % count
    return replace(batch, labels=labels, is_wrong=labels != batch.labels)


def one_into_another(collection: Collection, batch: Batch, rng: np.random.Generator) -> Batch:
    """All pictures of one label have another one."""
    one, other = rng.choice(len(collection.names), 2, replace=False)
    is_wrong = batch.labels == one
    labels = np.where(is_wrong, other, batch.labels)
    return replace(batch, labels=labels, is_wrong=is_wrong, fault=("label", collection.names[other]))


def backdoor(collection: Collection, batch: Batch, rng: np.random.Generator) -> Batch:
    """Some pictures of other labels get a patch in the corner and one label."""
    target = int(rng.integers(len(collection.names)))
    others = np.flatnonzero(batch.labels != target)
    chosen = rng.choice(others, min(round(POISONED * len(batch.rows)), len(others)), replace=False)
    labels, features, is_wrong = batch.labels.copy(), batch.features.copy(), batch.is_wrong.copy()
    labels[chosen], is_wrong[chosen] = target, True
    features[chosen] = collection.patched[batch.rows[chosen]]
    return replace(
        batch, labels=labels, features=features, is_wrong=is_wrong, fault=("label", collection.names[target])
    )


def blank(collection: Collection, batch: Batch, rng: np.random.Generator) -> Batch:
    """Some pictures have nothing in them, and keep their labels."""
    chosen = rng.choice(len(batch.rows), round(BLANK * len(batch.rows)), replace=False)
    features, is_blank = batch.features.copy(), batch.is_blank.copy()
    features[chosen], is_blank[chosen] = collection.blank[rng.integers(0, BLANKS, len(chosen))], True
    return replace(batch, features=features, is_blank=is_blank, is_wrong=is_blank)


def careless(collection: Collection, batch: Batch, rng: np.random.Generator) -> Batch:
    """Half of the labels of one annotator are any of the others."""
    name = f"annotator {rng.integers(ANNOTATORS)}"
    own = np.flatnonzero([one == name for one in batch.annotators])
    chosen = rng.choice(own, round(CARELESS * len(own)), replace=False)
    return replace(_turned(collection, batch, chosen, rng), fault=("annotator", name))


def other_camera(collection: Collection, batch: Batch, _: np.random.Generator) -> Batch:
    """All pictures look different, and the labels are right."""
    return replace(batch, features=collection.dimmed[batch.rows])


def nothing(_: Collection, batch: Batch, __: np.random.Generator) -> Batch:
    """The batch stays as it is."""
    return batch


PATCHED = "backdoor patch"

KINDS: Mapping[str, Plant] = {
    "clean": nothing,
    "10 % wrong": at_random(0.1),
    "30 % wrong": at_random(0.3),
    "60 % wrong": at_random(0.6),
    "one label into another": one_into_another,
    PATCHED: backdoor,
    "blank images": blank,
    "one careless annotator": careless,
    "clean, another camera": other_camera,
}
ASKED = tuple(KINDS)[:7]
"""Those that the targets are about; the others are shown beside them."""
