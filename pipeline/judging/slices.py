"""Slices on which a challenger is surely worse than the champion: an average hides who lost. Pure.

Two statistics of each slice are held against what chance does. One is lost minus gained images, the other is how much
the probability of the true label fell, which tells more of each image. Both are less what the images lost everywhere,
and divided by their standard deviation. What champion and challenger did on each image is dealt anew many times among
images that are about as hard, and each statistic of each slice has to stand out from the largest of all statistics of
all slices under that. So the probability that any slice is named by chance stays below 5 %, however many there are and
however they overlap (max-T, Westfall and Young, Resampling-Based Multiple Testing, Wiley 1993).

That tells a slice that does worse than the whole. It is surely worse only if it also fell by itself: by a paired test
of right and wrong answers on its images alone. A challenger that is merely less sure of a slice does it no harm.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pipeline.base import words
from pipeline.judging.drops import deviations
from pipeline.judging.slicing import Membership, Pairs, Tally

RISK = 0.03
"""Probability that chance makes any slice stand out from the whole. It is less than the 5 % that are promised, because
images of a slice may flip more often than others that are as hard (`python -m benchmarks.gate`)."""

RISK_OF_FALL = 0.03
"""Probability that chance makes a slice seem to have fallen by itself. That is all that keeps a slice from being named
of which the challenger is only less sure (kind "unsure" of the benchmark). Tuned on seed 100, where 0.04 names 4.5 % of
those pairs and finds 94 % of what was planted, 0.03 names 3 % and finds 92 %."""

LEAST = 4
"""Images: fewer that are all lost are no sure fall at RISK_OF_FALL. A column with a value of its own for each image has
nothing but such slices, and would cost as much as any other."""

DEALT = 999
"""How often images are dealt anew; a p-value is at least one in a thousand."""

AT_ONCE = 32
"""Deals that are in memory at the same time."""

STRATA = 10
"""Kinds of images by difficulty: the mean of both probabilities of the true label."""

STRATUM = 20
"""Images, at least, in each; with fewer images in all there are fewer strata."""

STEADY = 1.0
"""Flipped images that are added to the variance of each slice. Else one image that flips where flips are rare would
look like much, and of many tiny slices there is always one that has it (Tusher et al., PNAS 98, 2001)."""

AT_MOST = 2**30
"""Images; who would need more has no use for the number."""

TIE = 1e-5
"""Statistics that differ by less are the same."""


@dataclass(frozen=True)
class Slice(Tally):
    """How a slice fares."""

    p: float
    """Probability that chance makes any slice stand out like this from the whole; over all slices."""
    is_worse: bool
    """Surely: it does worse than the whole, and than it did."""
    needed: int
    """About how many images a slice like this needs, so that it could be told if all were lost that the champion gets
    right; the more images, the less has to be lost. 0 if there is nothing to lose."""

    @property
    def is_too_small(self) -> bool:
        """Whether nothing could be told of it, even if all were lost that the champion gets right."""
        return self.needed > self.images


def judge(pairs: Pairs, slices: Membership, seed: int) -> tuple[Slice, ...]:
    """How each slice fares.

    Args:
        pairs: of the holdout.
        slices: which images are in which.
        seed: of the dealing; the same gives the same.

    Returns:
        One for each, in the order of `slices`.
    """
    if not len(slices):
        return ()
    strata = _strata((pairs.champion + pairs.challenger) / 2)
    fell = np.stack([pairs.lost, pairs.champion - pairs.challenger], axis=1)
    usual, variance = _by_stratum(fell, strata)
    # The same number of images for both statistics, so that the second counts in its own measure.
    steady = STEADY * fell.var(axis=0) / max(float(fell[:, 0].var()), 1 / len(pairs))
    spread = np.sqrt(slices.sums(variance) + np.maximum(steady, TIE))
    found = slices.sums(fell - usual) / spread
    largest = _largest_by_chance(fell - usual, strata, slices, spread, seed)
    p = (1 + np.searchsorted(-largest, TIE - found.max(axis=1), side="right")) / (1 + DEALT)

    counts, sizes = slices.counts(pairs), slices.sizes
    surely = NormalDist().inv_cdf(1 - RISK_OF_FALL)
    is_worse = (p <= RISK) & (deviations(counts, 0) >= surely)
    could_fall = slices.sums(pairs.champion_right - usual[:, 0]) / sizes
    needed = _needed(could_fall, slices.sums(variance[:, 0]) / sizes, float(largest[round(RISK * (1 + DEALT)) - 1]))
    # So many must be lost for the other test: of n lost and none gained it makes sqrt(n) standard deviations.
    right = np.asarray(counts.both + counts.champion_only)
    needed = np.where(right > 0, np.maximum(needed, np.ceil(surely**2 * sizes / np.maximum(right, 1))), 0).astype(int)
    needed = np.where(is_worse, np.minimum(needed, sizes), needed)
    rows = zip(slices.tallies(counts), p.tolist(), is_worse.tolist(), needed.tolist(), strict=True)
    return tuple(Slice(**vars(tally), p=one, is_worse=worse, needed=number) for tally, one, worse, number in rows)


def _strata(ease: np.ndarray) -> tuple[np.ndarray, ...]:
    """Numbers of the images of each stratum, by how easy they are, float (images,)."""
    return tuple(np.array_split(np.argsort(ease, kind="stable"), max(1, min(STRATA, len(ease) // STRATUM))))


def _by_stratum(values: np.ndarray, strata: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance in the stratum of each image, both like `values`, float (images, statistics)."""
    mean, variance = np.empty(values.shape), np.empty(values.shape)
    for rows in strata:
        mean[rows], variance[rows] = values[rows].mean(axis=0), values[rows].var(axis=0)
    return mean, variance


