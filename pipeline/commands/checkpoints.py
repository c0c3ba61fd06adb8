"""List the kept states of training: to the end of which epochs one can go back, and what they take."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.base.paths import Paths
from pipeline.learning import checkpoint, kept, task
from pipeline.learning.kept import KeptTraining
from pipeline.settings import Params

EXAMPLE = "python -m pipeline checkpoints"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=Path, default=Path("data/scratch"), help="default: data/scratch")


def run(params: Path, scratch: Path) -> int:
    """List the epochs whose states are kept (checkpoint.keep in params.yaml), with scores, learning rate and size.

    `python -m pipeline run --from-epoch EPOCH` goes on with training from one of them; with --finish it is the result.
    """
    folder = scratch / "training"
    found = kept.trainings(folder)
    if not found:
        print(f"checkpoints: none in {folder}; training writes them, and checkpoint.keep says which are kept")
        return 0
    inputs = _inputs(params)
    for training in found:
        print("\n".join([_title(training, inputs), *_rows(training), ""]))
    print(f"in all {_size(sum(one.bytes for one in found))}; delete the folder of a training to free its space")
    return 0


def _inputs(params: Path) -> Mapping[str, Any] | None:
    """Of the training of this cycle; None where no cycle has come so far."""
    settings = parameters.load(params, Params)
    try:
        return task.read(Paths(), settings.train, settings.prepare.replay).inputs
    except DataError:
        return None


def _title(training: KeptTraining, inputs: Mapping[str, Any] | None) -> str:
    where = f"unfinished, in epoch {len(training.history)} after step {training.step}"
    done = "finished" if training.is_finished else where
    size = f"{_size(training.bytes)} in {training.folder}"
    return f"training {training.name}: {_belongs(training, inputs)}; {done}; {size}"


def _belongs(training: KeptTraining, inputs: Mapping[str, Any] | None) -> str:
    """What a training is of, in words."""
    if inputs is None or not training.is_of(inputs):
        return "of another cycle"
    # Which libraries there are is known only once they are loaded.
    there = {name: value for name, value in training.inputs.items() if name in inputs}
    different = checkpoint.differences(there, inputs)
    return f"of this cycle ({different})" if different else "of this cycle, with these settings"


def _rows(training: KeptTraining) -> list[str]:
    """A table of the epochs that are kept, the best one marked."""
    best, metric = training.best, checkpoint.monitored(training.inputs)[0]
    metrics = [*dict.fromkeys([metric, "val_loss", "val_accuracy"])]
    table = [["epoch", *metrics, "learning rate", "saved", "size", ""]]
    for epoch, state in sorted(training.ends.items()):
        row = training.history[epoch]
        scores = [f"{row[name]:.4f}" if name in row else "-" for name in metrics]
        saved = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.time))
        mark = "best" if epoch == best else ""
        table.append([str(epoch), *scores, f"{row['learning_rate']:.3g}", saved, _size(state.bytes), mark])
    if best is not None and best not in training.ends:
        table.append([str(best), *["-"] * (len(metrics) + 3), "best, not kept"])
    return _aligned(table)


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  " + "  ".join(map(str.rjust, row, widths)).rstrip() for row in table]


def _size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
