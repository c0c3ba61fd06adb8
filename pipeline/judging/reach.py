"""What so many holdout images can tell, and what would help a challenger that was not promoted, in words. Pure."""

import math

from pipeline.artifacts.model import Description
from pipeline.artifacts.training import IDLE, Training
from pipeline.base.auto import BACKBONE_SIZE, SMALL
from pipeline.judging import lifetime
from pipeline.judging.lifetime import DIFFERING
from pipeline.judging.paired import Counts, lower_bound
from pipeline.judging.settings import Bound

BACKBONE = "EfficientNetLite0"
"""The network for photographs that begins with weights which `python -m pipeline weights` gets."""

AT_MOST = 2**30
"""Images; who would need more has no use for the number."""


def least_gain(total: int, bound: Bound) -> int | None:
    """By how many of the holdout images a challenger has to be better to be promoted, if they are DIFFERING.

    Args:
        total: holdout images.
        bound: part of section `evaluate` of params.yaml.

    Returns:
        One if any gain is enough; None if no gain is.
    """
    gains = (gain for gain in range(1, total + 1) if _is_enough(total, max(DIFFERING * total, gain), gain, bound))
    return next(gains, None)


def enough(bound: Bound) -> int | None:
    """About from how many holdout images on any gain is enough; None if that is never so."""
    total = 2**4
    while not _is_enough(total, DIFFERING * total, 1, bound):
        total *= 2
        if total > AT_MOST:
            return None
    low = total // 2
    while total - low > 1:
        middle = (low + total) // 2
        low, total = (low, middle) if _is_enough(middle, DIFFERING * middle, 1, bound) else (middle, total)
    return total


def _is_enough(total: int, differing: float, gain: int, bound: Bound) -> bool:
    gained, lost = (differing + gain) / 2, (differing - gain) / 2
    counts = Counts(0, lost, gained, total - differing)  # type: ignore[arg-type]  # rates matter, not whole images
    return lower_bound(counts, bound.confidence) >= -bound.margin


def said_before(total: int, counting: float, bound: Bound, holdout_fraction: float, max_holdout: int) -> str | None:
    """What so many holdout images can tell, said before anything is trained; None if any gain will do.

    Args:
        total: holdout images.
        counting: as many as count for the metric, see `paired.Balanced.effective`.
        bound: part of section `evaluate` of params.yaml.
        holdout_fraction, max_holdout: of section `prepare`.
    """
    told = max(1, round(counting))
    gain = least_gain(told, bound)
    if gain == 1:
        return None
    needs = "no gain is enough" if gain is None else f"a challenger needs about +{100 * gain / told:.1f} points"
    sentence = (
        f"with {total} holdout images {needs} to be promoted, if it and the champion differ on {DIFFERING:.0%} of them "
        "(evaluate.margin, evaluate.confidence)"
    )
    needed = enough(bound)
    if needed is None:
        return sentence
    needed = math.ceil(needed * total / counting)
    raised = f", with prepare.max_holdout raised to {needed}" if needed > max_holdout else ""
    return (
        f"{sentence}; from about {needed} on any gain is enough: about {math.ceil(needed / holdout_fraction)} images "
        f"in all (prepare.holdout_fraction: {holdout_fraction:g}){raised}"
    )


def promised_before(total: int, chosen: float, fresh: float, judged: int, bound: Bound) -> str | None:
    """What is promised over all cycles, where that is less than the margin; None where it is the margin.

    Args:
        total: holdout images.
        chosen, fresh: those of them that count, see `lifetime.promised`.
        judged: challengers that were ever judged, this one included.
        bound: part of section `evaluate` of params.yaml.
    """
    if bound.risk is None or not judged:
        return None
    promise = float(lifetime.promised(chosen, fresh, judged, bound.margin, bound.risk))
    if promise <= bound.margin:
        return None
    counting = chosen + fresh
    renewed = float(lifetime.promised(counting, 0, judged, bound.margin, bound.risk))
    better = max(renewed / 2, bound.margin)
    needed = math.ceil(total * (renewed / better) ** 2)
    once = f", and {100 * renewed:.1f} once a version is surely better than that" if renewed < 0.95 * promise else ""
    return (
        f"over all cycles, {total} holdout images can promise that a champion is at most {100 * promise:.1f} "
        f"points below the best so far (evaluate.risk){once}; about {needed} could promise {100 * better:.1f}"
    )


def more_images(more: int, total: int, holdout_fraction: float, max_holdout: int) -> str:
    """How many images bring so many more holdout images, and what becomes of those of this cycle.

    Args:
        more: holdout images that are needed.
        total: those that there are.
        holdout_fraction, max_holdout: of section `prepare`.
    """
    needed = total + more
    raised = f", with prepare.max_holdout raised to {needed}" if needed > max_holdout else ""
    return (
        f"that takes about {math.ceil(more / holdout_fraction)} more images in all "
        f"(prepare.holdout_fraction: {holdout_fraction:g}){raised}; the next cycle learns those of this one again"
    )


def nothing_learned(training: Training) -> str | None:
    """That a cycle which had something to learn kept what was there before it, and what to try; None if it learned."""
    if training.stop_reason == IDLE or (training.best_epoch and training.share):
        return None
    if training.start == "cold" or training.is_scratch_kept:
        return (
            "nothing was learned: on the validation images no epoch is better than fresh weights; look at the labels, "
            "or try another train.learning_rate"
        )
    if training.best_epoch:
        why = "what the parent serves is better than any mixture with the result"
    else:
        why = "no epoch is better than the weights that training began with"
        if 0 < training.share < 1:
            why += ", and a mixture of the parent's own weights is best"
    sentence = f"nothing was learned: on the validation images {why}"
    if training.audit:
        return f"{sentence}, and the audit's model from scratch is not better either; look at the labels"
    return (
        f"{sentence}; try train.start: cold for one cycle, which trains on all images from fresh weights, and set it "
        "back together with the next batch"
    )


def for_a_first(training: Training, accuracy: float, made: Description, num_trained: int) -> str:
    """What would help a challenger that is not good enough to be the first champion.

    Args:
        training: how its training went.
        accuracy: of it on the holdout images, 0 to 1.
        made: the challenger.
        num_trained: images that it was fitted to.
    """
    num_labels = len(made.labels)
    helps = [
        f"more images help most: {num_trained} of {training.num_images} train, for {num_labels} labels (the others "
        "choose and judge)"
    ]
    if training.stop_reason.startswith(("max_epochs", "budget")):
        helps.append(f"so may more epochs: training was stopped by {training.stop_reason.partition(':')[0]}")
    if made.architecture in SMALL:
        helps.append(
            f"for photographs so does a network that has seen others: run `python -m pipeline weights {BACKBONE}`, "
            f"then set train.architecture: {BACKBONE}, train.pretrained: data/weights/{BACKBONE}.safetensors, "
            "train.tune: head, prepare.image_size: auto and prepare.channels: 3"
        )
    if made.is_head_only:
        if made.image_shape[0] < BACKBONE_SIZE:
            helps.append("so do larger pictures, if the images are as large (prepare.image_size: auto)")
        helps.append("so may training the whole network, which takes longer (train.tune: all)")
    if accuracy >= 1 / num_labels:  # else it is worse than guessing, which the gate never takes
        helps.append("if it is good enough as it is, lower evaluate.min_accuracy")
    return "; ".join(helps)
