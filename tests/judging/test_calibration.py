"""The temperature, the expected calibration error and the coverage, on cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judging import calibration, metrics
from pipeline.judging.calibration import LEAST, MOST, PRIOR, Confidence


def drawn(count: int, temperature: float = 1.0, seed: int = 0, labels: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """True labels that fall as often as a model says, and its logits, sharpened by a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, labels))
    odds = metrics.probabilities(logits).cumsum(axis=1)
    truth = (rng.random((count, 1)) > odds[:, :-1]).sum(axis=1)
    return truth, (logits * temperature).astype(np.float32)


def cost(labels: np.ndarray, logits: np.ndarray, temperature: float) -> float:
    """What the temperature is to make small, as the docstring says it."""
    truth = metrics.probabilities(logits, temperature)[np.arange(len(labels)), labels]
    with np.errstate(divide="ignore"):
        return float(-np.log(truth).sum() + PRIOR * (1 / temperature - np.log(1 / temperature)))


def sure(*pairs: tuple[float, bool]) -> Confidence:
    probability, is_right = zip(*pairs, strict=True)
    return Confidence(np.array(probability), np.array(is_right))


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_the_temperature_that_sharpened_the_logits_is_found(true: float) -> None:
    labels, logits = drawn(20_000, true)
    assert calibration.temperature(labels, logits) == pytest.approx(true, rel=0.03)


@given(st.integers(1, 60), st.integers(0, 1000), st.floats(0.2, 8), st.booleans())
def test_no_other_temperature_is_better(count: int, seed: int, sharpened: float, are_all_right: bool) -> None:
    labels, logits = drawn(count, sharpened, seed)
    labels = logits.argmax(axis=1) if are_all_right else labels
    found = calibration.temperature(labels, logits)
    others = [found * 0.9, found * 0.99, found * 1.01, found * 1.1, 1.0, LEAST, MOST]
    best = cost(labels, logits, found)
    assert all(best <= cost(labels, logits, other) + 1e-6 for other in others if LEAST <= other <= MOST)


@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_order_of_images_and_of_labels_and_a_constant_make_no_difference(count: int, seed: int) -> None:
    labels, logits = drawn(count, 2.0, seed)
    found = calibration.temperature(labels, logits)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(count), rng.permutation(5)
    moved = calibration.temperature(np.argsort(columns)[labels[rows]], logits[rows][:, columns])
    raised = calibration.temperature(labels, logits.astype(np.float64) + rng.normal(size=(count, 1)))
    assert [moved, raised] == pytest.approx([found, found], abs=2e-4)


