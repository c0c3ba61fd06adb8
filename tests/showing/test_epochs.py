import math
from typing import Any

import pytest
from compared import check_layout, lines, texts

from pipeline.artifacts.training import FOOT, IDLE, Mixture, Places, Training
from pipeline.showing.epochs import MANY, STYLES, figure, of

HISTORY = (
    {"val_loss": 2.0, "val_accuracy": 0.2},
    {"loss": 1.9, "accuracy": 0.3, "val_loss": 1.5, "val_accuracy": 0.5},
    {"loss": 1.2, "accuracy": 0.6, "val_loss": 1.7, "val_accuracy": 0.4},
)
BLENDED = (
    Mixture(share=0.0, val_loss=2.0, val_accuracy=0.2),
    Mixture(share=0.6, val_loss=1.4, val_accuracy=0.55),
    Mixture(share=1.0, val_loss=1.5, val_accuracy=0.5),
)


def training(**changes: Any) -> Training:
    """A warm start of two epochs."""
    values: dict[str, Any] = {
        "run_key": "0" * 64,
        "start": "warm",
        "start_reason": "few new images",
        "parent": 1,
        "is_warm": True,
        "history": HISTORY,
        "best_epoch": 1,
        "is_chosen": False,
        "epochs": 2,
        "max_epochs": 40,
        "retries": (),
        "stop_reason": "patience",
        "share": 1.0,
        "blended": (),
        "passes": 100.0,
        "audit": None,
        "ladder": Places(before=FOOT, after=FOOT),
        "monitor": "val_loss",
        "optimizer": "adam",
        "dataset_digest": "0" * 32,
        "num_images": 10,
        "num_added": 5,
    }
    return Training(**{**values, **changes})


def same(drawn: list[float], wanted: list[float]) -> bool:
    return len(drawn) == len(wanted) and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(drawn, wanted, strict=True)
    )


def legend(drawn: Any) -> list[str]:
    return [one.get_text() for one in drawn.legends[0].texts]


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_curves_are_the_history(metric):
    drawn = figure(of(training()))
    for name, key in (("train", metric), ("val", f"val_{metric}")):
        ((epochs, values),) = lines(drawn, metric, name)
        assert epochs == [0, 1, 2]
        assert same(values, [row.get(key, math.nan) for row in HISTORY])


def test_train_and_val_are_told_apart_without_colour():
    assert STYLES["train"]["linestyle"] != STYLES["val"]["linestyle"]
    assert STYLES["train"]["marker"] != STYLES["val"]["marker"]
    for name, style in STYLES.items():
        (line,) = (one for one in figure(of(training())).axes[1].lines if one.get_gid() == name)
        assert (line.get_linestyle(), line.get_marker()) == (style["linestyle"], style["marker"])


def test_the_epoch_that_was_kept_is_ringed_and_named():
    drawn = figure(of(training()))
    assert lines(drawn, "loss", "kept") == [([1], [1.5])]
    assert lines(drawn, "accuracy", "kept") == [([1], [0.5])]
    assert "best: epoch 1, val loss 1.500" in legend(drawn)
    assert "chosen: epoch 2, val loss 1.700" in legend(figure(of(training(is_chosen=True, best_epoch=2))))


def test_a_warm_start_shows_what_the_parent_had():
    drawn = figure(of(training()))
    assert lines(drawn, "loss", "parent")[0][1] == [2.0, 2.0]
    assert lines(drawn, "accuracy", "parent")[0][1] == [0.2, 0.2]
    assert "parent v1, val" in legend(drawn)


@pytest.mark.parametrize(
    "changes", [{"start": "cold", "is_warm": False, "parent": None}, {"start": "shrink"}, {"is_warm": False}]
)
def test_what_did_not_begin_as_the_parent_shows_no_score_of_it(changes):
    """The last is a model from scratch that an audit kept: its history is not that of the parent's weights."""
    drawn = figure(of(training(**changes)))
    assert lines(drawn, "loss", "parent") == []
    assert not any("parent" in text for text in legend(drawn))


