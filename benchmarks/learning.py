"""Incremental learning against training from scratch: accuracy, cost and negative flips, on CIFAR-10 JPEGs.

`python -m benchmarks.learning` plays streams of cycles with the product's own training code (`pipeline.training`) and
the defaults of params.yaml, once per seed and arm: the recipe, the recipe without each of its elements, and what others
do. Everything is paired: the arms of a seed see the same images in the same order, start from the same first model and
are scored on the same test images. A trial that is done is kept in `--work` and not run again. The outcome, a table and
a plot go to `benchmarks/results/`. Prints one JSON object last.
"""

import argparse
import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.workspace import CHECKOUT

if TYPE_CHECKING:
    from pipeline.params import Train

MUST_DIFFERENCE, MUST_COST = -0.5, 0.2
"""Points of accuracy that the lower 95 % bound has to be above, and share of scratch's passes, on S1."""
SIDE = 16
RESULTS = CHECKOUT / "benchmarks/results"
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Cycle:
    """What there is at the end of a cycle, as rows of the images."""

    train: np.ndarray
    """In the order in which they came."""
    num_new: int
    """The last so many of them are new."""
    val: np.ndarray
    test: np.ndarray
    num_labels: int = len(LABELS)


@dataclass(frozen=True)
class Stream:
    """Cycles of growing data; the first is where all arms start from."""

    title: str
    make: Callable[["Images", np.random.Generator], list[Cycle]]
    scored: tuple[int, ...]
    """Cycles where scratch is trained too; in between its cost is interpolated."""
    noise: float = 0.0
    """Share of the training and validation labels that are wrong."""
    seeds: int = 3
    """How many of the seeds to play at most; the targets are for five."""


@dataclass(frozen=True)
class Arm:
    """A way to train in each cycle."""

    title: str
    start: Literal["warm", "shrink", "cold"] = "warm"
    pool: int | Literal["all", "none"] = "all"
    """Old images per new one that are there, drawn once a cycle."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of section `train` of params.yaml."""
    streams: str = "S1"
    seeds: int = 3
    """How many of the seeds to play at most."""


