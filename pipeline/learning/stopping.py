"""When training stops, which epoch was best, what the learning rate is: folds over the history. Pure.

Keras' own callbacks keep `wait` and `best` in memory, and lose them when a killed training goes on
(keras-team/tf-keras#430, keras#17012). What is computed anew from the history cannot be lost.

The words and their meaning are those of `keras.callbacks.EarlyStopping` and `ReduceLROnPlateau`, but for this:

- NaN is never best.
- Row 0 is the score before the first step, and may be best.
- The best epoch by any margin is kept; `min_delta` only says what resets the wait.
- `start_from_epoch` delays the wait, and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from pipeline.artifacts.training import Row
from pipeline.learning.settings import Budget, Train


@dataclass(frozen=True)
class Spent:
    """What training took."""

    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    images: int = 0
    """That passed through a step; one that did so twice counts twice."""

    def __add__(self, other: "Spent") -> "Spent":
        """What both took together."""
        return Spent(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Standing:
    """Where a training stands after some epochs."""

    best_epoch: int | None
    """None while no epoch had a finite value of the monitored metric."""
    best: float
    """The value of that epoch; NaN while there is none."""
    wait: int
    """Epochs since the last improvement that counted."""
    reductions: int
    """How often the learning rate was reduced."""


def mode_of(monitor: str, mode: str) -> str:
    """Whether less or more is better: min or max. With auto an accuracy is to grow, and anything else to fall."""
    if mode != "auto":
        return mode
    return "max" if monitor.endswith("accuracy") else "min"


def is_improvement(value: float, best: float | None, mode: str, min_delta: float) -> bool:
    """Whether a value beats the best by more than `min_delta`; NaN never does, anything beats None."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value > best + min_delta if mode == "max" else value < best - min_delta


def standing(history: Sequence[Row], train: Train) -> Standing:
    """Where a training with this history stands."""
    mode = mode_of(train.monitor, train.mode)
    best: float | None = None  # by any margin: this epoch is kept
    best_epoch: int | None = None
    reference: float | None = None  # by min_delta: patience is measured from here
    wait = plateau = reductions = 0
    for epoch, row in enumerate(history):
        value = row.get(train.monitor, math.nan)
        if is_improvement(value, best, mode, 0.0):
            best, best_epoch = value, epoch
        if is_improvement(value, reference, mode, train.min_delta):
            reference, wait, plateau = value, 0, 0
        elif epoch > 0:
            wait = wait + 1 if epoch > train.start_from_epoch else 0
            plateau += 1
            if train.reduce_patience and plateau >= train.reduce_patience:
                plateau, reductions = 0, reductions + 1
    return Standing(best_epoch, math.nan if best is None else best, wait, reductions)


def ranking(history: Sequence[Row], monitor: str, mode: str) -> list[int]:
    """Epochs with a finite value of the monitored metric, the best first; of equal ones the earlier."""
    values = {epoch: row.get(monitor, math.nan) for epoch, row in enumerate(history)}
    sign = -1 if mode_of(monitor, mode) == "max" else 1
    return sorted((epoch for epoch, value in values.items() if math.isfinite(value)), key=lambda it: sign * values[it])


def learning_rate(history: Sequence[Row], start: float, train: Train, retries: int = 0) -> float:
    """The learning rate of the next epoch.

    Plateaus reduce it to `min_learning_rate` at the lowest, and never raise it; retries reduce it further.

    Args:
        history: metrics by epoch.
        start: the learning rate of the first epoch.
        train: section `train` of params.yaml.
        retries: how often training diverged.
    """
    reduced = start * train.reduce_factor ** standing(history, train).reductions
    return max(reduced, min(start, train.min_learning_rate)) * train.retry_factor**retries


def is_diverged(loss: float, num_labels: int, train: Train) -> bool:
    """Whether a mean loss is not finite, or `diverged_at` times that of guessing, which is log(labels) in nats."""
    return not loss <= train.diverged_at * math.log(max(num_labels, 2))


def out_of_budget(spent: Spent, budget: Budget) -> str | None:
    """Which limit of the budget is reached, in words; None while none is."""
    if budget.max_minutes is not None and spent.seconds >= 60 * budget.max_minutes:
        return f"budget.max_minutes: {budget.max_minutes:g}"
    if budget.max_epochs is not None and spent.epochs >= budget.max_epochs:
        return f"budget.max_epochs: {budget.max_epochs}"
    if budget.max_steps is not None and spent.steps >= budget.max_steps:
        return f"budget.max_steps: {budget.max_steps}"
    return None


def left(budget: Budget, spent: Spent) -> Budget:
    """What is left of a budget for a second training in the same call; it may be nothing, but not less."""
    used = {"max_minutes": spent.seconds / 60, "max_epochs": spent.epochs, "max_steps": spent.steps}
    limits = {name: getattr(budget, name) for name in used}
    return budget.model_copy(
        update={name: max(limit - used[name], 0) for name, limit in limits.items() if limit is not None}
    )


def reason_to_stop(history: Sequence[Row], train: Train, retries: Sequence[Row] = ()) -> str | None:
    """Why training is over after this history, in words; None while it goes on.

    Args:
        history: metrics by epoch.
        train: section `train` of params.yaml.
        retries: where it diverged so far: epoch, step, loss, learning_rate.
    """
    now = standing(history, train)
    mode = mode_of(train.monitor, train.mode)
    epochs = len(history) - 1
    if now.best_epoch is not None and train.target is not None:
        reached = now.best >= train.target if mode == "max" else now.best <= train.target
        if reached:
            return f"target: {train.monitor} {now.best:.4f} reached {train.target:g}"
    if len(retries) > train.max_retries:
        last = retries[-1]
        return (
            f"diverged: loss {last['loss']:.4g} in epoch {last['epoch']:.0f}, step {last['step']:.0f}, after "
            f"{train.max_retries} retries with a lower learning rate"
        )
    if epochs >= train.max_epochs:
        return f"max_epochs: {train.max_epochs}"
    if epochs > 0 and now.wait >= max(train.patience, 1):
        return f"patience: {now.wait} epochs without improvement of {train.monitor}"
    return None
