"""Kill training again and again, at random moments, and see whether the model is the same to the last byte.

`python -m benchmarks.crash --kills 300` makes a workspace with real images and runs the stage's own command, as in
dvc.yaml, once to its end and then over and over with SIGKILL in between. Each attempt is a fork of a process that has
imported TensorFlow and not begun to use it, so that a kill costs seconds; `--dvc N` kills whole `dvc repro` besides,
N times, and looks for training that lives on. Prints one JSON object last. A failure prints the seed to see it again.
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import digits, workspace
from benchmarks.workspace import Workspace

OWN = '''
"""Batch normalisation, dropout and augmentation: all the state that a network can have."""

import keras


def build(image_shape, num_labels):
    layers = keras.layers
    inputs = layers.Input(image_shape)
    x = layers.RandomTranslation(0.1, 0.1)(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, activation="relu")(x))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(num_labels)(x))
'''
MOST = 25
"""Kills of one training, after which it may end."""


def main(argv: Sequence[str] | None = None) -> int:
    """Kill and compare; 0 if nothing differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crash",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.crash --kills 300",
    )
    parser.add_argument("--kills", type=int, default=300, help="of training (default: 300)")
    parser.add_argument("--dvc", type=int, default=5, help="of the whole `dvc repro` (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), options.kills, options.dvc, random.Random(options.seed))
    ok = (
        not any(found[name] for name in ("different", "failed", "orphans", "dvc_different"))
        and found["kills"] >= options.kills
    )
    print(json.dumps({"benchmark": "crash", "seed": options.seed, **found, "ok": ok}))
    return 0 if ok else 1


def measure(folder: Path, kills: int, dvc_kills: int, chance: random.Random) -> dict[str, Any]:
    """Train once to the end, then with kills; count what differs."""
    space = prepared(folder / "space")
    command = train_command(space)
    preload()
    began = time.monotonic()
    if attempt(space, command).wait():
        raise RuntimeError((space.root / "train.log").read_text())
    seconds = time.monotonic() - began
    expected = outcome(space)
    print(f"one training takes {seconds:.1f} s", flush=True)

    counts: Counter[str] = Counter(kills=0, trainings=0, different=0, failed=0)
    places: Counter[str] = Counter()
    while counts["kills"] < kills:
        reset(space)
        here = 0
        while True:
            process = attempt(space, command)
            is_last = here >= MOST or counts["kills"] >= kills
            if process.wait(None if is_last else chance.uniform(0.05, 1.1) * seconds) is None:
                process.kill()
                here, counts["kills"] = here + 1, counts["kills"] + 1
                places[place(space)] += 1
                continue
            break
        counts["trainings"] += 1
        counts["failed"] += process.code != 0
        counts["different"] += process.code == 0 and outcome(space) != expected
        print(f"{counts['kills']} kills, {counts['trainings']} trainings, {counts['different']} differ", flush=True)
        if process.code:
            print((space.root / "train.log").read_text()[-2000:])
    whole = kill_dvc(space, dvc_kills, expected, seconds, chance)
    return {**counts, "killed_when": dict(places), "seconds_of_one": round(seconds, 1), **whole}


def prepared(root: Path) -> Workspace:
    """A workspace whose next stage is train: some hundred digits, saved every three steps, no time to lose."""
    space = workspace.create(root)
    (space.root / "own.py").write_text(OWN)
    space.params(
        prepare={"image_size": 8, "channels": 1, "min_split": 1},
        train={"architecture": "own:build", "max_epochs": 5, "patience": 3, "batch_size": 16, "max_retries": 1},
        validate={"new_labels": "allow", "min_images_per_label": 1},
        checkpoint={"steps": 3},
    )
    space.put("first", digits.batch(0, 250))
    space.push("first", "images")
    done = space.repro("prepare", quiet=True)
    if done.code:
        raise RuntimeError(done.output)
    return space


def train_command(space: Workspace) -> list[str]:
    """The words of the stage's command in dvc.yaml, after `python -m pipeline`."""
    import yaml

    stages = yaml.safe_load((space.root / "dvc.yaml").read_text())["stages"]
    return shlex.split(stages["train"]["cmd"])[3:]


def preload() -> None:
    """Import what training needs, once for all attempts; nothing may use TensorFlow before the fork."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    from pipeline.learning import model

    model.keras()
    import mlflow.entities
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import polars  # noqa: F401

    from pipeline.stages import train  # noqa: F401


class Attempt:
    """A forked process that runs the stage."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.code: int | None = None

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code; None if it still runs after so many seconds."""
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or time.monotonic() < until:
            number, status = os.waitpid(self.number, 0 if until is None else os.WNOHANG)
            if number:
                self.code = os.waitstatus_to_exitcode(status)
                return self.code
            time.sleep(0.002)
        return None

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.number, signal.SIGKILL)
        os.waitpid(self.number, 0)


def attempt(space: Workspace, command: Sequence[str]) -> Attempt:
    """Fork, and run the stage there."""
    sys.stdout.flush()
    number = os.fork()
    if number:
        return Attempt(number)
    code = 70
    try:
        os.chdir(space.root)
        os.environ.update(space.env)
        with open("train.log", "wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        from pipeline.__main__ import main as run

        code = run(command)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - nothing may run on in the fork
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def outcome(space: Workspace) -> dict[str, str]:
    """SHA-256 of every byte that training gave."""
    cycle = space.root / "data/cycle"
    paths = [*sorted((cycle / "model").iterdir()), cycle / "curves.csv", cycle / "training.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def reset(space: Workspace) -> None:
    """As before the first attempt."""
    cycle = space.root / "data/cycle"
    shutil.rmtree(cycle / "model", ignore_errors=True)
    shutil.rmtree(space.root / "data/scratch/training", ignore_errors=True)
    for name in ("curves.csv", "training.json"):
        (cycle / name).unlink(missing_ok=True)


def place(space: Workspace) -> str:
    """Where training was, by what lies in its folder."""
    training = space.root / "data/scratch/training"
    if (space.root / "data/cycle/model/training.json").is_file():
        return "after the model"
    if list(training.glob("*/.*.checkpoint.*")):
        return "in the middle of saving"
    return "after a state" if list(training.glob("*/*.checkpoint")) else "before a state"


def kill_dvc(
    space: Workspace, kills: int, expected: dict[str, str], seconds: float, chance: random.Random
) -> dict[str, Any]:
    """Kill `dvc repro` itself while it trains; count what lives on a few seconds later, and whether the model is the
    same at last."""
    reset(space)
    orphans = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("dvc")), "repro", "train"],
            cwd=space.root,
            env=dict(space.env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60
        while not (running := trainings(space)) and process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(chance.uniform(3, 6 + seconds))
        process.kill()
        process.wait()
        time.sleep(4)
        orphans += len(set(trainings(space)) & set(running))
    if not kills:
        return {"dvc_kills": 0, "orphans": 0, "dvc_different": 0}
    done = space.repro("train", quiet=True)
    is_same = done.code == 0 and outcome(space) == expected
    return {"dvc_kills": kills, "orphans": orphans, "dvc_different": int(not is_same)}


def trainings(space: Workspace) -> list[int]:
    """Processes that run the train stage in the workspace."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            is_ours = process.cwd() == str(space.root.resolve())
        except psutil.Error:
            continue
        if is_ours and words[1:4] == ["-m", "pipeline", "train"]:
            found.append(process.pid)
    return found


if __name__ == "__main__":
    sys.exit(main())
