import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.learning import stopping
from pipeline.learning.model import keras
from pipeline.learning.settings import Budget, Train
from pipeline.learning.stopping import Spent

NAN = math.nan
PLAIN = {"monitor": "val_loss", "mode": "auto", "patience": 2, "min_delta": 0.0, "start_from_epoch": 0, "target": None}
PLAIN |= {"reduce_patience": 0, "max_epochs": 100}


@pytest.fixture
def train(settings):
    """Section `train` with plain values, but for those given: `train(patience=3)`."""
    return lambda **changes: settings.train.model_copy(update=PLAIN | changes)


def rows(values: list[float], monitor: str = "val_loss") -> list[dict[str, float]]:
    return [{monitor: value} for value in values]


def epochs_run(values: list[float], train: Train) -> int:
    """Epochs until there is a reason to stop; row 0 is the score before training."""
    history = rows(values, train.monitor)
    return next(
        n for n in range(len(values)) if n == len(values) - 1 or stopping.reason_to_stop(history[: n + 1], train)
    )


@pytest.mark.parametrize(
    ("monitor", "mode", "expected"),
    [
        ("val_loss", "auto", "min"),
        ("loss", "auto", "min"),
        ("val_accuracy", "auto", "max"),
        ("accuracy", "auto", "max"),
        ("val_loss", "max", "max"),
        ("accuracy", "min", "min"),
    ],
)
def test_the_direction_follows_from_the_metric_unless_it_is_given(monitor, mode, expected):
    assert stopping.mode_of(monitor, mode) == expected


@pytest.mark.parametrize(
    ("value", "best", "mode", "min_delta", "expected"),
    [
        (1.0, None, "min", 0.5, True),
        (1.0, 2.0, "min", 0.5, True),
        (1.5, 2.0, "min", 0.5, False),
        (2.0, 1.0, "min", 0.0, False),
        (2.0, 1.0, "max", 0.5, True),
        (1.5, 1.0, "max", 0.5, False),
        (1.0, 1.0, "max", 0.0, False),
        (NAN, None, "min", 0.0, False),
        (NAN, 1.0, "max", 0.0, False),
        (math.inf, 1.0, "max", 0.0, False),
        (-math.inf, 1.0, "min", 0.0, False),
    ],
)
def test_an_improvement_beats_the_best_by_more_than_min_delta(value, best, mode, min_delta, expected):
    assert stopping.is_improvement(value, best, mode, min_delta) is expected


@pytest.mark.parametrize(
    ("values", "best_epoch", "wait"),
    [
        ([9], 0, 0),
        ([9, 8, 7], 2, 0),
        ([5, 8, 7], 0, 2),
        ([9, 3, 2, 1, 2, 2], 3, 2),
        ([9, 3, 3, 3], 1, 2),
        ([9, NAN, 8, NAN], 2, 1),
        ([NAN, 8, 9], 1, 1),
        ([NAN, NAN], None, 1),
    ],
    ids=str,
)
def test_the_best_epoch_and_the_epochs_since(train, values, best_epoch, wait):
    now = stopping.standing(rows(values), train())
    assert (now.best_epoch, now.wait) == (best_epoch, wait)
    assert now.best == values[best_epoch] if best_epoch is not None else math.isnan(now.best)


def test_an_epoch_that_was_not_scored_is_never_best(train):
    assert stopping.standing([{}, {"val_accuracy": 1.0}, {"val_loss": 3.0}], train()).best_epoch == 2


def test_a_small_gain_is_kept_but_does_not_feed_patience(train):
    now = stopping.standing(rows([9, 5.0, 4.9, 4.8]), train(min_delta=0.5))
    assert (now.best_epoch, now.best, now.wait) == (3, 4.8, 2)


def test_small_gains_add_up_to_an_improvement(train):
    now = stopping.standing(rows([9, 5.0, 4.7, 4.4]), train(min_delta=0.5))
    assert now.wait == 0


