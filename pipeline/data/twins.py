"""Twins: near-duplicates, pictures whose perceptual hashes are near, confirmed on pixels. Pure.

A near-duplicate on the other side of the split is a leak: the model is then judged on what it was
taught. A copy counts as a twin if it was encoded anew, resized, or cropped by up to 5 % of a side.
Mirrored and rotated copies count as other pictures.

The thresholds were set on 4,000 CIFAR-10 photographs of 32 pixels, the hardest case, and on copies
of them that were encoded anew, resized and cropped. All copies lie within MAX_DISTANCE. Of the pairs
of different photographs 13 of 8 million do, and pixels tell those apart.
"""

from typing import TYPE_CHECKING

from pipeline.data import neighbours
from pipeline.data.neighbours import Reach

if TYPE_CHECKING:
    import numpy as np

MAX_DISTANCE = 36
"""Bits, of the 192 of the perceptual hash, in which twins may differ."""

MAX_DISTANCE_DCT = 16
"""Bits, of the 64 of its first word, in which twins may differ: a first sieve, cheap enough for every pair."""

MAX_CANDIDATES = 8
"""Of one image: the nearest are looked at. Blank pictures are all alike, and a few links join them all."""

MIN_SIDE = 24
"""Pixels; smaller pictures hold too little to tell a twin from a likeness, so there only equal ones count."""

MAX_DIFFERENCE = 16.0
"""Mean difference of colour, of 255, that twins may have once they are laid over each other."""

EQUAL_DIFFERENCE = 1.0
"""The same for pictures that are equal but for rounding."""

SHIFTS = (0.0, 0.0125, 0.025, 0.0375, 0.05)
"""Shares of a side that a crop may have taken off one edge."""

REACH = Reach(MAX_DISTANCE_DCT, MAX_DISTANCE, MAX_CANDIDATES)


def candidates(new: "np.ndarray", old: "np.ndarray", threads: int = 2) -> "np.ndarray":
    """Pairs that the hash takes for twins, int64 (pairs, 2): row of `old` followed by `new`, and row of one before it.

    Args:
        new: uint64 (images, 3).
        old: uint64 (images, 3), earlier images; a new one is compared with all new ones before it too.
        threads: see `neighbours.nearest`.
    """
    import numpy as np

    return neighbours.nearest(np.concatenate([old, new]), len(old), REACH, threads)


def are_twins(one: "np.ndarray", other: "np.ndarray", similarity: float, min_side: int) -> bool:
    """Whether two pictures are one, once the crop that fits best is laid over the other.

    Args:
        one, other: uint8 (size, size, 3), each the whole picture squeezed to a square.
        similarity: correlation of the grey pictures, 0 to 1, from which they are the same.
        min_side: pixels of the shortest side that either had.
    """
    import numpy as np

    a, b = one.astype(np.float32), other.astype(np.float32)
    if np.abs(a - b).mean() <= EQUAL_DIFFERENCE:
        return True
    if min_side < MIN_SIDE:
        return False
    correlation, difference = max(_overlay(a, b), _overlay(b, a))
    return correlation >= similarity and difference <= MAX_DIFFERENCE


def _overlay(source: "np.ndarray", target: "np.ndarray") -> tuple[float, float]:
    """Best correlation of any crop of `source` with `target`, and the mean difference of colour there."""
    import numpy as np

    crops = _crops(len(source))
    grey, wanted = source.mean(axis=2), target.mean(axis=2)
    views = np.einsum("iyx,jzx->ijyz", crops @ grey, crops, optimize=True)
    views -= views.mean(axis=(2, 3), keepdims=True)
    wanted = wanted - wanted.mean()
    norm = np.sqrt((views**2).sum(axis=(2, 3)) * (wanted**2).sum())
    # Where either is flat there is nothing to correlate.
    correlation = np.divide((views * wanted).sum(axis=(2, 3)), norm, out=np.zeros_like(norm), where=norm > 1e-3)
    down, across = np.unravel_index(correlation.argmax(), correlation.shape)
    laid = np.einsum("ay,yxc,bx->abc", crops[down], source, crops[across], optimize=True)
    return float(correlation[down, across]), float(np.abs(laid - target).mean())


def _crops(size: int) -> "np.ndarray":
    """float32 (crops, size, size): each takes a line of pixels to the line that a crop would show."""
    import numpy as np

    made = []
    for left in SHIFTS:
        for right in SHIFTS:
            if left + right > SHIFTS[-1] + 1e-9:
                continue
            place = (left + (np.arange(size) + 0.5) / size * (1 - left - right)) * size - 0.5
            low = np.clip(np.floor(place).astype(int), 0, size - 1)
            share = np.clip(place - low, 0, 1).astype(np.float32)
            matrix = np.zeros((size, size), np.float32)
            matrix[np.arange(size), low] += 1 - share
            matrix[np.arange(size), np.minimum(low + 1, size - 1)] += share
            made.append(matrix)
    return np.stack(made)
