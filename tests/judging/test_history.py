"""What was forgotten since it was learned, from what earlier champions said to the same images."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest

from pipeline.judging import history, verdict
from pipeline.judging.history import UNASKED, History
from pipeline.judging.paired import Counts
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case

NAMES = ("cat", "dog")


def made(
    labels: Sequence[int],
    challenger: Sequence[int],
    champion: Sequence[int],
    is_new: Sequence[int] | None = None,
    knows: tuple[bool, bool] = (True, True),
    ages: Sequence[str] = (),
) -> Predictions:
    """Predictions of so many images, called 0, 1, ...; 1 where a model is right."""
    truth = np.array(labels)

    def answers(is_right: Sequence[int], known: tuple[bool, bool]) -> Answers:
        predicted = np.where(np.array(is_right) == 1, truth, 1 - truth)
        return Answers.of(4.0 * np.eye(2)[predicted], truth, np.array(known))

    new = np.zeros(len(truth), bool) if is_new is None else np.array(is_new, bool)
    theirs = answers(champion, knows)
    digests = tuple(map(str, range(len(truth))))
    told = [(digest, "age", age) for digest, age in zip(digests, ages, strict=False)]
    return Predictions(
        names=NAMES,
        digests=digests,
        labels=truth,
        is_new=new,
        is_fresh=new,
        slices=pl.DataFrame(told, schema=dict.fromkeys(("digest", "slice", "value"), pl.String), orient="row"),
        answers={CHALLENGER: answers(challenger, (True, True)), CHAMPION: theirs, ANCHOR: theirs},
    )


def test_a_champion_counts_for_the_images_that_it_knew():
    given = made([0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 1, 1], is_new=[0, 0, 0, 1])
    past = History.of(None, given, 3, {})
    assert past.champions == (3,)
    assert past.is_right[:, 0].tolist() == [1, 0, 1, UNASKED]
    no_dogs = made([0, 0, 1, 1], [1] * 4, [1] * 4, knows=(True, False))
    assert History.of(None, no_dogs, 3, {}).first.tolist() == [1, 1, UNASKED, UNASKED]


def test_it_is_handed_on_from_champion_to_champion():
    first = History.of(None, made([0, 1, 1], [1, 1, 1], [1, 0, 1], is_new=[0, 0, 1]), 1, {})
    brought = first.table(made([0, 1, 1], [1, 1, 1], [1, 0, 1]))
    assert brought.to_dict(as_series=False) == {
        "digest": ["0", "1", "2"],
        "label": ["cat", "dog", "dog"],
        "v1": [True, False, None],
    }
    today = made([0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 0, 1], is_new=[0, 0, 0, 1])
    second = History.of(brought, today, 4, {})
    assert second.champions == (1, 4)
    assert second.is_right.T.tolist() == [[1, 0, UNASKED, UNASKED], [1, 1, 0, UNASKED]]
    assert second.first.tolist() == [1, 0, 0, UNASKED], "the first that knew each image"
    again = History.from_table(second.table(today))
    assert (again.champions, again.digests) == (second.champions, second.digests)
    assert (again.is_right == second.is_right).all()
    assert second.at(("2", "0")).first.tolist() == [0, 1]


def test_an_image_with_another_label_begins_anew_and_a_renamed_label_does_not():
    brought = pl.DataFrame({"digest": ["0", "1"], "label": ["puss", "dog"], "v1": [True, True]})
    today = made([0, 0], [1, 1], [1, 1])
    assert History.of(brought, today, 2, {"puss": "cat"}).is_right[:, 0].tolist() == [1, UNASKED]
    assert History.of(brought, today, 2, {}).is_right[:, 0].tolist() == [UNASKED, UNASKED]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda table: table, ""),
        (lambda table: table.drop("label"), "it lacks the column label"),
        (lambda table: table.with_columns(digest=1), "its column digest is not all text"),
        (lambda table: table.rename({"v1": "x"}), "its column x is no version's"),
        (lambda table: table.with_columns(v1=0.5), "its column v1 is no version's"),
        (lambda table: pl.concat([table, table]), "it has an image twice"),
        (lambda table: table.head(1), "its images are not those of the predictions"),
    ],
)
def test_what_is_no_history_is_told(change: Callable[[pl.DataFrame], pl.DataFrame], expected: str):
    given = made([0, 1], [1, 1], [1, 1])
    assert history.fault(change(History.of(None, given, 1, {}).table(given)), given.digests) == expected


def test_images_that_went_go():
    brought = pl.DataFrame({"digest": ["0", "9"], "label": ["cat", "cat"], "v1": [True, False]})
    past = History.of(brought, made([0, 0], [1, 1], [1, 1]), 2, {})
    assert past.digests == ("0", "1")
    assert past.is_right[:, 0].tolist() == [1, UNASKED]


def test_the_measures_are_those_of_the_papers():
    """Two champions: cat 2 of 4, then 4 of 4, now 3 of 4; dog 4 of 4, then 2 of 4, now 3 of 4."""
    labels = [0] * 4 + [1] * 4
    brought = pl.DataFrame(
        {
            "digest": list(map(str, range(8))),
            "label": ["cat"] * 4 + ["dog"] * 4,
            "v1": [True, True, False, False, True, True, True, True],
        }
    )
    given = made(labels, [0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0])
    past = History.of(brought, given, 2, {})
    assert history.backward_transfer(past, given) == pytest.approx(6 / 8 - 6 / 8)
    assert history.forgetting(past, given) == pytest.approx(((1 - 3 / 4) + (1 - 3 / 4)) / 2)
    assert history.flips(past, given) == {1: Counts(4, 2, 2, 0), 2: Counts(4, 2, 2, 0)}


def test_of_what_no_champion_knew_nothing_is_said():
    given = made([0, 1], [1, 1], [1, 1], is_new=[1, 1])
    past = History.of(None, given, 1, {})
    assert history.backward_transfer(past, given) is None
    assert history.forgetting(past, given) is None
    assert history.flips(past, given) == {}


@pytest.fixture(scope="session")
def evaluate(settings) -> Evaluate:
    plain = {"margin": 0.01, "confidence": 0.9, "max_drop": None, "max_forgotten": 0.1, "risk": None}
    return settings.evaluate.model_copy(update=plain)


CASE = Case(champion=4, anchor=4, judged=1)


def slipping(now: int, champion: int) -> tuple[Predictions, pl.DataFrame]:
    """100 cats of which v1 had all right, and dogs of which the challenger has ever more right."""
    labels = [0] * 100 + [1] * 400
    given = made(
        labels,
        [1] * now + [0] * (100 - now) + [1] * 400,
        [1] * champion + [0] * (100 - champion) + [1] * 340 + [0] * 60,
        ages=["9 or more cycles ago"] * 100 + ["1 to 2 cycles ago"] * 400,
    )
    digests = list(map(str, range(500)))
    before = pl.DataFrame(
        {"digest": digests, "label": ["cat"] * 100 + ["dog"] * 400, "v1": [True] * 100 + [None] * 400}
    )
    return given, before


def test_small_steps_down_add_up_and_are_stopped(evaluate: Evaluate) -> None:
    given, before = slipping(now=78, champion=80)
    past = History.of(before, given, 4, {})
    judged = verdict.of(given, CASE, evaluate, past)
    assert judged.decision == "reject"
    label = "label cat fell from 100 to 78 of 100 since its images were first known, surely by more than 10 points"
    assert any(reason.startswith(label) for reason in judged.reasons), judged.reasons
    assert any("age 9 or more cycles ago fell from 100 to 78" in reason for reason in judged.reasons)
    assert verdict.of(given, CASE, evaluate).decision == "promote", "without a history nobody knows"
    off = evaluate.model_copy(update={"max_forgotten": None})
    assert verdict.of(given, CASE, off, past).decision == "promote"


@pytest.mark.parametrize(("now", "champion"), [(93, 95), (80, 80), (80, 75)])
def test_what_is_small_or_the_champion_lost_already_is_no_reason_against_a_better_one(
    evaluate: Evaluate, now: int, champion: int
) -> None:
    given, before = slipping(now, champion)
    assert verdict.of(given, CASE, evaluate, History.of(before, given, 4, {})).decision == "promote"


def test_too_many_flips_reject_a_gain(evaluate: Evaluate) -> None:
    given = made([0] * 1000, [0] * 60 + [1] * 940, [1] * 800 + [0] * 200)
    assert verdict.of(given, CASE, evaluate).decision == "promote"
    strict = evaluate.model_copy(update={"max_flips": 0.04})
    judged = verdict.of(given, CASE, strict)
    assert judged.decision == "reject"
    assert judged.reasons[-1].startswith(
        "it gets 60 of 1000 holdout images wrong that the champion gets right, surely more than the 4% of "
        "evaluate.max_flips"
    )
    assert verdict.of(given, CASE, evaluate.model_copy(update={"max_flips": 0.055})).decision == "promote", "not surely"
