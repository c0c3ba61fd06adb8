"""The command: run what is not there yet, and write the results."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import learning
from benchmarks.learning.arms import ARMS, key, played
from benchmarks.learning.lab import SIDE, load
from benchmarks.learning.results import COMMAND, SEEDS, summary, table, write
from benchmarks.learning.streams import STREAMS
from benchmarks.learning.trials import play
from benchmarks.trials import Trial
from benchmarks.workspace import CHECKOUT, ask_git

RESULTS = CHECKOUT / "benchmarks/results"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not there yet, write the results; 0 if the must holds, which one quick seed cannot say."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=(learning.__doc__ or "").splitlines()[0],
        epilog="\n".join(
            [
                "streams:",
                *(f"  {stream}  {what.title}" for stream, what in STREAMS.items()),
                "arms:",
                *(f"  {arm:16}{what.title} ({what.streams})" for arm, what in ARMS.items()),
                "",
                "example, one seed in ten minutes: python -m benchmarks.learning --quick",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    archive = CHECKOUT.parent / "shared/data/cifar10.tar.gz"
    parser.add_argument("--images", type=Path, default=archive,
                        help="CIFAR-10 as JPEGs: archive or folder with train/<label>, test/<label> (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="(default: 0 to 4)")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=list(STREAMS), help="(default: all)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", default=list(ARMS),
                        help="beside scratch and recipe, which are always played (default: all)")  # fmt: skip
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trials at a time (default: one a core)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".learning", help="keeps trials (default: .learning)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--quick", action="store_true", help="seed 0, stream S1, four arms; writes to --work")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.seeds, chosen.streams, chosen.out = [0], ["S1"], chosen.work
        chosen.arms = ["new only", "warm"]
    chosen.arms = [arm for arm in ARMS if arm in {"scratch", "recipe", *chosen.arms}]
    # Half again as fast; sums then depend on the kind of machine, as no number here has to.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen.work.mkdir(parents=True, exist_ok=True)
    load(_unpacked(chosen.images, chosen.work), chosen.work)
    commit = ask_git("describe", "--always", "--dirty", "--abbrev=12").strip()
    trials = [
        Trial(stream, seed, arm)
        for stream in chosen.streams
        for arm in chosen.arms
        if stream in ARMS[arm].streams
        for seed in played(stream, arm, chosen.seeds)
    ]
    found = dict(play(trials, chosen.work, chosen.processes))
    today, _, _, code = key(ARMS["recipe"])
    made = {"code": code, "settings": today, "seeds": chosen.seeds}
    streams = summary(found, chosen.streams, chosen.seeds, commit)
    results = write({stream: content | made for stream, content in streams.items()}, chosen.out)
    print(table(results))
    print(json.dumps(results))
    return 0 if results["ok"] or chosen.quick else 1


def _unpacked(images: Path, work: Path) -> Path:
    """The folder with train and test."""
    if images.is_dir() or (work / f"cifar10-{SIDE}.npz").exists():
        return images
    import tarfile

    if not images.is_file():
        raise SystemExit(f"{images}: not there; expected CIFAR-10 as JPEGs, see --images")
    folder = work / "cifar10"
    if not folder.exists():
        print(f"unpacking {images}", flush=True)
        with tarfile.open(images) as archive:
            archive.extractall(work / "unpacking", filter="data")
        (work / "unpacking").rename(folder)
    (found,) = {path.parent for path in folder.glob("**/train")}
    return found


if __name__ == "__main__":
    sys.exit(main())
