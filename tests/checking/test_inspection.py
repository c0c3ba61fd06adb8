"""The table of facts in, what is set aside and whether the cycle may go on out; through Great Expectations."""

from dataclasses import replace

import polars as pl
import pytest

from pipeline.artifacts.reference import Statistics
from pipeline.checking import drift, facts, inspection
from pipeline.checking.inspection import Inspection, Past
from pipeline.data.delta import Delta
from pipeline.images.decoding import Facts

ROOT = "data/images"
GOOD = Facts(100, "PNG", "RGB", 40, 30, brightness=0.5, contrast=0.2, sharpness=0.1, dct=1, across=1, down=2)
DELTA = dict.fromkeys(["kind", "digest", "label", "path", "was"], pl.String)
PLACED = dict.fromkeys(["digest", "label", "path"], pl.String)
AGAIN = ", `dvc add` the batch and `dvc repro`"

Row = tuple[str, str, str, str, str]


def added(label: str, count: int, start: int = 0, kind: str = "added") -> list[Row]:
    numbers = range(start, start + count)
    return [(kind, f"{label}{number}", label, f"{ROOT}/new/{label}/{number}.png", "") for number in numbers]


def old(label: str, count: int) -> list[tuple[str, str, str]]:
    return [(f"old{label}{number}", label, f"{ROOT}/old/{label}/{number}.png") for number in range(count)]


@pytest.fixture
def inspect(settings):
    """Inspect a delta: `inspect(added("cat", 10), known=old("cat", 10), cat3=Facts(...), min_side=16)`."""

    def run(
        delta: list[Row],
        known=(),
        before=None,
        reference=None,
        decoded: dict[str, Facts] | None = None,
        again=AGAIN,
        fit="crop",
        **limits: object,
    ) -> Inspection:
        changes = Delta(pl.DataFrame(delta, schema=DELTA, orient="row"))
        ledger = pl.DataFrame([*known], schema=PLACED, orient="row")
        digests = [*dict.fromkeys(row[1] for row in delta if row[0] in ("added", "retried"))]
        seen = facts.table([(decoded or {}).get(digest, GOOD) for digest in digests])
        table = facts.of_new(changes, ledger, seen.with_columns(pl.Series("digest", digests, dtype=pl.String)), ROOT)
        labels = {row[1] for row in known} if before is None else before
        plain = {"min_images_per_label": 10, "new_labels": "allow", "labels": (), "max_quarantined_images": 2}
        past = Past(ledger, labels, reference or Statistics())
        canvas = settings.prepare.model_copy(update={"image_size": 32, "fit": fit})
        validate = settings.validate_.model_copy(update=plain | limits)
        return inspection.inspect(table, changes, past, validate, canvas, again)

    return run


def aside(inspected: Inspection) -> dict[str, str]:
    """Path below the images to reason."""
    return {
        path.removeprefix(f"{ROOT}/"): reason for path, reason in inspected.aside.select("path", "reason").iter_rows()
    }


BOTH = [*added("cat", 10), *added("dog", 10)]


def test_images_that_are_as_they_should_be_are_all_accepted(inspect):
    inspected = inspect(BOTH)
    assert aside(inspected) == {}
    assert inspected.obstacles == inspected.warnings == []
    assert len(inspected.kept.rows) == len(inspected.looks) == 20
    assert inspected.counts.rows() == [("cat", 10, 10), ("dog", 10, 10)]
    assert inspected.statistics.num_images == 20
    assert inspected.distances == {}
    assert set(inspected.results) == {"images", "labels", "looks", "cycle"}


def test_a_faulty_image_costs_itself_and_not_the_cycle(inspect):
    faults = {
        "cat0": Facts(0, error="empty file"),
        "cat1": replace(GOOD, width=7),
    }
    inspected = inspect([*BOTH, *added("cat", 2, 10)], decoded=faults)
    assert aside(inspected) == {
        "new/cat/0.png": "empty file",
        "new/cat/1.png": "width is 7; expected that widths are between 8 and 10000 pixels "
        "(validate.min_side, validate.max_side)",
    }
    assert inspected.obstacles == []
    assert set(inspected.aside["remedy"]) == {f"export it again or remove it{AGAIN}", f"resize or remove it{AGAIN}"}
    assert set(inspected.aside["fault"]) == {"readable", "width"}
    assert not inspected.aside["is_known"].any()
    assert not set(inspected.kept.rows["digest"]) & {"cat0", "cat1"}
    assert not set(inspected.looks["digest"]) & {"cat0", "cat1"}
    assert inspected.statistics.num_images == 20


