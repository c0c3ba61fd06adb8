"""Batches with wrong labels: whether trust and the gate keep them from the champion's place, and say what is wrong.

`python -m benchmarks.labels --images DIR --weights FILE` plants faults in batches of photographs: labels that are wrong
at random, one label turned into another, a patch as a backdoor, blank pictures. A champion has learned pictures of
before, a challenger goes on from it with the batch, both as the product trains with `train.tune: head`. Then the gate
decides, once alone and once with `pipeline.judging.trust`, and clean pictures tell what is true. Rules were tuned with
seeds from 100 on; the results are of seeds from 0 on. It writes a table and a JSON object, whose targets are the last
line too.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.labels import pictures, results
from benchmarks.labels.lab import Played, Rules, Sizes, Start
from benchmarks.labels.planting import ASKED, KINDS
from benchmarks.workspace import CHECKOUT

RESULTS = CHECKOUT / "benchmarks/results"
FIRST, BATCH = 0.52, 0.16
"""Shares of a collection that were there before, and that come; the rest tests."""


def played(collection: pictures.Collection, sizes: Sizes, seed: int, kinds: Sequence[str], work: Path) -> list[Played]:
    """All kinds of batches of a seed, or what is kept of them."""
    from pipeline.base import code, files

    read, settings = code.digest("benchmarks.labels.lab"), (CHECKOUT / "params.yaml").read_text()
    key = files.sha256_json([read, settings, asdict(sizes), len(collection.labels), kinds])
    path = work / f"played-{collection.name}-{seed}-{key[:12]}.json"
    if not path.exists():
        start = Start(collection, sizes, Rules.of_product(), seed)
        path.write_text(json.dumps([asdict(start.play(kind)) for kind in kinds]))
    return [Played(**one) for one in json.loads(path.read_text())]


def main(argv: Sequence[str] | None = None) -> int:
    """Play, write and print; 0 if the targets hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labels",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.labels --images trashnet.tar cifar10.tar.gz --weights lite0.npz",
    )
    parser.add_argument("--images", type=Path, nargs="+", required=True,
                        help="collections: folders or tars with a folder for each label")  # fmt: skip
    parser.add_argument("--weights", type=Path, required=True, help=f"of {pictures.ARCHITECTURE}")
    parser.add_argument("--seeds", type=int, default=50, help="batches of each kind (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=pictures.MOST,
                        help="of each collection, at most (default: %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="only the kinds that targets are about")
    parser.add_argument("--work", type=Path, default=Path("labels-work"),
                        help="keeps features and what was played (default: %(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    chosen = parser.parse_args(argv)
    chosen.work.mkdir(parents=True, exist_ok=True)
    kinds, found, sizes = tuple(ASKED) if chosen.quick else tuple(KINDS), {}, {}
    for path in chosen.images:
        collection = pictures.load(path, chosen.weights, chosen.work, chosen.pictures)
        count = len(collection.labels)
        parts = Sizes(round(FIRST * count), round(BATCH * count))
        of_kinds: dict[str, list[Played]] = {kind: [] for kind in kinds}
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            for one in played(collection, parts, seed, kinds, chosen.work):
                of_kinds[one.kind].append(one)
            print(f"{collection.name}: seed {seed} played", flush=True)
        found[collection.name] = {kind: results.figures(some) for kind, some in of_kinds.items()}
        sizes[collection.name] = results.sizes_of(parts, count)
    made = _made(found, sizes, chosen)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "labels.json").write_text(json.dumps(made, indent=1) + "\n")
    (chosen.out / "labels.md").write_text(results.page(made))
    print(results.page(made))
    print(json.dumps({name: made[name] for name in ("benchmark", "targets", "ok")}))
    return 0 if made["ok"] else 1


def _made(found: dict[str, Any], sizes: dict[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    """The results, with the command without the folders of this machine."""
    asked = results.targets(found)
    told = " ".join(["--images", *(path.name for path in chosen.images), "--weights", chosen.weights.name])
    told += f" --seeds {chosen.seeds}" + " --quick" * chosen.quick
    return {
        "benchmark": "labels",
        "command": f"python -m benchmarks.labels {told}",
        "targets": asked,
        "ok": all(one["ok"] for one in asked.values()),
        "sizes": sizes,
        "collections": found,
    }


if __name__ == "__main__":
    raise SystemExit(main())
