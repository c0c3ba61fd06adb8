"""The promise for the whole life of a project: no champion is ever far below the best that there was. Pure.

A gate that holds its level in each cycle holds nothing over many: losses within the margin add up, and of many equal
challengers it picks the lucky ones. So a challenger is also held against the anchor, the best version that there ever
was, by three rules.

1. On all holdout images it is not worse than the anchor by more than the promise, with a confidence that is spent over
   all cycles that will ever be (Lan and DeMets, Biometrika 70, 1983): see `level`.
2. On the images that came since the anchor was chosen it is not surely worse. Nothing was ever chosen by these, so no
   luck hides a loss there.
3. The next version becomes the anchor only where it is surely better, else luck would move the anchor too.

The promise is the margin of the gate, or what so many images can tell if that is more: see `promised`.
"""

from statistics import NormalDist

import numpy as np

from pipeline.judging.paired import Compared, lower_bound

BLOCK = 100
"""Cycles that share the first half of the risk; each later block is twice as long and has half as much."""

REUSED = 1.65
"""How much wider the promise is than one test on fresh images would make it. The same images judge again and again, and
what was promoted was lucky on just these (Dwork et al., Science 349, 2015). From `python -m benchmarks.gate`."""

DIFFERING = 0.1
"""Share of the holdout images, at least, that only one of two versions gets right. An assumption, made before there are
answers: flips one way are 2 to 8 % of the images (`python -m benchmarks.learning`)."""

COUNTED = 0.25
"""How much an image counts for the promise that came since the anchor was chosen. What was promoted while there were
few images was lucky on few; more images do not undo that before another anchor is chosen with them."""

FRESH = 20
"""Images that came since the anchor was chosen, from which on they are asked."""

FRESH_CONFIDENCE = 0.95
"""Of the bound on these."""

ANCHOR_CONFIDENCE = 0.99
"""That a version is better than the anchor, before it takes its place."""


def level(cycle: int, risk: float) -> float:
    """Probability of a wrong verdict that one cycle may have, so that all of them together stay below the risk.

    Args:
        cycle: how many were judged, this one included; from 1.
        risk: that ever a champion is worse than promised.
    """
    length, share = BLOCK, risk / 2
    while cycle > length:
        cycle, length, share = cycle - length, 2 * length, share / 2
    return share / length


def promised(chosen: float, fresh: float, cycle: int, margin: float, risk: float) -> float:
    """By how much a champion may be worse than the best that there was, accuracy from 0 to 1.

    Args:
        chosen: holdout images that there were when the anchor was chosen (`paired.Balanced.effective`); above 0, with
            the fresh ones.
        fresh: those that came since.
        cycle, risk: see `level`.
        margin: of the gate; the promise is never less.
    """
    deviations = NormalDist().inv_cdf(1 - level(cycle, risk))
    told = REUSED * deviations * (DIFFERING / (chosen + COUNTED * fresh)) ** 0.5
    promise: float = np.maximum(margin, told)  # not `max`: see paired.Counts
    return promise


def is_kept(against_anchor: Compared, promise: float, cycle: int, risk: float) -> bool:
    """Whether a challenger keeps the promise.

    Args:
        against_anchor: on all holdout images, with the anchor in the champion's place.
        promise: see `promised`.
        cycle, risk: see `level`.
    """
    return lower(against_anchor, cycle, risk) >= -promise


def lower(against_anchor: Compared, cycle: int, risk: float) -> float:
    """The difference to the anchor is not less, with the confidence of a cycle; see `is_kept`."""
    return lower_bound(against_anchor, 1 - level(cycle, risk))


def is_worse_on_fresh(against_anchor: Compared) -> bool:
    """Whether a challenger is surely worse than the anchor on images that came since the anchor was chosen.

    Args:
        against_anchor: on these images, with the anchor in the champion's place; there may be none.
    """
    is_worse = lower_bound(against_anchor.turned(), FRESH_CONFIDENCE) > 0
    return (against_anchor.total >= FRESH) & is_worse  # not `and`: see paired.Counts


def is_new_anchor(against_anchor: Compared) -> bool:
    """Whether a new champion is surely better than the anchor, on all holdout images."""
    return lower_bound(against_anchor, ANCHOR_CONFIDENCE) > 0