@dataclass(frozen=True)
class Images:
    """CIFAR-10, decoded by the product: uint8 (images, 16, 16, 3), int64 (images,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


UNTIL_STOPPED = {"passes_per_new": None, "warm_epochs": None, "warm_rate": 1.0, "audit_every": None}
PLAIN = UNTIL_STOPPED | {
    "average": 0.0,
    "blend": (),
    "restore": ("optimizer", "learning_rate"),
    "warm_from": "served",
}
ARMS = {
    "scratch": Arm("from scratch, until early stopping", "cold", changes=UNTIL_STOPPED, streams="S1 S2 S3 S4 S5",
                   seeds=5),
    "recipe": Arm("the recipe: defaults of params.yaml", streams="S1 S2 S3 S4 S5", seeds=5),
    "new only": Arm("new images only", pool="none", streams="S1 S2 S3 S4", seeds=5),
    "warm": Arm("warm on all, no tricks, until early stopping", changes=PLAIN, streams="S1 S2 S5"),
    "shrink": Arm("shrink and perturb, until early stopping", "shrink", changes=UNTIL_STOPPED),
    "shrink cheap": Arm("shrink and perturb at the recipe's budget", "shrink", changes={"warm_rate": 1.0}),
    "scratch cheap": Arm("from scratch at the recipe's budget", "cold", changes={"warm_rate": 1.0}),
    "scratch long": Arm("from scratch, twice the patience and epochs", "cold",
                        changes=UNTIL_STOPPED | {"patience": 12, "max_epochs": 120}, seeds=2),
    "quarter": Arm("recipe at a quarter of the passes", changes={"passes_per_new": 34.0, "warm_epochs": 2}),
    "half": Arm("recipe at half the passes", changes={"passes_per_new": 68.0, "warm_epochs": 5}),
    "double": Arm("recipe at twice the passes", changes={"passes_per_new": 270.0, "warm_epochs": 18}),
    "no average": Arm("recipe, weights not averaged", changes={"average": 0.0}),
    "no blend": Arm("recipe, not blended", changes={"blend": ()}, streams="S1 S3 S4 S5", seeds=5),
    "no augmentation": Arm("recipe, neither mirrored nor shifted", changes={"flip": False, "shift": 0.0}),
    "no decay": Arm("recipe, no weight decay", changes={"weight_decay": 0.0}),
    "no patience": Arm("recipe, the whole budget each time", changes={"patience": 1000}),
    "from served": Arm("recipe, warm from the served weights", changes={"warm_from": "served"}),
    "restored": Arm("recipe, optimizer restored", changes={"restore": ("optimizer", "learning_rate")}),
    "pool 20": Arm("recipe, 20 old per new, fixed", pool=20, changes={"warm_epochs": None}, streams="S3"),
    "pool 10": Arm("recipe, 10 old per new, fixed", pool=10, changes={"warm_epochs": None}),
    "pool 5": Arm("recipe, 5 old per new, fixed", pool=5, changes={"warm_epochs": None}),
    "drawn 10": Arm("recipe, 10 old per new, redrawn each epoch", changes={"replay": 10, "warm_epochs": None}),
    "cold rate": Arm("recipe, learning rate of a cold start", changes={"warm_rate": 1.0}),
    "no warm-up": Arm("recipe, the learning rate not warmed up", changes={"warm_up": 0}),
    "drawn 5": Arm("recipe, 5 old per new, redrawn each epoch", changes={"replay": 5, "warm_epochs": None}),
}  # fmt: skip


BUDGETS = ("quarter", "half", "recipe", "double")
"""Arms that differ in their budget alone, cheapest first."""

ELEMENTS = [arm for arm, what in ARMS.items() if what.title.startswith("recipe, ")]
"""The recipe with one thing changed, at about its cost."""


def growing(first: int, step: int, cycles: int) -> Callable[[Images, np.random.Generator], list[Cycle]]:
    """Images of one distribution, more in each cycle."""

    def make(images: Images, rng: np.random.Generator) -> list[Cycle]:
        order, test = rng.permutation(len(images.train)), np.arange(len(images.test))
        sizes = [first + step * cycle for cycle in range(cycles + 1)]
        return [Cycle(order[:size], min(step, size), order[-1000:], test) for size in sizes]

    return make


def brightening(images: Images, rng: np.random.Generator) -> list[Cycle]:
    """From the darkest half to all, brighter with each cycle; validated and tested on what has come so far."""
    order = rng.permutation(len(images.train))
    light = images.train.mean(axis=(1, 2, 3))
    train, val = (rows[np.argsort(light[rows])] for rows in (order[:5000], order[-1000:]))
    tested = images.test.mean(axis=(1, 2, 3))
    cycles = []
    for size in range(2500, 5001, 250):
        limit = light[train[size - 1]] if size < 5000 else np.inf
        cycles.append(Cycle(train[:size], 250, val[light[val] <= limit], np.flatnonzero(tested <= limit)))
    return cycles


def widening(images: Images, rng: np.random.Generator) -> list[Cycle]:
    """Six labels, then one more in every other cycle, with more images of all in between."""
    order = rng.permutation(len(images.train))
    labels = images.train_labels[order]
    train, val = order[:-1000], order[-1000:]
    waiting = [list(train[labels[:-1000] == label]) for label in range(10)]

    def some(count: int, known: Sequence[int]) -> list[int]:
        return [waiting[known[at % len(known)]].pop() for at in range(count)]

    came = some(2500, range(6))
    cycles = []
    for cycle in range(9):
        known = 6 + (cycle + 1) // 2
        if cycle:
            came = came + (some(250, [known - 1]) if cycle % 2 else some(250, range(known)))
        val_rows = val[images.train_labels[val] < known]
        cycles.append(Cycle(np.array(came), 250, val_rows, np.flatnonzero(images.test_labels < known), known))
    return cycles


STREAMS = {
    "S1": Stream("i.i.d. growth, 2,500 to 5,000 in 10 cycles", growing(2500, 250, 10), (2, 4, 6, 8, 9, 10), seeds=5),
    "S2": Stream("i.i.d. growth, 1,000 to 5,000 in 8 cycles", growing(1000, 500, 8), (2, 4, 6, 8), seeds=5),
    "S3": Stream("drift: ever brighter images, 2,500 to 5,000 in 10 cycles", brightening, (2, 4, 6, 8, 10)),
    "S4": Stream("new labels: 6 to 10 in 8 cycles", widening, (1, 3, 5, 7, 8)),
    "S5": Stream("10 % wrong labels, 2,500 to 5,000 in 10 cycles", growing(2500, 250, 10), (2, 4, 6, 8, 10), 0.1),
}


@dataclass(frozen=True)
class Trial:
    """One stream, seed and arm."""

    stream: str
    seed: int
    arm: str


def played(stream: str, arm: str, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds that an arm plays on a stream."""
    return seeds[: min(ARMS[arm].seeds, STREAMS[stream].seeds)]


