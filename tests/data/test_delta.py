from typing import NamedTuple

import hypothesis
import polars as pl
import pytest
from examples import examples
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipeline.artifacts.sources import Source
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data import delta
from pipeline.data.delta import Delta


class Image(NamedTuple):
    digest: str
    label: str
    path: str


CAT = Image("d1", "cat", "data/images/monday/cat/1.png")
DOG = Image("d2", "dog", "data/images/monday/dog/2.png")
COPY = Image("d1", "cat", "data/images/tuesday/cat/1.png")
THIRD = Image("d1", "cat", "data/images/a/cat/1.png")
MOVED = Image("d1", "dog", "data/images/monday/dog/1.png")


def table(images) -> pl.DataFrame:
    return pl.DataFrame(list(images), schema=dict.fromkeys(Image._fields, pl.String), orient="row")


def of(rows) -> Delta:
    """Rows of kind, digest, label, path and was."""
    return Delta(pl.DataFrame(list(rows), schema=dict.fromkeys(delta.COLUMNS, pl.String), orient="row"))


def diff(before, now, kept=None) -> list[tuple[str, ...]]:
    rows = delta.diff(table(before), table(now), None if kept is None else table(kept)).rows
    assert tuple(rows.columns) == delta.COLUMNS
    return rows.rows()


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [], []),
        ([], [DOG, CAT], [("added", *CAT, ""), ("added", *DOG, "")]),
        ([], [COPY, CAT], [("added", *CAT, ""), ("added", *COPY, "")]),
        ([], [MOVED, CAT], [("added", *CAT, ""), ("added", *MOVED, "")]),
        ([CAT, DOG], [CAT], [("removed", *DOG, "")]),
        ([CAT, COPY], [], [("removed", *CAT, ""), ("removed", *COPY, "")]),
        ([CAT], [MOVED], [("relabelled", *MOVED, "cat")]),
        ([CAT], [CAT, MOVED], [("relabelled", *CAT, "cat"), ("relabelled", *MOVED, "cat")]),
        ([CAT, MOVED], [CAT], [("relabelled", *CAT, "cat")]),
        ([CAT, MOVED], [MOVED], [("relabelled", *MOVED, "cat")]),
        ([CAT], [COPY], [("renamed", *COPY, CAT.path)]),
        ([CAT, COPY], [THIRD], [("renamed", *THIRD, CAT.path)]),
        ([CAT], [CAT, COPY], []),
        ([CAT, COPY], [CAT], []),
        ([CAT], [Image("d9", "cat", CAT.path)], [("added", "d9", "cat", CAT.path, ""), ("removed", *CAT, "")]),
    ],
    ids=[
        "nothing at all",
        "added",
        "added with a copy",
        "added under two labels",
        "removed",
        "removed with its copy",
        "relabelled",
        "copied under another label",
        "no longer under two labels: the one it had",
        "no longer under two labels: the other one",
        "renamed",
        "two renamed to one",
        "copied",
        "one copy removed",
        "bytes changed",
    ],
)
def test_what_happened_to_the_images(before, now, expected):
    assert diff(before, now) == expected


def test_an_image_that_an_unchanged_batch_still_holds_was_not_removed():
    assert diff([CAT, DOG], [], kept=[COPY]) == [("removed", *DOG, "")]


def test_where_a_relabelled_image_lies_in_an_unchanged_batch_is_told():
    assert diff([CAT], [MOVED], kept=[COPY, DOG]) == [("elsewhere", *COPY, ""), ("relabelled", *MOVED, "cat")]


@pytest.mark.parametrize(
    ("before", "now", "asked"),
    [([CAT], [], True), ([CAT], [MOVED], True), ([CAT], [CAT, DOG], False), ([CAT], [COPY], False), ([], [], False)],
    ids=["removed", "relabelled", "added", "renamed", "nothing"],
)
def test_unchanged_batches_are_asked_for_only_where_a_copy_would_matter(before, now, asked):
    assert delta.diff(table(before), table(now)).needs_unchanged is asked


def test_a_summary_counts_images_of_each_kind_and_the_added_files_by_label():
    rows = [
        ("added", *DOG, ""),
        ("added", *CAT, ""),
        ("added", *COPY, ""),
        ("removed", *CAT, ""),
        ("removed", *COPY, ""),
    ]
    rows += [("relabelled", *MOVED, "cat"), ("elsewhere", *COPY, ""), ("renamed", *COPY, "x"), ("retried", *DOG, "")]
    summary = of(rows).changes(["a warning"]).to_json()
    assert summary.pop("warnings") == ["a warning"]
    assert summary == {
        "added": 3,
        "retried": 1,
        "relabelled": 1,
        "removed": 1,
        "renamed": 1,
        "added_by_label": {"cat": 2, "dog": 1},
    }
    assert list(summary["added_by_label"]) == ["cat", "dog"]


