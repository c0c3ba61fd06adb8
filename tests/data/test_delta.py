from typing import NamedTuple

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from pipeline.data import delta
from pipeline.data.sources import Source


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


def diff(before, now, kept=None) -> list[tuple[str, ...]]:
    found = delta.diff(table(before), table(now), None if kept is None else table(kept))
    assert tuple(found.columns) == delta.SCHEMA
    return found.rows()


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
    assert delta.needs_unchanged(delta.diff(table(before), table(now))) is asked


def test_a_summary_counts_images_of_each_kind_and_the_added_files_by_label():
    found = table([]).select(pl.lit("").alias("kind"), "digest", "label", "path", pl.lit("").alias("was"))
    rows = [
        ("added", *DOG, ""),
        ("added", *CAT, ""),
        ("added", *COPY, ""),
        ("removed", *CAT, ""),
        ("removed", *COPY, ""),
    ]
    rows += [("relabelled", *MOVED, "cat"), ("elsewhere", *COPY, ""), ("renamed", *COPY, "x"), ("retried", *DOG, "")]
    summary = delta.summary(pl.concat([found, pl.DataFrame(rows, schema=found.schema, orient="row")]))
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
    summary = delta.summary(delta.diff(table([]), table([])))
    assert summary.pop("added_by_label") == {}
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
    found = []
    for digest in {image.digest for image in [*before, *now]}:
        old, new = [[image for image in side if image.digest == digest] for side in (before, now)]
        if not old:
            found += [("added", *image, "") for image in new]
        elif not new:
            found += [("removed", *image, "") for image in old if not labels(kept, digest)]
        elif labels(old, digest) != labels(new, digest):
            found += [("relabelled", *image, min(labels(old, digest))) for image in new]
            found += [("elsewhere", *image, "") for image in kept if image.digest == digest]
        elif gone := {image.path for image in old} - {image.path for image in new}:
            came = [image for image in new if image not in old]
            found += [("renamed", *image, min(gone)) for image in came]
    return sorted(set(found), key=lambda row: (row[0], row[3], row[1], row[2]))


@hypothesis.settings(max_examples=300)
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


def retried(found, set_aside, unchanged) -> list[tuple[str, ...]]:
    return delta.retried(delta.diff(table([]), table(found)), table(set_aside), unchanged).rows()


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
