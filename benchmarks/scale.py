"""What a push of 1,000 images costs on top of 10,000, 100,000 and 1,000,000: resolve, detect, validate, prepare.

`python -m benchmarks.scale` prints a table and, last, one JSON object. Every stage runs by its own command in a fresh
clone with an empty cache, against a DVC remote that counts transfers. The old images are what the stages
would find of them: batches of 10,000 in Git, DVC listings, a ledger, all with the hashes of real images, which the
remote makes on the spot when they are asked for. At the largest size also with all images in one batch, whose
listings then have to be opened and compared.
"""

import argparse
import hashlib
import json
import shlex
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from benchmarks import workspace
from benchmarks.remote import CountingRemote
from benchmarks.workspace import Workspace

SIZES = (10_000, 100_000, 1_000_000)
NEW = 1_000
BATCH = 10_000
STAGES = ("resolve", "detect", "validate", "prepare")
TARGET_RATIO, TARGET_MEMORY = 1.5, 1536
SIDE = 32
LABELS = ("cat", "dog")
CAPS = {"max_val": 500, "max_holdout": 500, "replay": 2}
"""So small that 10,000 images fill them too: the same number of images is to be read at each size."""


def picture(number: int) -> bytes:
    """Image `number` of the endless supply: coarse noise as BMP; the same bytes each time."""
    coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    pixels = np.ascontiguousarray(np.kron(coarse, np.ones((SIDE // 8, SIDE // 8, 1), np.uint8)))
    header = b"BM" + struct.pack(
        "<IHHIIiiHHIIiiII", 54 + pixels.nbytes, 0, 0, 54, 40, SIDE, SIDE, 1, 24, 0, 0, 0, 0, 0, 0
    )
    return header + pixels.tobytes()


class Supply:
    """The images' hashes, and from a hash the image."""

    def __init__(self, count: int) -> None:
        self.digests = [hashlib.md5(picture(n), usedforsecurity=False).hexdigest() for n in range(count)]
        self._sorted = np.array(self.digests, "S32")
        self._order = np.argsort(self._sorted)
        self._sorted = self._sorted[self._order]
        self._listings: dict[str, bytes] = {}

    def listing(self, numbers: Sequence[int], folder: str = "") -> tuple[str, int]:
        """A DVC directory listing of these images; its hash, and how many files it has."""
        rows = sorted((f"{folder}{LABELS[n % 2]}/{n:07d}.bmp", self.digests[n]) for n in numbers)
        content = json.dumps([{"md5": digest, "relpath": path} for path, digest in rows]).encode()
        name = f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}.dir"
        self._listings[name] = content
        return name, len(rows)

    def content(self, digest: str) -> bytes | None:
        """What a DVC remote that had all of it would send."""
        if digest in self._listings:
            return self._listings[digest]
        place = int(np.searchsorted(self._sorted, digest.encode()))
        if place < len(self._sorted) and self._sorted[place] == digest.encode():
            return picture(int(self._order[place]))
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the targets hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.scale --rounds 1",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="old images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measure so often, report the median (default: 3)")
    options = parser.parse_args(argv)
    sizes = sorted(options.sizes)
    print(f"making the hashes of {sizes[-1] + NEW:,} images ...", flush=True)
    supply = Supply(sizes[-1] + NEW)
    with tempfile.TemporaryDirectory() as folder, CountingRemote(supply.content) as remote:
        cases = [Case(size, one_batch=False) for size in sizes] + [Case(sizes[-1], one_batch=True)]
        new = range(sizes[-1], sizes[-1] + NEW)  # the same images at each size
        origins = {case: _origin(case, supply, new, Path(folder) / case.name) for case in cases}
        rounds = []
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            rounds.append({case: _measure(case, origins[case], remote, Path(folder) / "clone") for case in cases})
        figures = {case: _median([one[case] for one in rounds]) for case in cases}
    print(_table(figures))
    return _conclude(figures, cases)


@dataclass(frozen=True)
class Case:
    """So many old images, in batches of 10,000 or all in one that the new ones are added to."""

    size: int
    one_batch: bool

    @property
    def name(self) -> str:
        """For people, and for a folder."""
        return f"{self.size} in {'one batch' if self.one_batch else 'batches'}"


def _origin(case: Case, supply: Supply, new: range, root: Path) -> Workspace:
    """A project whose last cycle had the old images, and whose newest commit adds the new ones."""
    print(f"a registered cycle of {case.name} ...", flush=True)
    space = workspace.create(root)
    space.params(prepare=CAPS, validate={"max_imbalance": 1e9})
    old = range(case.size)
    if case.one_batch:
        _track(space, "data/images", supply.listing(old, "all/"))
    else:
        for start in range(0, case.size, BATCH):
            numbers = range(start, min(start + BATCH, case.size))
            _track(space, f"data/images/b{start // BATCH:04d}", supply.listing(numbers))
    space.commit("Old images")
    _register(space, case, supply)
    if case.one_batch:
        _track(space, "data/images", supply.listing([*old, *new], "all/"))
    else:
        _track(space, "data/images/new", supply.listing(new))
    space.commit("New images")
    return space


def _track(space: Workspace, batch: str, listing: tuple[str, int]) -> None:
    """What `dvc add` leaves in Git."""
    digest, count = listing
    out = {"md5": digest, "nfiles": count, "hash": "md5", "path": Path(batch).name}
    pointer = space.root / f"{batch}.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    pointer.write_text(yaml.safe_dump({"outs": [out]}))


REGISTER = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from pipeline.artifacts.lineage import LEDGER, Lineage
from pipeline.artifacts.model import Description
from pipeline.base import files, params
from pipeline.data import ledger, sources, splits
from pipeline.registry.client import LINEAGE, Registry
from pipeline.settings import Params
size, one_batch, digests = int(sys.argv[1]), sys.argv[2] == "1", Path(sys.argv[3]).read_text().split()
settings = params.load(Path("params.yaml"), Params)
batches = sources.find(Path("data/images"))
rng = np.random.default_rng(0)
labels = [("cat", "dog")[n % 2] for n in range(size)]
folder = lambda n: "all" if one_batch else f"b{n // 10_000:04d}"
ranks = [splits.rank(digest) for digest in digests]
prepare = settings.prepare
table = ledger.completed(pl.DataFrame({
    "digest": digests, "group": digests, "label": labels,
    "split": [splits.assign(digest, prepare.val_fraction, prepare.holdout_fraction) for digest in digests],
    "path": [f"data/images/{folder(n)}/{labels[n]}/{n:07d}.bmp" for n in range(size)],
    "first_seen": ["0" * 64] * size, "removed": [False] * size, "rank": pl.Series(ranks, dtype=pl.UInt64),
    **{name: rng.integers(0, 2**64, size, dtype=np.uint64) for name in ledger.HASHES},
}))
place = Path("data/scratch/ledger.parquet")
files.write_table(place, table)
lineage = Lineage(
    run_key="old", recipe="old", sources=batches, sources_digest=sources.digest(batches), dataset_digest="old",
    parent=None, champion=None, optimizer="adamw", params={}, commit="",
    model=Description(architecture="small_cnn", image_shape=(32, 32, 3), labels=("cat", "dog")),
    label_counts={"cat": labels.count("cat"), "dog": labels.count("dog")},
    files={LEDGER: files.sha256_file(place)},
)
listed = Path("data/scratch/lineage.json")
lineage.write(listed)
here = Registry(settings.resolve)
run = here.run("old", "cycle")
run.upload(place, LEDGER)
run.upload(listed, LINEAGE)
run.end()
here._client.create_registered_model(here.name)
version = here._client.create_model_version(here.name, "runs:/none", run.run_id)
tags = {"run_key": "old", "recipe": "old", "lineage": files.sha256_file(listed), "sources": sources.digest(batches)}
here.annotate(int(version.version), tags)
here.promote(int(version.version), None)
"""


def _register(space: Workspace, case: Case, supply: Supply) -> None:
    """A champion whose ledger holds the old images."""
    digests = space.root / "data/scratch/digests"
    digests.parent.mkdir(parents=True)
    digests.write_text("\n".join(supply.digests[: case.size]))
    command = [sys.executable, "-c", REGISTER, str(case.size), str(int(case.one_batch)), str(digests)]
    subprocess.run(command, cwd=space.root, env=dict(space.env), check=True, capture_output=True)


def _measure(case: Case, origin: Workspace, remote: CountingRemote, root: Path) -> dict[str, Any]:
    """One fresh clone, stage after stage."""
    subprocess.run(["rm", "-rf", str(root)], check=True)
    clone = origin.clone(root)
    clone.keep_images_in(remote.url)
    clone = Workspace(root, {**clone.env, "DVC_SITE_CACHE_DIR": str(root / ".dvc/tmp/site")})
    cmds = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    remote.forget()
    stages = {}
    for stage in STAGES:
        words = shlex.split(cmds[stage]["cmd"])
        stages[stage] = _run([sys.executable, *words[1:]], clone)
    counts = clone.read("dataset/dataset.json")["counts"]
    print(f"  {case.name}: {sum(one['wall'] for one in stages.values()):.1f} s", flush=True)
    return {
        "images": case.size,
        "one_batch": case.one_batch,
        "wall_seconds": round(sum(one["wall"] for one in stages.values()), 2),
        "cpu_seconds": round(sum(one["cpu"] for one in stages.values()), 2),
        "peak_mib": round(max(one["peak"] for one in stages.values()) / 2**20),
        # Looked at by validate, then by prepare; one that both need is fetched and decoded once.
        "images_read": clone.read("validation/report.json")["counts"]["new"] + sum(counts.values()),
        "objects_fetched": remote.gets,
        "bytes_fetched": remote.bytes,
        "stages": {
            stage: {key: round(value, 2) for key, value in one.items() if key != "peak"}
            for stage, one in stages.items()
        },
    }


def _run(command: Sequence[str], space: Workspace) -> dict[str, float]:
    """Wall and CPU seconds, and the largest memory (proportional share) of the process and its workers together."""
    began = time.monotonic()
    process = psutil.Popen(
        command, cwd=space.root, env=dict(space.env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    peak, ended = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process, peak, ended))
    watcher.start()
    output = process.stdout.read()
    times = _wait(process)
    wall = time.monotonic() - began
    ended.set()
    watcher.join()
    assert process.returncode == 0, output.decode()
    return {"wall": wall, "cpu": times, "peak": float(peak[0])}


def _wait(process: Any) -> float:
    """CPU seconds of the process and of its children that it waited for."""
    import os

    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return float(usage.ru_utime + usage.ru_stime)


def _watch(process: Any, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.05):
        total = 0
        for one in _family(process):
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
        peak[0] = max(peak[0], total)


def _family(process: Any) -> list[Any]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _median(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The round of median wall time, with the highest memory of all."""
    middle = sorted(rounds, key=lambda one: one["wall_seconds"])[len(rounds) // 2]
    return middle | {
        "peak_mib": max(one["peak_mib"] for one in rounds),
        "cpu_seconds": statistics.median(one["cpu_seconds"] for one in rounds),
    }


def _table(figures: dict[Case, dict[str, Any]]) -> str:
    lines = ["old images             wall s   CPU s  peak MiB  images read  bytes fetched  " + "  ".join(STAGES)]
    for case, one in figures.items():
        stages = "  ".join(f"{one['stages'][stage]['wall']:{len(stage)}.1f}" for stage in STAGES)
        lines.append(
            f"{case.name:21} {one['wall_seconds']:7.1f} {one['cpu_seconds']:7.1f} {one['peak_mib']:9} "
            f"{one['images_read']:12} {one['bytes_fetched']:14,}  {stages}"
        )
    return "\n".join(lines)


def _conclude(figures: dict[Case, dict[str, Any]], cases: Sequence[Case]) -> int:
    plain = [figures[case] for case in cases if not case.one_batch]
    first, last = plain[0], plain[-1]
    ratio = last["wall_seconds"] / first["wall_seconds"]
    checks = {
        "ratio": ratio <= TARGET_RATIO,
        "images_read": len({one["images_read"] for one in plain}) == 1,
        "memory": max(one["peak_mib"] for one in plain) <= TARGET_MEMORY,
    }
    result = {
        "benchmark": "scale",
        "new_images": NEW,
        "figures": list(figures.values()),
        "ratio": round(ratio, 3),
        "target_ratio": TARGET_RATIO,
        "target_memory_mib": TARGET_MEMORY,
        "held": checks,
        "ok": all(checks.values()),
    }
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