def _largest_by_chance(
    values: np.ndarray, strata: tuple[np.ndarray, ...], slices: Membership, spread: np.ndarray, seed: int
) -> np.ndarray:
    """The largest statistic of all slices in each deal, float (DEALT,), from the largest down.

    Args:
        values: of each image, (images, statistics), what is usual taken off.
        strata: numbers of images; they are dealt anew inside of each.
        slices: which images are in which.
        spread: standard deviation of each statistic of each slice, (slices, statistics).
        seed: of the deals.
    """
    rng, values, largest = np.random.default_rng(seed), values.astype(np.float32), []
    for begins in range(0, DEALT, AT_ONCE):
        deals = min(AT_ONCE, DEALT - begins)
        dealt = np.empty((len(values), deals), np.intp)
        for rows in strata:
            dealt[rows] = rng.permuted(np.tile(rows, (deals, 1)), axis=1).T
        sums = slices.sums(values[dealt].reshape(len(values), -1)).reshape(len(slices), deals, -1)
        largest.append((sums / spread[:, None].astype(np.float32)).max(axis=(0, 2)))
    return np.sort(np.concatenate(largest))[::-1]


def _needed(fall: np.ndarray, variance: np.ndarray, critical: float) -> np.ndarray:
    """From how many images on n * fall / sqrt(n * variance + STEADY) is above critical; 0 where it never is.

    Args:
        fall: lost images, less those that are lost everywhere, for each image if all were lost; (slices,).
        variance: for each image; (slices,).
        critical: what the statistic has to be above.
    """
    squared = critical**2
    with np.errstate(divide="ignore", invalid="ignore"):
        images = squared * (variance + np.sqrt(variance**2 + 4 * fall**2 * STEADY / squared)) / (2 * fall**2)
    whole = np.ceil(np.minimum(np.nan_to_num(images), AT_MOST))
    return np.where((fall > 0) & (critical > 0), whole, 0).astype(int)


def said(one: Slice) -> str:
    """One slice in a sentence."""
    if one.is_too_small:
        has = words.counted(one.images, "holdout image")
        return f"{one.name} has {has}, too few to tell a fall: about {one.needed:,} are needed"
    if one.is_worse:
        return f"{one.change} ({100 * one.difference:+.1f} points), surely, and more than the whole"
    return f"{one.change}, which may be chance" if one.difference < 0 else one.change
