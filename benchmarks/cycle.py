"""What a cycle with 100 new images costs beside a bare script that does the same imports and training steps.

`python -m benchmarks.cycle` prints a table by stage and, last, one JSON object. The bare script is one
process per stage that imports the same heavy libraries and does nothing else, but for the training:
the same network, images, batch size and number of epochs in `keras.Model.fit`. Also reported: the same
in a single process, which no pipeline of separate stages can reach.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import digits, workspace
from benchmarks.workspace import STAGES, Workspace

TARGET = 1.3
BEFORE, NEW = 1000, 100

CLOCK = '''
"""Loaded by each Python of the cycle at start: notes how long imports and the whole process take."""
import builtins, importlib, json, os, sys, time

began, spent, cpu, depth, leave = time.perf_counter(), 0.0, 0.0, 0, os._exit
HEAVY = ("keras", "mlflow", "great_expectations", "dvc.repo", "pandas", "polars")

def timed(original):
    def call(*arguments, **options):
        global spent, cpu, depth
        start, busy, depth = time.perf_counter(), time.process_time(), depth + 1
        try:
            return original(*arguments, **options)
        finally:
            depth -= 1
            if depth == 0:
                spent, cpu = spent + time.perf_counter() - start, cpu + time.process_time() - busy
    return call

builtins.__import__ = timed(builtins.__import__)
importlib.import_module = timed(importlib.import_module)

def note(code):
    words = sys.orig_argv
    if "-m" in words and "pipeline" in words:
        row = {"stage": words[words.index("pipeline") + 1], "wall": time.perf_counter() - began, "imports": spent}
        row |= {"cpu": time.process_time() - cpu, "heavy": [name for name in HEAVY if name in sys.modules]}
        with open(os.environ["CYCLE_TIMES"], "a") as file:
            file.write(json.dumps(row) + "\\n")
    leave(code)

os._exit = note
'''

TRAINING = """
import numpy as np, keras
keras.utils.set_random_seed(7)
sys.path.insert(0, {root!r})
from pathlib import Path
from pipeline.artifacts.model import Description
from pipeline.learning import model
network = model.build(Description.read(Path({root!r}) / "data/cycle/model/model.json"))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
network.compile(keras.optimizers.AdamW(0.003), loss, metrics=["accuracy"])
def part(name):
    import pandas
    pixels = np.load({root!r} + f"/data/cycle/dataset/{{name}}-32x32x3.npy")
    return pixels, pandas.read_parquet({root!r} + f"/data/cycle/dataset/{{name}}.parquet")["label"].to_numpy()
(x, y), val = part("train"), part("val")
network.fit(x, y, validation_data=val, batch_size={batch_size}, epochs={epochs}, verbose=0)
network.predict(part("holdout")[0], verbose=0)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the target holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cycle",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.cycle",
    )
    parser.add_argument("--rounds", type=int, default=3, help="measure so often, report the median (default: 3)")
    rounds = parser.parse_args(argv).rounds
    with tempfile.TemporaryDirectory() as folder:
        space = workspace.create(Path(folder) / "clone")
        space.put("first", digits.batch(0, BEFORE))
        space.push("first", "First images")
        print("a first champion ...", flush=True)
        assert space.repro(quiet=True).code == 0
        space.commit("First cycle")
        figures = [measure(space, number) for number in range(rounds)]
    median = sorted(figures, key=lambda figure: figure["ratio"])[len(figures) // 2]
    print(_table(median["stages"]))
    ok = median["ratio"] <= TARGET
    print(json.dumps({"benchmark": "cycle", **median, "target_ratio": TARGET, "ok": ok}))
    return 0 if ok else 1


def measure(space: Workspace, number: int) -> dict[str, Any]:
    """One cycle with 100 new digits, and the bare scripts right after it."""
    start = BEFORE + NEW * number
    space.put(f"new{number}", digits.batch(start, start + NEW))
    space.push(f"new{number}", "New images")
    print(f"a cycle with {NEW} new digits on top of {start} ...", flush=True)
    stages, seconds = _cycle(space)
    space.commit("Cycle")
    trained = space.read("model/training.json")
    print("the bare scripts ...", flush=True)
    script = TRAINING.format(root=str(space.root), batch_size=32, epochs=trained["epochs"])
    bare = sum(_bare(space, stage["heavy"], script if stage["stage"] == "train" else "") for stage in stages)
    single = _bare(space, sorted({name for stage in stages for name in stage["heavy"]}), script)
    return {
        "new_images": NEW,
        "epochs": trained["epochs"],
        "cycle_seconds": round(seconds, 2),
        "bare_seconds": round(bare, 2),
        "ratio": round(seconds / bare, 3),
        "single_process_seconds": round(single, 2),
        "ratio_to_single_process": round(seconds / single, 3),
        "stages": stages,
    }


def _cycle(space: Workspace) -> tuple[list[dict[str, Any]], float]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text(CLOCK)
        times = Path(folder) / "times"
        clocked = Workspace(space.root, {**space.env, "PYTHONPATH": folder, "CYCLE_TIMES": str(times)})
        done = clocked.repro(quiet=True)
        assert done.code == 0, done.output
        rows = [json.loads(line) for line in times.read_text().splitlines()]
    assert [row["stage"] for row in rows] == list(STAGES)
    for row in rows:
        rest = row["wall"] - row["imports"]
        own = min(rest, row.pop("cpu"))  # two cores can work more seconds than pass
        row |= {"own": own, "waiting": rest - own}
    dvc = done.seconds - sum(row["wall"] for row in rows)
    rounded = [{k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    print(f"dvc itself and starting Python: {dvc:.1f} s")
    return rounded, done.seconds


def _bare(space: Workspace, heavy: Sequence[str], script: str) -> float:
    env = {**space.env, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "KERAS_BACKEND": "tensorflow"}
    source = "\n".join(["import sys, json", *(f"import {name}" for name in heavy), script])
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", source], env=env, check=True, capture_output=True)
    return time.monotonic() - began


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["stage      wall s  imports  own work  waiting  heavy imports"]
    for row in rows:
        lines.append(
            f"{row['stage']:9} {row['wall']:7.2f} {row['imports']:8.2f} {row['own']:9.2f} {row['waiting']:8.2f}  "
            f"{', '.join(row['heavy'])}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
