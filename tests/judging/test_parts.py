"""Labels and slices that lost: the verdict says so, and what surely lost more than it may speaks against it."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipeline.judging import parts, slices, verdict
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.judging.verdict import Case

NAMES = ("cat", "dog", "owl")
CASE = Case(champion=4, anchor=4, judged=1)
SCHEMA = dict.fromkeys(("digest", "slice", "value"), pl.String)


def made(
    images: Mapping[str, tuple[int, int, int]], site: Mapping[str, range] | None = None, unknown: tuple[str, ...] = ()
) -> Predictions:
    """Predictions in which so many images of each label are both right, won and lost.

    Args:
        images: by label: both right, only the challenger, only the champion.
        site: numbers of the images of each site.
        unknown: labels that the champion does not know.
    """
    labels, is_right = [], []
    for name, (both, won, lost) in images.items():
        labels += [NAMES.index(name)] * (both + won + lost)
        is_right += [(True, True)] * both + [(False, True)] * won + [(True, False)] * lost
    truth, right = np.array(labels), np.array(is_right)
    known = np.array([name not in unknown for name in NAMES])

    def answers(column: int, knows: np.ndarray) -> Answers:
        predicted = np.where(right[:, column], truth, (truth + 1) % 2)
        return Answers.of(4.0 * np.eye(3)[predicted], truth, knows)

    champion = answers(0, known)
    digests = tuple(map(str, range(len(truth))))
    rows = [(str(number), "site", name) for name, numbers in (site or {}).items() for number in numbers]
    return Predictions(
        names=NAMES,
        digests=digests,
        labels=truth,
        is_new=np.zeros(len(truth), bool),
        is_fresh=np.zeros(len(truth), bool),
        slices=pl.DataFrame(rows, schema=SCHEMA, orient="row"),
        answers={CHALLENGER: answers(1, known | True), CHAMPION: champion, ANCHOR: champion},
    )


@pytest.fixture(scope="session")
def evaluate(settings) -> Evaluate:
    plain = {"margin": 0.01, "confidence": 0.9, "max_drop": 0.05, "worse_slices": "warn", "risk": None}
    return settings.evaluate.model_copy(update=plain)


def test_a_label_that_surely_fell_speaks_against_a_gain(evaluate: Evaluate) -> None:
    predictions = made({"cat": (300, 100, 0), "dog": (60, 0, 40)})
    judged = verdict.of(predictions, CASE, evaluate)
    assert judged.decision == "reject"
    assert judged.reasons[-1] == "label dog fell from 100 to 60 of 100, surely by more than 5 points"
    assert "it is better, and not worse by more than the margin" not in judged.reasons
    lenient = evaluate.model_copy(update={"max_drop": 0.5})
    assert verdict.of(predictions, CASE, lenient).decision == "promote"
    off = evaluate.model_copy(update={"max_drop": None})
    assert verdict.of(predictions, CASE, off).decision == "promote"


def test_a_fall_that_may_be_chance_and_labels_that_are_too_small_are_said(evaluate: Evaluate) -> None:
    # The photographs: one label fell from 13 to 10 of 34 without a word anywhere.
    predictions = made({"cat": (300, 40, 10), "dog": (10, 0, 3), "owl": (2, 0, 1)})
    judged = verdict.of(predictions, CASE, evaluate)
    assert judged.decision == "promote"
    assert "label dog fell from 13 to 10 of 13, by more than 5 points, which may be chance" in judged.reasons
    assert judged.reasons[-1] == "1 label has too few holdout images to tell a fall: owl (3)"


def test_a_new_label_is_no_part_of_what_may_have_lost(evaluate: Evaluate) -> None:
    predictions = made({"cat": (300, 40, 0), "owl": (0, 50, 0)}, unknown=("owl",))
    fared = parts.of(predictions, evaluate)
    assert [label.value for label in fared.labels] == ["cat"]


NORTH = {"north": range(420, 500), "south": range(420)}


def lost_in_the_north() -> Predictions:
    """Wins on the first images, losses on the last ones."""
    return made({"cat": (380, 40, 0), "dog": (40, 10, 30)}, NORTH)


def test_a_slice_that_is_surely_worse_is_said_and_rejects_if_that_is_wanted(evaluate: Evaluate) -> None:
    lenient = evaluate.model_copy(update={"max_drop": None})
    judged = verdict.of(lost_in_the_north(), CASE, lenient)
    assert judged.decision == "promote"
    said = "site north fell from 70 to 50 of 80 (-25.0 points), surely, and more than the whole"
    assert judged.reasons[-1] == said
    strict = lenient.model_copy(update={"worse_slices": "reject"})
    judged = verdict.of(lost_in_the_north(), CASE, strict)
    assert judged.decision == "reject"
    assert judged.reasons[-1] == said


def test_of_many_parts_a_few_are_named(evaluate: Evaluate) -> None:
    lenient = evaluate.model_copy(update={"max_drop": None})
    sites = {f"north {number}": range(420, 500) for number in range(8)}
    judged = verdict.of(made({"cat": (380, 40, 0), "dog": (40, 10, 30)}, sites), CASE, lenient)
    assert sum("surely" in reason for reason in judged.reasons) == 3
    assert judged.reasons[-1] == "and 5 slices more like that"


def test_a_label_without_holdout_images_is_said() -> None:
    assert list(parts.unseen(made({"cat": (9, 0, 0), "dog": (9, 0, 0)}))) == [
        "1 label has no holdout image, so nothing is known of it: owl"
    ]
    assert list(parts.unseen(made({"owl": (9, 0, 0)}))) == [
        "2 labels have no holdout image, so nothing is known of them: cat, dog"
    ]
    assert not list(parts.unseen(made({"cat": (9, 0, 0), "dog": (9, 0, 0), "owl": (1, 0, 0)})))


def test_where_labels_may_be_wrong_and_no_old_image_is_left_to_judge_nothing_is_promoted(evaluate: Evaluate) -> None:
    predictions = made({"cat": (300, 100, 0), "dog": (60, 0, 0)})
    case = replace(CASE, is_doubtful=True, doubts=("they look odd",))
    assert verdict.of(predictions, case, evaluate).decision == "promote"
    new = replace(predictions, is_new=np.ones(460, bool))
    assert verdict.of(new, CASE, evaluate).decision == "promote"
    judged = verdict.of(new, case, evaluate)
    assert judged.decision == "not enough evidence"
    assert not judged.is_best
    assert judged.reasons[-2:] == ("they look odd", verdict.ONLY_NEW)


@pytest.mark.parametrize("fallen", [slices.LEAST - 1, slices.LEAST])
def test_fewer_images_than_the_least_are_no_sure_fall_and_cost_nothing(evaluate: Evaluate, fallen: int) -> None:
    """The images that are lost have a value of their own: the smallest that can be told, or one image less."""
    predictions = made({"cat": (2000, 40, 0), "dog": (20, 0, fallen)}, {"north": range(2060, 2060 + fallen)})
    fared = parts.of(predictions, evaluate).slices
    assert [one.is_worse for one in fared] == ([True] if fallen == slices.LEAST else [])


def test_the_same_predictions_get_the_same_verdict(evaluate: Evaluate) -> None:
    assert verdict.of(lost_in_the_north(), CASE, evaluate) == verdict.of(lost_in_the_north(), CASE, evaluate)
