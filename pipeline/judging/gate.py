"""The gate: does the challenger deserve the champion's place? Decided on the same images, paired. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.artifacts.evaluation import Decision
from pipeline.judging import lifetime
from pipeline.judging.paired import Compared, Hits, lower_bound
from pipeline.judging.settings import Bound, Evaluate


@dataclass(frozen=True)
class Held:
    """How a challenger does against the anchor, the best version so far (`judging.lifetime`).

    The anchor has the champion's place in the counts.
    """

    anchor: int
    """Its number."""
    everything: Compared
    """On all holdout images."""
    familiar: Compared
    """On those with labels that the anchor knows."""
    fresh: Compared
    """Of these, on those that came since the anchor was chosen."""
    cycle: int
    """How many challengers were ever judged, this one included."""

    def promise(self, bound: Bound) -> float | None:
        """By how much a champion may be below the best; None if nothing is promised, or no image can tell."""
        if bound.risk is None or not self.familiar.total:
            return None
        all_of_them = self.familiar.effective
        fresh = all_of_them * self.fresh.total / self.familiar.total
        return float(lifetime.promised(all_of_them - fresh, fresh, self.cycle, bound.margin, bound.risk))

    def kept(self, bound: Bound, promise: float) -> str:
        """Says what is sure of a challenger that keeps the promise."""
        surely = lifetime.lower(self.familiar, self.cycle, bound.risk or 1)
        below = f"at most {-100 * surely:.1f} points below" if surely < 0 else "not below"
        return (
            f"it is surely {below} v{self.anchor}, the best so far; {100 * promise:.1f} points are promised for all "
            "cycles (evaluate.risk)"
        )

    @property
    def is_best(self) -> bool:
        """Whether the challenger, once it is champion, takes the anchor's place."""
        loses = bool(self.familiar.total) and self.familiar.difference < 0
        return bool(lifetime.is_new_anchor(self.everything)) and not loses


@dataclass(frozen=True)
class Verdict:
    """The decision, always with reasons."""

    decision: Decision
    reasons: tuple[str, ...]
    difference: float | None
    """Challenger minus champion, in what `evaluate.metric` says; None without a champion."""
    lower: float | None
    """One-sided confidence bound of the difference."""
    promise: float | None = None
    """By how much a champion may be below the best that there was; None if nothing is promised."""
    is_best: bool = False
    """Whether the challenger, once it is champion, is the best that there was."""
    more: int | None = None
    """About how many more holdout images would settle it, where there is not enough evidence."""


def more_needed(counts: Compared, evaluate: Evaluate) -> int:
    """About how many more holdout images would settle it, if the rates stayed as they are."""

    def settles(factor: float) -> bool:
        return lower_bound(counts.grown(factor), evaluate.confidence) >= -evaluate.margin

    low, high = 1.0, 2.0
    while not settles(high) and high < 2**20:
        low, high = high, high * 2
    while (high - low) * counts.total > 0.5:
        middle = (low + high) / 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return max(1, math.ceil((high - 1) * counts.total))


def is_better(counts: Compared) -> bool:
    """Whether the challenger got more images right than it lost."""
    return counts.difference > 0


