"""How long augmentation takes for a batch, by setting and size of the images.

`python -m benchmarks.augment` draws pictures like photographs, augments them in one thread, as the thread does that
reads batches while a step computes, and prints a table and, last, one JSON object. Milliseconds are of CPU time, which
other people's work on the machine changes less than the clock.
"""

import argparse
import io
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.decode import photograph
from benchmarks.workspace import CHECKOUT
from pipeline.base import files
from pipeline.learning import augment
from pipeline.learning.settings import Augmentation

if TYPE_CHECKING:
    import numpy as np

TARGET, SHOWN = 60, 160
"""Milliseconds for a batch with everything on, at so many pixels of a side."""
BATCH, SIDES = 32, (32, 128, 160, 224)
OFF = {"crop": 0, "colour": 0.0, "rand_augment": 0, "mixup": 0.0, "cutmix": 0.0}
ON: dict[str, Any] = {"crop": 0.5, "colour": 0.4, "rand_augment": 2, "mixup": 0.2, "cutmix": 1.0}
CASES = {"flip and shift": OFF, **{name: OFF | {name: value} for name, value in ON.items()}, "everything": ON}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if the target holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augment",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.augment --rounds 50",
    )
    parser.add_argument("--rounds", type=int, default=20, help="batches; their median counts (default: 20)")
    options = parser.parse_args(argv)
    figures = {side: measure(side, options.rounds) for side in SIDES}
    print(f"{'milliseconds':16}" + "".join(f"{side:>7}" for side in SIDES))
    for case in CASES:
        print(f"{case:16}" + "".join(f"{figures[side][case]:7.1f}" for side in SIDES))
    ok = figures[SHOWN]["everything"] <= TARGET
    print(json.dumps({"benchmark": "augment", "figures": figures, "target_milliseconds": TARGET, "ok": ok}))
    return 0 if ok else 1


def measure(side: int, rounds: int) -> dict[str, float]:
    """Milliseconds of CPU time for a batch, the median of so many, by case; flip and shift are as in params.yaml."""
    import numpy as np

    train = yaml.safe_load((CHECKOUT / "params.yaml").read_text())["train"]
    moves = {name: train[name] for name in ("flip", "shift")}
    pixels, labels = pictures(side), np.arange(BATCH)
    digests = [files.md5(image.tobytes()) for image in pixels]
    found = {}
    for case, values in CASES.items():
        settings, times = Augmentation(**moves, **values), []
        for epoch in range(rounds + 1):
            start = time.process_time()
            augment.augmented(pixels, labels, digests, settings, seed=7, epoch=epoch, step=0)
            times.append(time.process_time() - start)
        found[case] = round(1000 * statistics.median(times[1:]), 1)
    return found


def pictures(side: int) -> "np.ndarray":
    """A batch, uint8 (images, side, side, 3)."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(7)
    opened = (Image.open(io.BytesIO(photograph(rng, side))) for _ in range(BATCH))
    return np.stack([np.asarray(image.convert("RGB").resize((side, side))) for image in opened])


if __name__ == "__main__":
    sys.exit(main())
