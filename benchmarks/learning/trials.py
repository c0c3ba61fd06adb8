"""Trials side by side, each kept when it is done. Not part of `__main__`, which other processes cannot import."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.arms import ARMS, Trial, key
from benchmarks.learning.lab import Lab


def play(trials: Sequence[Trial], work: Path, processes: int) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome; those of one stream and seed begin when its first model is there."""
    from pipeline.base import files

    paths = {}
    for trial in trials:
        name = f"{trial.stream}-{trial.seed}-{trial.arm}-{files.sha256_json(key(ARMS[trial.arm]))[:12]}.npz"
        paths[trial] = work / name.replace(" ", "_")
    todo = [trial for trial in trials if not paths[trial].exists()]
    print(f"{len(trials)} trials, {len(trials) - len(todo)} of them done before", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(max(processes, 1), multiprocessing.get_context("spawn")) as pool:
        firsts = {(trial.stream, trial.seed): pool.submit(_prepare, trial, work) for trial in todo}
        waiting = {}
        for trial in sorted(todo, key=lambda trial: "scratch" not in trial.arm):  # the longest first
            firsts[trial.stream, trial.seed].result()
            waiting[pool.submit(_play_one, trial, work, paths[trial])] = trial
        for number, done in enumerate(as_completed(waiting), start=1):
            done.result()
            trial = waiting[done]
            took = (time.monotonic() - began) / 60
            print(
                f"{number} of {len(todo)}: {trial.stream}, seed {trial.seed}, {trial.arm}; {took:.0f} min", flush=True
            )
    for trial in trials:
        yield trial, dict(np.load(paths[trial]))


_LAB: list[Lab] = []
"""Of this process."""


def _lab(work: Path) -> Lab:
    if not _LAB:
        _LAB.append(Lab(work, work))
    return _LAB[0]


def _prepare(trial: Trial, work: Path) -> None:
    _lab(work).prepare(trial)


def _play_one(trial: Trial, work: Path, path: Path) -> None:
    played = _lab(work).run(trial, ARMS[trial.arm])
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **played)
    unfinished.rename(path)
