import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline import delta
from pipeline.delta import Delta
from pipeline.sources import Image, Source

CAT = Image("d1", "cat", "data/images/monday/cat/1.png")
DOG = Image("d2", "dog", "data/images/monday/dog/2.png")
COPY = Image("d1", "cat", "data/images/tuesday/cat/1.png")
MOVED = Image("d1", "dog", "data/images/monday/dog/1.png")

IMAGES = st.lists(st.builds(Image, st.sampled_from("abcdef"), st.sampled_from(["cat", "dog"]), st.sampled_from("1234")))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([], [], Delta()),
        ([], [DOG, CAT], Delta(added=(CAT, DOG))),
        ([], [COPY, CAT], Delta(added=(CAT, COPY))),
        ([CAT, DOG], [CAT], Delta(removed=(DOG,))),
        ([CAT, COPY], [], Delta(removed=(CAT, COPY))),
        ([CAT], [MOVED], Delta(relabelled=(MOVED,))),
        ([CAT], [CAT, MOVED], Delta(relabelled=(CAT, MOVED))),
        ([CAT], [COPY], Delta()),
        ([CAT], [CAT, COPY], Delta()),
        ([CAT, COPY], [CAT], Delta()),
        ([CAT], [DOG], Delta(added=(DOG,), removed=(CAT,))),
    ],
    ids=[
        "nothing at all",
        "added",
        "added with a copy",
        "removed",
        "removed with its copy",
        "relabelled",
        "copied under another label",
        "renamed",
        "copied",
        "one copy removed",
        "bytes changed",
    ],
)
def test_what_happened_to_the_images(before, now, expected):
    assert delta.diff(before, now) == expected


def test_an_image_that_another_batch_still_holds_was_not_removed():
    assert delta.diff([CAT, DOG], [], kept=["d1"]) == Delta(removed=(DOG,))


@pytest.mark.parametrize("kind", ["added", "removed", "relabelled"])
def test_a_delta_of_any_kind_is_true(kind):
    assert Delta(**{kind: (CAT,)})
    assert not Delta()


def test_a_summary_counts_each_kind_and_the_added_by_label():
    found = Delta(added=(DOG, CAT, COPY), removed=(CAT,), relabelled=(MOVED, MOVED))
    summary = found.summary()
    assert summary == {"added": 3, "removed": 1, "relabelled": 2, "added_by_label": {"cat": 2, "dog": 1}}
    assert list(summary["added_by_label"]) == ["cat", "dog"]


@hypothesis.given(IMAGES, st.randoms(use_true_random=False))
def test_the_same_images_in_any_order_are_no_delta(images, random):
    assert not delta.diff(images, random.sample(images, len(images)))


@hypothesis.given(IMAGES, IMAGES)
def test_each_kind_is_sorted_and_any_iterable_will_do(before, now):
    found = delta.diff(iter(before), iter(now), kept=iter("ab"))
    for images in (found.added, found.removed, found.relabelled):
        assert list(images) == sorted(images)
    assert found == delta.diff(before, now, kept={"a", "b"})


@hypothesis.given(IMAGES, IMAGES)
def test_every_image_is_of_exactly_the_right_kind(before, now):
    def labels(images: list[Image], digest: str) -> set[str]:
        return {image.label for image in images if image.digest == digest}

    found = delta.diff(before, now)
    kinds = {kind: {image.digest for image in getattr(found, kind)} for kind in ("added", "removed", "relabelled")}
    for digest in "abcdef":
        old, new = labels(before, digest), labels(now, digest)
        expected = "added" if new and not old else "removed" if old and not new else "relabelled" if old != new else ""
        assert [kind for kind, digests in kinds.items() if digest in digests] == ([expected] if expected else [])


@hypothesis.given(IMAGES, IMAGES)
def test_there_and_back_swaps_added_and_removed(before, now):
    there, back = delta.diff(before, now), delta.diff(now, before)
    assert there.added == back.removed
    assert there.removed == back.added


MONDAY = Source("data/images/monday", "1.dir", 2)
TUESDAY = Source("data/images/tuesday", "2.dir", 2)
GROWN = Source("data/images/tuesday", "3.dir", 3)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([MONDAY, TUESDAY], [TUESDAY, MONDAY], ([], [])),
        ([MONDAY], [MONDAY, TUESDAY], ([], [TUESDAY])),
        ([MONDAY, TUESDAY], [MONDAY], ([TUESDAY], [])),
        ([MONDAY, TUESDAY], [MONDAY, GROWN], ([TUESDAY], [GROWN])),
        ([MONDAY], [Source("data/images/2026/monday", "1.dir", 2)], ([], [])),
        ([], [MONDAY], ([], [MONDAY])),
    ],
    ids=["unchanged", "new", "gone", "grown", "moved", "first cycle"],
)
def test_only_changed_batches_are_opened(before, now, expected):
    assert delta.changed(before, now) == expected
    assert delta.changed(iter(before), iter(now)) == expected


def test_a_renamed_batch_is_opened_because_its_name_may_be_a_label():
    before, now = Source("data/images/cat", "1.dir", 2), Source("data/images/dog", "1.dir", 2)
    assert delta.changed([before], [now]) == ([before], [now])
