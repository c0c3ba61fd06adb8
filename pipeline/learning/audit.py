"""An audit: a model trained from scratch on all images, beside the one that a cycle went on with."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.training import Audit
from pipeline.judging import metrics
from pipeline.learning import ladder, model, stopping
from pipeline.learning.checkpoint import Values
from pipeline.learning.fit import Outcome, Session, fit
from pipeline.learning.progress import ended
from pipeline.learning.task import Task

if TYPE_CHECKING:
    import numpy as np

    from pipeline.learning.engine import Engine


def beside(states: Path) -> Path:
    """Where the states of the audit of a training are."""
    return states.with_name(f"{states.name}-audit")


def run(task: Task, engine: "Engine", fresh: Values, outcome: Outcome, session: Session) -> tuple[Outcome, Audit]:
    """Train from scratch too.

    Args:
        task: of the cycle.
        engine: of the training that is over.
        fresh: its values when it was new.
        outcome: of that training.
        session: of this training; its budget is that of the two trainings together.

    Returns:
        The outcome to keep, which is that from scratch only if `ladder.is_kept` says so; and what the audit found.

    Raises:
        PausedError, OSError: see `fit`.
    """
    print("train: audit: from scratch on all images, to see whether going on is still as good", flush=True)
    scratch = _from_scratch(task, engine, fresh, outcome, session)
    print(f"train: audit: {ended(scratch.reason, scratch.best_epoch, scratch.spent)}", flush=True)
    audit = _compared(task, outcome, scratch)
    print(f"train: audit: {ladder.finding(audit)}", flush=True)
    return (scratch if audit.is_scratch_better else outcome), audit


def _from_scratch(task: Task, engine: "Engine", fresh: Values, outcome: Outcome, session: Session) -> Outcome:
    train, budget = task.train_on_all, session.budget
    engine.fill(fresh)
    engine.optimizer.learning_rate.assign(train.learning_rate)
    left = budget and stopping.left(budget, outcome.spent_now)
    return fit(engine, task.parts.unlearned, train, replace(session, budget=left))


def _compared(task: Task, outcome: Outcome, scratch: Outcome) -> Audit:
    """The two on the validation images."""
    val = task.parts.val
    counts = metrics.paired(val.labels, *(_predicted(task, weights) for weights in (outcome.weights, scratch.weights)))
    before = outcome.passes(len(val))
    return Audit(
        passes=before + scratch.passes(len(val)),
        passes_before=before,
        # A model from scratch that was cut short may be better already; if it is not, it might have become so.
        is_scratch_better=ladder.is_kept(counts, task.plan) or (None if scratch.is_cut else False),
        is_measured=task.plan.growth is not None,
        val_images=counts.total,
        gained=counts.challenger_only,
        lost=counts.champion_only,
        epochs=len(scratch.history) - 1,
    )


def _predicted(task: Task, weights: "Mapping[str, np.ndarray]") -> "np.ndarray":
    """Numbers of the labels, int64 (validation images,)."""
    network = model.load(task.description, weights, "audit")
    logits = model.logits(network, task.parts.val.pixels, task.train.batch_size)
    predicted: np.ndarray = logits.argmax(axis=1)
    return predicted