CUT = (
    "expected that the median of longer to shorter side of the new images is at most 1.5, for the model sees only "
    "their centre squares (prepare.fit: crop), found 1.77; set prepare.fit: pad (a champion of crop cannot be "
    "continued: also train.start: cold for that cycle)"
)
FAR = (
    "expected that the median shorter side of the new images is at most 128 pixels, 4 times what the model sees "
    "(prepare.image_size: 32), found 3,000; set prepare.image_size: 96 (a champion of 32 pixels cannot be continued: "
    "also train.start: cold for that cycle)"
)


@pytest.mark.parametrize(("wide", "fit"), [(9, "crop"), (11, "crop"), (11, "pad"), (11, "stretch")])
def test_a_warning_where_the_centre_square_lacks_much_of_most_images(inspect, wide, fit):
    far = {row[1]: replace(GOOD, width=71, height=40) for row in BOTH[:wide]}
    assert inspect(BOTH, decoded=far, fit=fit).warnings == ([CUT] if (wide, fit) == (11, "crop") else [])


@pytest.mark.parametrize("large", [9, 11], ids=["some", "most"])
def test_a_warning_where_the_model_sees_thumbnails_of_most_images(inspect, large):
    far = {row[1]: replace(GOOD, width=4000, height=3000) for row in BOTH[:large]}
    inspected = inspect(BOTH, decoded=far)
    assert aside(inspected) == {}
    assert inspected.warnings == ([FAR] if large == 11 else [])


@pytest.mark.parametrize("count", [2, 3], ids=["at the limit", "beyond"])
def test_too_many_faulty_images_stop_the_cycle(inspect, count):
    faults = {f"cat{number}": Facts(0, error="empty file") for number in range(count)}
    inspected = inspect([*added("cat", 20), *added("dog", 10)], decoded=faults, max_quarantined=0.0)
    expected = (
        "expected that at most 2 images are set aside (validate.max_quarantined, validate.max_quarantined_images) "
        f"(ExpectColumnValuesToBeBetween), found 3; mend or remove them{AGAIN}, or raise the limits in params.yaml"
    )
    assert inspected.obstacles == ([expected] if count == 3 else [])


@pytest.mark.parametrize("count", [4, 5], ids=["at the limit", "beyond"])
def test_a_share_of_a_large_push_may_be_faulty(inspect, count):
    faults = {f"cat{number}": Facts(0, error="empty file") for number in range(count)}
    inspected = inspect([*added("cat", 30), *added("dog", 10)], decoded=faults, max_quarantined=0.1)
    assert len(inspected.obstacles) == (count == 5)


def test_copies_of_a_faulty_image_count_once(inspect):
    copies = [("added", "cat0", "cat", f"{ROOT}/copy/cat/{number}.png", "") for number in range(5)]
    inspected = inspect(
        [*BOTH, *added("cat", 1, 10), *copies], decoded={"cat0": Facts(0, error="x")}, max_quarantined=0.0
    )
    assert len(inspected.aside) == 6
    assert inspected.obstacles == []


def test_an_image_under_two_labels_is_set_aside_wherever_it_lies_and_whoever_was_first(inspect):
    delta = [*BOTH, ("added", "oldcat0", "dog", f"{ROOT}/new/dog/x.png", "")]
    inspected = inspect(delta, known=[*old("cat", 20), *old("dog", 20)])
    assert set(aside(inspected)) == {"new/dog/x.png", "old/cat/0.png"}
    assert dict(inspected.aside.select("path", "is_known").iter_rows()) == {
        f"{ROOT}/new/dog/x.png": False,
        f"{ROOT}/old/cat/0.png": True,
    }
    assert inspected.counts.rows() == [("cat", 10, 29), ("dog", 10, 30)]


