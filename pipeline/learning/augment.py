"""Augmentation: training images mirrored and shifted at random. Pure numpy.

Done to the pixels before they are fed, not inside the network: what is drawn depends on the seed, the epoch and the
step alone, whatever the number of devices and however often training was interrupted.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def move(pixels: "np.ndarray", flip: bool, shift: float, rng: "np.random.Generator") -> "np.ndarray":
    """Mirror every other image left to right, by chance, and shift each one; what comes in at the edge is mirrored.

    Args:
        pixels: uint8 (images, height, width, channels).
        flip: whether to mirror.
        shift: how far at most, up and down and to the sides, as a share of height and width.
        rng: draws.
    """
    import numpy as np

    count, height, width = pixels.shape[:3]
    down, right = round(shift * height), round(shift * width)
    if not (flip or down or right):
        return pixels
    rows = _within(np.arange(height) + rng.integers(-down, down + 1, (count, 1)), height)
    columns = _within(np.arange(width) + rng.integers(-right, right + 1, (count, 1)), width)
    if flip:
        columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    moved: np.ndarray = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _within(places: "np.ndarray", size: int) -> "np.ndarray":
    """Places outside as seen in a mirror at the edge."""
    import numpy as np

    inside: np.ndarray = (size - 1) - np.abs((size - 1) - np.abs(places))
    return inside
