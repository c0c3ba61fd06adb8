"""Metrics on arrays of labels and logits. Pure numpy."""

from dataclasses import dataclass

import numpy as np

from pipeline.judging.paired import Counts


@dataclass(frozen=True)
class Scores:
    """How a model does on a set of images."""

    accuracy: float
    loss: float
    """Mean cross-entropy, nats."""
    recall: tuple[float, ...]
    """By label; NaN where there is no image of it."""
    confusion: np.ndarray
    """int64 (labels, labels): rows are the true label, columns the predicted."""


def scores(labels: np.ndarray, logits: np.ndarray) -> Scores:
    """Score float logits (images, labels) against int labels (images,)."""
    predicted = logits.argmax(axis=1)
    size = logits.shape[1]
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    per_label = confusion.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall = confusion.diagonal() / per_label
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float((log_sum - shifted[np.arange(len(labels)), labels]).mean())
    return Scores(
        float((predicted == labels).mean()),
        loss,
        tuple(float(value) for value in recall),
        confusion,
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of float logits (images, labels); float64."""
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def paired(labels: np.ndarray, champion: np.ndarray, challenger: np.ndarray) -> Counts:
    """Compare two models' predicted labels, int (images,), on the same images."""
    old, new = champion == labels, challenger == labels
    return Counts(
        both=int((old & new).sum()),
        champion_only=int((old & ~new).sum()),
        challenger_only=int((~old & new).sum()),
        neither=int((~old & ~new).sum()),
    )
