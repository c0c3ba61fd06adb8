"""Batches by their listings alone, which lie in the cache of a DVC project; no image has to be there."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import hypothesis
import polars as pl
import pytest
from examples import examples
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from samples import lineage

from pipeline.artifacts.sources import Source
from pipeline.base import code
from pipeline.base.errors import DataError
from pipeline.data import ledger, splits
from pipeline.data.comparison import NUM_KEPT
from pipeline.data.delta import Delta
from pipeline.data.inventory import REMEMBERED, Inventory, Recall
from pipeline.data.store import NowhereError, Store

IMAGES = Path("data/images")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def keep(root: Path, content: bytes, end: str = "") -> str:
    """Put an object into the cache; its hash."""
    digest = md5(content)
    path = root / ".dvc/cache/files/md5" / digest[:2] / f"{digest[2:]}{end}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{digest}{end}"


def batch(root: Path, name: str, files: dict[str, bytes], csv: str | None = None) -> Source:
    """A batch as `dvc add` leaves it, but for its images, of which only the hash is known."""
    digests = {path: md5(content) for path, content in files.items()}
    if csv is not None:
        digests["labels.csv"] = keep(root, csv.encode())
    listing = [{"md5": digest, "relpath": path} for path, digest in sorted(digests.items())]
    return Source(f"data/images/{name}", keep(root, json.dumps(listing).encode(), ".dir"), len(listing))


@pytest.fixture
def inventory(tmp_path, settings) -> Inventory:
    return Inventory(Store(tmp_path), IMAGES, settings.detect.ignore)


def rows(table: pl.DataFrame) -> list[tuple[str, str]]:
    """Label and path below the images."""
    assert table.columns == ["digest", "label", "path"]
    return [
        (label, path.removeprefix("data/images/")) for label, path in table.select("label", "path").sort("path").rows()
    ]


def test_images_are_listed_without_being_there(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1", "dog/2.png": b"2"})
    friday = batch(tmp_path, "2026/friday", {"cat/3.png": b"3"})
    table, warnings = inventory.read([monday, friday])
    assert rows(table) == [("cat", "2026/friday/cat/3.png"), ("cat", "monday/cat/1.png"), ("dog", "monday/dog/2.png")]
    assert dict(table.select("path", "digest").rows())["data/images/monday/cat/1.png"] == md5(b"1")
    assert warnings == []
    assert not (tmp_path / "data").exists()


def test_one_batch_may_be_all_images(inventory, tmp_path):
    listing = [{"md5": md5(b"1"), "relpath": "monday/cat/1.png"}, {"md5": md5(b"2"), "relpath": "dog/2.png"}]
    every = Source("data/images", keep(tmp_path, json.dumps(listing).encode(), ".dir"), 2)
    assert rows(inventory.read([every])[0]) == [("dog", "dog/2.png"), ("cat", "monday/cat/1.png")]


def test_an_image_may_be_tracked_alone(inventory):
    alone = Source("data/images/monday/cat/1.png", md5(b"1"), 1)
    assert rows(inventory.read([alone])[0]) == [("cat", "monday/cat/1.png")]


def test_no_batches_hold_no_images(inventory):
    table, warnings = inventory.read([])
    assert rows(table) == []
    assert warnings == []


def test_what_systems_leave_behind_is_not_an_image_wherever_it_lies(inventory, tmp_path):
    names = ["Thumbs.db", "cat/.DS_Store", "cat/._1.png", "__MACOSX/cat/1.png", "notes.txt", "cat/README.md"]
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1", **dict.fromkeys(names, b"x")})
    assert rows(inventory.read([monday])[0]) == [("cat", "monday/cat/1.png")]


def test_a_project_may_itself_lie_below_a_folder_of_an_ignored_name(tmp_path):
    images = Path("__MACOSX/images")
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1"})
    moved = Source("__MACOSX/images/monday", monday.digest, 1)
    table, _ = Inventory(Store(tmp_path), images, ("__MACOSX",)).read([moved])
    assert len(table) == 1


def test_a_labels_csv_labels_its_batch_and_no_other(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"1.png": b"1", "deep/2.png": b"2"}, "file,label\n1.png,cat\ndeep/2.png,dog\n")
    friday = batch(tmp_path, "friday", {"fox/1.png": b"3"})
    assert rows(inventory.read([monday, friday])[0]) == [
        ("fox", "friday/fox/1.png"),
        ("cat", "monday/1.png"),
        ("dog", "monday/deep/2.png"),
    ]


def test_a_labels_csv_further_down_is_a_file_like_any_other(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1", "cat/labels.csv": b"x"})
    assert ("cat", "monday/cat/labels.csv") in rows(inventory.read([monday])[0])


def test_an_image_that_labels_csv_does_not_name_has_no_label(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"1.png": b"1"}, "file,label\n")
    assert rows(inventory.read([monday])[0]) == [("", "monday/1.png")]


def test_files_that_labels_csv_names_and_the_batch_has_not_are_warned_of(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"1.png": b"1"}, "file,label\n1.png,cat\n\x1b2.png,cat\n3.png,cat\n")
    _, warnings = inventory.read([monday])
    assert warnings == [
        r"data/images/monday/labels.csv names 2 files that are not in the batch, e.g. 'data/images/monday/\x1b2.png'"
    ]


def test_a_labels_csv_is_read_as_dvc_knows_it_and_not_as_it_was_edited_since(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"1.png": b"1"}, "file,label\n1.png,cat\n")
    (tmp_path / "data/images/monday").mkdir(parents=True)
    (tmp_path / "data/images/monday/labels.csv").write_text("file,label\n1.png,dog\n")
    assert rows(inventory.read([monday])[0]) == [("cat", "monday/1.png")]


def test_a_labels_csv_that_cannot_be_meant_stops_with_its_name(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"1.png": b"1"}, "1.png,cat\n")
    with pytest.raises(DataError, match=r"^data/images/monday/labels\.csv: line 1 is"):
        inventory.read([monday])


def test_a_folder_that_is_no_label_stops_with_its_name(inventory, tmp_path):
    with pytest.raises(DataError, match=r"'data/images/monday/<b>': not a label"):
        inventory.read([batch(tmp_path, "monday", {"<b>/1.png": b"1"})])


class Opened(Store):
    """Remembers which listings were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.names: list[str] = []

    def listing(self, source: Source) -> pl.DataFrame:
        self.names.append(source.path.removeprefix("data/images/"))
        return super().listing(source)


