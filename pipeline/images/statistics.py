"""What is computed of a picture: brightness, contrast, sharpness and the perceptual hash. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

FINE_SIDE = 32
"""Pixels; from a picture squeezed to this square come hash, brightness and contrast."""

COARSE_SIDE = 9
"""Pixels; so that there are 8 steps from one to the next."""

FREQUENCIES = sorted(
    ((down, across) for down in range(12) for across in range(12) if down or across),
    key=lambda place: (place[0] ** 2 + place[1] ** 2, place),
)[:64]
"""The 64 lowest frequencies but the mean, by distance from it."""

ZERO = 1e-6
"""Below what a coefficient of 8 bit pixels that is not zero can be expected to be, above what rounding makes of
one that is: on flat or symmetric pictures the sign of the rounding error would differ between machines."""


class Sketch(NamedTuple):
    """What statistics and hash are made of: uint8 luma."""

    fine: "np.ndarray"
    """The picture squeezed to (32, 32)."""
    centre: "np.ndarray"
    """Its centre at the file's own resolution, (height, width), up to 64 each."""


class Measures(NamedTuple):
    """What a sketch says of a picture."""

    brightness: float = 0.0
    """Mean of luma (ITU-R BT.601), 0 to 1."""
    contrast: float = 0.0
    """Standard deviation of luma, 0 to 0.5, of the picture averaged down to 32 x 32 pixels."""
    sharpness: float = 0.0
    """Standard deviation of luma's Laplacian in the centre, 0 if flat: see `_sharpness`."""
    dct: int = 0
    across: int = 0
    down: int = 0
    """The perceptual hash, 3 x 64 bits, unsigned: see `_hash`."""


def measure(sketches: Sequence[Sketch]) -> list[Measures]:
    """Measure pictures; what is measured of one does not depend on the others.

    Many at once take a third of the time: a few small pictures do not pay for the calls of NumPy.
    """
    rows_by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, sketch in enumerate(sketches):
        rows_by_shape[sketch.centre.shape].append(row)
    measures = [Measures()] * len(sketches)
    for rows in rows_by_shape.values():
        for row, measured in zip(rows, _measure([sketches[row] for row in rows]), strict=True):
            measures[row] = measured
    return measures


def _measure(sketches: Sequence[Sketch]) -> list[Measures]:
    """The same for sketches with centres of one shape."""
    import numpy as np

    fine = np.stack([sketch.fine for sketch in sketches]).astype(np.float64)
    brightness, contrast = _spread(fine)
    sharpness = _sharpness(np.stack([sketch.centre for sketch in sketches]))
    columns = ((brightness / 255).tolist(), (contrast / 255).tolist(), sharpness.tolist(), *_hash(fine))
    return [Measures(*values) for values in zip(*columns, strict=True)]


def _sharpness(centres: "np.ndarray") -> "np.ndarray":
    """Standard deviation of the Laplacian (up + down + left + right - 4 x centre) of luma 0 to 1, at the file's own
    resolution, in its centre, by picture; about 0.02 and less looks blurred.

    After Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", who take the variance.
    """
    import numpy as np

    count, height, width = centres.shape
    if width < 3 or height < 3:
        return np.zeros(count)
    luma = centres.astype(np.int16)
    laplacian = -4 * luma[:, 1:-1, 1:-1]
    for neighbour in (luma[:, :-2, 1:-1], luma[:, 2:, 1:-1], luma[:, 1:-1, :-2], luma[:, 1:-1, 2:]):
        laplacian += neighbour
    return _spread(laplacian.astype(np.float64))[1] / 255


def _spread(values: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """By picture the mean and standard deviation of whole numbers, float64 (count, height, width).

    Sums of whole numbers are exact in any order, so that all machines agree, which `std` does not promise.
    """
    import numpy as np

    flat = values.reshape(len(values), -1)
    size = flat.shape[1]
    mean = flat.sum(axis=1) / size
    return mean, np.sqrt(np.maximum(0, np.einsum("ij,ij->i", flat, flat) / size - mean**2))


def _hash(fine: "np.ndarray") -> tuple[list[int], list[int], list[int]]:
    """Three words of 64 bits that hardly change when a picture is encoded again, resized or cropped a little, for
    each of float64 (count, 32, 32).

    `dct`: signs of its lowest frequencies; `across`, `down`: whether it gets brighter to the right and downwards
    on an 8 x 8 grid. Twins differ in 36 of the 192 bits or less (JPEG quality 50 to 95, half to double size, crops
    up to 5 % per axis; measured on CIFAR-10).
    """
    import numpy as np

    rows, places = _filters()
    values = (rows @ fine @ rows.T).reshape(len(fine), -1).take(places, axis=1)
    words = np.packbits(values > ZERO, axis=1).view(">u8")
    dct, across, down = words.T.tolist()
    return dct, across, down


@cache
def _filters() -> "tuple[np.ndarray, np.ndarray]":
    """What the hash multiplies a picture with from both sides, float64 (28, 32), and which of the 28 x 28 products
    it takes, int (192,).

    Rows: the first 12 waves of the orthonormal DCT-II, 8 means (from 32 pixels to the first 8 of 9 by the antialiased
    bilinear filter that Pillow resizes with), and 8 slopes (the differences between neighbours among those 9).
    """
    import numpy as np

    place = np.arange(FINE_SIDE) + 0.5
    waves = np.cos(np.pi * place * np.arange(12)[:, None] / FINE_SIDE) * np.sqrt(2 / FINE_SIDE)
    waves[0] /= np.sqrt(2)
    scale = FINE_SIDE / COARSE_SIDE
    centres = (np.arange(COARSE_SIDE) + 0.5) * scale
    triangles = np.maximum(0, 1 - np.abs(place - centres[:, None]) / scale)
    triangles /= triangles.sum(axis=1, keepdims=True)
    rows = np.concatenate((waves, triangles[:-1], np.diff(triangles, axis=0)))
    means, slopes = np.arange(12, 20), np.arange(20, 28)
    products = np.arange(28 * 28).reshape(28, 28)
    across, down = products[np.ix_(means, slopes)], products[np.ix_(slopes, means)]
    return rows, np.concatenate((products[tuple(np.array(FREQUENCIES).T)], across.ravel(), down.ravel()))
