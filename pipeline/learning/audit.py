"""An audit: a model trained from scratch on all images, beside the one that a cycle went on with."""

from pathlib import Path

from pipeline.artifacts.training import Audit
from pipeline.judging import metrics
from pipeline.learning import ladder
from pipeline.learning.task import Task
from pipeline.learning.trained import Trained


def beside(states: Path) -> Path:
    """Where the states of the audit of a training are."""
    return states.with_name(f"{states.name}-audit")


def compare(task: Task, going_on: Trained, scratch: Trained) -> tuple[Trained, Audit]:
    """Compare a model from scratch with the one that the cycle went on with.

    Args:
        task: of the cycle.
        going_on, scratch: the two.

    Returns:
        The one to keep, which is that from scratch only if `ladder.is_kept` says so; and what the audit found.
    """
    audit = _compared(task, going_on, scratch)
    print(f"train: audit: {ladder.finding(audit)}", flush=True)
    return (scratch if audit.is_scratch_better else going_on), audit


def _compared(task: Task, going_on: Trained, scratch: Trained) -> Audit:
    """The two on the validation images."""
    before_it, from_scratch = (one.logits(task.train.batch_size).argmax(axis=1) for one in (going_on, scratch))
    counts = metrics.paired(task.parts.val.labels, before_it, from_scratch)
    before = going_on.passes
    return Audit(
        passes=before + scratch.passes,
        passes_before=before,
        # A model from scratch that was cut short may be better already; if it is not, it might have become so.
        is_scratch_better=ladder.is_kept(counts, task.plan) or (None if scratch.outcome.is_cut else False),
        is_measured=task.plan.growth is not None,
        val_images=counts.total,
        gained=counts.challenger_only,
        lost=counts.champion_only,
        epochs=len(scratch.outcome.history) - 1,
    )
