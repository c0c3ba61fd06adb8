"""The gate: does the challenger deserve the champion's place? Decided on the same images, paired. Pure."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from pipeline.artifacts.evaluation import Decision
from pipeline.judging.paired import Counts, lower_bound
from pipeline.judging.settings import Bound, Evaluate


@dataclass(frozen=True)
class Hits:
    """How many of some images a model got right."""

    right: int
    total: int


@dataclass(frozen=True)
class Verdict:
    """The decision, always with reasons."""

    decision: Decision
    reasons: tuple[str, ...]
    difference: float | None
    """Accuracy of challenger minus champion; None without a champion."""
    lower: float | None
    """One-sided confidence bound of the difference."""


def more_needed(counts: Counts, evaluate: Evaluate) -> int:
    """About how many more holdout images would settle it, if the rates stayed as they are."""

    def settles(factor: float) -> bool:
        grown = Counts(*(count * factor for count in astuple(counts)))  # fractions of images: rates matter here
        return lower_bound(grown, evaluate.confidence) >= -evaluate.margin

    low, high = 1.0, 2.0
    while not settles(high) and high < 2**20:
        low, high = high, high * 2
    while (high - low) * counts.total > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return max(1, math.ceil((high - 1) * counts.total))


def is_better(counts: Counts) -> bool:
    """Whether the challenger got more images right than it lost."""
    return counts.challenger_only > counts.champion_only


def is_within(counts: Counts, bound: Bound) -> bool:
    """Whether the challenger is not worse by more than the margin, with the stated confidence."""
    return lower_bound(counts, bound.confidence) >= -bound.margin


def chance(hits: Hits, rate: float) -> float:
    """Probability of no more hits than these if each image is one with this rate: the exact binomial tail."""
    if rate >= 1:
        return float(hits.right >= hits.total)
    log_odds = [
        math.lgamma(hits.total + 1)
        - math.lgamma(right + 1)
        - math.lgamma(hits.total - right + 1)
        + (right * math.log(rate) if right else 0)
        + (hits.total - right) * math.log1p(-rate)
        for right in range(hits.right + 1)
        if rate > 0 or right == 0
    ]
    return min(1.0, math.fsum(map(math.exp, log_odds)))


def decide(
    counts: Counts,
    evaluate: Evaluate,
    new: Hits | None = None,
    familiar: Counts | None = None,
    outdated: Sequence[str] = (),
) -> Verdict:
    """Judge a challenger against a champion.

    Promote if it gained (more images right than lost) and is, with the stated confidence, not worse
    by more than the margin. Reject if it gained nothing, or if it surely fails on the new images: it
    has just been trained on their like, so their labels are then more likely wrong than the model.
    Otherwise there is not enough evidence.

    Args:
        counts: on the whole holdout.
        evaluate: section `evaluate` of params.yaml.
        new: the challenger on those holdout images that the champion's cycle did not have under their label.
        familiar: on the images of labels that the champion knows, if there are others: a new label is all gain, and
            must not hide a loss.
        outdated: labels of the champion that were renamed or removed by request: then it is enough not to be worse.
    """
    gained, lost, total = counts.challenger_only, counts.champion_only, counts.total
    difference, lower = (gained - lost) / total, lower_bound(counts, evaluate.confidence)
    facts = (
        f"of {total} holdout images the challenger gets {gained} right that the champion gets wrong, and {lost} "
        f"the other way round: accuracy {100 * difference:+.2f} points, at least {100 * lower:+.2f} at "
        f"{evaluate.confidence:.0%} confidence"
    )
    if new and chance(new, evaluate.min_accuracy) < 1 - evaluate.confidence:
        doubt = (
            f"it gets {new.right} of the {new.total} new holdout images right, surely below the "
            f"{evaluate.min_accuracy:.0%} of evaluate.min_accuracy: look at the labels of the new images"
        )
        return Verdict("reject", (facts, doubt), difference, lower)
    if familiar and familiar.champion_only - familiar.challenger_only > evaluate.margin * familiar.total:
        loss = (
            f"of the {familiar.total} with labels that the champion knows it gets {familiar.challenger_only} right "
            f"that the champion gets wrong, and {familiar.champion_only} the other way round: worse by more than the "
            f"margin of {100 * evaluate.margin:g} points"
        )
        return Verdict("reject", (facts, loss), difference, lower)
    if outdated and (gained >= lost or lower >= -evaluate.margin):
        asked = f"it is not worse, and the champion still has labels that are to go: {', '.join(outdated)}"
        return Verdict("promote", (facts, asked), difference, lower)
    if gained <= lost:
        return Verdict("reject", (facts, "it is not better than the champion"), difference, lower)
    if lower < -evaluate.margin:
        wanted = (
            f"it may be worse by more than the margin of {100 * evaluate.margin:g} points; about "
            f"{more_needed(counts, evaluate)} more holdout images would settle it"
        )
        return Verdict("not enough evidence", (facts, wanted), difference, lower)
    return Verdict("promote", (facts, "it is better, and not worse by more than the margin"), difference, lower)


def unchanged(champion: int) -> Verdict:
    """There is nothing to judge: the challenger is the champion."""
    return Verdict("unchanged", (f"the settings that changed give v{champion} itself, the champion",), 0.0, None)


def decide_first(accuracy: float, num_labels: int, evaluate: Evaluate) -> Verdict:
    """Judge a challenger where there is no champion: it must be good enough by itself."""
    guessing = 1 / num_labels
    needed = max(evaluate.min_accuracy, guessing)
    why = "evaluate.min_accuracy" if evaluate.min_accuracy >= guessing else f"guessing among {num_labels} labels"
    facts = f"no champion yet; holdout accuracy {accuracy:.4f}, at least {needed:.4f} is needed ({why})"
    return Verdict("promote" if accuracy >= needed else "reject", (facts,), None, None)
