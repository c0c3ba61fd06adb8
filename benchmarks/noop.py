"""What a `dvc repro` with nothing to do costs beside a bare one, at 10,000 and 100,000 images on disk.

`python -m benchmarks.noop` prints a table and, last, one JSON object. The bare one has as many stages, two of them
`always_changed` as here, whose commands are `true`. All images are real files, in the workspace and in the last cycle.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks import workspace
from benchmarks.scale import LABELS, picture
from benchmarks.workspace import STAGES, Workspace

SIZES = (10_000, 100_000)
CLIENT = "from mlflow import MlflowClient"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the target holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noop",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.noop --sizes 10000",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images on disk (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="measure so often, report the median (default: 7)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        bare = _bare(Path(folder) / "bare")
        figures = []
        for size in options.sizes:
            space = _space(Path(folder) / f"clone{size}", size)
            figures.append({"images": size} | measure(space, bare, options.rounds))
            subprocess.run(["rm", "-rf", str(space.root)], check=True)
    print("images     no-op s  bare s  MLflow client s  allowed s  first after a cycle s")
    for one in figures:
        print(
            f"{one['images']:8,} {one['noop']:9.2f} {one['bare']:7.2f} {one['client']:16.2f} {one['allowed']:10.2f} "
            f"{one['first']:22.2f}"
        )
    ok = all(one["noop"] <= one["allowed"] for one in figures)
    print(json.dumps({"benchmark": "noop", "figures": figures, "target": "noop <= bare + client", "ok": ok}))
    return 0 if ok else 1


def measure(space: Workspace, bare: Workspace, rounds: int) -> dict[str, Any]:
    """Median seconds, all three in turn in each round."""
    first = _timed(lambda: _repro(space))  # asks the registry, which the cycle changed
    times: dict[str, list[float]] = {"noop": [], "bare": [], "client": []}
    for _ in range(rounds):
        times["noop"].append(_timed(lambda: _repro(space)))
        times["bare"].append(_timed(lambda: _repro(bare)))
        times["client"].append(_timed(lambda: _run([sys.executable, "-c", CLIENT], space)))
    median = {name: round(statistics.median(values), 3) for name, values in times.items()}
    return median | {"allowed": round(median["bare"] + median["client"], 3), "first": round(first, 3)}


def _timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _repro(space: Workspace) -> None:
    done = space.repro(quiet=True)
    assert done.code == 0, done.output


def _run(command: Sequence[str], space: Workspace) -> None:
    subprocess.run(command, cwd=space.root, env=dict(space.env), check=True, capture_output=True)


def _bare(root: Path) -> Workspace:
    """A project whose stages do nothing."""
    root.mkdir()
    space = Workspace(root, workspace.environment(root))
    space.git("init", "--quiet")
    space.dvc("init", "--quiet")
    mine = {"cmd": "true", "deps": ["file"]}
    always = {"cmd": "true", "always_changed": True}
    stages = {name: always if name in ("resolve", "promote") else mine for name in STAGES}
    (root / "file").touch()
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    _repro(space)
    return space


def _space(root: Path, size: int) -> Workspace:
    """A project whose last cycle had so many images, trained as little as can be."""
    print(f"{size:,} images: dvc add, and a cycle with them ...", flush=True)
    space = workspace.create(root)
    space.params(
        prepare={"image_size": 8, "max_val": 100, "max_holdout": 100, "near_duplicates": None},
        train={"max_epochs": 1, "batch_size": 1024},
        evaluate={"min_accuracy": 0.0},
    )
    for start in range(0, size, 10_000):
        batch: dict[str, dict[str, bytes]] = {label: {} for label in LABELS}
        for number in range(start, min(start + 10_000, size)):
            batch[LABELS[number % 2]][f"{number}.bmp"] = picture(number)
        space.put(f"b{start // 10_000:03d}", batch)
    batches = [f"data/images/{path.name}" for path in sorted((space.root / "data/images").iterdir()) if path.is_dir()]
    space.dvc("add", "--quiet", *batches)
    space.commit("Images")
    _repro(space)
    space.commit("Cycle")
    return space


if __name__ == "__main__":
    sys.exit(main())
