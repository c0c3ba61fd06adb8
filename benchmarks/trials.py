"""Trials side by side, each kept when it is done. Not part of a `__main__`, which other processes cannot import."""

import multiprocessing
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Trial:
    """One stream, seed and arm."""

    stream: str
    seed: int
    arm: str


class Player(Protocol):
    """The lab of a benchmark: what the trials of one process share."""

    def prepare(self, trial: Trial) -> None:
        """Make what several trials begin with, unless it is there."""

    def run(self, trial: Trial) -> dict[str, Any]:
        """Play a trial; gives its outcome."""


def place(work: Path, trial: Trial, key: str) -> Path:
    """Where the outcome of a trial is kept.

    Args:
        work: folder for outcomes.
        trial: which.
        key: hash of what the outcome depends on.
    """
    return work / f"{trial.stream}-{trial.seed}-{trial.arm}-{key[:12]}.npz".replace(" ", "_")


def play(
    places: Mapping[Trial, Path],
    lab: Callable[[], Player],
    processes: int,
    first: Callable[[Trial], Hashable],
    is_long: Callable[[Trial], bool],
) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome.

    Args:
        places: where the outcome of each is kept.
        lab: makes the lab of a process; to be pickled.
        processes: trials at a time.
        first: what a trial begins with; trials of the same begin when that is prepared.
        is_long: the long ones are played before the others.
    """
    todo = [trial for trial, path in places.items() if not path.exists()]
    print(f"{len(places)} trials, {len(places) - len(todo)} of them done before", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(max(processes, 1), multiprocessing.get_context("spawn")) as pool:
        firsts = {first(trial): pool.submit(_prepare, trial, lab) for trial in todo}
        waiting = {}
        for trial in sorted(todo, key=lambda trial: not is_long(trial)):
            firsts[first(trial)].result()
            waiting[pool.submit(_play_one, trial, lab, places[trial])] = trial
        for number, done in enumerate(as_completed(waiting), start=1):
            done.result()
            trial = waiting[done]
            took = (time.monotonic() - began) / 60
            print(
                f"{number} of {len(todo)}: {trial.stream}, seed {trial.seed}, {trial.arm}; {took:.0f} min", flush=True
            )
    for trial, path in places.items():
        yield trial, dict(np.load(path))


_LAB: list[Player] = []
"""Of this process."""


def _lab(make: Callable[[], Player]) -> Player:
    if not _LAB:
        _LAB.append(make())
    return _LAB[0]


def _prepare(trial: Trial, lab: Callable[[], Player]) -> None:
    _lab(lab).prepare(trial)


def _play_one(trial: Trial, lab: Callable[[], Player], path: Path) -> None:
    played = _lab(lab).run(trial)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **played)
    unfinished.rename(path)
