"""Trust: whether the labels of new images can be believed, and which batch, label or annotator is at fault. Pure numpy.

The holdout of a batch is as wrong as the rest of it, so wrong labels praise the model that learned them. Labels of old
images were there when the champion was chosen, and judge in their place.

A model that learned the batch, asked for images that it did not learn, tells images of another kind, whose labels it
predicts, from labels that follow nothing. It cannot tell where one label was turned into another, or a mark was put on
images: then the excess of doubts is confined to one label, as it is not where images are of another kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from pipeline.base.words import are
from pipeline.judging import doubts
from pipeline.judging.doubts import MIN_OF_GROUP, PRIOR, Evidence, Excess, WrongShare
from pipeline.judging.gate import Verdict

LEAST_PRIOR = 0.02
"""Share of wrong labels that a doubt assumes at least, where another group is at fault."""

SURE = 0.95
"""That the new part has wrong labels at all, all together, before it is held back for that."""

SURE_OF_GROUP = 0.97
"""That some group has them, over all values of one kind of group: a part of it for each value (Bonferroni)."""

SURE_OF_OTHERS = 0.95
"""That a model which learned the batch predicts its labels better: then the images are of another kind."""

LABEL = "label"
"""The kind of group that images of one label are."""


@dataclass(frozen=True)
class Fault:
    """A group of new images with wrong labels."""

    kind: str
    name: str
    share: WrongShare
    count: int
    """New images of the group."""
    likely: str = ""
    """For a label: the one that the doubted images most often seem to have."""


@dataclass(frozen=True, eq=False)
class Trust:
    """What can be believed of the new labels."""

    is_trusted: bool
    """Else nothing may be promoted that learned them."""
    is_doubtful: bool
    """Whether only old images may judge: wrong labels are likely, and yet not sure."""
    share: WrongShare
    """Two-sided with 95 % confidence."""
    is_other: bool
    """Whether the new images are of another kind, with labels that can be learned."""
    faults: tuple[Fault, ...]
    ranking: np.ndarray
    """int64 (new images,): their rows, the least believed label first."""
    doubts: np.ndarray
    """float64 (images,): 0 to 1."""
    reasons: tuple[str, ...]


def assess(evidence: Evidence, max_wrong: float) -> Trust:
    """What can be believed of the new labels.

    Args:
        evidence: of all images; some old ones at least.
        max_wrong: share of wrong labels, 0 to 1, that is bearable.
    """
    rows = np.flatnonzero(evidence.is_new)
    probabilities, is_known, is_other = evidence.before, doubts.known(evidence), False
    excess = doubts.excess_of(evidence, probabilities, is_known)
    faults = _faults(evidence, excess, rows, max_wrong)
    if (
        evidence.after is not None
        and _is_learnable(evidence, rows)
        and not _is_confined(evidence, excess, rows, faults)
    ):
        probabilities, is_known, is_other = evidence.after, np.ones(len(is_known), bool), True
        excess = doubts.excess_of(evidence, probabilities, is_known)
        faults = _faults(evidence, excess, rows, max_wrong)
    is_trusted = doubts.share_of(evidence, excess, rows, SURE).lower <= max_wrong and not faults
    if turned := _turned(evidence, faults):
        excess = doubts.excess_of(evidence, probabilities, is_known, turned)
    share = doubts.share_of(evidence, excess, rows, 0.975)
    at_fault = [fault.name for fault in faults if fault.kind == LABEL and not is_other]
    fooled = [int(row) for row in rows if _name(evidence, evidence.labels[row]) in at_fault]
    found = doubts.doubts(evidence, _priors(evidence, excess, rows, faults), fooled)
    reasons = _reasons(evidence, share, faults, is_trusted, is_other, len(rows), max_wrong)
    return Trust(
        is_trusted=is_trusted,
        is_doubtful=is_trusted and share.estimate > max_wrong,
        share=share,
        is_other=is_other,
        faults=faults,
        ranking=doubts.ranking(evidence, found),
        doubts=found,
        reasons=reasons,
    )


def judges(trust: Trust, is_new: np.ndarray) -> np.ndarray:
    """bool (images,): which holdout images may judge a challenger, all of them or the old ones.

    Args:
        trust: in the new labels.
        is_new: bool (images,), of the holdout.
    """
    return np.ones(len(is_new), bool) if trust.is_trusted and not trust.is_doubtful else ~is_new


def held_back(verdict: Verdict, trust: Trust) -> Verdict:
    """The verdict on a challenger that learned the new labels: no promotion where these are not trusted.

    Args:
        verdict: of the gate, on the images that may judge; see `judges`.
        trust: in the new labels.
    """
    if trust.is_trusted or verdict.decision != "promote":
        return verdict
    return replace(verdict, decision="not enough evidence", reasons=(*verdict.reasons, *trust.reasons))


def _is_learnable(evidence: Evidence, rows: np.ndarray) -> bool:
    """Whether a model that learned the batch surely agrees more often with the labels of its other images."""
    if evidence.after is None:
        return False
    told = ~np.isnan(evidence.after).any(axis=1) & ~doubts.contradictory(evidence)
    told &= doubts.known(evidence)[evidence.labels]
    agreed = [given.argmax(axis=1) == evidence.labels for given in (evidence.before, np.nan_to_num(evidence.after))]
    gains = agreed[1].astype(float) - agreed[0]
    new, old = gains[rows[told[rows]]], gains[told & ~evidence.is_new]
    if min(len(new), len(old)) < MIN_OF_GROUP:
        return False
    # Half an image is added to either side, as in `paired.lower_bound`.
    error = sum((float((some**2).sum()) + 1) / (len(some) + 2) ** 2 for some in (new, old)) ** 0.5
    return bool(new.mean() - old.mean() > NormalDist().inv_cdf(SURE_OF_OTHERS) * error)


def _is_confined(evidence: Evidence, before: Excess, rows: np.ndarray, faults: Sequence[Fault]) -> bool:
    """Whether the labels at fault are all that is doubted: images of another kind would have others doubted too."""
    named = {fault.name for fault in faults if fault.kind == LABEL}
    if not named:
        return False
    rest = rows[[_name(evidence, label) not in named for label in evidence.labels[rows]]]
    return len(rest) >= MIN_OF_GROUP and doubts.share_of(evidence, before, rest, 0.95).lower <= 0


def _faults(evidence: Evidence, excess: Excess, rows: np.ndarray, max_wrong: float) -> tuple[Fault, ...]:
    """The groups that surely have more wrong labels than is bearable, and than the rest; the worst first."""
    groups = {LABEL: [_name(evidence, label) for label in evidence.labels], **(evidence.groups or {})}
    faults, rows = [], rows[~doubts.contradictory(evidence)[rows]]
    for kind, of_images in groups.items():
        names = np.asarray(of_images)[rows]
        asked = [name for name in sorted(set(names.tolist()) - {""}) if (names == name).sum() >= MIN_OF_GROUP]
        confidence = 1 - (1 - SURE_OF_GROUP) / max(len(asked), 1)
        for name in asked:
            own, rest = rows[names == name], rows[names != name]
            share = doubts.share_of(evidence, excess, own, confidence)
            others = doubts.share_of(evidence, excess, rest, 0.5).estimate if len(rest) else 0.0
            if share.lower > max(max_wrong, others):
                likely = _likely(evidence, excess, own) if kind == LABEL else ""
                faults.append(Fault(kind, name, doubts.share_of(evidence, excess, own, 0.975), len(own), likely))
    return tuple(sorted(faults, key=lambda fault: -fault.share.estimate))


def _likely(evidence: Evidence, excess: Excess, rows: np.ndarray) -> str:
    """The label that those images seem to have which are more likely wrong than right, if most of them have one."""
    doubted = rows[np.nan_to_num(excess.values[rows]) > 0.5]
    if not len(doubted):
        return ""
    others = excess.seen[doubted].copy()
    others[np.arange(len(doubted)), evidence.labels[doubted]] = -1
    seen = np.bincount(others.argmax(axis=1), minlength=others.shape[1])
    return _name(evidence, int(seen.argmax())) if 2 * seen.max() > len(doubted) else ""


def _turned(evidence: Evidence, faults: Sequence[Fault]) -> dict[int, int]:
    """The labels at fault with the labels that their wrong images seem to have."""
    numbers = {_name(evidence, label): label for label in range(evidence.before.shape[1])}
    return {numbers[fault.name]: numbers[fault.likely] for fault in faults if fault.kind == LABEL and fault.likely}


def _priors(evidence: Evidence, excess: Excess, rows: np.ndarray, faults: Sequence[Fault]) -> np.ndarray:
    """float64 (images,): the share of wrong labels that doubts assume; not PRIOR where a group is at fault."""
    priors = np.full(len(evidence.labels), PRIOR)
    if not faults:
        return priors
    groups = {LABEL: [_name(evidence, label) for label in evidence.labels], **(evidence.groups or {})}
    members = [(fault, np.asarray(groups[fault.kind]) == fault.name) for fault in faults]
    rest = rows[~np.any([of_fault[rows] for _, of_fault in members], axis=0)]
    usual = doubts.share_of(evidence, excess, rest, 0.5).estimate if len(rest) else PRIOR
    priors[rows] = min(max(usual, LEAST_PRIOR), PRIOR)
    for fault, of_fault in reversed(members):
        priors[of_fault & evidence.is_new] = min(max(fault.share.estimate, PRIOR), 1 - PRIOR)
    return priors


def _reasons(
    evidence: Evidence,
    share: WrongShare,
    faults: Sequence[Fault],
    is_trusted: bool,
    is_other: bool,
    count: int,
    max_wrong: float,
) -> tuple[str, ...]:
    """In words."""
    reasons = []
    if not is_trusted:
        reasons.append(
            f"of the {count} new labels about {share.estimate:.0%} seem wrong (95 %: {share.lower:.0%} to "
            f"{share.upper:.0%}), {max_wrong:.0%} at most are bearable"
        )
    reasons += [
        f"{fault.kind} {fault.name}: about {fault.share.estimate:.0%} of {fault.count} new labels seem wrong"
        + (f", most of them {fault.likely}" if fault.likely else "")
        for fault in faults
    ]
    if blank := int(doubts.contradictory(evidence).sum()):
        reasons.append(f"{are(blank, 'new image')} blank and {'has' if blank == 1 else 'have'} several labels")
    if is_other and is_trusted:
        reasons.append("the new images are of another kind than the old ones; their labels can be learned")
    return tuple(reasons)


def _name(evidence: Evidence, label: int) -> str:
    return evidence.names[label] if evidence.names else str(label)
