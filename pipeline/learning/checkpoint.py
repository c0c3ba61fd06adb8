"""The states of a training, on disk: whole, checked, bound to its inputs, named by epoch."""

import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.training import Row
from pipeline.base import files
from pipeline.base.errors import PipelineError
from pipeline.learning import stopping
from pipeline.learning.settings import Checkpoint
from pipeline.learning.stopping import Spent

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

COST = 0.03
"""Share of the time that saving may take where only `checkpoint.seconds` says how often."""

SUFFIX = ".checkpoint"

NAME = re.compile(r"epoch-(\d+)(?:-retry-(\d+)-step-(\d+))?")
"""Of a state at the end of an epoch, or of one within it, after so many retries and steps."""

FINISHED = "-finished"
"""Ends the folder of a training that is over."""

TRAININGS = 8
"""Unfinished trainings whose states are kept, this one included: who takes a change back goes on with the training
before it. Of the finished ones as many."""


@dataclass(frozen=True)
class Values:
    """Everything that a step of training changes, by position."""

    variables: "Arrays" = field(default_factory=dict)
    """Of the model: weights, batch-norm statistics, seed generators."""
    average: "Arrays" = field(default_factory=dict)
    """Of the weights over the last steps, and the number of steps; empty without averaging."""
    optimizer: "Arrays" = field(default_factory=dict)
    """Iteration, learning rate, slots."""


@dataclass(frozen=True)
class State:
    """Everything that training needs to go on as if it had never stopped."""

    history: list[Row]
    """Metrics by epoch; early stopping, the best epoch and the learning rate are computed from it alone."""
    step: int = 0
    """Steps done in the epoch that is not over."""
    loss: float = 0.0
    """Sum over the images of these steps."""
    right: int = 0
    """Images of these steps that were classified right."""
    retries: list[Row] = field(default_factory=list)
    """Where training diverged: epoch, step, loss of the step, learning rate."""
    spent: Spent = field(default_factory=Spent)
    now: Values = field(default_factory=Values)
    best: Values = field(default_factory=Values)
    """After the best epoch so far."""
    factor: float = 1.0
    """Of the learning rate: who went back to an epoch may have changed it."""

    @property
    def epoch(self) -> int:
        """The last one that is over."""
        return len(self.history) - 1

    @property
    def is_end_of_epoch(self) -> bool:
        """Whether it is neither within an epoch nor that of an epoch that diverged and begins again."""
        return self.step == 0 and (not self.retries or self.retries[-1]["epoch"] <= self.epoch)

    @property
    def name(self) -> str:
        """Of its file: tells the epoch. Names in their order are in the order of time."""
        if self.is_end_of_epoch:
            return f"epoch-{self.epoch:04d}"
        return f"epoch-{self.epoch + 1:04d}-retry-{len(self.retries)}-step-{self.step:06d}"


class DamagedError(Exception):
    """A file is not what was written."""


