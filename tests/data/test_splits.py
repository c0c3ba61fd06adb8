import hashlib
from collections import Counter

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from pipeline.data import splits

DIGESTS = [hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() for number in range(10_000)]
SOME = st.lists(st.sampled_from(DIGESTS), unique=True, max_size=60)


def deal(digests: list[str]) -> dict[str, str]:
    return {digest: splits.assign(digest, 0.15, 0.1) for digest in digests}


def table(digests) -> pl.DataFrame:
    ranks = pl.Series([splits.rank(digest) for digest in digests], dtype=pl.UInt64)
    return pl.DataFrame({"digest": list(digests)}, schema={"digest": pl.String}).with_columns(rank=ranks)


def cap(digests, at_most: int) -> list[str]:
    return splits.cap(table(digests), at_most)["digest"].to_list()


def test_the_shares_are_about_right():
    counts = Counter(deal(DIGESTS).values())
    assert counts["val"] == pytest.approx(1500, abs=110)  # three standard deviations
    assert counts["holdout"] == pytest.approx(1000, abs=90)
    assert counts["train"] == pytest.approx(7500, abs=130)


@hypothesis.given(SOME, SOME, st.randoms(use_true_random=False))
def test_a_split_sticks_whatever_comes_before_beside_or_after(digests, more, random):
    mixed = random.sample(digests + more, len(digests + more))
    assert deal(digests).items() <= deal(mixed).items()


def test_the_split_is_the_one_of_every_earlier_release():
    """Changing how splits are dealt would train tomorrow's model on yesterday's holdout images."""
    dealt = [splits.assign(digest, 0.15, 0.1) for digest in DIGESTS[12:18]]
    assert dealt == ["holdout", "val", "val", "train", "train", "val"]


def test_a_larger_holdout_takes_nothing_from_the_holdout():
    small = {digest for digest in DIGESTS if splits.assign(digest, 0.15, 0.1) == "holdout"}
    large = {digest for digest in DIGESTS if splits.assign(digest, 0.15, 0.2) == "holdout"}
    assert small < large


def test_ranks_are_spread_evenly_and_do_not_follow_the_digest():
    ranks = [splits.rank(digest) / 2**64 for digest in sorted(DIGESTS)]
    assert all(0 <= rank < 1 for rank in ranks)
    assert len(set(ranks)) == len(ranks)
    assert sum(ranks[:5000]) / 5000 == pytest.approx(0.5, abs=0.02)


@hypothesis.given(SOME, st.integers(1, 70), st.randoms(use_true_random=False))
def test_a_cap_is_kept_and_does_not_depend_on_order(digests, at_most, random):
    sample = cap(digests, at_most)
    assert sample == sorted(sample)
    assert len(sample) == min(len(digests), at_most)
    assert set(sample) <= set(digests)
    assert cap(random.sample(digests, len(digests)), at_most) == sample


@hypothesis.given(SOME, st.sampled_from(DIGESTS), st.integers(1, 70))
def test_one_more_image_takes_the_place_of_at_most_one(digests, new, at_most):
    before, after = cap(set(digests) - {new}, at_most), cap({*digests, new}, at_most)
    assert len(set(before) - set(after)) <= 1
    assert set(after) - set(before) <= {new}


@hypothesis.given(SOME.filter(bool), st.integers(1, 70), st.data())
def test_the_place_of_a_removed_image_is_taken_by_the_next_in_rank(digests, at_most, data):
    gone = data.draw(st.sampled_from(digests))
    before, after = cap(digests, at_most), cap([digest for digest in digests if digest != gone], at_most)
    waiting = sorted(set(digests) - set(before), key=splits.rank)
    taken = set(waiting[:1]) if gone in before else set()
    assert set(after) == set(before) - {gone} | taken


@hypothesis.given(SOME, st.integers(1, 70), st.integers(0, 30))
def test_a_larger_cap_keeps_the_smaller_sample(digests, at_most, more):
    assert set(cap(digests, at_most)) <= set(cap(digests, at_most + more))


def test_a_tenth_more_images_change_about_a_tenth_of_the_sample():
    before, after = cap(DIGESTS[:5000], 1000), cap(DIGESTS[:5500], 1000)
    assert len(after) == 1000
    assert len(set(after) - set(before)) == pytest.approx(91, abs=27)  # 1000 * 500 / 5500, three deviations


def test_other_columns_stay_with_their_image():
    rows = table(DIGESTS[:50]).with_columns(copy=pl.col("digest"))
    assert (capped := splits.cap(rows, 10))["copy"].to_list() == capped["digest"].to_list()


def test_what_is_not_meant_for_anything_is_left_to_its_content():
    assert splits.complete([None, "val", None], ["a", "b", "c"], 0.5, 0.5) == [None, "val", None]


def test_splits_that_nobody_made_are_dealt_from_train_and_no_others():
    meant = [*["train"] * 4000, *["holdout"] * 1000]
    dealt = splits.complete(meant, DIGESTS[:5000], 0.2, 0.3)
    assert set(dealt[4000:]) == {"holdout"}
    assert set(dealt[:4000]) == {"train", "val"}
    assert dealt[:4000].count("val") == pytest.approx(800, abs=80)
    both = splits.complete(["train"] * 4000 + ["val"], DIGESTS[:4001], 0.2, 0.3)
    assert both.count("holdout") == pytest.approx(1200, abs=100)
    assert both.count("val") == 1
    assert splits.complete(["train", "val", "holdout"], DIGESTS[:3], 0.4, 0.4) == ["train", "val", "holdout"]
