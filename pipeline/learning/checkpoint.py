"""The state of an unfinished training, on disk: whole, checked, bound to its inputs."""

import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.training import Row
from pipeline.base import files
from pipeline.base.errors import PipelineError
from pipeline.learning.settings import Checkpoint
from pipeline.learning.stopping import Spent

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

KEEP = 2
"""States of a training. What ended it may have damaged the newest; then the one before is used."""

COST = 0.03
"""Share of the time that saving may take where only `checkpoint.seconds` says how often."""

SUFFIX = ".checkpoint"

UNFINISHED = 8
"""Trainings whose states are kept, this one included: who takes a change back goes on with the training before it."""


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


class DamagedError(Exception):
    """A file is not what was written."""


class Folder:
    """The newest two states of one training. They are given only to a training with the same inputs."""

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
            every: how often to save.
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
        for path in _newest_first(self.path):
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
        """Write a state, then remove all but the newest two.

        Raises:
            OSError: it cannot be written; those before are still there.
        """
        began = self._clock()
        newest = next(iter(_newest_first(self.path)), None)
        number = int(newest.stem) + 1 if newest else 1
        files.write(self.path / f"{number:08d}{SUFFIX}", encode(state, self.inputs))
        # A damaged one must not push out a whole one.
        whole = [path for path in _newest_first(self.path) if path not in self._damaged]
        for old in [*whole[KEEP:], *(path for path in self._damaged if path.is_file())]:
            old.unlink(missing_ok=True)
        self._saved = self._clock()
        self._cost = self._saved - began

    def is_due(self, epochs: int, steps: int) -> bool:
        """Whether to save, after so many epochs and steps and the time since the last."""
        every = self._every
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
        )
        return state, meta["inputs"]
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DamagedError(f"it is not a state: {error}") from None


def others(folder: Path, inputs: Mapping[str, Any]) -> str | None:
    """Why training does not go on from the newest state beside this folder, in words; None if there is none."""
    paths = [path for other in folder.parent.glob("*") if other != folder for path in _newest_first(other)]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            state, its_inputs = read(path)
        except DamagedError:
            continue
        return f"{path} (epoch {len(state.history)}, step {state.step}) is not used: {differences(its_inputs, inputs)}"
    return None


def tidy(folder: Path) -> None:
    """Delete the states of all but the newest unfinished trainings beside this folder."""
    paths = {other: _newest_first(other) for other in folder.parent.glob("*") if other != folder}
    times = {other: newest[0].stat().st_mtime for other, newest in paths.items() if newest}
    for other in sorted(times, key=times.__getitem__, reverse=True)[UNFINISHED - 1 :]:
        shutil.rmtree(other)


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


def _newest_first(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()), reverse=True)


def _hex(rows: list[Row]) -> list[dict[str, str]]:
    """Floats as hex, which keeps every bit."""
    return [{name: float(value).hex() for name, value in row.items()} for row in rows]


def _floats(rows: list[dict[str, str]]) -> list[Row]:
    return [{name: float.fromhex(value) for name, value in row.items()} for row in rows]
