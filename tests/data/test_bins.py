import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.data import bins


def test_a_fact_is_cut_into_quarters_called_by_their_ends():
    names = bins.quarters(np.arange(100) / 100)
    assert [names[0], names[30], names[60], names[99]] == ["0 to 0.24", "0.25 to 0.49", "0.5 to 0.74", "0.75 to 0.99"]
    assert {name: names.count(name) for name in names} == dict.fromkeys(names, 25)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([32, 32, 64, 64], ("32", "32", "64", "64")),
        ([32] * 9 + [64], (*["32"] * 9, "64")),
        ([5.0, 5.0, 5.0], (None, None, None)),
        ([None, math.nan, math.inf, -math.inf], (None,) * 4),
        ([], ()),
        ([7], (None,)),
        ([None, 1, 2], (None, "1", "2")),
        ([-0.0, 0.0, 1.0], ("0", "0", "1")),
    ],
    ids=str,
)
def test_few_values_equal_values_and_unknown_values(values, names):
    assert bins.quarters(values) == names


def test_bins_that_are_close_get_more_digits():
    assert set(bins.quarters([0.50001, 0.50002])) == {"0.50001", "0.50002"}


def test_large_numbers_are_written_out():
    assert set(bins.quarters([1024, 4000])) == {"1024", "4000"}


@hypothesis.given(st.lists(st.none() | st.floats(width=32), max_size=60))
def test_any_fact_is_cut_in_order(values):
    names = bins.quarters(values)
    assert len(names) == len(values)
    known = sorted((value, name) for value, name in zip(values, names, strict=True) if name is not None)
    assert len({name for _, name in known}) <= bins.BINS
    # Images with one name are neighbours, and equal values have one name.
    changes = [place for place in range(1, len(known)) if known[place][1] != known[place - 1][1]]
    assert len(changes) == max(0, len({name for _, name in known}) - 1)
    assert all(known[place][0] > known[place - 1][0] for place in changes)


def test_ages_are_told_in_cycles():
    asked = [0, 1, 2, 3, 8, 9, 1000, None, -1]
    assert bins.ages(asked) == (
        "this cycle",
        *["1 to 2 cycles ago"] * 2,
        *["3 to 8 cycles ago"] * 2,
        *["9 or more cycles ago"] * 2,
        None,
        None,
    )
