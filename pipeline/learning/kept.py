"""Kept states: which trainings lie on disk, and to the end of which epochs one can go back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.training import Row
from pipeline.base.errors import PipelineError
from pipeline.learning import checkpoint, stopping
from pipeline.learning.checkpoint import DamagedError


@dataclass(frozen=True)
class Saved:
    """The file of a state."""

    path: Path
    bytes: int
    time: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class KeptTraining:
    """The states of one training that lie on disk."""

    folder: Path
    inputs: Mapping[str, Any]
    """All that determines the training."""
    history: Sequence[Row]
    """Metrics by epoch, as the newest state has them."""
    step: int
    """Of the newest state, in the epoch that is not over."""
    states: Sequence[Saved]
    """The newest first."""
    ends: Mapping[int, Saved]
    """Those at the end of an epoch, by epoch."""

    @property
    def name(self) -> str:
        """Of the training."""
        return self.folder.name.removesuffix(checkpoint.FINISHED)

    @property
    def is_finished(self) -> bool:
        """Whether the training is over."""
        return checkpoint.is_finished(self.folder)

    def is_of(self, inputs: Mapping[str, Any]) -> bool:
        """Whether it learned the same data from the same parent as a training with these inputs."""
        return all(self.inputs.get(name) == inputs[name] for name in ("dataset", "parent"))

    @property
    def best(self) -> int | None:
        """The best epoch so far; None while none has a finite value of the monitored metric."""
        return next(iter(stopping.ranking(self.history, *checkpoint.monitored(self.inputs))), None)

    @property
    def bytes(self) -> int:
        """That all states take."""
        return sum(state.bytes for state in self.states)


def trainings(folder: Path) -> list[KeptTraining]:
    """The trainings below a folder, the newest first; those of an audit or of a head alone are none, for
    nobody goes back to their epochs.

    Damaged states are passed over.
    """
    found = [kept for path in folder.glob("*") if (kept := _look(path))]
    return sorted(found, key=lambda kept: kept.states[0].time, reverse=True)


def find(folder: Path, name: str, epoch: int) -> Path:
    """The state at the end of an epoch.

    Args:
        folder: of all trainings.
        name: of the training.
        epoch: its number.

    Raises:
        PipelineError: it is not kept; says which are.
    """
    for own in (folder / name, checkpoint.finished(folder / name)):
        if path := checkpoint.ends(own).get(epoch):
            return path
    raise PipelineError(
        f"epoch {epoch} of training {name} is not kept in {folder}: {listed(trainings(folder))}; choose one of them "
        "with `python -m pipeline run --from-epoch TRAINING/EPOCH`, or set train.from_epoch: null"
    )


def listed(found: Sequence[KeptTraining]) -> str:
    """Which epochs are kept, in words."""
    kept = [f"{one.name}/{epochs}" for one in found if (epochs := ", ".join(map(str, one.ends)))]
    return f"kept are {'; '.join(kept)}" if kept else "none is (checkpoint.keep says which will be)"


def _look(folder: Path) -> KeptTraining | None:
    saved = {path: one for path in checkpoint.newest_first(folder) if (one := _saved(path))}
    for path in saved:
        try:
            state, inputs = checkpoint.read(path)
        except DamagedError:
            continue
        if inputs.get("audit") or inputs.get("head") or "train.monitor" not in inputs.get("params", ()):
            return None
        # What is newer than the newest whole one is damaged.
        whole = {epoch: path for epoch, path in checkpoint.ends(folder).items() if epoch <= state.epoch}
        ends = {epoch: saved[path] for epoch, path in whole.items() if path in saved}
        return KeptTraining(folder, inputs, state.history, state.step, tuple(saved.values()), ends)
    return None


def _saved(path: Path) -> Saved | None:
    """None if it is gone by now: a training that runs meanwhile deletes what is not kept."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Saved(path, status.st_size, status.st_mtime)