def test_the_mixture_that_is_served_is_marked():
    drawn = figure(of(training(share=0.6, blended=BLENDED)))
    assert lines(drawn, "loss", "served") == [([1], [1.4])]
    assert lines(drawn, "accuracy", "served") == [([1], [0.55])]
    assert legend(drawn)[-1] == "served: 60 % of this training, the rest the parent's weights, val loss 1.400"
    parent = figure(of(training(share=0.0, blended=BLENDED)))
    assert lines(parent, "loss", "served") == [([1], [2.0])]
    assert legend(parent)[-1] == "served: the parent as it was, val loss 2.000"
    assert lines(figure(of(training(share=1.0, blended=BLENDED))), "loss", "served") == []


def test_it_says_where_and_why_training_stopped():
    assert texts(figure(of(training()))) == ["Stopped by patience; 2 epochs of at most 40"]
    one = training(epochs=1, history=HISTORY[:2], stop_reason="$x$\n")
    assert texts(figure(of(one))) == ["Stopped by $x$\\u000a; 1 epoch of at most 40"]


def test_a_training_that_only_scored_can_be_drawn():
    idle = training(history=HISTORY[:1], epochs=0, best_epoch=0, stop_reason=IDLE)
    drawn = figure(of(idle))
    assert lines(drawn, "loss", "kept") == [([0], [2.0])]
    assert legend(drawn) == ["val", "parent v1, val", "best: epoch 0, val loss 2.000"]
    drawn.canvas.draw()
    assert [one.get_text() for one in drawn.axes[1].get_xticklabels()] == ["−1", "0", "1", "2"]
    assert drawn.axes[1].get_xlim() == (-0.5, 1.5)


ODD = {
    "no epoch": {"history": ()},
    "no number": {"history": ({},)},
    "only val": {"history": HISTORY[:1], "epochs": 0, "best_epoch": 0},
    "no val": {"history": tuple({k: v for k, v in row.items() if k[0] != "v"} for row in HISTORY)},
    "not a number": {"history": tuple(row | {"val_loss": math.nan, "loss": math.inf} for row in HISTORY)},
    "only the mixture": {"history": ({},), "share": 0.6, "blended": BLENDED},
    "no val_accuracy": {"history": tuple({k: v for k, v in row.items() if k != "val_accuracy"} for row in HISTORY)},
    "huge": {"history": (*HISTORY, {"val_loss": 1e9, "loss": 1e-9}), "epochs": 3},
    "long": {"history": tuple({"loss": 1 / (n + 1), "val_loss": 2 / (n + 1)} for n in range(300)), "best_epoch": 299},
    "long reason": {"stop_reason": "the loss of epoch 2 is not finite, " * 20},
}  # fmt: skip


@pytest.mark.parametrize("case", ODD)
def test_any_history_can_be_drawn(case):
    drawn = figure(of(training(**ODD[case])))
    check_layout(drawn)
    assert of(training(**ODD[case])).best == training(**ODD[case]).best_epoch


def test_what_has_no_number_says_so():
    assert [one.texts[0].get_text() for one in figure(of(training(history=({},)))).axes[1:]] == ["no number"] * 2


def test_where_val_has_no_number_the_ring_is_on_train():
    drawn = figure(of(training(**ODD["no val"])))
    assert lines(drawn, "loss", "kept") == [([1], [1.9])]
    assert legend(drawn) == ["train", "best: epoch 1"]


def test_losses_that_differ_much_are_on_a_logarithm_with_plain_numbers():
    drawn = figure(of(training(**ODD["huge"])))
    assert drawn.axes[1].get_yscale() == "log"
    drawn.canvas.draw()
    assert not any("$" in one.get_text() for one in drawn.axes[1].get_yticklabels())
    assert figure(of(training())).axes[1].get_yscale() == "linear"


def test_ticks_are_written_as_what_they_are():
    """1.2345 is not 1.234."""
    drawn = figure(of(training(history=tuple({"loss": 1.2341 + 0.0002 * n, "val_loss": 1.2341} for n in range(6)))))
    drawn.canvas.draw()
    axis = drawn.axes[1].yaxis
    for tick, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
        assert float(text.get_text()) == pytest.approx(tick, rel=1e-9)


def test_of_many_epochs_not_each_has_a_mark():
    drawn = figure(of(training(**ODD["long"])))
    (line,) = (one for one in drawn.axes[1].lines if one.get_gid() == "val")
    assert 300 / line.get_markevery() <= MANY
