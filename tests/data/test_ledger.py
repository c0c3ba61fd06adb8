from collections import Counter
from typing import NamedTuple

import hypothesis
import polars as pl
import pytest
from examples import examples
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.base import files
from pipeline.data import delta, ledger, splits
from pipeline.data.delta import Delta


class Row(NamedTuple):
    """Of a delta, as far as the ledger looks at it."""

    kind: str
    digest: str
    label: str
    path: str


CAT = Row("added", "d1", "cat", "monday/cat/1.png")
DOG = Row("added", "d2", "dog", "monday/dog/2.png")
FOX = Row("added", "d3", "fox", "tuesday/fox/3.png")
COPY = Row("added", "d1", "cat", "copy/cat/9.png")


def accepted(rows) -> Delta:
    """Of the validate stage; the words of a hash tell its image."""
    made = pl.DataFrame(list(rows), schema=dict.fromkeys(Row._fields, pl.String), orient="row")
    words = [splits.rank(digest) % 1000 for digest in made["digest"]]
    hashes = [pl.Series(name, words, dtype=pl.UInt64) for name in ledger.HASHES]
    return Delta(made.with_columns(*hashes, brightness=pl.lit(0.5), side=pl.lit(640)))


def digests(names, **more) -> pl.DataFrame:
    return pl.DataFrame({"digest": list(names), **more}, schema=dict.fromkeys(["digest", *more], pl.String))


def tied(groups) -> pl.DataFrame:
    """Of `data.groups`, where nothing is torn."""
    return digests(groups, group=list(groups.values())).with_columns(is_torn=pl.lit(value=False))


def extend(rows=None, changes=(), groups=None, aside=(), split="train", cycle="c1", wished=None) -> pl.DataFrame:
    deal = split if callable(split) else lambda _: split
    groups, wished = groups or {}, wished or {}
    return ledger.extend(
        ledger.empty() if rows is None else rows,
        accepted(changes),
        tied(groups),
        digests(aside),
        digests(wished, split=list(wished.values())),
        deal,
        cycle,
    )


def row(rows: pl.DataFrame, digest: str) -> dict[str, object]:
    return rows.row(by_predicate=pl.col("digest") == digest, named=True)


@pytest.fixture
def rows() -> pl.DataFrame:
    """A ledger after its first cycle."""
    return extend(changes=[DOG, CAT], split="val")


def test_an_empty_ledger_has_its_columns_and_no_rows():
    assert tuple(ledger.empty().columns) == ledger.COLUMNS
    assert ledger.empty().is_empty()


def test_a_first_cycle_writes_one_row_per_image_sorted(rows):
    assert rows["digest"].to_list() == ["d1", "d2"]
    word = splits.rank("d1") % 1000
    assert row(rows, "d1") == {
        "digest": "d1",
        "group": "d1",
        "label": "cat",
        "split": "val",
        "path": "monday/cat/1.png",
        "first_seen": "c1",
        "removed": False,
        "rank": splits.rank("d1"),
        "dct": word,
        "across": word,
        "down": word,
        "torn": False,
        "named": [],
        "slices": [],
        "brightness": 0.5,
        "side": 640,
    }


def test_later_rows_come_after_and_earlier_rows_stay_as_they_are(rows):
    grown = extend(rows, [FOX._replace(digest="d0")], split="train", cycle="c2")
    assert_frame_equal(grown[:2], rows)
    assert grown["digest"].to_list() == ["d1", "d2", "d0"]
    assert row(grown, "d0")["first_seen"] == "c2"
    assert row(grown, "d0")["split"] == "train"


def test_a_ledger_is_never_changed_in_place(rows):
    before = rows.clone()
    extend(rows, [FOX, CAT, DOG._replace(kind="relabelled", label="fox"), CAT._replace(kind="removed")], cycle="c2")
    assert_frame_equal(rows, before)


def test_copies_count_once_wherever_they_lie():
    assert extend(changes=[CAT, COPY])["path"].to_list() == ["copy/cat/9.png"]


