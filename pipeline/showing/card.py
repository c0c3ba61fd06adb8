"""The card: what a reviewer needs to trust a version or not, in Markdown. Pure.

Labels and names come from outside, so everything is escaped: the card is shown in the MLflow UI and in GitHub's job
summary. MLflow's databases hold 5,000 characters of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.artifacts.comparison import (
    ALIKE,
    ALL,
    DOUBT,
    FLIPS,
    KNOWN,
    LABELS,
    NEW,
    NEW_LABELS,
    OLD,
    ModelComparison,
    PartScore,
)
from pipeline.artifacts.evaluation import COUNTED, Evaluation
from pipeline.artifacts.filed import Filed
from pipeline.base.words import capital, counted, percent
from pipeline.showing import particulars, wording
from pipeline.showing.addresses import Addresses, link
from pipeline.showing.markdown import FEW, escape, few, listed, name
from pipeline.showing.review import Review
from pipeline.showing.text import middle
from pipeline.showing.wording import points

LIMIT = 5000
"""Characters of a card."""

MAX_REASON, MAX_REASONS = 300, 6
"""Characters of one reason of the verdict, and how many are told; the report has all."""

TO_DECIDE = "**To decide**: "
DECIDED = "**Decided**: "
OUTCOME = "- **Outcome**: "
"""How the line that says what was done begins; the second one in cards of before there were pictures."""

WIDE = "&emsp;"
"""Beside the name of a column: MLflow's UI sets columns without any space between them."""

WARNING = "The blue *Promote model* button promotes nothing here: it copies this version to another model."


def stopped(stage: str, error: str) -> str:
    """The card of a cycle that an error ended: it would else be that of the cycle before."""
    outcome = "what promote did is in the registry" if stage == "promote" else "nothing was promoted"
    return f"## The cycle stopped in {stage}\n\n- {escape(error)}\n- {outcome}\n"


def interrupted(stage: str) -> str:
    """The card of a cycle that a stage left before its end, to go on later."""
    saved = f"{stage} saved its state; `dvc repro` goes on from it"
    return f"## The cycle is not at its end\n\n- {saved}\n- nothing was promoted\n"


def card(review: Review, filed: Filed, addresses: Addresses | None) -> str:
    """One screen: what became of the version and why, where it is worse, what it learned from, what to do.

    Args:
        review: what the stages said.
        filed: what became of the version.
        addresses: where the MLflow UI shows things; None: for GitHub, which cannot show the pictures of a registry.
    """
    paragraphs = [
        _Paragraph(0, escape(wording.first_line(review, filed))),
        _Paragraph(0, _heading(review, filed)),
        _Paragraph(0, _why(review)),
        _Paragraph(0, _table(review.comparison, filed)),
        _Paragraph(0, _worse(review.comparison)),
        _Paragraph(2, _answered(review.evaluation)),
        _Paragraph(1, _picture(LABELS, "how many images of each label both models get right", addresses)),
        _Paragraph(1, _flips(review.comparison, addresses)),
        _Paragraph(0, _doubt(review, addresses)),
        _Paragraph(2, _doubts(review.comparison, addresses)),
        _Paragraph(1, particulars.data(review, addresses)),
        _Paragraph(2, particulars.aside(review)),
        _Paragraph(2, particulars.training(review)),
        _Paragraph(1, particulars.cost(review)),
        _Paragraph(1, particulars.origin(review, addresses)),
        _Paragraph(0, _decided(filed)),
        _Paragraph(0, _to_decide(filed)),
        _Paragraph(1, particulars.limits(review.comparison)),
    ]
    return _fitting([one for one in paragraphs if one.text])


def retold(card: str, filed: Filed) -> str:
    """A card that says something else of what became of its version; whatever else it says stays.

    Args:
        card: as it was, perhaps in the form of an earlier Evergreen.
        filed: what became of the version by now.
    """
    lines = card.split("\n")
    told = [number for number, one in enumerate(lines) if one.startswith((DECIDED, OUTCOME))]
    if not told:
        return f"{_decided(filed)}\n\n{card}"
    if lines[told[0]].startswith(OUTCOME):
        lines[told[0]] = f"{OUTCOME}{escape(filed.said)}"
        return "\n".join(lines)
    lines[told[0]] = _decided(filed)
    lines[0] = wording.word(filed) + lines[0][max(lines[0].find(":"), 0) :]
    if len(lines) > 2 and lines[2].startswith("## "):
        lines[2] = f"## {escape(wording.became(filed))}{lines[2][lines[2].find(';') :] if ';' in lines[2] else ''}"
    acts = [number for number, one in enumerate(lines) if one.startswith(TO_DECIDE)]
    if acts:
        lines[acts[0]] = _to_decide(filed)
    return "\n".join(lines)


