"""The card: what a reviewer needs to decide, in Markdown. Pure.

Labels and names come from outside, so everything is escaped: the card is shown in the MLflow UI and
in GitHub's job summary.
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.learning import ladder
from pipeline.showing import page

MAX_REMARKS = 10
"""Of each kind; the version's page has all."""


def escape(text: object) -> str:
    """Text that stays text in Markdown and in the HTML made from it."""
    shown = html.escape(page.visible(" ".join(str(text).split())), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", shown)


def card(
    *,
    training: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    verdict: Mapping[str, Any],
    delta: Mapping[str, Any],
    validation: Mapping[str, Any],
    suspicious: Sequence[Mapping[str, Any]],
    promotion: str,
    lineage: Mapping[str, Any] | None = None,
) -> str:
    """One screen: the verdict and why, the numbers, what was new, how training went.

    Args:
        training: `training.json` of the train stage.
        evaluation: the metrics of the evaluate stage.
        verdict: `verdict.json` of the evaluate stage.
        delta: `summary.json` of the detect stage.
        validation: `report.json` of the validate stage.
        suspicious: `suspicious.json` of the evaluate stage.
        promotion: one sentence on what was done.
        lineage: parent, sources_digest and commit, where they are known.
    """
    challenger, champion = evaluation["challenger"], evaluation["champion"]
    best = training["history"][training["best_epoch"]]
    first = training["history"][0]
    rival = f"v{verdict['rival']}" if verdict["rival"] else "none"
    rows = [
        ("holdout accuracy", _number(champion.get("accuracy")), _number(challenger["accuracy"])),
        ("holdout loss", _number(champion.get("loss")), _number(challenger["loss"])),
    ]
    if evaluation.get("negative_flips") is not None:
        rows.append(("right before, wrong now", "", f"{evaluation['negative_flips']:.2%}"))
    weakest = sorted(challenger["recall"].items(), key=lambda item: item[1])[:3]
    new = ", ".join(f"{escape(label)}: {count}" for label, count in delta["added_by_label"].items())
    return "\n".join(
        [
            f"## Verdict: {verdict['decision']}",
            "",
            *(f"- {escape(reason)}" for reason in verdict["reasons"]),
            f"- {escape(promotion)}",
            "",
            f"| {evaluation['holdout_images']} holdout images | champion ({rival}) | challenger |",
            "|---|---|---|",
            *(f"| {name} | {old} | {now} |" for name, old, now in rows),
            "",
            f"**Data**: {training['num_images']} images; {delta['added']} added"
            f"{f' ({new})' if new else ''}, {delta['removed']} removed, {delta['relabelled']} relabelled, "
            f"{delta['renamed']} renamed.",
            "",
            *_labels(lineage),
            *_remarks(validation, suspicious),
            f"**Training**: {training['start']} start, {escape(training['start_reason'])}. {_scratch(training)}"
            "Validation loss "
            f"{first['val_loss']:.4f} before the first step, {best['val_loss']:.4f} at the best epoch "
            f"{training['best_epoch']} of {training['epochs']} (at most {training['max_epochs']}). Stopped by "
            f"{escape(training['stop_reason'])}. {_mixture(training)}{_cost(training)}",
            "",
            *_audit(training),
            "**Weakest labels** (recall): " + ", ".join(f"{escape(label)}: {value:.3f}" for label, value in weakest),
            "",
            *([_lineage(lineage), ""] if lineage else []),
        ]
    )


def _labels(lineage: Mapping[str, Any] | None) -> list[str]:
    """Which labels are called otherwise, or gone, by request."""
    asked = (lineage or {}).get("params", {}).get("prepare", {})
    said = [f"{escape(old)} is called {escape(new)}" for old, new in asked.get("renamed_labels", {}).items()]
    said += [f"{escape(label)} is removed" for label in asked.get("removed_labels", ())]
    return [f"**Labels**, by prepare.renamed\\_labels and removed\\_labels: {', '.join(said)}.", ""] if said else []


def _cost(training: Mapping[str, Any]) -> str:
    """What the cycle cost, and what of it was the audit."""
    passes, audit = training["passes"], training["audit"]
    of_it = f", {audit['passes'] - audit['passes_before']:,.0f} of them in the audit" if audit else ""
    return f"It cost {passes:,.0f} passes of images, scoring counted a third{of_it}."


def _mixture(training: Mapping[str, Any]) -> str:
    """What the served weights are made of, where the parent's were tried too."""
    losses = {row["share"]: f"{row['val_loss']:.4f}" for row in training["blended"]}
    if not losses:
        return ""
    share = training["share"]
    alone = f"{losses[0.0]} for what the parent serves, {losses[1.0]} for the result"
    if share in (0, 1):
        return f"Served is {'the result' if share else 'what the parent serves'}, by validation loss: {alone}. "
    return f"Served is a mixture, {share:.0%} of it the result, by validation loss: {losses[share]}; {alone}. "


def _scratch(training: Mapping[str, Any]) -> str:
    """Whose numbers these are, if the audit's model took the place of the other."""
    kept = training["audit"] and training["audit"]["is_scratch_better"]
    return "What follows is of the audit's model, trained from scratch, which is kept. " if kept else ""


def _audit(training: Mapping[str, Any]) -> list[str]:
    """What an audit found, if there was one."""
    if not training["audit"]:
        return []
    rung = ladder.RUNGS[training["ladder"]["after"]["rung"]]
    said = escape(ladder.finding(training["audit"]))
    return [f"**Audit against training from scratch**: {said}. The next cycle makes a {rung} start.", ""]


def _remarks(validation: Mapping[str, Any], suspicious: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was set aside, warned of or doubted: the first few, each list with its length."""
    aside = [f"{row['path']}: {row['reason']}" for row in validation["quarantined"]]
    doubted = [
        f"{row['path']}: labelled {row['label']}, {row['found']} says the champion ({row['probability']:.3f})"
        for row in suspicious
    ]
    parts = (
        ("file{} set aside", aside),
        ("warning{}", validation["warnings"]),
        ("suspicious label{}", doubted),
    )
    lines = []
    for title, remarks in parts:
        if remarks:
            title = title.format("" if len(remarks) == 1 else "s")
            lines += [f"**{len(remarks)} {title}**:", "", *(f"- {escape(remark)}" for remark in remarks[:MAX_REMARKS])]
            more = len(remarks) - MAX_REMARKS
            lines += [f"- and {more} more", ""] if more > 0 else [""]
    return lines


def _lineage(lineage: Mapping[str, Any]) -> str:
    parent = f"v{lineage['parent']}" if lineage["parent"] else "none"
    data, commit = lineage["sources_digest"][:12], escape(lineage["commit"][:12] or "none")
    changed = " with uncommitted changes" if lineage["commit"].endswith("+") else ""
    return f"**Lineage**: parent {parent}, data {data}, commit {commit}{changed}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
