"""What it costs to find near-duplicates by hash: in a first cycle, where all images are new, and for 1,000 new ones.

`python -m benchmarks.twins` draws perceptual hashes, a twentieth of them near others, and prints a table and, last, one
JSON object. Pixels are not part of it: only what the hashes find is looked at. CPU seconds are of all threads; other
people's work on the machine changes them less than seconds by the clock.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import psutil

from pipeline.data import twins

if TYPE_CHECKING:
    import numpy as np

SIZES = (100_000, 1_000_000)
NEW = 1_000
TARGET_SECONDS, TARGET_MEMORY = 300, 2048
"""CPU seconds and MiB for a first cycle of 1,000,000 images."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the targets hold and all near hashes are found."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.twins",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.twins --sizes 10000000",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="images (default: %(default)s)")
    options = parser.parse_args(argv)
    figures = [measure(size) for size in options.sizes]
    print("    images  first cycle: wall s   CPU s  peak MiB  1,000 new: wall s   CPU s")
    for one in figures:
        print(
            f"{one['images']:10,} {one['first']['wall']:20.1f} {one['first']['cpu']:7.1f} {one['first']['peak']:9,} "
            f"{one['new']['wall']:18.1f} {one['new']['cpu']:7.1f}"
        )
    held = [one["first"] for one in figures if one["images"] <= 1_000_000]
    ok = all(one["found"] for one in figures) and all(
        one["cpu"] <= TARGET_SECONDS and one["peak"] <= TARGET_MEMORY for one in held
    )
    targets = {"target_cpu_seconds": TARGET_SECONDS, "target_memory_mib": TARGET_MEMORY}
    print(json.dumps({"benchmark": "twins", "figures": figures, **targets, "ok": ok}))
    return 0 if ok else 1


def measure(size: int) -> dict[str, Any]:
    """Costs with so many images, and whether each near pair that was planted is found."""
    import numpy as np

    print(f"{size:,} images ...", flush=True)
    rng = np.random.default_rng(7)
    every = rng.integers(0, 2**64, (size, 3), np.uint64)
    near = size // 20
    planted = every[:near].copy()
    for _ in range(twins.MAX_DISTANCE_DCT):  # some bits of any word, no more than twins may differ in
        planted[np.arange(near), rng.integers(0, 3, near)] ^= np.uint64(1) << rng.integers(0, 64, near, np.uint64)
    every[size - near :] = planted
    none = every[:0]
    first, pairs = clocked(every, none)
    new, few = clocked(every[size - NEW :], every[: size - NEW])
    found = {(row, other) for row, other in pairs.tolist()} >= {(size - near + row, row) for row in range(near)}
    found = found and {tuple(pair) for pair in few.tolist()} >= {(size - row, near - row) for row in range(1, NEW + 1)}
    return {"images": size, "first": first, "new": new, "found": found}


def clocked(new: "np.ndarray", old: "np.ndarray") -> "tuple[dict[str, Any], np.ndarray]":
    """Seconds by the clock and of CPU, MiB by which the process grew at most; and the pairs."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    pairs = twins.candidates(new, old)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    return {"wall": round(wall, 1), "cpu": round(cpu, 1), "peak": (peak - before) // 2**20}, pairs


if __name__ == "__main__":
    sys.exit(main())
