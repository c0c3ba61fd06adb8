"""Trust: whether the labels of new images can be believed, told by models that did not learn these labels. Pure numpy.

The holdout of a batch is as wrong as the rest of it, so wrong labels praise the model that learned them. Labels of old
images were there when the champion was chosen, and judge in their place.

1. The doubt of a label is the probability that it is wrong, from out-of-sample probabilities: the self-confidence of
   confident learning (Northcutt et al., JAIR 70, 2021). Labels are ranked by it.
2. The doubt of a label in excess of what the model itself expects for such an image, and in excess of what old images
   of that label show, grows with the share of wrong labels. That share has an interval: see `wrong_share`.
3. A model that learned the batch, asked for images that it did not learn, tells images of another kind, whose labels it
   predicts, from labels that follow nothing. It cannot tell where one label was turned into another, or a mark was put
   on images: then the excess is confined to one label, as it is not where images are of another kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

PRIOR = 0.2
"""Share of wrong labels that a doubt assumes. At this prior doubts tell 10 % of wrong labels from none best, and other
priors between 0.05 and 0.5 hardly worse."""

LEAST_PRIOR = 0.02
"""Share of wrong labels that a doubt assumes at least, where another group is at fault."""

SURE = 0.98
"""That the new part has wrong labels at all, all together, before it is held back for that."""

SURE_OF_GROUP = 0.99
"""That some group has them, over all values of one kind of group: a part of it for each value (Bonferroni)."""

SURE_OF_OTHERS = 0.99
"""That a model which learned the batch predicts its labels better, before the images are taken to be of another kind."""

LEAST_STEP = 0.05
"""Doubt, at least, that a wrong label is taken to add; where it is less, the model does not tell the labels apart."""

MIN_OF_GROUP = 5
"""New images of a group from which something is said of it."""

SMOOTHED = 10
"""Old images of a label count as if so many with the mean of all labels were among them."""

SAME = 0.9
"""Share of the blank images that have one label, from which on they may have that label rightly."""

LABEL = "label"
"""The kind of group that images of one label are."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the labels of some images, old and new; of each the models have not learned its own label."""

    labels: np.ndarray
    """int64 (images,): those that were given."""
    is_new: np.ndarray
    """bool (images,): the labels in question; the others are trusted."""
    before: np.ndarray
    """float64 (images, labels): probabilities by a model that learned no new image: the champion, or a cross-fit."""
    after: np.ndarray | None = None
    """The same by a model that learned other new images: the challenger for val and holdout, or a cross-fit. NaN in the
    rows of images that it did learn."""
    is_known: np.ndarray | None = None
    """bool (labels,): which ones the model of `before` has an output for; None: all."""
    is_blank: np.ndarray | None = None
    """bool (images,): pictures with nothing in them; None: no such."""
    conflicts: np.ndarray | None = None
    """int64 (pairs, 2): images that are near-duplicates under two labels; None: no such."""
    groups: Mapping[str, Sequence[str]] | None = None
    """Kind of group (batch, annotator, ...) to the name of each image's group; an empty name is none."""
    names: Sequence[str] = ()
    """Of the labels."""


@dataclass(frozen=True)
class WrongShare:
    """Which share of some labels is wrong; each number is 0 to 1."""

    estimate: float
    lower: float
    """It is not less, one-sided, with the confidence that was asked for."""
    upper: float
    """Nor more, likewise."""


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


def doubts(evidence: Evidence, priors: np.ndarray | float = PRIOR) -> np.ndarray:
    """float64 (images,): how much each label is doubted, 0 to 1.

    Where both models have a say it is that of their mean. What contradicts another image comes first: of
    near-duplicates under two labels one is wrong, a new one rather than an old one; blank images under several labels
    cannot have any of them.

    Args:
        evidence: of all images.
        priors: share of wrong labels that is assumed, float64 (images,) or one for all.
    """
    own = np.arange(len(evidence.labels)), evidence.labels
    known = _is_known(evidence)[evidence.labels]
    beliefs = np.where(known, evidence.before[own], np.nan)[:, None]
    if evidence.after is not None:
        beliefs = np.hstack([beliefs, evidence.after[own][:, None]])
    has_any = ~np.isnan(beliefs).all(axis=1)
    mean = np.ones(len(own[0]))
    mean[has_any] = np.nanmean(beliefs[has_any], axis=1)
    # Of a label that no model knows there can be no opinion.
    found = np.where(has_any, _doubt(mean, evidence.before.shape[1], priors), 0.0)
    for one, other in _conflicts(evidence):
        new = evidence.is_new[[one, other]]
        if new.any():
            pair = sorted((one, other), key=lambda row: (not evidence.is_new[row], -found[row]))
            found[pair[0]] = (1 + found[pair[0]]) / 2
            if new.all():
                found[pair[1]] = max(found[pair[1]], 0.5)
    found[_contradictory(evidence)] = 1
    return found


