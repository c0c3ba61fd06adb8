"""The trials of this benchmark, played side by side."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import trials as queue
from benchmarks.learning.arms import ARMS, key
from benchmarks.learning.lab import Lab
from benchmarks.trials import Trial


def play(trials: Sequence[Trial], work: Path, processes: int) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome; those of one stream and seed begin when its first model is there."""
    from pipeline.base import files

    return queue.play(
        {trial: queue.place(work, trial, files.sha256_json(key(ARMS[trial.arm]))) for trial in trials},
        partial(Lab, work, work),
        processes,
        first=lambda trial: (trial.stream, trial.seed),
        is_long=lambda trial: "scratch" in trial.arm,
    )