def test_a_summary_of_nothing_is_all_zero():
    summary = delta.diff(table([]), table([])).changes().to_json()
    assert summary.pop("added_by_label") == {}
    assert summary.pop("warnings") == []
    assert set(summary.values()) == {0}


IMAGES = st.lists(
    st.builds(Image, st.sampled_from("abcdef"), st.sampled_from(["cat", "dog", "fox"]), st.sampled_from("1234567")),
    unique_by=lambda image: (image.label, image.path),  # a place holds one file
    max_size=14,
).map(lambda images: [image._replace(path=f"{image.label}/{image.path}") for image in images])


def labels(images, digest) -> set[str]:
    return {image.label for image in images if image.digest == digest}


def model(before, now, kept) -> list[tuple[str, ...]]:
    """What `diff` has to say, image by image, in plain words."""
    rows = []
    for digest in {image.digest for image in [*before, *now]}:
        old, new = [[image for image in side if image.digest == digest] for side in (before, now)]
        if not old:
            rows += [("added", *image, "") for image in new]
        elif not new:
            rows += [("removed", *image, "") for image in old if not labels(kept, digest)]
        elif labels(old, digest) != labels(new, digest):
            rows += [("relabelled", *image, min(labels(old, digest))) for image in new]
            rows += [("elsewhere", *image, "") for image in kept if image.digest == digest]
        elif gone := {image.path for image in old} - {image.path for image in new}:
            came = [image for image in new if image not in old]
            rows += [("renamed", *image, min(gone)) for image in came]
    return sorted(set(rows), key=lambda row: (row[0], row[3], row[1], row[2]))


@examples(300)
@hypothesis.given(IMAGES, IMAGES, IMAGES)
def test_every_image_is_told_as_a_reader_of_both_lists_would(before, now, kept):
    kept = [image._replace(path=f"kept/{image.path}") for image in kept]
    assert diff(before, now, kept) == model(before, now, kept)
    assert diff(before, now) == model(before, now, [])


@hypothesis.given(IMAGES, st.randoms(use_true_random=False))
def test_the_same_images_in_any_order_are_no_delta(images, random):
    assert diff(images, random.sample(images, len(images))) == []


@hypothesis.given(IMAGES, IMAGES, st.randoms(use_true_random=False))
def test_a_delta_does_not_depend_on_the_order_of_images(before, now, random):
    assert diff(random.sample(before, len(before)), random.sample(now, len(now))) == diff(before, now)


@hypothesis.given(IMAGES, IMAGES)
def test_there_and_back_swaps_added_and_removed(before, now):
    def of(kind: str, rows) -> list:
        return [row[1:4] for row in rows if row[0] == kind]

    there, back = diff(before, now), diff(now, before)
    assert of("added", there) == of("removed", back)
    assert of("removed", there) == of("added", back)


MONDAY = Source("data/images/monday", "1.dir", 2)
TUESDAY = Source("data/images/tuesday", "2.dir", 2)
GROWN = Source("data/images/tuesday", "3.dir", 3)
ALONE = Source("data/images/monday/cat/1.png", "d1", 1)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([MONDAY, TUESDAY], [TUESDAY, MONDAY], ([], [])),
        ([MONDAY], [MONDAY, TUESDAY], ([], [TUESDAY])),
        ([MONDAY, TUESDAY], [MONDAY], ([TUESDAY], [])),
        ([MONDAY, TUESDAY], [MONDAY, GROWN], ([TUESDAY], [GROWN])),
        ([MONDAY], [Source("data/images/2026/monday", "1.dir", 2)], ([], [])),
        ([], [MONDAY], ([], [MONDAY])),
        ([ALONE], [ALONE], ([], [])),
        ([ALONE], [Source("data/images/tuesday/cat/1.png", "d1", 1)], ([], [])),
    ],
    ids=["unchanged", "new", "gone", "grown", "moved", "first cycle", "image alone", "image alone moved"],
)
def test_only_changed_batches_are_opened(before, now, expected):
    assert delta.changed(before, now) == expected
    assert delta.changed(iter(before), iter(now)) == expected


def test_a_renamed_batch_is_opened_because_its_name_may_be_a_label():
    before, now = Source("data/images/cat", "1.dir", 2), Source("data/images/dog", "1.dir", 2)
    assert delta.changed([before], [now]) == ([before], [now])


def test_an_image_alone_that_moved_to_another_label_is_opened():
    now = Source("data/images/monday/dog/1.png", "d1", 1)
    assert delta.changed([ALONE], [now]) == ([ALONE], [now])


def retried(now, set_aside, unchanged) -> list[tuple[str, ...]]:
    return delta.with_retried(delta.diff(table([]), table(now)), table(set_aside), unchanged).rows.rows()


def test_an_image_that_was_set_aside_in_an_unchanged_batch_is_tried_again():
    assert retried([], [CAT, COPY], [MONDAY]) == [("retried", *CAT, "")]


def test_an_image_that_was_set_aside_in_a_changed_batch_is_tried_again_and_not_added():
    assert retried([CAT, DOG], [CAT], []) == [("added", *DOG, ""), ("retried", *CAT, "")]


