"""Which images share a split: near-duplicates and named groups, in one union, over any number of cycles."""

import random
from collections import defaultdict

import hypothesis
import polars as pl
import pytest
from examples import examples
from hypothesis import strategies as st

from pipeline.data import groups, ledger, splits, straddling
from pipeline.data.delta import COLUMNS, Delta
from pipeline.data.groups import Grouping, Tie

T, V, H = "train", "val", "holdout"
OLD = {
    "t": Tie(0, "t", T), "t2": Tie(1, "t2", T), "v": Tie(2, "v", V), "h": Tie(3, "h", H), "h2": Tie(4, "h", H),
}  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "named", "group_of", "torn"),
    [
        ([], {}, {}, ""),
        ([("b", "a")], {}, {"a": "a", "b": "a"}, ""),
        ([("b", "a"), ("c", "b"), ("d", "c")], {}, dict.fromkeys("abcd", "a"), ""),
        ([("n", "h")], {}, {"n": "h"}, ""),
        ([("n", "h"), ("n", "h2")], {}, {"n": "h"}, ""),
        ([("n", "t2"), ("n", "t")], {}, {"n": "t"}, ""),
        ([("n", "h"), ("m", "n")], {}, {"n": "h", "m": "h"}, ""),
        ([("n", "h"), ("m", "t")], {}, {"n": "h", "m": "t"}, ""),
        ([("n", "h"), ("n", "t")], {}, {"n": "h"}, "n"),
        ([("n", "h"), ("m", "t"), ("n", "m")], {}, {"n": "h", "m": "t"}, "m"),
        ([], {"a": ["p"], "b": ["p"], "c": ["q"]}, {"a": "a", "b": "a", "c": "c"}, ""),
        ([], {"a": ["p", "q"], "b": ["p"], "c": ["q"]}, dict.fromkeys("abc", "a"), ""),
        ([("c", "b")], {"a": ["p"], "b": ["p"]}, dict.fromkeys("abc", "a"), ""),
        ([], {"a": ["T"], "b": ["H"]}, {"a": "t", "b": "h"}, ""),
        ([("b", "t")], {"a": ["p"], "b": ["p"]}, {"a": "t", "b": "t"}, ""),
        ([], {"a": ["T"], "b": ["H"], "c": ["T", "H"]}, {"a": "t", "b": "h", "c": "t"}, "c"),
        ([("b", "a")], {"a": ["T"], "b": ["H"]}, {"a": "t", "b": "h"}, "a"),
        ([("b", "h")], {"a": ["T"], "b": ["T"], "c": ["T"]}, dict.fromkeys("abc", "t"), "b"),
        ([], {"a": ["T", "p"], "b": ["H", "p"], "c": ["p"]}, dict.fromkeys("abc", "h"), "a"),
        ([("a", "t"), ("b", "h")], {"a": ["p"], "b": ["p"], "c": ["p"]}, dict.fromkeys("abc", "h"), "a"),
    ],
    ids=[
        "none",
        "two near-duplicates",
        "a chain of near-duplicates",
        "a near-duplicate of an old one",
        "of two in one group",
        "of two groups in one split",
        "through another new one",
        "of two groups apart",
        "of two splits",
        "two of two splits",
        "a named group",
        "an image of two groups makes one of them",
        "a near-duplicate of a group",
        "groups that are known",
        "a new group with a near-duplicate of an old one",
        "an image of two groups in two splits",
        "near-duplicates of two groups in two splits",
        "a near-duplicate in another split costs itself and not its group",
        "a new group whose images are of two others",
        "a new group with near-duplicates of two splits",
    ],
)
def test_what_is_tied_shares_a_group_and_what_ties_two_splits_is_torn(pairs, named, group_of, torn):
    homes = {"T": OLD["t"], "H": OLD["h"]}
    assert groups.joined(pairs, named, OLD, homes) == (group_of, set(torn))


NEW = "abcdefg"
PAIRS = st.lists(st.tuples(st.sampled_from(NEW), st.sampled_from([*NEW, *OLD])).filter(lambda pair: pair[0] != pair[1]))
NAMED = st.dictionaries(st.sampled_from(NEW), st.lists(st.sampled_from("THpqr"), min_size=1, max_size=2, unique=True))


