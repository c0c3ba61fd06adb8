import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import numpy as np
import pytest
from examples import examples
from hypothesis import strategies as st

from pipeline.data import neighbours
from pipeline.data.neighbours import Reach

REACH = Reach(16, 36, 8)


def expected(every: np.ndarray, start: int, reach: Reach) -> list[tuple[int, int]]:
    """Every pair, one by one."""
    found = []
    for row in range(start, len(every)):
        bits = np.bitwise_count(every[:row] ^ every[row]).astype(int)
        near = [
            (int(whole), other)
            for other, (first, whole) in enumerate(zip(bits[:, 0], bits.sum(axis=1), strict=True))
            if first <= reach.first and whole <= reach.whole
        ]
        found += [(row, other) for _, other in sorted(near)[: reach.most]]
    return found


def plain(every: np.ndarray, start: int = 0, reach: Reach = REACH) -> list[tuple[int, int]]:
    with ThreadPoolExecutor(2) as pool:
        return [(row, other) for row, other in neighbours._plain(every, start, reach, pool).tolist()]


def indexed(every: np.ndarray, start: int = 0, reach: Reach = REACH, count: int = 10**4) -> list[tuple[int, int]]:
    """By the index that so many hashes would have."""
    with ThreadPoolExecutor(2) as pool:
        found = neighbours._indexed(every, start, reach, neighbours._blocks(count, reach), pool)
    return [(row, other) for row, other in found.tolist()]


WAYS = pytest.mark.parametrize("pairs", [plain, indexed])


def flipped(words: np.ndarray, rng: np.random.Generator, most: int) -> np.ndarray:
    """Hashes that differ from these by up to so many bits each."""
    changed = words.copy()
    for row in range(len(changed)):
        for bit in rng.integers(0, 192, rng.integers(0, most + 1)).tolist():
            changed[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return changed


def hashes(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 2**64, (count, 3), np.uint64)


@pytest.mark.parametrize("count", [100, 10**5])
def test_an_index_of_any_number_of_hashes_finds_the_same(count):
    rng = np.random.default_rng(count)
    every = flipped(hashes(rng, 9)[rng.integers(0, 9, 200)], rng, 40)
    assert indexed(every, count=count) == expected(every, 0, REACH)


@WAYS
@examples(40)
@hypothesis.given(
    seed=st.integers(0, 10**6),
    clusters=st.integers(1, 12),
    most=st.sampled_from([0, 3, 20, 34, 50]),
    share=st.sampled_from([0.0, 0.5, 0.99]),
    reach=st.sampled_from([REACH, Reach(64, 36, 3), Reach(9, 20, 1), Reach(2, 60, 8)]),
)
def test_the_pairs_are_those_of_comparing_each_with_each(pairs, seed, clusters, most, share, reach):
    rng = np.random.default_rng(seed)
    every = flipped(hashes(rng, clusters)[rng.integers(0, clusters, 120)], rng, most)
    start = int(share * len(every))
    assert pairs(every, start, reach) == expected(every, start, reach)


@WAYS
def test_planted_twins_are_found_among_many(pairs):
    rng = np.random.default_rng(7)
    old = hashes(rng, 3000)
    every = np.concatenate([old, flipped(old[:300], rng, 36)])
    assert pairs(every, len(old)) == [(3000 + row, row) for row in range(300) if near(every[row], every[3000 + row])]


def near(one: np.ndarray, other: np.ndarray) -> bool:
    bits = np.bitwise_count(one ^ other).astype(int)
    return bool(bits[0] <= REACH.first and bits.sum() <= REACH.whole)


def test_each_bit_of_a_hash_belongs_to_one_block_and_near_hashes_are_near_in_a_block():
    for count in (100, 10**4, 10**6, 10**7):
        blocks = neighbours._blocks(count, REACH)
        assert sorted(bit for block in blocks for bit in block.bits) == list(range(192))
        assert sum(block.radius + 1 for block in blocks) == REACH.whole + 1
        for block in blocks:
            assert len([*block.masks()]) == block.num_masks


@WAYS
def test_equal_hashes_are_compared_once(pairs):
    """A placeholder of many files: each has the first eight as its neighbours, and no more is looked at."""
    every = np.repeat(hashes(np.random.default_rng(7), 1), 3000, axis=0)
    tracemalloc.start()
    try:
        found = pairs(every)
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert found == [(row, other) for row in range(3000) for other in range(min(row, 8))]


@WAYS
def test_of_a_crowd_only_the_nearest_stay_in_memory(pairs, monkeypatch):
    monkeypatch.setattr(neighbours, "PAIRS", 1000)
    monkeypatch.setattr(neighbours, "BLOCK", 64)
    rng = np.random.default_rng(7)
    every = flipped(np.repeat(hashes(rng, 1), 400, axis=0), rng, 12)
    assert pairs(every) == expected(every, 0, REACH)


def test_a_few_are_compared_with_all_and_many_by_an_index(monkeypatch):
    monkeypatch.setattr(neighbours, "_indexed", lambda *_: pytest.fail("an index"))
    every = hashes(np.random.default_rng(7), 20_000)
    neighbours.nearest(every, len(every) - 10, REACH)
    monkeypatch.setattr(neighbours, "_before", lambda *_: pytest.fail("no index"))
    monkeypatch.setattr(neighbours, "_indexed", lambda *_: "index")
    assert neighbours.nearest(np.tile(every, (3, 1)), 0, REACH) == "index"


def test_where_most_are_alike_an_index_is_no_help(monkeypatch):
    """It would find most pairs, and each of them several times."""
    monkeypatch.setattr(neighbours, "_indexed", lambda *_: pytest.fail("an index"))
    monkeypatch.setattr(neighbours, "_before", lambda _, rows, reach: [np.empty(0, np.int64)] * len(rows))  # noqa: ARG005
    rng = np.random.default_rng(7)
    every = hashes(rng, 1)[np.zeros(60_000, int)] ^ (np.uint64(1) << rng.integers(0, 64, (60_000, 3), np.uint64))
    assert len(neighbours.nearest(every, 0, REACH)) == 0


@WAYS
@pytest.mark.parametrize(("count", "start"), [(0, 0), (1, 0), (1, 1), (5, 5)])
def test_without_a_new_hash_or_an_earlier_one_there_are_no_pairs(pairs, count, start):
    assert pairs(hashes(np.random.default_rng(7), count), start) == []