@given(st.integers(1, 60), st.integers(0, 1000), st.floats(LEAST, MOST))
def test_the_label_that_is_given_stays(count: int, seed: int, temperature: float) -> None:
    _, logits = drawn(count, 3.0, seed)
    assert (metrics.probabilities(logits, temperature).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_temperature_of_1_changes_no_bit_of_a_probability() -> None:
    _, logits = drawn(200)
    odds = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    assert (metrics.probabilities(logits) == odds / odds.sum(axis=1, keepdims=True)).all()


@pytest.mark.parametrize(
    "logits",
    [np.zeros((0, 3), np.float32), np.full((4, 3), 7, np.float32), np.full((4, 3), np.nan), np.full((4, 3), np.inf)],
    ids=["no image", "constant", "not a number", "infinite"],
)
def test_what_tells_nothing_leaves_the_probabilities(logits: np.ndarray) -> None:
    assert calibration.temperature(np.zeros(len(logits), int), logits) == 1.0


def test_few_images_that_are_all_right_make_a_model_little_more_sure() -> None:
    for count in (1, 15, 1000):
        labels = np.arange(count) % 3
        found = calibration.temperature(labels, 4 * np.eye(3, dtype=np.float32)[labels])
        assert 0.3 < found < 1


def test_one_image_that_is_wrong_makes_a_model_less_sure() -> None:
    assert 1 < calibration.temperature(np.array([1]), np.array([[4.0, 0.0]])) < MOST


@pytest.mark.parametrize(("truth", "expected"), [(0, LEAST), (1, MOST)], ids=["right", "wrong"])
def test_a_temperature_is_bounded(truth: int, expected: float) -> None:
    labels = np.full(100_000, truth)
    logits = np.tile(np.array([[0.01 if truth == 0 else 1e6, 0.0]]), (len(labels), 1))
    assert calibration.temperature(labels, logits) == pytest.approx(expected, rel=1e-3)


def test_a_label_without_an_output_has_no_part_in_it() -> None:
    labels, logits = drawn(300, 2.0)
    wider = np.pad(logits, ((0, 0), (0, 1)), constant_values=-1e9)
    assert calibration.temperature(labels, wider) == calibration.temperature(labels, logits)


def test_the_error_of_bins_counted_by_hand() -> None:
    sharp = [(0.9, True)] * 12 + [(0.9, False)] * 8  # accuracy 0.6
    dull = [(0.5, True)] * 10 + [(0.5, False)] * 10
    bins = calibration.reliability(sure(*sharp, *dull))
    assert [tuple(one) for one in bins] == [
        pytest.approx((0.5, 0.5, 20)),
        pytest.approx((0.9, 0.6, 20)),
    ]
    assert calibration.error(sure(*sharp, *dull)) == pytest.approx(0.15)


def test_bins_hold_equally_many_images_and_there_are_15_at_most() -> None:
    for count, number in ((1, 1), (39, 1), (40, 2), (300, 15), (10_000, 15)):
        labels, logits = drawn(count)
        bins = calibration.reliability(Confidence.of(labels, logits, 1.0))
        assert len(bins) == number
        assert max(one.size for one in bins) - min(one.size for one in bins) <= 1
        assert [one.probability for one in bins] == sorted(one.probability for one in bins)


@given(st.lists(st.tuples(st.sampled_from([0.4, 0.7, 1.0]), st.booleans()), min_size=1, max_size=120), st.randoms())
def test_the_order_of_images_of_one_probability_says_nothing(pairs: list[tuple[float, bool]], random: object) -> None:
    before = calibration.error(sure(*pairs))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    assert calibration.error(sure(*pairs)) == pytest.approx(before)
    assert 0 <= before <= 1


def test_a_model_that_is_as_often_right_as_it_says_has_next_to_no_error_and_a_sharpened_one_has() -> None:
    labels, logits = drawn(20_000)
    assert calibration.error(Confidence.of(labels, logits, 1.0)) < 0.02
    labels, logits = drawn(20_000, 3.0)
    assert calibration.error(Confidence.of(labels, logits, 1.0)) > 0.1
    assert calibration.error(Confidence.of(labels, logits, calibration.temperature(labels, logits))) < 0.02


def test_no_images_have_no_error_and_no_answers() -> None:
    nothing = Confidence.of(np.zeros(0, int), np.zeros((0, 3), np.float32), 1.0)
    assert calibration.reliability(nothing) == []
    assert np.isnan(calibration.error(nothing))
    assert calibration.coverages(nothing) == []
    assert calibration.coverage(nothing, 0.5).coverage == 0


def test_the_accuracy_of_a_bin_is_not_sure_and_the_less_so_the_fewer_images_there_are() -> None:
    assert calibration.Bin(0.9, 0.9, 100).interval == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson's, by hand
    low, high = calibration.Bin(1.0, 1.0, 10).interval
    assert (low, high) == (pytest.approx(0.7225, abs=1e-4), 1.0)


def test_coverage_and_accuracy_counted_by_hand() -> None:
    model = sure((0.9, True), (0.9, False), (0.6, True), (0.3, False))
    rows = [tuple(one) for one in calibration.coverages(model)]
    assert rows == [
        pytest.approx((0.9, 0.5, 0.5)),
        pytest.approx((0.6, 0.75, 2 / 3)),
        pytest.approx((0.3, 1.0, 0.5)),
    ]
    assert tuple(calibration.coverage(model, 0.6)) == pytest.approx((0.6, 0.75, 2 / 3))
    assert calibration.coverage(model, 0).coverage == 1
    assert calibration.coverage(model, 0.95).coverage == 0
    assert np.isnan(calibration.coverage(model, 0.95).accuracy)


@given(st.integers(1, 200), st.integers(0, 1000))
def test_a_curve_says_what_each_of_its_thresholds_says(count: int, seed: int) -> None:
    model = Confidence.of(*drawn(count, seed=seed), 1.0)
    for row in calibration.coverages(model):
        assert tuple(calibration.coverage(model, row.threshold)) == pytest.approx(tuple(row))
