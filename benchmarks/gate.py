"""What the gate promises: how often a champion is ever far below the best there was, and which slices it finds worse.

`python -m benchmarks.gate` plays 1,000 lives of 100 cycles each, for holdouts of several sizes, fixed and growing, for
several shares of images that two versions differ on, and for several mixes of better, equal and worse challengers; once
with the step from champion to challenger alone, once with the promise (`pipeline.judging.lifetime`). It writes a table,
a picture with the power of the gate, and a JSON object, which is also the last line. It also plants regressions in
slices, see `benchmarks.gate_slices`; with --slices it does only that, and leaves the lives as they were written last.

A life is exact in counts. A challenger that is truly `gain` better than the champion gets wrong images right, and right
ones wrong, each at random and on its own, so that the two differ on the given share of all images that there could be.
The holdout is a sample of them that judges again and again; what was promoted was lucky on it, as in truth.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import gate_slices
from benchmarks.workspace import CHECKOUT
from pipeline.judging import gate, lifetime
from pipeline.judging.paired import Counts
from pipeline.judging.settings import Bound

RESULTS = CHECKOUT / "benchmarks/results"
CYCLES = 100
BEGINS = 0.8
"""Accuracy of the first champion."""
BEST = 0.985
"""Accuracy that none gets beyond."""

Mix = Callable[[np.random.Generator, int, int], np.ndarray]
"""True gains of the challengers of a cycle over the champions, one for each life: of (rng, lives, cycle)."""


def normal(mean: float, spread: float) -> Mix:
    """Gains around a mean, in points."""
    return lambda rng, lives, _: rng.normal(mean / 100, spread / 100, lives)


def among(gains: Sequence[float], shares: Sequence[float]) -> Mix:
    """Gains that are each one of a few, in points."""
    return lambda rng, lives, _: rng.choice(np.array(gains) / 100, lives, p=shares)


def in_turn(first: Mix, second: Mix, cycles: int) -> Mix:
    """One mix for some cycles, then another, and so on."""
    return lambda rng, lives, cycle: (first, second)[(cycle - 1) // cycles % 2](rng, lives, cycle)


MIXES: Mapping[str, Mix] = {
    "0 +- 0.6 points": normal(0, 0.6),
    "+0.3 +- 0.6": normal(0.3, 0.6),
    "-0.4 +- 0.6": normal(-0.4, 0.6),
    "-1 +- 1": normal(-1, 1),
    "20 % +1, 40 % equal, 40 % -1": among([1, 0, -1], [0.2, 0.4, 0.4]),
    "10 % +1, 10 % equal, 80 % -0.5": among([1, 0, -0.5], [0.1, 0.1, 0.8]),
    "ten good, ten bad": in_turn(normal(0.4, 0.4), normal(-0.6, 0.4), 10),
    "all equal": normal(0, 0),
    "all -0.2": normal(-0.2, 0),
    "all -0.4": normal(-0.4, 0),
}
"""The last ones have nothing to gain: all that is promoted is luck."""

HOLDOUTS = ((200, 0), (200, 20), (1000, 0), (1000, 50), (4000, 0), (10000, 0))
"""Images at the beginning, and how many more each cycle brings."""

DIFFERING = (0.02, 0.05, 0.1)
"""Shares of the images that only one of champion and challenger gets right."""


@dataclass
class Lives:
    """Many lives at the same cycle. Images are counted by (champion is right, anchor is right)."""

    truth: np.ndarray
    """float (lives, 2, 2): shares of all images that there could be."""
    held: np.ndarray
    """int (2, lives, 2, 2): holdout images, first those that the anchor was chosen with, then those that came since."""

    @property
    def accuracy(self) -> np.ndarray:
        """True accuracy of the champions."""
        return np.asarray(self.truth[:, 1].sum(axis=1))


@dataclass(frozen=True)
class Challengers:
    """One for each life. Images are counted by (challenger is right, anchor is right) like those of the champion."""

    truth: np.ndarray
    held: np.ndarray
    step: Counts
    """Against the champion."""


def begun(lives: int, images: int, rng: np.random.Generator) -> Lives:
    """Lives with a first champion, which is the anchor too."""
    truth, held = np.zeros((lives, 2, 2)), np.zeros((2, lives, 2, 2), int)
    truth[:, 1, 1], truth[:, 0, 0] = BEGINS, 1 - BEGINS
    held[0, :, 1, 1] = rng.binomial(images, BEGINS, lives)
    held[0, :, 0, 0] = images - held[0, :, 1, 1]
    return Lives(truth, held)


def grow(lives: Lives, images: int, rng: np.random.Generator) -> None:
    """More holdout images come."""
    shares = lives.truth.reshape(-1, 4)
    came = rng.multinomial(images, shares / shares.sum(axis=1, keepdims=True))
    lives.held[1] += came.reshape(lives.truth.shape)


def challengers(lives: Lives, gains: np.ndarray, differing: float, rng: np.random.Generator) -> Challengers:
    """Challengers that are truly so much better, and right where the champion is wrong at random."""
    accuracy = lives.accuracy
    gains = np.minimum(np.clip(gains, -differing, differing), BEST - accuracy)
    gained = np.minimum((differing + gains) / 2, 0.9 * (1 - accuracy))
    loses, wins = np.clip((gained - gains) / accuracy, 0, 1), gained / (1 - accuracy)
    kept = rng.binomial(lives.held[:, :, 1], 1 - loses[None, :, None])
    won = rng.binomial(lives.held[:, :, 0], wins[None, :, None])
    right = lives.truth[:, 1] * (1 - loses)[:, None] + lives.truth[:, 0] * wins[:, None]
    total = lives.held.sum(axis=(0, 2, 3))
    gain, loss = won.sum(axis=(0, 2)), (lives.held[:, :, 1] - kept).sum(axis=(0, 2))
    return Challengers(
        np.stack([lives.truth.sum(axis=1) - right, right], axis=1),
        np.stack([lives.held.sum(axis=2) - kept - won, kept + won], axis=2),
        Counts(kept.sum(axis=(0, 2)), loss, gain, total - gain - loss - kept.sum(axis=(0, 2))),
    )


def counted(held: Any) -> Counts:
    """Some images, int (lives, 2, 2), with the anchor in the champion's place."""
    return Counts(both=held[:, 1, 1], champion_only=held[:, 0, 1], challenger_only=held[:, 1, 0], neither=held[:, 0, 0])


