"""Streams of cycles: which photographs have come, which are new, which labels there are."""

from collections.abc import Callable, Container
from dataclasses import dataclass

import numpy as np

from benchmarks.photos.photos import Photos

GROWING = 3
"""Labels that come later, in a stream of new labels."""


@dataclass(frozen=True)
class Cycle:
    """What there is at the end of a cycle."""

    came: np.ndarray
    """Rows of the photographs, in the order in which they came; those for validation are among them."""
    num_new: int
    """The last so many of them are new."""
    labels: tuple[int, ...]
    """Those that are known, in the order of the model's outputs."""
    newcomer: int | None = None
    """The one that is new in this cycle."""


@dataclass(frozen=True)
class Stream:
    """Cycles of growing data; the first is where all arms start from."""

    title: str
    make: Callable[[Photos, np.random.Generator], list[Cycle]]
    scored: tuple[int, ...]
    """Cycles where scratch is trained too; in between its cost is interpolated. Two of them are neighbours, for its
    flips."""
    size: int
    """Photographs that it needs besides those that test."""
    begins_as: str | None = None
    """Another stream with the same first cycle."""


def growing(first: int, step: int, cycles: int) -> Callable[[Photos, np.random.Generator], list[Cycle]]:
    """Photographs of one distribution, more in each cycle."""

    def make(photos: Photos, rng: np.random.Generator) -> list[Cycle]:
        order, every = rng.permutation(np.flatnonzero(~photos.is_test)), tuple(range(len(photos.names)))
        sizes = [first + step * cycle for cycle in range(cycles + 1)]
        return [Cycle(order[:size], min(step, size), every) for size in sizes]

    return make


def widening(first: int, step: int, each: int) -> Callable[[Photos, np.random.Generator], list[Cycle]]:
    """All labels but three, then one more in every other cycle, with photographs of all known ones in between.

    Args:
        first: photographs of the first cycle.
        step: of each other one.
        each: training photographs that a new label comes with; the rest of its cycle shows labels that are known.
    """

    def make(photos: Photos, rng: np.random.Generator) -> list[Cycle]:
        waiting = [int(row) for row in rng.permutation(np.flatnonzero(~photos.is_test))]
        labels = [int(label) for label in rng.permutation(len(photos.names))]
        came: list[int] = []

        def take(count: int, known: Container[int]) -> None:
            some = [row for row in waiting if photos.labels[row] in known][:count]
            came.extend(some)
            waiting[:] = [row for row in waiting if row not in set(some)]

        def welcome(label: int) -> int:
            """Photographs of a new label, and those for validation that come on the way; gives how many."""
            rows = [row for row in waiting if photos.labels[row] == label]
            num_trained = np.cumsum([not photos.is_val[row] for row in rows])
            count = int(np.searchsorted(num_trained, each)) + 1
            take(count, {label})
            return count

        known = labels[:-GROWING]
        take(first, known)
        cycles = [Cycle(np.array(came), len(came), tuple(known))]
        for cycle in range(1, 2 * GROWING + 1):
            if cycle % 2:
                newcomer, before = labels[len(known)], list(known)
                known = [*known, newcomer]
                take(step - welcome(newcomer), before)
            else:
                take(step, known)
            cycles.append(Cycle(np.array(came), step, tuple(known), newcomer if cycle % 2 else None))
        return cycles

    return make


def first_of(stream: str) -> str:
    """The stream whose first cycle a stream has."""
    return STREAMS[stream].begins_as or stream


NEW_LABELS = (1, 3, 5, 6)
STREAMS = {
    "P1": Stream("i.i.d. growth, 600 to 1,800 in 8 cycles of 150", growing(600, 150, 8), (2, 5, 7, 8), 1800),
    "P2": Stream("new labels in every other cycle, 75 of each, 450 to 1,350 in 6 cycles",
                 widening(450, 150, 75), NEW_LABELS, 1350),
    "P2-20": Stream("new labels in every other cycle, 20 of each", widening(450, 150, 20), NEW_LABELS, 1350, "P2"),
    "P2-10": Stream("new labels in every other cycle, 10 of each", widening(450, 150, 10), NEW_LABELS, 1350, "P2"),
    "P2-5": Stream("new labels in every other cycle, 5 of each", widening(450, 150, 5), NEW_LABELS, 1350, "P2"),
    "P3": Stream("small pushes of 20, 1,600 to 1,800 in 10 cycles", growing(1600, 20, 10), (4, 9, 10), 1800),
    "quick": Stream("300 to 400 in 2 cycles", growing(300, 50, 2), (1, 2), 400),
    "quick new": Stream("new labels in every other cycle, 10 of each, 150 to 390 in 6 cycles",
                        widening(150, 40, 10), (5, 6), 390),
}  # fmt: skip
QUICK = ("quick", "quick new")
"""To see that all of it works; they say nothing."""
