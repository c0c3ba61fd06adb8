"""Neighbours: which of many hashes lie near each other, by Hamming distance; exact. Pure.

A few new hashes are compared with all others. Of many at once all near pairs are found by multi-index hashing
(Norouzi, Punjani and Fleet 2012, "Fast search in Hamming space with multi-index hashing"). The bits are dealt to m
blocks; two hashes within a distance of d differ by no more than d // m bits in some block. So only those have to be
compared that are near in a block. The number of blocks is chosen for the least work.

`python -m benchmarks.twins`: a first cycle of 1,000,000 hashes takes 50 seconds of one core and 200 MiB, 1,000 new ones
beside them 2 seconds. By the same reckoning as `_cost`, 10,000,000 take 25 minutes of one core.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

BITS = 192
"""Of a hash."""

MIN_BLOCKS = 8
"""So that a table of all values of a block, 24 bits, fits into memory."""

BLOCK = 1 << 16
"""Hashes compared at once with one: what stays in a core's cache."""

PAIRS = 1 << 22
"""Near pairs in memory, before all but the nearest go."""

PARTS = 256
"""Into which the work is divided; what each found waits in memory."""

PER_PAIR, PER_MASK, PER_BUCKET = 1.5, 20, 30_000
"""Nanoseconds, to choose what is cheaper: for a pair that is compared; and, with an index, for a bucket as such and for
each difference of keys that it looks up."""

SAMPLE = 1 << 18
"""Pairs drawn at random, to see how many more the index finds than among hashes of random bits."""


class Reach(NamedTuple):
    """What counts as near."""

    first: int
    """Bits in which the first words of 64 bits may differ: a first sieve."""
    whole: int
    """Bits in which the hashes may differ."""
    most: int
    """Neighbours of a hash: the nearest; of equally near ones those that stand first."""


class _Block(NamedTuple):
    """Some of the bits, and in how many of them a near pair may differ so that this block finds it."""

    bits: tuple[int, ...]
    radius: int

    @property
    def num_masks(self) -> int:
        """How many differences there are."""
        return sum(math.comb(len(self.bits), flipped) for flipped in range(self.radius + 1))

    def masks(self) -> Iterator[int]:
        """The differences within the radius, as a key's bits."""
        for flipped in range(self.radius + 1):
            for places in combinations(range(len(self.bits)), flipped):
                yield sum(1 << place for place in places)


def nearest(every: "np.ndarray", start: int, reach: Reach, threads: int = 2) -> "np.ndarray":
    """The near neighbours of each hash from row `start` on, among those that stand before it.

    Args:
        every: uint64 (hashes, 3).
        start: row.
        reach: what counts as near.
        threads: that compare at once; numpy compares outside Python's lock.

    Returns:
        int64 (pairs, 2): row, and row of the neighbour; sorted by row, then nearest first.
    """
    num_new = len(every) - start
    plain = num_new * (PER_BUCKET + PER_PAIR * (start + num_new / 2))
    blocks = _blocks(len(every), reach)
    with ThreadPoolExecutor(threads) as pool:
        if plain > _cost(len(every), blocks) and plain > _cost(len(every), blocks, _excess(every, blocks)):
            return _indexed(every, start, reach, blocks, pool)
        return _plain(every, start, reach, pool)


def _plain(every: "np.ndarray", start: int, reach: Reach, pool: ThreadPoolExecutor) -> "np.ndarray":
    import numpy as np

    parts = pool.map(partial(_before, every, reach=reach), _parts(start, len(every)))
    near = [others for part in parts for others in part]
    rows = np.repeat(np.arange(start, len(every)), [len(others) for others in near])
    return np.stack([rows, np.concatenate([*near, np.empty(0, np.int64)])], axis=1)


