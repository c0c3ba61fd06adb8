import numpy as np
import polars as pl
import pytest

from pipeline.judging import slicing
from pipeline.judging.slicing import Membership, Pairs, Tally


def table(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(("digest", "slice", "value"), pl.String), orient="row")


def tally(**changes: object) -> Tally:
    return Tally(**{"slice": "site", "value": "north", "images": 34, "before": 13, "gained": 1, "lost": 4, **changes})


ROWS = (
    ("b", "site", "north"),
    ("a", "site", "south"),
    ("a", "camera", "1"),
    ("b", "camera", "1"),
    ("c", "site", "north"),
)


def test_members_are_found_by_digest():
    members = Membership.of(table(*ROWS), ["a", "b", "c"])
    assert members.names == (("camera", "1"), ("site", "north"), ("site", "south"))
    assert members.sizes.tolist() == [2, 2, 1]
    assert members.images.tolist() == [0, 1, 1, 2, 0]


def test_the_order_of_the_rows_and_rows_that_are_there_twice_do_not_matter():
    once, again = (Membership.of(table(*rows), ["a", "b", "c"]) for rows in (ROWS, (*ROWS[::-1], *ROWS)))
    assert once.names == again.names
    assert once.images.tolist() == again.images.tolist()


def test_images_that_are_not_asked_and_values_that_are_unknown_make_no_slice():
    rows = pl.concat([table(*ROWS), pl.DataFrame({"digest": ["a"], "slice": ["age"], "value": [None]})])
    assert Membership.of(rows, ["a"]).names == (("camera", "1"), ("site", "south"))
    assert len(Membership.of(rows, [])) == len(Membership.of(table(), ["a"])) == 0


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_sums_do_not_depend_on_how_much_is_summed_at_once(at_once, monkeypatch):
    rng = np.random.default_rng(7)
    rows = [(str(image), "slice", str(value)) for image, value in rng.integers((50, 20), size=(200, 2))]
    members, values = Membership.of(table(*rows), [str(image) for image in range(50)]), rng.random((50, 3))
    monkeypatch.setattr(slicing, "AT_ONCE", at_once)
    inside = {name: [int(image) for image, _, value in set(rows) if value == name[1]] for name in members.names}
    assert members.sums(values) == pytest.approx(np.stack([values[inside[name]].sum(axis=0) for name in members.names]))


def test_pairs_come_from_logits():
    labels = np.array([0, 1, 1])
    champion = np.array([[2.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    challenger = np.array([[0.0, 2.0], [-1.0, 1.0], [0.0, 5.0]])
    pairs = Pairs.of(labels, champion, challenger)
    assert pairs.champion_right.tolist() == [True, False, True]
    assert pairs.challenger_right.tolist() == [False, True, True]
    assert pairs.champion == pytest.approx([0.8808, 0.5, 0.9933], abs=1e-4)
    assert pairs.lost.tolist() == [1, -1, 0]


@pytest.mark.parametrize("worst", [np.nan, np.inf, -1e9])
def test_logits_that_are_no_numbers_are_wrong_answers(worst):
    broken = np.array([[worst, 0.0], [worst, worst], [3.0, 0.0]])
    pairs = Pairs.of(np.array([1, 1, 0]), np.zeros((3, 2)), broken)
    assert np.isfinite(pairs.challenger).all()
    assert not pairs.challenger_right[0] or worst == -1e9
    assert pairs.challenger_right[2]


def test_slices_that_are_too_small_can_be_left_out():
    members = Membership.of(table(*ROWS, *ROWS), ["a", "b", "c"], at_least=2)
    assert members.names == (("camera", "1"), ("site", "north"))
    assert members.images.tolist() == [0, 1, 1, 2]


def test_counts_are_those_of_each_slice():
    right = np.array([[1, 1], [1, 0], [0, 1]], bool)
    pairs, members = Pairs(*right.T, *right.T.astype(float)), Membership.of(table(*ROWS), ["a", "b", "c"])
    assert members.tallies(members.counts(pairs)) == [
        Tally("camera", "1", images=2, before=2, gained=0, lost=1),
        Tally("site", "north", images=2, before=1, gained=1, lost=1),
        Tally("site", "south", images=1, before=1, gained=0, lost=0),
    ]


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        (1, "site north fell from 13 to 10 of 34"),
        (4, "site north stayed at 13 of 34"),
        (6, "site north rose from 13 to 15 of 34"),
    ],
)
def test_a_change_is_told_in_images(gained, said):
    assert tally(gained=gained).change == said


def test_names_hide_nothing():
    assert tally(slice="a\u202eb", value="x\ny").name == r"'a\u202eb' 'x\ny'"
