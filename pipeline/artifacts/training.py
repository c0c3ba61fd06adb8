"""`training.json`: how training went, for the stages that follow and for people."""

import re
from collections.abc import Mapping
from typing import Literal

from pipeline.artifacts.artifact import Artifact, Count
from pipeline.base.words import counted

Row = Mapping[str, int | float]
"""Metric name to value."""

StartKind = Literal["warm", "shrink", "cold"]
"""From the parent's weights; from those, shrunk and perturbed; from fresh ones."""


IDLE = "nothing new to learn"
"""Why a training stopped that only scored what was there."""


class Place(Artifact):
    """Where on the ladder the cycles stand (`learning.ladder`)."""

    rung: Count
    cycles: Count
    """Since the last audit or cold start."""


FOOT = Place(rung=0, cycles=0)
"""Where the cycles of a project begin."""


class Places(Artifact):
    """Where they stood before a cycle, and stand after it."""

    before: Place
    after: Place


class Audit(Artifact):
    """What an audit found (`learning.audit`)."""

    passes: float
    """That the cycle cost, the audit included; see `Training.passes`."""
    passes_before: float
    """Without the audit."""
    is_scratch_better: bool | None
    """Whether the model from scratch is better; None: the budget ended the audit before that."""
    is_measured: bool
    """Whether the better one is kept, as after many new images; else that from scratch has to be better beyond chance.
    """
    val_images: int
    gained: int
    """Images that only the model from scratch gets right."""
    lost: int
    """Images that only the other one gets right."""
    epochs: int
    """Of the training from scratch."""


class Mixture(Artifact):
    """A mixture of the parent's weights and the result, and its scores on val."""

    share: float
    """Of the result, 0 to 1."""
    val_loss: float
    val_accuracy: float


class Training(Artifact):
    """How the training of a model went."""

    run_key: str
    """Hash of everything that determines the model."""
    start: StartKind
    start_reason: str
    parent: int | None
    """Number of the version that it started from."""
    is_warm: bool
    """Whether the model knows what its parent learned."""
    history: tuple[Row, ...]
    """Metrics by epoch; the first row is the score before the first step."""
    best_epoch: int
    """Row of the history whose weights were kept."""
    is_chosen: bool = False
    """Whether a person chose that epoch, which need not be the best one; files of before one could say nothing of it.
    """
    epochs: int
    max_epochs: int
    retries: tuple[Row, ...]
    """Where training diverged: epoch, step, loss of the step, learning rate."""
    stop_reason: str
    """By the setting that a person would change; in plain words: `ended`."""
    share: float
    """Of the result in the weights that are served; the rest is the parent's."""
    blended: tuple[Mixture, ...]
    """The mixtures that were tried."""
    passes: float
    """Images that went through training; one that was only scored counts a third."""
    audit: Audit | None
    ladder: Places
    monitor: str
    optimizer: str
    dataset_digest: str
    num_images: int
    num_added: int
    """Images that the parent's cycle did not have."""

    @property
    def best(self) -> Row:
        """Metrics of the epoch that was kept."""
        return self.history[self.best_epoch]

    @property
    def ended(self) -> str:
        """Why training stopped, for people who know no setting."""
        return in_words(self.stop_reason)

    def published(self, images: str) -> dict[str, int | dict[str, float]]:
        """For `dvc metrics`: DVC subtracts what two commits call by one name.

        Args:
            images: name of the validation images (`Dataset.named`); on others it is another metric.
        """
        scores = {name: self.best[f"val_{name}"] for name in ("accuracy", "loss")}
        return {"epochs": self.epochs, "best_epoch": self.best_epoch, images: scores}

    @property
    def is_scratch_kept(self) -> bool:
        """Whether the model is that of the audit, trained from scratch."""
        return self.audit is not None and bool(self.audit.is_scratch_better)


def in_words(stop_reason: str) -> str:
    """Why a training stopped, for people who know no setting: `stopped after 10 epochs, the limit of a warm start`.

    Args:
        stop_reason: as `learning.stopping` and the stage say it, also those of earlier versions.
    """
    setting, _, rest = stop_reason.partition(": ")
    amount = int(rest) if rest.isdigit() else 0
    if setting == "patience" and (found := re.fullmatch(r"(\d+) epochs without improvement of (\w+)", rest)):
        return f"stopped, for {found[2]} got hardly better for {counted(int(found[1]), 'epoch')}"
    if setting == "target" and (found := re.fullmatch(r"(\w+) (\S+) reached (\S+)", rest)):
        return f"stopped at {found[1]} {found[2]}, for {found[3]} was the target"
    if setting == "passes_per_new" and (found := re.fullmatch(r"\S+, (\d+) epochs? here", rest)):
        return f"stopped after {counted(int(found[1]), 'epoch')}, the limit of a warm start for so many new images"
    limits = {
        "max_epochs": f"stopped after {counted(amount, 'epoch')}, the limit",
        "warm_epochs": f"stopped after {counted(amount, 'epoch')}, the limit of a warm start",
        "head_epochs": f"stopped after {counted(amount, 'epoch')}, the limit where only the head is trained",
        "budget.max_minutes": f"stopped by the budget of {rest} {'minute' if rest == '1' else 'minutes'}",
        "budget.max_epochs": f"stopped by the budget of {counted(amount, 'epoch')}",
        "budget.max_steps": f"stopped by the budget of {counted(amount, 'step')}",
        "diverged": f"stopped because it diverged: {rest}",
    }
    if rest and setting in limits:
        return limits[setting]
    return stop_reason if stop_reason == IDLE else f"stopped by {stop_reason}"
