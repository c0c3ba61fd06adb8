"""The head of a network trained as the product trains it, in numpy: a thousand of them in minutes.

Learning rate, optimizer, averages, patience and the choice of the epoch are those of `pipeline.learning.fit` with
`train.tune: head` and the settings of params.yaml for pretrained weights. A test compares the two.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.learning.fit import LEAST_AVERAGED
from pipeline.learning.settings import Train

_BETAS, _EPSILON = (0.9, 0.999), 1e-7
"""Of AdamW, as Keras has them."""


@dataclass(frozen=True)
class Head:
    """What gives logits of features."""

    weights: np.ndarray
    """float32 (features + 1, labels); the last row is the bias."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float32 (pictures, labels)."""
        given: np.ndarray = features.astype(np.float32, copy=False) @ self.weights[:-1] + self.weights[-1]
        return given


def fresh(num_features: int, num_labels: int, rng: np.random.Generator) -> Head:
    """Before any training: Glorot and Bengio, AISTATS 2010."""
    limit = (6 / (num_features + num_labels)) ** 0.5
    weights = rng.uniform(-limit, limit, (num_features + 1, num_labels)).astype(np.float32)
    weights[-1] = 0
    return Head(weights)


def fitted(
    start: Head,
    features: np.ndarray,
    labels: np.ndarray,
    val: tuple[np.ndarray, np.ndarray],
    train: Train,
    rng: np.random.Generator,
) -> Head:
    """Train until early stopping; the epoch with the lowest loss on val is kept, the start too may be that.

    Args:
        start: fresh, or the parent's.
        features: float16 (pictures, features).
        labels: int64 (pictures,).
        val: features and labels that choose the epoch.
        train: section `train` of params.yaml, as `starts.for_head` gives it.
        rng: orders the pictures.
    """
    val = val[0].astype(np.float32), val[1]
    wide = np.hstack([features.astype(np.float32), np.ones((len(features), 1), np.float32)])
    wanted = np.eye(start.weights.shape[1], dtype=np.float32)[labels]
    weights, average = start.weights.copy(), start.weights.copy()
    slots = [np.zeros_like(weights), np.zeros_like(weights)]
    steps = -(-len(labels) // train.batch_size)
    decay, count, wait = 1 - 1 / max(LEAST_AVERAGED, train.average * steps), 0, 0
    kept, best = start, _loss(start, *val)
    reference = best
    for _ in range(train.max_epochs):
        order = rng.permutation(len(labels))
        for first in range(0, len(labels), train.batch_size):
            rows = np.sort(order[first : first + train.batch_size])
            count += 1
            gradient = wide[rows].T @ (_softmax(wide[rows] @ weights) - wanted[rows]) / len(rows)
            _step(weights, gradient, slots, count, train)
            keep = min(decay, (1 + count) / (10 + count))
            average += (1 - keep) * (weights - average)
        now = Head(average.copy())
        loss = _loss(now, *val)
        if loss < best:
            kept, best = now, loss
        reference, wait = (loss, 0) if loss < reference - train.min_delta else (reference, wait + 1)
        if wait >= train.patience:
            break
    return kept


def _step(weights: np.ndarray, gradient: np.ndarray, slots: list[np.ndarray], count: int, train: Train) -> None:
    """Of AdamW, in place."""
    slots[0] += (1 - _BETAS[0]) * (gradient - slots[0])
    slots[1] += (1 - _BETAS[1]) * (gradient**2 - slots[1])
    rate = train.learning_rate * (1 - _BETAS[1] ** count) ** 0.5 / (1 - _BETAS[0] ** count)
    weights *= 1 - train.learning_rate * train.weight_decay
    weights -= rate * slots[0] / (np.sqrt(slots[1]) + _EPSILON)


def _softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    given: np.ndarray = odds / odds.sum(axis=1, keepdims=True)
    return given


def _loss(head: Head, features: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy, nats."""
    odds = _softmax(head.logits(features))
    return float(-np.log(np.maximum(odds[np.arange(len(labels)), labels], 1e-30)).mean())
