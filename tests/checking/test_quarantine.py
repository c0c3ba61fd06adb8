from collections.abc import Iterable

import polars as pl
import pytest

from pipeline.checking import quarantine
from pipeline.checking.expectations import Expectation, Remedy
from pipeline.checking.findings import Finding
from pipeline.checking.quarantine import Entry
from pipeline.data.delta import Delta

DELTA = dict.fromkeys(["kind", "digest", "label", "path"], pl.String)
PLACED = dict.fromkeys(["digest", "label", "path"], pl.String)
KEEP = "keep the copy with the right label, remove the others, `dvc add` the batch and `dvc repro`"


def frame(schema: dict[str, object], rows: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


def finding(column: str, *rows: int, meaning: str = "it is so", remedy: str = "mend it") -> Finding:
    expectation = Expectation("Expect", column, "quarantine", meaning, Remedy(remedy))
    return Finding("images", expectation, False, "observed", rows)


def entry(digest: str, label: str, path: str, reason: str = "why", is_known: bool = False) -> Entry:
    return Entry(digest, label, path, "width", reason, Remedy("mend it"), is_known)


def worded(entries: Iterable[Entry]) -> list[tuple[object, ...]]:
    """Entries with their remedies as sentences."""
    return [(*entry[:5], entry.remedy.words(), entry.is_known) for entry in entries]


def aside(*rows: tuple[str, str, str, bool]) -> pl.DataFrame:
    """Digest, label, path, is_known."""
    return quarantine.table([entry(digest, label, path, is_known=old) for digest, label, path, old in rows])


def test_an_empty_quarantine_has_its_columns():
    assert tuple(quarantine.table([]).columns) == quarantine.COLUMNS
    assert quarantine.table([]).schema["is_known"] == pl.Boolean


def test_each_place_is_there_once_with_its_first_reason_sorted():
    rows = [
        entry("d1", "cat", "b", "first"),
        entry("d2", "cat", "a"),
        entry("d1", "cat", "b", "second", is_known=True),
        entry("d1", "cat", "c"),
    ]
    table = quarantine.table(rows)
    assert table.select("path", "reason").rows() == [("a", "why"), ("b", "first"), ("c", "why")]


FACTS = pl.DataFrame(
    {
        "digest": ["d0", "d1"],
        "label": ["cat", ""],
        "path": ["p0", "p1"],
        "width": [7, 40],
        "labelled": [True, False],
        "readable": [False, True],
        "why_readable": ["empty file", ""],
    }
)


@pytest.mark.parametrize(
    ("failed", "row"),
    [
        (finding("readable", 0), ("d0", "cat", "p0", "readable", "empty file", "mend it", False)),
        (finding("width", 0), ("d0", "cat", "p0", "width", "width is 7; expected that it is so", "mend it", False)),
        (
            finding("labelled", 1),
            ("d1", "", "p1", "labelled", "labels.csv of its batch does not name it", "mend it", False),
        ),
    ],
    ids=["words of the decoder", "a number", "no label"],
)
def test_an_image_that_fails_is_set_aside_with_reason_and_remedy(failed, row):
    assert worded(quarantine.of_findings([failed], FACTS)) == [row]


def test_an_image_that_fails_several_is_told_the_first_that_it_fails():
    failed = [finding("readable", 0, remedy="one"), finding("width", 0, 1, remedy="two")]
    assert [(row[0], *row[3:6]) for row in worded(quarantine.of_findings(failed, FACTS))] == [
        ("d0", "readable", "empty file", "one"),
        ("d1", "width", "width is 40; expected that it is so", "two"),
    ]


def test_nothing_failed_sets_nothing_aside():
    assert quarantine.of_findings([], FACTS) == []


def contradicted(doubted: dict[str, str], delta: list[tuple[str, ...]], known: list[tuple[str, ...]]):
    rows = frame(
        {"digest": pl.String, "num_labels": pl.Int64, "why_num_labels": pl.String},
        [(digest, 2 if why else 1, why) for digest, why in doubted.items()],
    )
    return set(worded(quarantine.contradicted(rows, Delta(frame(DELTA, delta)), frame(PLACED, known))))


def test_a_known_image_that_a_new_one_contradicts_is_not_believed_either():
    entries = contradicted({"d1": "two", "d2": ""}, [], [("d1", "dog", "b/dog/1"), ("d2", "cat", "b/cat/2")])
    assert entries == {("d1", "dog", "b/dog/1", "num_labels", "two", KEEP, True)}


def test_every_place_of_a_doubted_image_is_set_aside():
    delta = [("relabelled", "d1", "cat", "a/cat/1"), ("elsewhere", "d1", "dog", "b/dog/1"), ("added", "d1", "cat", "x")]
    entries = contradicted({"d1": "two"}, delta, [("d1", "old", "gone")])
    assert {(row[2], row[6]) for row in entries} == {("a/cat/1", True), ("b/dog/1", True)}


def test_an_image_relabelled_in_one_place_only_is_not_believed():
    delta = [("relabelled", "d1", "cat", "a/cat/1"), ("elsewhere", "d1", "dog", "b/dog/1")]
    why = "the same bytes carry 2 labels: cat at 'a/cat/1', dog at 'b/dog/1'"
    assert contradicted({}, delta, [("d1", "dog", "b/dog/1")]) == {
        ("d1", "cat", "a/cat/1", "num_labels", why, KEEP, True),
        ("d1", "dog", "b/dog/1", "num_labels", why, KEEP, True),
    }


def test_an_image_copied_under_another_label_is_not_believed():
    delta = [("relabelled", "d1", "cat", "a/cat/1"), ("relabelled", "d1", "dog", "a/dog/1")]
    assert {row[2] for row in contradicted({}, delta, [("d1", "cat", "a/cat/1")])} == {"a/cat/1", "a/dog/1"}


@pytest.mark.parametrize(
    "delta",
    [
        [("relabelled", "d1", "cat", "a/cat/1")],
        [("relabelled", "d1", "cat", "a/cat/1"), ("relabelled", "d1", "cat", "a/cat/copy")],
        [("relabelled", "d1", "cat", "a/cat/1"), ("elsewhere", "d1", "cat", "b/cat/1")],
        [("relabelled", "d1", "cat", "a/cat/1"), ("relabelled", "d2", "dog", "a/dog/2")],
    ],
    ids=["one place", "copies alike", "alike elsewhere", "two images"],
)
def test_an_image_relabelled_everywhere_is_believed(delta):
    assert contradicted({}, delta, [("d1", "dog", "b"), ("d2", "cat", "c")]) == set()


def test_new_images_of_a_label_that_has_too_few_wait_until_there_are_enough():
    delta = [
        ("added", "d1", "fox", "a"),
        ("retried", "d2", "fox", "b"),
        ("relabelled", "d3", "fox", "c"),
        ("renamed", "d4", "fox", "d"),
        ("removed", "d5", "fox", "e"),
        ("added", "d6", "cat", "f"),
    ]
    counts = pl.DataFrame({"label": ["cat", "fox"], "total": [12, 3]})
    failed = finding("total_if_new", 1, meaning="there are ten", remedy="it waits")
    why = "label fox has 3 images; expected that there are ten"
    assert worded(quarantine.too_few(Delta(frame(DELTA, delta)), counts, failed)) == [
        ("d1", "fox", "a", "total_if_new", why, "it waits", False),
        ("d2", "fox", "b", "total_if_new", why, "it waits", False),
        ("d3", "fox", "c", "total_if_new", why, "it waits", True),
    ]


def totals(delta: list[tuple[str, ...]], known: list[tuple[str, ...]], *set_aside) -> dict[str, tuple[int, int]]:
    counts = quarantine.totals(Delta(frame(DELTA, delta)), frame(PLACED, known), aside(*set_aside))
    assert counts["label"].is_sorted()
    return {label: (new, total) for label, new, total in counts.select("label", "new", "total").iter_rows()}


OLD = [("d1", "cat", "a"), ("d2", "cat", "b"), ("d3", "dog", "c")]


@pytest.mark.parametrize(
    ("delta", "known", "set_aside", "expected"),
    [
        ([], OLD, [], {"cat": (0, 2), "dog": (0, 1)}),
        ([("added", "d4", "dog", "x"), ("added", "d4", "dog", "y")], OLD, [], {"cat": (0, 2), "dog": (1, 2)}),
        ([("retried", "d4", "fox", "x")], OLD, [], {"cat": (0, 2), "dog": (0, 1), "fox": (1, 1)}),
        ([("added", "d1", "cat", "x")], OLD, [], {"cat": (0, 2), "dog": (0, 1)}),
        ([("relabelled", "d1", "dog", "x")], OLD, [], {"cat": (0, 1), "dog": (0, 2)}),
        ([("removed", "d3", "dog", "c")], OLD, [], {"cat": (0, 2), "dog": (0, 0)}),
        ([("renamed", "d3", "dog", "x")], OLD, [], {"cat": (0, 2), "dog": (0, 1)}),
        ([], OLD, [("d1", "cat", "a", True)], {"cat": (0, 1), "dog": (0, 1)}),
        ([], OLD, [("d1", "cat", "copy", False)], {"cat": (0, 2), "dog": (0, 1)}),
        ([("added", "d4", "fox", "x")], [], [], {"fox": (1, 1)}),
        ([], [], [], {}),
    ],
    ids=[
        "nothing",
        "a copy counts once",
        "tried again",
        "a copy of a known one",
        "relabelled",
        "vanished",
        "renamed",
        "a known one set aside",
        "a new copy set aside",
        "first cycle",
        "no images",
    ],
)
def test_images_per_label_once_the_delta_is_in(delta, known, set_aside, expected):
    assert totals(delta, known, *set_aside) == expected
