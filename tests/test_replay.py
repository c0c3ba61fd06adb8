from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline import replay

OLD = [f"{number:04d}" for number in range(100)]
SOME = st.lists(st.text("abcdef0123456789", min_size=4, max_size=4), unique=True, max_size=60)
PER_NEW = st.just("all") | st.integers(0, 5)


@hypothesis.given(SOME, st.integers(0, 20), PER_NEW, st.integers(0, 2**32))
def test_a_pick_is_a_part_of_the_old_of_the_right_size(old, num_new, per_new, seed):
    picked = replay.pick(old, num_new, per_new, seed)
    wanted = len(old) if per_new == "all" else per_new * num_new
    assert len(picked) == len(set(picked)) == min(len(old), wanted)
    assert set(picked) <= set(old)


@hypothesis.given(SOME, st.integers(0, 20), PER_NEW, st.randoms(use_true_random=False))
def test_a_pick_does_not_depend_on_the_order_of_the_old(old, num_new, per_new, random):
    shuffled = random.sample(old, len(old))
    assert replay.pick(shuffled, num_new, per_new, seed=7) == replay.pick(old, num_new, per_new, seed=7)


@pytest.mark.parametrize(("num_new", "per_new"), [(0, 20), (5, 0)])
def test_nothing_is_replayed_for_nothing(num_new, per_new):
    assert replay.pick(OLD, num_new, per_new, seed=7) == []


def test_another_seed_picks_others():
    assert replay.pick(OLD, 2, 10, seed=7) != replay.pick(OLD, 2, 10, seed=8)


def test_each_old_image_is_as_likely_as_any_other():
    counts = Counter(digest for seed in range(400) for digest in replay.pick(OLD, 1, 20, seed))
    assert set(counts) == set(OLD)
    assert min(counts.values()) > 40  # 80 expected, five standard deviations
    assert max(counts.values()) < 120
