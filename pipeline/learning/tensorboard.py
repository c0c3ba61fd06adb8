"""Logs for TensorBoard: the metrics of each epoch, in files that it reads while training goes on.

One folder for each training, with the runs train, val and kept; the last is a point on both curves, at the epoch whose
weights were kept. A training that goes on writes its logs anew, from its history, so nothing is there twice.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.artifacts.training import Row
from pipeline.base.errors import one_line
from pipeline.learning import engine

RUNS = {
    "train": {"loss": "loss", "accuracy": "accuracy", "learning_rate": "learning_rate"},
    "val": {"val_loss": "loss", "val_accuracy": "accuracy"},
}
"""Metric to tag by run: what has one tag is in one chart."""

KEPT = "kept"

NEWEST = 8
"""Trainings whose logs stay."""


class TensorBoard:
    """The logs of one training. Nothing that fails here ends it: one warning, and no more logs."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        """Begin; nothing is written yet.

        Args:
            folder: of this training, in that of all logs.
            warn: tells people.
        """
        self._folder, self._warn = folder, warn
        self._runs: dict[str, engine.Summaries] = {}
        self._num_written = 0
        self._is_broken = False

    def add(self, history: Sequence[Row]) -> None:
        """Write the epochs that are not there yet.

        Args:
            history: metrics by epoch; where training went back, the shorter one counts.
        """
        self._try(lambda: self._add(history))

    def keep(self, history: Sequence[Row], epoch: int) -> None:
        """Mark the epoch whose weights were kept."""
        self._try(lambda: self._run(KEPT).write(epoch, _values(history[epoch], RUNS["val"])))

    def _add(self, history: Sequence[Row]) -> None:
        if not self._num_written or len(history) < self._num_written:
            self._begin()
        for epoch in range(self._num_written, len(history)):
            for name, tags in RUNS.items():
                self._run(name).write(epoch, _values(history[epoch], tags))
        self._num_written = len(history)

    def _begin(self) -> None:
        self._runs, self._num_written = {}, 0
        for name in (*RUNS, KEPT):
            shutil.rmtree(self._folder / name, ignore_errors=True)
        others = self._folder.parent.glob("*")
        for old in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[NEWEST - 1 :]:
            if old != self._folder:
                shutil.rmtree(old, ignore_errors=True)

    def _run(self, name: str) -> engine.Summaries:
        if name not in self._runs:
            self._runs[name] = engine.Summaries(self._folder / name)
        return self._runs[name]

    def _try(self, write: Callable[[], None]) -> None:
        if self._is_broken:
            return
        try:
            write()
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self._is_broken = True
            self._warn(f"no more logs for TensorBoard in {self._folder}: {one_line(error)}")


def _values(row: Row, tags: dict[str, str]) -> dict[str, float]:
    return {tag: row[metric] for metric, tag in tags.items() if metric in row}
