import math

import numpy as np
import pytest

from pipeline.judging import metrics
from pipeline.judging.paired import Counts

LABELS = np.array([0, 0, 0, 1, 1, 2])
LOGITS = np.array(
    [[3, 0, 0, 0], [0, 3, 0, 0], [3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 3], [0, 0, 3, 0]], dtype=np.float32
)  # predicts 0 1 0 1 3 2


def test_scores_counted_by_hand():
    scores = metrics.scores(LABELS, LOGITS)
    assert scores.accuracy == pytest.approx(4 / 6)
    counts = metrics.confusion(LABELS, LOGITS.argmax(axis=1), 4)
    assert counts.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert scores.recall[:3] == pytest.approx((2 / 3, 1 / 2, 1.0))


def test_a_label_without_images_has_no_recall():
    assert math.isnan(metrics.scores(LABELS, LOGITS).recall[3])


def test_balanced_accuracy_is_the_mean_recall_of_the_labels_that_have_images():
    assert metrics.scores(LABELS, LOGITS).balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_loss_is_the_mean_cross_entropy():
    logits = np.random.default_rng(7).normal(0, 3, (50, 5)).astype(np.float32)
    labels = np.random.default_rng(8).integers(0, 5, 50)
    naive = [
        -math.log(math.exp(row[label]) / sum(math.exp(x) for x in row))
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    assert metrics.scores(labels, logits).loss == pytest.approx(sum(naive) / 50, rel=1e-6)


@pytest.mark.parametrize("scale", [1e4, 1e30], ids=str)
def test_loss_of_extreme_logits_is_finite_or_large_never_nan(scale):
    logits = np.array([[scale, 0], [0, scale]], np.float32)
    assert metrics.scores(np.array([0, 1]), logits).loss == 0.0
    assert metrics.scores(np.array([1, 0]), logits).loss == pytest.approx(scale)


def test_models_are_compared_image_by_image():
    labels = np.array([0, 0, 1, 1, 2, 2, 2])
    champion = np.array([0, 0, 1, 0, 0, 0, 1])
    challenger = np.array([0, 1, 2, 1, 2, 2, 1])
    # right:            both, old, old, new, new, new, neither
    expected = Counts(both=1, champion_only=2, challenger_only=3, neither=1)
    assert metrics.paired(labels, champion, challenger) == expected


def test_scores_are_plain_numbers_that_json_takes():
    scores = metrics.scores(LABELS, LOGITS)
    assert {type(number) for number in (scores.accuracy, scores.loss, *scores.recall)} == {float}


def test_counts_are_plain_numbers_that_json_takes():
    counts = metrics.paired(LABELS, LABELS, LABELS)
    assert [type(number) for number in vars(counts).values()] == [int] * 4


def test_probabilities_are_those_of_the_definition():
    odds = np.exp(LOGITS.astype(np.float64))
    np.testing.assert_allclose(metrics.probabilities(LOGITS), odds / odds.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(metrics.probabilities(LOGITS).sum(axis=1), 1)


@pytest.mark.parametrize("scale", [1e4, 1e30], ids=str)
def test_probabilities_of_extreme_logits_are_zero_and_one(scale):
    logits = np.array([[scale, 0], [-scale, 0], [scale, scale]], np.float32)
    assert metrics.probabilities(logits).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]


def test_no_images_have_no_probabilities():
    assert metrics.probabilities(np.zeros((0, 3), np.float32)).shape == (0, 3)
