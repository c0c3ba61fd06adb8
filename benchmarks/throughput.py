"""Whether a step of training waits for data, what saving costs, and whether memory grows with the images.

`python -m benchmarks.throughput` trains on images of 28, 32 and 160 pixels that lie on disk, with the product's own
loop, and beside it, round by round, makes the same step on one batch that is there already. Then it trains for a good
minute with states saved at the default interval, and trains on few and on many images in processes of their own.
Prints one JSON object last.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workspace import CHECKOUT

TARGET, TARGET_SAVING, TARGET_GROWTH = 0.95, 0.03, 1.05
SIZES = {28: (1, 400), 32: (3, 300), 160: (3, 16)}
"""Pixels of a side: channels, and steps of a round."""
BATCH = 32
FEW, MANY = 2_000, 40_000


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the targets hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.throughput --rounds 5",
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each size; their median counts (default: 5)")
    parser.add_argument("--seconds", type=float, default=70, help="of training with saving (default: 70)")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory_of:
            print(memory(folder, options.memory_of))
            return 0
        sizes = {str(side): delivered(folder, side, options.rounds) for side in SIZES}
        saving = saved(folder, options.seconds)
    peaks = {count: measured(count) for count in (FEW, MANY)}
    growth = peaks[MANY] / peaks[FEW]
    print("pixels  images/s  on one batch  ratio")
    for side, row in sizes.items():
        print(f"{side:>6} {row['images_per_second']:9,.0f} {row['constant']:13,.0f}  {row['ratio']:.3f}")
    print(f"saving: {saving['saves']} states of {saving['megabytes']:.1f} MB, {saving['share']:.2%} of the time")
    print(f"memory: {peaks[FEW]:.0f} MiB with {FEW:,} images, {peaks[MANY]:.0f} MiB with {MANY:,}")
    held = {
        "delivers": all(row["ratio"] >= TARGET for row in sizes.values()),
        "saving": saving["share"] <= TARGET_SAVING,
        "memory": growth <= TARGET_GROWTH,
    }
    targets = {"target_ratio": TARGET, "target_saving": TARGET_SAVING, "target_growth": TARGET_GROWTH}
    found = {"sizes": sizes, "saving": saving, "peak_mib": peaks, "growth": round(growth, 3)}
    print(json.dumps({"benchmark": "throughput", **found, **targets, "held": held, "ok": all(held.values())}))
    return 0 if all(held.values()) else 1


def delivered(folder: Path, side: int, rounds: int) -> dict[str, float]:
    """Images per second of the loop that reads from disk, and of the same step on one constant batch."""
    from pipeline.learning.fit import Parts, Session, fit

    channels, steps = SIZES[side]
    part = drawn(folder, side, channels, steps * BATCH)
    few = part_of(part, BATCH)
    rates = []
    for _ in range(rounds):
        engine, train = made(side, channels)
        clock = Clock()
        fit(engine, Parts(part, few), train, Session(Nowhere(), clock))
        batch = engine.feed(part.take(slice(0, BATCH)), part.labels[:BATCH])
        began = time.perf_counter()
        for _ in range(steps - 1):
            engine.step(batch, BATCH, 0.99)
        constant = time.perf_counter() - began
        rates.append(((steps - 1) * BATCH / clock.seconds, (steps - 1) * BATCH / constant))
    ratio = statistics.median(real / constant for real, constant in rates)
    real, constant = (statistics.median(column) for column in zip(*rates, strict=True))
    print(f"{side} pixels: {real:,.0f} images/s, {ratio:.3f} of {constant:,.0f} on one batch", flush=True)
    return {"images_per_second": round(real, 1), "constant": round(constant, 1), "ratio": round(ratio, 3)}


def saved(folder: Path, seconds: float) -> dict[str, float]:
    """What saving takes of a training of so many seconds, with the interval of params.yaml."""
    from pipeline.base import params
    from pipeline.learning.checkpoint import Folder, State
    from pipeline.learning.fit import Parts, PausedError, Session, fit
    from pipeline.learning.settings import Budget
    from pipeline.settings import Params

    every = params.load(CHECKOUT / "params.yaml", Params).checkpoint

    class Timed(Folder):
        spent, count, size = 0.0, 0, 0

        def save(self, state: State) -> None:
            began = time.perf_counter()
            super().save(state)
            self.spent += time.perf_counter() - began
            self.count += 1
            self.size = max(path.stat().st_size for path in self.path.iterdir())

    part = drawn(folder, 32, 3, 20_000)
    engine, train = made(32, 3)
    states, began = Timed(folder / "states", {}, every), time.monotonic()
    many = train.model_copy(update={"max_epochs": 10_000, "patience": 10_000})
    budget = Budget(max_minutes=seconds / 60, max_epochs=None, max_steps=None, when_spent="pause")
    with suppress(PausedError):
        fit(engine, Parts(part, part_of(part, BATCH)), many, Session(states, Clock(), budget=budget))
    took = time.monotonic() - began
    print(f"saving: {states.spent:.3f} of {took:.0f} s", flush=True)
    share = states.spent / took
    return {"saves": states.count, "megabytes": states.size / 1e6, "seconds": round(took, 1), "share": round(share, 5)}


def measured(count: int) -> float:
    """Peak memory in MiB of a process that trains on so many images."""
    words = [sys.executable, "-m", "benchmarks.throughput", "--memory-of", str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CHECKOUT)
    return float(done.stdout.splitlines()[-1])


def memory(folder: Path, count: int) -> float:
    """Peak memory of this process in MiB, after an epoch on so many images."""
    from pipeline.learning.fit import Parts, Session, fit

    part = drawn(folder, 32, 3, count)
    engine, train = made(32, 3)
    fit(engine, Parts(part, part_of(part, BATCH)), train, Session(Nowhere(), Clock()))
    # Not getrusage: that begins with the peak of the process this one was forked from.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def drawn(folder: Path, side: int, channels: int, count: int) -> Any:
    """A part on disk: noise, written in pieces so that drawing does not need its memory."""
    from pipeline.data.dataset import Part

    path = folder / f"{side}-{count}.npy"
    shape, rng = (count, side, side, channels), np.random.default_rng(7)
    if not path.exists():
        pixels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        del pixels
        with open(path, "r+b") as file:
            file.seek(0, 2)
            file.seek(file.tell() - int(np.prod(shape)))
            for start in range(0, count, 1000):
                some = (min(1000, count - start), *shape[1:])
                file.write(rng.integers(0, 256, some, np.uint8).tobytes())
    labels = np.arange(count) % 10
    return Part(np.load(path, mmap_mode="r"), labels.astype(np.int64), tuple(map(str, range(count))))


def part_of(part: Any, count: int) -> Any:
    """Its first images."""
    from pipeline.data.dataset import Part

    return Part(part.take(slice(0, count)), part.labels[:count], part.digests[:count])


def made(side: int, channels: int) -> tuple[Any, Any]:
    """A fresh network ready to train for one epoch, with the settings of params.yaml."""
    from pipeline.artifacts.model import Description
    from pipeline.base import params
    from pipeline.learning import model
    from pipeline.learning.engine import Engine, make_repeatable
    from pipeline.settings import Params

    usual = params.load(CHECKOUT / "params.yaml", Params).train
    train = usual.model_copy(update={"architecture": "small_cnn", "batch_size": BATCH, "max_epochs": 1})
    make_repeatable(train.seed, train.threads)
    shape = (side, side, channels)
    network = model.build(Description(architecture="small_cnn", image_shape=shape, labels=tuple("0123456789")))
    return Engine(network, model.optimizer(train), train), train


class Nowhere:
    """Keeps no states."""

    def save(self, _: Any) -> None:
        """Not at all."""

    def is_due(self, *_: int) -> bool:
        """Never."""
        return False


class Clock:
    """Takes the time from the end of an epoch's first step, which compiles, to that of its last."""

    seconds = 0.0
    _began = 0.0

    def stepped(self, _: int, step: int, *__: float) -> None:
        """After each step."""
        if step == 1:
            self._began = time.perf_counter()
        self.seconds = time.perf_counter() - self._began

    def scored(self, _: Any) -> None:
        """Not of interest."""

    def warned(self, _: str) -> None:
        """Not of interest."""


if __name__ == "__main__":
    sys.exit(main())
