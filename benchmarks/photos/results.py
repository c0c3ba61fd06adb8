"""What the outcomes say: differences with their intervals, costs, new labels, targets; the table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.outcomes import Outcome, difference, flipped, gains, told, total
from benchmarks.photos.arms import ARMS, OPPONENT, TWIN, Source, audit_share
from benchmarks.photos.plot import plot
from benchmarks.photos.streams import STREAMS
from benchmarks.trials import Trial

SEEDS = [0, 1, 2, 3, 4]
COMMAND = "python -m benchmarks.photos"
BOUND = -0.5
"""Points of accuracy that the lower 95 % bound of the recipe against scratch has to be above."""
MUST, GOAL = {"P1": 0.25, "P2": 0.30}, {"P1": 0.15}
"""At what share of scratch's passes at most, by stream."""
TWIN_BOUND = -0.3
"""Points of accuracy by which `tune: head` may be worse than its twin from scratch."""
CYCLE_SECONDS = 45.0
"""Of a cycle of 100 new photographs on top of 2,000, with tune: head, on two cores, imports included."""


def summary(
    outcomes: Mapping[Trial, Outcome], streams: Sequence[str], seeds: Sequence[int], source: Source
) -> dict[str, Any]:
    """Of each stream the title, and its arms: means over seeds, against scratch, the recipe and the twin."""

    def pairs(stream: str, arm: str, other: str) -> list[tuple[Outcome, Outcome]]:
        both = [(Trial(stream, seed, arm), Trial(stream, seed, other)) for seed in seeds]
        return [(outcomes[one], outcomes[two]) for one, two in both if one in outcomes and two in outcomes]

    def against(stream: str, arm: str, other: str) -> dict[str, Any] | None:
        both = pairs(stream, arm, other)
        if arm == other or not both:
            return None
        return difference(gains(both, STREAMS[stream].scored)) | {"newest": newest(both, stream)}

    def row(stream: str, arm: str) -> dict[str, Any]:
        found = compared(pairs(stream, arm, OPPONENT), stream, audit_share(ARMS[arm], source))
        others = {f"against_{name.replace(' ', '_')}": against(stream, arm, name) for name in ("recipe", "head", TWIN)}
        return found | others

    return {
        stream: {
            "title": STREAMS[stream].title,
            "arms": {arm: row(stream, arm) for arm in ARMS if pairs(stream, arm, OPPONENT)},
        }
        for stream in streams
    }


def compared(pairs: Sequence[tuple[Outcome, Outcome]], stream: str, audits: float) -> dict[str, Any]:
    """An arm against scratch, one pair of outcomes per seed; `audits` is added to its cost."""
    scored = STREAMS[stream].scored
    curves = [[float(ours["accuracy"][list(ours["cycle"]).index(cycle)]) for cycle in scored] for ours, _ in pairs]
    costs = [total(ours, "passes") / total(scratch, "passes") + audits for ours, scratch in pairs]
    cycles = [int(ours["cycle"][-1]) for ours, _ in pairs]
    return {
        "accuracy": round(float(np.mean(curves)), 4),
        "final": round(float(np.mean([curve[-1] for curve in curves])), 4),
        **difference(gains(pairs, scored)),
        "newest": newest(pairs, stream),
        "cost": round(float(np.mean(costs)), 4),
        "passes": _each(pairs, cycles, "passes"),
        "forward": _each(pairs, cycles, "forward"),
        "seconds": _each(pairs, cycles, "seconds"),
        "flips": round(float(np.mean([flipped(ours) for ours, _ in pairs])), 4),
        "curve": {str(at): round(float(value), 4) for at, value in zip(scored, np.mean(curves, axis=0), strict=True)},
        "seeds": len(pairs),
    }


def _each(pairs: Sequence[tuple[Outcome, Outcome]], cycles: Sequence[int], name: str) -> float:
    """Mean of a cost of one cycle."""
    return round(float(np.mean([total(ours, name) / count for (ours, _), count in zip(pairs, cycles, strict=True)])), 2)