def alone(shares: np.ndarray) -> np.ndarray:
    """Counts or shares (..., 2, 2) as they are when the champion is the anchor."""
    made, champion = np.zeros_like(shares), shares.sum(axis=-1)
    made[..., 0, 0], made[..., 1, 1] = champion[..., 0], champion[..., 1]
    return made


def play(holdout: tuple[int, int], differing: float, mix: Mix, rules: Bound, lives: int, seed: int) -> dict[str, float]:
    """Whole lives.

    Returns:
        broken: share of lives in which a champion was ever worse than promised. gain: true points won at the end, mean.
        fall: points below the best there was, at worst, of the life at the 95th percentile. promise: in points, at
        the end.
    """
    rng = np.random.default_rng(seed)
    now = begun(lives, holdout[0], rng)
    best, fall, broken = now.accuracy, np.zeros(lives), np.zeros(lives, bool)
    promise: Any = np.full(lives, rules.margin)
    taken: Any
    for cycle in range(1, CYCLES + 1):
        grow(now, holdout[1], rng)
        made = challengers(now, mix(rng, lives, cycle), differing, rng)
        taken = gate.is_better(made.step) & gate.is_within(made.step, rules)
        if rules.risk:
            chosen, fresh = now.held.sum(axis=(2, 3))
            promise = lifetime.promised(chosen, fresh, cycle, rules.margin, rules.risk)
            taken &= lifetime.is_kept(counted(made.held.sum(axis=0)), promise, cycle, rules.risk)
            taken &= ~lifetime.is_worse_on_fresh(counted(made.held[1]))
        now.truth[taken], now.held[:, taken] = made.truth[taken], made.held[:, taken]
        anew = taken & lifetime.is_new_anchor(counted(now.held.sum(axis=0)))
        now.truth[anew] = alone(now.truth[anew])
        now.held[0, anew], now.held[1, anew] = alone(now.held[:, anew].sum(axis=0)), 0
        fall = np.maximum(fall, best - now.accuracy)
        broken |= taken & (best - now.accuracy > promise + 1e-9)
        best = np.maximum(best, now.accuracy)
    return {
        "broken": float(broken.mean()),
        "gain": 100 * float((now.accuracy - BEGINS).mean()),
        "fall": 100 * float(np.quantile(fall, 0.95)),
        "promise": 100 * float(np.mean(promise)),
    }