def test_training_goes_on_while_it_improves(train):
    assert stopping.reason_to_stop(rows([9, 8, 7, 6]), train()) is None
    assert stopping.reason_to_stop(rows([9, 8, 9]), train()) is None


@pytest.mark.parametrize(
    ("values", "changes", "reason"),
    [
        ([9, 8, 9, 9], {}, "patience: 2 epochs without improvement of val_loss"),
        ([9, 9], {"patience": 0}, "patience: 1 epochs without improvement of val_loss"),
        ([9, 8, 7], {"max_epochs": 2}, "max_epochs: 2"),
        ([9], {"max_epochs": 0}, "max_epochs: 0"),
        ([9, 0.4], {"target": 0.5}, "target: val_loss 0.4000 reached 0.5"),
        ([9, 0.5], {"target": 0.5}, "target: val_loss 0.5000 reached 0.5"),
        ([0.1], {"target": 0.5}, "target: val_loss 0.1000 reached 0.5"),
        ([9, 0.4, 0.6], {"target": 0.5}, "target: val_loss 0.4000 reached 0.5"),
        ([0.1, 0.98], {"target": 0.97, "monitor": "val_accuracy"}, "target: val_accuracy 0.9800 reached 0.97"),
        ([0.1, 0.97], {"target": 0.97, "monitor": "val_accuracy"}, "target: val_accuracy 0.9700 reached 0.97"),
        ([9, 0.6], {"target": 0.5}, None),
        ([0.1, 0.9], {"target": 0.97, "monitor": "val_accuracy"}, None),
        ([NAN, NAN], {"target": 0.5}, None),
    ],
    ids=str,
)
def test_the_reason_to_stop_is_said_in_words(train, values, changes, reason):
    changed = train(**changes)
    assert stopping.reason_to_stop(rows(values, changed.monitor), changed) == reason


def test_more_divergence_than_retries_ends_training(train):
    retries = [{"epoch": 1.0, "step": 3.0, "loss": math.inf, "learning_rate": 1.0}] * 2
    assert stopping.reason_to_stop(rows([9, 8]), train(max_retries=2), retries) is None
    reason = "diverged: loss inf in epoch 1, step 3, after 1 retries with a lower learning rate"
    assert stopping.reason_to_stop(rows([9, 8]), train(max_retries=1), retries) == reason
    assert stopping.reason_to_stop(rows([9, 8]), train(max_retries=1, target=8.5), retries).startswith("target")


@pytest.mark.parametrize(
    ("loss", "num_labels", "expected"),
    [
        (NAN, 10, True),
        (math.inf, 10, True),
        (4.9 * math.log(10), 10, False),
        (5.1 * math.log(10), 10, True),
        (5.1 * math.log(2), 2, True),
        (4.9 * math.log(2), 1, False),
        (0.0, 10, False),
    ],
)
def test_a_loss_diverged_if_it_is_many_times_that_of_guessing(train, loss, num_labels, expected):
    assert stopping.is_diverged(loss, num_labels, train(diverged_at=5.0)) is expected


def test_each_retry_lowers_the_learning_rate_also_below_the_minimum(train):
    changed = train(retry_factor=0.1, min_learning_rate=0.5)
    assert stopping.learning_rate(rows([9, 8]), 1.0, changed, retries=2) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("spent", "limits", "reason"),
    [
        ((3, 100, 59.9), {"max_minutes": 1.0}, None),
        ((3, 100, 60.0), {"max_minutes": 1.0}, "budget.max_minutes: 1"),
        ((3, 100, 15.0), {"max_minutes": 0.25}, "budget.max_minutes: 0.25"),
        ((2, 100, 1e9), {"max_epochs": 3}, None),
        ((3, 100, 0.0), {"max_epochs": 3}, "budget.max_epochs: 3"),
        ((3, 99, 0.0), {"max_steps": 100}, None),
        ((0, 100, 0.0), {"max_steps": 100}, "budget.max_steps: 100"),
        ((9, 999, 1e9), {}, None),
    ],
)
def test_which_budget_is_spent_is_said_in_words(settings, spent, limits, reason):
    budget = settings.budget.model_copy(update={"max_minutes": None, "max_epochs": None, "max_steps": None} | limits)
    assert stopping.out_of_budget(stopping.Spent(*spent), budget) == reason


