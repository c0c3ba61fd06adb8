import polars as pl
import pytest

from pipeline.checking import facts
from pipeline.data import ledger, names
from pipeline.data.delta import Delta
from pipeline.images import sniffing
from pipeline.images.decoding import Facts

ROOT = "data/images"
GOOD = Facts(100, "PNG", "RGB", 40, 30, brightness=0.5, contrast=0.2, sharpness=0.1, dct=2**64 - 1, across=1, down=2)
PLACED = dict.fromkeys(["digest", "label", "path"], pl.String)


def changes(*rows: tuple[str, str, str, str]) -> Delta:
    """A delta: kind, digest, label, path below the images."""
    made = pl.DataFrame([*rows], schema=dict.fromkeys(["kind", "digest", "label", "path"], pl.String), orient="row")
    return Delta(made.with_columns(path=pl.lit(f"{ROOT}/") + pl.col("path"), was=pl.lit("")))


def known(*rows: tuple[str, str, str]) -> pl.DataFrame:
    made = pl.DataFrame([*rows], schema=PLACED, orient="row")
    return made.with_columns(path=pl.lit(f"{ROOT}/") + pl.col("path"))


def seen(**decoded: Facts) -> pl.DataFrame:
    return facts.table([*decoded.values()]).with_columns(pl.Series("digest", [*decoded], dtype=pl.String))


def of_new(delta: Delta, old: pl.DataFrame | None = None, **decoded: Facts) -> pl.DataFrame:
    every = dict.fromkeys(delta.rows["digest"], GOOD) | decoded
    return facts.of_new(delta, known() if old is None else old, seen(**every), ROOT)


def test_facts_become_columns():
    (row,) = facts.table([GOOD]).to_dicts()
    assert row == {
        "readable": True,
        "why_readable": "",
        "format": "PNG",
        "mode": "RGB",
        "width": 40,
        "height": 30,
        "brightness": 0.5,
        "contrast": 0.2,
        "sharpness": 0.1,
        "dct": 2**64 - 1,
        "across": 1,
        "down": 2,
        "side": 30,
        "aspect": pytest.approx(4 / 3),
        "megapixels": pytest.approx(0.0012),
    }


def test_of_an_image_that_cannot_be_decoded_only_the_reason_is_known():
    (row,) = facts.table([Facts(100, error="empty file")]).to_dicts()
    assert row.pop("readable") is False
    assert row.pop("why_readable") == "empty file"
    assert set(row.values()) == {None}


@pytest.mark.parametrize("decoded", [[], [Facts(1, error="x")], [GOOD]], ids=["none", "faulty", "good"])
def test_columns_have_their_types_whatever_is_found(decoded):
    table = facts.table(decoded)
    assert table.schema == facts.table([GOOD, Facts(1, error="x")]).schema
    assert {table.schema[name] for name in ledger.HASHES} == {pl.UInt64}


def test_the_aspect_is_that_of_the_longer_side():
    tall = Facts(1, "PNG", "RGB", 10, 40)
    assert facts.table([tall])["aspect"].item() == 4


def test_statistics_count_each_image_once():
    rows = facts.table([GOOD, GOOD]).with_columns(digest=pl.lit("d1"), label=pl.lit("cat"), path=pl.Series(["a", "b"]))
    statistics = facts.statistics(rows)
    assert statistics.num_images == 1
    assert statistics.labels == {"cat": 1}


def test_the_table_has_the_new_images_with_what_was_seen_of_them():
    table = of_new(
        changes(
            ("added", "d1", "cat", "m/cat/1.png"),
            ("added", "d1", "cat", "m/cat/copy.png"),
            ("retried", "d2", "dog", "m/dog/2.png"),
            ("removed", "d3", "dog", "m/dog/3.png"),
            ("relabelled", "d4", "dog", "m/dog/4.png"),
            ("renamed", "d5", "dog", "m/dog/5.png"),
            ("elsewhere", "d4", "cat", "n/cat/4.png"),
        )
    )
    assert table["path"].to_list() == [f"{ROOT}/m/cat/1.png", f"{ROOT}/m/cat/copy.png", f"{ROOT}/m/dog/2.png"]
    assert table["width"].to_list() == [40] * 3
    assert table.select("named", "labelled", "extension", "num_labels").unique().rows() == [(True, True, True, 1)]
    assert table.select("why_named", "why_num_labels").unique().rows() == [("", "")]


def test_a_push_that_only_removes_makes_an_empty_table():
    table = facts.of_new(changes(("removed", "d1", "cat", "m/cat/1.png")), known(), seen(), ROOT)
    assert table.is_empty()
    assert {"named", "labelled", "extension", "num_labels", "readable"} <= set(table.columns)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gnp.\u202eexe", r"its name holds '\u202e', which cannot be seen"),
        ("a\nb.png", r"its name holds '\n', which cannot be seen"),
        ("\x1b[31m.png", r"its name holds '\x1b', which cannot be seen"),
        ("-rf.png", "its name starts with -, as an option of a command does"),
        ("x" * 197 + ".png", "its name has 201 bytes, more than 200"),
        (
            "cafe\u0301.png",
            "its name is not in Unicode's normal form C, so macOS and Linux take it for different files",
        ),
    ],
    ids=["bidi", "newline", "escape", "option", "long", "decomposed"],
)
def test_a_hostile_name_is_a_fault_of_its_image_and_of_no_other(name, reason):
    table = of_new(changes(("added", "d1", "cat", f"m/cat/{name}"), ("added", "d2", "cat", "m/cat/2.png")))
    assert table["named"].to_list() == [False, True]
    assert table["why_named"].to_list() == [reason, ""]


