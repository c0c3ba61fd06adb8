"""Calibration: whether a model is right as often as its probabilities say, and the temperature that helps. Pure numpy.

The probability is that of the label which the model gives, the highest one.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from pipeline.judging import metrics

LEAST, MOST = 0.05, 20.0
"""Temperatures. What needs another one is not mended by one."""

PRIOR = 10.0
"""Weight of the prior, in images. With 15 validation images of CIFAR-10 the error on test images was 0.050 in the mean,
and 0.079 with a weight of 1. The more images there are, the less it counts."""

HALVINGS = 40
"""Of the interval that the temperature lies in: it is then known to ten digits."""

BINS = 15
"""At most, as in Guo et al."""

IN_BIN = 20
"""Images in a bin, at least: the error of few images in many bins is chance (Roelofs et al., AISTATS 2022)."""


def temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """What logits are divided by, so that their probabilities fit how often they are right; 1 leaves them.

    It minimises the negative log-likelihood (Guo et al., ICML 2017, arXiv:1706.04599); the order of the labels stays.
    If all images are right, that has no minimum, and if they are few, it says little. So a gamma prior of 1 / T is
    added, with its mode at 1, for the reason for which Platt (1999) smooths targets. As a function of 1 / T the sum is
    convex and has exactly one minimum, where its derivative changes sign.

    Args:
        labels: numbers of the true labels, int (images,). The model has an output for each of them.
        logits: float (images, labels).

    Returns:
        LEAST to MOST, to 4 decimals; 1 without images, and where a logit is no finite number.
    """
    if not len(labels) or not np.isfinite(logits).all():
        return 1.0
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    of_truth = shifted[np.arange(len(labels)), labels].sum()

    def slope(inverse: float) -> float:
        odds = np.exp(inverse * shifted)
        expected = (odds * shifted).sum(axis=1) / odds.sum(axis=1)
        return float(expected.sum() - of_truth + PRIOR * (1 - 1 / inverse))

    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if slope(np.exp(-middle)) > 0:  # a higher temperature is better
            low = middle
        else:
            high = middle
    return round(float(np.exp((low + high) / 2)), 4)


@dataclass(frozen=True)
class Confidence:
    """How sure a model is of the labels that it gives to images, and which of them are right."""

    probability: np.ndarray
    """float64 (images,): of the label that it gives, 0 to 1."""
    is_right: np.ndarray
    """bool (images,)"""

    @classmethod
    def of(cls, labels: np.ndarray, logits: np.ndarray, temperature: float) -> "Confidence":
        """That of a model.

        Args:
            labels: numbers of the true labels, int (images,).
            logits: float (images, labels).
            temperature: of the model.
        """
        probabilities = metrics.probabilities(logits, temperature)
        return cls(probabilities.max(axis=1, initial=0), logits.argmax(axis=1) == labels)


class Bin(NamedTuple):
    """Images of similar probability."""

    probability: float
    """Their mean."""
    accuracy: float
    size: int
    """Images."""

    @property
    def interval(self) -> tuple[float, float]:
        """Where the accuracy of so many images is not sure: 95 %, by Wilson (1927)."""
        square = NormalDist().inv_cdf(0.975) ** 2
        middle = (self.accuracy + square / (2 * self.size)) / (1 + square / self.size)
        spread = (self.accuracy * (1 - self.accuracy) + square / (4 * self.size)) * square / self.size
        half = spread**0.5 / (1 + square / self.size)
        return min(middle - half, self.accuracy), max(middle + half, self.accuracy)


def reliability(confidence: Confidence) -> list[Bin]:
    """Bins of equally many images, by probability, ascending.

    Most probabilities lie near 1, so bins of equal width would be empty but for the last ones (Nixon et al., CVPR
    Workshops 2019, arXiv:1904.01685). There are BINS of them, or fewer, so that each has IN_BIN images; one at least.
    Images of the same probability all count as right in the same share, so their order says nothing.
    """
    count = len(confidence.probability)
    if not count:
        return []
    values, place, sizes = np.unique(confidence.probability, return_inverse=True, return_counts=True)
    right = np.bincount(place, weights=confidence.is_right) / sizes
    parts = np.array_split(np.sort(place), min(BINS, max(count // IN_BIN, 1)))
    return [Bin(float(values[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def error(confidence: Confidence) -> float:
    """Expected calibration error, 0 to 1: by how much probability and accuracy differ, in the mean over all images.

    NaN without images.
    """
    bins = reliability(confidence)
    total = sum(one.size for one in bins)
    return sum(one.size * abs(one.accuracy - one.probability) for one in bins) / total if bins else float("nan")


class Coverage(NamedTuple):
    """What comes of leaving images without an answer whose probability is below a threshold."""

    threshold: float
    coverage: float
    """Share of the images that get an answer."""
    accuracy: float
    """Of the answers; NaN if there are none."""


def coverage(confidence: Confidence, threshold: float) -> Coverage:
    """What comes of one threshold, 0 to 1; with 0 each image gets an answer."""
    answers = confidence.is_right[confidence.probability >= threshold]
    share = len(answers) / len(confidence.is_right) if len(confidence.is_right) else 0.0
    return Coverage(threshold, share, float(answers.mean()) if len(answers) else float("nan"))


def coverages(confidence: Confidence) -> list[Coverage]:
    """What comes of each threshold that makes a difference, the highest first (Geifman and El-Yaniv, NeurIPS 2017)."""
    values, place, sizes = np.unique(confidence.probability, return_inverse=True, return_counts=True)
    right = np.bincount(place, weights=confidence.is_right, minlength=len(values))
    answered, total = np.cumsum(sizes[::-1]), len(confidence.probability)
    accuracy = np.cumsum(right[::-1]) / answered
    rows = zip(values[::-1], answered / max(total, 1), accuracy, strict=True)
    return [Coverage(float(value), float(share), float(of_answers)) for value, share, of_answers in rows]
