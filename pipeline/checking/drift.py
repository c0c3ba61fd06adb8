"""Drift: how far the new images lie from those that the parent knew, from histograms that add up. Pure numpy.

The histograms have fixed bins. So the reference is carried from version to version, and each cycle adds
its own images to it: a cycle costs what is new.

A distance is compared with a threshold; no hypothesis is tested. With enough images every difference is
significant, however small: Modyn found such tests "oversensitive and not very useful in practice"
(eth-easl/modyn, DRIFT_TRIGGER.md).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.artifacts.reference import Statistics

FACTS = ("brightness", "contrast", "sharpness", "megapixels", "aspect")
"""The first three as in `images.decoding.Facts`: brightness 0 to 1, contrast 0 to 0.5, sharpness 0 or more.
megapixels: width * height / 1e6. aspect: width / height."""

MIN_IMAGES = 100
"""A distance between fewer images than this, old or new, says more about chance than about drift.

In one case of 20, two samples of one distribution lie this far apart or farther (Kolmogorov-Smirnov): 1.36 / sqrt(n)
if one sample is large, which is 0.14 here; 1.36 * sqrt(2 / n) if both are small, which is 0.19."""

_LAYOUT = 1
"""Counts of other bins than these cannot be added or compared: raise it whenever a bin below changes."""

# Inner edges. The first and the last bin are open, so every number has a bin. Sizes crowd at a few values:
# if one of them were an edge, a pixel more or less would move all those images to the next bin.
_EDGES = {
    "brightness": np.arange(1, 32) / 32,
    "contrast": np.arange(1, 32) / 64,
    "sharpness": 2.0 ** (np.arange(-30, 7) / 3),  # thirds of an octave, 0.001 to 4
    # Half octaves, 76 pixels to 91 megapixels: powers of two (32 x 32, 256 x 256) are at the middle of a bin.
    "megapixels": 2.0 ** np.arange(6.25, 26.75, 0.5) / 1e6,
    # Twelfths of an octave, 1:4 to 4:1: 1:1, 4:3, 3:2, 16:9, 2:1 and their inverses are at the middle of a bin.
    "aspect": 2.0 ** ((np.arange(-24, 24) + 0.5) / 12),
}


def statistics(facts: Mapping[str, Sequence[float]], labels: Sequence[str]) -> Statistics:
    """Histograms of the facts, and the number of images per label.

    Args:
        facts: one sequence per name in `FACTS`, one number per image; NaN where a fact is unknown,
            which is then not counted.
        labels: one per image.

    Raises:
        ValueError: a fact is missing, or has not one number per image.
    """
    if set(facts) != set(FACTS) or any(len(values) != len(labels) for values in facts.values()):
        lengths = {name: len(values) for name, values in facts.items()}
        raise ValueError(f"{len(labels)} labels need as many numbers for each of {', '.join(FACTS)}; found {lengths}")
    histograms = {name: _histogram(facts[name], _EDGES[name]) for name in FACTS}
    return Statistics(layout=_LAYOUT, facts=histograms, labels=dict(sorted(Counter(labels).items())))


def usable(reference: Statistics) -> Statistics:
    """The reference if it was counted in today's bins; else none, as before the first cycle."""
    return reference if reference.layout == _LAYOUT else Statistics()


def merge(a: Statistics, b: Statistics) -> Statistics:
    """The statistics of both collections of images together; exact, in any order. `Statistics()` is no images.

    Raises:
        ValueError: the two were counted in different bins.
    """
    if not a.facts or not b.facts:
        return a if a.facts else b
    _same_layout(a, b)
    return Statistics(
        layout=_LAYOUT,
        facts={name: tuple(x + y for x, y in zip(a.facts[name], b.facts[name], strict=True)) for name in FACTS},
        labels=dict(sorted((Counter(a.labels) + Counter(b.labels)).items())),
    )


def distances(reference: Statistics, new: Statistics) -> dict[str, float]:
    """How far apart two collections of images are: 0 the same, 1 nothing in common.

    Of each fact the Kolmogorov-Smirnov statistic: the largest difference of the two cumulative
    distributions, taken at the edges of the bins (so at most the exact one). Of "labels" the largest
    difference of a label's share, as TensorFlow Data Validation takes it (`infinity_norm`).

    Returns:
        Distance by name. A fact that one side does not know is left out; nothing is given where one
        side has no images.

    Raises:
        ValueError: the two were counted in different bins.
    """
    if not (reference.num_images and new.num_images):
        return {}
    _same_layout(reference, new)
    apart = {}
    for name in FACTS:
        old, now = np.cumsum(reference.facts[name]), np.cumsum(new.facts[name])
        if old[-1] and now[-1]:
            apart[name] = float(np.abs(old / old[-1] - now / now[-1]).max())
    before, after = _shares(reference), _shares(new)
    apart["labels"] = max(abs(before.get(label, 0) - after.get(label, 0)) for label in before | after)
    return apart


def _shares(statistics: Statistics) -> dict[str, float]:
    total = statistics.num_images
    return {label: count / total for label, count in statistics.labels.items()}


def _histogram(values: Sequence[float], edges: np.ndarray) -> tuple[int, ...]:
    numbers = np.asarray(values, dtype=np.float64)
    bins = np.searchsorted(edges, numbers[~np.isnan(numbers)], side="right")
    return tuple(np.bincount(bins, minlength=len(edges) + 1).tolist())


def _same_layout(a: Statistics, b: Statistics) -> None:
    if not a.layout == b.layout == _LAYOUT:
        raise ValueError(f"statistics in bins of layout {a.layout} and {b.layout}, expected {_LAYOUT}")
