"""scikit-learn's bundled handwritten digits as PNG files: 1,797 real images that need no network."""

import io
from collections.abc import Sequence
from functools import cache

import numpy as np


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    return digits.images[order], digits.target[order]


def batch(start: int, stop: int, labels: Sequence[int] | None = None) -> dict[str, dict[str, bytes]]:
    """Digits `start` to `stop` of a fixed order, as label to file name to PNG.

    Args:
        start, stop: of 0 to 1797.
        labels: other labels than the true ones, one for each.
    """
    from PIL import Image

    pixels, truth = _digits()
    found: dict[str, dict[str, bytes]] = {}
    for position, index in enumerate(range(start, stop)):
        label = truth[index] if labels is None else labels[position]
        sink = io.BytesIO()
        Image.fromarray((pixels[index] * 255 / 16).astype(np.uint8)).save(sink, "PNG")
        found.setdefault(str(label), {})[f"{index:04d}.png"] = sink.getvalue()
    return found


def shuffled(start: int, stop: int) -> dict[str, dict[str, bytes]]:
    """The same with labels dealt at random: what a broken labelling job pushes."""
    return batch(
        start,
        stop,
        [int(x) for x in np.random.default_rng(1).permutation(_digits()[1][start:stop])],
    )
