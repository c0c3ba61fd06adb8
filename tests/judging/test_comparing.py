"""What card, pictures and report draw is what the predictions say."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.artifacts.comparison import ALIKE, ALL, KNOWN, NEW, NEW_LABELS, OLD, Confused, Doubters, ModelComparison
from pipeline.judging import comparing, parts
from pipeline.judging.comparing import MAX_FLIPS, InDoubt, compare
from pipeline.judging.paired import lower_bound
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Answers, Predictions
from pipeline.judging.settings import Evaluate
from pipeline.settings import Params

NAMES = ("cat", "dog", "hat")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
OURS = np.array([0, 0, 1, 1, 1, 1, 1, 0, 2, 0])
THEIRS = np.array([0, 0, 0, 0, 1, 0, 0, 0, 1, 1])
SURE = np.array([9, 8, 3, 5, 9, 8, 4, 6, 9, 2.0])
"""Logits of the challenger's answers: how sure it is."""
PATHS = {str(number): f"data/images/first/{number}.png" for number in range(10)}


def answered(predicted: np.ndarray, known: tuple[bool, ...], sure: np.ndarray = SURE) -> Answers:
    return Answers.of(sure[:, None] * np.eye(3)[predicted], LABELS, np.array(known))


def made(known: tuple[bool, ...] | None = (True, True, False), is_new: tuple[int, ...] = (3, 7, 8, 9)) -> Predictions:
    """Of both models; of the challenger alone where nobody says what the champion knows."""
    said = {CHALLENGER: answered(OURS, (True,) * 3)}
    new = np.isin(np.arange(10), is_new) if known else np.ones(10, bool)
    if known:
        said[CHAMPION] = answered(THEIRS, known, np.full(10, 5.0))
    schema = dict.fromkeys(("digest", "slice", "value"), pl.String)
    slices = pl.DataFrame([(str(n), "site", "north" if n < 5 else "south") for n in range(10)], schema, orient="row")
    return Predictions(NAMES, tuple(map(str, range(10))), LABELS, new, new, slices, said)


def compared(evaluate: Evaluate, predictions: Predictions, champion: int | None = 3, **changes: Any) -> ModelComparison:
    evaluate = evaluate.model_copy(update=changes)
    breakdown = parts.of(predictions, evaluate) if champion else None
    return compare(predictions, champion, breakdown, evaluate, PATHS, InDoubt())


def test_each_part_of_the_holdout_has_both_scores_and_the_bound_of_their_difference(settings: Params) -> None:
    predictions = made()
    found = {one.name: one for one in compared(settings.evaluate, predictions).parts}
    assert list(found) == [ALL, KNOWN, NEW_LABELS, OLD, NEW]
    assert [(one.images, one.champion, one.challenger) for one in found.values()] == [
        (10, 0.5, 0.6),
        (8, 5 / 8, 5 / 8),
        (2, None, 0.5),
        (6, 4 / 6, 5 / 6),
        (4, 1 / 4, 1 / 4),
    ]
    rows = {ALL: slice(None), KNOWN: LABELS < 2, OLD: ~predictions.is_new, NEW: predictions.is_new}
    for name, chosen in rows.items():
        bound = lower_bound(predictions.counts(CHAMPION, chosen), settings.evaluate.confidence)
        assert found[name].at_least == pytest.approx(bound)
    assert found[NEW_LABELS].at_least is None
    assert found[ALL].change == pytest.approx(0.1)


def test_where_each_label_counts_alike_that_is_a_part_too(settings: Params) -> None:
    predictions = made()
    alike = compared(settings.evaluate, predictions, metric="balanced_accuracy").part(ALIKE)
    assert alike is not None
    assert alike.challenger == pytest.approx((0.5 + 0.75 + 0.5) / 3)
    assert alike.champion == pytest.approx((1.0 + 0.25 + 0.0) / 3)
    bound = lower_bound(predictions.compared(CHAMPION, "balanced_accuracy"), settings.evaluate.confidence)
    assert alike.at_least == pytest.approx(bound)
    assert compared(settings.evaluate, predictions).part(ALIKE) is None


