"""Balanced accuracy: each label counts alike, and the bound is as sure as it says."""

import numpy as np
import pytest

from pipeline.judging import gate, paired, verdict
from pipeline.judging.paired import Balanced, Counts, lower_bound
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case


def of_labels(*labels: tuple[int, int, int]) -> Balanced:
    """Images of each label: all, only the challenger right, only the champion right."""
    return Balanced(tuple(Counts(total - won - lost, lost, won, 0) for total, won, lost in labels))


def test_each_label_counts_alike():
    compared = of_labels((1000, 30, 10), (50, 0, 5))
    assert compared.difference == pytest.approx((20 / 1000 - 5 / 50) / 2)
    assert (compared.total, compared.challenger_only, compared.champion_only) == (1050, 30, 15)
    assert compared.turned().difference == -compared.difference


def test_equal_labels_tell_as_much_as_accuracy():
    labels = of_labels((500, 20, 10), (500, 10, 20))
    assert labels.effective == 1000
    one = Counts(940, 30, 30, 0)
    assert lower_bound(labels, 0.9) == pytest.approx(lower_bound(one, 0.9), abs=5e-4)


def test_a_small_label_makes_all_less_sure():
    assert of_labels((1000, 0, 0), (10, 0, 0)).effective == pytest.approx(4 / (1 / 1000 + 1 / 10))
    assert lower_bound(of_labels((1000, 0, 0), (10, 0, 0)), 0.9) < lower_bound(of_labels((505, 0, 0), (505, 0, 0)), 0.9)


def test_no_image_tells_nothing():
    assert (Balanced(()).difference, Balanced(()).effective, lower_bound(Balanced(()), 0.9)) == (0, 0, -np.inf)
    assert paired.effective([0, 0]) == 0


@pytest.mark.parametrize("sizes", [(300, 300, 300), (400, 100, 20), (40, 12, 6, 3)], ids=str)
@pytest.mark.parametrize("rates", [(0.05, 0.05), (0.1, 0.03)], ids=str)
def test_the_truth_lies_above_the_bound_about_as_often_as_stated(sizes, rates):
    won, lost = rates
    rng = np.random.default_rng(7)
    dealt = [rng.multinomial(size, [won, lost, 1 - won - lost], size=2000) for size in sizes]
    below = [
        lower_bound(of_labels(*((size, one[row][0], one[row][1]) for size, one in zip(sizes, dealt, strict=True))), 0.9)
        <= won - lost
        for row in range(2000)
    ]
    assert 0.87 <= np.mean(below) <= (0.93 if min(sizes) >= 20 else 1)


def predictions(sizes: tuple[int, ...], challenger: tuple[float, ...], champion: tuple[float, ...]) -> Predictions:
    """As many images of each label, of which so large a share is right."""
    import polars as pl

    labels = np.repeat(np.arange(len(sizes)), sizes)

    def answers(shares: tuple[float, ...]) -> Answers:
        is_right = np.concatenate([np.arange(size) < share * size for size, share in zip(sizes, shares, strict=True)])
        predicted = np.where(is_right, labels, (labels + 1) % len(sizes))
        return Answers.of(3.0 * np.eye(len(sizes))[predicted], labels, np.ones(len(sizes), bool))

    theirs = answers(champion)
    none = np.zeros(len(labels), bool)
    slices = pl.DataFrame(schema=dict.fromkeys(("digest", "slice", "value"), pl.String))
    return Predictions(
        names=tuple("abcd"[: len(sizes)]), digests=tuple(map(str, range(len(labels)))), labels=labels, is_new=none,
        is_fresh=none, slices=slices, answers={CHALLENGER: answers(challenger), CHAMPION: theirs, ANCHOR: theirs},
    )  # fmt: skip


@pytest.fixture(scope="session")
def evaluate(settings) -> Evaluate:
    plain = {"margin": 0.01, "confidence": 0.9, "min_accuracy": 0.5, "max_drop": None, "risk": 0.05}
    return settings.evaluate.model_copy(update=plain)


def test_the_metric_decides_who_wins(evaluate):
    """Two points more on the large label, ten less on the small one."""
    given = predictions((2000, 200), (0.92, 0.7), (0.9, 0.8))
    case = Case(champion=3, anchor=3, judged=2)
    by_image = verdict.of(given, case, evaluate)
    assert by_image.decision == "promote"
    assert "accuracy +0.91 points" in by_image.reasons[0]
    by_label = verdict.of(given, case, evaluate.model_copy(update={"metric": "balanced_accuracy"}))
    assert by_label.decision == "reject"
    assert "balanced accuracy -4.00 points" in by_label.reasons[0]
    assert by_label.difference == pytest.approx(-0.04)


def test_a_first_champion_needs_it_too(evaluate):
    given, case = predictions((900, 100), (0.95, 0.01), (0, 0)), Case(champion=None, anchor=None, judged=0)
    assert verdict.of(given, case, evaluate).decision == "promote"
    by_label = verdict.of(given, case, evaluate.model_copy(update={"metric": "balanced_accuracy"}))
    assert by_label.decision == "reject"
    assert "holdout balanced accuracy 48.0%, at least 50.0% is needed" in by_label.reasons[0]


def test_the_promise_is_of_the_images_that_count(evaluate):
    given, case = predictions((900, 100), (0.9, 0.9), (0.9, 0.9)), Case(champion=3, anchor=3, judged=2)
    plain, balanced = (
        verdict.of(given, case, evaluate.model_copy(update={"metric": metric})).promise
        for metric in ("accuracy", "balanced_accuracy")
    )
    assert plain is not None
    assert balanced == pytest.approx(plain * (1000 / paired.effective((900, 100))) ** 0.5)


def test_how_many_more_images_would_settle_it_grows_with_imbalance(evaluate):
    even, uneven = of_labels((100, 5, 4), (100, 5, 4)), of_labels((180, 9, 7), (20, 1, 1))
    assert gate.more_needed(uneven, evaluate) > gate.more_needed(even, evaluate)
