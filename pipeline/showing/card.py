"""The card: what a reviewer needs to decide, in Markdown. Pure.

Labels and names come from outside, so everything is escaped: the card is shown in the MLflow UI and
in GitHub's job summary.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import Answered, Doubt, Evaluation, Judgement
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.report import Report
from pipeline.artifacts.training import Training
from pipeline.learning import ladder
from pipeline.showing.text import visible

MAX_REMARKS = 10
"""Of each kind; the version's page has all."""


OUTCOME = "- **Outcome**: "
"""Begins the line that says what was done."""


@dataclass(frozen=True)
class Review:
    """All that the stages of a cycle say about its challenger."""

    training: Training
    evaluation: Evaluation
    judgement: Judgement
    changes: Changes
    report: Report
    """On the new images."""
    doubts: Sequence[Doubt]
    content: Content | None = None
    """Known where features of the new images were compared."""
    unusual: Sequence[Unusual] = ()
    lineage: Lineage | None = None
    """Known once the challenger is to be registered."""


def escape(text: object) -> str:
    """Text that stays text in Markdown and in the HTML made from it."""
    shown = html.escape(visible(" ".join(str(text).split())), quote=False)
    return re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", shown)


def stopped(stage: str, error: str) -> str:
    """The card of a cycle that an error ended: it would else be that of the cycle before."""
    outcome = "what promote did is in the registry" if stage == "promote" else "nothing was promoted"
    return f"## The cycle stopped in {stage}\n\n- {escape(error)}\n- {outcome}\n"


def interrupted(stage: str) -> str:
    """The card of a cycle that a stage left before its end, to go on later."""
    saved = f"{stage} saved its state; `dvc repro` goes on from it"
    return f"## The cycle is not at its end\n\n- {saved}\n- nothing was promoted\n"


def card(review: Review, promotion: str) -> str:
    """One screen: the verdict and why, the numbers, what was new, how training went.

    Args:
        review: what the stages said.
        promotion: one sentence on what was done.
    """
    training, judgement, changes = review.training, review.judgement, review.changes
    weakest = sorted(review.evaluation.challenger.recall.items(), key=lambda item: item[1])[:3]
    new = ", ".join(f"{escape(label)}: {count}" for label, count in changes.added_by_label.items())
    return "\n".join(
        [
            f"## Verdict: {judgement.decision}",
            "",
            *(f"- {escape(reason)}" for reason in judgement.reasons),
            f"{OUTCOME}{escape(promotion)}",
            "",
            *_scores(review.evaluation, judgement.champion),
            "",
            f"**Data**: {training.num_images} images, {training.num_added} of them new"
            f"{f' to v{training.parent}' if training.parent else ''}; {changes.added} added"
            f"{f' ({new})' if new else ''}, {f'{changes.retried} tried again, ' if changes.retried else ''}"
            f"{changes.removed} removed, "
            f"{changes.relabelled} relabelled, {changes.renamed} renamed.",
            "",
            *_labels(review.lineage),
            *_content(review),
            *_remarks(review),
            _training(training),
            "",
            *_audit(training),
            "**Weakest labels** (recall): " + ", ".join(f"{escape(label)}: {value:.3f}" for label, value in weakest),
            "",
            *([_lineage(review.lineage), ""] if review.lineage else []),
        ]
    )


def with_outcome(card: str, promotion: str) -> str:
    """A card that says something else of what was done; one that does not say it yet gets a line on top."""
    line = f"{OUTCOME}{escape(promotion)}"
    lines = card.split("\n")
    told = [number for number, one in enumerate(lines) if one.startswith(OUTCOME)]
    if not told:
        return f"{line}\n\n{card}"
    lines[told[0]] = line
    return "\n".join(lines)


def _scores(evaluation: Evaluation, champion: int | None) -> list[str]:
    """The table of both models' scores."""
    theirs, ours = evaluation.champion, evaluation.challenger
    rows = [
        ("holdout accuracy", _number(theirs.accuracy), _number(ours.accuracy)),
        ("holdout loss", _number(theirs.loss), _number(ours.loss)),
    ]
    if ours.balanced_accuracy is not None:
        row = ("holdout balanced accuracy", _number(theirs.balanced_accuracy), _number(ours.balanced_accuracy))
        rows.insert(1, row)
    if ours.calibration_error is not None:
        rows.append(("expected calibration error", _number(theirs.calibration_error), _number(ours.calibration_error)))
    if ours.answered:
        rows.append(("answered, and right of these", _answered(theirs.answered), _answered(ours.answered)))
    if evaluation.negative_flips is not None:
        rows.append(("right before, wrong now", "", f"{evaluation.negative_flips:.2%}"))
    return [
        f"| {evaluation.holdout_images} holdout images | champion ({f'v{champion}' if champion else 'none'}) "
        "| challenger |",
        "|---|---|---|",
        *(f"| {what} | {old} | {now} |" for what, old, now in rows),
    ]


