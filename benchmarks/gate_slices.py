"""What the judging of slices promises: how many regressions it finds, and how often it names a slice by chance.

A part of `python -m benchmarks.gate`. Each pair is a champion and a challenger on 2,000 holdout images: the same
logits, of images that are easy or hard, each with noise of its own and a temperature of its own. The noise is as large
as makes only one of the two right on the given share of images. 40 slices are the values of four columns, unequal in
size; one column goes with how hard the images are.

In a planted pair the challenger's logit of the true label is lowered on one slice of 5 % of the images, by as much as
costs 10 points of accuracy there, and raised on all others by as much as wins these images back. In a clean pair
nothing is done, or something that does no slice harm.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from pipeline.judging import slices
from pipeline.judging.slicing import Membership, Pairs

IMAGES, LABELS, COLUMNS, VALUES = 2000, 10, 4, 10
SHARE, POINTS = 0.05, 10
"""Of the images that are in the planted slice; lost there."""
DIFFERING = (0.02, 0.05, 0.1)
"""Shares of the images that only one of champion and challenger gets right."""
ASKED = 0.05
"""That the targets are about: what the cycles of this project show."""
TEMPERATURE = 0.1
"""Standard deviation of the logarithm of a model's temperature."""

PLANTED = ("alike", "by chance", "a quarter")
"""How the logits of the slice are lowered: all by the same, each by an exponential number, or a quarter of them."""

CLEAN = ("equal", "surer", "uneven", "unsure")
"""equal: nothing is done. surer: the challenger's logits are all 1.6 times as large, or 0.6 times. uneven: images of
some slices flip more than others that are as hard. unsure: the challenger's logits are 0.7 times as large on one slice,
so that the probabilities fall there and the answers stay."""

LEAST_FOUND, MOST_FALSE = 0.9, 0.05


class World:
    """Holdout images, and what any model says to them but for its own noise."""

    def __init__(self, images: int, rng: np.random.Generator) -> None:
        self.rng = rng
        self.labels = rng.integers(LABELS, size=images)
        ease = rng.gamma(2.5, 2.6, images)
        self.logits = rng.normal(0, 1.2, (images, LABELS))
        self.logits[np.arange(images), self.labels] += ease
        columns = [rng.choice(VALUES, images, p=rng.dirichlet(np.ones(VALUES))) for _ in range(COLUMNS)]
        columns[0] = np.argsort(np.argsort(ease + rng.normal(0, 1.5, images))) * VALUES // images
        self.columns = np.stack(columns)
        self.planted = rng.choice(images, round(SHARE * images), replace=False)

    def membership(self) -> Membership:
        """The slices, the planted one as the last in place of another."""
        members = [np.flatnonzero(column == value) for column in self.columns for value in range(VALUES)]
        members = [*members[:-1], np.sort(self.planted)]
        named = [(f"column {number // VALUES}", f"{number % VALUES}") for number in range(len(members))]
        kept = [(name, images) for name, images in zip(named, members, strict=True) if len(images)]
        starts = np.cumsum([0, *(len(images) for _, images in kept)])[:-1]
        return Membership(tuple(name for name, _ in kept), starts, np.concatenate([images for _, images in kept]))

    def asked(self, noise: float, spread: np.ndarray | float = 1.0) -> np.ndarray:
        """Logits of one model, float (images, labels).

        Args:
            noise: standard deviation of what is its own.
            spread: how much of that each image has, (images, 1).
        """
        temperature = np.exp(self.rng.normal(0, TEMPERATURE))
        return np.asarray(temperature * (self.logits + noise * spread * self.rng.normal(size=self.logits.shape)))


@cache
def noise_for(differing: float) -> float:
    """The noise with which two models differ on that share of images."""
    low, high = 0.0, 5.0
    for _ in range(20):
        middle = (low + high) / 2
        world = World(20_000, np.random.default_rng(1))
        first, second = (world.asked(middle).argmax(axis=1) == world.labels for _ in range(2))
        low, high = (middle, high) if (first != second).mean() < differing else (low, middle)
    return low


def shifted(logits: np.ndarray, labels: np.ndarray, rows: np.ndarray, weights: np.ndarray, won: int) -> np.ndarray:
    """Logits with those of the true label moved on some images, just so far that so many more are right there.

    Args:
        logits: float (images, labels).
        labels: the true ones, int (images,).
        rows: the images.
        weights: how far each is moved, in relation to the others.
        won: images; below 0 they are lost.
    """
    before = (logits[rows].argmax(axis=1) == labels[rows]).sum()

    def moved(by: float) -> np.ndarray:
        made = logits.copy()
        made[rows, labels[rows]] += np.sign(won) * by * weights
        return made

    low, high = 0.0, 50.0
    for _ in range(40):
        middle = (low + high) / 2
        change = (moved(middle)[rows].argmax(axis=1) == labels[rows]).sum() - before
        low, high = (low, middle) if abs(change) >= abs(won) else (middle, high)
    return moved(high)


