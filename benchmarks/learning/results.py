"""What the outcomes say: differences with their intervals, costs, flips; the table."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.arms import ARMS, Trial, audit_share, played
from benchmarks.learning.plot import plot
from benchmarks.learning.streams import STREAMS

SEEDS = [0, 1, 2, 3, 4]
COMMAND = "python -m benchmarks.learning"
MUST: dict[str, Any] = {"difference": -0.5, "cost": 0.2, "stream": "S1", "seeds": 5}
"""Points of accuracy that the lower 95 % bound has to be above, at what share of scratch's passes at most."""


def write(streams: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Write the results beside those of before, with table and plot.

    Arms of a stream that were played before stay where training code, settings and seeds are the same.
    """
    path = out / "learning.json"
    before = json.loads(path.read_text())["streams"] if path.exists() else {}
    every = {**before, **{stream: _joined(before.get(stream), content) for stream, content in streams.items()}}
    results = {
        "benchmark": "learning",
        "command": COMMAND,
        "must": MUST,
        "ok": is_met(every),
        "streams": {
            stream: {**every[stream], "command": command(stream, every[stream])}
            for stream in STREAMS
            if stream in every
        },
    }
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    (out / "learning.md").write_text(page(results))
    plot(results, out / "learning.png")
    return results


def _joined(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> dict[str, Any]:
    """The arms of both, where code, settings and seeds of before are those of now."""
    same = ("code", "settings", "seeds")
    if before is None or any(before[name] != now[name] for name in same):
        return dict(now)
    arms = {**before["arms"], **now["arms"]}
    return {**now, "arms": {arm: arms[arm] for arm in ARMS if arm in arms}}


def command(stream: str, content: Mapping[str, Any]) -> str:
    """What makes the rows of a stream."""
    words = ["--streams", stream]
    if list(content["arms"]) != [arm for arm in ARMS if stream in ARMS[arm].streams]:
        words += ["--arms", *content["arms"]]
    if content["seeds"] != SEEDS:
        words += ["--seeds", *map(str, content["seeds"])]
    return f"{COMMAND} {shlex.join(words)}"


def is_met(streams: Mapping[str, Any]) -> bool:
    """Whether the must holds."""
    row = streams.get(MUST["stream"], {}).get("arms", {}).get("recipe")
    if row is None or row["seeds"] < MUST["seeds"]:
        return False
    return bool(row["interval"][0] > MUST["difference"] and row["cost"] <= MUST["cost"])


def summary(
    outcomes: Mapping[Trial, Mapping[str, Any]], streams: Sequence[str], seeds: Sequence[int], commit: str
) -> dict[str, Any]:
    """Of each stream the title, and its arms: means over seeds, against scratch and against the recipe."""

    def pairs(stream: str, arm: str, other: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        trials = [(Trial(stream, seed, arm), Trial(stream, seed, other)) for seed in played(stream, arm, seeds)]
        return [(outcomes[one], outcomes[two]) for one, two in trials if two in outcomes]

    def row(stream: str, arm: str) -> dict[str, Any]:
        beside = pairs(stream, arm, "recipe") if arm != "recipe" else []
        return compared(pairs(stream, arm, "scratch"), stream, audit_share(ARMS[arm])) | {
            "against_recipe": paired(beside, stream) if beside else None,
            "commit": commit,
        }

    return {
        stream: {
            "title": STREAMS[stream].title,
            "arms": {arm: row(stream, arm) for arm in ARMS if Trial(stream, seeds[0], arm) in outcomes},
        }
        for stream in streams
    }


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
        places = [[list(side["cycle"]).index(cycle) for cycle in STREAMS[stream].scored] for side in (ours, other)]
        right, theirs = (
            np.unpackbits(side["right"], axis=1)[1:][at].astype(np.int8)
            for side, at in zip((ours, other), places, strict=True)
        )
        tested = right.sum(axis=1) / np.asarray(ours["accuracy"])[places[0]]
        gains.append(((right - theirs) / tested[:, None]).mean(axis=0))
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
    """Share of the test images that one cycle had right and the next one wrong, mean over such pairs of cycles."""
    right = np.unpackbits(played["right"], axis=1)
    cycles = [0, *played["cycle"]]
    pairs = [at for at in range(1, len(cycles)) if cycles[at] == cycles[at - 1] + 1]
    tested = [right[at].sum() / played["accuracy"][at - 1] for at in pairs]
    lost = [(right[at - 1] & ~right[at] & 1).sum() / count for at, count in zip(pairs, tested, strict=True)]
    return float(np.mean(lost))


LEGEND = """\
Accuracy and differences are means over the scored cycles of a stream, final is the last cycle; differences are in
points, paired by seed and test image within one run on one machine, with their 95 % interval over both. Passes are
images passed forward and back, scoring counted a third, as a share of those of training from scratch in each cycle;
an audit's are spread over the `train.audit_every` cycles between two (none falls into a stream). Seconds are a share
likewise, and include what else the machine did. Flips are test images that one cycle had right and the next one wrong;
training from scratch has them between the last cycles only, for it plays no others that follow each other.
"""


def page(results: Mapping[str, Any]) -> str:
    """What learning.md says."""
    head = f"Made by `{results['command']}`; each stream by the command above its rows.\n\n{LEGEND}"
    return f"{head}\n{table(results)}\n"


def overview(results: Mapping[str, Any]) -> str:
    """The recipe against scratch on each stream, as a Markdown table."""
    lines = [
        "| stream | seeds | accuracy against scratch, points | passes | flips (scratch) |",
        "|---|---|---|---|---|",
    ]
    for content in results["streams"].values():
        recipe, scratch = content["arms"]["recipe"], content["arms"]["scratch"]
        low, high = recipe["interval"]
        lines.append(
            f"| {content['title']} | {recipe['seeds']} | {recipe['difference']:+.1f} (95 %: {low:+.1f} to {high:+.1f}) "
            f"| {recipe['cost']:.1%} | {recipe['flips']:.1%} ({scratch['flips']:.1%}) |"
        )
    return "\n".join(lines)


def table(results: Mapping[str, Any]) -> str:
    """The results as a Markdown table per stream."""
    lines = []
    for stream, content in results["streams"].items():
        lines += [
            f"{stream}: {content['title']}. `{content['command']}`",
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
