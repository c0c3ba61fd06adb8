"""How much an image of each label counts, and how often it is drawn."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.data import replay
from pipeline.learning import balance

COUNTS = st.lists(st.integers(0, 300), min_size=1, max_size=8).filter(any)


def test_weights_are_in_inverse_proportion_to_the_images_counted_by_hand() -> None:
    """scikit-learn's: images / (labels * images of the label)."""
    np.testing.assert_allclose(balance.weights([60, 30, 10]), [100 / 180, 100 / 90, 100 / 30], rtol=1e-6)
    assert balance.weights([60, 30, 10]).dtype == np.float32


def test_one_image_among_many_counts_a_hundred_times_one_of_the_others() -> None:
    many, one = balance.weights([9_999, 1])
    assert one / many == pytest.approx(balance.MOST)
    assert one < balance.MOST


@hypothesis.given(COUNTS)
def test_weights_are_finite_and_one_in_the_mean_over_images_whatever_the_counts(counts: list[int]) -> None:
    weights = balance.weights(counts)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    assert weights @ np.array(counts) == pytest.approx(sum(counts), rel=1e-5)
    assert weights.max() / weights.min() <= balance.MOST * 1.001


def test_no_images_at_all_are_no_error() -> None:
    assert balance.weights([0, 0]).tolist() == [1, 1]


def labels_of(counts: list[int]) -> np.ndarray:
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))


@hypothesis.given(st.lists(st.integers(10, 300), min_size=2, max_size=8), st.integers(0, 99), st.integers(1, 9))
def test_each_label_is_drawn_as_often_as_any_other_within_one_image(counts: list[int], seed: int, epoch: int) -> None:
    labels = labels_of(counts)
    rows = balance.drawn(np.ones(len(labels)), labels, balance.weights(counts), seed, epoch)
    assert len(rows) == len(labels)
    by_label = np.bincount(labels[rows], minlength=len(counts))
    assert by_label.max() - by_label.min() <= 2
    assert np.abs(by_label - len(labels) / len(counts)).max() <= 1
    times = np.bincount(rows, minlength=len(labels))
    for label in range(len(counts)):
        drawn = times[labels == label]
        assert drawn.max() - drawn.min() <= 1, "each image of a label as often as any other"


def test_a_draw_is_that_of_its_seed_and_epoch() -> None:
    labels, weights = labels_of([40, 10]), balance.weights([40, 10])
    one, same, of_epoch, of_seed = (
        balance.drawn(np.ones(50), labels, weights, seed, epoch) for seed, epoch in ((7, 1), (7, 1), (7, 2), (8, 1))
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(np.bincount(one, minlength=50), np.bincount(of_epoch, minlength=50))
    assert not np.array_equal(one, of_seed)
    assert not np.array_equal(labels[one], np.sort(labels[one])), "labels are mixed"


def test_which_images_come_together_differs_from_epoch_to_epoch() -> None:
    labels, weights = labels_of([40, 10]), balance.weights([40, 10])
    seen = {frozenset(balance.drawn(np.ones(50), labels, weights, 7, epoch)) for epoch in range(50)}
    assert len(seen) == 50


def test_new_images_come_as_much_more_often_than_old_ones_as_without_balance() -> None:
    labels, is_new = labels_of([400, 100]), np.arange(500) % 10 == 0
    often = replay.often(is_new, 3, 2)
    epochs = [balance.drawn(often, labels, balance.weights([400, 100]), 7, epoch) for epoch in range(1, 400)]
    assert {len(rows) for rows in epochs} == {replay.length(500, 50, 3, 2)} == {250}
    times = np.bincount(np.concatenate(epochs), minlength=500) / len(epochs)
    for label in (0, 1):
        new, old = (times[(labels == label) & (is_new == mark)].mean() for mark in (True, False))
        assert new / old == pytest.approx(2 / (150 / 450), rel=0.05)
    assert times[labels == 0].sum() == pytest.approx(times[labels == 1].sum(), rel=0.15)


def test_of_one_image_among_many_a_hundredth_of_the_others_share_is_drawn() -> None:
    labels = np.array([0] * 9_999 + [1])
    rows = balance.drawn(np.ones(10_000), labels, balance.weights([9_999, 1]), 7, 1)
    assert len(rows) == 10_000
    assert (labels[rows] == 1).sum() in (99, 100)


def test_an_epoch_without_images_is_empty() -> None:
    assert not len(balance.drawn(np.zeros(3), np.array([0, 0, 1]), balance.weights([2, 1]), 7, 1))


def test_an_image_that_comes_again_is_told_by_its_number() -> None:
    assert balance.again(np.array([4, 2, 4, 4, 0, 2])).tolist() == [0, 0, 1, 2, 0, 1]
    assert balance.again(np.array([], int)).tolist() == []
