"""The card: what a reviewer needs to trust a version or not, in Markdown. Pure.

Labels and names come from outside, so everything is escaped: the card is shown in the MLflow UI and in GitHub's job
summary. MLflow's databases hold 5,000 characters of it.
"""

import html
import re
from collections.abc import Callable, Iterator, Sequence
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
from pipeline.artifacts.evaluation import COUNTED
from pipeline.artifacts.filed import Filed
from pipeline.base.words import counted
from pipeline.learning import ladder
from pipeline.showing import wording
from pipeline.showing.text import middle, visible
from pipeline.showing.wording import NAME, Review, percent, points

LIMIT = 5000
"""Characters of a card."""

MAX_REASON, MAX_REASONS = 300, 4
"""Characters of one reason of the verdict, and how many are told; the report has all."""

FEW = 3
"""Names in one sentence; the rest is counted."""

TO_DECIDE = "**To decide**: "
DECIDED = "**Decided**: "
OUTCOME = "- **Outcome**: "
"""How the line that says what was done begins; the second one in cards of before there were pictures."""

WARNING = "The blue *Promote model* button promotes nothing here: it copies this version to another model."


@dataclass(frozen=True)
class Addresses:
    """Where the MLflow UI shows what a card names."""

    version: Callable[[int], str]
    run: str
    artifact: Callable[[str], str]
    """Of an artifact of the version's run."""


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
        *(_Paragraph(1, _picture(name, what, addresses)) for name, what in PICTURES[:2]),
        _Paragraph(0, _doubt(review.comparison, addresses)),
        *(_Paragraph(2, _picture(name, what, addresses)) for name, what in PICTURES[2:]),
        _Paragraph(1, _data(review, addresses)),
        _Paragraph(2, _aside(review)),
        _Paragraph(2, _training(review)),
        _Paragraph(1, f"**Cost**: {escape(wording.cost(review))}."),
        _Paragraph(1, _origin(review, addresses)),
        _Paragraph(0, _decided(filed)),
        _Paragraph(0, _to_decide(filed)),
        _Paragraph(1, _limits(review.comparison)),
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
    rest = f"look at {_listed([escape(one) for one in look])}" if look else "nothing stands out"
    return f"## {escape(wording.became(filed))}; {rest}"


def _listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _why(review: Review) -> str:
    """How sure the difference is, and what else the verdict says."""
    comparison, judgement = review.comparison, review.judgement
    sentences = [*_difference(comparison)]
    reasons = [one for one in judgement.reasons if not COUNTED.match(one)]
    sentences += [_sentence(one) for one in reasons[:MAX_REASONS]]
    if len(reasons) > MAX_REASONS:
        sentences.append(f"{counted(len(reasons) - MAX_REASONS, 'more reason')} in the report.")
    return " ".join(sentences)


def _sentence(reason: str) -> str:
    """A reason as a sentence of its own."""
    short = reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…"
    return f"{escape(short[:1].upper() + short[1:])}."


def _difference(comparison: ModelComparison) -> Iterator[str]:
    everything, known = comparison.everything, comparison.part(KNOWN)
    judged = comparison.part(ALIKE) or everything
    if judged.change is None or judged.at_least is None:
        return
    sure = (
        "Surely better" if judged.at_least > 0 else "Better, which may be chance" if judged.change > 0 else "Not better"
    )
    yield f"{sure} on all labels ({escape(wording.gained(judged, comparison.confidence))})."
    if known and known.change is not None and known.at_least is not None and everything.change is not None:
        most = known.change * known.images < everything.change * everything.images / 2 and everything.change > 0
        proven = "" if known.at_least > 0 else ": not proven" if known.change > 0 else ""
        lead = "**Most of it is the new labels**: on" if most else "On"
        yield f"{lead} the labels that v{comparison.champion} knows {escape(wording.gained(known, comparison.confidence))}{proven}."


