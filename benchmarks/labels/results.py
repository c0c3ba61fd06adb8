"""What became of the planted batches: figures, targets, a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.labels.lab import LISTED, MAX_WRONG, WAYS, Played, Sizes
from benchmarks.labels.planting import ASKED, KINDS

LEAST_RECALL, MOST_HELD = 0.8, 0.05
CLEAN = "clean"


def figures(played: Sequence[Played]) -> dict[str, Any]:
    """Of all planted batches of one kind."""
    by_gate = [one for one in played if one.by_gate == "promote"]
    return {
        "batches": len(played),
        "champion": _mean([one.champion for one in played]),
        "challenger": _mean([one.challenger for one in played]),
        "worse": sum(map(_is_worse, played)),
        "promoted_by_gate": len(by_gate),
        "worse_by_gate": sum(map(_is_worse, by_gate)),
        "obeys": _mean([one.obeys for one in played]),
        "wrong": _mean([one.wrong for one in played]),
        **{way: _way(played, way) for way in WAYS},
    }


def _way(played: Sequence[Played], way: str) -> dict[str, Any]:
    told = [one.ways[way] for one in played]
    promoted = [one for one in played if one.ways[way]["verdict"] == "promote"]
    recalls = [each["recall"] for each in told if each["recall"] is not None]
    named = [each["named"] for each in told if each["named"] is not None]
    covered = [
        each["share"][1] - 1e-9 <= one.wrong <= each["share"][2] + 1e-9 for one, each in zip(played, told, strict=True)
    ]
    return {
        "held_back": sum(not each["is_trusted"] for each in told),
        "doubtful": sum(each["is_doubtful"] for each in told),
        "promoted": len(promoted),
        "worse": sum(map(_is_worse, promoted)),
        "other": sum(each["is_other"] for each in told),
        "estimate": _mean([each["share"][0] for each in told]),
        "covered": _mean(covered),
        "recall": _mean(recalls) if recalls else None,
        "least_recall": round(min(recalls), 4) if recalls else None,
        "named": _mean(named) if named else None,
    }


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)


def _is_worse(one: Played) -> bool:
    """Whether the challenger gets fewer clean test pictures right than the champion, be it one."""
    return one.challenger < one.champion


def targets(collections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is asked for, and whether it holds; by collection and way."""
    asked: dict[str, dict[str, Any]] = {}
    for name, kinds in collections.items():
        wrong = [kinds[kind] for kind in ASKED if kind != CLEAN and kind in kinds]
        for way in WAYS:
            of = f"{name}, by {way}"
            worse = sum(kind[way]["worse"] for kind in wrong)
            recall = min(kind[way]["recall"] for kind in wrong)
            held = kinds[CLEAN][way]["held_back"] / kinds[CLEAN]["batches"]
            asked |= {
                f"{of}: champions that are worse than the one before": {
                    "at_most": 0, "found": worse, "ok": worse == 0,
                },
                f"{of}: wrong labels listed, mean of the worst kind": {
                    "at_least": LEAST_RECALL, "found": recall, "ok": recall >= LEAST_RECALL,
                },
                f"{of}: clean batches held back": {
                    "at_most": MOST_HELD, "found": round(held, 4), "ok": held <= MOST_HELD,
                },
            }  # fmt: skip
    return asked


def page(results: Mapping[str, Any]) -> str:
    """All of it in Markdown."""
    lines = ["# Batches with wrong labels", "", f"Made by `{results['command']}`.", ""]
    lines += ["| asked for | | found | |", "|---|---|---|---|"]
    for name, target in results["targets"].items():
        bound = f"at least {target['at_least']}" if "at_least" in target else f"at most {target['at_most']}"
        lines.append(f"| {name} | {bound} | {target['found']} | {'held' if target['ok'] else 'missed'} |")
    lines += [
        "",
        "Worse: fewer clean test pictures right than the champion, be it one. Listed: of the wrong labels, how many "
        f"are among the first {LISTED} times as many ranked, in the mean and in the worst batch. Covered: the 95 % "
        "interval has the true share. Named: the label or annotator at fault is. By features: a cross-fit of the head "
        f"on features; by models: champion and challenger alone. {MAX_WRONG:.0%} of wrong labels is bearable.",
    ]
    for name, kinds in results["collections"].items():
        lines += ["", f"## {name}", "", said(results["sizes"][name])]
        for way in WAYS:
            lines += ["", f"By {way}:", ""]
            lines += [
                "| batch | batches | challenger (champion) | promoted, worse of them: by the gate | with trust "
                "| held back | doubtful | wrong: true, estimate | covered | listed | named |",
                "|---|---|---|---|---|---|---|---|---|---|---|",
            ]
            lines += [_line(kind, kinds[kind], way) for kind in KINDS if kind in kinds]
    return "\n".join(lines) + "\n"


def said(sizes: Mapping[str, int]) -> str:
    """How many pictures there are of each sort, in words."""
    return (
        f"{sizes['first']:,} pictures of before, {sizes['batch']:,} in each batch; {sizes['test']:,} others test, all "
        "with right labels."
    )


def sizes_of(sizes: Sizes, count: int) -> dict[str, int]:
    """Numbers of pictures, of a collection of so many."""
    return {"first": sizes.first, "batch": sizes.batch, "test": count - sizes.first - sizes.batch}


def _line(kind: str, found: Mapping[str, Any], way: str) -> str:
    told = found[way]
    listed = "" if told["recall"] is None else f"{told['recall']:.0%} ({told['least_recall']:.0%})"
    named = "" if told["named"] is None else f"{told['named']:.0%}"
    return (
        f"| {kind} | {found['batches']} | {found['challenger']:.1%} ({found['champion']:.1%}) "
        f"| {found['promoted_by_gate']}, {found['worse_by_gate']} | {told['promoted']}, {told['worse']} "
        f"| {told['held_back']} | {told['doubtful']} | {found['wrong']:.1%}, {told['estimate']:.1%} "
        f"| {told['covered']:.0%} | {listed} | {named} |"
    )
