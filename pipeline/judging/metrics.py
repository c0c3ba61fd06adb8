"""Metrics on arrays of labels and logits. Pure numpy."""

import csv
import io
from collections.abc import Sequence
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
    confusion: np.ndarray
    """int64 (labels, labels): rows are the true label, columns the predicted."""


def scores(labels: np.ndarray, logits: np.ndarray) -> Scores:
    """Score a model.

    Args:
        labels: numbers of the true labels, int (images,).
        logits: float (images, labels).
    """
    predicted = logits.argmax(axis=1)
    num_labels = logits.shape[1]
    confusion = np.zeros((num_labels, num_labels), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    with np.errstate(invalid="ignore"):
        recall = confusion.diagonal() / confusion.sum(axis=1)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    loss = float((log_sum - shifted[np.arange(len(labels)), labels]).mean())
    return Scores(
        accuracy=float((predicted == labels).mean()),
        balanced_accuracy=balanced_accuracy(labels, predicted),
        loss=loss,
        recall=tuple(float(value) for value in recall),
        confusion=confusion,
    )


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


def confusion_csv(counts: np.ndarray, labels: Sequence[str]) -> str:
    """For `dvc plots`: rows of actual and predicted label, images, and their share of those of the actual label.

    The plot has labels in the order in which they first come. So each is there with itself first, in the order of the
    model's outputs, and then those that are confused.

    Args:
        counts: `Scores.confusion`.
        labels: in the order of the model's outputs.
    """
    numbers, totals = range(len(labels)), counts.sum(axis=1).clip(min=1)
    mixed = [(int(one), int(other)) for one, other in np.argwhere(counts) if one != other]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["actual", "predicted", "images", "share"])
    for one, other in [*zip(numbers, numbers, strict=True), *mixed]:
        images = int(counts[one, other])
        writer.writerow([labels[one], labels[other], images, round(images / int(totals[one]), 4)])
    return sink.getvalue()
