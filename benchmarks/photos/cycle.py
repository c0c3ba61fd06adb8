"""Whole cycles by the clock: 100 new photographs on top of 2,000, with `tune: head`."""

import re
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import workspace
from benchmarks.photos.arms import Source
from benchmarks.photos.photos import Files
from benchmarks.workspace import Batch, Workspace

BEFORE, NEW = 2000, 100
STAGE = re.compile(r"^prepare: features: ([\d,]+) images? to go through \S+?(?:; ([\d,]+) of them are known.*)?$", re.M)


def measure(there: Files, source: Source, rounds: int, size: int | None) -> dict[str, Any]:
    """The median of some cycles, each with 100 photographs more than the one before.

    Args:
        there: the photographs.
        source: has weights and architecture.
        rounds: how many cycles.
        size: pixels of the sides; None: as params.yaml says for such a network.
    """
    order = np.random.default_rng(0).permutation(len(there.paths))
    if len(order) < BEFORE + NEW * rounds:
        raise SystemExit(f"{len(order)} photographs; expected {BEFORE + NEW * rounds} or more for {rounds} cycles")
    with tempfile.TemporaryDirectory() as folder:
        space = workspace.create(Path(folder) / "clone")
        weights = f"pretrained{source.weights.suffix}"
        shutil.copyfile(source.weights, space.root / weights)
        space.params(train={"architecture": source.architecture, "pretrained": weights, "tune": "head"})
        if size is not None:
            space.params(prepare={"image_size": size})
        space.put("first", _batch(there, order[:BEFORE]))
        space.push("first", "First photographs")
        print(f"a first champion of {BEFORE:,} photographs ...", flush=True)
        first, *figures = [_one(space, there, order, number) for number in range(rounds + 1)]
    middle = sorted(figures, key=lambda figure: figure["seconds"])[len(figures) // 2]
    return {
        "before": BEFORE,
        "new": NEW,
        "seconds": statistics.median(figure["seconds"] for figure in figures),
        "all_seconds": [figure["seconds"] for figure in figures],
        "passed": middle["passed"],
        "old_passed": max(figure["old_passed"] for figure in figures),
        "first_seconds": first["seconds"],
        "image_size": middle["image_size"],
    }


def _one(space: Workspace, there: Files, order: np.ndarray, number: int) -> dict[str, Any]:
    """A cycle; but for the first it has new photographs."""
    if number:
        start = BEFORE + NEW * (number - 1)
        space.put(f"new{number}", _batch(there, order[start : start + NEW]))
        space.push(f"new{number}", "New photographs")
        print(f"a cycle with {NEW} new ones on top of {start:,} ...", flush=True)
    done = space.repro(quiet=True)
    if done.code:
        raise SystemExit(f"the cycle failed:\n{done.output[-3000:]}")
    space.commit("Cycle")
    passed, known = through(done.output)
    contents = space.read("dataset/dataset.json")
    if contents["num_computed"] != passed:
        raise SystemExit(f"prepare said {passed} photographs, dataset.json says {contents['num_computed']}")
    old = known + max(passed - known - contents["num_added"], 0)
    figure = {"seconds": round(done.seconds, 1), "passed": passed, "old_passed": old,
              "image_size": contents["image_shape"][0]}  # fmt: skip
    print(f"  {figure['seconds']} s, {passed} photographs went through the network, {old} of them old", flush=True)
    return figure


def through(output: str) -> tuple[int, int]:
    """Of what a cycle said: how many images went through the frozen part, and how many of them were known before."""
    counts = [tuple(int((count or "0").replace(",", "")) for count in found) for found in STAGE.findall(output)]
    return sum(count for count, _ in counts), sum(known for _, known in counts)


def _batch(there: Files, rows: np.ndarray) -> Batch:
    """Label to file name to encoded image."""
    batch: dict[str, dict[str, bytes]] = {}
    for row in rows:
        path = there.paths[row]
        batch.setdefault(there.names[there.labels[row]], {})[path.name] = path.read_bytes()
    return batch