def test_without_a_champion_there_is_one_part_and_nothing_flips(settings: Params) -> None:
    first = compared(settings.evaluate, made(known=None), champion=None)
    assert [(one.name, one.champion, one.challenger) for one in first.parts] == [(ALL, None, 0.6)]
    assert (first.num_lost, first.num_won, first.lost, first.won, first.slices) == (0, 0, (), (), ())
    assert [(one.label, one.champion, one.challenger, one.finding) for one in first.labels] == [
        ("cat", None, 2, None),
        ("dog", None, 3, None),
        ("hat", None, 1, None),
    ]
    assert first.new_labels == ()


def test_labels_stand_in_the_order_of_the_outputs_with_what_both_get_right(settings: Params) -> None:
    comparison = compared(settings.evaluate, made())
    assert [(one.label, one.images, one.champion, one.challenger) for one in comparison.labels] == [
        ("cat", 4, 4, 2),
        ("dog", 4, 1, 3),
        ("hat", 2, None, 1),
    ]
    assert comparison.new_labels == ("hat",)
    assert comparison.labels[0].finding == "too few"
    assert comparison.labels[0].change == -0.5
    assert comparison.labels[2].change is None


def test_flips_are_listed_with_what_both_say_the_surest_first(settings: Params) -> None:
    comparison = compared(settings.evaluate, made())
    assert [one.digest for one in comparison.lost] == ["3", "2"]
    assert [one.digest for one in comparison.won] == ["8", "5", "6"]
    assert (comparison.num_lost, comparison.num_won) == (2, 3)
    first = comparison.lost[0]
    assert (first.path, first.label, first.champion, first.challenger) == (PATHS["3"], "cat", "cat", "dog")
    assert first.challenger_probability == pytest.approx(np.exp(5) / (np.exp(5) + 2), abs=1e-6)
    assert first.champion_probability == pytest.approx(np.exp(5) / (np.exp(5) + 2), abs=1e-6)


def test_of_many_flips_the_first_are_listed_and_all_are_counted(
    settings: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_FLIPS >= 24
    monkeypatch.setattr(comparing, "MAX_FLIPS", 1)
    comparison = compared(settings.evaluate, made())
    assert [one.digest for one in (*comparison.lost, *comparison.won)] == ["3", "8"]
    assert (comparison.num_lost, comparison.num_won) == (2, 3)


def test_a_champion_that_knows_no_label_gives_no_answer_and_can_lose_nothing(settings: Params) -> None:
    comparison = compared(settings.evaluate, made(known=(False, False, False)))
    assert comparison.num_lost == 0
    assert {one.champion for one in comparison.won} == {None}
    assert [one.name for one in comparison.parts] == [ALL, NEW_LABELS, OLD, NEW]
    assert comparison.everything.champion == 0


def test_slices_are_listed_the_surely_worse_first_then_the_largest_fall(settings: Params) -> None:
    comparison = compared(settings.evaluate, made(known=(True, True, True)))
    found = [(one.value, one.images, one.champion, one.challenger) for one in comparison.slices]
    assert found == [("north", 5, 5, 3), ("south", 5, 0, 3)]
    assert not any(one.is_worse for one in comparison.slices)


def test_confusions_of_both_models_add_up_to_the_images(settings: Params) -> None:
    found = compared(settings.evaluate, made()).confused
    assert sum(one.challenger for one in found) == sum(one.champion for one in found) == 10
    assert Confused(actual="cat", predicted="dog", champion=0, challenger=2) in found
    assert Confused(actual="hat", predicted="dog", champion=2, challenger=0) in found
    assert all(one.champion or one.challenger for one in found)


def test_it_is_read_as_it_was_written(settings: Params, tmp_path: Any) -> None:
    in_doubt = InDoubt(num_suspicious=2, doubters=Doubters(right=3, images=4), undoubted=("hat",))
    predictions = made()
    breakdown = parts.of(predictions, settings.evaluate)
    comparison = compare(predictions, 3, breakdown, settings.evaluate, {}, in_doubt)
    comparison.write(tmp_path / "comparison.json")
    assert ModelComparison.read(tmp_path / "comparison.json") == comparison
    assert comparison.lost[0].path == ""
    assert comparison.doubters == Doubters(right=3, images=4)
