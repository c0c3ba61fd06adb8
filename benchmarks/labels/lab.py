"""The lab: one champion and one challenger for each planted batch, judged by the gate alone and with trust."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml

from benchmarks.labels import heads
from benchmarks.labels.heads import Head
from benchmarks.labels.pictures import ARCHITECTURE, Collection
from benchmarks.labels.planting import KINDS, PATCHED, Batch, clean
from benchmarks.workspace import CHECKOUT
from pipeline.judging import gate, metrics, trust
from pipeline.judging.doubts import Evidence
from pipeline.judging.paired import Hits
from pipeline.judging.settings import Evaluate
from pipeline.judging.trust import Trust
from pipeline.learning import crossfit
from pipeline.learning.settings import Train

MAX_WRONG = 0.01
"""Share of wrong labels that is bearable."""

WAYS = ("features", "models")
"""Where probabilities come from: a cross-fit on features, or champion and challenger alone."""

LISTED = 1.5
"""So many times as many images as there are wrong ones are listed."""


@dataclass(frozen=True)
class Sizes:
    """Pictures of each part of a collection; all others test."""

    first: int
    batch: int


@dataclass(frozen=True)
class Rules:
    """Settings of the product."""

    train: Train
    evaluate: Evaluate
    val: float
    holdout: float

    @classmethod
    def of_product(cls) -> "Rules":
        """As params.yaml has them, with `train.tune: head` and pretrained weights."""
        from pipeline.base import auto
        from pipeline.learning import starts

        content = yaml.safe_load((CHECKOUT / "params.yaml").read_bytes())
        content["train"] |= {"architecture": ARCHITECTURE, "pretrained": "imagenet", "tune": "head"}
        content = auto.filled(content)
        train = Train.model_validate_json(json.dumps(content["train"]))
        evaluate = Evaluate.model_validate_json(json.dumps(content["evaluate"]))
        fractions = (content["prepare"][f"{name}_fraction"] for name in ("val", "holdout"))
        return cls(starts.for_head(train), evaluate, *fractions)


@dataclass(frozen=True)
class Played:
    """What became of a planted batch, both ways of judging; one entry of `ways` for each of WAYS."""

    kind: str
    seed: int
    champion: float
    """Accuracy on clean test pictures."""
    challenger: float
    obeys: float
    """Share of test pictures with the patch that the challenger gives the label of the patch and the champion not."""
    wrong: float
    """Share of the batch's labels that is wrong."""
    by_gate: str
    """The verdict without trust."""
    ways: dict[str, dict[str, Any]]


class Start:
    """What all batches of a seed have in common: pictures of before, and the champion that learned them."""

    def __init__(self, collection: Collection, sizes: Sizes, rules: Rules, seed: int) -> None:
        """Draw the parts and train the champion."""
        self.collection, self.rules, self.seed = collection, rules, seed
        self.rng = np.random.default_rng(seed)
        order = self.rng.permutation(len(collection.labels))
        self.first, self.batch, self.test = np.split(order, [sizes.first, sizes.first + sizes.batch])
        self.split, self.new_split = (self._splits(len(rows)) for rows in (self.first, self.batch))
        features, labels = collection.plain[self.first], collection.labels[self.first]
        self.champion = self._fitted(None, features, labels, self.split)

    def _splits(self, count: int) -> np.ndarray:
        """train, val or holdout, of so many pictures."""
        shares = [1 - self.rules.val - self.rules.holdout, self.rules.val, self.rules.holdout]
        return self.rng.choice(["train", "val", "holdout"], count, p=shares)

    def _fitted(self, start: Head | None, features: np.ndarray, labels: np.ndarray, split: np.ndarray) -> Head:
        is_train, is_val = split == "train", split == "val"
        rng = np.random.default_rng([self.seed, len(features)])
        begun = start or heads.fresh(features.shape[1], len(self.collection.names), rng)
        val = features[is_val], labels[is_val]
        return heads.fitted(begun, features[is_train], labels[is_train], val, self.rules.train, rng)

    @cached_property
    def learned(self) -> crossfit.Crossfit:
        """By the pictures of before alone."""
        given = crossfit.basis(self.collection.plain[self.first])
        return crossfit.fitted(given, self.collection.labels[self.first], len(self.collection.names))

    @cached_property
    def plain(self) -> crossfit.Basis:
        """Of all pictures of before and the batch, as they are."""
        return crossfit.basis(self.collection.plain[np.concatenate([self.first, self.batch])])

    def play(self, kind: str) -> Played:
        """Plant a fault, train the challenger and judge it."""
        rng = np.random.default_rng([self.seed, *kind.encode()])
        came = KINDS[kind](self.collection, clean(self.collection, self.batch, rng), rng)
        features = np.concatenate([self.collection.plain[self.first], came.features])
        labels = np.concatenate([self.collection.labels[self.first], came.labels])
        split = np.concatenate([self.split, self.new_split])
        challenger = self._fitted(self.champion, features, labels, split)
        judged = _Judged(self, kind, came, features, labels, split, challenger)
        truth, shown = self.collection.labels[self.test], self.collection.plain[self.test]
        given = [head.logits(shown).argmax(axis=1) for head in (self.champion, challenger)]
        return Played(
            kind=kind,
            seed=self.seed,
            champion=float((given[0] == truth).mean()),
            challenger=float((given[1] == truth).mean()),
            obeys=judged.obeys,
            wrong=float(came.is_wrong.mean()),
            by_gate=judged.verdict(None),
            ways={way: judged.told(way) for way in WAYS},
        )