def test_patience_begins_to_count_after_start_from_epoch(train):
    values = [9, 8, 9, 9, 9, 9, 9, 9]
    assert epochs_run(values, train(start_from_epoch=0)) == 3
    assert epochs_run(values, train(start_from_epoch=4)) == 6


def test_the_learning_rate_falls_by_the_factor_after_each_plateau_down_to_the_minimum(train):
    changed = train(reduce_patience=2, reduce_factor=0.5, min_learning_rate=0.02)
    values = [5, 4, 4, 4, 4, 4, 4, 4, 3, 3, 3]
    rates = [stopping.learning_rate(rows(values[: n + 1]), 0.1, changed) for n in range(len(values))]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02])


def test_an_improvement_starts_the_plateau_anew(train):
    changed = train(reduce_patience=2, reduce_factor=0.1, min_learning_rate=1e-9)
    assert stopping.learning_rate(rows([9, 8, 8, 7, 7]), 1.0, changed) == 1.0
    assert stopping.learning_rate(rows([9, 8, 8, 7, 7, 7]), 1.0, changed) == pytest.approx(0.1)


def test_the_score_before_training_is_no_epoch_of_a_plateau(train):
    changed = train(reduce_patience=2, reduce_factor=0.5, min_learning_rate=1e-9)
    assert stopping.learning_rate(rows([NAN, NAN]), 1.0, changed) == 1.0
    assert stopping.learning_rate(rows([NAN, NAN, NAN]), 1.0, changed) == 0.5


def test_the_learning_rate_stays_without_reduce_patience(train):
    assert stopping.learning_rate(rows([1] * 50), 0.1, train(reduce_patience=0)) == 0.1


def test_a_learning_rate_below_the_minimum_is_not_raised(train):
    changed = train(reduce_patience=1, min_learning_rate=0.1)
    assert stopping.learning_rate(rows([1, 2, 2]), 0.001, changed) == 0.001


@pytest.fixture(scope="module")
def network():
    network = keras().Sequential([keras().layers.Input((1,)), keras().layers.Dense(1, use_bias=False)])
    network.compile(keras().optimizers.SGD(learning_rate=1.0))
    return network


def as_keras_does(network, callback, values: list[float], monitor: str) -> list[float]:
    """Drive a callback by hand; the weight is the epoch, so that what it restores can be told."""
    network.stop_training = False
    network.optimizer.learning_rate = 1.0
    callback.set_model(network)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(values, start=1):
        network.set_weights([np.full((1, 1), epoch, np.float32)])
        callback.on_epoch_end(epoch - 1, {monitor: value})
        rates.append(float(network.optimizer.learning_rate))
        if network.stop_training:
            break
    callback.on_train_end()
    return rates


VALUES = st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])  # whole steps: no tie is one of rounding
HISTORIES = st.tuples(VALUES, st.lists(VALUES | st.just(NAN), max_size=11)).map(lambda it: [it[0], *it[1]])


