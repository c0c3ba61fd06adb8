import json

import pandas as pd
import pytest

from pipeline import expectations
from pipeline.expectations import Failure, Result

KNOWN = ["dog", "cat"]


def table(*rows: dict[str, object]) -> pd.DataFrame:
    """Ten images that are as they should be, then those given; digest `i3` for the third of them."""
    plain = {"label": "cat", "readable": True, "width": 40, "height": 30, "mode": "RGB", "num_labels": 1}
    all_rows = [plain | {"digest": f"ok{number}"} for number in range(10)]
    all_rows += [plain | {"digest": f"i{number}"} | row for number, row in enumerate(rows)]
    whole = pd.DataFrame(all_rows)
    return whole.astype({"width": "Int64", "height": "Int64"})


def totals(**labels: int) -> pd.DataFrame:
    return pd.DataFrame({"label": list(labels), "total": list(labels.values())})


@pytest.fixture(scope="module")
def bounds(settings):
    """Section `validate` with plain values."""
    plain = {"min_side": 8, "max_side": 100, "modes": ("L", "RGB"), "max_duplicates": 0.1}
    return settings.validate_.model_copy(update=plain | {"min_images_per_label": 10, "new_labels": "refuse"})


@pytest.fixture(scope="module")
def sound(bounds) -> Result:
    return expectations.check(table(), totals(cat=10, dog=10), KNOWN, bounds)


@pytest.fixture(scope="module")
def refused(bounds) -> Result:
    """Every image below fails one expectation and no other; so does the table of labels."""
    unknown = {"width": None, "height": None, "mode": None}
    images = table(
        {"readable": False} | unknown,
        {"width": 7},
        {"width": 101},
        {"height": 7},
        {"height": 101},
        {"mode": "CMYK"},
        {"mode": "F"},
        {"label": "fox"},
        {"digest": "twice", "num_labels": 2},
        {"digest": "twice", "num_labels": 2, "label": "dog"},
        {"digest": "ok0"},
        {"digest": "ok0"},
    )
    return expectations.check(images, totals(cat=9), KNOWN, bounds)


def test_images_that_are_as_they_should_be_pass(sound):
    assert sound.failures == ()
    assert sound.num_expectations == 9