class Lab:
    """What the trials of one process share: images, compiled engines, first models."""

    def __init__(self, source: Path, work: Path) -> None:
        """Load the images; takes the first process a minute, later ones a second."""
        self.images, self._work = load(source, work), work
        self._engines: dict[Any, Any] = {}

    def run(self, trial: Trial, arm: Arm) -> dict[str, Any]:
        """Play the cycles of a stream with an arm.

        Returns:
            One entry per played cycle in each list: cycle, accuracy, passes, forward, seconds, epochs, share; and
            right: bool (cycles, test images), packed, of which only the tested ones count.
        """
        stream = STREAMS[trial.stream]
        cycles = stream.make(self.images, np.random.default_rng(trial.seed))
        labels = self._labels(stream, trial.seed)
        weights = self._first(trial, cycles[0], labels)
        rows: dict[str, list[Any]] = {
            name: [] for name in ("cycle", "accuracy", "passes", "seconds", "epochs", "share")
        }
        right = [self._right(weights, cycles[0])]
        last, optimizer = weights, None
        for number in range(1, len(cycles)):
            if arm.start == "cold" and number not in stream.scored:
                continue
            cycle = cycles[number]
            known = cycles[number - 1].num_labels
            done = self._learn(trial, arm, number, cycle, labels, known, weights, last, optimizer)
            weights, last, optimizer = done.pop("weights"), done.pop("last"), done.pop("optimizer")
            right.append(self._right(weights, cycle))
            done["accuracy"] = float(right[-1].sum() / len(cycle.test))
            for name, value in {"cycle": number, **done}.items():
                rows[name].append(value)
        return {**rows, "right": np.packbits(np.stack(right), axis=1)}

    def _learn(
        self,
        trial: Trial,
        arm: Arm,
        number: int,
        cycle: Cycle,
        labels: np.ndarray,
        known: int,
        served: Any,
        last: Any,
        was: Any,
    ) -> dict[str, Any]:
        """One cycle, as `pipeline.stages.train` does it."""
        from pipeline import model, training

        train = settings(arm).model_copy(update={"seed": 1000 * trial.seed + number})
        pick = np.random.default_rng([trial.seed, number])
        old, new = cycle.train[: -cycle.num_new], cycle.train[-cycle.num_new :]
        if arm.pool != "all":
            count = 0 if arm.pool == "none" else min(len(old), arm.pool * len(new))
            old = pick.choice(old, count, replace=False)
        is_unlearned = np.arange(len(old) + len(new)) >= len(old)
        part, val = self._part([*old, *new], labels, is_unlearned), self._part(cycle.val, labels)
        limited = training.warmed(train, part)
        if arm.start != "warm":
            part = replace(part, is_unlearned=None)
        engine, optimizer = self._engine(limited, cycle.num_labels)
        start = fresh = self._fresh(1000 * trial.seed + number, cycle.num_labels)
        names = describe(cycle.num_labels).labels
        champion = model.for_labels(served, fresh, describe(known), names)
        if arm.start != "cold":
            start = champion
            if train.warm_from == "last":
                start = model.for_labels(last, fresh, describe(known), names)
        if arm.start == "shrink":
            start = training.shrunk(start, fresh, engine.network)
        restored = train.restore and was is not None and known == cycle.num_labels
        began = time.perf_counter()
        engine.begin(start, was if restored else optimizer, is_good=arm.start == "warm")
        outcome = training.fit(engine, part, val, limited, Nowhere(), Quiet())
        if arm.start == "warm":
            outcome = training.blend(engine, champion, outcome, val, train)
        seconds = time.perf_counter() - began
        return {
            "passes": outcome.passes(len(val)),
            "seconds": round(seconds, 2),
            "epochs": len(outcome.history) - 1,
            "share": outcome.share,
            "weights": outcome.weights,
            "last": outcome.last,
            "optimizer": outcome.optimizer,
        }

    def prepare(self, trial: Trial) -> None:
        """Train the model that all arms of a stream and seed start from, unless it is there."""
        cycle = STREAMS[trial.stream].make(self.images, np.random.default_rng(trial.seed))[0]
        self._first(trial, cycle, self._labels(STREAMS[trial.stream], trial.seed))

    def _first(self, trial: Trial, cycle: Cycle, labels: np.ndarray) -> Any:
        from pipeline import files, training

        path = self._work / f"first-{trial.stream}-{trial.seed}-{files.sha256_json(key(ARMS['scratch']))[:8]}.npz"
        if not path.exists():
            train = settings(ARMS["scratch"]).model_copy(update={"seed": 1000 * trial.seed})
            engine, optimizer = self._engine(train, cycle.num_labels)
            engine.begin(self._fresh(1000 * trial.seed, cycle.num_labels), optimizer)
            part, val = self._part(cycle.train, labels), self._part(cycle.val, labels)
            outcome = training.fit(engine, part, val, train, Nowhere(), Quiet())
            files.write_arrays(path, outcome.weights)
        return files.read_arrays(path)

    def _labels(self, stream: Stream, seed: int) -> np.ndarray:
        """Of the training and validation images, some of them wrong."""
        rng, labels = np.random.default_rng([seed, 5]), self.images.train_labels.copy()
        wrong = np.flatnonzero(rng.random(len(labels)) < stream.noise)
        labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
        return labels

    def _part(
        self, rows: Sequence[int] | np.ndarray, labels: np.ndarray, is_unlearned: np.ndarray | None = None
    ) -> Any:
        from pipeline.dataset import Part

        rows = np.asarray(rows)
        return Part(self.images.train[rows], labels[rows], (), None, is_unlearned)

    def _engine(self, train: "Train", num_labels: int) -> tuple[Any, Any]:
        """A compiled engine for settings like these, and the values of its fresh optimizer."""
        from pipeline import model, training

        kind = (train.average > 0, train.learning_rate, train.weight_decay, num_labels)
        if kind not in self._engines:
            training.make_repeatable(0, 1)
            engine = training.Engine(model.build(describe(num_labels)), model.optimizer(train), train)
            self._engines[kind] = engine, model.arrays(engine.optimizer.variables)
        made: tuple[Any, Any] = self._engines[kind]
        return made

    def _fresh(self, seed: int, num_labels: int) -> Any:
        from pipeline import model

        model.keras().utils.set_random_seed(seed)
        return model.arrays(model.build(describe(num_labels)).weights)

    def _right(self, weights: Any, cycle: Cycle) -> np.ndarray:
        """bool (test images,): which are right; those that are not tested yet are not."""
        from pipeline import model

        engine, _ = self._engine(settings(ARMS["scratch"]), cycle.num_labels)
        model.fill(engine.network.weights, weights, "tested")
        right = np.zeros(len(self.images.test), bool)
        found = model.logits(engine.network, self.images.test[cycle.test], 1000).argmax(axis=1)
        right[cycle.test] = found == self.images.test_labels[cycle.test]
        return right


