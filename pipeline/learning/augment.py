"""Augmentation: training images moved, distorted and mixed at random. Pure.

Done to the pixels before they are fed, not inside the network: what is drawn depends on the seed, the epoch and the
image alone, whatever the number of devices and however often training was interrupted. Where images are only moved,
it depends on the step in the place of the image: a step has the same images each time.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.learning import distortions

if TYPE_CHECKING:
    import numpy as np

    from pipeline.learning.settings import Augmentation


class Batch(NamedTuple):
    """The images of a step as they are fed."""

    pixels: "np.ndarray"
    """uint8 (images, height, width, channels)."""
    labels: "np.ndarray"
    """int64 (images,)."""
    partners: "np.ndarray | None" = None
    """int64 (images,): label of the image that was mixed in; None: nothing is mixed."""
    shares: "np.ndarray | None" = None
    """float32 (images,): share of the image itself, 0 to 1; the rest is the partner's."""


def augmented(
    pixels: "np.ndarray",
    labels: "np.ndarray",
    digests: Sequence[str],
    settings: "Augmentation",
    seed: int,
    epoch: int,
    step: int,
    again: "Sequence[int] | np.ndarray | None" = None,
) -> Batch:
    """The images of a step, changed as the settings ask for.

    An image that is mixed has its partner in the same step. The images of a step are the same however often training
    is interrupted, and these are read already.

    Args:
        pixels: uint8 (images, height, width, channels); they stay as they are. Features, where nothing is asked for.
        labels: int64 (images,).
        digests: of the images, hexadecimal.
        settings: of augmentation.
        seed: of training.
        epoch: from 1.
        step: of the epoch, from 0.
        again: how often each image came before in the epoch, where it is to look different each time.
    """
    import numpy as np

    if settings.is_off:
        return Batch(pixels, labels)
    if not (settings.is_distorting or settings.is_mixing):
        return Batch(
            move(pixels, settings.flip, settings.shift, np.random.default_rng([seed, epoch, step + 1])), labels
        )
    marks = [[int(time)] if time else [] for time in again] if again is not None else [[]] * len(digests)
    rngs = [
        np.random.default_rng([seed, epoch, int(digest, 16), *mark])
        for digest, mark in zip(digests, marks, strict=True)
    ]
    single = np.stack([_single(image, settings, rng) for image, rng in zip(pixels, rngs, strict=True)])
    return _mixed(single, labels, settings, rngs) if settings.is_mixing else Batch(single, labels)


def _single(image: "np.ndarray", settings: "Augmentation", rng: "np.random.Generator") -> "np.ndarray":
    """What is done to an image by itself."""
    moved: np.ndarray = move(image[None], settings.flip, settings.shift, rng)[0]
    return distortions.distorted(moved, settings, rng) if settings.is_distorting else moved


def _mixed(
    pixels: "np.ndarray", labels: "np.ndarray", settings: "Augmentation", rngs: "Sequence[np.random.Generator]"
) -> Batch:
    """Mix each image with the next one in a circle, in which each draws its own place: their order does not matter."""
    import numpy as np

    circle = np.argsort([rng.random() for rng in rngs], kind="stable")
    partner = np.empty_like(circle)
    partner[circle] = np.roll(circle, -1)
    mixed, shares = np.empty_like(pixels), np.empty(len(pixels), np.float32)
    for index, rng in enumerate(rngs):
        is_cut = bool(settings.cutmix) and (not settings.mixup or rng.random() < 0.5)
        mix, alpha = (_pasted, settings.cutmix) if is_cut else (_blended, settings.mixup)
        mixed[index], shares[index] = mix(pixels[index], pixels[partner[index]], rng.beta(alpha, alpha), rng)
    return Batch(mixed, labels, labels[partner], shares)


def _blended(
    image: "np.ndarray", other: "np.ndarray", share: float, _: "np.random.Generator"
) -> "tuple[np.ndarray, float]":
    """Mixup (Zhang et al. 2017, arXiv:1710.09412), rounded to whole values."""
    import numpy as np

    blended = np.float32(share) * image + np.float32(1 - share) * other
    return np.rint(blended).astype(np.uint8), share


def _pasted(
    image: "np.ndarray", other: "np.ndarray", share: float, rng: "np.random.Generator"
) -> "tuple[np.ndarray, float]":
    """CutMix (Yun et al. 2019, arXiv:1905.04899): a rectangle of the other one, without what is outside, is pasted in.

    What is outside was not pasted: the share that is returned is that of the pixels.
    """
    height, width = image.shape[:2]
    side = math.sqrt(1 - share)
    rows, columns = (_span(size, round(side * size), rng) for size in (height, width))
    pasted = image.copy()
    pasted[rows, columns] = other[rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return pasted, 1 - area / (height * width)


def _span(size: int, length: int, rng: "np.random.Generator") -> slice:
    """A span about a place drawn from all of them, as far as it lies inside."""
    start = int(rng.integers(size)) - length // 2
    return slice(max(start, 0), min(start + length, size))


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
    # A fifth of the time of one index for all.
    return np.stack([image[row].take(column, axis=1) for image, row, column in zip(pixels, rows, columns, strict=True)])


def _within(places: "np.ndarray", size: int) -> "np.ndarray":
    """Places outside as seen in a mirror at the edge."""
    import numpy as np

    inside: np.ndarray = (size - 1) - np.abs((size - 1) - np.abs(places))
    return inside