def test_what_great_expectations_said_is_kept(sound, refused):
    assert set(sound.report) == {"images", "labels"}
    assert all(part["success"] for part in sound.report.values())
    assert not any(part["success"] for part in refused.report.values())


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (
            "readable",
            Failure(
                "ExpectColumnValuesToBeInSet",
                "every image can be decoded",
                "readable",
                "False",
                ("i0",),
                (),
                "export it again or remove it, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "width",
            Failure(
                "ExpectColumnValuesToBeBetween",
                "widths are between 8 and 100 pixels (validate.min_side, validate.max_side)",
                "width",
                "101, 7",
                ("i1", "i2"),
                (),
                "resize or remove it, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "height",
            Failure(
                "ExpectColumnValuesToBeBetween",
                "heights are between 8 and 100 pixels (validate.min_side, validate.max_side)",
                "height",
                "101, 7",
                ("i3", "i4"),
                (),
                "resize or remove it, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "mode",
            Failure(
                "ExpectColumnValuesToBeInSet",
                "pixel modes are among L, RGB (validate.modes)",
                "mode",
                "CMYK, F",
                ("i5", "i6"),
                (),
                "export it as RGB or remove it, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "num_labels",
            Failure(
                "ExpectColumnValuesToBeInSet",
                "copies of an image carry one label",
                "num_labels",
                "2",
                ("twice",),
                (),
                "keep the copy with the right label, remove the others, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "digest",
            Failure(
                "ExpectColumnProportionOfUniqueValuesToBeBetween",
                "at most 10% of the images are copies of others (validate.max_duplicates)",
                "digest",
                "0.864",
                (),
                (),
                "remove the copies, `dvc add` the batch and `dvc repro`, or raise the limit in params.yaml",
            ),
        ),
        (
            "label",
            Failure(
                "ExpectColumnValuesToBeInSet",
                "labels are known to the parent: cat, dog",
                "label",
                "fox",
                ("i7",),
                (),
                "rename the folder, `dvc add` the batch and `dvc repro`; or set validate.new_labels: allow and, for "
                "this one cycle, train.start: cold in params.yaml",
            ),
        ),
        (
            "",
            Failure(
                "ExpectTableRowCountToBeBetween",
                "there are at least two labels",
                "",
                "1",
                (),
                (),
                "add images of another label, in a folder of its name, `dvc add` the batch and `dvc repro`",
            ),
        ),
        (
            "total",
            Failure(
                "ExpectColumnValuesToBeBetween",
                "each label has at least 10 images (validate.min_images_per_label)",
                "total",
                "9",
                (),
                ("cat",),
                "add images of this label, `dvc add` the batch and `dvc repro`, or lower the limit in params.yaml",
            ),
        ),
    ],
    ids=["readable", "width", "height", "mode", "num_labels", "copies", "new label", "one label", "small label"],
)
def test_each_expectation_names_what_fails_it_and_the_remedy(refused, column, expected):
    assert [failure for failure in refused.failures if failure.column == column] == [expected]


def test_nothing_else_fails(refused):
    assert len(refused.failures) == refused.num_expectations == 9


def test_no_file_name_reaches_great_expectations(bounds):
    images = table({"mode": "F"}).assign(path="<b>.png", error="<i>")
    report = expectations.check(images, totals(cat=10, dog=10), KNOWN, bounds).report
    assert "<b>" not in json.dumps(report)


def test_at_most_five_values_are_shown_of_all_that_fail(bounds):
    images = table(*({"mode": f"mode {number}"} for number in range(7)))
    (failure,) = expectations.check(images, totals(cat=10, dog=10), KNOWN, bounds).failures
    assert failure.found == "mode 0, mode 1, mode 2, mode 3, mode 4"
    assert len(failure.digests) == 7


def test_an_image_that_cannot_be_decoded_fails_once_even_if_all_cannot(bounds):
    unknown = {"readable": False, "width": None, "height": None, "mode": None}
    images = table(*[unknown] * 3).iloc[10:]
    result = expectations.check(images, totals(cat=10, dog=10), KNOWN, bounds)
    assert [(failure.column, failure.digests) for failure in result.failures] == [("readable", ("i0", "i1", "i2"))]


@pytest.mark.parametrize(("known", "new_labels"), [([], "refuse"), (KNOWN, "allow")], ids=["first cycle", "allowed"])
def test_a_new_label_is_no_fault(bounds, known, new_labels):
    chosen = bounds.model_copy(update={"new_labels": new_labels})
    assert expectations.check(table({"label": "fox"}), totals(cat=10, fox=10), known, chosen).failures == ()


def test_images_at_the_bounds_pass(bounds):
    chosen = bounds.model_copy(update={"max_duplicates": 0.7})
    images = table({"width": 8, "height": 100}).iloc[[0, 1] + [10] * 8]  # 7 of 10 are copies of others
    assert expectations.check(images, totals(cat=10, dog=10), KNOWN, chosen).failures == ()


def test_a_push_without_new_images_is_judged_by_its_labels_alone(bounds):
    result = expectations.check(table().iloc[:0], totals(cat=10, dog=9), KNOWN, bounds)
    assert set(result.report) == {"labels"}
    assert result.num_expectations == 2
    assert [failure.labels for failure in result.failures] == [("dog",)]


def test_the_report_is_json_and_the_same_for_the_same_images_and_nothing_is_printed(bounds, sound, capfd):
    again = expectations.check(table(), totals(cat=10, dog=10), KNOWN, bounds)
    assert json.dumps(again.report, sort_keys=True) == json.dumps(sound.report, sort_keys=True)
    assert capfd.readouterr() == ("", "")