@pytest.mark.parametrize(("count", "waits"), [(10, False), (9, True)], ids=["enough", "too few"])
def test_a_new_label_waits_until_it_has_enough_images(inspect, count, waits):
    known = [*old("cat", 20), *old("dog", 20)]
    inspected = inspect([*added("cat", 5), *added("fox", count)], known=known, max_quarantined=0.0)
    assert len(inspected.aside) == (count if waits else 0)
    assert inspected.obstacles == []  # early, not at fault: they count for no limit
    if waits:
        assert set(inspected.aside["reason"]) == {
            "label fox has 9 images; expected that a new label has at least 10 images (validate.min_images_per_label)"
        }
        assert set(inspected.aside["remedy"]) == {"it enters by itself once there are enough"}
        assert set(inspected.aside["fault"]) == {"total_if_new"}
        assert inspected.counts.rows() == [("cat", 5, 25), ("dog", 0, 20)]


def test_images_that_waited_enter_with_those_that_make_them_enough(inspect):
    known = [*old("cat", 20), *old("dog", 20)]
    inspected = inspect([*added("fox", 4, kind="retried"), *added("fox", 6, 4)], known=known)
    assert aside(inspected) == {}
    assert inspected.counts.rows() == [("cat", 0, 20), ("dog", 0, 20), ("fox", 10, 10)]


def test_a_faulty_image_does_not_make_a_label_enough(inspect):
    known = [*old("cat", 20), *old("dog", 20)]
    inspected = inspect(added("fox", 10), known=known, decoded={"fox0": Facts(0, error="empty file")})
    assert len(inspected.aside) == 10
    assert aside(inspected)["new/fox/0.png"] == "empty file"
    assert aside(inspected)["new/fox/1.png"].startswith("label fox has 9 images")


def test_a_label_that_is_not_listed_stops_the_cycle(inspect):
    known = [*old("cat", 20), *old("dog", 20)]
    (obstacle,) = inspect(added("fox", 10), known=known, new_labels="listed").obstacles
    assert "labels are known to the parent or listed in validate.labels: cat, dog (" in obstacle
    assert "found fox; rename the folder" in obstacle
    assert inspect(added("fox", 10), known=known, new_labels="listed", labels=("fox",)).obstacles == []


@pytest.mark.parametrize("known", [[], ["cat", "dog"]], ids=["first cycle", "against the parent's"])
def test_a_label_that_looks_like_another_stops_the_cycle_unless_it_is_listed(inspect, known):
    delta = [*added("cat", 10), *added("dog", 10), *added("C\u0430t", 10)]
    past = [row for label in known for row in old(label, 10)]
    (obstacle,) = inspect(delta, known=past).obstacles
    assert "expected that no new label looks like another" in obstacle
    assert "'C\u0430t' ('C\\u0430t') beside 'cat'" in obstacle
    assert "give both folders one name, or both labels in labels.csv, `dvc add` the batch and `dvc repro`" in obstacle
    listed = ("C\u0430t",) if known else ("C\u0430t", "cat")
    assert inspect(delta, known=past, labels=listed).obstacles == []


def test_labels_that_the_parent_tells_apart_may_look_alike(inspect):
    assert inspect(added("cat", 10), known=[*old("cat", 10), *old("Cat", 10)]).obstacles == []


def test_a_label_of_the_parent_that_all_images_left_is_still_known(inspect):
    known = [*old("cat", 20), *old("dog", 20)]
    inspected = inspect(added("fox", 10), known=known, before={"cat", "dog", "fox"}, new_labels="listed")
    assert inspected.obstacles == []
    assert inspected.counts.rows()[-1] == ("fox", 10, 10)


def test_a_first_cycle_needs_two_labels(inspect):
    (obstacle,) = inspect(added("cat", 10)).obstacles
    assert "there are at least two labels (ExpectColumnValuesToBeBetween), found 1; add images of another" in obstacle


def test_a_push_that_is_all_faulty_is_told_so_and_breaks_nothing(inspect):
    faults = {row[1]: Facts(0, error="empty file") for row in BOTH}
    inspected = inspect(BOTH, decoded=faults)
    assert len(inspected.aside) == 20
    assert len(inspected.obstacles) == 2
    assert inspected.looks.is_empty()


