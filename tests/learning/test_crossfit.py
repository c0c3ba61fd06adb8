"""Cross-fitting: what is said of an image is as if it had not been there."""

import numpy as np
import pytest

from pipeline.learning import crossfit

LABELS = 3


def clouds(seed: int, count: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Features around one place for each label, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, LABELS, count)
    places = np.random.default_rng(7).normal(0, 1, (LABELS, dimensions))
    return (places[labels] + rng.normal(0, 1.5, (count, dimensions))).astype(np.float16), labels


@pytest.mark.parametrize("dimensions", [8, 200], ids=["fewer than images", "more than images"])
def test_an_image_left_out_is_told_as_by_a_fit_without_it(dimensions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clouds(1, 60, dimensions)
    monkeypatch.setattr(crossfit, "PENALTIES", (0.3,))
    monkeypatch.setattr(crossfit, "SCALES", np.array([4.0]))
    whole = crossfit.fitted(crossfit.basis(features), labels, LABELS)
    for row in (0, 17, 59):
        rest = np.arange(60) != row
        # The penalty has the number of images in it.
        flat = features.astype(np.float64)
        unit = ((flat - flat.mean(axis=0)) ** 2).sum() / dimensions
        told = _ridge(flat[rest], np.eye(LABELS)[labels[rest]], 0.3 * unit, flat[row])
        odds = np.exp(4 * told)
        assert whole.left_out[row] == pytest.approx(odds / odds.sum(), abs=2e-3)


def _ridge(features: np.ndarray, wanted: np.ndarray, penalty: float, asked: np.ndarray) -> np.ndarray:
    """Ridge regression with a constant that is not penalized, solved by itself."""
    wide = np.hstack([features, np.ones((len(features), 1))])
    penalties = np.diag([penalty] * features.shape[1] + [0.0])
    weights = np.linalg.solve(wide.T @ wide + penalties, wide.T @ wanted)
    return np.asarray(np.append(asked, 1) @ weights)


def test_other_images_are_told_about_as_well_as_those_left_out() -> None:
    features, labels = clouds(2, 500, 40)
    others, truth = clouds(3, 500, 40)
    found = crossfit.fitted(crossfit.basis(features), labels, LABELS)
    told = found.probabilities(others)
    assert told.sum(axis=1) == pytest.approx(np.ones(500))
    right = [(odds.argmax(axis=1) == given).mean() for odds, given in ((told, truth), (found.left_out, labels))]
    assert right[0] == pytest.approx(right[1], abs=0.05)
    assert min(right) > 0.9
    assert found.left_out.max(axis=1).mean() == pytest.approx(right[1], abs=0.05), "as sure as it is right"


def test_a_wrong_label_is_not_believed_for_its_own_sake() -> None:
    features, labels = clouds(4, 300, 200)
    wrong = labels.copy()
    wrong[:30] = (wrong[:30] + 1) % LABELS
    found = crossfit.fitted(crossfit.basis(features), wrong, LABELS)
    assert (found.left_out.argmax(axis=1) == labels)[:30].mean() > 0.9


def test_a_label_without_images_is_hardly_believed_and_equal_images_are_no_fault() -> None:
    features, labels = clouds(5, 100, 10)
    found = crossfit.fitted(crossfit.basis(features), labels, LABELS + 1)
    assert (found.left_out.argmax(axis=1) < LABELS).all()
    equal = crossfit.fitted(crossfit.basis(np.ones((20, 10), np.float16)), labels[:20], LABELS)
    assert np.isfinite(equal.left_out).all()