def planted(kind: str, differing: float, rng: np.random.Generator) -> tuple[Pairs, Membership]:
    """A pair of which the last slice is worse."""
    world = World(IMAGES, rng)
    champion, challenger = (world.asked(noise_for(differing)) for _ in range(2))
    rows = world.planted
    weights = {
        "alike": np.ones(len(rows)),
        "by chance": rng.exponential(size=len(rows)),
        "a quarter": (np.arange(len(rows)) < len(rows) / 4).astype(float),
    }[kind]
    lost = round(POINTS / 100 * len(rows))
    challenger = shifted(challenger, world.labels, rows, weights, -lost)
    others = np.setdiff1d(np.arange(IMAGES), rows)
    challenger = shifted(challenger, world.labels, others, np.ones(len(others)), lost)
    return Pairs.of(world.labels, champion, challenger), world.membership()


def clean(kind: str, differing: float, rng: np.random.Generator) -> tuple[Pairs, Membership]:
    """A pair that no slice is worse in."""
    world = World(IMAGES, rng)
    spread = np.ones(IMAGES)
    if kind == "uneven":
        for column in world.columns[COLUMNS // 2 :]:
            spread *= np.exp(rng.normal(0, 0.35, VALUES))[column]
    champion, challenger = (world.asked(noise_for(differing), spread[:, None]) for _ in range(2))
    if kind == "surer":
        challenger = challenger * rng.choice([0.6, 1.6])
    if kind == "unsure":
        challenger[world.planted] *= 0.7
    return Pairs.of(world.labels, champion, challenger), world.membership()


def measure(regressions: int, pairs: int, seed: int) -> list[dict[str, Any]]:
    """Share of planted regressions that are found, and of clean pairs in which any slice is named.

    Args:
        regressions: planted, of each kind.
        pairs: clean ones, of each kind.
        seed: of all of them.
    """
    rows = []
    for differing in DIFFERING:
        for kind in PLANTED:
            rng, found, differed = np.random.default_rng([seed, 0]), 0, 0.0
            for number in range(regressions):
                made, members = planted(kind, differing, rng)
                found += slices.judge(made, members, seed + number)[-1].is_worse
                differed += float(np.abs(made.lost).mean())
            told = {"pairs": regressions, "differed": round(differed / regressions, 4)}
            rows.append({"differing": differing, "planted": kind, **told, "found": found / regressions})
        for kind in CLEAN if differing == ASKED else CLEAN[:1]:
            rng, false, differed = np.random.default_rng([seed, 1]), 0, 0.0
            for number in range(pairs):
                made, members = clean(kind, differing, rng)
                false += any(one.is_worse for one in slices.judge(made, members, seed + number))
                differed += float(np.abs(made.lost).mean())
            told = {"pairs": pairs, "differed": round(differed / pairs, 4)}
            rows.append({"differing": differing, "clean": kind, **told, "found": false / pairs})
        print(f"slices, {differing:.0%} differing: judged", flush=True)
    return rows


def targets(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is asked for, and whether it holds."""
    asked = [row for row in rows if row["differing"] == ASKED]
    found = min(row["found"] for row in asked if "planted" in row)
    false = max(row["found"] for row in asked if "clean" in row)
    return {
        f"of slices that lost {POINTS} points found, in the worst case": {
            "at_least": LEAST_FOUND, "found": round(found, 4), "ok": found >= LEAST_FOUND,
        },
        "clean pairs with a slice that is named, in the worst case": {
            "at_most": MOST_FALSE, "found": round(false, 4), "ok": false <= MOST_FALSE,
        },
    }  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines of gate.md."""
    lines = [
        f"Slices: {IMAGES:,} holdout images, {COLUMNS * VALUES} slices. Planted: one slice, {SHARE:.0%} of the images,",
        f"loses {POINTS} points, overall nothing changes. Clean: no slice is worse. The targets are about the rows",
        f"with {ASKED:.0%} differing. See `benchmarks/gate_slices.py`.",
        "",
        "| differing | pair | pairs | slice found or named |",
        "|---|---|---|---|",
    ]
    for row in rows:
        name = f"planted, {row['planted']}" if "planted" in row else f"clean, {row['clean']}"
        lines.append(f"| {row['differing']:.0%} | {name} | {row['pairs']:,} | {row['found']:.1%} |")
    return lines