def _parts(start: int, end: int) -> list[range]:
    """Rows from `start` to before `end`, in parts for the threads."""
    size = max(1, -(-(end - start) // PARTS))
    return [range(place, min(place + size, end)) for place in range(start, end, size)]


def _before(every: "np.ndarray", rows: range, reach: Reach) -> "list[np.ndarray]":
    """For each of some rows the rows before it whose hashes are near its own, the nearest first."""
    import numpy as np

    first, nearest = np.ascontiguousarray(every[: rows.stop, 0]), []
    differing, count = _scratch(BLOCK)
    for row in rows:
        near = [np.empty(0, np.int64)]
        for start in range(0, row, BLOCK):
            size = min(BLOCK, row - start)
            np.bitwise_xor(first[start : start + size], first[row], out=differing[:size])
            np.bitwise_count(differing[:size], out=count[:size])
            if count[:size].min() <= reach.first:
                near.append(start + np.flatnonzero(count[:size] <= reach.first))
        others = np.concatenate(near)
        distance = np.bitwise_count(every[others] ^ every[row]).sum(axis=1, dtype=np.int64)
        others, distance = others[distance <= reach.whole], distance[distance <= reach.whole]
        nearest.append(others[distance.argsort(kind="stable")[: reach.most]])
    return nearest


def _scratch(size: int) -> "tuple[np.ndarray, np.ndarray]":
    """For differing bits and their number: new memory for each result takes longer than to compute it."""
    import numpy as np

    return np.empty(size, np.uint64), np.empty(size, np.uint8)


def _blocks(count: int, reach: Reach) -> list[_Block]:
    """The blocks that make the least work of so many hashes."""
    dealt = []
    for number in range(MIN_BLOCKS, min(24, reach.whole) + 1):
        radius, more = divmod(reach.whole, number)
        # Were it more in each of these, and no less than the radius in each of the others, it would be too much in all.
        dealt.append(
            [
                # Neighbouring bits are alike in pictures, so they are dealt to different blocks.
                _Block(tuple(range(place, BITS, number)), radius if place <= more else radius - 1)
                for place in range(number)
            ]
        )
    return min(dealt, key=lambda blocks: _cost(count, blocks))


def _cost(count: int, blocks: list[_Block], excess: float = 1.0) -> float:
    """Nanoseconds that one core needs to compare so many hashes by an index.

    Args:
        count: of the hashes.
        blocks: of the index.
        excess: how many more pairs it finds than among hashes of random bits.
    """
    cost = 0.0
    for block in blocks:
        values = 1 << len(block.bits)
        cost += min(count, values) * (PER_BUCKET + PER_MASK * block.num_masks)
        cost += PER_PAIR * excess * block.num_masks * count**2 / 2 / values
    return cost


def _excess(every: "np.ndarray", blocks: list[_Block]) -> float:
    import numpy as np

    rng = np.random.default_rng(7)
    one, other = rng.integers(0, len(every), (2, SAMPLE))
    differing = every[one] ^ every[other]
    found = sum(
        int((np.bitwise_count(_keys(differing, block)) <= block.radius)[one != other].sum()) for block in blocks
    )
    expected = sum(block.num_masks / (1 << len(block.bits)) for block in blocks)
    return max(1.0, found / (SAMPLE * expected))


def _keys(words: "np.ndarray", block: _Block) -> "np.ndarray":
    """A block's bits of each hash, as uint32."""
    import numpy as np

    keys = np.zeros(len(words), np.uint32)
    for place, bit in enumerate(block.bits):
        keys |= ((words[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).astype(np.uint32) << np.uint32(place)
    return keys


def _indexed(
    every: "np.ndarray", start: int, reach: Reach, blocks: list[_Block], pool: ThreadPoolExecutor
) -> "np.ndarray":
    import numpy as np

    order, rank = _ranks(every)
    # Of equal hashes only the first can be anyone's nearest; those after them have these as their neighbours.
    kept = np.sort(order[rank < reach.most])
    late = (rank >= reach.most) & (order >= start)
    firsts = (np.flatnonzero(late) - rank[late])[:, None] + np.arange(reach.most)
    found = _Found(reach.most)
    found.add(np.repeat(order[late], reach.most), order[firsts].ravel(), np.zeros(firsts.size, np.uint8))
    for block in blocks:
        index = _Index(every[kept], kept, block)
        for pairs in pool.map(partial(index.near, start=start, reach=reach), index.parts()):
            found.add(*pairs)
    rows, others, _ = found.kept()
    return np.stack([rows, others], axis=1)


def _ranks(every: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Rows sorted so that equal hashes are neighbours, earlier rows first; and for each how many equal ones precede."""
    import numpy as np

    order = np.lexsort((every[:, 2], every[:, 1], every[:, 0]))
    is_first = np.ones(len(order), bool)
    is_first[1:] = (every[order[1:]] != every[order[:-1]]).any(axis=1)
    places = np.arange(len(order))
    return order, places - np.maximum.accumulate(np.where(is_first, places, 0))


class _Index:
    """Hashes in the order of a block's bits: those of one key are a bucket."""

    def __init__(self, words: "np.ndarray", rows: "np.ndarray", block: _Block) -> None:
        import numpy as np

        keys = _keys(words, block)
        order = keys.argsort(kind="stable")
        self._words, self._rows = words[order], rows[order]
        self._first = np.ascontiguousarray(self._words[:, 0])
        self._keys, self._starts, self._sizes = np.unique(keys[order], return_index=True, return_counts=True)
        self._bucket = np.full(1 << len(block.bits), -1, np.int32)
        self._bucket[self._keys] = np.arange(len(self._keys))
        self._masks = np.array([*block.masks()], np.uint32)

    def parts(self) -> list[range]:
        """The buckets, in parts."""
        return _parts(0, len(self._keys))

    def near(self, buckets: range, start: int, reach: Reach) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Near pairs of these buckets and the same or later ones; see `_Found.kept`.

        Args:
            buckets: of `parts`.
            start: pairs whose later row stands before it are left out.
            reach: what counts as near.
        """
        import numpy as np

        found, left, right = _Found(reach.most), list[np.ndarray](), list[np.ndarray]()
        waiting = 0
        differing, count = _scratch(BLOCK)
        for bucket in buckets:
            others = self._bucket[self._keys[bucket] ^ self._masks]
            others = others[others >= bucket]
            places = _ranges(self._starts[others], self._sizes[others])
            theirs = self._first[places]
            begin, end = self._starts[bucket], self._starts[bucket] + self._sizes[bucket]
            step = max(1, BLOCK // len(theirs))
            for place in range(begin, end, step):
                shape = min(step, end - place), len(theirs)
                size = math.prod(shape)
                if size > len(differing):  # a row alone is longer
                    differing, count = _scratch(size)
                np.bitwise_xor(self._first[place : place + shape[0], None], theirs, out=differing[:size].reshape(shape))
                np.bitwise_count(differing[:size], out=count[:size])
                hits = np.flatnonzero(count[:size] <= reach.first)
                left.append(place + hits // len(theirs))
                right.append(places[hits % len(theirs)])
                waiting += len(hits)
                if waiting > BLOCK:
                    found.add(*self._checked(left, right, start, reach))
                    left, right, waiting = [], [], 0
        found.add(*self._checked(left, right, start, reach))
        return found.kept()

    def _checked(
        self, left: "list[np.ndarray]", right: "list[np.ndarray]", start: int, reach: Reach
    ) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Those pairs of places that are near in all bits: later row, earlier row, distance."""
        import numpy as np

        nothing = np.empty(0, np.int64)
        here, there = np.concatenate([nothing, *left]), np.concatenate([nothing, *right])
        distances = np.bitwise_count(self._words[here] ^ self._words[there]).sum(axis=1, dtype=np.uint8)
        one, two = self._rows[here], self._rows[there]
        rows, others = np.maximum(one, two), np.minimum(one, two)
        near = np.flatnonzero((distances <= reach.whole) & (rows >= start) & (rows != others))
        return rows[near], others[near], distances[near]


def _ranges(starts: "np.ndarray", counts: "np.ndarray") -> "np.ndarray":
    """The numbers from each start on, so many of each, one after the other."""
    import numpy as np

    ends = counts.cumsum()
    return np.repeat(starts - ends + counts, counts) + np.arange(ends[-1] if len(ends) else 0)


class _Found:
    """Pairs, of which only the nearest of each row are kept, so that memory is bounded whatever is found."""

    def __init__(self, most: int) -> None:
        import numpy as np

        self._most = most
        nothing = np.empty(0, np.int64)
        self._parts = [(nothing, nothing, np.empty(0, np.uint8))]
        self._size, self._limit = 0, PAIRS

    def add(self, rows: "np.ndarray", others: "np.ndarray", distances: "np.ndarray") -> None:
        """Pairs; the same one may come again."""
        self._parts.append((rows, others, distances))
        self._size += len(rows)
        if self._size > self._limit:
            self._parts = [self.kept()]
            self._size = len(self._parts[0][0])
            self._limit = max(PAIRS, 2 * self._size)

    def kept(self) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
        """Rows, others, distances: sorted by row, then the nearest first."""
        import numpy as np

        rows, others, distances = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        order = np.lexsort((others, distances, rows))
        rows, others, distances = rows[order], others[order], distances[order]
        is_new = np.ones(len(rows), bool)
        is_new[1:] = (rows[1:] != rows[:-1]) | (others[1:] != others[:-1])
        rows, others, distances = rows[is_new], others[is_new], distances[is_new]
        places = np.arange(len(rows))
        begins = np.ones(len(rows), bool)
        begins[1:] = rows[1:] != rows[:-1]
        is_near = places - np.maximum.accumulate(np.where(begins, places, 0)) < self._most
        return rows[is_near], others[is_near], distances[is_near]
