import io

import numpy as np
import pytest
from PIL import Image

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
