import io

import numpy as np
import pytest
from PIL import Image

from pipeline.judging.calibration import Confidence
from pipeline.showing import plots

HISTORY = [
    {"val_loss": 2.0, "val_accuracy": 0.2},
    {"loss": 1.9, "accuracy": 0.3, "val_loss": 1.5, "val_accuracy": 0.5},
    {"loss": 1.2, "accuracy": 0.6, "val_loss": 1.7, "val_accuracy": 0.4},
]
COUNTS = np.array([[8, 2, 0], [1, 9, 0], [0, 0, 0]])


def drawn(content: bytes) -> np.ndarray:
    """The pixels of a PNG."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_curves_are_a_picture_of_a_size_that_a_page_can_show():
    height, width, _ = drawn(plots.curves(HISTORY, 1, "patience")).shape
    assert (width, height) == (990, 396)


def test_curves_show_the_history_the_best_epoch_and_the_reason():
    shown = drawn(plots.curves(HISTORY, 1, "patience"))
    others = [
        plots.curves([*HISTORY[:2], HISTORY[2] | {"val_loss": 1.0}], 1, "patience"),
        plots.curves([*HISTORY[:2], HISTORY[2] | {"accuracy": 0.1}], 1, "patience"),
        plots.curves(HISTORY, 0, "patience"),
        plots.curves(HISTORY, 1, "target"),
        plots.curves(HISTORY, 1, "patience", is_chosen=True),
    ]
    assert all((drawn(other) != shown).any() for other in others)


@pytest.mark.parametrize(
    "history",
    [
        HISTORY[:1],
        [row | {"val_loss": float("nan")} for row in HISTORY],
        [row | {"loss": float("inf")} for row in HISTORY],
    ],
    ids=["no epoch", "never a number", "diverged"],
)
def test_curves_of_a_training_that_failed_can_be_drawn(history):
    assert drawn(plots.curves(history, 0, "diverged: the loss of epoch 2 is not finite")).std() > 0


def test_the_same_numbers_are_the_same_bytes():
    assert plots.curves(HISTORY, 1, "patience") == plots.curves(HISTORY, 1, "patience")
    assert plots.confusion(COUNTS, ["a", "b", "c"]) == plots.confusion(COUNTS, ["a", "b", "c"])


@pytest.mark.parametrize("size", [1, 3, 20, 21, 40])
def test_confusion_of_few_or_many_labels_fits_a_page(size):
    counts = np.diag(np.arange(size))
    height, width, _ = drawn(plots.confusion(counts, [f"label {n}" for n in range(size)])).shape
    assert 200 < height <= 12 * 110
    assert height < width <= 13 * 110


def test_confusion_shows_shares_of_the_true_label():
    once, tenfold, other = (
        drawn(plots.confusion(np.diag(c), list("abc"))) for c in ([1, 1, 0], [10, 10, 0], [1, 1, 1])
    )
    green = [(picture[..., 1].astype(int) - picture[..., 0] > 60).sum() for picture in (once, tenfold, other)]
    assert green[1] == pytest.approx(green[0], rel=0.02)
    assert green[2] > 1.2 * green[0]


@pytest.mark.parametrize(
    "labels",
    [["$_^$", r"$\x$", "a$b"], ["%", "#1", "_x_"], ["x" * 64, "y" * 64, "z"]],
    ids=["would be a formula", "punctuation", "long"],
)
def test_labels_are_drawn_as_they_are_written(labels):
    assert (drawn(plots.confusion(COUNTS, labels)) != drawn(plots.confusion(COUNTS, ["a", "b", "c"]))).any()


def test_both_axes_carry_the_labels():
    one, other = (drawn(plots.confusion(5 * np.eye(2, dtype=int), labels)) for labels in ("ab", "ba"))
    height, width, _ = one.shape
    rows, columns = np.nonzero((one != other).any(axis=2))
    assert (columns[rows < 0.7 * height] < 0.2 * width).all()
    assert (columns[rows > 0.8 * height] > 0.2 * width).all()
    assert (rows < 0.7 * height).any()
    assert (rows > 0.8 * height).any()


def test_a_scale_explains_the_shades():
    colours = np.unique(drawn(plots.confusion(0 * COUNTS, list("abc"))).reshape(-1, 3).astype(int), axis=0)
    assert (colours[:, 1] > colours[:, 0] + 5).sum() > 100


def sure(seed: int, count: int = 300, sharpened: float = 1.0) -> Confidence:
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.3, 1, count)
    return Confidence(probability ** (1 / sharpened), rng.random(count) < probability)


def test_reliability_is_a_picture_that_fits_a_column_and_shows_both_models_and_the_threshold():
    both = {"challenger": sure(0), "champion": sure(1, sharpened=3)}
    shown = drawn(plots.reliability(both, 0.8))
    assert shown.shape[1] <= 740
    assert plots.reliability(both, 0.8) == plots.reliability(both, 0.8)
    others = [
        plots.reliability({"challenger": sure(0)}, 0.8),
        plots.reliability(both | {"champion": sure(1)}, 0.8),
        plots.reliability(both, 0),
        plots.reliability(both, 0.85),
    ]
    assert all((drawn(other)[:400] != shown[:400]).any() for other in others)


def test_models_are_told_apart_without_colours():
    """In grey, the curve of one model differs from that of another with the same numbers."""
    one, other = sure(0), sure(0, 20)
    curves = [drawn(plots.reliability(dict(zip("ab", pair, strict=True)), 0)) for pair in ((one, other), (other, one))]
    grey = [picture.astype(float).mean(axis=2) for picture in curves]
    assert (abs(grey[0] - grey[1]) > 60).sum() > 200


@pytest.mark.parametrize(
    "confidence",
    [
        Confidence(np.zeros(0), np.zeros(0, bool)),
        Confidence(np.ones(1), np.ones(1, bool)),
        Confidence(np.ones(100), np.ones(100, bool)),
        Confidence(np.full(100, 0.2), np.zeros(100, bool)),
    ],
    ids=["no image", "one image", "all right and sure", "all wrong"],
)
def test_reliability_of_any_model_can_be_drawn(confidence):
    for threshold in (0, 0.5, 1):
        assert drawn(plots.reliability({"challenger": confidence}, threshold)).std() > 0
