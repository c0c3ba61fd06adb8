import pandas as pd
import pytest

from pipeline import files, ledger
from pipeline.ledger import Accepted

CAT = Accepted("d1", "cat", "monday/cat/1.png")
DOG = Accepted("d2", "dog", "monday/dog/2.png")
FOX = Accepted("d3", "fox", "tuesday/fox/3.png")


def extend(rows=None, added=(), relabelled=(), removed=(), split="train", cycle="c1") -> pd.DataFrame:
    return ledger.extend(ledger.empty() if rows is None else rows, added, relabelled, removed, lambda _: split, cycle)


def row(rows: pd.DataFrame, digest: str) -> dict[str, object]:
    (found,) = rows[rows["digest"] == digest].to_dict("records")
    return found


@pytest.fixture
def rows() -> pd.DataFrame:
    """A ledger after its first cycle."""
    return extend(added=[DOG, CAT], split="val")


def test_an_empty_ledger_has_its_columns_and_no_rows():
    assert list(ledger.empty().columns) == list(ledger.COLUMNS)
    assert ledger.empty().empty


def test_a_first_cycle_writes_one_row_per_image_sorted(rows):
    assert list(rows["digest"]) == ["d1", "d2"]
    assert row(rows, "d1") == {
        "digest": "d1",
        "group": "d1",
        "label": "cat",
        "split": "val",
        "path": "monday/cat/1.png",
        "first_seen": "c1",
        "removed": False,
    }


def test_later_rows_come_after_and_earlier_rows_stay_as_they_are(rows):
    grown = extend(rows, added=[FOX], split="train", cycle="c2")
    pd.testing.assert_frame_equal(grown.iloc[:2], rows)
    assert list(grown.index) == [0, 1, 2]
    assert row(grown, "d3")["first_seen"] == "c2"
    assert row(grown, "d3")["split"] == "train"


def test_a_ledger_is_never_changed_in_place(rows):
    before = rows.copy(deep=True)
    extend(rows, added=[FOX, CAT], relabelled=[Accepted("d2", "fox", "x")], removed={"d1"}, cycle="c2")
    pd.testing.assert_frame_equal(rows, before)


def test_copies_count_once_wherever_they_lie():
    rows = extend(added=[CAT, Accepted("d1", "cat", "copy/cat/9.png")])
    assert list(rows["path"]) == ["monday/cat/1.png"]


def test_a_copy_of_a_known_image_is_no_new_row(rows):
    again = extend(rows, added=[Accepted("d1", "cat", "copy/cat/9.png")], split="train", cycle="c2")
    assert len(again) == 2
    assert row(again, "d1")["split"] == "val"


def test_a_removed_image_keeps_its_row(rows):
    left = extend(rows, removed=["d1"], cycle="c2")
    assert list(left["removed"]) == [True, False]
    assert row(left, "d1") == row(rows, "d1") | {"removed": True}


def test_a_removed_image_comes_back_to_its_split_under_its_new_label(rows):
    back = extend(extend(rows, removed=["d1"]), added=[Accepted("d1", "fox", "x")], split="train", cycle="c3")
    assert row(back, "d1")["split"] == "val"
    assert row(back, "d1")["first_seen"] == "c1"
    assert row(back, "d1")["label"] == "fox"
    assert not row(back, "d1")["removed"]


def test_a_relabelled_image_changes_its_label_and_nothing_else(rows):
    told = extend(rows, relabelled=[Accepted("d2", "wolf", "monday/wolf/2.png")], split="train", cycle="c2")
    assert row(told, "d2") == row(rows, "d2") | {"label": "wolf"}
    assert row(told, "d1") == row(rows, "d1")


def test_the_split_is_asked_once_and_only_for_new_images(rows):
    asked = []
    ledger.extend(rows, [CAT, FOX, FOX], [DOG], [], lambda digest: asked.append(digest) or "train", "c2")
    assert asked == ["d3"]


def test_nothing_new_leaves_the_ledger_as_it_is(rows):
    pd.testing.assert_frame_equal(extend(rows, cycle="c2"), rows)


def test_a_ledger_survives_the_disk_between_cycles(rows, tmp_path):
    path = tmp_path / "ledger.parquet"
    files.write_table(path, ledger.empty())
    first = extend(files.read_table(path), added=[CAT, DOG], split="val")
    files.write_table(path, first)
    read = files.read_table(path)
    pd.testing.assert_frame_equal(first, rows)
    pd.testing.assert_frame_equal(read, rows)
    pd.testing.assert_frame_equal(extend(read, [FOX], removed=["d1"]), extend(rows, [FOX], removed=["d1"]))
    assert read.dtypes.to_dict() == ledger.empty().dtypes.to_dict()
