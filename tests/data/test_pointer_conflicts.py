import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.data import conflicts


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "both"),
    [
        ({}, {"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}),
        ({"a": "1", "b": "2"}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}, {"a": "1", "c": "3"}),
        ({"a": "1"}, {"a": "2"}, {"a": "1"}, {"a": "2"}),
        ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1", "b": "2"}, {"b": "2"}, {"b": "2"}, {"b": "2"}),
        ({}, {"a": "1"}, {"a": "1"}, {"a": "1"}),
        ({"a": "1"}, {"a": "2"}, {"a": "3"}, ["a"]),
        ({"a": "1"}, {"a": "2"}, {}, ["a"]),
        ({}, {"a": "1", "b": "1"}, {"a": "2", "b": "2"}, ["a", "b"]),
    ],
)
def test_what_each_side_did_is_done(base, ours, theirs, both):
    assert conflicts.merged(base, ours, theirs) == both
    assert conflicts.merged(base, theirs, ours) == both


LISTINGS = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("123"))


@hypothesis.given(LISTINGS, LISTINGS)
def test_a_side_that_did_nothing_changes_nothing(base, side):
    assert conflicts.merged(base, base, side) == conflicts.merged(base, side, base) == side


@hypothesis.given(LISTINGS, LISTINGS, LISTINGS)
def test_nothing_that_a_side_added_or_changed_is_lost(base, ours, theirs):
    both = conflicts.merged(base, ours, theirs)
    done = (ours.items() | theirs.items()) - base.items()
    assert isinstance(both, list) or done <= both.items()
