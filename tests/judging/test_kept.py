"""A table of predictions that is not what was written is told before anything is made of it."""

import numpy as np
import polars as pl
import pytest

from pipeline.judging import kept
from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, Answers, Predictions

NAMES = ("cat", "dog")


@pytest.fixture
def table() -> pl.DataFrame:
    labels, known = np.array([0, 1, 1]), np.array([True, True])
    answers = Answers.of(8.0 * np.eye(2)[[0, 1, 0]], labels, known)
    new = Answers.of(8.0 * np.eye(2)[[0, 1, 0]], labels, np.array([True, False]))
    return Predictions(
        names=NAMES,
        digests=("a", "b", "c"),
        labels=labels,
        is_new=np.zeros(3, bool),
        is_fresh=np.zeros(3, bool),
        slices=pl.DataFrame([("a", "site", "north")], schema=["digest", "slice", "value"], orient="row"),
        answers={CHALLENGER: answers, CHAMPION: new, ANCHOR: new},
    ).table()


def test_what_was_written_is_whole_and_may_have_more_columns(table: pl.DataFrame) -> None:
    assert kept.fault(table, NAMES, has_champion=True) == ""
    assert kept.fault(table.with_columns(more=1), NAMES, has_champion=True) == ""
    first = table.select(name for name in table.columns if not name.startswith((CHAMPION, ANCHOR)))
    assert kept.fault(first, NAMES, has_champion=False) == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table.drop("anchor"), "it lacks the column anchor"),
        (lambda table: table.drop("champion_truth"), "it lacks the column champion_truth"),
        (
            lambda table: table.with_columns(pl.col("is_new").cast(pl.Int8)),
            "its column is_new is Int8; expected Boolean",
        ),
        (
            lambda table: table.with_columns(pl.col("slice site").list.first()),
            "its column slice site is String; expected lists of texts",
        ),
        (lambda table: table.clear(), "it has no image"),
        (lambda table: table.with_columns(champion=pl.lit(None, pl.String)), "its column champion has gaps"),
        (
            lambda table: table.with_columns(label=pl.lit("cow")),
            "its column label has 'cow', which is no label of the version",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(table: pl.DataFrame, change, fault: str) -> None:
    assert kept.fault(change(table), NAMES, has_champion=True) == fault
