from collections import Counter

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from pipeline.data import replay, splits

OLD = [f"{number:04d}" for number in range(100)]
SOME = st.lists(st.text("abcdef0123456789", min_size=4, max_size=4), unique=True, max_size=60)
PER_NEW = st.just("all") | st.integers(0, 5)


def table(digests) -> pl.DataFrame:
    ranks = pl.Series([splits.rank(digest) for digest in digests], dtype=pl.UInt64)
    return pl.DataFrame({"digest": list(digests)}, schema={"digest": pl.String}).with_columns(rank=ranks)


def pick(old, num_new, per_new, seed) -> list[str]:
    return replay.pick(table(old), num_new, per_new, seed)["digest"].to_list()


@hypothesis.given(SOME, st.integers(0, 20), PER_NEW, st.integers(0, 2**32))
def test_a_pick_is_a_sorted_part_of_the_old_of_the_right_size(old, num_new, per_new, seed):
    picked = pick(old, num_new, per_new, seed)
    wanted = len(old) if per_new == "all" else per_new * num_new
    assert picked == sorted(set(picked))
    assert len(picked) == min(len(old), wanted)
    assert set(picked) <= set(old)


@hypothesis.given(SOME, st.integers(0, 20), PER_NEW, st.randoms(use_true_random=False))
def test_a_pick_does_not_depend_on_the_order_of_the_old(old, num_new, per_new, random):
    shuffled = random.sample(old, len(old))
    assert pick(shuffled, num_new, per_new, seed=7) == pick(old, num_new, per_new, seed=7)


@pytest.mark.parametrize(("num_new", "per_new"), [(0, 20), (5, 0)])
def test_nothing_is_replayed_for_nothing(num_new, per_new):
    assert pick(OLD, num_new, per_new, seed=7) == []


def test_another_seed_or_another_cycle_picks_others():
    assert pick(OLD, 2, 10, seed=7) != pick(OLD, 2, 10, seed=8)
    assert pick(OLD, 4, 5, seed=7) != pick(OLD, 2, 10, seed=7)


def test_each_old_image_is_as_likely_as_any_other():
    old = table(OLD)
    counts = Counter(digest for seed in range(400) for digest in replay.pick(old, 1, 20, seed)["digest"])
    assert set(counts) == set(OLD)
    assert min(counts.values()) > 40  # 80 expected, five standard deviations
    assert max(counts.values()) < 120


def test_whole_rows_are_picked():
    rows = table(OLD).with_columns(copy=pl.col("digest"))
    assert (picked := replay.pick(rows, 3, 5, 7))["copy"].to_list() == picked["digest"].to_list()


def unlearned(num_old: int, num_new: int) -> np.ndarray:
    """New images in between the old ones."""
    return np.random.default_rng(0).permutation(np.arange(num_old + num_new) < num_new)


NUMBERS = st.tuples(st.integers(0, 60), st.integers(0, 20)).filter(lambda pair: sum(pair))


@hypothesis.given(NUMBERS, PER_NEW, st.integers(1, 3), st.integers(0, 2**32), st.integers(1, 9))
def test_an_epoch_has_every_new_image_so_often_and_so_many_old_ones_once(numbers, per_new, repeated, seed, epoch):
    is_new = unlearned(*numbers)
    order = replay.order(is_new, per_new, repeated, seed, epoch)
    assert len(order) == replay.length(len(is_new), numbers[1], per_new, repeated)
    counts = np.bincount(order, minlength=len(is_new))
    assert (counts[is_new] == repeated).all()
    assert counts[~is_new].max(initial=0) <= 1
    assert (~is_new[order]).sum() == (numbers[0] if per_new == "all" else min(numbers[0], per_new * numbers[1]))


def test_each_epoch_and_each_seed_draws_anew_and_repeatably():
    is_new = unlearned(100, 5)
    first = replay.order(is_new, 4, 1, 7, 1)
    assert np.array_equal(first, replay.order(is_new, 4, 1, 7, 1))
    for seed, epoch in ((7, 2), (8, 1)):
        assert set(first) != set(replay.order(is_new, 4, 1, seed, epoch))