def ranking(evidence: Evidence, found: np.ndarray) -> np.ndarray:
    """Rows of the new images, the least believed label first; of equal ones the earlier.

    Args:
        evidence: of all images.
        found: see `doubts`.
    """
    rows = np.flatnonzero(evidence.is_new)
    return rows[np.argsort(-found[rows], kind="stable")]


@dataclass(frozen=True, eq=False)
class _Excess:
    """Doubts in excess of what is expected, of the images that a model can say something of."""

    values: np.ndarray
    """float64 (images,): in the mean 0 where labels are right and 1 where they are wrong; NaN where nothing is said."""
    weights: np.ndarray
    """float64 (labels,): over how many old images the mean of each label was taken."""
    variance: float
    skewness: float
    """Of old images."""


def _excess(
    evidence: Evidence, probabilities: np.ndarray, is_known: np.ndarray, turned: Mapping[int, int] | None = None
) -> _Excess:
    """Of one model.

    Args:
        evidence: of all images.
        probabilities: float64 (images, labels), of the model.
        is_known: bool (labels,): which ones it has an output for.
        turned: labels at fault, and the label that their wrong images seem to have.
    """
    labels, rows, num_labels = evidence.labels, np.arange(len(evidence.labels)), probabilities.shape[1]
    told = ~np.isnan(probabilities).any(axis=1) & is_known[labels] & ~_contradictory(evidence)
    odds = np.where(is_known, np.nan_to_num(probabilities), 0.0)
    odds /= np.maximum(odds.sum(axis=1, keepdims=True), 1e-12)
    each = np.where(is_known, _doubt(odds, int(is_known.sum())), 0.0)
    each -= (odds * each).sum(axis=1, keepdims=True)
    old = told & ~evidence.is_new
    own = each[rows, labels]
    weights = np.bincount(labels[old], minlength=num_labels) + float(SMOOTHED)
    usual = np.bincount(labels[old], own[old], num_labels) + SMOOTHED * (own[old].mean() if old.any() else 0.0)
    usual /= weights
    steps = np.ones(num_labels)
    for label in range(num_labels):
        # What a wrong label looks like is told by old images that have another one.
        others = old & (labels != label)
        like = others & (labels == (turned or {}).get(label, -1))
        others = like if like.sum() >= MIN_OF_GROUP else others
        if others.any():
            steps[label] = max(float(each[others, label].mean() - usual[label]), LEAST_STEP)
    values = (own - usual[labels]) / steps[labels]
    spread = values[old]
    values[~told] = np.nan
    # Two images at the extremes are added, so that few images that happen to agree do not look sure.
    variance = float(((spread**2).sum() + 0.5) / (len(spread) + 2))
    skewness = float((spread**3).sum() / max(len(spread), 1) / variance**1.5)
    return _Excess(values, weights, variance, skewness)


def _share(evidence: Evidence, excess: _Excess, rows: np.ndarray, confidence: float) -> WrongShare:
    """The share of wrong labels among some new images; see `wrong_share`."""
    blank = _contradictory(evidence)[rows]
    sure, told = int(blank.sum()), rows[~blank & ~np.isnan(excess.values[rows])]
    count, total = len(told), sure + len(told)
    if not count:
        return WrongShare(float(sure > 0), float(sure > 0), 1.0)
    values = excess.values[told]
    mean = float(values.mean())
    own = float((((values - mean) ** 2).sum() + 0.5) / (count + 2))
    parts = np.bincount(evidence.labels[told], minlength=len(excess.weights)) / count
    of_old = excess.variance * float((parts**2 / excess.weights).sum())
    deviation = NormalDist().inv_cdf(confidence)
    error = (max(own, excess.variance) / count + of_old) ** 0.5
    # Doubts are skewed: a few labels are doubted very much by chance. The first term of Cornish and Fisher (1938).
    skewed = excess.skewness * (deviation**2 - 1) / (6 * count**0.5)
    ends = mean, mean - (deviation + max(skewed, 0.0)) * error, mean + deviation * error
    return WrongShare(*((sure + count * min(max(end, 0.0), 1.0)) / total for end in ends))


