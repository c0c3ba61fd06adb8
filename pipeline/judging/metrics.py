"""Metrics on arrays of labels and logits. Pure numpy."""

from dataclasses import dataclass

import numpy as np

from pipeline.judging.paired import Counts


@dataclass(frozen=True)
class Scores:
    """How a model does on a set of images."""

    accuracy: float
    balanced_accuracy: float
    """Mean recall of the labels that have images."""
    loss: float
    """Mean cross-entropy, nats."""
    recall: tuple[float, ...]
    """By label; NaN where there is no image of it."""


def scores(labels: np.ndarray, logits: np.ndarray) -> Scores:
    """Score a model.

    Args:
        labels: numbers of the true labels, int (images,).
        logits: float (images, labels).
    """
    predicted = logits.argmax(axis=1)
    counts = confusion(labels, predicted, logits.shape[1])
    with np.errstate(invalid="ignore"):
        recall = counts.diagonal() / counts.sum(axis=1)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float((log_sum - shifted[np.arange(len(labels)), labels]).mean())
    return Scores(
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        loss=loss,
        recall=tuple(float(value) for value in recall),
    )


def confusion(labels: np.ndarray, predicted: np.ndarray, num_labels: int) -> np.ndarray:
    """How often each label is given to images of each: int64 (labels, labels), rows are the true label.

    Args:
        labels: numbers of the true labels, int (images,).
        predicted: those that a model gives, likewise.
        num_labels: that there are.
    """
    counts = np.zeros((num_labels, num_labels), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Mean recall of the labels that have images.

    Args:
        labels: numbers of the true labels, int (images,).
        predicted: those that a model gives, likewise.
    """
    is_right = predicted == labels
    return float(np.mean([is_right[labels == label].mean() for label in np.unique(labels)]))


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax of float logits (images, labels) divided by a temperature, as float64 of that shape."""
    odds = np.exp((logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf)) / temperature)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def paired(labels: np.ndarray, champion: np.ndarray, challenger: np.ndarray) -> Counts:
    """Compare two models on the same images.

    Args:
        labels: numbers of the true labels, int (images,).
        champion, challenger: those that the models predict, likewise.
    """
    before, now = champion == labels, challenger == labels
    return Counts(
        both=int((before & now).sum()),
        champion_only=int((before & ~now).sum()),
        challenger_only=int((~before & now).sum()),
        neither=int((~before & ~now).sum()),
    )
