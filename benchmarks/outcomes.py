"""What outcomes of trials say: paired differences with their intervals, costs, flips.

An outcome has one entry per played cycle in each list (cycle, accuracy, passes, seconds), and right: bool (cycles and
the state before them, test images), packed, of which only the tested ones count.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Outcome = Mapping[str, Any]


def gains(pairs: Sequence[tuple[Outcome, Outcome]], cycles: Sequence[int]) -> np.ndarray:
    """What each test image adds to the difference in accuracy between the two of each pair, mean over some cycles.

    Returns:
        (pairs, test images)
    """
    found = []
    for ours, other in pairs:
        places = [[list(side["cycle"]).index(cycle) for cycle in cycles] for side in (ours, other)]
        right, theirs = (
            np.unpackbits(side["right"], axis=1)[1:][at].astype(np.int8)
            for side, at in zip((ours, other), places, strict=True)
        )
        tested = right.sum(axis=1) / np.asarray(ours["accuracy"])[places[0]]
        found.append(((right - theirs) / tested[:, None]).mean(axis=0))
    return np.array(found)


def difference(gains: np.ndarray) -> dict[str, Any]:
    """Difference in accuracy, in points, with its interval and by seed.

    It is taken per test image and seed, so that what both get wrong is no noise.

    Args:
        gains: (seeds, test images); the sum over the images is the difference.
    """
    by_seed = np.sum(gains, axis=1)
    reach = interval(gains)
    return {
        "difference": round(100 * float(by_seed.mean()), 2),
        "interval": reach and [round(100 * edge, 2) for edge in reach],
        "by_seed": [round(100 * float(value), 2) for value in by_seed],
    }


def interval(gains: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over seeds of the sum over test images; None for one seed.

    Seeds and test images are crossed random effects: neither other seeds nor other test images are to change what is
    said. Variance from the mean squares of the two-way layout, degrees of freedom by Satterthwaite (Biometrics Bulletin
    2, 1946).

    Args:
        gains: (seeds, test images).
    """
    from scipy import stats

    seeds, images = gains.shape
    if seeds < 2:
        return None
    if not gains.any():
        return 0.0, 0.0
    of_seed, of_image, mean = gains.mean(axis=1), gains.mean(axis=0), gains.mean()
    rest = gains - of_seed[:, None] - of_image + mean
    free = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    squares = np.array(
        [images * ((of_seed - mean) ** 2).sum(), seeds * ((of_image - mean) ** 2).sum(), (rest**2).sum()]
    )
    by_seed, by_image, by_both = squares / free
    both = max(by_seed + by_image - by_both, by_seed, by_image)
    freedom = both**2 / (np.array([by_seed, by_image, by_both]) ** 2 / free).sum()
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(both * images / seeds)
    return float(mean * images - reach), float(mean * images + reach)


def total(played: Outcome, name: str) -> float:
    """Over all cycles; those that were not played are interpolated."""
    cycles = np.arange(1, played["cycle"][-1] + 1)
    return float(np.interp(cycles, played["cycle"], played[name]).sum())


def flipped(played: Outcome) -> float:
    """Share of the test images that one cycle had right and the next one wrong, mean over such pairs of cycles."""
    right = np.unpackbits(played["right"], axis=1)
    cycles = [0, *played["cycle"]]
    pairs = [at for at in range(1, len(cycles)) if cycles[at] == cycles[at - 1] + 1]
    tested = [right[at].sum() / played["accuracy"][at - 1] for at in pairs]
    lost = [(right[at - 1] & ~right[at] & 1).sum() / count for at, count in zip(pairs, tested, strict=True)]
    return float(np.mean(lost))


def told(row: Mapping[str, Any] | None) -> str:
    """A difference with its interval, for a table."""
    if row is None:
        return ""
    low, high = row["interval"] or (None, None)
    return f"{row['difference']:+.2f}" + ("" if low is None else f" ({low:+.2f} to {high:+.2f})")
