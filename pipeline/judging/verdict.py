"""The verdict of a cycle, from the predictions of its models. Pure: judged again, the same verdict comes."""

from dataclasses import dataclass, replace

from pipeline.judging import gate, parts
from pipeline.judging.gate import Held, Verdict
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Predictions
from pipeline.judging.settings import Evaluate


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


def of(predictions: Predictions, case: Case, evaluate: Evaluate) -> Verdict:
    """Judge the challenger.

    Args:
        predictions: of all models; of the challenger alone where there is no champion.
        case: of the cycle.
        evaluate: section `evaluate` of params.yaml.
    """
    if case.champion is None or case.anchor is None:
        accuracy = float((predictions.answers[CHALLENGER].predicted == predictions.labels).mean())
        return gate.decide_first(accuracy, len(predictions.names), evaluate)
    if case.is_champion:
        return gate.unchanged(case.champion)
    fared = parts.of(predictions, evaluate)
    familiar, known = (predictions.is_familiar(other) for other in (CHAMPION, ANCHOR))
    held = Held(
        anchor=case.anchor,
        everything=predictions.counts(ANCHOR),
        familiar=predictions.counts(ANCHOR, known),
        fresh=predictions.counts(ANCHOR, known & predictions.is_fresh),
        cycle=case.judged,
    )
    judged = gate.decide(
        predictions.counts(CHAMPION),
        evaluate,
        predictions.hits_on_new,
        None if familiar.all() else predictions.counts(CHAMPION, familiar),
        case.outdated,
        held,
    )
    if judged.decision == "promote" and fared.objections:
        # What was said for it is not why.
        return replace(judged, decision="reject", reasons=(*judged.reasons[:-1], *fared.remarks, *fared.objections))
    return replace(judged, reasons=(*judged.reasons, *fared.objections, *fared.remarks))