@dataclass(frozen=True, eq=False)
class _Judged:
    """A planted batch with the challenger that learned it; arrays are of the pictures of before, then of the batch."""

    start: Start
    kind: str
    came: Batch
    features: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    challenger: Head

    @property
    def is_new(self) -> np.ndarray:
        return np.arange(len(self.labels)) >= len(self.start.first)

    @property
    def obeys(self) -> float:
        """See `Played`."""
        names = self.start.collection.names
        if self.came.fault is None or self.kind != PATCHED:
            return 0.0
        target, test = names.index(self.came.fault[1]), self.start.test
        others = test[self.start.collection.labels[test] != target]
        shown = self.start.collection.patched[others]
        given = [head.logits(shown).argmax(axis=1) == target for head in (self.start.champion, self.challenger)]
        return float((given[1] & ~given[0]).mean())

    def verdict(self, told: Trust | None) -> str:
        """By the gate, on the images that may judge."""
        rows = self.split == "holdout"
        if told is not None:
            rows = rows & trust.judges(told, self.is_new)
        logits = [head.logits(self.features[rows]).argmax(axis=1) for head in (self.start.champion, self.challenger)]
        counts = metrics.paired(self.labels[rows], *logits)
        right = (logits[1] == self.labels[rows])[self.is_new[rows]]
        new = Hits(int(right.sum()), len(right)) if len(right) else None
        verdict = gate.decide(counts, self.start.rules.evaluate, new)
        return (trust.held_back(verdict, told) if told else verdict).decision

    def evidence(self, way: str) -> tuple[Evidence, np.ndarray]:
        """What a stage would hand in, and which of all pictures it is about."""
        start, is_new = self.start, self.is_new
        rows = np.arange(len(is_new)) if way == "features" else np.flatnonzero(is_new | (self.split != "train"))
        if way == "features":
            others = start.learned.probabilities(self.came.features)
            before = np.concatenate([start.learned.left_out, others])
            is_plain = np.array_equal(self.came.features, start.collection.plain[start.batch])
            given = start.plain if is_plain else crossfit.basis(self.features)
            after = crossfit.fitted(given, self.labels, before.shape[1]).left_out
        else:
            before = metrics.probabilities(start.champion.logits(self.features[rows]))
            after = metrics.probabilities(self.challenger.logits(self.features[rows]))
            after[self.split[rows] == "train"] = np.nan
        annotators = np.array([""] * len(start.first) + list(self.came.annotators))
        is_blank = np.concatenate([np.zeros(len(start.first), bool), self.came.is_blank])
        return Evidence(
            self.labels[rows],
            is_new[rows],
            before,
            after,
            is_blank=is_blank[rows],
            groups={"annotator": tuple(annotators[rows].tolist())},
            names=start.collection.names,
        ), rows

    def told(self, way: str) -> dict[str, Any]:
        """What trust says, and how true it is."""
        evidence, rows = self.evidence(way)
        found = trust.assess(evidence, MAX_WRONG)
        is_wrong = np.concatenate([np.zeros(len(self.start.first), bool), self.came.is_wrong])[rows]
        count = int(is_wrong.sum())
        listed = found.ranking[: int(LISTED * count)]
        named = [(fault.kind, fault.name) for fault in found.faults]
        return {
            "verdict": self.verdict(found),
            "is_trusted": found.is_trusted,
            "is_doubtful": found.is_doubtful,
            "is_other": found.is_other,
            "share": (found.share.estimate, found.share.lower, found.share.upper),
            "recall": float(is_wrong[listed].sum() / count) if count else None,
            "named": self.came.fault in named if self.came.fault else None,
            "faults": [f"{kind} {name}" for kind, name in named],
        }