def is_within(counts: Compared, bound: Bound) -> bool:
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
    counts: Compared,
    evaluate: Evaluate,
    new: Hits | None = None,
    familiar: Compared | None = None,
    outdated: Sequence[str] = (),
    held: Held | None = None,
) -> Verdict:
    """Judge a challenger against a champion.

    Promote if it gained (more images right than lost), is, with the stated confidence, not worse by more than the
    margin, and keeps the promise of `judging.lifetime`. Reject if it gained nothing, or if it surely fails on the new
    images: it has just been trained on their like, so their labels are then more likely wrong than the model.
    Otherwise there is not enough evidence.

    Args:
        counts: on the whole holdout.
        evaluate: section `evaluate` of params.yaml.
        new: the challenger on those holdout images that the champion's cycle did not have under their label.
        familiar: on the images of labels that the champion knows, if there are others: a new label is all gain, and
            must not hide a loss.
        outdated: labels of the champion that were renamed or removed by request: then it is enough not to be worse.
        held: how it does against the anchor.
    """
    known = familiar if familiar and familiar.total else counts
    where = "" if known is counts else f"of the {known.total} holdout images with labels that the champion knows, "
    reasons = [_facts(counts, evaluate)]
    if known is not counts:
        reasons.append(_facts(known, evaluate, "with labels that the champion knows "))
    promise = held.promise(evaluate) if held else None

    def verdict(decision: Decision, why: str, more: int | None = None) -> Verdict:
        lower = lower_bound(counts, evaluate.confidence)
        is_best = held is not None and held.is_best
        return Verdict(decision, (*reasons, why), counts.difference, lower, promise, is_best, more)

    if new and chance(new, evaluate.min_accuracy) < 1 - evaluate.confidence:
        return verdict(
            "reject",
            f"it gets {new.right} of the {new.total} new holdout images right, surely below the "
            f"{evaluate.min_accuracy:.0%} of evaluate.min_accuracy: look at the labels of the new images",
        )
    if _flips_too_often(counts, evaluate):
        return verdict(
            "reject",
            f"it gets {counts.champion_only} of {counts.total} holdout images wrong that the champion gets right, "
            f"surely more than the {evaluate.max_flips:.0%} of evaluate.max_flips",
        )
    margin = f"the margin of {100 * evaluate.margin:g} points"
    if known is not counts and known.difference < -evaluate.margin:
        return verdict("reject", f"{where}it loses more than {margin}: a new label must not hide that")
    is_matched = bool(outdated) and (counts.difference >= 0 or is_within(counts, evaluate))
    if not is_matched and not is_better(counts):
        return verdict("reject", "it is not better than the champion")
    if held and (broken := _broken(held, evaluate)):
        return verdict(*broken)
    if is_matched:
        return verdict(
            "promote", f"it is not worse, and the champion still has labels that are to go: {', '.join(outdated)}"
        )
    if not is_within(known, evaluate):
        more = more_needed(known, evaluate)
        return verdict(
            "not enough evidence",
            f"{where}it may be worse by more than {margin}; about {more} more holdout images would settle it",
            more,
        )
    if held and promise and held.anchor:
        reasons.append(held.kept(evaluate, promise))
    return verdict("promote", "it is better, and not worse by more than the margin")


def _flips_too_often(counts: Compared, evaluate: Evaluate) -> bool:
    kept = Hits(counts.total - counts.champion_only, counts.total)
    return evaluate.max_flips is not None and chance(kept, 1 - evaluate.max_flips) < 1 - evaluate.confidence


def _facts(counts: Compared, evaluate: Evaluate, which: str = "") -> str:
    lower = lower_bound(counts, evaluate.confidence)
    return (
        f"of {counts.total} holdout images {which}the challenger gets {counts.challenger_only} right that the "
        f"champion gets wrong, and {counts.champion_only} the other way round: "
        f"{evaluate.metric_name} {100 * counts.difference:+.2f} points, at least {100 * lower:+.2f} at "
        f"{100 * evaluate.confidence:g}% confidence"
    )


def _broken(held: Held, evaluate: Evaluate) -> tuple[Decision, str] | None:
    """How a challenger breaks the promise; None if it keeps it."""
    promise = held.promise(evaluate)
    if promise is None or evaluate.risk is None:
        return None
    best, fresh, every = f"v{held.anchor}, the best so far", held.fresh, held.familiar
    if lifetime.is_worse_on_fresh(fresh):
        return "reject", (
            f"of the {fresh.total} holdout images that came since {best}, was chosen, it gets {fresh.challenger_only} "
            f"right that v{held.anchor} gets wrong, and {fresh.champion_only} the other way round: it is surely worse"
        )
    if lifetime.is_kept(every, promise, held.cycle, evaluate.risk):
        return None
    is_worse = every.difference < -promise
    return "reject" if is_worse else "not enough evidence", (
        f"against {best}, it gets {every.challenger_only} of {every.total} right that v{held.anchor} gets wrong, and "
        f"{every.champion_only} the other way round: {100 * every.difference:+.2f} points; it "
        f"{'is' if is_worse else 'may be'} worse by more than the {100 * promise:.1f} points that are promised for all "
        "cycles (evaluate.risk)"
    )


def unchanged(champion: int) -> Verdict:
    """There is nothing to judge: the challenger is the champion."""
    return Verdict("unchanged", (f"the settings that changed give v{champion} itself, the champion",), 0.0, None)


def decide_first(score: float, num_labels: int, evaluate: Evaluate) -> Verdict:
    """Judge a challenger where there is no champion: it must be good enough by itself.

    Args:
        score: of the challenger on the holdout, in what `evaluate.metric` says.
        num_labels: how many labels there are.
        evaluate: section `evaluate` of params.yaml.
    """
    guessing = 1 / num_labels
    needed = max(evaluate.min_accuracy, guessing)
    why = "evaluate.min_accuracy" if evaluate.min_accuracy >= guessing else f"guessing among {num_labels} labels"
    facts = f"no champion yet; holdout {evaluate.metric_name} {score:.1%}, at least {needed:.1%} is needed ({why})"
    return Verdict("promote" if score >= needed else "reject", (facts,), None, None, is_best=True)