def test_mended_bytes_at_the_place_of_one_that_was_set_aside_are_added():
    mended = CAT._replace(digest="d9")
    assert retried([mended], [CAT], []) == [("added", *mended, "")]


def test_an_image_that_was_set_aside_and_is_gone_is_forgotten():
    assert retried([DOG], [CAT], [TUESDAY]) == [("added", *DOG, "")]


def test_a_batch_whose_name_begins_alike_is_another_batch():
    assert retried([], [CAT], [Source("data/images/mon", "1.dir", 1)]) == []


def test_an_image_alone_that_was_set_aside_is_tried_again():
    assert retried([], [CAT], [ALONE]) == [("retried", *CAT, "")]


def test_without_anything_set_aside_nothing_is_tried_again():
    assert retried([DOG], [], [MONDAY]) == [("added", *DOG, "")]


def paths(rows) -> list[str]:
    return rows["path"].to_list()


EACH = [(kind, f"d{number}", "cat", f"{number}.png", "") for number, kind in enumerate(delta.KINDS)]
"""A row of each kind: 0 added, 1 retried, 2 relabelled, 3 removed, 4 renamed, 5 elsewhere."""


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("added", "0"),
        ("new", "01"),
        ("removed", "3"),
        ("renamed", "4"),
        ("relabelled", "2"),
        ("relabelled_everywhere", "25"),
        ("moved", "24"),
        ("labelled", "012"),
        ("labelled_everywhere", "0125"),
        ("here", "0124"),
        ("arrived", "02"),
    ],
)
def test_a_delta_gives_its_rows_by_what_they_mean(name, numbers):
    assert paths(getattr(of(EACH), name)) == [f"{number}.png" for number in numbers]


def test_an_image_that_came_went_or_got_another_label_changed_and_counts_once():
    assert of(EACH).num_changed == 3
    assert of([("added", *CAT, ""), ("added", *COPY, ""), ("retried", *DOG, "")]).num_changed == 1


def test_an_empty_delta_is_false():
    assert not of([])
    assert of(EACH[:1])


def test_what_is_set_aside_is_left_out_at_its_place_and_nowhere_else():
    before = of([("added", *CAT, ""), ("added", *COPY, ""), ("added", *DOG, "")])
    assert paths(before.without(table([COPY])).rows) == [CAT.path, DOG.path]
    assert paths(before.rows) == [CAT.path, COPY.path, DOG.path]


def test_a_label_that_is_only_called_otherwise_is_no_relabelling():
    rows = of([("relabelled", *MOVED, "cat"), ("relabelled", "d7", "lynx", "7.png", "cat"), ("renamed", *COPY, "x")])
    assert paths(rows.truly_relabelled({"cat": "lynx"})) == [MOVED.path]
    assert paths(rows.truly_relabelled({})) == [MOVED.path, "7.png"]


def test_images_all_of_which_are_new_are_a_delta():
    assert delta.of_added(table([DOG, CAT])).rows.rows() == [("added", *DOG, ""), ("added", *CAT, "")]


def test_a_delta_survives_the_disk_with_columns_of_a_stage(tmp_path):
    rows = of(EACH).rows.with_columns(dct=pl.lit(7, pl.UInt64))
    Delta(rows).write(tmp_path / "images.parquet")
    assert_frame_equal(Delta.read(tmp_path / "images.parquet").rows, rows)
    files.write_table(tmp_path / "same.parquet", rows)
    assert (tmp_path / "images.parquet").read_bytes() == (tmp_path / "same.parquet").read_bytes()


def test_a_table_that_is_no_delta_is_refused_with_what_it_lacks(tmp_path):
    files.write_table(tmp_path / "images.parquet", of(EACH).rows.drop("was"))
    message = r"images\.parquet: of another version of Evergreen, or damaged: it lacks the column was; delete it"
    with pytest.raises(DataError, match=message):
        Delta.read(tmp_path / "images.parquet")


def test_of_the_copies_of_an_image_the_one_with_the_least_path_is_it():
    assert delta.once(table([DOG, COPY, THIRD, CAT])).rows() == [THIRD, DOG]


@hypothesis.given(IMAGES, st.randoms(use_true_random=False))
def test_which_copy_is_the_image_does_not_depend_on_the_order_of_rows(images, random):
    once = delta.once(table(images))
    assert_frame_equal(delta.once(table(random.sample(images, len(images)))), once)
    assert paths(once) == sorted(paths(once))
    assert dict(once.select("digest", "path").rows()) == {
        digest: min(image.path for image in images if image.digest == digest)
        for digest in {image.digest for image in images}
    }


def test_at_one_place_the_least_kind_is_it_in_any_order():
    rows = [("retried", *CAT, ""), ("elsewhere", *CAT, ""), ("relabelled", *CAT, "dog")]
    for order in (rows, rows[::-1]):
        assert delta.once(of(order).rows)["kind"].to_list() == ["elsewhere"]