class Nowhere:
    """Keeps no states."""

    def save(self, _: Any) -> None:
        """Not at all."""

    def is_due(self, *_: int) -> bool:
        """Never."""
        return False


class Quiet:
    """Watches training and says nothing of it."""

    def stepped(self, *_: Any) -> None:
        """Not of interest."""

    def scored(self, _: Any) -> None:
        """Not of interest."""

    def warned(self, warning: str) -> None:
        """Of interest, for nothing should be worth a warning here."""
        print(f"warning: {warning}", flush=True)


def describe(num_labels: int) -> Any:
    """The model of params.yaml for so many labels."""
    from pipeline import model

    return model.Description("small_cnn", (SIDE, SIDE, 3), LABELS[:num_labels])


def settings(arm: Arm) -> "Train":
    """Section `train` of params.yaml with what the arm changes; one thread, so that two trials run side by side."""
    from pipeline import params

    train = params.load(CHECKOUT / "params.yaml").train
    return train.model_copy(update={"architecture": "small_cnn", "threads": 1, **arm.changes})


def key(arm: Arm) -> Any:
    """What the outcome of a trial depends on, as a JSON value."""
    from pipeline import code

    return [settings(arm).model_dump(mode="json"), arm.start, arm.pool, code.digest("pipeline.training")]