def test_a_copy_of_a_known_image_is_no_new_row(rows):
    again = extend(rows, [COPY], split="train", cycle="c2")
    assert len(again) == 2
    assert row(again, "d1") == row(rows, "d1") | {"path": COPY.path}


def test_an_image_that_was_set_aside_before_is_as_new_as_an_added_one(rows):
    grown = extend(rows, [FOX._replace(kind="retried")], cycle="c2")
    assert_frame_equal(grown, extend(rows, [FOX], cycle="c2"))


def test_a_removed_image_keeps_its_row(rows):
    left = extend(rows, [CAT._replace(kind="removed")], cycle="c2")
    assert left["removed"].to_list() == [True, False]
    assert row(left, "d1") == row(rows, "d1") | {"removed": True}


def test_an_image_of_the_ledger_that_is_set_aside_counts_as_removed(rows):
    assert_frame_equal(extend(rows, aside=["d1"], cycle="c2"), extend(rows, [CAT._replace(kind="removed")], cycle="c2"))


def test_what_is_set_aside_stays_so_under_whatever_label_it_comes(rows):
    left = extend(rows, [CAT._replace(kind="relabelled", label="fox")], aside=["d1"], cycle="c2")
    assert row(left, "d1") == row(rows, "d1") | {"removed": True}


def test_only_images_that_are_there_are_present(rows):
    left = extend(rows, [CAT._replace(kind="removed")], cycle="c2")
    assert ledger.present(left)["digest"].to_list() == ["d2"]


def test_a_removed_image_comes_back_to_its_split_under_its_new_label(rows):
    gone = extend(rows, [CAT._replace(kind="removed")])
    back = extend(gone, [Row("added", "d1", "fox", "x")], split="train", cycle="c3")
    assert row(back, "d1") == row(rows, "d1") | {"label": "fox", "path": "x"}


def test_a_relabelled_image_changes_its_label_and_place_and_nothing_else(rows):
    told = extend(rows, [Row("relabelled", "d2", "wolf", "monday/wolf/2.png")], split="train", cycle="c2")
    assert row(told, "d2") == row(rows, "d2") | {"label": "wolf", "path": "monday/wolf/2.png"}
    assert row(told, "d1") == row(rows, "d1")


def test_a_renamed_image_changes_its_place_and_nothing_else(rows):
    told = extend(rows, [DOG._replace(kind="renamed", path="b/dog/2.png")], split="train", cycle="c2")
    assert row(told, "d2") == row(rows, "d2") | {"path": "b/dog/2.png"}


def test_a_relabelled_images_other_place_is_no_change(rows):
    assert_frame_equal(extend(rows, [Row("elsewhere", "d1", "fox", "x")], cycle="c2"), rows)


def test_the_split_is_asked_once_per_group_and_only_for_new_images(rows):
    asked = []
    extend(
        rows,
        [COPY, FOX, FOX._replace(path="y"), Row("added", "d4", "fox", "z"), DOG._replace(kind="relabelled")],
        groups={"d3": "d3", "d4": "d3"},
        split=lambda digest: asked.append(digest) or "train",
        cycle="c2",
    )
    assert asked == ["d3"]


def test_a_near_duplicate_takes_group_and_split_of_the_image_seen_first(rows):
    grown = extend(rows, [FOX], groups={"d3": "d1"}, split="train", cycle="c2")
    assert (row(grown, "d3")["group"], row(grown, "d3")["split"]) == ("d1", "val")


def test_a_group_keeps_its_split_after_its_first_image_is_gone(rows):
    gone = extend(rows, [CAT._replace(kind="removed")])
    grown = extend(gone, [FOX], groups={"d3": "d1"}, split="train", cycle="c2")
    assert row(grown, "d3")["split"] == "val"


def test_newcomers_are_the_images_the_ledger_never_saw_once_each(rows):
    changes = [FOX._replace(path="z"), FOX, COPY, Row("retried", "d0", "fox", "y"), Row("renamed", "d9", "fox", "x")]
    newcomers = ledger.newcomers(rows, accepted(changes))
    assert newcomers.select("digest", "path").rows() == [("d0", "y"), ("d3", FOX.path)]


