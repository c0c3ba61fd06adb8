"""Doubts: how likely each label is wrong, and which share of many is, told by models that did not learn these labels.
Pure numpy.

1. The doubt of a label is the probability that it is wrong, from out-of-sample probabilities: the self-confidence of
   confident learning (Northcutt et al., JAIR 70, 2021). Labels are ranked by it.
2. The doubt of a label in excess of what the model itself expects for such an image, and in excess of what old images
   of that label show, grows with the share of wrong labels. So hard images are not taken for wrong ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

PRIOR = 0.2
"""Share of wrong labels that a doubt assumes. At this prior doubts tell 10 % of wrong labels from none best, and other
priors between 0.05 and 0.5 hardly worse."""

LEAST_STEP = 0.05
"""Doubt, at least, that a wrong label is taken to add; where it is less, the model does not tell the labels apart."""

MIN_OF_GROUP = 10
"""New images, of all or of a group, from which something is said of them."""

MIN_OLD = 100
"""Old images from which something is sure of the new ones. The doubts of fewer may all be small by chance."""

SMOOTHED = 10
"""Old images of a label count as if so many with the mean of all labels were among them."""

SAME = 0.9
"""Share of the blank images that have one label, from which on they may have that label rightly."""


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


def doubts(evidence: Evidence, priors: np.ndarray | float = PRIOR, fooled: Sequence[int] = ()) -> np.ndarray:
    """float64 (images,): how much each label is doubted, 0 to 1.

    Where both models have a say it is that of their mean. What contradicts another image comes first: of
    near-duplicates under two labels one is wrong, a new one rather than an old one; blank images under several labels
    cannot have any of them.

    Args:
        evidence: of all images.
        priors: share of wrong labels that is assumed, float64 (images,) or one for all.
        fooled: rows of images whose like the model of `after` learned with a wrong label; it has no say there.
    """
    own = np.arange(len(evidence.labels)), evidence.labels
    has_opinion = known(evidence)[evidence.labels]
    beliefs = np.where(has_opinion, evidence.before[own], np.nan)[:, None]
    if evidence.after is not None:
        others = evidence.after[own].copy()
        others[np.asarray(fooled, int)] = np.nan
        beliefs = np.hstack([beliefs, others[:, None]])
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
    found[contradictory(evidence)] = 1
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
class Excess:
    """Doubts in excess of what is expected, of the images that a model can say something of."""

    values: np.ndarray
    """float64 (images,): in the mean 0 where labels are right and 1 where they are wrong; NaN where nothing is said."""
    weights: np.ndarray
    """float64 (labels,): over how many old images the mean of each label was taken."""
    variance: float
    skewness: float
    """Of old images."""
    num_old: int
    """How many these are."""
    seen: np.ndarray
    """float64 (images, labels): the model's probabilities."""


def excess_of(
    evidence: Evidence, probabilities: np.ndarray, is_known: np.ndarray, turned: Mapping[int, int] | None = None
) -> Excess:
    """Of one model.

    Args:
        evidence: of all images.
        probabilities: float64 (images, labels), of the model.
        is_known: bool (labels,): which ones it has an output for.
        turned: labels at fault, and the label that their wrong images seem to have.
    """
    labels, rows, num_labels = evidence.labels, np.arange(len(evidence.labels)), probabilities.shape[1]
    told = ~np.isnan(probabilities).any(axis=1) & is_known[labels] & ~contradictory(evidence)
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
    return Excess(values, weights, variance, skewness, len(spread), odds)


def share_of(evidence: Evidence, excess: Excess, rows: np.ndarray, confidence: float) -> WrongShare:
    """The share of wrong labels among some new images; see `wrong_share`."""
    blank = contradictory(evidence)[rows]
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
    is_enough = count >= MIN_OF_GROUP and excess.num_old >= MIN_OLD
    lower = mean - (deviation + max(skewed, 0.0)) * error if is_enough else 0.0
    ends = mean, lower, mean + deviation * error
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
        excess = excess_of(evidence, evidence.after, np.ones(evidence.after.shape[1], bool))
    else:
        excess = excess_of(evidence, evidence.before, known(evidence))
    return share_of(evidence, excess, rows, confidence)


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


def known(evidence: Evidence) -> np.ndarray:
    """bool (labels,): which ones the model of `before` has an output for."""
    return np.ones(evidence.before.shape[1], bool) if evidence.is_known is None else evidence.is_known


def _conflicts(evidence: Evidence) -> list[tuple[int, int]]:
    return [] if evidence.conflicts is None else [(int(one), int(other)) for one, other in evidence.conflicts]


def contradictory(evidence: Evidence) -> np.ndarray:
    """bool (images,): new blank images, if blank images have several labels, but for a label that nearly all have."""
    none = np.zeros(len(evidence.labels), bool)
    if evidence.is_blank is None or not evidence.is_blank.any():
        return none
    counts = np.bincount(evidence.labels[evidence.is_blank], minlength=evidence.before.shape[1])
    usual = int(counts.argmax())
    is_usual = evidence.labels == usual if counts[usual] >= SAME * counts.sum() else none
    found: np.ndarray = evidence.is_blank & evidence.is_new & ~is_usual
    return found
