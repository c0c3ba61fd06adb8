"""The lab: plays the cycles of a stream with an arm, by the product's own training code."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.learning.arms import ARMS, Arm, key, pool, train_of
from benchmarks.learning.streams import LABELS, STREAMS, Cycle, Images, Stream
from benchmarks.trials import Trial

if TYPE_CHECKING:
    from pipeline.artifacts.model import Description
    from pipeline.learning.fit import Outcome
    from pipeline.learning.settings import Train

SIDE = 16
"""Pixels of an image's sides."""


class Lab:
    """What the trials of one process share: images, compiled engines, first models."""

    def __init__(self, source: Path, work: Path) -> None:
        """Load the images; that takes the first process a minute, and later ones a second."""
        self.images, self._work = load(source, work), work
        self._engines: dict[Any, Any] = {}

    def run(self, trial: Trial) -> dict[str, Any]:
        """Play the cycles of a stream with an arm.

        Returns:
            One entry per played cycle in each list: cycle, accuracy, passes, seconds, epochs, share, of an imbalanced
            stream also as_trained and calibration_error (see `_as_trained`); and
            right: bool (cycles, test images), packed, of which only the tested ones count.
        """
        stream, arm = STREAMS[trial.stream], ARMS[trial.arm]
        cycles = stream.make(self.images, np.random.default_rng(trial.seed))
        labels = self._labels(stream, trial.seed)
        weights = self._first(trial, cycles[0], labels)
        rows: dict[str, list[Any]] = defaultdict(list)
        right = [self._right(weights, cycles[0])]
        last, optimizer = weights, None
        for number in range(1, len(cycles)):
            if arm.start == "cold" and number not in stream.scored:
                continue
            cycle = cycles[number]
            parent = Trained(cycles[number - 1].num_labels, weights, last, optimizer)
            row, outcome = self._learn(trial, arm, number, cycle, labels, parent)
            weights, last, optimizer = outcome.weights, outcome.last, outcome.optimizer
            right.append(self._right(weights, cycle))
            row["accuracy"] = float(right[-1].sum() / len(cycle.test))
            if stream.is_imbalanced:
                row |= self._as_trained(weights, right[-1], cycle, labels)
            for name, value in {"cycle": number, **row}.items():
                rows[name].append(value)
        return {**rows, "right": np.packbits(np.stack(right), axis=1)}

    def _learn(
        self,
        trial: Trial,
        arm: Arm,
        number: int,
        cycle: Cycle,
        labels: np.ndarray,
        parent: "Trained",
    ) -> "tuple[dict[str, Any], Outcome]":
        """One cycle, as `pipeline.stages.train` does it: what it took, and what it gave."""
        from pipeline.learning import model, starts
        from pipeline.learning.fit import Parts, Session, fit

        train = train_of(arm).model_copy(update={"seed": 1000 * trial.seed + number})
        pick = np.random.default_rng([trial.seed, number])
        old, new = cycle.train[: -cycle.num_new], cycle.train[-cycle.num_new :]
        replayed = pool(arm)
        if replayed != "all":
            count = 0 if replayed == "none" else min(len(old), replayed * len(new))
            old = pick.choice(old, count, replace=False)
        is_unlearned = np.arange(len(old) + len(new)) >= len(old)
        part, val = self._part([*old, *new], labels, is_unlearned), self._part(cycle.val, labels)
        train_now = starts.warmed(train, part)
        if arm.start != "warm":
            part = replace(part, is_unlearned=None)
        engine, optimizer = self._engine(train_now, _counts(labels[cycle.train], cycle))
        start = fresh = self._fresh(1000 * trial.seed + number, cycle.num_labels)
        before, names = describe(parent.num_labels), describe(cycle.num_labels).labels
        served = model.for_labels(parent.weights, fresh, before, names)
        if arm.start != "cold":
            start = served
            if train.warm_from == "last":
                start = model.for_labels(parent.last, fresh, before, names)
        if arm.start == "shrink":
            start = starts.shrunk(start, fresh, engine.network)
        if train.restore and parent.optimizer is not None and parent.num_labels == cycle.num_labels:
            optimizer = parent.optimizer
        began = time.perf_counter()
        engine.begin(start, optimizer, is_good=arm.start == "warm")
        outcome = fit(engine, Parts(part, val), train_now, Session(Nowhere(), Quiet()))
        if arm.start == "warm":
            outcome = starts.blend(engine, served, outcome, val, train)
        seconds = time.perf_counter() - began
        row = {
            "passes": outcome.passes(len(val)),
            "seconds": round(seconds, 2),
            "epochs": len(outcome.history) - 1,
            "share": outcome.share,
        }
        return row, outcome

    def prepare(self, trial: Trial) -> None:
        """Train the model that all arms of a stream and seed start from, unless it is there."""
        cycle = STREAMS[trial.stream].make(self.images, np.random.default_rng(trial.seed))[0]
        self._first(trial, cycle, self._labels(STREAMS[trial.stream], trial.seed))

    def _first(self, trial: Trial, cycle: Cycle, labels: np.ndarray) -> Any:
        from pipeline.base import files
        from pipeline.learning.fit import Parts, Session, fit

        path = self._work / f"first-{trial.stream}-{trial.seed}-{files.sha256_json(key(ARMS['scratch']))[:8]}.npz"
        if not path.exists():
            train = train_of(ARMS["scratch"]).model_copy(update={"seed": 1000 * trial.seed})
            engine, optimizer = self._engine(train, _counts(labels[cycle.train], cycle))
            engine.begin(self._fresh(1000 * trial.seed, cycle.num_labels), optimizer)
            parts = Parts(self._part(cycle.train, labels), self._part(cycle.val, labels))
            outcome = fit(engine, parts, train, Session(Nowhere(), Quiet()))
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
        from pipeline.data.dataset import Part

        rows = np.asarray(rows)
        return Part(self.images.train[rows], labels[rows], tuple(f"{row:x}" for row in rows), None, is_unlearned)

    def _engine(self, train: "Train", counts: Sequence[int]) -> tuple[Any, Any]:
        """A compiled engine for settings like these, and the values of its fresh optimizer."""
        from pipeline.learning import model
        from pipeline.learning.engine import Engine, make_repeatable

        num_labels = len(counts)
        balance = (train.balance, *counts) if train.balance else None
        kind = (train.average > 0, train.learning_rate, train.weight_decay, num_labels, balance)
        if kind not in self._engines:
            make_repeatable(0, 1)
            engine = Engine(model.build(describe(num_labels)), model.optimizer(train), train, counts=counts)
            self._engines[kind] = engine, model.arrays(engine.optimizer.variables)
        made: tuple[Any, Any] = self._engines[kind]
        return made

    def _fresh(self, seed: int, num_labels: int) -> Any:
        from pipeline.learning import model

        model.keras().utils.set_random_seed(seed)
        return model.arrays(model.build(describe(num_labels)).weights)

    def _right(self, weights: Any, cycle: Cycle) -> np.ndarray:
        """bool (test images,): which are right; those that are not tested yet are not."""
        from pipeline.learning import model

        network = self._network(weights, cycle)
        right = np.zeros(len(self.images.test), bool)
        predicted = model.logits(network, self.images.test[cycle.test], 1000).argmax(axis=1)
        right[cycle.test] = predicted == self.images.test_labels[cycle.test]
        return right

    def _network(self, weights: Any, cycle: Cycle) -> Any:
        from pipeline.learning import model

        engine, _ = self._engine(train_of(ARMS["scratch"]), [0] * cycle.num_labels)
        model.fill(engine.network.weights, weights, "tested")
        return engine.network

    def _as_trained(self, weights: Any, right: np.ndarray, cycle: Cycle, labels: np.ndarray) -> dict[str, float]:
        """Accuracy, were there as many test images of each label as training images; calibration error on such images.

        The error is with the temperature that val gives, as the product has it.
        """
        from pipeline.judging import calibration
        from pipeline.learning import model

        network, tested = self._network(weights, cycle), self.images.test_labels
        counts = np.array(_counts(labels[cycle.train], cycle))
        recall = np.array([right[tested == label].mean() for label in range(cycle.num_labels)])
        temperature = calibration.temperature(
            labels[cycle.val], model.logits(network, self.images.train[cycle.val], 1000)
        )
        some = np.concatenate(
            [np.flatnonzero(tested == label)[: 1000 * count // counts.max()] for label, count in enumerate(counts)]
        )
        said = model.logits(network, self.images.test[some], 1000)
        error = calibration.error(calibration.Confidence.of(tested[some], said, temperature))
        return {"as_trained": float(recall @ counts / counts.sum()), "calibration_error": error}


@dataclass(frozen=True)
class Trained:
    """What a cycle takes over from the one before; arrays are by position."""

    num_labels: int
    weights: Any
    """Those that are served."""
    last: Any
    optimizer: Any
    """None before the first cycle."""


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


def _counts(labels: np.ndarray, cycle: Cycle) -> list[int]:
    """Images by label."""
    return [int(count) for count in np.bincount(labels, minlength=cycle.num_labels)]


def describe(num_labels: int) -> "Description":
    """The small_cnn for so many labels."""
    from pipeline.artifacts.model import Description

    return Description(architecture="small_cnn", image_shape=(SIDE, SIDE, 3), labels=tuple(LABELS[:num_labels]))


def load(source: Path, work: Path) -> Images:
    """Decode the JPEGs below `source`/train and `source`/test, or take what was decoded before."""
    path = work / f"cifar10-{SIDE}.npz"
    if not path.exists():
        from pipeline.base import files
        from pipeline.images import decoding as images

        arrays = {}
        for split in ("train", "test"):
            listed = [(number, file) for number, label in enumerate(LABELS) for file in _files(source / split / label)]
            print(f"decoding {len(listed):,} {split} images", flush=True)
            arrays[split] = np.stack([images.decode(file.read_bytes(), SIDE, 3) for _, file in listed])
            arrays[f"{split}_labels"] = np.array([number for number, _ in listed])
        files.write_arrays(path, arrays)
    content = np.load(path)
    return Images(*(content[name] for name in ("train", "train_labels", "test", "test_labels")))


def _files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise SystemExit(
            f"{folder}: no JPEGs; expected CIFAR-10 in folders train/<label> and test/<label>, see --images"
        )
    return paths