def wrong_share(evidence: Evidence, rows: np.ndarray, confidence: float, by_after: bool = False) -> WrongShare:
    """Which share of the labels of some new images is wrong.

    A wrong label is taken to be any of the others, as often as old images have these.

    Args:
        evidence: of all images; the old ones say how much right labels are doubted.
        rows: of new images.
        confidence: of each end of the interval, 0 to 1.
        by_after: whether a model that learned the batch is asked.
    """
    if by_after and evidence.after is not None:
        excess = _excess(evidence, evidence.after, np.ones(evidence.after.shape[1], bool))
    else:
        excess = _excess(evidence, evidence.before, _is_known(evidence))
    return _share(evidence, excess, rows, confidence)


def assess(evidence: Evidence, max_wrong: float) -> Trust:
    """What can be believed of the new labels.

    Args:
        evidence: of all images; some old ones at least.
        max_wrong: share of wrong labels, 0 to 1, that is bearable.
    """
    rows, found = np.flatnonzero(evidence.is_new), doubts(evidence)
    probabilities, is_known, is_other = evidence.before, _is_known(evidence), False
    excess = _excess(evidence, probabilities, is_known)
    faults = _faults(evidence, excess, rows, found, max_wrong)
    if evidence.after is not None and _is_learnable(evidence, rows) and not _is_confined(evidence, excess, rows, faults):
        probabilities, is_known, is_other = evidence.after, np.ones(len(is_known), bool), True
        excess = _excess(evidence, probabilities, is_known)
        faults = _faults(evidence, excess, rows, found, max_wrong)
    is_trusted = _share(evidence, excess, rows, SURE).lower <= max_wrong and not faults
    if turned := _turned(evidence, faults):
        excess = _excess(evidence, probabilities, is_known, turned)
    share = _share(evidence, excess, rows, 0.975)
    found = doubts(evidence, _priors(evidence, excess, rows, faults))
    reasons = _reasons(evidence, share, faults, is_trusted, is_other, len(rows), max_wrong)
    return Trust(
        is_trusted=is_trusted,
        is_doubtful=is_trusted and share.estimate > max_wrong,
        share=share,
        is_other=is_other,
        faults=faults,
        ranking=ranking(evidence, found),
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


def _is_learnable(evidence: Evidence, rows: np.ndarray) -> bool:
    """Whether a model that learned the batch surely agrees more often with the labels of its other images."""
    if evidence.after is None:
        return False
    told = ~np.isnan(evidence.after).any(axis=1) & ~_contradictory(evidence) & _is_known(evidence)[evidence.labels]
    agreed = [given.argmax(axis=1) == evidence.labels for given in (evidence.before, np.nan_to_num(evidence.after))]
    gains = agreed[1].astype(float) - agreed[0]
    new, old = gains[rows[told[rows]]], gains[told & ~evidence.is_new]
    if min(len(new), len(old)) < MIN_OF_GROUP:
        return False
    # Half an image is added to either side, as in `paired.lower_bound`.
    error = sum((float((some**2).sum()) + 1) / (len(some) + 2) ** 2 for some in (new, old)) ** 0.5
    return bool(new.mean() - old.mean() > NormalDist().inv_cdf(SURE_OF_OTHERS) * error)


def _is_confined(evidence: Evidence, before: _Excess, rows: np.ndarray, faults: Sequence[Fault]) -> bool:
    """Whether the labels at fault are all that is doubted: images of another kind would have others doubted too."""
    named = {fault.name for fault in faults if fault.kind == LABEL}
    if not named:
        return False
    rest = rows[[_name(evidence, label) not in named for label in evidence.labels[rows]]]
    return len(rest) >= MIN_OF_GROUP and _share(evidence, before, rest, 0.95).lower <= 0


def _faults(
    evidence: Evidence, excess: _Excess, rows: np.ndarray, found: np.ndarray, max_wrong: float
) -> tuple[Fault, ...]:
    """The groups that surely have more wrong labels than is bearable, and surely more than the rest; the worst first."""
    groups = {LABEL: [_name(evidence, label) for label in evidence.labels], **(evidence.groups or {})}
    faults, rows = [], rows[~_contradictory(evidence)[rows]]
    for kind, of_images in groups.items():
        names = np.asarray(of_images)[rows]
        asked = [name for name in sorted(set(names.tolist()) - {""}) if (names == name).sum() >= MIN_OF_GROUP]
        confidence = 1 - (1 - SURE_OF_GROUP) / max(len(asked), 1)
        for name in asked:
            own, rest = rows[names == name], rows[names != name]
            share = _share(evidence, excess, own, confidence)
            others = _share(evidence, excess, rest, 0.5).estimate if len(rest) else 0.0
            if share.lower > max(max_wrong, others):
                likely = _likely(evidence, own, found) if kind == LABEL else ""
                faults.append(Fault(kind, name, _share(evidence, excess, own, 0.975), len(own), likely))
    return tuple(sorted(faults, key=lambda fault: -fault.share.estimate))


def _likely(evidence: Evidence, rows: np.ndarray, found: np.ndarray) -> str:
    """The label that those images most often seem to have which are more likely wrong than right."""
    doubted = rows[found[rows] > 0.5]
    if not len(doubted):
        return ""
    others = evidence.before[doubted].copy()
    others[np.arange(len(doubted)), evidence.labels[doubted]] = -1
    seen = np.bincount(others.argmax(axis=1), minlength=others.shape[1])
    return _name(evidence, int(seen.argmax())) if 2 * seen.max() > len(doubted) else ""


def _turned(evidence: Evidence, faults: Sequence[Fault]) -> dict[int, int]:
    """The labels at fault with the labels that their wrong images seem to have."""
    numbers = {_name(evidence, label): label for label in range(evidence.before.shape[1])}
    return {numbers[fault.name]: numbers[fault.likely] for fault in faults if fault.kind == LABEL and fault.likely}


def _priors(evidence: Evidence, excess: _Excess, rows: np.ndarray, faults: Sequence[Fault]) -> np.ndarray:
    """float64 (images,): the share of wrong labels where an image belongs; other than PRIOR where a group is at fault."""
    priors = np.full(len(evidence.labels), PRIOR)
    if not faults:
        return priors
    groups = {LABEL: [_name(evidence, label) for label in evidence.labels], **(evidence.groups or {})}
    members = [(fault, np.asarray(groups[fault.kind]) == fault.name) for fault in faults]
    rest = rows[~np.any([of_fault[rows] for _, of_fault in members], axis=0)]
    usual = _share(evidence, excess, rest, 0.5).estimate if len(rest) else PRIOR
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
    if blank := int(_contradictory(evidence).sum()):
        reasons.append(f"{blank} new images are blank and have several labels")
    if is_other:
        reasons.append("the new images are of another kind than the old ones; their labels can be learned")
    return tuple(reasons)


def _doubt(probability: np.ndarray, num_labels: int, prior: np.ndarray | float = PRIOR) -> np.ndarray:
    """Probability that a label is wrong, by Bayes' rule: a share of all are, and a wrong one is any of the others.

    Args:
        probability: of the label, by a model.
        num_labels: that there are.
        prior: the share.
    """
    wrong = prior * (1 - probability) / max(num_labels - 1, 1)
    found: np.ndarray = wrong / np.maximum((1 - prior) * probability + wrong, 1e-12)
    return found


def _is_known(evidence: Evidence) -> np.ndarray:
    return np.ones(evidence.before.shape[1], bool) if evidence.is_known is None else evidence.is_known


def _conflicts(evidence: Evidence) -> list[tuple[int, int]]:
    return [] if evidence.conflicts is None else [(int(one), int(other)) for one, other in evidence.conflicts]


def _contradictory(evidence: Evidence) -> np.ndarray:
    """bool (images,): new blank images, if blank images have several labels, but for a label that nearly all have."""
    none = np.zeros(len(evidence.labels), bool)
    if evidence.is_blank is None or not evidence.is_blank.any():
        return none
    counts = np.bincount(evidence.labels[evidence.is_blank], minlength=evidence.before.shape[1])
    usual = int(counts.argmax())
    is_usual = evidence.labels == usual if counts[usual] >= SAME * counts.sum() else none
    return evidence.is_blank & evidence.is_new & ~is_usual


def _name(evidence: Evidence, label: int) -> str:
    return evidence.names[label] if evidence.names else str(label)
