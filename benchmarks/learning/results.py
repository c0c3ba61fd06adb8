"""What the outcomes say: differences with their intervals, costs, flips; the table."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.arms import ARMS, audit_share, played
from benchmarks.learning.plot import plot
from benchmarks.learning.streams import STREAMS
from benchmarks.outcomes import difference, flipped, gains, told, total
from benchmarks.trials import Trial

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
        is_imbalanced = STREAMS[stream].is_imbalanced
        measured = {"imbalanced": imbalanced(pairs(stream, arm, "recipe"), stream)} if is_imbalanced else {}
        return compared(pairs(stream, arm, "scratch"), stream, audit_share(ARMS[arm])) | {
            "against_recipe": paired(beside, stream) if beside else None,
            **measured,
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
    """Difference in accuracy between the two of each pair, in points, mean over the scored cycles of a stream."""
    return difference(gains(pairs, STREAMS[stream].scored))


MEASURES = {
    "accuracy": "balanced accuracy",
    "as_trained": "accuracy, test images as imbalanced as those of training",
    "calibration_error": "calibration error on such images",
}
"""Of an imbalanced stream, by their names in an outcome. The test set has as many images of each label."""


def imbalanced(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], stream: str) -> dict[str, Any]:
    """Each measure of an arm: mean over the scored cycles, then mean and standard deviation over seeds.

    Args:
        pairs: the arm and the recipe, for each seed.
        stream: which.
    """

    def by_seed(played: Mapping[str, Any], name: str) -> float:
        return float(np.mean([played[name][list(played["cycle"]).index(at)] for at in STREAMS[stream].scored]))

    def told_of(name: str) -> dict[str, float]:
        ours, recipe = np.array([[by_seed(side, name) for side in pair] for pair in pairs]).T
        spread = [float(values.std(ddof=1)) if len(pairs) > 1 else 0.0 for values in (ours, ours - recipe)]
        return {
            "mean": round(float(ours.mean()), 4),
            "deviation": round(spread[0], 4),
            "against_recipe": round(100 * float((ours - recipe).mean()), 2),
            "against_recipe_deviation": round(100 * spread[1], 2),
        }

    return {name: told_of(name) for name in MEASURES}


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
                f"| {ARMS[arm].title} | {row['seeds']} | {row['accuracy']:.2%} | {row['final']:.2%} | {told(row)} "
                f"| {told(row['against_recipe'])} | {row['cost']:.1%} | {row['seconds']:.1%} | {row['flips']:.2%} |"
            )
        lines.append("")
        if STREAMS[stream].is_imbalanced:
            lines += [*_measured(content["arms"]), ""]
    return "\n".join(lines)


def _measured(rows: Mapping[str, Any]) -> list[str]:
    """The measures of an imbalanced stream as a Markdown table."""

    def cell(one: Mapping[str, float]) -> str:
        against = f"{one['against_recipe']:+.2f} ± {one['against_recipe_deviation']:.2f}"
        return f"{one['mean']:.2%} ± {100 * one['deviation']:.2f} ({against})"

    return [
        "Mean ± standard deviation over seeds (against the recipe, points). Each arm begins with the same first model, "
        "which was trained without balance.",
        "",
        f"| arm | {' | '.join(MEASURES.values())} |",
        "|---|---|---|---|",
        *(
            f"| {ARMS[arm].title} | {' | '.join(cell(row['imbalanced'][name]) for name in MEASURES)} |"
            for arm, row in rows.items()
        ),
    ]
