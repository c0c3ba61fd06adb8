import hashlib
from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline import splits

DIGESTS = [hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() for number in range(10_000)]
SOME = st.lists(st.sampled_from(DIGESTS), unique=True, max_size=60)


def deal(digests: list[str]) -> dict[str, str]:
    return {digest: splits.assign(digest, 0.15, 0.1) for digest in digests}


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
    ranks = [splits.rank(digest) for digest in sorted(DIGESTS)]
    assert all(0 <= rank < 1 for rank in ranks)
    assert len(set(ranks)) == len(ranks)
    assert sum(ranks[:5000]) / 5000 == pytest.approx(0.5, abs=0.02)


@hypothesis.given(SOME, st.integers(1, 70), st.randoms(use_true_random=False))
def test_a_cap_is_kept_and_does_not_depend_on_order(digests, at_most, random):
    sample = splits.cap(iter(digests), at_most)
    assert sample == sorted(sample)
    assert len(sample) == min(len(digests), at_most)
    assert set(sample) <= set(digests)
    assert splits.cap(random.sample(digests, len(digests)), at_most) == sample


@hypothesis.given(SOME, st.sampled_from(DIGESTS), st.integers(1, 70))
def test_one_more_image_takes_the_place_of_at_most_one(digests, new, at_most):
    before, after = splits.cap(set(digests) - {new}, at_most), splits.cap({*digests, new}, at_most)
    assert len(set(before) - set(after)) <= 1
    assert set(after) - set(before) <= {new}


def test_a_tenth_more_images_change_about_a_tenth_of_the_sample():
    before, after = splits.cap(DIGESTS[:5000], 1000), splits.cap(DIGESTS[:5500], 1000)
    assert len(after) == 1000
    assert len(set(after) - set(before)) == pytest.approx(91, abs=27)  # 1000 * 500 / 5500, three deviations
