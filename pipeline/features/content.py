"""Content: what is in images, told by their features: how far the new ones lie from the old ones, and which stand out.
Pure numpy.

All of it is computed from moments, which add up. So they are carried from version to version, and each cycle adds its
own images to them: a cycle costs what is new.

Features are divided by their length first. Distances in units of their spread then find images of other content much
more reliably (Mueller and Hein, ICML 2025, arXiv:2505.18032).
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

MIN_IMAGES = 50
"""Between fewer images than this, old or new, no distance is given, and none is told from among fewer.

Random halves of one set of photographs lie up to 0.05 apart with 50 images, 0.03 with 100 and 0.02 with 200."""

MIN_OF_LABEL = 10
"""Images of a label from which its mean says something."""

STRANGE = 1.25
"""Strangeness from which an image is listed: of photographs that belong together one in 50 has it."""

ASTRAY = 1.05
"""How many times as far as to another label's mean it has to be to that of its own for an image to be listed. One
photograph in 20 is, where labels look alike, and of those with a wrong label three in four."""

_FLOOR = 0.01
"""Variance that each dimension has at least, as a share of the mean one: some features nearly always are zero."""

_ROWS = 4096
"""Images that are in memory as float64 at the same time."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over the features of some images: numbers, means and variances follow from them."""

    key: str
    """What the features depend on besides the images (`features.extraction.Extractor.key`)."""
    counts: Mapping[str, int]
    """Images by label; one at least."""
    sums: Mapping[str, np.ndarray]
    """Of features by label, float64 (dimensions,)."""
    squares: np.ndarray
    """Sum over all images, float64 (dimensions,)."""

    @property
    def num_images(self) -> int:
        """How many images were summed up."""
        return sum(self.counts.values())

    @property
    def mean(self) -> np.ndarray:
        """Of all images, float64 (dimensions,)."""
        return np.asarray(sum(self.sums.values()) / self.num_images)

    @property
    def scatter(self) -> np.ndarray:
        """Sum of squared differences from the mean of all, float64 (dimensions,)."""
        return np.asarray(np.maximum(self.squares - self.num_images * self.mean**2, 0))

    @property
    def scatter_within(self) -> np.ndarray:
        """Sum of squared differences from the mean of the image's label, float64 (dimensions,)."""
        of_labels = sum(self.sums[label] ** 2 / self.counts[label] for label in self.sums)
        return np.asarray(np.maximum(self.squares - of_labels, 0))