def newest(pairs: Sequence[tuple[Outcome, Outcome]], stream: str) -> dict[str, Any] | None:
    """Accuracy on a label right after the cycle in which it was new; None where the stream has no such cycle."""
    rates, found = [], []
    for ours, other in pairs:
        counts = dict(zip(ours["cycle"], ours["num_newest"], strict=True))
        cycles = [cycle for cycle in STREAMS[stream].scored if counts[cycle]]
        if not cycles:
            return None
        shares = []
        for side in (ours, other):
            right = np.unpackbits(side["newest"], axis=1)[1:]
            shares.append([right[list(side["cycle"]).index(cycle)] / counts[cycle] for cycle in cycles])
        mine, theirs = np.array(shares).mean(axis=1)
        rates.append(float(mine.sum()))
        found.append(mine - theirs)
    return {"accuracy": round(float(np.mean(rates)), 4), **difference(np.array(found))}


def targets(
    streams: Mapping[str, Any], cycle: Mapping[str, Any] | None, script: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """What is asked for: whether it holds, and whether it has to; what was not measured does not hold."""

    def row(stream: str, arm: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = streams.get(stream, {}).get("arms", {}).get(arm) or {}
        return found if found.get("seeds", 0) >= len(SEEDS) else {}

    head, twin = row("P1", "head"), row("P1", "head").get(f"against_{TWIN.replace(' ', '_')}")
    asked: dict[str, dict[str, Any]] = {
        "tune: head as good as from scratch": {
            "at_least": TWIN_BOUND, "found": twin and twin["difference"],
            "ok": bool(twin and twin["difference"] >= TWIN_BOUND),
        },
        "tune: head passes each new photograph forward once": {
            "at_most": 150, "found": head.get("forward"), "ok": bool(head and head["forward"] <= 150),
        },
        "a cycle with tune: head is quick": {
            "at_most": CYCLE_SECONDS, "found": cycle and cycle["seconds"],
            "ok": bool(cycle and cycle["seconds"] <= CYCLE_SECONDS),
        },
        "a cycle with tune: head passes no old photograph": {
            "at_most": 0, "found": cycle and cycle["old_passed"], "ok": bool(cycle and not cycle["old_passed"]),
        },
        "without weights as good as a script in the same time": {
            "at_least": 0.0, "found": script and min(one["difference"] for one in script.values()),
            "ok": bool(script and all(one["difference"] >= 0 for one in script.values())),
        },
    }  # fmt: skip
    for kind, limits in (("must", MUST), ("goal", GOAL)):
        for stream, most in limits.items():
            found = row(stream, "recipe")
            at = {"interval": found.get("interval"), "cost": found.get("cost")}
            asked[f"recipe on {stream}, {kind}"] = {
                "above": BOUND, "at_most": most, "found": at, "is_goal": kind == "goal",
                "ok": bool(found and found["interval"][0] > BOUND and found["cost"] <= most),
            }  # fmt: skip
    return asked


def write(
    streams: Mapping[str, Any],
    out: Path,
    cycle: Mapping[str, Any] | None = None,
    script: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the results beside those of before, with table and plot; streams that were played now replace the others.

    Args:
        streams: by name, see `summary`, with what they were made with.
        out: folder.
        cycle: what whole cycles took, if that was measured now.
        script: how the network without weights and a script compare, likewise.
    """
    path = out / "photos.json"
    before = json.loads(path.read_text()) if path.exists() else {"streams": {}}
    every = {**before["streams"], **streams}
    every = {stream: every[stream] for stream in STREAMS if stream in every}
    cycle, script = cycle or before.get("cycle"), script or before.get("script")
    asked = targets(every, cycle, script)
    results = {
        "benchmark": "photos",
        "command": COMMAND,
        "opponent": OPPONENT,
        "targets": asked,
        "ok": all(one["ok"] for one in asked.values() if not one.get("is_goal")),
        "cycle": cycle,
        "script": script,
        "streams": every,
    }
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")
    (out / "photos.md").write_text(page(results))
    if every:
        plot(results, out / "photos.png")
    return results


LEGEND = """\
Accuracy and differences are means over the scored cycles of a stream, final is the last cycle; differences are in
points, paired by seed and test photograph, with their 95 % interval over both. Passes are photographs passed forward
and back as a share of those of best practice from scratch in each cycle; those that only pass forward, to be scored or
to have their features computed, count a third, and passes through a head on features that are there count nothing. An
audit's are spread over the `train.audit_every` cycles between two (none falls into a stream). `tune: head` and its twin
from scratch both take the features of old photographs from where they are kept: they differ in where the head begins.
The small CNN's passes are through a smaller network. Seconds are of the training of a cycle on one thread, and include
what else the machine did. Flips are test photographs that one cycle had right and the next one wrong; arms that play
only the scored cycles have them between those that follow each other. New label is the accuracy on the photographs of a
label right after the cycle in which it was new.
"""


def page(results: Mapping[str, Any]) -> str:
    """What photos.md says."""
    return f"Made by `{results['command']}`.\n\n{LEGEND}\n{asked(results)}\n\n{table(results)}\n"


def asked(results: Mapping[str, Any]) -> str:
    """The targets as a Markdown table."""
    lines = ["| target | asked | found | holds |", "|---|---|---|---|"]
    for name, one in results["targets"].items():
        limits = ", ".join(f"{word.replace('_', ' ')} {one[word]}" for word in ("above", "at_least", "at_most")
                           if word in one)  # fmt: skip
        found = one["found"]
        if isinstance(found, dict):
            found = f"{found['interval']}, {found['cost']}" if found["cost"] is not None else None
        lines.append(f"| {name} | {limits} | {'not measured' if found is None else found} "
                     f"| {'yes' if one['ok'] else 'no'} |")  # fmt: skip
    return "\n".join(lines)


def overview(results: Mapping[str, Any]) -> str:
    """The recipe and `tune: head` against best practice from scratch on each stream, as a Markdown table."""
    lines = [
        "| stream | arm | seeds | accuracy against scratch, points | passes | new label (scratch) |",
        "|---|---|---|---|---|---|",
    ]
    for stream, content in results["streams"].items():
        news = content["arms"][OPPONENT]["newest"]
        for arm in ("recipe", "head"):
            if arm not in content["arms"]:
                continue
            row = content["arms"][arm]
            new = f"{row['newest']['accuracy']:.0%} ({news['accuracy']:.0%})" if news else ""
            lines.append(
                f"| {stream}: {content['title']} | {arm} | {row['seeds']} | {told(row)} | {row['cost']:.1%} | {new} |"
            )
    return "\n".join(lines)


def table(results: Mapping[str, Any]) -> str:
    """The results as a Markdown table per stream."""
    lines = []
    for stream, content in results["streams"].items():
        lines += [
            f"{stream}: {content['title']}. `{content['command']}`",
            "",
            "| arm | seeds | accuracy | final | against scratch | against the recipe | against head from scratch "
            "| passes | a cycle's passes | a cycle's seconds | flips | new label |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for arm, row in content["arms"].items():
            new = row["newest"]
            lines.append(
                f"| {ARMS[arm].title} | {row['seeds']} | {row['accuracy']:.2%} | {row['final']:.2%} | {told(row)} "
                f"| {told(row['against_recipe'])} | {told(row['against_head_scratch'])} | {row['cost']:.1%} "
                f"| {row['passes']:,.0f} | {row['seconds']:.0f} | {row['flips']:.2%} "
                f"| {'' if new is None else format(new['accuracy'], '.1%')} |"
            )
        lines.append("")
    return "\n".join(lines)
