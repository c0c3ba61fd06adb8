"""The command: run what is not there yet, and write the results."""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import learning
from benchmarks.learning.arms import ARMS, Trial, key, played, settings
from benchmarks.learning.lab import SIDE, Lab, load
from benchmarks.learning.results import summary, table, write
from benchmarks.learning.streams import STREAMS
from benchmarks.workspace import CHECKOUT

RESULTS = CHECKOUT / "benchmarks/results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not there yet, write the results; 0 if the must holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=(learning.__doc__ or "").splitlines()[0],
        epilog="example, one seed in ten minutes: python -m benchmarks.learning --quick",
    )
    archive = CHECKOUT.parent / "shared/data/cifar10.tar.gz"
    parser.add_argument("--images", type=Path, default=archive,
                        help="CIFAR-10 as JPEGs: archive or folder with train/<label>, test/<label>")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="(default: 0 to 4)")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=list(STREAMS), help="(default: all)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", default=list(ARMS), help=", ".join(ARMS))
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trials at a time (default: one a core)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".learning", help="keeps trials (default: .learning)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--quick", action="store_true", help="seed 0, stream S1, four arms; writes to --work")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.seeds, chosen.streams, chosen.out = [0], ["S1"], chosen.work
        chosen.arms = ["scratch", "recipe", "new only", "warm"]
    # Half again as fast; sums then depend on the kind of machine, as no number here has to.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen.work.mkdir(parents=True, exist_ok=True)
    load(_unpacked(chosen.images, chosen.work), chosen.work)
    trials = [
        Trial(stream, seed, arm)
        for stream in chosen.streams
        for arm in chosen.arms
        if stream in ARMS[arm].streams
        for seed in played(stream, arm, chosen.seeds)
    ]
    found = dict(_played(trials, chosen.work, chosen.processes))
    made = {"commit": _commit(), "seeds": chosen.seeds, "settings": settings(ARMS["recipe"]).model_dump(mode="json")}
    streams = {stream: content | made for stream, content in summary(found, chosen.streams, chosen.seeds).items()}
    results = write(streams, chosen.out)
    print(table(results))
    print(json.dumps(results))
    return 0 if results["ok"] else 1


def _commit() -> str:
    import subprocess

    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()


def _unpacked(images: Path, work: Path) -> Path:
    """The folder with train and test."""
    if images.is_dir() or (work / f"cifar10-{SIDE}.npz").exists():
        return images
    import tarfile

    folder = work / "cifar10"
    if not folder.exists():
        print(f"unpacking {images}", flush=True)
        with tarfile.open(images) as archive:
            archive.extractall(work / "unpacking", filter="data")
        (work / "unpacking").rename(folder)
    (found,) = {path.parent for path in folder.glob("**/train")}
    return found


def _played(trials: Sequence[Trial], work: Path, processes: int) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome; those of one stream and seed begin when its first model is there."""
    from pipeline import files

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
            waiting[pool.submit(_play, trial, work, paths[trial])] = trial
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


def _play(trial: Trial, work: Path, path: Path) -> None:
    found = _lab(work).run(trial, ARMS[trial.arm])
    made = path.with_suffix(".unfinished.npz")
    np.savez(made, **found)
    made.rename(path)


if __name__ == "__main__":
    sys.exit(main())
