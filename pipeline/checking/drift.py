"""Drift: how far the new images lie from those that the parent knew, from histograms that add up. Pure numpy.

The histograms have fixed bins, so the reference is carried from version to version and each cycle adds
its own images to it: a cycle costs what is new. A distance is compared with a threshold, and no
hypothesis is tested: with enough images every difference is significant, however small, and Modyn
found such tests "oversensitive and not very useful in practice" (eth-easl/modyn, DRIFT_TRIGGER.md).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FACTS = ("brightness", "contrast", "sharpness", "megapixels", "aspect")
"""The first three as in `images.Facts`: brightness 0 to 1, contrast 0 to 0.5, sharpness 0 or more.
megapixels: width * height / 1e6. aspect: width / height."""

MIN_IMAGES = 100
"""A distance between fewer images than this, old or new, says more about chance than about drift. Two samples of one
distribution lie 1.36 / sqrt(n) apart or more in one case of 20 when one sample is large (Kolmogorov-Smirnov): 0.14
here; 1.36 * sqrt(2 / n) when both are small: 0.19."""

_LAYOUT = 1
"""Counts of other bins than these cannot be added or compared: raise it whenever a bin below changes."""

# Inner edges; the first and the last bin are open, so every number has a bin. Sizes crowd at a few
# values: were one of them an edge, a pixel more or less would move all those images to the next bin.
_EDGES = {
    "brightness": np.arange(1, 32) / 32,
    "contrast": np.arange(1, 32) / 64,
    "sharpness": 2.0 ** (np.arange(-30, 7) / 3),  # thirds of an octave, 0.001 to 4
    # Half octaves, 76 pixels to 91 megapixels: powers of two (32 x 32, 256 x 256) are at the middle of a bin.
    "megapixels": 2.0 ** np.arange(6.25, 26.75, 0.5) / 1e6,
    # Twelfths of an octave, 1:4 to 4:1: 1:1, 4:3, 3:2, 16:9, 2:1 and their inverses are at the middle of a bin.
    "aspect": 2.0 ** ((np.arange(-24, 24) + 0.5) / 12),
}


def statistics(facts: Mapping[str, Sequence[float]], labels: Sequence[str]) -> dict[str, Any]:
    """Histograms of the facts and the number of images per label, as a JSON value.

    Args:
        facts: one sequence per name in `FACTS`, one number per image; NaN where a fact is unknown,
            which is then not counted.
        labels: one per image.

    Raises:
        ValueError: a fact is missing, or has not one number per image.
    """
    if set(facts) != set(FACTS) or any(len(values) != len(labels) for values in facts.values()):
        found = {name: len(values) for name, values in facts.items()}
        raise ValueError(f"{len(labels)} labels need as many numbers for each of {', '.join(FACTS)}; found {found}")
    return {
        "layout": _LAYOUT,
        "facts": {name: _histogram(facts[name], _EDGES[name]) for name in FACTS},
        "labels": dict(sorted(Counter(labels).items())),
    }


def usable(reference: Mapping[str, Any]) -> dict[str, Any]:
    """The reference if it was counted in today's bins; else none, as before the first cycle."""
    return dict(reference) if reference.get("layout") == _LAYOUT else {}


def merge(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics of both collections of images together; exact, in any order. `{}` is no images.

    Raises:
        ValueError: the two were counted in different bins.
    """
    if not a or not b:
        return dict(a or b)
    _same_layout(a, b)
    return {
        "layout": _LAYOUT,
        "facts": {name: [x + y for x, y in zip(a["facts"][name], b["facts"][name], strict=True)] for name in FACTS},
        "labels": dict(sorted((Counter(a["labels"]) + Counter(b["labels"])).items())),
    }


def distances(reference: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, float]:
    """How far apart two collections of images are: 0 the same, 1 nothing in common.

    For each fact the Kolmogorov-Smirnov statistic, the largest difference of the two cumulative
    distributions, taken at the edges of the bins (so at most the exact one); for "labels" the largest
    difference of a label's share, as TensorFlow Data Validation takes it (`infinity_norm`). A fact
    that one side does not know is left out, and `{}` is returned where one side has no images.

    Raises:
        ValueError: the two were counted in different bins.
    """
    if not (num_images(reference) and num_images(new)):
        return {}
    _same_layout(reference, new)
    found = {}
    for name in FACTS:
        old, now = np.cumsum(reference["facts"][name]), np.cumsum(new["facts"][name])
        if old[-1] and now[-1]:
            found[name] = float(np.abs(old / old[-1] - now / now[-1]).max())
    shares = [{label: count / num_images(side) for label, count in side["labels"].items()} for side in (reference, new)]
    found["labels"] = max(abs(shares[0].get(label, 0) - shares[1].get(label, 0)) for label in shares[0] | shares[1])
    return found


def num_images(statistics: Mapping[str, Any]) -> int:
    """How many images were counted; to compare with `MIN_IMAGES`."""
    return sum(statistics.get("labels", {}).values())


def _histogram(values: Sequence[float], edges: np.ndarray) -> list[int]:
    known = np.asarray(values, dtype=np.float64)
    bins = np.searchsorted(edges, known[~np.isnan(known)], side="right")
    counts: list[int] = np.bincount(bins, minlength=len(edges) + 1).tolist()
    return counts


def _same_layout(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    if not a["layout"] == b["layout"] == _LAYOUT:
        raise ValueError(f"statistics in bins of layout {a['layout']} and {b['layout']}, expected {_LAYOUT}")