def load(source: Path, work: Path) -> Images:
    """Decode the JPEGs below `source`/train and `source`/test, or take what was decoded before."""
    path = work / f"cifar10-{SIDE}.npz"
    if not path.exists():
        from pipeline import files, images

        found = {}
        for split in ("train", "test"):
            listed = [(number, file) for number, label in enumerate(LABELS) for file in _files(source / split / label)]
            print(f"decoding {len(listed):,} {split} images", flush=True)
            found[split] = np.stack([images.decode(file.read_bytes(), SIDE, 3) for _, file in listed])
            found[f"{split}_labels"] = np.array([number for number, _ in listed])
        files.write_arrays(path, found)
    content = np.load(path)
    return Images(*(content[name] for name in ("train", "train_labels", "test", "test_labels")))


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.jpg"))
    if not found:
        raise SystemExit(
            f"{folder}: no JPEGs; expected CIFAR-10 in folders train/<label> and test/<label>, see --images"
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is not there yet, write the results; 0 if the must holds."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning",
        description=__doc__.splitlines()[0],
        epilog="example, one seed in ten minutes: python -m benchmarks.learning --quick",
    )
    archive = CHECKOUT.parent / "shared/data/cifar10.tar.gz"
    parser.add_argument("--images", type=Path, default=archive,
                        help="CIFAR-10 as JPEGs: archive or folder with train/<label>, test/<label>")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="(default: 0 to 4)")
    parser.add_argument("--streams", nargs="+", choices=STREAMS, default=list(STREAMS), help="(default: all)")
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", default=list(ARMS), help=", ".join(ARMS))
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="trials at a time (default: one a core)")
    parser.add_argument("--work", type=Path, default=CHECKOUT / ".learning", help="keeps trials (default: .learning)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    parser.add_argument("--quick", action="store_true", help="seed 0, stream S1, five arms; writes to --work")
    chosen = parser.parse_args(argv)
    if chosen.quick:
        chosen.seeds, chosen.streams, chosen.out = [0], ["S1"], chosen.work
        chosen.arms = ["scratch", "recipe", "new only", "warm", "shrink"]
    # Half again as fast; sums then depend on the kind of machine, as no number here has to.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    chosen.work.mkdir(parents=True, exist_ok=True)
    load(_unpacked(chosen.images, chosen.work), chosen.work)
    trials = [
        Trial(stream, seed, arm)
        for stream in chosen.streams
        for arm in chosen.arms
        if stream in ARMS[arm].streams
        for seed in played(stream, arm, chosen.seeds)
    ]
    found = dict(_played(trials, chosen.work, chosen.processes))
    made = {"commit": _commit(), "seeds": chosen.seeds, "settings": settings(ARMS["recipe"]).model_dump(mode="json")}
    streams = {stream: content | made for stream, content in summary(found, chosen.streams, chosen.seeds).items()}
    results = write(streams, chosen.out)
    print(table(results))
    print(json.dumps(results))
    return 0 if results["ok"] else 1


def write(streams: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Keep the results of some streams beside those of the others that are there, with table and plot."""
    path = out / "learning.json"
    others = json.loads(path.read_text())["streams"] if path.exists() else {}
    every = {**others, **streams}
    results = {
        "benchmark": "learning",
        "command": "python -m benchmarks.learning",
        "must": {"difference": MUST_DIFFERENCE, "cost": MUST_COST, "stream": "S1", "seeds": 5},
        "ok": is_met(every),
        "streams": {stream: every[stream] for stream in STREAMS if stream in every},
    }
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    (out / "learning.md").write_text(f"Made by `{results['command']}`.\n\n{table(results)}\n")
    plot(results, out / "learning.png")
    return results


def is_met(streams: Mapping[str, Any]) -> bool:
    """Whether the must holds: on S1, with five seeds."""
    row = streams.get("S1", {}).get("arms", {}).get("recipe")
    if row is None or row["seeds"] < 5:
        return False
    return bool(row["interval"][0] > MUST_DIFFERENCE and row["cost"] <= MUST_COST)


def _commit() -> str:
    import subprocess

    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(words, cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()


def _unpacked(images: Path, work: Path) -> Path:
    """The folder with train and test."""
    if images.is_dir() or (work / f"cifar10-{SIDE}.npz").exists():
        return images
    import tarfile

    folder = work / "cifar10"
    if not folder.exists():
        print(f"unpacking {images}", flush=True)
        with tarfile.open(images) as archive:
            archive.extractall(work / "unpacking", filter="data")
        (work / "unpacking").rename(folder)
    (found,) = {path.parent for path in folder.glob("**/train")}
    return found


def _played(trials: Sequence[Trial], work: Path, processes: int) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Every trial with its outcome; those of one stream and seed begin when its first model is there."""
    from pipeline import files

    paths = {}
    for trial in trials:
        name = f"{trial.stream}-{trial.seed}-{trial.arm}-{files.sha256_json(key(ARMS[trial.arm]))[:12]}.npz"
        paths[trial] = work / name.replace(" ", "_")
    todo = [trial for trial in trials if not paths[trial].exists()]
    print(f"{len(trials)} trials, {len(trials) - len(todo)} of them done before", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(max(processes, 1), multiprocessing.get_context("spawn")) as pool:
        firsts = {(trial.stream, trial.seed): pool.submit(_prepare, trial, work) for trial in todo}
        waiting = {}
        for trial in sorted(todo, key=lambda trial: "scratch" not in trial.arm):  # the longest first
            firsts[trial.stream, trial.seed].result()
            waiting[pool.submit(_play, trial, work, paths[trial])] = trial
        for number, done in enumerate(as_completed(waiting), start=1):
            done.result()
            trial = waiting[done]
            took = (time.monotonic() - began) / 60
            print(
                f"{number} of {len(todo)}: {trial.stream}, seed {trial.seed}, {trial.arm}; {took:.0f} min", flush=True
            )
    for trial in trials:
        yield trial, dict(np.load(paths[trial]))


_LAB: list[Lab] = []
"""Of this process."""


def _lab(work: Path) -> Lab:
    if not _LAB:
        _LAB.append(Lab(work, work))
    return _LAB[0]


def _prepare(trial: Trial, work: Path) -> None:
    _lab(work).prepare(trial)


def _play(trial: Trial, work: Path, path: Path) -> None:
    found = _lab(work).run(trial, ARMS[trial.arm])
    made = path.with_suffix(".unfinished.npz")
    np.savez(made, **found)
    made.rename(path)


def summary(found: Mapping[Trial, Mapping[str, Any]], streams: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Of each stream the title, and its arms: means over seeds, against scratch and against the recipe."""

    def pairs(stream: str, arm: str, other: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        trials = [(Trial(stream, seed, arm), Trial(stream, seed, other)) for seed in played(stream, arm, seeds)]
        return [(found[one], found[two]) for one, two in trials if two in found]

    def row(stream: str, arm: str) -> dict[str, Any]:
        beside = pairs(stream, arm, "recipe") if arm != "recipe" else []
        return compared(pairs(stream, arm, "scratch"), stream, audit_share(ARMS[arm])) | {
            "against_recipe": paired(beside, stream) if beside else None
        }

    return {
        stream: {
            "title": STREAMS[stream].title,
            "arms": {arm: row(stream, arm) for arm in ARMS if Trial(stream, seeds[0], arm) in found},
        }
        for stream in streams
    }


def audit_share(arm: Arm) -> float:
    """What audits add to each cycle's cost, as a share of training from scratch: spread over the cycles between."""
    every = settings(arm).audit_every
    return 1 / every if every and arm.start == "warm" and arm.pool != "none" else 0.0


def compared(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], stream: str, audits: float
) -> dict[str, Any]:
    """An arm against scratch, one pair of outcomes per seed; `audits` is added to its cost."""
    scored = STREAMS[stream].scored
    accuracies = [[float(ours["accuracy"][list(ours["cycle"]).index(cycle)]) for cycle in scored] for ours, _ in pairs]
    finals = [100 * float(ours["accuracy"][-1] - scratch["accuracy"][-1]) for ours, scratch in pairs]
    costs, seconds = (
        [total(ours, name) / total(scratch, name) + audits for ours, scratch in pairs] for name in ("passes", "seconds")
    )
    return {
        "accuracy": round(float(np.mean(accuracies)), 4),
        "final": round(float(np.mean([row[-1] for row in accuracies])), 4),
        **paired(pairs, stream),
        "final_difference": round(float(np.mean(finals)), 2),
        "cost": round(float(np.mean(costs)), 4),
        "seconds": round(float(np.mean(seconds)), 4),
        "flips": round(float(np.mean([flipped(ours) for ours, _ in pairs])), 4),
        "seeds": len(pairs),
    }


def paired(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], stream: str) -> dict[str, Any]:
    """Difference in accuracy between the two of each pair, in points, mean over the scored cycles; see `interval`.

    It is taken per test image and seed, so that what both get wrong is no noise.
    """
    gains = []
    for ours, other in pairs:
        right, counts = [], []
        for side in (ours, other):
            at = [list(side["cycle"]).index(cycle) for cycle in STREAMS[stream].scored]
            right.append(np.unpackbits(side["right"], axis=1)[1:][at].astype(np.int8))
            counts.append([row.sum() / side["accuracy"][place] for row, place in zip(right[-1], at, strict=True)])
        gains.append(((right[0] - right[1]) / np.array(counts[0])[:, None]).mean(axis=0))
    by_seed = np.sum(gains, axis=1)
    reach = interval(np.array(gains))
    return {
        "difference": round(100 * float(by_seed.mean()), 2),
        "interval": reach and [round(100 * edge, 2) for edge in reach],
        "by_seed": [round(100 * float(value), 2) for value in by_seed],
    }


def interval(gains: np.ndarray) -> tuple[float, float] | None:
    """95 % interval of the mean over seeds of the sum over test images; None for one seed.

    Seeds and test images are crossed random effects: neither other seeds nor other test images are to change what is
    said. Variance from the mean squares of the two-way layout, degrees of freedom by Satterthwaite (Biometrics Bulletin
    2, 1946).

    Args:
        gains: (seeds, test images).
    """
    from scipy import stats

    seeds, images = gains.shape
    if seeds < 2:
        return None
    if not gains.any():
        return 0.0, 0.0
    of_seed, of_image, mean = gains.mean(axis=1), gains.mean(axis=0), gains.mean()
    rest = gains - of_seed[:, None] - of_image + mean
    free = np.array([seeds - 1, images - 1, (seeds - 1) * (images - 1)])
    squares = np.array(
        [images * ((of_seed - mean) ** 2).sum(), seeds * ((of_image - mean) ** 2).sum(), (rest**2).sum()]
    )
    by_seed, by_image, by_both = squares / free
    both = max(by_seed + by_image - by_both, by_seed, by_image)
    freedom = both**2 / (np.array([by_seed, by_image, by_both]) ** 2 / free).sum()
    reach = stats.t.ppf(0.975, freedom) * math.sqrt(both * images / seeds)
    return float(mean * images - reach), float(mean * images + reach)


def total(played: Mapping[str, Any], name: str) -> float:
    """Over all cycles; those that were not played are interpolated."""
    cycles = np.arange(1, played["cycle"][-1] + 1)
    return float(np.interp(cycles, played["cycle"], played[name]).sum())


def flipped(played: Mapping[str, Any]) -> float:
    """Share of the test images that one cycle had right and the next one wrong, mean over such pairs."""
    right = np.unpackbits(played["right"], axis=1)
    cycles = [0, *played["cycle"]]
    pairs = [at for at in range(1, len(cycles)) if cycles[at] == cycles[at - 1] + 1]
    tested = [right[at].sum() / played["accuracy"][at - 1] for at in pairs]
    lost = [(right[at - 1] & ~right[at] & 1).sum() / count for at, count in zip(pairs, tested, strict=True)]
    return float(np.mean(lost)) if lost else math.nan


def table(results: Mapping[str, Any]) -> str:
    """The results as a Markdown table per stream."""
    lines = []
    for stream, content in results["streams"].items():
        lines += [
            f"{stream}: {content['title']}. Accuracy and differences are means over the scored cycles; differences in "
            "points, with their 95 % interval.",
            "",
            "| arm | seeds | accuracy | final | against scratch | against the recipe | passes | seconds | flips |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for arm, row in content["arms"].items():
            lines.append(
                f"| {ARMS[arm].title} | {row['seeds']} | {row['accuracy']:.2%} | {row['final']:.2%} | {_told(row)} "
                f"| {_told(row['against_recipe'])} | {row['cost']:.1%} | {row['seconds']:.1%} | {row['flips']:.2%} |"
            )
        lines.append("")
    return "\n".join(lines)


def _told(row: Mapping[str, Any] | None) -> str:
    """A difference with its interval."""
    if row is None:
        return ""
    low, high = row["interval"] or (None, None)
    return f"{row['difference']:+.2f}" + ("" if low is None else f" ({low:+.2f} to {high:+.2f})")


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Difference to scratch against cost for each stream; what each element of the recipe does, on the first one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    streams = list(results["streams"].items())
    figure = Figure(figsize=(13, 5.5 if len(streams) == 1 else 9.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    upper, *lower = figure.subfigures(1 if len(streams) == 1 else 2, 1, squeeze=False)[:, 0]
    first, elements = upper.subplots(1, 2, width_ratios=[1.3, 1])
    panels = [first, *(lower[0].subplots(1, len(streams) - 1, squeeze=False)[0] if lower else [])]
    first_arms = streams[0][1]["arms"]
    _forest(elements, {arm: row for arm, row in first_arms.items() if arm in ELEMENTS and row["against_recipe"]})
    for axes, (stream, content) in zip(panels, streams, strict=True):
        # All at the recipe's cost, and beside it in the other panel.
        arms = {arm: row for arm, row in content["arms"].items() if axes is not first or arm not in ELEMENTS}
        _scatter(axes, arms)
        axes.set_title(f"{stream}: {content['title'].replace(', ', chr(10), 1)}", fontsize=10)
        axes.set_xlabel("passes, % of scratch's")
        axes.set_ylabel("accuracy against scratch, points")
    canvas.draw()
    figure.set_layout_engine("none")  # names are placed where things are now
    for axes in panels:
        _label(axes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _forest(axes: Any, arms: Mapping[str, Any]) -> None:
    """What a change of the recipe does, one row each."""
    axes.axvline(0, color="C3", linewidth=1)
    for at, row in enumerate(arms.values()):
        found = row["against_recipe"]
        if found["interval"]:
            axes.plot(found["interval"], [at, at], color="C0", alpha=0.5)
        axes.plot(found["difference"], at, "o", color="C0", markersize=5)
    names = [ARMS[arm].title.removeprefix("recipe, ") for arm in arms]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("S1: the recipe with one thing changed", fontsize=10)
    axes.set_xlabel("accuracy against the recipe, points")


def _scatter(axes: Any, arms: Mapping[str, Any]) -> None:
    """Points with intervals; a line through those that differ from the recipe in their budget alone."""
    budgets = [arms[arm] for arm in BUDGETS if arm in arms]
    axes.axhline(0, color="black", linewidth=0.5)
    axes.axvline(100 * MUST_COST, color="grey", linewidth=0.8, linestyle=":")
    axes.plot([100 * row["cost"] for row in budgets], [row["difference"] for row in budgets], color="C3", linewidth=1)
    for arm, row in arms.items():
        color, size = {"recipe": ("C3", 10), "scratch": ("black", 8)}.get(arm, ("C3" if arm in BUDGETS else "C0", 5))
        low, high = row["interval"] or [row["difference"]] * 2
        reach = [[row["difference"] - low], [high - row["difference"]]]
        faint = 1 if arm in ("recipe", "scratch") else 0.35
        axes.errorbar(100 * row["cost"], row["difference"], reach, color=color, alpha=faint, linewidth=1)
        axes.plot(100 * row["cost"], row["difference"], "o", color=color, markersize=size, zorder=3, label=arm)
    axes.set_xscale("log")
    ticks = [at for at in (1, 2, 3, 5, 10, 20, 50, 100, 200) if axes.get_xlim()[0] <= at <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [str(at) for at in ticks])
    axes.minorticks_off()


def _label(axes: Any) -> None:
    """Name the points, each where it hides no other point and no other name, the most important first."""
    from matplotlib.transforms import Bbox

    renderer = axes.get_figure(root=True).canvas.get_renderer()
    points = {line.get_label(): line.get_xydata()[0] for line in axes.lines if line.get_label() in ARMS}
    pixels = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in pixels]
    places = [(reach * math.cos(turn), reach * math.sin(turn)) for reach in (9, 18, 28, 40, 55, 75)
              for turn in np.linspace(1, 1 + 2 * math.pi, 16, endpoint=False)]  # fmt: skip
    for arm in sorted(points, key=lambda arm: (arm != "recipe", arm != "scratch", arm not in BUDGETS)):
        for at, (right, up) in enumerate(places):
            name = axes.annotate(
                arm, points[arm], (right, up), textcoords="offset points", fontsize=8, va="center",
                ha="left" if right > 1 else "right" if right < -1 else "center",
                fontweight="bold" if arm == "recipe" else "normal",
            )  # fmt: skip
            box = name.get_window_extent(renderer)
            is_inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 <= axes.bbox.y1
            if at == len(places) - 1 or (is_inside and not any(box.overlaps(other) for other in taken)):
                taken.append(box)
                break
            name.remove()


if __name__ == "__main__":
    sys.exit(main())