def test_nothing_new_leaves_the_ledger_as_it_is(rows):
    assert_frame_equal(extend(rows, cycle="c2"), rows)


def test_a_ledger_survives_the_disk_between_cycles(rows, tmp_path):
    path = tmp_path / "ledger.parquet"
    files.write_table(path, ledger.empty())
    first = extend(files.read_table(path), [CAT, DOG], split="val")
    files.write_table(path, first)
    read = files.read_table(path)
    assert_frame_equal(first, rows)
    assert_frame_equal(read, rows)
    assert_frame_equal(extend(read, [FOX]), extend(rows, [FOX]))
    assert read.schema == ledger.empty().schema


NAMES = [f"{number:032x}" for number in range(40)]
STATE = st.dictionaries(
    st.sampled_from(NAMES), st.tuples(st.sampled_from(["cat", "dog", "fox"]), st.sampled_from("abc")), max_size=30
)
"""Each image's label and batch."""


def images(state) -> pl.DataFrame:
    rows = [(digest, label, f"{batch}/{label}/{digest}") for digest, (label, batch) in state.items()]
    return pl.DataFrame(rows, schema=dict.fromkeys(["digest", "label", "path"], pl.String), orient="row")


def twin(digest: str, rows: pl.DataFrame, newcomers: list[str]) -> str | None:
    """Every image whose name ends alike is a near-duplicate; the group is that of the one seen first."""
    seen = [name for name in rows["digest"] if name[-1] == digest[-1]]
    if seen:
        return row(rows, seen[0])["group"]
    return min(name for name in newcomers if name[-1] == digest[-1])


@examples(100)
@hypothesis.given(st.lists(STATE, min_size=2, max_size=5), st.booleans(), st.randoms(use_true_random=False))
def test_over_any_cycles_no_image_moves_to_another_split_and_labels_are_those_of_the_data(states, alike, random):
    """Added, removed, back again, reordered, relabelled, renamed, with and without near-duplicates."""

    def deal(digest: str) -> str:
        return splits.assign(digest, 0.3, 0.3)

    rows, before, dealt = ledger.empty(), {}, {}
    for number, state in enumerate(states):
        shuffled = dict(random.sample([*state.items()], len(state)))
        changes = delta.diff(images(before), images(shuffled)).rows.sample(fraction=1, shuffle=True, seed=number)
        changes = accepted(changes.select(Row._fields).rows())
        newcomers = ledger.newcomers(rows, changes)["digest"].to_list()
        groups = {digest: twin(digest, rows, newcomers) for digest in newcomers} if alike else {}
        rows = ledger.extend(
            rows,
            changes,
            tied(groups),
            digests([]),
            digests([], split=[]),
            deal,
            f"c{number}",
        )
        present = ledger.present(rows)
        assert dict(present.select("digest", "label").iter_rows()) == {name: told[0] for name, told in state.items()}
        assert dict(present.select("digest", "path").iter_rows()) == dict(
            images(state).select("digest", "path").iter_rows()
        )
        now = dict(rows.select("digest", "split").iter_rows())
        assert dealt.items() <= now.items()
        assert len(now) == len(rows)
        assert not alike or all(
            count == 1
            for count in Counter(ending for ending, _ in {(name[-1], split) for name, split in now.items()}).values()
        )
        before, dealt = state, now


def test_what_another_cycle_did_not_have_under_this_label_is_unlearned(rows):
    """Also what its ledger remembers as removed; not what is only called otherwise now."""
    now = rows.with_columns(removed=pl.lit(value=False))
    gone = now.with_columns(removed=pl.col("digest") == "d1")
    relabelled = now.with_columns(label=pl.when(pl.col("digest") == "d2").then(pl.lit("wolf")).otherwise("label"))
    assert ledger.unlearned(now, now, {}).is_empty()
    assert ledger.unlearned(now, ledger.empty(), {})["digest"].to_list() == now["digest"].to_list()
    assert ledger.unlearned(now, gone, {})["digest"].to_list() == ["d1"]
    assert ledger.unlearned(gone, ledger.empty(), {})["digest"].to_list() == [
        digest for digest in now["digest"] if digest != "d1"
    ]
    assert ledger.unlearned(relabelled, now, {})["digest"].to_list() == ["d2"]
    assert ledger.unlearned(relabelled, now, {"dog": "wolf"}).is_empty()


