"""Cross-fitting: what the features of other images say of the label of each one. Pure numpy.

Confident learning (Northcutt et al., JAIR 70, 2021) needs probabilities of a model that did not see the image's own
label. Ridge regression on the labels gives them for every image at once, without fitting anything twice: the prediction
with one image left out follows from the fit on all of them (Allen, Technometrics 16, 1974). With features of a
pretrained network it is about as good as the head that is trained by steps.
"""

from dataclasses import dataclass

import numpy as np

PENALTIES = (0.1, 0.5)
"""Of the ridge regression, in units of the mean variance of a feature times the number of images. The best one lies in
between for a thousand images, and falls slowly with their number; it is flat."""

SCALES = np.geomspace(1, 30, 24)
"""What scores are multiplied by before the softmax makes probabilities of them."""

_LEAST = 1e-12
"""So that no logarithm is infinite."""


@dataclass(frozen=True, eq=False)
class Basis:
    """All that a fit needs of the features of some images, whatever their labels."""

    mean: np.ndarray
    """float32 (features,)"""
    places: np.ndarray
    """float32 (images, features): from the mean."""
    inverses: tuple[np.ndarray, ...]
    """float32 (features, features), of the penalized scatter, for each of PENALTIES."""
    leverages: tuple[np.ndarray, ...]
    """float64 (images,): share of its own label in the prediction for an image, likewise."""


@dataclass(frozen=True, eq=False)
class Crossfit:
    """What was learned of some images and their labels."""

    left_out: np.ndarray
    """float64 (images, labels): probabilities, for each image by a fit without it."""
    mean: np.ndarray
    """float32 (features,): see `Basis`."""
    weights: np.ndarray
    """float32 (features, labels)"""
    shares: np.ndarray
    """float64 (labels,): of the images, by label."""
    scale: float
    """Of the scores: see SCALES."""

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """float64 (images, labels), of images that are not among those.

        Args:
            features: float16 (images, ...).
        """
        return _softmax(self.scale * ((_flat(features) - self.mean) @ self.weights + self.shares))


def basis(features: np.ndarray) -> Basis:
    """What a fit needs of features.

    It takes seconds for 20,000 images of 1,280 features, and memory for three copies of them in float32.

    Args:
        features: float16 (images, ...); two images at least.
    """
    places = _flat(features)
    mean = places.mean(axis=0)
    places -= mean
    scatter = places.T @ places
    unit = max(float(scatter.trace()) / len(scatter), _LEAST)
    inverses = tuple(
        np.linalg.inv(scatter + np.float32(penalty * unit) * np.eye(len(scatter), dtype=np.float32))
        for penalty in PENALTIES
    )
    leverages = tuple(
        np.clip(np.einsum("ij,ij->i", places @ inverse, places, dtype=np.float64) + 1 / len(places), 0, 1 - 1e-3)
        for inverse in inverses
    )
    return Basis(mean, places, inverses, leverages)


def fitted(given: Basis, labels: np.ndarray, num_labels: int) -> Crossfit:
    """Learn labels; the penalty and the scale are those that predict left out labels best.

    Args:
        given: of the images.
        labels: of these, int (images,).
        num_labels: how many there are; some may have no image.
    """
    wanted = np.eye(num_labels)[labels]
    shares = wanted.mean(axis=0)
    sums = given.places.T @ (wanted - shares).astype(np.float32)
    tried = []
    for inverse, leverage in zip(given.inverses, given.leverages, strict=True):
        weights = inverse @ sums
        made = given.places @ weights + shares
        scores = (made - leverage[:, None] * wanted) / (1 - leverage)[:, None]
        tried.append((float(((scores - wanted) ** 2).sum()), scores, weights))
    _, scores, weights = min(tried, key=lambda one: one[0])
    losses = [_loss(_softmax(scale * scores), labels) for scale in SCALES]
    scale = float(SCALES[int(np.argmin(losses))])
    return Crossfit(_softmax(scale * scores), given.mean, weights, shares, scale)


def _flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(len(features), -1).astype(np.float32)


def _softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    given: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return given


def _loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy, nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], _LEAST)).mean())