@pytest.fixture
def opened(tmp_path) -> Opened:
    return Opened(tmp_path)


def kinds(comparison) -> list[tuple[str, str]]:
    rows = comparison.delta.rows.select("kind", "path").rows()
    return [(kind, path.removeprefix("data/images/")) for kind, path in rows]


def test_a_batch_of_the_same_hash_is_never_opened(opened, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1"})
    friday = batch(tmp_path, "friday", {"cat/2.png": b"2"})
    comparison = Inventory(opened, IMAGES, ()).between([monday], [monday, friday], [])
    assert kinds(comparison) == [("added", "friday/cat/2.png")]
    assert opened.names == ["friday"]
    assert comparison.opened == 1


def test_unchanged_batches_are_opened_where_an_image_seems_gone(opened, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1"})
    friday = batch(tmp_path, "friday", {"cat/1.png": b"1", "cat/2.png": b"2"})
    comparison = Inventory(opened, IMAGES, ()).between([monday, friday], [monday], [])
    assert kinds(comparison) == [("removed", "friday/cat/2.png")]
    assert opened.names == ["friday", "monday"]
    assert comparison.opened == 1


def test_a_relabelled_image_is_looked_for_in_unchanged_batches(opened, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1"})
    before, now = (batch(tmp_path, "friday", {f"{label}/1.png": b"1"}) for label in ("cat", "dog"))
    comparison = Inventory(opened, IMAGES, ()).between([monday, before], [monday, now], [])
    assert kinds(comparison) == [("elsewhere", "monday/cat/1.png"), ("relabelled", "friday/dog/1.png")]


def test_an_edited_labels_csv_relabels(inventory, tmp_path):
    before, now = (
        batch(tmp_path, "monday", {"1.png": b"1", "2.png": b"2"}, f"file,label\n1.png,{label}\n2.png,cat\n")
        for label in ("cat", "dog")
    )
    comparison = inventory.between([before], [now], [])
    assert comparison.delta.rows.select("kind", "label", "path", "was").rows() == [
        ("relabelled", "dog", "data/images/monday/1.png", "cat")
    ]


def test_what_the_last_cycle_set_aside_is_tried_again_in_changed_and_unchanged_batches(inventory, tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1", "cat/2.png": b"2"})
    before = batch(tmp_path, "friday", {"cat/3.png": b"3", "cat/4.png": b"4"})
    now = batch(tmp_path, "friday", {"cat/3.png": b"3", "cat/5.png": b"5"})
    aside = [
        [md5(str(number).encode()), "cat", f"data/images/{name}/cat/{number}.png"]
        for number, name in ((1, "monday"), (3, "friday"), (4, "friday"))
    ]
    comparison = inventory.between([monday, before], [monday, now], aside)
    assert kinds(comparison) == [
        ("added", "friday/cat/5.png"),
        ("retried", "friday/cat/3.png"),
        ("retried", "monday/cat/1.png"),
    ]


def test_warnings_of_the_state_now_are_passed_on(inventory, tmp_path):
    before, now = (
        batch(tmp_path, "monday", {"1.png": b"1"}, f"file,label\n1.png,cat\n{gone}.png,cat\n") for gone in "23"
    )
    (warning,) = inventory.between([before], [now], []).warnings
    assert "'data/images/monday/3.png'" in warning


@pytest.fixture
def remembering(opened, tmp_path) -> Inventory:
    return Inventory(opened, IMAGES, (), tmp_path / "scratch")


def kept(inventory: Inventory) -> list[Path]:
    """A folder for each comparison."""
    return list((inventory.scratch / "comparisons").iterdir())


@pytest.fixture
def grown(tmp_path) -> tuple[list[Source], list[Source]]:
    """Two states: a batch that stays, and one that loses an image and has a line of labels.csv without a file."""
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1"})
    before = batch(tmp_path, "friday", {"2.png": b"2", "3.png": b"3"}, "file,label\n2.png,cat\n3.png,cat\n")
    now = batch(tmp_path, "friday", {"2.png": b"2"}, "file,label\n2.png,dog\n3.png,cat\n")
    return [monday, before], [monday, now]


def test_what_was_compared_is_not_compared_again(remembering, opened, grown):
    first = remembering.between(*grown, [])
    assert opened.names == ["friday", "friday", "monday"]
    later = replace(remembering, store=Opened(opened.root)).between(*grown, [])
    assert opened.names == ["friday", "friday", "monday"]
    assert_frame_equal(first.delta.rows, later.delta.rows)
    assert (first.opened, first.warnings) == (later.opened, later.warnings)
    assert later.opened == 2
    assert len(later.warnings) == 1


def test_a_comparison_reads_no_listing_once_it_is_known(remembering, opened, grown):
    remembering.between(*grown, [])
    opened.names.clear()
    remembering.between(*grown, [])
    assert opened.names == []


OTHERS: dict[str, Callable[[Inventory, list[Source], list[Source]], object]] = {
    "another state before": lambda inventory, _, now: inventory.between(now, now, []),
    "another state now": lambda inventory, before, now: inventory.between(before, now[:1], []),
    "the other way round": lambda inventory, before, now: inventory.between(now, before, []),
    "something set aside": lambda inventory, before, now: inventory.between(before, now, [("d", "cat", "p")]),
    "other patterns": lambda inventory, before, now: replace(inventory, ignore=("*.txt",)).between(before, now, []),
    "another folder": lambda inventory, before, now: replace(inventory, images=Path("data")).between(before, now, []),
}


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_compared_anew(remembering, grown, name):
    remembering.between(*grown, [])
    OTHERS[name](remembering, *grown)
    assert len(kept(remembering)) == 2


def test_other_code_compares_anew(remembering, grown, monkeypatch):
    remembering.between(*grown, [])
    monkeypatch.setattr(code, "digest", lambda *_: "other")
    remembering.between(*grown, [])
    assert len(kept(remembering)) == 2


def gone(folder: Path) -> None:
    shutil.rmtree(folder)


def torn(folder: Path) -> None:
    (folder / "delta.parquet").write_bytes((folder / "delta.parquet").read_bytes()[:-40])


def flipped(folder: Path) -> None:
    content = bytearray((folder / "delta.parquet").read_bytes())
    content[20] ^= 1
    (folder / "delta.parquet").write_bytes(content)


def no_record(folder: Path) -> None:
    (folder / "comparison.json").unlink()


def no_json(folder: Path) -> None:
    (folder / "comparison.json").write_text("{")


@pytest.mark.parametrize("damage", [gone, torn, flipped, no_record, no_json])
def test_what_is_damaged_is_compared_anew_and_mended(remembering, opened, grown, damage):
    first = remembering.between(*grown, [])
    damage(kept(remembering)[0])
    opened.names.clear()
    assert_frame_equal(remembering.between(*grown, []).delta.rows, first.delta.rows)
    assert opened.names == ["friday", "friday", "monday"]
    assert_frame_equal(remembering.between(*grown, []).delta.rows, first.delta.rows)
    assert opened.names == ["friday", "friday", "monday"]


def test_only_the_newest_comparisons_are_kept(remembering, tmp_path):
    states = [[batch(tmp_path, "monday", {f"cat/{number}.png": b"1"})] for number in range(7)]
    for state in states:
        remembering.between([], state, [])
        time.sleep(0.02)  # the kernel's clock for files ticks some hundred times a second
    assert len(kept(remembering)) == NUM_KEPT
    remembering.store.names.clear()
    for state in states[-NUM_KEPT:]:
        remembering.between([], state, [])
    assert remembering.store.names == []


def test_the_state_of_a_version_is_what_now_is_compared_with(inventory, tmp_path):
    before, now = (batch(tmp_path, "monday", {f"cat/{name}": name.encode()}) for name in ("1.png", "2.png"))
    version = lineage(sources=(before,), quarantine=((md5(b"2.png"), "cat", "data/images/monday/cat/2.png"),))
    assert kinds(inventory.since(version, [now])) == [
        ("removed", "monday/cat/1.png"),
        ("retried", "monday/cat/2.png"),
    ]
    assert kinds(inventory.since(None, [now])) == [("added", "monday/cat/2.png")]


class Collected(Store):
    """Lost the listings of some batches to `dvc gc`, but for those that are of today."""

    def __init__(self, root: Path, names: Collection[str]) -> None:
        super().__init__(root)
        self.names = [f"data/images/{name}" for name in names]
        self.today: list[Source] = []

    def listing(self, source: Source) -> pl.DataFrame:
        if source.path in self.names and source not in self.today:
            raise NowhereError("gone")
        return super().listing(source)


def remembered(*images: tuple[str, str, str]) -> Recall:
    """A ledger of images, each with content, label and path below the images."""
    rows = [(md5(content.encode()), label, f"data/images/{path}", False) for content, label, path in images]
    return lambda: pl.DataFrame(rows, schema=list(REMEMBERED), orient="row")


def test_the_ledger_stands_in_for_a_listing_that_is_nowhere(tmp_path):
    monday = batch(tmp_path, "monday", {"cat/1.png": b"1", "dog/9.png": b"9"})
    before = batch(tmp_path, "friday", {"cat/1.png": b"1", "cat/2.png": b"2", "cat/3.png": b"3", "cat/4.png": b"4"})
    now = batch(tmp_path, "friday", {"cat/1.png": b"1", "dog/2.png": b"2", "cat/33.png": b"3", "cat/5.png": b"5"})
    store = Collected(tmp_path, ["friday"])
    store.today = [monday, now]
    recall = remembered(
        *(("1", "cat", "monday/cat/1.png"), ("9", "dog", "monday/dog/9.png")),
        *((number, "cat", f"friday/cat/{number}.png") for number in "234"),
    )
    whole = Inventory(Store(tmp_path), IMAGES, ()).between([monday, before], [monday, now], [])
    told = Inventory(store, IMAGES, (), tmp_path / "scratch").between([monday, before], [monday, now], [], recall)
    assert (
        kinds(told)
        == kinds(whole)
        == [
            ("added", "friday/cat/5.png"),
            ("relabelled", "friday/dog/2.png"),
            ("removed", "friday/cat/4.png"),
            ("renamed", "friday/cat/33.png"),
        ]
    )
    assert told.opened == 2
    assert told.warnings == (
        "what data/images/friday held at the last version is listed nowhere any more (was it deleted by `dvc gc`?), so "
        "the ledger tells what is new; it does not know where copies lay: one of a known image counts as known",
    )
    store.today = [monday, before, now]
    later = Inventory(store, IMAGES, (), tmp_path / "scratch").between([monday, before], [monday, now], [], recall)
    assert later.warnings == (), "a listing that comes back tells more"


def test_a_batch_that_was_moved_before_its_listing_was_lost_is_still_known(tmp_path):
    """The ledger has the paths from before: a batch that only moves is not opened."""
    before = batch(tmp_path, "2026/friday", {"cat/1.png": b"1", "cat/2.png": b"2"})
    now = batch(tmp_path, "2026/friday", {"cat/1.png": b"1", "cat/3.png": b"3"})
    store = Collected(tmp_path, ["2026/friday"])
    store.today = [now]
    recall = remembered(("1", "cat", "friday/cat/1.png"), ("2", "cat", "friday/cat/2.png"))
    told = Inventory(store, IMAGES, ()).between([before], [now], [], recall)
    assert kinds(told) == [
        ("added", "2026/friday/cat/3.png"),
        ("removed", "friday/cat/2.png"),
        ("renamed", "2026/friday/cat/1.png"),
    ]


def test_without_a_ledger_a_listing_that_is_nowhere_is_an_error_and_so_is_one_of_now(tmp_path):
    before, now = (batch(tmp_path, "friday", {f"cat/{number}.png": b"1"}) for number in "12")
    store = Collected(tmp_path, ["friday"])
    store.today = [now]
    for inventory in (Inventory(store, IMAGES, ()), Inventory(store, IMAGES, (), tmp_path / "scratch")):
        with pytest.raises(NowhereError):
            inventory.between([before], [now], [])
    store.today = [before]
    for inventory in (Inventory(store, IMAGES, ()), Inventory(store, IMAGES, (), tmp_path / "scratch")):
        with pytest.raises(NowhereError):
            inventory.between([before], [now], [], remembered())


PLACES = st.dictionaries(st.sampled_from("0123456789"), st.sets(st.sampled_from(["m", "t", "w"]), min_size=1))
STATE = st.tuples(PLACES, st.tuples(*[st.sampled_from(["cat", "dog"])] * 10), st.sets(st.sampled_from("0123456789")))
"""The batches that hold each image, each image's label, and the images that validation would refuse."""


def hash_words(changes: Delta) -> Delta:
    return Delta(changes.rows.with_columns(pl.lit(0, pl.UInt64).alias(name) for name in ledger.HASHES))


@pytest.mark.parametrize("by_csv", [False, True], ids=["folders", "labels.csv"])
@examples(80)
@hypothesis.given(states=st.lists(STATE, min_size=2, max_size=4), lost=st.sets(st.sampled_from("mtw")))
def test_over_any_cycles_the_ledger_holds_what_the_data_holds(tmp_path_factory, by_csv, states, lost):
    """Copies over batches, removals, labels that change, images set aside and tried again, listings that get lost."""
    root = tmp_path_factory.mktemp("cycles")
    store = Collected(root, lost)
    inventory = Inventory(store, IMAGES, ())
    before, aside, rows, expected = [], [], ledger.empty(), set()
    for number, (places, told, refused) in enumerate(states):
        now = []
        for name in "mtw":
            held = {image: told[int(image)] for image, batches in places.items() if name in batches}
            if by_csv:
                csv = "file,label\n" + "".join(f"{image},{label}\n" for image, label in held.items())
                now.append(batch(root, name, {image: image.encode() for image in held}, csv))
            elif held:
                files = {f"{label}/{image}": image.encode() for image, label in held.items()}
                now.append(batch(root, name, files))
        store.today = now
        changes = inventory.between(before, now, aside, lambda rows=rows: rows).delta
        bad = [md5(image.encode()) for image in refused]
        # What the ledger has is not judged again; copies of it pass as it did.
        judged = changes.new.join(ledger.present(rows), on="digest", how="anti")
        faulty = judged.filter(pl.col("digest").is_in(bad))
        kept = changes.without(faulty)
        rows = ledger.extend(
            rows,
            hash_words(kept),
            pl.DataFrame(schema={"digest": pl.String, "group": pl.String, "is_torn": pl.Boolean}),
            pl.DataFrame(schema={"digest": pl.String}),
            pl.DataFrame(schema={"digest": pl.String, "split": pl.String}),
            lambda digest: splits.assign(digest, 0.2, 0.2),
            f"c{number}",
        )
        expected = {image for image in places if image in expected or image not in refused}
        present = dict(ledger.present(rows).select("digest", "label").rows())
        assert present == {md5(image.encode()): told[int(image)] for image in expected}
        before, aside = now, [list(row) for row in faulty.select("digest", "label", "path").rows()]