def test_a_wish_counts_when_an_image_is_first_seen(rows):
    grown = extend(rows, [FOX, CAT._replace(kind="relabelled")], wished={"d3": "holdout", "d1": "holdout"}, cycle="c2")
    assert row(grown, "d3")["split"] == "holdout"
    assert row(grown, "d1")["split"] == "val", "the ledger remembers"


def test_a_group_wins_over_a_wish(rows):
    grown = extend(rows, [FOX], groups={"d3": "d1"}, wished={"d3": "holdout"}, cycle="c2")
    assert row(grown, "d3")["split"] == "val"


def test_of_wishes_for_one_group_that_which_judges_counts():
    grown = extend(changes=[CAT, DOG, FOX], groups={"d2": "d1"}, wished={"d1": "train", "d2": "holdout"}, split="val")
    assert [row(grown, digest)["split"] for digest in ("d1", "d2", "d3")] == ["holdout", "holdout", "val"]


@pytest.mark.parametrize("kind", ["added", "renamed", "relabelled"])
def test_what_is_torn_stays_left_out_wherever_it_comes_again(rows, kind):
    left_out = ledger.torn(rows, ["d1"])
    assert ledger.present(left_out)["digest"].to_list() == ["d2"]
    again = extend(left_out, [CAT._replace(kind=kind, path="again/cat/1.png")], cycle="c2")
    assert ledger.present(again)["digest"].to_list() == ["d2"]
    tied = digests(["d3"], group=["d1"]).with_columns(is_torn=pl.lit(value=True))
    none = digests([], split=[])
    new = ledger.extend(rows, accepted([FOX]), tied, digests([]), none, lambda _: "train", "c2")
    assert ledger.present(new)["digest"].to_list() == ["d1", "d2"]


def test_an_image_may_be_of_several_groups_and_forgets_none(rows):
    once = ledger.named(rows, digests(["d1", "d9"], name=["p", "p"]))
    twice = ledger.named(once, digests(["d1", "d1", "d2"], name=["a", "p", "q"]))
    assert twice["named"].to_list() == [["a", "p"], ["q"]]
    assert_frame_equal(twice.drop("named"), rows.drop("named"))
    assert ledger.named(twice, digests([], name=[])) is twice


def said(*of: tuple[str, str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(of, schema=dict.fromkeys(["digest", *ledger.SLICE], pl.String), orient="row")


def test_slices_are_those_that_the_batches_say_now():
    """Kept of batches that were not looked at; of images that judge or stop, and of no others."""
    rows = extend(extend(changes=[CAT, DOG], split="holdout"), [FOX], split="train")
    first = ledger.sliced(
        rows, said(("d1", "s1", "site", "a"), ("d1", "s2", "site", "b"), ("d3", "s1", "site", "a")), []
    )
    assert ledger.slices(first).rows() == [("d1", "site", "a"), ("d1", "site", "b")]
    assert first.columns == rows.columns
    kept = ledger.sliced(first, said(("d2", "s3", "day", "1")), ["s2"])
    assert ledger.slices(kept).rows() == [("d1", "site", "b"), ("d2", "day", "1")]
    assert ledger.slices(ledger.sliced(kept, said(), [])).is_empty()
    assert ledger.sliced(rows, said(), ["s1"]) is rows
    gone = extend(kept, [CAT._replace(kind="removed")], cycle="c3")
    back = extend(ledger.sliced(gone, said(), []), [CAT], cycle="c4")
    assert ledger.slices(back.filter(pl.col("digest") == "d1")).rows() == [("d1", "site", "b")]


def test_a_ledger_of_before_there_were_groups_is_completed(rows):
    old = rows.drop("torn", "named", "slices")
    assert_frame_equal(ledger.completed(old), rows)
    assert ledger.completed(old, ["digest", "torn"]).rows() == [("d1", False), ("d2", False)]