def moments(key: str, features: np.ndarray, labels: Sequence[str]) -> Moments:
    """The moments of some images.

    Args:
        key: see `Moments`.
        features: float16 (images, ...); one image at least.
        labels: of the images.
    """
    named, squares = np.asarray(labels), np.zeros(math.prod(features.shape[1:]))
    counts = dict(sorted(Counter(labels).items()))
    sums = {label: np.zeros_like(squares) for label in counts}
    for start in range(0, len(features), _ROWS):
        some, of_some = _normalised(features[start : start + _ROWS]), named[start : start + _ROWS]
        squares += (some**2).sum(axis=0)
        for label in sorted(set(of_some.tolist())):
            sums[label] += some[of_some == label].sum(axis=0)
    return Moments(key, counts, sums, squares)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both collections of images together.

    Raises:
        ValueError: they are of different features.
    """
    if a.key != b.key or a.squares.shape != b.squares.shape:
        raise ValueError(f"moments of the features {a.key} and {b.key}; expected the same")
    labels = sorted({*a.counts, *b.counts})
    return Moments(
        a.key,
        {label: a.counts.get(label, 0) + b.counts.get(label, 0) for label in labels},
        {label: sum((part.sums[label] for part in (a, b) if label in part.sums), np.zeros(1)) for label in labels},
        a.squares + b.squares,
    )


def renamed(some: Moments, renamed_labels: Mapping[str, str]) -> Moments:
    """The same with labels as they are called now; two that are called the same become one."""
    counts: dict[str, int] = {}
    sums: dict[str, np.ndarray] = {}
    for label, count in some.counts.items():
        now = renamed_labels.get(label, label)
        counts[now] = counts.get(now, 0) + count
        sums[now] = sums.get(now, np.zeros(1)) + some.sums[label]
    return replace(some, counts=counts, sums=sums)


def arrays(some: Moments) -> dict[str, np.ndarray]:
    """Moments as plain arrays."""
    labels = list(some.counts)
    return {
        "key": np.array(some.key),
        "labels": np.array(labels),
        "counts": np.array([some.counts[label] for label in labels]),
        "sums": np.stack([some.sums[label] for label in labels]),
        "squares": some.squares,
    }


def of_arrays(given: Mapping[str, np.ndarray]) -> Moments | None:
    """The inverse of `arrays`; None if these are none."""
    try:
        labels, counts, sums = (given[name].tolist() for name in ("labels", "counts", "sums"))
        squares = np.asarray(given["squares"], np.float64)
        by_label = dict(zip(labels, np.asarray(sums, np.float64).reshape(-1, len(squares)), strict=True))
        return Moments(str(given["key"]), dict(zip(labels, counts, strict=True)), by_label, squares)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def distance(before: Moments, new: Moments) -> float | None:
    """How far apart two collections of images are: 0 the same, 1 nothing in common. None where there are too few.

    Each dimension gives the squared difference of the means, in units of the common variance (Cohen's d, squared). What
    chance alone would give is taken off: one over the number of images, for both. Of the mean d the distance is the
    Kolmogorov-Smirnov statistic of two normal distributions that lie so far apart, so it has the scale of the facts'
    (`checking.drift`). Variances are not compared: their chance depends on how often rare features occur, which moments
    do not tell.
    """
    if min(before.num_images, new.num_images) < MIN_IMAGES:
        return None
    variance = (before.scatter + new.scatter) / (before.num_images + new.num_images - 2)
    by_chance = variance * (1 / before.num_images + 1 / new.num_images)
    squared = ((before.mean - new.mean) ** 2 - by_chance) / _floored(variance)
    shift = math.sqrt(max(float(squared.mean()), 0))
    return math.erf(shift / math.sqrt(8))  # 2 * cdf(shift / 2) - 1


@dataclass(frozen=True)
class Placement:
    """How an image lies to the labels."""

    strangeness: float
    """Distance from the nearest label's mean in units of the spread within labels; 1 is usual."""
    nearest: str
    """The other label whose mean is nearest; its own if there is no other."""
    astray: float
    """Distance from its own label's mean, divided by that from `nearest`; below 1 its own is nearer."""


def placements(
    whole: Moments, features: np.ndarray, labels: Sequence[str], present: Collection[str]
) -> list[Placement | None]:
    """How each image lies to the labels: the Mahalanobis distance of Lee et al. 2018, arXiv:1807.03888, by dimension.

    Args:
        whole: moments of all images, these among them: each is compared with the mean of the others.
        features: float16 (images, ...).
        labels: of the images.
        present: labels that have images now.

    Returns:
        For each image; None where too few images have its label, or there are too few at all.
    """
    known = [label for label, count in whole.counts.items() if count >= MIN_OF_LABEL and label in present]
    freedom = whole.num_images - len(whole.counts)
    if whole.num_images < MIN_IMAGES or freedom < 1 or not known:
        return [None] * len(labels)
    scale = 1 / np.sqrt(_floored(whole.scatter_within / freedom) * len(whole.squares))
    means = np.stack([whole.sums[label] / whole.counts[label] for label in known]) * scale
    found: list[Placement | None] = []
    for start in range(0, len(features), _ROWS):
        some = _normalised(features[start : start + _ROWS]) * scale
        squared = (some**2).sum(axis=1)[:, None] - 2 * some @ means.T + (means**2).sum(axis=1)
        for label, far in zip(labels[start : start + _ROWS], np.sqrt(np.maximum(squared, 0)), strict=True):
            found.append(_placement(label, known, far, whole.counts[label]) if label in known else None)
    return found


def _placement(label: str, known: list[str], far: np.ndarray, count: int) -> Placement:
    """Of one image, from its distance to the mean of each known label."""
    own = known.index(label)
    far[own] *= count / (count - 1)  # it draws the mean of its label towards itself
    others = np.where(np.arange(len(known)) == own, np.inf, far)
    nearest = int(others.argmin()) if len(known) > 1 else own
    astray = float(far[own] / max(far[nearest], 1e-12)) if nearest != own else 1.0
    return Placement(round(float(far.min()), 4), known[nearest], round(astray, 4))


def _normalised(features: np.ndarray) -> np.ndarray:
    """float64 (images, dimensions), each of length 1."""
    flat = features.reshape(len(features), -1).astype(np.float64)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12))


def _floored(variance: np.ndarray) -> np.ndarray:
    return variance + max(_FLOOR * float(variance.mean()), 1e-12)
