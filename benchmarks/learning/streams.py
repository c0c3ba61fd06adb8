"""Streams of cycles: which images there are, and which are new."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Images:
    """CIFAR-10, decoded by the product: uint8 (images, 16, 16, 3), int64 (images,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


@dataclass(frozen=True)
class Cycle:
    """What there is at the end of a cycle, as rows of the images."""

    train: np.ndarray
    """In the order in which they came."""
    num_new: int
    """The last so many of them are new."""
    val: np.ndarray
    test: np.ndarray
    num_labels: int = len(LABELS)


@dataclass(frozen=True)
class Stream:
    """Cycles of growing data; the first is where all arms start from."""

    title: str
    make: Callable[["Images", np.random.Generator], list[Cycle]]
    scored: tuple[int, ...]
    """Cycles where scratch is trained too; in between its cost is interpolated. Two of them are neighbours, for its
    flips."""
    noise: float = 0.0
    """Share of the training and validation labels that are wrong."""
    seeds: int = 3
    """How many of the seeds to play at most; the targets are for five."""
    is_imbalanced: bool = False
    """Whether it is scored too as if test images were as many of each label as training images are."""


def growing(first: int, step: int, cycles: int) -> Callable[[Images, np.random.Generator], list[Cycle]]:
    """Images of one distribution, more in each cycle."""

    def make(images: Images, rng: np.random.Generator) -> list[Cycle]:
        order, test = rng.permutation(len(images.train)), np.arange(len(images.test))
        sizes = [first + step * cycle for cycle in range(cycles + 1)]
        return [Cycle(order[:size], min(step, size), order[-1000:], test) for size in sizes]

    return make


def brightening(images: Images, rng: np.random.Generator) -> list[Cycle]:
    """From the darkest half to all, brighter with each cycle; validated and tested on what has come so far."""
    order = rng.permutation(len(images.train))
    light = images.train.mean(axis=(1, 2, 3))
    train, val = (rows[np.argsort(light[rows])] for rows in (order[:5000], order[-1000:]))
    tested = images.test.mean(axis=(1, 2, 3))
    cycles = []
    for size in range(2500, 5001, 250):
        limit = light[train[size - 1]] if size < 5000 else np.inf
        cycles.append(Cycle(train[:size], 250, val[light[val] <= limit], np.flatnonzero(tested <= limit)))
    return cycles


def widening(images: Images, rng: np.random.Generator) -> list[Cycle]:
    """Six labels, then one more in every other cycle, with more images of all in between."""
    order = rng.permutation(len(images.train))
    labels = images.train_labels[order]
    train, val = order[:-1000], order[-1000:]
    waiting = [list(train[labels[:-1000] == label]) for label in range(10)]

    def some(count: int, known: Sequence[int]) -> list[int]:
        return [waiting[known[at % len(known)]].pop() for at in range(count)]

    came = some(2500, range(6))
    cycles = []
    for cycle in range(9):
        known = 6 + (cycle + 1) // 2
        if cycle:
            came = came + (some(250, [known - 1]) if cycle % 2 else some(250, range(known)))
        val_rows = val[images.train_labels[val] < known]
        cycles.append(Cycle(np.array(came), 250, val_rows, np.flatnonzero(images.test_labels < known), known))
    return cycles


RATIO = 20
"""Images of the largest label, divided by those of the smallest."""


def imbalanced(first: int, step: int, cycles: int) -> Callable[[Images, np.random.Generator], list[Cycle]]:
    """Labels whose images fall off exponentially, as in long-tailed CIFAR (Cui et al., CVPR 2019, arXiv:1901.05555).

    Which label is how rare differs by seed. Validation images are as imbalanced as those of training.
    """

    def make(images: Images, rng: np.random.Generator) -> list[Cycle]:
        order, by_size = rng.permutation(len(images.train)), rng.permutation(len(LABELS))
        shares = RATIO ** (-np.arange(len(LABELS)) / (len(LABELS) - 1))
        sizes = [first + step * cycle for cycle in range(cycles + 1)]
        counts = np.round((sizes[-1] + 500) * shares / shares.sum()).astype(int)
        counts[0] += sizes[-1] + 500 - counts.sum()
        labels = images.train_labels[order]
        came = rng.permutation(
            np.concatenate([order[labels == label][:count] for label, count in zip(by_size, counts, strict=True)])
        )
        test = np.arange(len(images.test))
        return [Cycle(came[500 : 500 + size], min(step, size), came[:500], test) for size in sizes]

    return make


STREAMS = {
    "S1": Stream("i.i.d. growth, 2,500 to 5,000 in 10 cycles", growing(2500, 250, 10), (2, 4, 6, 8, 9, 10), seeds=5),
    "S2": Stream("i.i.d. growth, 1,000 to 5,000 in 8 cycles", growing(1000, 500, 8), (2, 4, 6, 7, 8), seeds=5),
    "S3": Stream("drift: ever brighter images, 2,500 to 5,000 in 10 cycles", brightening, (2, 4, 6, 8, 9, 10)),
    "S4": Stream("new labels: 6 to 10 in 8 cycles", widening, (1, 3, 5, 7, 8)),
    "S5": Stream("10 % wrong labels, 2,500 to 5,000 in 10 cycles", growing(2500, 250, 10), (2, 4, 6, 8, 9, 10), 0.1),
    "S6": Stream("small batches, 4,000 to 5,000 in 10 cycles", growing(4000, 100, 10), (2, 6, 9, 10)),
    "S7": Stream(f"imbalance of {RATIO}, to 2,560 in 3 cycles", imbalanced(1600, 320, 3), (2, 3),
                 is_imbalanced=True),
}  # fmt: skip