def _table(comparison: ModelComparison, filed: Filed) -> str:
    images = counted(comparison.holdout_images, "holdout image")
    if comparison.champion is None:
        head = [f"| {images} | {filed.name} |", "|---|---|"]
        return "\n".join([*head, *(f"| {_named(one, None)} | {percent(one.challenger)} |" for one in comparison.parts)])
    head = [f"| {images} | v{comparison.champion} | {filed.name} | change | at least |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(_row(one, comparison) for one in comparison.parts)])


def _row(part: PartScore, comparison: ModelComparison) -> str:
    before = "-" if part.champion is None else percent(part.champion)
    change = "new" if part.change is None else points(part.change)
    at_least = "" if part.at_least is None else points(part.at_least)
    named = _named(part, comparison.champion)
    return f"| {named} | {before} | {percent(part.challenger)} | {escape(change)} | {escape(at_least)} |"


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


def _worse(comparison: ModelComparison) -> str:
    """Labels and slices that lost images, in a sentence."""
    if comparison.champion is None:
        weakest = sorted((one for one in comparison.labels if one.images), key=lambda one: one.challenger / one.images)
        names = [f"{_name(one.label)} ({one.challenger} of {one.images})" for one in weakest[:FEW]]
        return f"**Weakest labels**: {', '.join(names)}." if names else ""
    fell = sorted(
        (one for one in comparison.labels if one.change is not None and one.change < 0),
        key=lambda one: (one.change or 0, one.label),
    )
    said = [f"{_name(one.label)}, {one.champion} to {one.challenger} of {one.images}" for one in fell[:FEW]]
    if len(fell) > FEW:
        said.append(f"{counted(len(fell) - FEW, 'more label')}")
    slices = [one for one in comparison.slices if one.is_worse]
    said += [
        f"surely where {_name(one.slice)} is {_name(one.value)}, {one.champion} to {one.challenger} of {one.images}"
        for one in slices[:FEW]
    ]
    if len(slices) > FEW:
        said.append(counted(len(slices) - FEW, "more slice"))
    return f"**Where it is worse**: {'; '.join(said) or 'no label and no slice'}. {escape(wording.flips(comparison))}."


def _name(name: str) -> str:
    return escape(middle(name, NAME))


PICTURES = (
    (LABELS, "how many images of each label both models get right"),
    (FLIPS, "images that only one of both models gets right"),
    (DOUBT, "new images whose label is doubted"),
)
"""On the card, in this order; the others are in the report."""


def _picture(name: str, what: str, addresses: Addresses | None) -> str:
    return f"![{what}]({addresses.artifact(name)})" if addresses else ""


def _doubt(comparison: ModelComparison, addresses: Addresses | None) -> str:
    """How far the labels of new images can be trusted."""
    if comparison.doubters is None and not comparison.pairs:
        return ""
    said = [
        f"{counted(comparison.num_suspicious, 'new image')} likely {'has' if comparison.num_suspicious == 1 else 'have'} another label"
    ]
    if comparison.pairs:
        said.append(f"{counted(len(comparison.pairs), 'pair')} of near-duplicates under two labels")
    if comparison.undoubted:
        names = ", ".join(_name(one) for one in comparison.undoubted[:FEW])
        more = f" and {len(comparison.undoubted) - FEW} more" if len(comparison.undoubted) > FEW else ""
        said.append(f"nobody can doubt {names}{more}: no model knew it before")
    doubters = comparison.doubters
    if doubters and doubters.images:
        said.append(f"who doubts them gets {doubters.right:,} of {doubters.images:,} old images right")
    return f"**Labels in doubt**: {'; '.join(said)}. {_link('All, ranked', 'report.html', addresses)}".rstrip()


def _link(words: str, artifact: str, addresses: Addresses | None) -> str:
    return f"[{words}]({addresses.artifact(artifact)})" if addresses else ""


def _data(review: Review, addresses: Addresses | None) -> str:
    """What came and went since the parent."""
    changes, training, comparison = review.changes, review.training, review.comparison
    batches = [
        f"{_name(path.removeprefix('data/images/'))} ({count:,})" for path, count in changes.added_by_batch.items()
    ]
    said = []
    if batches:
        more = f" and {counted(len(batches) - FEW, 'more batch', 'more batches')}" if len(batches) > FEW else ""
        said.append(f"{'batch' if len(batches) == 1 else 'batches'} {', '.join(batches[:FEW])}{more}")
    elif changes.added:
        said.append(counted(changes.added, "image"))
    counts = (("tried again", changes.retried), ("removed", changes.removed), ("relabelled", changes.relabelled))
    said += [f"{count:,} {what}" for what, count in (*counts, ("renamed", changes.renamed)) if count]
    if new := comparison.new_labels:
        said.append(
            f"new: {', '.join(_name(one) for one in new[:FEW])}"
            + (f" and {len(new) - FEW} more" if len(new) > FEW else "")
        )
    said += _label_changes(review)
    if review.content and review.content.distance is not None:
        far = "far from those before" if review.content.is_far else "like those before"
        said.append(
            f"by what is in them the new images are {far} ({review.content.distance:.2f}, it warns above {review.content.max_distance:g})"
        )
    drifted = [
        f"{escape(name)} {value:.2f}" for name, value in review.report.drift.items() if value > review.report.max_drift
    ]
    if drifted:
        said.append(f"drift by {', '.join(drifted[:FEW])} (it warns above {review.report.max_drift:g})")
    since = f"since v{training.parent}" if training.parent else "in all"
    total = f"{training.num_images:,} images in all"
    page = _link("The report shows them", "report.html", addresses)
    return f"**Data {since}**: {'; '.join([*said, total])}. {page}".rstrip()


def _label_changes(review: Review) -> Iterator[str]:
    """Which labels are called otherwise, or gone, by request."""
    prepare = review.lineage.params.get("prepare", {}) if review.lineage else {}
    for old, new in prepare.get("renamed_labels", {}).items():
        yield f"{_name(old)} is called {_name(new)}"
    for label in prepare.get("removed_labels", ()):
        yield f"{_name(label)} is removed"


def _aside(review: Review) -> str:
    """What was set aside and warned of, the first few of each."""
    report, lines = review.report, []
    kinds = (
        ("set aside", [f"{middle(one.path, 2 * NAME)}: {one.reason}" for one in report.quarantined]),
        ("warned of", list(report.warnings)),
        ("unusual", [f"{middle(one.path, 2 * NAME)}: {one.said}" for one in review.unusual]),
    )
    for title, remarks in kinds:
        if remarks:
            shown = [escape(middle(one, MAX_REASON // 2)) for one in remarks[:FEW]]
            more = f"; and {len(remarks) - FEW:,} more" if len(remarks) > FEW else ""
            lines.append(f"**{len(remarks):,} {title}**: {'; '.join(shown)}{more}.")
    return "\n\n".join(lines)


def _training(review: Review) -> str:
    training = review.training
    kept = "chosen by a person" if training.is_chosen else "the best"
    first, best = training.history[0], training.best
    said = [
        f"**Training**: {training.start} start, {escape(training.start_reason)}.",
        f"Stopped by {escape(training.stop_reason)}; epoch {training.best_epoch} of {training.epochs} is {kept}:"
        f" validation loss {first['val_loss']:.3f} before, {best['val_loss']:.3f} then.",
    ]
    if training.is_scratch_kept:
        said.insert(1, "The model that an audit trained from scratch is kept, and this is about it.")
    if training.blended:
        losses = {mixture.share: f"{mixture.val_loss:.3f}" for mixture in training.blended}
        what = {0.0: "what its parent serves", 1.0: "the result"}.get(
            training.share, f"a mixture, {training.share:.0%} of it the result"
        )
        said.append(f"It serves {what}, by validation loss ({losses.get(training.share, '')}).")
    if training.audit:
        rung = ladder.RUNGS[training.ladder.after.rung]
        said.append(f"An audit: {escape(ladder.finding(training.audit))}. The next cycle makes a {rung} start.")
    return " ".join(said)


def _origin(review: Review, addresses: Addresses | None) -> str:
    """What it was made from, and what it was judged against."""
    lineage = review.lineage
    if lineage is None:
        return ""
    said = []
    if lineage.parent:
        said.append(f"trained from {_version(lineage.parent, addresses)}, the version before it")
    if lineage.champion:
        same = ", the champion then"
        said.append(f"judged against {_version(lineage.champion, addresses)}{same}")
    if lineage.anchor and lineage.anchor != lineage.champion:
        said.append(f"and {_version(lineage.anchor, addresses)}, the best ever")
    if addresses:
        said.append(f"[its run]({addresses.run})")
    changed = " with uncommitted changes" if lineage.commit.endswith("+") else ""
    said.append(f"commit {escape(lineage.commit[:12].rstrip('+') or 'none')}{changed}")
    return f"**From**: {', '.join(said)}."


def _version(number: int, addresses: Addresses | None) -> str:
    return f"[v{number}]({addresses.version(number)})" if addresses else f"v{number}"


def _decided(filed: Filed) -> str:
    by = f" ({filed.decided})" if filed.decided else ""
    return f"{DECIDED}{escape(f'{filed.said}{by}')}"


def _to_decide(filed: Filed) -> str:
    """How a person promotes, declines and goes back, by verb and by clicks."""
    number, before = filed.number, filed.rival
    if not number:
        return ""
    clicks = f"the pencil beside *Aliases*: add `{escape(filed.alias)}`, Save"
    if filed.standing == "champion":
        back = f", or on the page of v{before} {clicks}" if before else ""
        return f"{TO_DECIDE}go back: `python -m pipeline rollback --why REASON`{back}. {WARNING}"
    reject = f"`python -m pipeline reject {number} --why REASON`, or a tag `evergreen.review` with the value `declined`"
    return f"{TO_DECIDE}promote: `python -m pipeline promote {number} --why REASON`, or {clicks}. Decline: {reject}. {WARNING}"


def _limits(comparison: ModelComparison) -> str:
    """What the holdout cannot tell."""
    said = []
    if (error := wording.margin_of_error(comparison)) is not None:
        said.append(
            f"with {counted(comparison.holdout_images, 'holdout image')} a change of less than {100 * error:.1f} points may be chance"
        )
    else:
        said.append(counted(comparison.holdout_images, "holdout image"))
    small = [one for one in comparison.labels if one.finding == "too few"]
    if small:
        said.append(f"too few images to tell a fall: {_few([f'{_name(one.label)} ({one.images})' for one in small])}")
    if none := [_name(one.label) for one in comparison.labels if not one.images]:
        said.append(f"no holdout image at all: {_few(none)}")
    if comparison.new_labels and comparison.champion:
        said.append(
            f"v{comparison.champion} cannot be compared on {_few([_name(one) for one in comparison.new_labels])}"
        )
    return f"**Limits**: {'; '.join(said)}."


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
