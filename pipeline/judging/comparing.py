"""How champion and challenger compare on the holdout: the numbers that card, pictures and report draw. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts.comparison import (
    ALIKE,
    ALL,
    KNOWN,
    NEW,
    NEW_LABELS,
    OLD,
    Confused,
    Doubted,
    Doubters,
    LabelScore,
    ModelComparison,
    Pair,
    PartScore,
    Seen,
    SliceScore,
)
from pipeline.judging import metrics
from pipeline.judging.paired import lower_bound
from pipeline.judging.parts import Breakdown
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Evaluate

MAX_FLIPS = 60
"""Images of each kind that are listed."""

MAX_SLICES = 100
"""The largest falls that are listed."""


@dataclass(frozen=True)
class InDoubt:
    """What is said of the labels of new images."""

    doubted: tuple[Doubted, ...] = ()
    num_suspicious: int = 0
    pairs: tuple[Pair, ...] = ()
    doubters: Doubters | None = None
    undoubted: tuple[str, ...] = ()


def compare(
    predictions: Predictions,
    champion: int | None,
    breakdown: Breakdown | None,
    evaluate: Evaluate,
    paths: Mapping[str, str],
    in_doubt: InDoubt,
    is_by_old: bool = False,
) -> ModelComparison:
    """Both models on the same images.

    Args:
        predictions: of the cycle.
        champion: its number; None without one.
        breakdown: how labels and slices fare; None without a champion.
        evaluate: section `evaluate` of params.yaml.
        paths: of the holdout images, by digest.
        in_doubt: what is said of the new labels.
        is_by_old: whether only images that the champion had judge.
    """
    is_right = {who: said.predicted == predictions.labels for who, said in predictions.answers.items()}
    ours = is_right[CHALLENGER]
    lost, won = (np.zeros(len(ours), bool),) * 2
    if champion is not None:
        theirs = is_right[CHAMPION] & predictions.is_familiar(CHAMPION)
        lost, won = theirs & ~ours, ours & ~theirs
    return ModelComparison(
        champion=champion,
        judged_by=OLD if is_by_old else ALL,
        metric=evaluate.metric,
        confidence=evaluate.confidence,
        holdout_images=len(predictions.labels),
        parts=tuple(_parts(predictions, champion is not None, evaluate)),
        labels=tuple(_labels(predictions, breakdown)),
        slices=tuple(_slices(breakdown)) if breakdown else (),
        num_lost=int(lost.sum()),
        num_won=int(won.sum()),
        lost=seen(predictions, _surest(predictions, lost), paths),
        won=seen(predictions, _surest(predictions, won), paths),
        doubted=in_doubt.doubted,
        num_suspicious=in_doubt.num_suspicious,
        pairs=in_doubt.pairs,
        doubters=in_doubt.doubters,
        undoubted=in_doubt.undoubted,
        confused=tuple(_confused(predictions)),
    )


def _parts(predictions: Predictions, has_champion: bool, evaluate: Evaluate) -> Iterator[PartScore]:
    every = np.ones(len(predictions.labels), bool)
    if not has_champion:
        yield PartScore(name=ALL, images=len(every), champion=None, challenger=predictions.score("accuracy"))
        return
    familiar, is_new = predictions.is_familiar(CHAMPION), predictions.is_new
    yield _part(predictions, ALL, every, evaluate)
    if evaluate.metric == "balanced_accuracy":
        labels, ours = predictions.labels, predictions.answers[CHALLENGER].predicted
        alike = predictions.compared(CHAMPION, "balanced_accuracy")
        now = metrics.balanced_accuracy(labels, ours)
        bound = lower_bound(alike, evaluate.confidence)
        yield PartScore(name=ALIKE, images=len(labels), champion=now - alike.difference, challenger=now, at_least=bound)
    if not familiar.all():
        yield from (_part(predictions, KNOWN, familiar, evaluate),) if familiar.any() else ()
        right = (predictions.answers[CHALLENGER].predicted == predictions.labels)[~familiar]
        yield PartScore(name=NEW_LABELS, images=len(right), champion=None, challenger=float(right.mean()))
    if is_new.any() and not is_new.all():
        yield _part(predictions, OLD, ~is_new, evaluate)
        yield _part(predictions, NEW, is_new, evaluate)


def _part(predictions: Predictions, name: str, rows: np.ndarray, evaluate: Evaluate) -> PartScore:
    counts = predictions.counts(CHAMPION, rows)
    return PartScore(
        name=name,
        images=counts.total,
        champion=(counts.both + counts.champion_only) / counts.total,
        challenger=(counts.both + counts.challenger_only) / counts.total,
        at_least=lower_bound(counts, evaluate.confidence),
    )


def _labels(predictions: Predictions, breakdown: Breakdown | None) -> Iterator[LabelScore]:
    findings = {one.value: one.finding for one in breakdown.labels} if breakdown else {}
    champion = predictions.answers.get(CHAMPION)
    for number, name in enumerate(predictions.names):
        rows = predictions.labels == number
        right = {who: int((said.predicted[rows] == number).sum()) for who, said in predictions.answers.items()}
        is_known = champion is not None and (not rows.any() or bool(champion.is_familiar[rows].all()))
        yield LabelScore(
            label=name,
            images=int(rows.sum()),
            champion=right[CHAMPION] if is_known else None,
            challenger=right[CHALLENGER],
            finding=findings.get(name),
        )


def _slices(breakdown: Breakdown) -> Iterator[SliceScore]:
    rows = sorted(breakdown.slices, key=lambda one: (not one.is_worse, one.difference, one.slice, one.value))
    for one in rows[:MAX_SLICES]:
        yield SliceScore(
            slice=one.slice,
            value=one.value,
            images=one.images,
            champion=one.before,
            challenger=one.now,
            is_worse=one.is_worse,
            is_too_small=one.is_too_small,
        )


def _surest(predictions: Predictions, rows: np.ndarray) -> list[int]:
    """Numbers of the chosen images, that of which the challenger is most sure first."""
    numbers = np.flatnonzero(rows)
    sure = predictions.answers[CHALLENGER].probability[numbers]
    return [int(one) for one in numbers[np.argsort(-sure, kind="stable")][:MAX_FLIPS]]


def seen(predictions: Predictions, rows: list[int], paths: Mapping[str, str]) -> tuple[Seen, ...]:
    """Some of the images, with what both models say.

    Args:
        predictions: of all of them.
        rows: their numbers.
        paths: by digest.
    """
    champion, challenger = predictions.answers.get(CHAMPION), predictions.answers[CHALLENGER]
    if champion and not champion.is_familiar.any():  # it knows none of the labels, and its answers stand for none
        champion = None
    return tuple(
        Seen(
            digest=predictions.digests[row],
            path=paths.get(predictions.digests[row], ""),
            label=predictions.names[predictions.labels[row]],
            champion=predictions.names[champion.predicted[row]] if champion else None,
            champion_probability=_probability(champion, row) if champion else None,
            challenger=predictions.names[challenger.predicted[row]],
            challenger_probability=_probability(challenger, row),
        )
        for row in rows
    )


def _probability(answers: Answers, row: int) -> float:
    return round(float(answers.probability[row]), 6)


def _confused(predictions: Predictions) -> Iterator[Confused]:
    names, num = predictions.names, len(predictions.names)
    counts = {
        who: metrics.confusion(predictions.labels, said.predicted, num) for who, said in predictions.answers.items()
    }
    champion, challenger = counts.get(CHAMPION, np.zeros((num, num), np.int64)), counts[CHALLENGER]
    for actual, predicted in np.argwhere(champion + challenger).tolist():
        yield Confused(
            actual=names[actual],
            predicted=names[predicted],
            champion=int(champion[actual, predicted]),
            challenger=int(challenger[actual, predicted]),
        )
