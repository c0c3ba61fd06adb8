"""Words of a review: what became of a version, what stands out, and numbers as people read them. Pure."""

from collections.abc import Iterator

from pipeline.artifacts.comparison import ALIKE, ALL, KNOWN, OLD, LabelScore, ModelComparison, PartScore
from pipeline.artifacts.evaluation import COUNTED
from pipeline.artifacts.filed import Filed
from pipeline.base.words import counted, duration, percent
from pipeline.showing.markdown import NAME
from pipeline.showing.review import Review
from pipeline.showing.text import middle

WIDTH = 100
"""Columns of a terminal."""


def points(difference: float) -> str:
    """+3.8; what is rounded to nothing has no sign."""
    rounded = round(100 * difference, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


def word(filed: Filed) -> str:
    """What became of a version, in one word or two: the version list begins with it."""
    if filed.decision == "unchanged":
        return filed.decision
    if filed.standing == "champion":
        return "champion again" if filed.is_back else "approved" if filed.is_person else "promoted"
    of_people = {
        "was champion": "was champion",
        "waiting": "waits",
        "rejected": "declined",
        "rolled back": "rolled back",
    }
    of_verdicts = {"promote": "not promoted", "reject": "rejected", "not enough evidence": "undecided"}
    if filed.standing:
        return of_people.get(filed.standing, filed.standing)
    return of_verdicts.get(filed.decision, filed.decision or "registered")


def became(filed: Filed) -> str:
    """The same for a heading."""
    stays = f"v{filed.rival} stays champion" if filed.rival else "there is no champion yet"
    first = "Promoted to champion" if filed.rival else "Promoted: the first champion"
    return {
        "promoted": first,
        "approved": "Approved by a person: it is champion",
        "champion again": "Champion again: a person went back to it",
        "was champion": "Was champion until a better one came",
        "waits": "Good by the verdict, and waits for a person",
        "declined": "Declined by a person",
        "rolled back": "Was champion, and a person went back from it",
        "not promoted": "Good by the verdict, and not promoted",
        "rejected": f"Rejected: {stays}",
        "undecided": f"Not enough evidence: {stays}",
        "unchanged": "Nothing new: it is the champion",
        "registered": "Registered",
    }.get(word(filed), word(filed).capitalize())


def first_line(review: Review, filed: Filed) -> str:
    """The whole version in a line, for lists of versions; names are not escaped."""
    return f"{word(filed)}: {scores(review.comparison)}{_news(review)}"


def scores(comparison: ModelComparison) -> str:
    """59.6 % (v1: 55.7 %), known labels 62.3 % (61.1 %)."""
    everything, known = comparison.everything, comparison.part(KNOWN)
    before = "" if everything.champion is None else f" (v{comparison.champion}: {percent(everything.champion)})"
    said = f"{percent(everything.challenger)}{before}"
    if known and known.champion is not None:
        said += f", known labels {percent(known.challenger)} ({percent(known.champion)})"
    return said


def _news(review: Review) -> str:
    """What is new in the data."""
    added, removed = review.training.num_added, review.changes.removed
    said = f", +{counted(added, 'image')}" if added else ""
    said += f", -{counted(removed, 'image')}" if removed else ""
    new = review.comparison.new_labels
    if new:
        names = ", ".join(middle(label, NAME) for label in new[:2])
        more = f" and {len(new) - 2} more" if len(new) > 2 else ""
        said += f", new {'label' if len(new) == 1 else 'labels'} {names}{more}"
    return said


def attention(review: Review) -> list[str]:
    """What a person should look at, a few words each; nothing if nothing stands out."""
    comparison, report = review.comparison, review.report
    found = []
    if worse := worst(comparison):
        names = ", ".join(middle(one.label, NAME) for one in worse[:2])
        found.append(names + (f" and {counted(len(worse) - 2, 'more label')}" if len(worse) > 2 else ""))
    if weak := weakest(comparison):
        names = ", ".join(middle(one.label, NAME) for one in weak[:2])
        found.append(names + (f" and {counted(len(weak) - 2, 'more weak label')}" if len(weak) > 2 else ""))
    if slices := [one for one in comparison.slices if one.is_worse]:
        found.append(counted(len(slices), "slice"))
    if comparison.num_suspicious:
        found.append(f"{counted(comparison.num_suspicious, 'label')} in doubt")
    if comparison.pairs:
        found.append(counted(len(comparison.pairs), "near-duplicate pair"))
    if report.quarantined:
        found.append(f"{counted(len(report.quarantined), 'file')} set aside")
    if review.unusual:
        found.append(counted(len(review.unusual), "unusual image"))
    if is_drifted(review):
        found.append("the drift of the new images")
    return found


def is_drifted(review: Review) -> bool:
    """Whether new images are far from those before, by facts or by content."""
    by_facts = any(value > review.report.max_drift for value in review.report.drift.values())
    return by_facts or (review.content is not None and review.content.is_far)


def worst(comparison: ModelComparison) -> list[LabelScore]:
    """Labels that fell by more than they may, the worst first."""
    fell = [one for one in comparison.labels if one.finding in ("surely fell", "fell")]
    return sorted(fell, key=lambda one: (one.change or 0, one.label))


def weakest(comparison: ModelComparison) -> list[LabelScore]:
    """Labels of a first version that it gets wrong more often than right, the worst first; none beside a champion."""
    if comparison.champion is not None:
        return []
    weak = [one for one in comparison.labels if one.images and one.challenger < one.images / 2]
    return sorted(weak, key=lambda one: (one.challenger / one.images, one.label))


def judged(comparison: ModelComparison) -> PartScore:
    """The part of the holdout that the verdict is about."""
    return comparison.part(comparison.judged_by if comparison.judged_by != ALL else ALIKE) or comparison.everything


def margin_of_error(comparison: ModelComparison) -> float | None:
    """By how much accuracy may seem to change by chance, 0 to 1, one-sided at `confidence`; None without a champion."""
    everything = comparison.everything
    if everything.change is None or everything.at_least is None:
        return None
    return everything.change - everything.at_least


def scratch_passes(review: Review) -> tuple[float, int] | None:
    """What training from scratch would about cost, in passes, and the version that tells it.

    The newest cycle that started from scratch tells how many passes an image takes. None if this one did, or none is
    known.
    """
    if review.training.start == "cold":
        return None
    for cycle in sorted(review.past, key=lambda one: -one.version):
        if cycle.start == "cold" and cycle.passes and cycle.images:
            return cycle.passes / cycle.images * review.training.num_images, cycle.version
    return None


def gained(part: PartScore, confidence: float) -> str:
    """+3.8 points, at least +0.6 at 90 %."""
    if part.change is None or part.at_least is None:
        return ""
    return f"{points(part.change)} points, at least {points(part.at_least)} at {100 * confidence:g}% confidence"


def summary(review: Review, filed: Filed) -> Iterator[str]:
    """What a terminal shows at the end of a cycle: five lines, of names that are not escaped."""
    comparison, part = review.comparison, judged(review.comparison)
    yield f"{filed.name} {first_line(review, filed)}"
    if part.change is None:
        images = counted(comparison.holdout_images, "holdout image")
        yield f"  change   none: there was no champion before; {images}"
    elif part.name == OLD:
        yield f"  change   {gained(part, comparison.confidence)}, on the {counted(part.images, 'old image')} that judge"
    else:
        yield f"  change   {gained(part, comparison.confidence)}, {flips(comparison)}"
    yield f"  look at  {', '.join(attention(review)) or 'nothing stands out'}"
    yield f"  cost     {_cut(cost(review), WIDTH - 11)}"
    why = next((one for one in review.judgement.reasons if not COUNTED.match(one)), "")
    told = ("done", filed.said) if filed.standing or not why else ("why", why)
    yield f"  {told[0]:<8} {_cut(told[1], WIDTH - 11)}"


def _cut(text: str, limit: int) -> str:
    """A sentence on one line, as far as there is room."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def flips(comparison: ModelComparison) -> str:
    """How many images changed sides."""
    images = counted(comparison.holdout_images, "holdout image")
    return f"{comparison.num_won:,} won and {comparison.num_lost:,} lost of {images}"


def cost(review: Review) -> str:
    """Time, passes, money, and what scratch would have cost."""
    passes = f"{counted(round(review.training.passes), 'pass', 'passes')} of images"
    parts = ["" if review.seconds is None else duration(review.seconds), passes, review.price]
    said = ", ".join(part for part in parts if part)
    scratch = scratch_passes(review)
    return said + (f"; from scratch about {scratch[0]:,.0f} passes, at the rate of v{scratch[1]}" if scratch else "")