@pytest.mark.project  # Keras
@hypothesis.given(
    values=HISTORIES,
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    patience=st.integers(0, 4),
    half=st.booleans(),
    start=st.integers(0, 3),
)
@hypothesis.example([3, 2, 1, 2, 2], "val_loss", 2, False, 0)
@hypothesis.example([1, 2, 3, 3, 3, 3], "val_accuracy", 3, False, 0)
@hypothesis.example([5, 4, 5, 4, 3, NAN, NAN], "val_loss", 2, False, 0)
@hypothesis.example([8, 7, 6, 5, 4, 3], "val_loss", 3, True, 0)
@hypothesis.example([3, 2, 2, 2, 2, 2], "val_loss", 2, False, 3)
def test_it_stops_when_keras_does_and_keeps_the_epoch_that_keras_restores(
    network, settings, values, monitor, patience, half, start
):
    """The epochs before start_from_epoch are the worst here: Keras does not look at them, we only do not count them."""
    min_delta = 1.5 if half else 0.0
    mode = "max" if monitor == "val_accuracy" else "min"
    before = -99.0 if mode == "max" else 99.0  # row 0 is the score before training, here the worst
    values = [before] * start + values
    callback = keras().callbacks.EarlyStopping(
        monitor, min_delta, patience, mode=mode, restore_best_weights=True, start_from_epoch=start
    )
    run = len(as_keras_does(network, callback, values, monitor))
    changes = {"monitor": monitor, "patience": patience, "min_delta": min_delta, "start_from_epoch": start}
    changed = settings.train.model_copy(update=PLAIN | changes)

    assert epochs_run([before, *values], changed) == run
    if not min_delta:
        best = stopping.standing(rows([before, *values[:run]], monitor), changed)
        assert best.best_epoch == network.get_weights()[0].item()


@pytest.mark.project
@hypothesis.given(values=HISTORIES, patience=st.integers(1, 4), half=st.booleans())
@hypothesis.example([5, 5, 5, 5, 5, 4, 4, 4], 2, False)
def test_the_learning_rate_is_that_of_keras(network, settings, values, patience, half):
    plateau = {"factor": 0.5, "min_delta": 1.5 if half else 0.0, "min_lr": 0.2}
    callback = keras().callbacks.ReduceLROnPlateau("val_loss", patience=patience, **plateau)
    expected = as_keras_does(network, callback, values, "val_loss")
    changes = {"reduce_patience": patience, "reduce_factor": 0.5, "min_delta": plateau["min_delta"]}
    changed = settings.train.model_copy(update=PLAIN | changes | {"min_learning_rate": 0.2})

    rates = [stopping.learning_rate(rows([99.0, *values[:n]]), 1.0, changed) for n in range(1, len(values) + 1)]
    assert rates == pytest.approx(expected)


def test_what_two_calls_spent_adds_up() -> None:
    assert Spent(1, 20, 3.5, 400) + Spent(2, 30, 0.5, 600) == Spent(3, 50, 4.0, 1000)


def test_what_is_left_of_a_budget_is_never_less_than_nothing() -> None:
    whole = Budget(max_minutes=2.0, max_epochs=5, max_steps=None, when_spent="pause")
    left = stopping.left(whole, Spent(epochs=2, steps=99, seconds=90.0))
    assert (left.max_minutes, left.max_epochs, left.max_steps, left.when_spent) == (0.5, 3, None, "pause")
    none = stopping.left(whole, Spent(epochs=9, seconds=900.0))
    assert (none.max_minutes, none.max_epochs) == (0, 0)
    assert stopping.out_of_budget(Spent(), none) == "budget.max_minutes: 0"


@hypothesis.given(values=st.lists(st.sampled_from([0.1, 0.2, 0.3, NAN, math.inf]), min_size=1, max_size=8))
@pytest.mark.parametrize("mode", ["min", "max"])
def test_the_first_in_the_ranking_is_the_best_epoch(settings, mode, values):
    train = settings.train.model_copy(update=PLAIN | {"mode": mode})
    history = rows(values)
    ranking = stopping.ranking(history, train.monitor, train.mode)
    assert next(iter(ranking), None) == stopping.standing(history, train).best_epoch
    assert sorted(ranking) == [epoch for epoch, value in enumerate(values) if math.isfinite(value)]
    best_first = [values[epoch] for epoch in ranking]
    assert best_first == sorted(best_first, reverse=mode == "max")
