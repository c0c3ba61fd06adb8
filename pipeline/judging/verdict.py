"""The verdict of a cycle, from the predictions of its models. Pure: judged again, the same verdict comes."""

from dataclasses import dataclass, replace

from pipeline.artifacts.evaluation import Decision
from pipeline.judging import gate, parts
from pipeline.judging.gate import Held, Verdict
from pipeline.judging.history import History
from pipeline.judging.predictions import ANCHOR, CHAMPION, Predictions
from pipeline.judging.settings import Evaluate

DOUBTFUL = "new labels may be wrong, and yet not surely (evaluate.max_wrong), so only old images judge"

ONLY_NEW = (
    "new labels may be wrong, and yet not surely (evaluate.max_wrong), and no old image is left to judge: look at the "
    "least believed ones in data/cycle/evaluation/doubts.csv"
)

MEND = (
    "the labels of the new images cannot be trusted, so only old images judge, and no model that learned them is "
    "promoted: look at the least believed ones in data/cycle/evaluation/doubts.csv, mend or remove those that are "
    "wrong, `dvc add data/images/BATCH` and commit"
)


@dataclass(frozen=True)
class Case:
    """What the verdict depends on besides predictions and settings."""

    champion: int | None
    """Number of the version that is to beat."""
    anchor: int | None
    """Number of the best version so far; None without a champion."""
    judged: int
    """See `artifacts.parent.Champion`."""
    outdated: tuple[str, ...] = ()
    """Labels of the champion that were renamed or removed by request."""
    is_champion: bool = False
    """Whether the challenger is the champion itself."""
    is_trusted: bool = True
    """Whether the labels of the new images can be trusted (`judging.trust`)."""
    is_doubtful: bool = False
    """Whether they are likely wrong, and yet not surely."""
    doubts: tuple[str, ...] = ()
    """What is wrong with them, a sentence each."""


def is_by_old(predictions: Predictions, case: Case) -> bool:
    """Whether only images that the champion had judge: wrong labels praise the model that learned them."""
    return (case.is_doubtful or not case.is_trusted) and not predictions.is_new.all()


def of(predictions: Predictions, case: Case, evaluate: Evaluate, past: History | None = None) -> Verdict:
    """Judge the challenger.

    Args:
        predictions: of all models; of the challenger alone where there is no champion.
        case: of the cycle.
        evaluate: section `evaluate` of params.yaml.
        past: of the champions until now; None if nobody knows it.
    """
    if case.champion is None or case.anchor is None:
        return gate.decide_first(predictions.score(evaluate.metric), len(predictions.names), evaluate)
    if case.is_champion:
        return gate.unchanged(case.champion)
    on_new = predictions.hits_on_new
    is_only_new = bool(predictions.is_new.all())
    if is_by_old(predictions, case):
        predictions = predictions.of(~predictions.is_new)
    fared = parts.of(predictions, evaluate, past)
    familiar, known = (predictions.is_familiar(other) for other in (CHAMPION, ANCHOR))
    held = Held(
        anchor=case.anchor,
        everything=predictions.compared(ANCHOR, evaluate.metric),
        familiar=predictions.compared(ANCHOR, evaluate.metric, known),
        fresh=predictions.compared(ANCHOR, evaluate.metric, known & predictions.is_fresh),
        cycle=case.judged,
    )
    judged = gate.decide(
        predictions.compared(CHAMPION, evaluate.metric),
        evaluate,
        on_new,
        None if familiar.all() else predictions.compared(CHAMPION, evaluate.metric, familiar),
        case.outdated,
        held,
    )
    if case.is_doubtful:
        judged = replace(judged, reasons=(*judged.reasons, *case.doubts, ONLY_NEW if is_only_new else DOUBTFUL))
    # What was said for it is not why.
    facts = judged.reasons[:-1] if judged.decision == "promote" else judged.reasons
    if not case.is_trusted:
        return replace(judged, decision="reject", is_best=False, more=None, reasons=(*facts, MEND, *case.doubts))
    if case.is_doubtful and is_only_new:
        decision: Decision = "not enough evidence" if judged.decision == "promote" else judged.decision
        return replace(judged, decision=decision, is_best=False)
    if judged.decision == "promote" and fared.objections:
        return replace(judged, decision="reject", reasons=(*facts, *fared.remarks, *fared.objections))
    return replace(judged, reasons=(*judged.reasons, *fared.objections, *fared.remarks))
