"""The training loop: epochs of steps, each epoch scored on val, the best one kept. Home of TensorFlow.

Our own loop over `GradientTape` rather than `Model.fit`: what it needs to go on is explicit, and the
step can run under `strategy.run` where `fit` of Keras 3 cannot (keras#20585).
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import checkpoint, model, stopping
from pipeline.checkpoint import State
from pipeline.dataset import Part
from pipeline.errors import ModelError
from pipeline.params import Train

Row = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a training gave."""

    history: list[Row]
    best_epoch: int
    """Row of the history whose weights were kept; 0 is the state before the first step."""
    reason: str
    """Why training stopped."""
    weights: dict[str, np.ndarray]
    """Of the best epoch, not of the last."""
    optimizer: dict[str, np.ndarray]
    """As it was after the best epoch."""


def make_repeatable(seed: int, threads: int) -> None:
    """Same seed, same machine, same result. Call before anything else uses TensorFlow."""
    keras = model.keras()
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow runs already, as in a test session: its threads stay as they are
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    network: Any,
    optimizer: Any,
    train_part: Part,
    val_part: Part,
    settings: Train,
    scratch: Path,
    on_epoch: Callable[[list[Row], int], None] = lambda *_: None,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> Outcome:
    """Train until there is a reason to stop, going on from a checkpoint in `scratch` if there is one.

    Args:
        network: a built `keras.Model` that gives logits, with the weights to start from.
        optimizer: with the state and learning rate to start from.
        train_part, val_part: pixels and labels; read batch by batch, never whole.
        settings: section `train` of params.yaml.
        scratch: folder for checkpoints of this training and no other.
        on_epoch: called with the history and the epoch's number after each, and for row 0.
        on_step: called with the step's number and how many the epoch has.

    Raises:
        ModelError: no epoch had a finite value of the monitored metric.
    """
    optimizer.build(network.trainable_variables)
    start_rate = float(optimizer.learning_rate)
    train_step, score = _functions(network, optimizer)

    state = checkpoint.load(scratch)
    if state is None:
        first = {**_score(score, val_part, settings.batch_size), "learning_rate": start_rate}
        state = _snapshot(network, optimizer, [first], None, settings)
        checkpoint.save(scratch, state)
    else:
        start_rate = state.history[0]["learning_rate"]
        model.fill(_variables(network), state.variables, "checkpoint")
        model.fill(optimizer.variables, state.optimizer, "checkpoint's optimizer")
    on_epoch(state.history, len(state.history) - 1)

    while (reason := stopping.reason_to_stop(state.history, settings)) is None:
        began = time.monotonic()
        epoch = len(state.history)
        rate = stopping.learning_rate(state.history, start_rate, settings)
        optimizer.learning_rate.assign(rate)
        trained = _epoch(train_step, train_part, settings, epoch, on_step)
        row = {
            **trained,
            **_score(score, val_part, settings.batch_size),
            "learning_rate": rate,
            "seconds": time.monotonic() - began,
        }
        state = _snapshot(network, optimizer, [*state.history, row], state, settings)
        if epoch % settings.checkpoint_every == 0:
            checkpoint.save(scratch, state)
        on_epoch(state.history, epoch)

    best = stopping.progress(state.history, settings).best_epoch
    if best is None:
        raise ModelError(
            f"training gave no finite {settings.monitor} in {len(state.history) - 1} epochs; lower "
            "train.learning_rate, or set train.start: cold if the parent itself is broken"
        )
    return Outcome(state.history, best, reason, state.best_weights, state.best_optimizer)


def _functions(network: Any, optimizer: Any) -> tuple[Any, Any]:
    """The compiled step and the compiled scoring; both take pixels and labels of one batch."""
    import tensorflow as tf

    loss_of = model.keras().losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    signature = [
        tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
    ]

    def sums(losses: Any, logits: Any, labels: Any) -> tuple[Any, Any]:
        right = tf.equal(tf.argmax(logits, axis=1), labels)
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.int64))

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def train_step(pixels: Any, labels: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            logits = network(tf.cast(pixels, tf.float32), training=True)
            losses = loss_of(labels, logits)
            loss = tf.reduce_mean(losses) + sum(network.losses)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return sums(losses, logits, labels)

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def score(pixels: Any, labels: Any) -> tuple[Any, Any]:
        logits = network(tf.cast(pixels, tf.float32), training=False)
        return sums(loss_of(labels, logits), logits, labels)

    return train_step, score


def _epoch(step_of: Any, part: Part, settings: Train, epoch: int, on_step: Callable[[int, int], None]) -> Row:
    """One pass over the part, in an order that depends on the seed and the epoch alone."""
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(part))
    steps = math.ceil(len(part) / settings.batch_size)
    loss = right = 0.0
    for step in range(steps):
        rows = np.sort(order[step * settings.batch_size : (step + 1) * settings.batch_size])
        batch_loss, batch_right = step_of(part.pixels[rows], part.labels[rows])
        loss, right = loss + float(batch_loss), right + int(batch_right)
        on_step(step + 1, steps)
    return {"loss": loss / len(part), "accuracy": right / len(part)}


def _score(score_of: Any, part: Part, batch_size: int) -> Row:
    loss = right = 0.0
    for start in range(0, len(part), batch_size):
        rows = slice(start, start + batch_size)
        batch_loss, batch_right = score_of(part.pixels[rows], part.labels[rows])
        loss, right = loss + float(batch_loss), right + int(batch_right)
    return {"val_loss": loss / len(part), "val_accuracy": right / len(part)}


def _variables(network: Any) -> list[Any]:
    """Everything that changes in training: weights, statistics and seed generators."""
    return list(network.variables)


def _snapshot(network: Any, optimizer: Any, history: list[Row], before: State | None, settings: Train) -> State:
    """The state after an epoch; the best weights are these if this epoch is the best so far."""
    slots = model.arrays(optimizer.variables)
    is_best = stopping.progress(history, settings).best_epoch == len(history) - 1
    if is_best or before is None:
        best_weights, best_optimizer = model.arrays(network.weights), slots
    else:
        best_weights, best_optimizer = before.best_weights, before.best_optimizer
    return State(history, model.arrays(_variables(network)), slots, best_weights, best_optimizer)
