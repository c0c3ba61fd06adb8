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

from pipeline.base import files
from pipeline.base.errors import PipelineError
from pipeline.learning.settings import Checkpoint
from pipeline.learning.stopping import Row, Spent

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

KEEP = 2
"""The newest may be damaged by what ended the training; then the one before is used."""

COST = 0.03
"""Share of the time that saving may take, where only seconds say how often."""

SUFFIX = ".checkpoint"

UNFINISHED = 8
"""Trainings whose states are kept, this one included: a change that is taken back finds its own again."""


@dataclass(frozen=True)
class Values:
    """Everything that a step of training changes, by position."""

    variables: "Arrays" = field(default_factory=dict)
    """Of the model: weights, batch-norm statistics, seed generators."""
    average: "Arrays" = field(default_factory=dict)
    """Of the weights over the last steps, and how many there were; empty without averaging."""
    optimizer: "Arrays" = field(default_factory=dict)
    """Iteration, learning rate, slots."""


@dataclass(frozen=True)
class State:
    """Everything that training needs to go on as if it had never stopped."""

    history: list[Row]
    """Metrics by epoch. Early stopping, the best epoch and the learning rate are computed from it alone."""
    step: int = 0
    """Steps done in the epoch after those."""
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
    """The states of one training: the newest two, only for the inputs they are of."""

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
            path: the folder; holds states of nothing else.
            inputs: what determines the training, as JSON values by name.
            every: how often to save.
            warn: is told of a damaged file.
            clock: seconds.
        """
        self.path, self.inputs = path, dict(inputs)
        self._every, self._warn, self._clock = every, warn, clock
        self._saved, self._cost = clock(), 0.0
        self._damaged: set[Path] = set()

    def load(self) -> State | None:
        """The newest state that is whole; None if there is none.

        Raises:
            PipelineError: it is of other inputs; says what is there and what here.
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
        # What was found damaged takes no place of a whole one.
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
    """A state and its inputs as bytes: SHA-256 of the rest, then an .npz of plain arrays."""
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
    """A state and its inputs.

    Raises:
        DamagedError: not a byte of it is trusted.
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
    """Why the newest unfinished training beside this folder is not gone on with, in words; None if there is none."""
    found = [path for beside in folder.parent.glob("*") if beside != folder for path in _newest_first(beside)]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            state, theirs = read(path)
        except DamagedError:
            continue
        return f"{path} (epoch {len(state.history)}, step {state.step}) is not used: {differences(theirs, inputs)}"
    return None


def tidy(folder: Path) -> None:
    """Delete the states of all but the newest unfinished trainings beside this folder."""
    found = {beside: _newest_first(beside) for beside in folder.parent.glob("*") if beside != folder}
    ages = {beside: paths[0].stat().st_mtime for beside, paths in found.items() if paths}
    for beside in sorted(ages, key=ages.__getitem__, reverse=True)[UNFINISHED - 1 :]:
        shutil.rmtree(beside)


def differences(there: Any, here: Any, name: str = "") -> str:
    """What differs between JSON values, both sides of it, in words."""
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
    """Floats as hex: what is read is the same float to the last bit."""
    return [{name: float(value).hex() for name, value in row.items()} for row in rows]


def _floats(rows: list[dict[str, str]]) -> list[Row]:
    return [{name: float.fromhex(value) for name, value in row.items()} for row in rows]
