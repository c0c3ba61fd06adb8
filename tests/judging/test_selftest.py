"""A gate that is broken in whatever way is found by its stand-ins; one that is not is never called broken."""

from collections.abc import Callable
from dataclasses import replace

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from pipeline.judging import selftest, verdict
from pipeline.judging.gate import Verdict
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.selftest import Judge
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case

CASE = Case(champion=4, anchor=2, judged=3)


def made(num_images: int, accuracy: float, seed: int, unknown: float = 0.0) -> Predictions:
    """Three models that are right at random; champion and anchor do not know the last label."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(num_images) < unknown, 2, rng.integers(0, 2, num_images))

    def answers(is_known: list[bool]) -> Answers:
        is_right = rng.random(num_images) < accuracy
        predicted = np.where(is_right, labels, 1 - np.minimum(labels, 1))
        logits = np.where(np.array(is_known), 3.0 * np.eye(3)[predicted], -1e9)
        return Answers.of(logits, labels, np.array(is_known))

    marks = {mark: rng.random(num_images) < 0.2 for mark in ("is_new", "is_fresh")}
    old = [True, True, False]
    return Predictions(
        names=("cat", "dog", "hat"),
        digests=tuple(map(str, range(num_images))),
        labels=labels,
        slices=pl.DataFrame({"digest": list(map(str, range(num_images))), "slice": "site", "value": "north"}),
        answers={CHALLENGER: answers([True] * 3), CHAMPION: answers(old), ANCHOR: answers(old)},
        **marks,
    )


def judging(evaluate: Evaluate, case: Case = CASE) -> Judge:
    return lambda predictions: verdict.of(predictions, case, evaluate)


@hypothesis.given(
    st.integers(10, 400), st.floats(0, 1), st.floats(0, 1), st.integers(0, 99),
    st.floats(0, 1), st.floats(0.51, 0.999), st.sampled_from([None, 0.05]), st.booleans(),
    st.sampled_from(["accuracy", "balanced_accuracy"]),
)  # fmt: skip
def test_a_gate_in_order_is_never_called_broken(
    settings, num_images, accuracy, unknown, seed, margin, confidence, risk, has_outdated, metric
):
    given = {"margin": margin, "confidence": confidence, "risk": risk, "metric": metric}
    evaluate = settings.evaluate.model_copy(update=given)
    case = replace(CASE, outdated=("owl",) if has_outdated else ())
    found = selftest.faults(made(num_images, accuracy, seed, unknown), judging(evaluate, case), evaluate, has_outdated)
    assert not list(found)


def always(decision: str) -> Callable[[Judge], Judge]:
    return lambda judge: lambda predictions: replace(judge(predictions), decision=decision)


def with_itself(judge: Judge) -> Judge:
    """Challenger and champion mixed up: the challenger is held against itself."""

    def broken(predictions: Predictions) -> Verdict:
        itself = predictions.answers[CHALLENGER]
        return judge(replace(predictions, answers=dict.fromkeys((CHALLENGER, CHAMPION, ANCHOR), itself)))

    return broken


def the_other_way_round(judge: Judge) -> Judge:
    def broken(predictions: Predictions) -> Verdict:
        one, other = (predictions.answers[name] for name in (CHAMPION, CHALLENGER))
        return judge(replace(predictions, answers={CHALLENGER: one, CHAMPION: other, ANCHOR: other}))

    return broken


@pytest.mark.parametrize(
    ("spoilt", "fault"),
    [
        (always("promote"), "a stand-in that answers as the champion does gets 'promote'"),
        (always("reject"), "a stand-in that gets all right gets 'reject', and the champion"),
        (always("not enough evidence"), "a stand-in that gets every image wrong gets 'not enough evidence'"),
        (with_itself, "a stand-in that gets all right gets 'reject'"),
        (the_other_way_round, "a stand-in that gets every image wrong gets 'promote'; expected 'reject'"),
    ],
)
def test_a_broken_gate_is_found(settings, spoilt, fault):
    evaluate = settings.evaluate.model_copy(update={"margin": 0.01, "confidence": 0.9, "risk": 0.05})
    found = selftest.faults(made(200, 0.8, 0), spoilt(judging(evaluate)), evaluate, has_outdated=False)
    assert any(fault in one for one in found)