def _answered(answered: Answered | None) -> str:
    if answered is None:
        return ""
    right = "" if answered.accuracy is None else f", {answered.accuracy:.1%}"
    return f"{answered.coverage:.1%}{right}"


def _training(training: Training) -> str:
    kept = "chosen" if training.is_chosen else "best"
    return (
        f"**Training**: {training.start} start, {escape(training.start_reason)}. {_scratch(training)}"
        "Validation loss "
        f"{training.history[0]['val_loss']:.4f} before the first step, {training.best['val_loss']:.4f} at the {kept} "
        f"epoch {training.best_epoch} of {training.epochs} (at most {training.max_epochs}). Stopped by "
        f"{escape(training.stop_reason)}. {_mixture(training)}{_cost(training)}"
    )


def _labels(lineage: Lineage | None) -> list[str]:
    """Which labels are called otherwise, or gone, by request."""
    prepare = lineage.params.get("prepare", {}) if lineage else {}
    said = [f"{escape(old)} is called {escape(new)}" for old, new in prepare.get("renamed_labels", {}).items()]
    said += [f"{escape(label)} is removed" for label in prepare.get("removed_labels", ())]
    return [f"**Labels**, by prepare.renamed\\_labels and removed\\_labels: {', '.join(said)}.", ""] if said else []


def _cost(training: Training) -> str:
    """What the cycle cost, and what of it was the audit."""
    audit = training.audit
    of_it = f", {audit.passes - audit.passes_before:,.0f} of them in the audit" if audit else ""
    return f"It cost {training.passes:,.0f} passes of images, scoring counted a third{of_it}."


def _mixture(training: Training) -> str:
    """What the served weights are made of, where the parent's were tried too."""
    losses = {mixture.share: f"{mixture.val_loss:.4f}" for mixture in training.blended}
    if not losses:
        return ""
    share = training.share
    alone = f"{losses[0.0]} for what the parent serves, {losses[1.0]} for the result"
    if share in (0, 1):
        return f"Served is {'the result' if share else 'what the parent serves'}, by validation loss: {alone}. "
    return f"Served is a mixture, {share:.0%} of it the result, by validation loss: {losses[share]}; {alone}. "


def _scratch(training: Training) -> str:
    """Whose numbers these are, if the audit's model took the place of the other."""
    is_kept = training.is_scratch_kept
    return "What follows is of the audit's model, trained from scratch, which is kept. " if is_kept else ""


def _audit(training: Training) -> list[str]:
    """What an audit found, if there was one."""
    if not training.audit:
        return []
    rung = ladder.RUNGS[training.ladder.after.rung]
    said = escape(ladder.finding(training.audit))
    return [f"**Audit against training from scratch**: {said}. The next cycle makes a {rung} start.", ""]


def _content(review: Review) -> list[str]:
    """How far the content of the new images is from that of before, if it was looked at; beside it the facts'."""
    if review.content is None:
        return []
    facts = ", ".join(f"{escape(name)} {value:.2f}" for name, value in review.report.drift.items())
    beside = f" By the facts (warning above {review.report.max_drift}): {facts}." if facts else ""
    mark = "warning: " if review.content.is_far else ""
    return [f"**Content**: {mark}{escape(review.content.said)}.{beside}", ""]


def _remarks(review: Review) -> list[str]:
    """What was set aside, warned of, doubted or stands out: the first few, each list with its length."""
    doubted = [
        f"{doubt.path}: labelled {doubt.label}, seems to be {doubt.predicted} ({doubt.probability:.3f})"
        for doubt in review.doubts
    ]
    strange, astray = (
        [f"{one.path}: {one.said}" for one in review.unusual if one.kind == kind] for kind in ("strange", "astray")
    )
    parts = (
        ("file{} set aside", [f"{image.path}: {image.reason}" for image in review.report.quarantined]),
        ("warning{}", review.report.warnings),
        ("suspicious label{}", doubted),
        ("new image{} unlike any label", strange),
        ("new image{} more like another label", astray),
    )
    lines = []
    for title, remarks in parts:
        if remarks:
            title = title.format("" if len(remarks) == 1 else "s")
            lines += [f"**{len(remarks)} {title}**:", "", *(f"- {escape(remark)}" for remark in remarks[:MAX_REMARKS])]
            more = len(remarks) - MAX_REMARKS
            lines += [f"- and {more} more", ""] if more > 0 else [""]
    return lines


def _lineage(lineage: Lineage) -> str:
    parent = f"v{lineage.parent}" if lineage.parent else "none"
    data, commit = lineage.sources_digest[:12], escape(lineage.commit[:12] or "none")
    changed = " with uncommitted changes" if lineage.commit.endswith("+") else ""
    return f"**Lineage**: parent {parent}, data {data}, commit {commit}{changed}."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