@pytest.mark.parametrize(
    ("one", "other"),
    [("m/cat/A.png", "m/cat/a.png"), ("m/cat/é.png", "m/cat/e\u0301.png")],
    ids=["case", "normal form"],
)
def test_names_that_are_one_on_another_system_are_a_fault_of_both(one, other):
    table = of_new(changes(("added", "d1", "cat", one), ("added", "d2", "cat", other)))
    assert table["named"].to_list() == [False, False]
    assert table["why_named"].to_list() == [
        f"{names.spelt(other)} is the same name on macOS and Windows",
        f"{names.spelt(one)} is the same name on macOS and Windows",
    ]


def test_where_the_project_lies_does_not_matter_to_names():
    rows = changes(("added", "d1", "cat", "cat/1.png")).rows.with_columns(path=pl.lit("-x\n/images/cat/1.png"))
    table = facts.of_new(Delta(rows), known(), seen(d1=GOOD), "-x\n/images")
    assert table["named"].to_list() == [True]


@pytest.mark.parametrize(
    ("name", "kind", "fits"),
    [
        ("1.png", "PNG", True),
        ("1.PNG", "PNG", True),
        ("1.jpeg", "JPEG", True),
        ("1.jpg", "PNG", False),
        ("1.png.jpg", "PNG", False),
        ("1", "PNG", False),
        ("1.gif", "", True),
    ],
)
def test_a_name_ends_as_its_content_is(name, kind, fits):
    decoded = Facts(1, error="a GIF file") if not kind else Facts(1, kind, "RGB", 40, 30)
    assert of_new(changes(("added", "d1", "cat", f"m/cat/{name}")), d1=decoded)["extension"].to_list() == [fits]


def test_every_usual_extension_fits():
    delta = [("added", kind, "cat", f"m/cat/1{end}") for kind in sniffing.FORMATS for end in sniffing.extensions(kind)]
    table = of_new(changes(*delta), **{kind: Facts(1, kind, "RGB", 40, 30) for kind in sniffing.FORMATS})
    assert table["extension"].all()


def test_an_image_that_no_labels_csv_names_has_no_label():
    table = of_new(changes(("added", "d1", "", "m/1.png"), ("added", "d2", "cat", "m/2.png")))
    assert table["labelled"].to_list() == [False, True]
    assert table["num_labels"].to_list() == [1, 1]


def carried(delta: pl.DataFrame, old: pl.DataFrame | None = None) -> dict[str, set[str]]:
    carried = facts.labels_carried(delta, known() if old is None else old)
    return {digest: set(labels) for digest, labels in carried.items()}


@pytest.mark.parametrize(
    ("delta", "old", "labels"),
    [
        ([("added", "d1", "cat", "a/cat/1")], [], {"cat"}),
        ([("added", "d1", "cat", "a/cat/1"), ("added", "d1", "cat", "b/cat/1")], [], {"cat"}),
        ([("added", "d1", "cat", "a/cat/1"), ("added", "d1", "dog", "a/dog/1")], [], {"cat", "dog"}),
        ([("added", "d1", "cat", "a/cat/1"), ("retried", "d1", "dog", "a/dog/1")], [], {"cat", "dog"}),
        ([("added", "d1", "cat", "a/cat/1")], [("d1", "dog", "b/dog/1")], {"cat", "dog"}),
        ([("added", "d1", "cat", "a/cat/1")], [("d1", "cat", "b/cat/1")], {"cat"}),
        ([("added", "d1", "cat", "a/cat/1")], [("d2", "dog", "b/dog/2")], {"cat"}),
        ([("added", "d1", "cat", "a/cat/1"), ("relabelled", "d1", "cat", "b/cat/1")], [("d1", "dog", "x")], {"cat"}),
        ([("retried", "d1", "cat", "a/cat/1"), ("elsewhere", "d1", "dog", "b/dog/1")], [], {"cat", "dog"}),
        ([("added", "d1", "cat", "a/cat/1"), ("added", "d1", "", "b/1")], [], {"cat"}),
        ([("added", "d1", "", "b/1")], [], {""}),
    ],
    ids=[
        "one",
        "copies alike",
        "copies that differ",
        "a copy that was set aside",
        "a known image under another",
        "a known image alike",
        "another image",
        "a known image that is relabelled in time",
        "in a batch that did not change",
        "a copy without label",
        "no label at all",
    ],
)
def test_which_labels_an_image_carries_in_all_the_data(delta, old, labels):
    assert carried(changes(*delta), known(*old)) == {"d1": labels}


def test_an_image_under_two_labels_is_told_with_both_places():
    table = of_new(
        changes(("added", "d1", "cat", "a/cat/1.png"), ("added", "d2", "cat", "a/cat/2.png")),
        known(("d1", "dog", "b/dog/1\n.png")),
    )
    assert table["num_labels"].to_list() == [2, 1]
    assert table["why_num_labels"].to_list() == [
        r"the same bytes carry 2 labels: cat at 'data/images/a/cat/1.png', dog at 'data/images/b/dog/1\n.png'",
        "",
    ]