@examples(300)
@hypothesis.given(PAIRS, NAMED, st.randoms(use_true_random=False))
def test_no_tie_between_images_that_take_part_leads_to_another_split(pairs, named, random):
    homes = {"T": OLD["t"], "H": OLD["h"]}
    group_of, torn = groups.joined(pairs, named, OLD, homes)
    shuffled = dict(random.sample([*named.items()], len(named)))
    assert groups.joined(random.sample(pairs, len(pairs)), shuffled, OLD, homes) == (group_of, torn)
    assert set(group_of) == {one for pair in pairs for one in pair if one in NEW} | set(named)
    split = {tie.group: tie.split for tie in OLD.values()}
    place = {one: split.get(group, group) for one, group in group_of.items() if one not in torn}
    place |= {one: tie.split for one, tie in OLD.items()}
    assert all(place[one] == place[two] for one, two in pairs if {one, two} <= set(place))
    of_name = defaultdict(set, {name: {tie.split} for name, tie in homes.items()})
    for one, names in named.items():
        for name in names if one in place else ():
            of_name[name].add(place[one])
    assert all(len(places) == 1 for places in of_name.values())


class World:
    """Data that grows: what is there, and what its people say; the ledger that follows it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rows = ledger.empty()
        self.here: dict[str, set[str]] = {}
        """Groups that each image there is said to be of, by digest."""
        self.ever: dict[str, set[str]] = defaultdict(set)
        """The same of all images that ever were."""
        self.looks: dict[str, int] = {}
        """What each image shows: near-duplicates show the same."""
        self.counter = 0

    def step(self) -> Grouping:
        """A batch comes, and some images go."""
        chance, changes, claims = self.random.random, [], set()
        for digest in [one for one in self.here if chance() < 0.05]:
            del self.here[digest]
            changes.append(("removed", digest))
        for _ in range(self.random.randint(1, 4)):
            is_again = self.looks and chance() < 0.3
            digest = self.random.choice([*self.looks]) if is_again else self.fresh()
            kind = "renamed" if digest in self.here and chance() < 0.5 else "added"
            self.here.setdefault(digest, set())
            changes.append((kind, digest))
            names = {
                f"p{self.random.randint(0, self.counter // 4)}" for _ in range(self.random.choice([0, 1, 1, 1, 2]))
            }
            claims |= {(digest, name) for name in names}
            self.here[digest] |= names
            self.ever[digest] |= names
        table = pl.DataFrame(
            [(kind, digest, "cat", f"{self.random.random()}/cat/{digest}", "") for kind, digest in changes],
            schema=dict.fromkeys(COLUMNS, pl.String),
            orient="row",
        )
        delta = Delta(table.with_columns(pl.lit(0, pl.UInt64).alias(name) for name in ledger.HASHES))
        newcomers = ledger.newcomers(self.rows, delta)["digest"]
        known, new = self.rows["digest"].to_list(), newcomers.to_list()
        pairs = [
            (one, two)
            for place, one in enumerate(new)
            for two in known + new[:place]
            if self.looks[one] == self.looks[two]
        ]
        said = pl.DataFrame(sorted(claims), schema={"digest": pl.String, "name": pl.String}, orient="row")
        grouping = groups.of(self.rows, newcomers, pairs, said)
        none = pl.DataFrame(schema={"digest": pl.String, "split": pl.String})
        before = dict(self.rows.select("digest", "split").iter_rows())
        rows = ledger.extend(
            self.rows, delta, grouping.newcomers, none, none, lambda one: splits.assign(one, 0.3, 0.3), "c"
        )
        self.rows = ledger.torn(ledger.named(rows, grouping.named), grouping.torn)
        assert before.items() <= dict(self.rows.select("digest", "split").iter_rows()).items()
        return grouping

    def fresh(self) -> str:
        """A new image, which may look like one that was there before."""
        self.counter += 1
        digest = f"{splits.rank(str(self.counter)):016x}{self.counter:x}"
        is_alike = self.looks and self.random.random() < 0.2
        self.looks[digest] = self.random.choice([*self.looks.values()]) if is_alike else self.counter
        return digest

    def refuse_straddling(self) -> int:
        """How many images take part; nothing that ties them may lead to another split."""
        present = dict(ledger.present(self.rows).select("digest", "split").iter_rows())
        assert present.keys() <= self.here.keys()
        for ties in (self.ever, {digest: {look} for digest, look in self.looks.items()}):
            split_of: dict[object, str] = {}
            for digest, split in present.items():
                for tie in ties.get(digest, ()):
                    assert split_of.setdefault(tie, split) == split, (digest, tie)
        return len(present)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.project] * (seed > 1)) for seed in range(50)])
def test_over_10_000_steps_of_growth_no_group_straddles_and_no_image_moves(seed):
    """50 worlds of 200 steps: new groups and known ones, near-duplicates, images again under other names and in other
    groups, removals, images of two groups."""
    world, torn = World(seed), 0
    for _ in range(200):
        grouping = world.step()
        torn += int(grouping.newcomers["is_torn"].sum()) + len(grouping.torn)
        num_present = world.refuse_straddling()
    assert straddling.found(world.rows).is_empty()
    assert torn, "else nothing was at stake"
    assert num_present > 20, "nor may all be left out"
