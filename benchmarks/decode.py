"""How fast images are checked and decoded, beside plain Pillow on the same files.

`python -m benchmarks.decode` draws JPEGs like photographs and, round by round, decodes them with
`pipeline.images.workers.look` (worker processes with limits, MD5, facts, perceptual hash, pixels to a file) and with
nothing but Pillow's open, convert and resize in as many processes. Prints a table and, last, one JSON object.
Starting the processes is reported, not counted: it happens once per stage. Images per second and core are counted
by CPU time, which other people's work on the machine changes little; the ratio by the clock is reported too. How much
faster all cores are than one goes by the clock, and is judged beside what plain Pillow gains in the same minute where
that is less than the number of cores: hyperthreads and other people's work make the cores fewer than they look.
"""

import argparse
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from pipeline.base import files
from pipeline.images import workers
from pipeline.images.decoding import View
from pipeline.images.workers import CHUNK, Job, Limits

if TYPE_CHECKING:
    import numpy as np

TARGET, TARGET_SCALING = 0.8, 0.8
SIDE = 96
LIMITS = Limits(max_pixels=64_000_000, seconds=5, memory=2**30)
SIZES = {32: 2, 224: 1, 800: 0.1}
"""Pixels of a side, and how many files of it for one of 224."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the targets hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decode",
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.decode --images 4000",
    )
    parser.add_argument("--images", type=int, default=4000, help="files of 224 pixels (default: 4000)")
    parser.add_argument("--rounds", type=int, default=3, help="measure so often, report the median (default: 3)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {str(side): measure(Path(folder), side, options) for side in SIZES}
    print("pixels  images/s and core  plain Pillow  ratio  of all cores")
    for side, row in sizes.items():
        print(
            f"{side:>6} {row['per_core']:18,.0f} {row['plain_per_core']:13,.0f} {row['ratio']:6.2f} "
            f"{row['scaling']:6.2f} (plain {row['plain_scaling']:.2f}) of {workers.cores()}"
        )
    shown = sizes["224"]
    scaling = round(TARGET_SCALING * min(workers.cores(), shown["plain_scaling"]), 2)
    ok = shown["ratio"] >= TARGET and shown["scaling"] >= scaling
    targets = {"target_ratio": TARGET, "target_scaling": scaling, "ok": ok}
    print(json.dumps({"benchmark": "decode", "cores": workers.cores(), **shown, **targets, "sizes": sizes}))
    return 0 if ok else 1


def measure(folder: Path, side: int, options: argparse.Namespace) -> dict[str, float]:
    """Rates for files of one size: the median of rounds, in each of which all are measured one after the other."""
    least = 3 * CHUNK * workers.cores()
    jobs = draw(folder / str(side), side, max(least, int(options.images * SIZES[side])))
    print(f"{len(jobs)} files of {side} pixels ...", flush=True)
    rows = []
    for _ in range(options.rounds):
        ours, plain = (cost(run, jobs, folder, workers.cores()) for run in (checked, bare))
        ours_single, plain_single = (cost(run, jobs, folder, 1) for run in (checked, bare))
        rows.append(
            {
                "per_core": 1 / ours.cpu,
                "plain_per_core": 1 / plain.cpu,
                "ratio": plain.cpu / ours.cpu,
                "wall_ratio": plain.wall / ours.wall,
                "scaling": ours_single.wall / ours.wall,
                "plain_scaling": plain_single.wall / plain.wall,
                "start_seconds": ours.start,
            }
        )
    size = sum(Path(job.paths[0]).stat().st_size for job in jobs) / len(jobs)
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    return {"images": len(jobs), "kilobytes": round(size / 1000, 1), **medians}


@dataclass(frozen=True)
class Cost:
    """Of an image, in seconds; what a run of a few images takes is the start and not counted."""

    wall: float
    cpu: float
    """Of all processes, the parent among them: an image per second of it is an image per second and core."""
    start: float
    """By the clock, until the workers are ready."""


Run = Callable[[Sequence[Job], Path, int], None]


def cost(run: Run, jobs: Sequence[Job], folder: Path, cores: int) -> Cost:
    """What an image costs in a run on so many cores."""
    few = jobs[: CHUNK * cores]
    (start, start_cpu), (wall, cpu) = (_clocked(run, some, folder, cores) for some in (few, jobs))
    count = len(jobs) - len(few)
    return Cost((wall - start) / count, (cpu - start_cpu) / count, start)


def _clocked(run: Run, jobs: Sequence[Job], folder: Path, cores: int) -> tuple[float, float]:
    wall, before = time.perf_counter(), os.times()
    run(jobs, folder, cores)
    after = os.times()
    return time.perf_counter() - wall, sum(after[:4]) - sum(before[:4])  # user and system, own and children's


def draw(folder: Path, side: int, count: int) -> list[Job]:
    """JPEGs that cost a decoder what photographs do; a hundred different ones, each file under a name of its own."""
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(7)
    pictures = [photograph(rng, side) for _ in range(100)]
    jobs = []
    for index in range(count):
        content, path = pictures[index % len(pictures)], folder / f"{index}.jpg"
        path.write_bytes(content)
        jobs.append(Job(files.md5(content), (str(path),)))
    return jobs


def photograph(rng: "np.random.Generator", side: int) -> bytes:
    """Noise with the spectrum of natural pictures (amplitude falls with frequency; Field 1987), as a JPEG.

    One side is up to 15 % longer or shorter: with all pictures of one size, how buffers happen to lie in memory
    makes the same decoder up to a third slower, in one process and not in another.
    """
    import numpy as np
    from PIL import Image

    height, width = side, int(side * rng.uniform(0.85, 1.15))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / side
    white = np.fft.rfft2(rng.standard_normal((3, height, width)))
    layers = np.fft.irfft2(white / frequency ** np.array([1.5, 2, 2])[:, None, None], s=(height, width))
    layers = np.stack([128 + scale * layer / layer.std() for scale, layer in zip((50, 20, 20), layers, strict=True)], 2)
    pixels = np.clip(layers, 0, 255).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels, "YCbCr").save(sink, "JPEG", quality=85)
    return sink.getvalue()


def checked(jobs: Sequence[Job], folder: Path, cores: int) -> None:
    """The way of the pipeline."""
    with mock.patch.object(workers, "cores", return_value=cores):
        facts = workers.look(jobs, LIMITS, {View(SIDE): folder / "pixels.npy"}, "decode")
    assert all(fact is not None and not fact.error for fact in facts)


def bare(jobs: Sequence[Job], _: Path, cores: int) -> None:
    """Nothing but decoding, in processes that are given as many images at a time."""
    paths = [job.paths[0] for job in jobs]
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(resize, chunks))


def resize(paths: Sequence[str]) -> list[Any]:
    """What a script does that checks nothing."""
    from PIL import Image

    return [
        Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR).getpixel((0, 0))
        for path in paths
    ]


if __name__ == "__main__":
    sys.exit(main())