MOST_BROKEN, LEAST_KEPT = 0.05, 0.9
WORTH = 0.5
"""Points that the step alone wins, from which on it is asked how much of that is kept."""


def measure(lives: int, seed: int, rules: Bound) -> list[dict[str, Any]]:
    """All lives: by holdout, share that differs, and mix."""
    plain, rows = rules.model_copy(update={"risk": None}), []
    for holdout in HOLDOUTS:
        for differing in DIFFERING:
            for name, mix in MIXES.items():
                step = play(holdout, differing, mix, plain, lives, seed)
                kept = play(holdout, differing, mix, rules, lives, seed)
                rows.append({"holdout": holdout, "differing": differing, "mix": name, "step": step, "promise": kept})
        print(f"{told(holdout)}: played", flush=True)
    return rows


def told(holdout: Sequence[int]) -> str:
    """A holdout in words."""
    first, more = holdout
    return f"{first:,} images" + (f", {more} more each cycle" if more else "")


def targets(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is asked for, and whether it holds."""
    broken = max(row["promise"]["broken"] for row in rows)
    kept = min(row["promise"]["gain"] / row["step"]["gain"] for row in rows if row["step"]["gain"] >= WORTH)
    return {
        "lives that break the promise, in the worst case": {
            "at_most": MOST_BROKEN, "found": round(broken, 4), "ok": broken <= MOST_BROKEN,
        },
        "of the true gain of the step alone, kept in the worst case": {
            "at_least": LEAST_KEPT, "found": round(kept, 4), "ok": kept >= LEAST_KEPT,
        },
    }  # fmt: skip


DRAWS = 200_000
TRUTHS = (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Points by which a challenger is truly better."""


def power(images: int, differing: float, truth: float, rules: Bound, draws: int, seed: int) -> float:
    """How often one challenger is promoted over a champion that is the anchor.

    Args:
        images: of the holdout.
        differing: share of images that only one of the two gets right.
        truth: points by which the challenger is better.
        rules: of the gate.
        draws: holdouts.
        seed: of these.
    """
    gained = (differing + truth / 100) / 2
    shares = [BEGINS - (differing - gained), differing - gained, gained, 1 - BEGINS - gained]
    both, lost, won, neither = np.random.default_rng(seed).multinomial(images, shares, draws).T
    counts = Counts(both, lost, won, neither)
    taken: Any = gate.is_better(counts) & gate.is_within(counts, rules)
    if rules.risk:
        promise = lifetime.promised(images, 0, 1, rules.margin, rules.risk)
        taken &= lifetime.is_kept(counts, promise, 1, rules.risk)
    return float(taken.mean())


def curves(rules: Bound, draws: int, seed: int) -> list[dict[str, Any]]:
    """The power of the gate by what is true, for each holdout size and share that differs."""
    sizes = sorted({first for first, _ in HOLDOUTS})
    return [
        {
            "images": images,
            "differing": differing,
            "promise": round(100 * float(lifetime.promised(images, 0, 1, rules.margin, rules.risk or 1)), 2),
            "promoted": {
                str(truth): round(power(images, differing, truth, rules, draws, seed), 4)
                for truth in TRUTHS
                if abs(truth) / 100 <= differing
            },
        }
        for images in sizes
        for differing in DIFFERING
    ]


def page(results: Mapping[str, Any]) -> str:
    """What gate.md says."""
    lines = ["| target | asked | found | holds |", "|---|---|---|---|"]
    for name, one in results["targets"].items():
        asked = ", ".join(f"{word.replace('_', ' ')} {one[word]}" for word in ("at_least", "at_most") if word in one)
        lines.append(f"| {name} | {asked} | {one['found']} | {'yes' if one['ok'] else 'no'} |")
    lines += ["", *gate_slices.table(results["slices"])]
    if "lives" in results:
        lines += ["", *lives_table(results["lives"])]
    return f"Made by `{results['command']}`.\n\n" + "\n".join(lines) + "\n"


def lives_table(lives: Sequence[Mapping[str, Any]]) -> list[str]:
    """The part of gate.md about whole lives."""
    lines = [
        "Points of accuracy. Broken: lives in which a champion was ever worse than promised. Fall: below the best",
        "there was, at worst, in the life at the 95th percentile. The step alone is the gate without the promise.",
        "",
        "| holdout | differing | challengers | promise at the end | broken | gain (step alone) | fall (step alone) |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in lives:
        kept, step = row["promise"], row["step"]
        lines.append(
            f"| {told(row['holdout'])} | {row['differing']:.0%} | {row['mix']} | {kept['promise']:.1f} "
            f"| {kept['broken']:.1%} | {kept['gain']:+.1f} ({step['gain']:+.1f}) "
            f"| {kept['fall']:.1f} ({step['fall']:.1f}) |"
        )
    return lines


def plot(results: Mapping[str, Any], path: Path) -> None:
    """The power curves, one panel for each share that differs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(DIFFERING), 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(DIFFERING), sharey=True)
    for axes, differing in zip(panels, DIFFERING, strict=True):
        for curve in (one for one in results["power"] if one["differing"] == differing):
            truths = [float(truth) for truth in curve["promoted"]]
            shares = [100 * share for share in curve["promoted"].values()]
            axes.plot(truths, shares, "o-", markersize=3, linewidth=1, label=f"{curve['images']:,} images")
        axes.set_title(f"the two differ on {differing:.0%} of the images", fontsize=9)
        axes.axvline(0, color="black", linewidth=0.5)
        axes.set_xlabel("truly better by, points")
    panels[0].set_ylabel("promoted, % of challengers")
    panels[-1].legend(fontsize=8, title="holdout", title_fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def lives_measured(lives: int, draws: int, seed: int, rules: Bound) -> dict[str, Any]:
    """The part of gate.json about whole lives, and the power."""
    rows = measure(lives, seed, rules)
    return {
        "rules": rules.model_dump(),
        "targets": targets(rows),
        "lives": rows,
        "power": curves(rules, draws, seed),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write and print; 0 if the targets hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description=(__doc__ or "").splitlines()[0],
        epilog="example: python -m benchmarks.gate --lives 100 --draws 2000 --regressions 20 --pairs 50 --out /tmp",
    )
    parser.add_argument("--lives", type=int, default=1000, help="of each kind (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=DRAWS, help="for the power (default: %(default)s)")
    parser.add_argument("--regressions", type=int, default=200, help="planted, of each kind (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=1000, help="clean, of each kind (default: %(default)s)")
    parser.add_argument("--slices", action="store_true", help="only the part about slices")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (default: benchmarks/results)")
    chosen = parser.parse_args(argv)
    content = yaml.safe_load((CHECKOUT / "params.yaml").read_bytes())["evaluate"]
    rules = Bound(**{name: content[name] for name in Bound.model_fields})
    written = chosen.out / "gate.json"
    before = json.loads(written.read_text()) if chosen.slices and written.is_file() else {"targets": {}}
    lived = before if chosen.slices else lives_measured(chosen.lives, chosen.draws, chosen.seed, rules)
    judged = gate_slices.measure(chosen.regressions, chosen.pairs, chosen.seed)
    asked = lived["targets"] | gate_slices.targets(judged)
    results = {
        **lived,
        "benchmark": "gate",
        "command": "python -m benchmarks.gate",
        "targets": asked,
        "ok": all(one["ok"] for one in asked.values()),
        "slices": judged,
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    written.write_text(json.dumps(results, indent=1) + "\n")
    (chosen.out / "gate.md").write_text(page(results))
    if not chosen.slices:
        plot(results, chosen.out / "gate.png")
    print(page(results))
    print(json.dumps({name: results[name] for name in ("benchmark", "targets", "ok")}))
    return 0 if results["ok"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
