"""Labels whose recall fell by more than they may, and whether that is sure; any slices can stand for labels. Pure."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from pipeline.artifacts.comparison import Finding
from pipeline.base import words
from pipeline.judging.paired import Counts
from pipeline.judging.slicing import Membership, Pairs, Tally

RISK = 0.05
"""Probability that any is said to have surely fallen by more than it may, and has not: over all of them together."""

LEAST = 5
"""Images that anything can be told of: with fewer, `deviations` are wrong more often than they say."""

AT_MOST = 2**20
"""Images; who would need more has no use for the number."""


@dataclass(frozen=True)
class Drop(Tally):
    """How a label fares, or another slice."""

    allowed: float
    """By how much it may fall, 0 to 1."""
    p: float
    """Probability of such a fall if the true one were no more than allowed; corrected over all that are not too few."""
    finding: Finding
    needed: int | None
    """About how many images it would take, if they are too few."""


def deviations(counts: Counts, drop: float) -> Any:
    """By how many standard deviations accuracy fell by more than a given drop; for arrays of counts an array.

    The less of two. The score of Tango (Statistics in Medicine 17, 1998) says too much where next to no image is
    gained, the adjusted Wald interval of Agresti and Min (see `paired.lower_bound`) where few images flip a lot.
    Together they are wrong at most 1.6 times as often as they say, from LEAST images on, whatever flips.

    Args:
        counts: of champion and challenger; may be fractions of images.
        drop: of the accuracy, 0 to 1.
    """
    gained, lost = np.asarray(counts.challenger_only, float), np.asarray(counts.champion_only, float)
    total = np.asarray(counts.total, float)
    linear = (2 * total - lost + gained) * drop - lost - gained
    flips = (np.sqrt(linear**2 + 8 * total * gained * drop * (1 - drop)) - linear) / (4 * total)
    variance = total * (2 * flips + drop * (1 - drop))
    score = (lost - gained - total * drop) / np.sqrt(np.where(variance > 0, variance, np.inf))
    difference = (lost - gained) / (total + 2)
    wald = (difference - drop) / np.sqrt(((lost + gained + 1) / (total + 2) - difference**2) / (total + 2))
    return np.minimum(score, wald)


def _chance(deviating: float) -> float:
    return 1 - NormalDist().cdf(float(deviating))


def judge(pairs: Pairs, labels: Membership, max_drop: float) -> tuple[Drop, ...]:
    """Which labels fell by more than they may.

    Corrected by Holm over those labels that could be told at all, which their numbers of images and of the champion's
    right answers say beforehand (Tarone, Biometrics 46, 1990): many labels of a few images cost the others nothing.

    Args:
        pairs: of the holdout.
        labels: the images of each label; other slices will do as well.
        max_drop: by how much the recall of a label may fall, 0 to 1.

    Returns:
        One for each, in the order of `labels`.
    """
    if not len(labels):
        return ()
    counts, sizes = labels.counts(pairs), labels.sizes
    right = np.asarray(counts.both + counts.champion_only)
    all_lost = Counts(0, right, 0, sizes - right)  # type: ignore[arg-type]  # arrays, see there
    at_best = np.where(sizes >= LEAST, [_chance(one) for one in deviations(all_lost, max_drop)], 1.0)
    shares = _shares(at_best)
    found = deviations(counts, max_drop)
    p = _holm({row: _chance(found[row]) for row in np.flatnonzero(at_best <= RISK / shares).tolist()})
    return tuple(
        _drop(tally, max_drop, p.get(row), RISK / max(shares, len(p) + 1))
        for row, tally in enumerate(labels.tallies(counts))
    )


def _drop(tally: Tally, max_drop: float, p: float | None, risk: float) -> Drop:
    """What is found of one label.

    Args:
        tally: of it.
        max_drop: see `judge`.
        p: corrected; None if nothing can be told of it.
        risk: that one label may have, if it were one more of which something can be told.
    """
    if p is None and tally.before / tally.images > max_drop:
        needed = _needed(tally.before / tally.images, tally.images, max_drop, risk)
        return Drop(**vars(tally), allowed=max_drop, p=1.0, finding="too few", needed=needed)
    has_fallen = -tally.difference > max_drop
    finding: Finding = "fine" if not has_fallen else "surely fell" if p is not None and p <= RISK else "fell"
    return Drop(**vars(tally), allowed=max_drop, p=1.0 if p is None else p, finding=finding, needed=None)


def _shares(at_best: np.ndarray) -> int:
    """Into how many shares the risk is divided: the least number such that no more labels can do with one (Tarone).

    Args:
        at_best: p-value of each label, if all were lost; float (labels,).
    """
    return next(shares for shares in range(1, len(at_best) + 1) if (at_best <= RISK / shares).sum() <= shares)


def _holm(p: dict[int, float]) -> dict[int, float]:
    """P-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    corrected, largest = {}, 0.0
    for place, row in enumerate(sorted(p, key=lambda row: p[row])):
        largest = max(largest, min(1.0, (len(p) - place) * p[row]))
        corrected[row] = largest
    return corrected


def _needed(recall: float, images: int, max_drop: float, risk: float) -> int | None:
    """From how many images on a fall of all of the recall could be told; None if no number would do.

    Args:
        recall: of the champion.
        images: that there are: too few.
        max_drop: see `judge`.
        risk: that it may have.
    """

    def can_be_told(total: int) -> bool:
        counts = Counts(0, recall * total, 0, (1 - recall) * total)  # type: ignore[arg-type]  # fractions of images
        return _chance(deviations(counts, max_drop)) <= risk

    low, high = max(images, LEAST - 1), 2 * max(images, LEAST)
    while not can_be_told(high):
        low, high = high, 2 * high
        if high > AT_MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if can_be_told(middle) else (middle, high)
    return high


def said(drop: Drop) -> str:
    """One label in a sentence."""
    points = f"{100 * drop.allowed:g} points"
    if drop.finding == "too few":
        has = words.counted(drop.images, "holdout image")
        needed = f": about {drop.needed:,} are needed" if drop.needed else ""
        return f"{drop.name} has {has}, too few to tell a fall by more than {points}{needed}"
    if drop.finding == "surely fell":
        return f"{drop.change}, surely by more than {points}"
    return f"{drop.change}, by more than {points}, which may be chance" if drop.finding == "fell" else drop.change
