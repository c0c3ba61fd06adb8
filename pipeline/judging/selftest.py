"""The gate tests itself: in every cycle stand-ins for the challenger get the verdict that they must get. Pure.

A gate that holds a model against itself, or always says yes, looks as if it worked: that has happened to widely used
ones for months.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from pipeline.judging.gate import Verdict
from pipeline.judging.paired import effective
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Bound

Judge = Callable[[Predictions], Verdict]


def faults(predictions: Predictions, judge: Judge, bound: Bound, has_outdated: bool) -> Iterator[str]:
    """What is wrong with the gate: a sentence for each stand-in with a verdict that it must not get.

    Args:
        predictions: of a cycle with a champion.
        judge: gives the verdict on predictions of that cycle.
        bound: of section `evaluate` of params.yaml.
        has_outdated: whether the champion has labels that are to go: then who is not worse is promoted.
    """
    champion = predictions.answers[CHAMPION]
    familiar = champion.is_familiar if champion.is_familiar.any() else np.ones(len(predictions.labels), bool)
    is_right = champion.predicted == predictions.labels
    wrong = int((~is_right)[familiar].sum())

    def decision(answers: Answers) -> str:
        return judge(replace(predictions, answers={**predictions.answers, CHALLENGER: answers})).decision

    if not has_outdated and (said := decision(champion)) == "promote":
        yield f"a stand-in that answers as the champion does gets {said!r}; expected that it is not promoted"
    if not has_outdated and (said := decision(_given(predictions, _others(predictions)))) != "reject":
        yield f"a stand-in that gets every image wrong gets {said!r}; expected 'reject'"
    is_surely_better = _is_surely_better(is_right[familiar], predictions.labels[familiar], bound)
    if is_surely_better and (said := decision(_given(predictions, predictions.labels))) != "promote":
        yield f"a stand-in that gets all right gets {said!r}, and the champion {wrong} wrong; expected 'promote'"


def _is_surely_better(is_right: np.ndarray, labels: np.ndarray, bound: Bound) -> bool:
    """Whether who gets all right is surely better than the champion, whatever bound the gate takes.

    Args:
        is_right: bool (images,): the champion.
        labels: int64 (images,): of these images.
        bound: see `faults`.
    """
    risk = (1 - bound.confidence) / 10
    if bound.metric == "accuracy":  # a sign test: all of the flips go one way
        return bool(0.5 ** int((~is_right).sum()) < risk)
    of_labels = [is_right[labels == label] for label in np.unique(labels)]
    gained = np.mean([1 - of_label.mean() for of_label in of_labels])
    deviation = np.sqrt(np.log(1 / risk) / 2 / effective(map(len, of_labels)))  # Hoeffding, JASA 58, 1963
    return bool(gained - deviation > -bound.margin)


def _others(predictions: Predictions) -> np.ndarray:
    """A wrong label for each image."""
    return (predictions.labels + 1) % max(len(predictions.names), 2)


def _given(predictions: Predictions, predicted: np.ndarray) -> Answers:
    """Answers that are sure of these labels."""
    is_right = predicted == predictions.labels
    return Answers(predicted, np.ones(len(predicted), np.float32), is_right.astype(np.float32))
