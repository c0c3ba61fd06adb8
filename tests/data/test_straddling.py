"""What there is to say of groups."""

import polars as pl
import pytest

from pipeline.data import ledger, straddling
from pipeline.data.groups import Grouping

NOBODY = Grouping(
    pl.DataFrame(schema={"digest": pl.String, "group": pl.String, "is_torn": pl.Boolean}),
    pl.DataFrame(schema={"digest": pl.String, "name": pl.String}),
    (),
)


def rows(*images: tuple[str, list[str]], **columns: object) -> pl.DataFrame:
    """A ledger of images, each with split and names of groups."""
    made = pl.DataFrame(
        {
            "digest": [f"d{n}" for n in range(len(images))],
            "path": [f"data/images/a/{n}.png" for n in range(len(images))],
            "split": [split for split, _ in images],
            "named": [names for _, names in images],
            "removed": False,
            "torn": False,
        },
        schema_overrides={"named": pl.List(pl.String)},
    )
    return ledger.completed(made.with_columns(**columns), made.columns)


def said(images: pl.DataFrame, grouping: Grouping = NOBODY, new: int = 0) -> list[str]:
    return straddling.sentences(grouping, images, images.head(new))


def test_where_nobody_named_groups_nothing_is_said():
    assert said(rows(("train", []), ("val", [])), new=2) == []
    assert straddling.hint(rows(("train", []))) == straddling.hint(rows(("train", ["p"]))) == ""


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([["p"], ["p"], ["q"]], "3 new images in 2 groups, each in one split"),
        ([["p"], ["q"], ["r"]], "3 new images in 3 groups, one each: the groups hold nothing together"),
        ([["p"], [], []], "1 new image in 1 group, one each: the groups hold nothing together"),
        ([["p", "q"], ["p"], ["q"]], "3 new images in 2 groups, each in one split"),
    ],
)
def test_it_is_said_how_many_new_images_are_in_groups(names, what):
    assert said(rows(*(("train", of) for of in names), *[("train", [])] * 3), new=3)[0] == what


def test_groups_in_two_splits_are_counted_and_named():
    images = rows(("train", ["p"]), ("train", ["p"]), ("holdout", ["p"]), ("val", ["q"]), ("val", []), ("train", ["r"]))
    assert straddling.found(images).rows() == [("p", "holdout", 1), ("p", "train", 2)]
    (warning,) = said(images)
    assert warning.startswith("warning: 1 group straddles the splits (2 train, 1 holdout), e.g. 'p': the images were ")
    two = rows(*(("train", ["p", "q"]), ("val", ["p", "q"])), *[("train", [])] * 9)
    assert said(two)[0].startswith("warning: 2 groups straddle the splits (2 train, 2 val), e.g. 'p': ")
    assert straddling.found(images.with_columns(removed=pl.col("split") == "holdout")).is_empty()
    assert straddling.found(images.with_columns(torn=pl.col("split") == "holdout")).is_empty()


def test_what_is_left_out_is_said():
    torn = pl.DataFrame({"digest": ["d0", "d1"], "group": ["d0", "d1"], "is_torn": [True, True]})
    images = rows(("train", []), ("val", []))
    assert said(images, NOBODY._replace(newcomers=torn)) == [
        "2 new images tie images of different splits, as near-duplicates or by groups, and can be in none of them; "
        "left out"
    ]
    assert said(images, NOBODY._replace(newcomers=torn.head(1)))[0].startswith("1 new image ties images of different ")
    assert said(images, NOBODY._replace(torn=("d1", "d0"))) == [
        "warning: 2 known images are said to be of a group in another split, e.g. 'data/images/a/1.png' of val; splits "
        "never move, so they are left out for good"
    ]


def test_a_group_of_most_images_is_warned_of_and_named_where_a_split_lacks_images():
    images = rows(*[("train", ["p"])] * 6, *[("val", ["q"])] * 2, *[("val", [])] * 3)
    (warning,) = said(images)
    assert warning == (
        "warning: the group 'p' has 6 of 11 images, which share a split; if its name stands for no one thing, give "
        "smaller groups in labels.csv or by prepare.group"
    )
    assert straddling.hint(images).startswith("; a group goes to one split, and 'p' alone has 6 images: add images of ")
    assert said(rows(*[("train", ["p"])] * 5, *[("val", [])] * 5)) == []
