from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline.judging.paired import Counts, Hits
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions

NAMES = ("cat", "dog", "hat")
SLICES = pl.DataFrame(
    [("a", "site", "north"), ("a", "site", "south"), ("b", "site", "north"), ("e", "is_new", "yes")],
    schema=["digest", "slice", "value"], orient="row",
)  # fmt: skip
LABELS = np.array([0, 0, 1, 1, 2])


def answers(predicted: list[int], is_known: tuple[bool, bool, bool] = (True, True, True)) -> Answers:
    """Nearly sure of these labels."""
    return Answers.of(8.0 * np.eye(3)[predicted], LABELS, np.array(is_known))


@pytest.fixture
def predictions() -> Predictions:
    """The champion and the anchor do not know hats."""
    return Predictions(
        names=NAMES,
        digests=("a", "b", "c", "d", "e"),
        labels=LABELS,
        is_new=np.array([False, False, False, True, True]),
        is_fresh=np.array([False, True, False, True, True]),
        slices=SLICES,
        answers={
            CHALLENGER: answers([0, 1, 1, 1, 2]),
            CHAMPION: answers([0, 0, 0, 1, 1], (True, True, False)),
            ANCHOR: answers([1, 1, 1, 1, 1], (True, True, False)),
        },
    )


def test_counts_are_of_the_challenger_and_another_on_some_images(predictions: Predictions) -> None:
    assert predictions.counts(CHAMPION) == Counts(both=2, champion_only=1, challenger_only=2, neither=0)
    familiar = predictions.is_familiar(CHAMPION)
    assert familiar.tolist() == [True, True, True, True, False]
    assert predictions.counts(CHAMPION, familiar) == Counts(both=2, champion_only=1, challenger_only=1, neither=0)
    assert predictions.counts(ANCHOR, predictions.is_fresh) == Counts(1, 0, 1, 1)
    assert predictions.hits_on_new == Hits(2, 2)


def test_a_label_without_an_output_has_no_probability(predictions: Predictions) -> None:
    said = predictions.answers[CHAMPION]
    assert np.isnan(said.truth[-1])
    assert said.truth[0] == pytest.approx(np.exp(8) / (np.exp(8) + 2), rel=1e-5)
    assert said.truth[2] == pytest.approx(1 / (np.exp(8) + 2), rel=1e-5)
    assert said.probability[2] == pytest.approx(np.exp(8) / (np.exp(8) + 2), rel=1e-5)


def test_the_table_says_all_in_words(predictions: Predictions) -> None:
    table = predictions.table()
    row: dict[str, Any] = table.row(4, named=True)
    assert {name: row[name] for name in ("digest", "label", "is_new", "is_fresh")} == {
        "digest": "e", "label": "hat", "is_new": True, "is_fresh": True,
    }  # fmt: skip
    assert [row[name] for name in (CHALLENGER, CHAMPION, ANCHOR)] == ["hat", "dog", "dog"]
    assert row["champion_truth"] is None
    assert table["champion_probability"].dtype == pl.Float32
    assert table["slice site"].to_list() == [["north", "south"], ["north"], None, None, None]
    assert table["slice is_new"].to_list()[-1] == ["yes"], "a column of people is never taken for one of ours"


def test_predictions_are_what_their_table_says(predictions: Predictions) -> None:
    read = Predictions.from_table(predictions.table(), NAMES)
    assert (read.names, read.digests) == (NAMES, predictions.digests)
    for other in (CHAMPION, ANCHOR):
        rows = read.is_familiar(other)
        assert rows.tolist() == predictions.is_familiar(other).tolist()
        assert read.counts(other, rows) == predictions.counts(other, rows)
    assert read.hits_on_new == predictions.hits_on_new
    assert sorted(read.slices.iter_rows()) == sorted(SLICES.iter_rows())


def test_a_model_that_knows_none_of_the_labels_is_never_right_by_chance() -> None:
    unknown = Answers.of(np.full((5, 3), -1e9, np.float32), LABELS, np.zeros(3, bool))
    assert not (unknown.predicted == LABELS).any()
    assert not unknown.is_familiar.any()


def test_without_a_champion_there_is_one_model(predictions: Predictions) -> None:
    alone = Predictions(
        NAMES, predictions.digests, LABELS, predictions.is_new, predictions.is_fresh, SLICES,
        {CHALLENGER: predictions.answers[CHALLENGER]},
    )  # fmt: skip
    assert not [name for name in alone.table().columns if name.startswith((CHAMPION, ANCHOR))]
    assert set(Predictions.from_table(alone.table(), NAMES).answers) == {CHALLENGER}