class Folder:
    """The states of one training. They are given only to a training with the same inputs."""

    def __init__(
        self,
        path: Path,
        inputs: Mapping[str, Any],
        every: Checkpoint,
        warn: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Name a folder, which need not exist.

        Args:
            path: of the folder; it holds states of nothing else.
            inputs: all that determines the training, as JSON values by name.
            every: how often to save, and what to keep.
            warn: is told of a damaged file.
            clock: gives seconds.
        """
        self.path, self.inputs = path, dict(inputs)
        self._every, self._warn, self._clock = every, warn, clock
        self._saved, self._cost = clock(), 0.0
        self._damaged: set[Path] = set()

    def load(self) -> State | None:
        """The newest state that is whole; None if there is none.

        Raises:
            PipelineError: it is of other inputs; says the inputs of both.
        """
        for path in newest_first(self.path):
            try:
                state, inputs = read(path)
            except DamagedError as error:
                self._warn(f"{path} is damaged ({error}) and not used")
                self._damaged.add(path)
                continue
            if inputs != self.inputs:
                raise PipelineError(
                    f"{path} is a checkpoint of another training: {differences(inputs, self.inputs)}; move it to "
                    "where it comes from, or delete it to train without it"
                )
            return state
        return None

    def save(self, state: State) -> None:
        """Write a state, then remove those that are not kept: see `checkpoint.keep`.

        Raises:
            OSError: it cannot be written; those before are still there.
        """
        began = self._clock()
        path = self.path / f"{state.name}{SUFFIX}"
        files.write(path, encode(state, self.inputs))
        self._damaged.discard(path)
        # A damaged one must not push out a whole one.
        whole = [path for path in newest_first(self.path) if path not in self._damaged]
        self._keep_only({*whole[: self._every.newest], *self._to_go_back_to(state.history)})
        self._saved = self._clock()
        self._cost = self._saved - began

    def finish(self, history: Sequence[Row]) -> None:
        """After the end of training: delete its states, but for those at the end of an epoch that are to be kept.

        Args:
            history: metrics by epoch, of the whole training.
        """
        kept, place = self._to_go_back_to(history), finished(self.path)
        if not kept:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        try:
            self._keep_only(kept)
            # At another place: a training with the same inputs that begins anew must not go on from them.
            shutil.rmtree(place, ignore_errors=True)
            self.path.rename(place)
        except OSError as error:
            self._warn(f"the states in {self.path} cannot be kept in {place} ({error.strerror}); the model is whole")

    def _to_go_back_to(self, history: Sequence[Row]) -> set[Path]:
        """Whole states at the end of an epoch, of the epochs that are to be kept."""
        epochs = {epoch: path for epoch, path in ends(self.path).items() if path not in self._damaged}
        if self._every.best is None:
            return {*epochs.values()}
        if not self._every.best:
            return set()
        best = stopping.ranking(history, *monitored(self.inputs))
        return {epochs[epoch] for epoch in best[: self._every.best] if epoch in epochs}

    def _keep_only(self, kept: Set[Path]) -> None:
        for path in newest_first(self.path):
            if path not in kept and not path.is_dir():
                path.unlink(missing_ok=True)

    def is_due(self, epochs: int, steps: int) -> bool:
        """Whether to save, after so many epochs and steps and the time since the last."""
        every = self._every
        if every.is_each_epoch and epochs:
            return True
        if (every.epochs and epochs >= every.epochs) or (every.steps and steps >= every.steps):
            return True
        seconds = self._clock() - self._saved
        return every.seconds is not None and seconds >= max(every.seconds, self._cost / COST)


def encode(state: State, inputs: Mapping[str, Any]) -> bytes:
    """A state and its inputs as bytes: a line with the SHA-256 of the rest, then an .npz of plain arrays."""
    import numpy as np

    meta = {
        "inputs": inputs,
        "history": _hex(state.history),
        "retries": _hex(state.retries),
        "step": state.step,
        "loss": state.loss.hex(),
        "right": state.right,
        "spent": asdict(state.spent),
        "factor": state.factor.hex(),
    }
    arrays = {
        f"{when}/{group}/{name}": array
        for when in ("now", "best")
        for group, values in vars(getattr(state, when)).items()
        for name, array in values.items()
    }
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    content = sink.getvalue()
    return files.sha256(content).encode() + b"\n" + content


def read(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a state and its inputs.

    Raises:
        DamagedError: the file is not whole; nothing of it is used.
    """
    import numpy as np

    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise DamagedError(error.strerror or str(error)) from None
    if files.sha256(content).encode() != digest:
        raise DamagedError("its SHA-256 is not the one it begins with")
    groups: dict[str, dict[str, Arrays]] = {when: {group: {} for group in vars(Values())} for when in ("now", "best")}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            meta = json.loads(archive["meta"].tobytes())
            for name in archive.files:
                if name != "meta":
                    when, group, number = name.split("/")
                    groups[when][group][number] = archive[name]
        state = State(
            history=_floats(meta["history"]),
            retries=_floats(meta["retries"]),
            step=meta["step"],
            loss=float.fromhex(meta["loss"]),
            right=meta["right"],
            spent=Spent(**meta["spent"]),
            now=Values(**groups["now"]),
            best=Values(**groups["best"]),
            factor=float.fromhex(meta.get("factor", "1.0")),  # an earlier Evergreen wrote none
        )
        return state, meta["inputs"]
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DamagedError(f"it is not a state: {error}") from None


def others(folder: Path, inputs: Mapping[str, Any]) -> str | None:
    """Why training does not go on from the newest unfinished state beside this folder, in words; None if there is none.

    Args:
        folder: of the training.
        inputs: of the training.
    """
    beside = [other for other in folder.parent.glob("*") if other != folder and not is_finished(other)]
    paths = [path for other in beside for path in newest_first(other)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            state, its_inputs = read(path)
        except DamagedError:
            continue
        return f"{path} (epoch {len(state.history)}, step {state.step}) is not used: {differences(its_inputs, inputs)}"
    return None


def tidy(folder: Path, spared: str | None = None) -> None:
    """Delete the states of all but the newest trainings beside this folder, the finished ones for themselves.

    Args:
        folder: of the training.
        spared: name of another training that it went back to.
    """
    own = {folder, *((folder.with_name(spared), finished(folder.with_name(spared))) if spared else ())}
    paths = {other: newest_first(other) for other in folder.parent.glob("*") if other not in own}
    times = {other: newest[0].stat().st_mtime for other, newest in paths.items() if newest}
    newest = sorted(times, key=times.__getitem__, reverse=True)
    for is_over in (False, True):
        for other in [other for other in newest if is_finished(other) == is_over][TRAININGS - 1 :]:
            shutil.rmtree(other)


def finished(folder: Path) -> Path:
    """Where the kept states of a training are once it is over."""
    return folder.with_name(f"{folder.name}{FINISHED}")


def is_finished(folder: Path) -> bool:
    """Whether a folder holds states of a training that is over."""
    return folder.name.endswith(FINISHED)


def monitored(inputs: Mapping[str, Any]) -> tuple[str, str]:
    """The metric that chooses the best epoch of a training, and the mode: see `train.monitor` and `train.mode`."""
    return inputs["params"]["train.monitor"], inputs["params"]["train.mode"]


def ends(folder: Path) -> dict[int, Path]:
    """The states in a folder that are those of the end of an epoch, by epoch."""
    return {epoch: path for path in reversed(newest_first(folder)) for epoch, is_end, *_ in [_time(path)] if is_end}


def differences(there: Any, here: Any, name: str = "") -> str:
    """What differs between two JSON values, in words that give both.

    Args:
        there: the value in a file.
        here: the value now.
        name: of both, dotted.
    """
    if isinstance(there, dict) and isinstance(here, dict):
        names = [key for key in {**there, **here} if there.get(key) != here.get(key)]
        return ", ".join(differences(there.get(key), here.get(key), f"{name}.{key}" if name else key) for key in names)
    return f"{name} {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] if len(text) == 64 else text


def newest_first(folder: Path) -> list[Path]:
    """The states in a folder, by their names."""
    return sorted((path for path in folder.glob(f"*{SUFFIX}") if _time(path)), key=_time, reverse=True)


def _time(path: Path) -> tuple[int, ...]:
    """Orders the states of a training: epoch, whether it is over, retries, steps; empty for a file that is none."""
    if path.stem.isdecimal():  # an earlier Evergreen only numbered them
        return -1, 0, int(path.stem)
    match = NAME.fullmatch(path.stem)
    if not match:
        return ()
    epoch, *within = match.groups()
    return (int(epoch), 0, *map(int, within)) if all(within) else (int(epoch), 1)


def _hex(rows: list[Row]) -> list[dict[str, str]]:
    """Floats as hex, which keeps every bit."""
    return [{name: float(value).hex() for name, value in row.items()} for row in rows]


def _floats(rows: list[dict[str, str]]) -> list[Row]:
    return [{name: float.fromhex(value) for name, value in row.items()} for row in rows]