@dataclass(frozen=True)
class _Paragraph:
    """A part of the card."""

    rank: int
    """The higher, the sooner it is left out where there is no room."""
    text: str


def _fitting(paragraphs: Sequence[_Paragraph]) -> str:
    """The paragraphs that there is room for, and a line that says how many are left out."""
    kept = list(paragraphs)
    while True:
        left_out = len(paragraphs) - len(kept)
        more = [f"{counted(left_out, 'part')} of this card had no room; the report has all."] if left_out else []
        text = "\n\n".join([*(one.text for one in kept), *more]) + "\n"
        droppable = [one for one in kept if one.rank]
        if len(text) <= LIMIT or not droppable:
            return text
        kept.remove(max(reversed(droppable), key=lambda one: (one.rank, len(one.text))))


def _heading(review: Review, filed: Filed) -> str:
    look = wording.attention(review)
    rest = f"look at {listed([escape(one) for one in look])}" if look else "nothing stands out"
    return f"## {escape(wording.became(filed))}; {rest}"


def _why(review: Review) -> str:
    """How sure the difference is, and what else the verdict says."""
    comparison, judgement = review.comparison, review.judgement
    reasons = [one for one in judgement.reasons if not COUNTED.match(one)]
    said = [_sentence(one) for one in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        said.append(f"{counted(len(reasons) - MAX_REASONS, 'more reason')} in the report.")
    difference = [*_difference(comparison)]
    return " ".join([*difference, *said] if judgement.decision == "promote" else [*said, *difference])


def _sentence(reason: str) -> str:
    """A reason as a sentence of its own."""
    short = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
    return f"{escape(capital(short))}."


def _difference(comparison: ModelComparison) -> Iterator[str]:
    """How sure the difference is over all, and on the labels that the champion knows, where that is not the same."""
    everything, known, judged = comparison.everything, comparison.part(KNOWN), wording.judged(comparison)
    if judged.change is None or judged.at_least is None:
        return
    better = "Better, which may be chance," if judged.change > 0 else "Not better"
    sure = "Surely better" if judged.at_least > 0 else better
    where = f"the images that v{comparison.champion} had, which alone judge" if judged.name == OLD else "all labels"
    yield f"{sure} on {where} ({wording.gained(judged, comparison.confidence)})."
    if judged.name == OLD:
        return
    if known is None or known.change is None or known.at_least is None or everything.change is None:
        return
    gain, of_known = everything.change * everything.images, known.change * known.images
    lead = "**Most of it is the new labels**: on" if gain > 0 and of_known < gain / 2 else "On"
    unproven = ", which may be chance" if known.at_least <= 0 < known.change else ""
    said = wording.gained(known, comparison.confidence)
    yield f"{lead} the labels that v{comparison.champion} knows it is {said}{unproven}."


def _table(comparison: ModelComparison, filed: Filed) -> str:
    images = counted(comparison.holdout_images, "holdout image")
    if comparison.champion is None:
        head = [f"| {images} | {WIDE}{filed.name}{WIDE} |", "|---|---|"]
        return "\n".join([*head, *(f"| {_named(one, None)} | {percent(one.challenger)} |" for one in comparison.parts)])
    columns = (f"v{comparison.champion}", filed.name, "change", "at least")
    head = [f"| {images} | {' | '.join(f'{WIDE}{one}{WIDE}' for one in columns)} |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(one, comparison) for one in comparison.parts)])


def _row(part: PartScore, comparison: ModelComparison) -> str:
    before = "-" if part.champion is None else percent(part.champion)
    change = "new" if part.change is None else points(part.change)
    at_least = "" if part.at_least is None else points(part.at_least)
    named = _named(part, comparison.champion)
    return f"| {named} | {before} | {percent(part.challenger)} | {change} | {at_least} |"


def _named(part: PartScore, champion: int | None) -> str:
    """A part of the holdout, as people read it, with its images."""
    name = {
        ALL: "all",
        KNOWN: f"labels that v{champion} knows",
        NEW_LABELS: "new labels",
        NEW: f"images that are new to v{champion}",
        OLD: f"images that v{champion} had",
        ALIKE: "all, each label counted alike",
    }[part.name]
    return f"{name} ({part.images:,})"


def _answered(evaluation: Evaluation) -> str:
    """How many images get an answer, where some may get none."""
    ours, theirs = evaluation.challenger.answered, evaluation.champion.answered
    if ours is None:
        return ""
    before = f" (the champion: {percent(theirs.coverage)})" if theirs else ""
    right = f", {percent(ours.accuracy)} of these right" if ours.accuracy is not None else ""
    return f"**Answers**: with evaluate.min_probability {percent(ours.coverage)} of the images get one{before}{right}."


def _worse(comparison: ModelComparison) -> str:
    """Labels and slices that lost images, in a sentence."""
    if comparison.champion is None:
        weakest = sorted((one for one in comparison.labels if one.images), key=lambda one: one.challenger / one.images)
        said = ", ".join(f"{name(one.label)} ({one.challenger} of {one.images})" for one in weakest[:FEW])
        return f"**Weakest labels**: {said}." if said else ""
    fell = [one for one in comparison.labels if one.change is not None and one.change < 0]
    fell.sort(key=lambda one: (one.change or 0, one.label))
    labels = [f"{name(one.label)} ({one.champion} to {one.challenger} of {one.images})" for one in fell]
    slices = [
        f"{name(one.slice)} {name(one.value)} ({one.champion} to {one.challenger} of {one.images})"
        for one in comparison.slices
        if one.is_worse
    ]
    said = few(labels, "label") or "no label"
    surely = f"; surely among the slices {few(slices, 'slice')}" if slices else ""
    return f"**Where it is worse**: {said}{surely}. {wording.flips(comparison)}."


def _picture(file: str, what: str, addresses: Addresses | None) -> str:
    return f"![{what}]({addresses.artifact(file)})" if addresses else ""


def _flips(comparison: ModelComparison, addresses: Addresses | None) -> str:
    """The picture of the images that flipped, if any did."""
    any_flipped = comparison.num_lost or comparison.num_won
    return _picture(FLIPS, "images that only one of both models gets right", addresses) if any_flipped else ""


def _doubts(comparison: ModelComparison, addresses: Addresses | None) -> str:
    """The picture of the labels in doubt, if any are."""
    any_doubted = comparison.doubted or comparison.pairs
    return _picture(DOUBT, "new images whose label is doubted", addresses) if any_doubted else ""


def _doubt(review: Review, addresses: Addresses | None) -> str:
    """How far the labels of new images can be trusted, and how far those who doubt them."""
    comparison, doubters = review.comparison, review.comparison.doubters
    settings = review.lineage.params.get("evaluate", {}) if review.lineage else {}
    if doubters is None and not comparison.pairs:
        return ""
    num = comparison.num_suspicious
    likely = f"{counted(num, 'new image')} likely {'has' if num == 1 else 'have'}" if num else "no new image likely has"
    said = [f"{likely} another label"] if doubters else []
    if comparison.pairs:
        said.append(f"{counted(len(comparison.pairs), 'pair')} of near-duplicates under two labels")
    if comparison.undoubted:
        unknown = few([name(one) for one in comparison.undoubted], "label")
        said.append(f"v{comparison.champion} does not know {unknown}: nobody can doubt those of its images that train")
    if believed := settings.get("believed", ()):
        said.append(f"a person believes {few([name(one) for one in believed])} (evaluate.believed)")
    if doubters and doubters.images:
        said.append(f"the models that doubt get {doubters.right:,} of {doubters.images:,} old images right")
    return f"**Labels in doubt**: {'; '.join(said)}.{link('All, ranked', particulars.REPORT, addresses)}"


def _decided(filed: Filed) -> str:
    by = f" ({middle(filed.decided, MAX_REASON)})" if filed.decided else ""
    return f"{DECIDED}{escape(middle(filed.said, MAX_REASON) + by)}"


def _to_decide(filed: Filed) -> str:
    """How a person promotes, declines and goes back, by verb and by clicks."""
    number, before = filed.number, filed.rival
    if not number:
        return ""
    clicks = f"*Add* or the pencil beside *Aliases*: `{escape(filed.alias)}`, *Save aliases*"
    if filed.standing == "champion" and not before:
        return f"{TO_DECIDE}there is no version before it to go back to. {WARNING}"
    if filed.standing == "champion":
        verb = "`python -m pipeline rollback --why REASON`"
        return f"{TO_DECIDE}go back: {verb}, or on the page of v{before} {clicks}. {WARNING}"
    tag = " or a tag `evergreen.review` with the value `{}`,".format if filed.standing == "waiting" else lambda _: ""
    promote = f"`python -m pipeline promote {number} --why REASON`,{tag('approved')} or {clicks}"
    reject = f"`python -m pipeline reject {number} --why REASON`{tag('declined').rstrip(',')}"
    decline = "" if filed.standing in ("rejected", "rolled back") else f" Decline: {reject}."
    return f"{TO_DECIDE}promote: {promote}.{decline} {WARNING}"