def test_a_push_that_only_removes_is_judged_by_what_is_left(inspect):
    known = [*old("cat", 20), *old("dog", 20)]
    gone = [("removed", digest, label, path, "") for digest, label, path in known if label == "dog"]
    inspected = inspect(gone, known=known)
    assert inspected.counts.rows() == [("cat", 0, 20), ("dog", 0, 0)]
    assert len(inspected.obstacles) == 1
    few = inspect(gone[:11], known=known)
    assert few.obstacles == []
    assert few.warnings == [
        "expected that a known label keeps at least 10 images (validate.min_images_per_label), found 9; add images of "
        "it; the model goes on knowing it"
    ]


def test_how_an_image_looks_only_warns_and_names_the_first_few(inspect):
    dark = {f"cat{number}": replace(GOOD, brightness=0.01) for number in range(5)}
    inspected = inspect(BOTH, decoded=dark)
    assert aside(inspected) == {}
    assert inspected.warnings == [
        "5 new images are not as expected (brightness is between 0.03 and 0.97 (validate.brightness)): "
        "'data/images/new/cat/0.png', 'data/images/new/cat/1.png', 'data/images/new/cat/2.png' and 2 more; "
        "look at it"
    ]


def test_a_name_in_a_warning_is_harmless(inspect):
    odd = ("added", "cat99", "cat", f"{ROOT}/new/cat/it's é<b>.jpg", "")
    (warning,) = inspect([*BOTH, odd]).warnings
    assert r'''"data/images/new/cat/it's é<b>.jpg"''' in warning


def test_a_lopsided_set_is_warned_of(inspect):
    known = [*old("cat", 11), *old("dog", 10)]
    assert inspect(added("cat", 10), known=known, max_imbalance=2.1).warnings == []
    (warning,) = inspect(added("cat", 12), known=known, max_imbalance=2.1).warnings
    assert warning == (
        "expected that the largest label has at most 2.1 times the images of the smallest (validate.max_imbalance), "
        "found 2.3; add images of the smallest; or, to have each label recognised alike, set train.balance: adjusted "
        "and evaluate.metric: balanced_accuracy before the next batch, and for its cycle evaluate.max_drop: null and "
        "evaluate.max_forgotten: null, for large labels are then given less often"
    )


def test_drift_is_judged_where_there_are_enough_images_on_both_sides(inspect):
    lit, dark = ([replace(GOOD, brightness=value)] * drift.MIN_IMAGES for value in (0.8, 0.2))
    digests, labels = [str(number) for number in range(len(lit))], ["cat", "dog"] * (len(lit) // 2)
    table = facts.table(lit).with_columns(digest=pl.Series(digests), label=pl.Series(labels), path=pl.Series(digests))
    reference = facts.statistics(table)
    delta = [*added("cat", 50), *added("dog", 50)]
    inspected = inspect(delta, reference=reference, decoded=dict(zip([row[1] for row in delta], dark, strict=True)))
    assert inspected.distances["brightness"] == 1.0
    assert inspected.distances["labels"] == 0.0
    (warning,) = inspected.warnings
    assert warning == (
        "the new images differ in brightness by 1.00; expected that the new images are within 0.3 of those before "
        "(validate.max_drift); look at the report: is it the same camera, the same task?"
    )
    fewer = inspect(delta[1:], reference=reference, decoded=dict(zip([row[1] for row in delta], dark, strict=True)))
    assert fewer.distances == {}
    assert fewer.warnings == []


def test_great_expectations_never_sees_a_name(inspect):
    hostile = ("added", "cat99", "cat", f"{ROOT}/new/cat/<script>x.png", "")
    inspected = inspect([*BOTH, hostile], decoded={"cat99": Facts(0, error="<script>")})
    assert "<script>" not in str(inspected.results)


def test_what_must_be_added_again_is_said_in_the_words_of_the_caller(inspect):
    faults = {f"cat{number}": Facts(0, error="empty file") for number in range(3)}
    inspected = inspect(added("cat", 20), decoded=faults, max_quarantined=0.0, again=" and run this again")
    assert set(inspected.aside["remedy"]) == {"export it again or remove it and run this again"}
    stop = "found 3; mend or remove them and run this again, or raise the limits in params.yaml"
    assert [stop in obstacle for obstacle in inspected.obstacles] == [True, False]
    assert inspected.obstacles[1].endswith("add images of another label, in a folder of its name and run this again")
