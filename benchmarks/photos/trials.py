"""The trials of this benchmark, played side by side."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import trials as queue
from benchmarks.photos.arms import ARMS, Source, key
from benchmarks.photos.lab import Lab
from benchmarks.photos.streams import first_of
from benchmarks.trials import Trial


def play(
    trials: Sequence[Trial], source: Source, photos: str, work: Path, processes: int
) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome; those that start from the same model begin when it is there.

    Args:
        trials: which.
        source: what is the same for all.
        photos: digest of the photographs.
        work: keeps outcomes.
        processes: trials at a time.
    """
    return queue.play(
        {trial: place(trial, source, photos, work) for trial in trials},
        partial(quick_lab, source, work),
        processes,
        first=lambda trial: (first_of(trial.stream), trial.seed, ARMS[trial.arm].first),
        is_long=lambda trial: not ARMS[trial.arm].plays_all,
    )


def quick_lab(source: Source, work: Path) -> Lab:
    """A lab in a process of its own, in which TensorFlow uses oneDNN: half again as fast.

    Sums then depend on the kind of machine, as no number here has to. The product switches it off where it is the first
    to import Keras.
    """
    from pipeline.learning import backend

    os.environ.update(backend.ENVIRONMENT | {"TF_ENABLE_ONEDNN_OPTS": "1"})
    import keras

    keras.config.set_image_data_format("channels_last")
    return Lab(source, work)


def kept(trials: Sequence[Trial], source: Source, photos: str, work: Path) -> dict[Trial, dict[str, Any]]:
    """The outcomes that are there, of the code and the settings of today; see `play`."""
    paths = {trial: place(trial, source, photos, work) for trial in trials}
    return {trial: dict(np.load(path)) for trial, path in paths.items() if path.exists()}


def place(trial: Trial, source: Source, photos: str, work: Path) -> Path:
    """Where the outcome of a trial is kept."""
    from pipeline.base import files

    return queue.place(work, trial, files.sha256_json(key(ARMS[trial.arm], source, photos)))
