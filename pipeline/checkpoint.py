"""The state of an unfinished training, on disk: whole, checked, bound to its inputs by its folder."""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray]

KEEP = 2
"""The newest may be damaged by what ended the training; then the one before is used."""


@dataclass(frozen=True)
class State:
    """Everything that training needs to go on as if it had never stopped."""

    history: list[dict[str, float]]
    variables: "Arrays"
    """Of the model, by position: weights, batch-norm statistics, seed generators."""
    optimizer: "Arrays"
    """Of the optimizer, by position: iteration, learning rate, slots."""
    best_weights: "Arrays" = field(default_factory=dict)
    best_optimizer: "Arrays" = field(default_factory=dict)


def save(folder: Path, state: State) -> Path:
    """Write a checkpoint, then remove all but the newest two."""
    import numpy as np

    groups = {name: value for name, value in vars(state).items() if name != "history"}
    arrays = {f"{group}/{name}": array for group, value in groups.items() for name, array in value.items()}
    sink = io.BytesIO()
    np.savez(sink, history=np.frombuffer(_encode(state.history), np.uint8), **arrays)
    content = sink.getvalue()
    path = folder / f"epoch-{len(state.history) - 1:06d}.checkpoint"
    files.write(path, files.sha256(content).encode() + b"\n" + content)
    for old in sorted(folder.glob("epoch-*.checkpoint"))[:-KEEP]:
        old.unlink()
    return path


def load(folder: Path) -> State | None:
    """The newest checkpoint that is whole; None if there is none."""
    for path in sorted(folder.glob("epoch-*.checkpoint"), reverse=True):
        state = _read(path)
        if state is not None:
            return state
    return None


def _read(path: Path) -> State | None:
    import numpy as np

    digest, _, content = path.read_bytes().partition(b"\n")
    if files.sha256(content).encode() != digest:
        return None
    groups: dict[str, Arrays] = {name: {} for name in ("variables", "optimizer", "best_weights", "best_optimizer")}
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            for name in archive.files:
                if name != "history":
                    group, _, number = name.partition("/")
                    groups[group][number] = archive[name]
            return State(history=_decode(archive["history"].tobytes()), **groups)
    except (KeyError, ValueError, zipfile.BadZipFile):
        return None


def _encode(history: list[dict[str, float]]) -> bytes:
    """Floats as hex: what is read is the same float to the last bit."""
    return json.dumps([{name: float(value).hex() for name, value in row.items()} for row in history]).encode()


def _decode(content: bytes) -> list[dict[str, float]]:
    return [{name: float.fromhex(value) for name, value in row.items()} for row in json.loads(content)]
