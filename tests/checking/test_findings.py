"""What comes back from Great Expectations, and that its own results stay the same for the same images."""

import json

import polars as pl
import pytest

from pipeline.checking import expectations
from pipeline.checking.findings import Judge

SOUND = {"named": True, "labelled": True, "readable": True, "width": 40, "height": 30, "mode": "RGB", "num_labels": 1}


@pytest.fixture(scope="module")
def validate(settings):
    """Section `validate` of params.yaml."""
    return settings.validate_


def test_an_empty_table_fails_nothing_and_leaves_no_result(validate):
    judge = Judge()
    empty = pl.DataFrame(schema=dict.fromkeys(SOUND, pl.Int64))
    assert judge.check("images", empty, expectations.of_images(validate)) == []
    assert judge.findings == []
    assert judge.results == {}


def test_all_findings_and_results_are_kept_by_suite(validate):
    judge = Judge()
    images = pl.DataFrame([SOUND, SOUND | {"width": 7}])
    assert len(judge.check("images", images, expectations.of_images(validate))) == 1
    drift = pl.DataFrame([{"fact": "contrast", "distance": 0.0}])
    assert judge.check("drift", drift, expectations.of_drift(validate)) == []
    assert [(one.suite, one.success) for one in judge.findings].count(("images", True)) == 6
    assert [(one.suite, one.success) for one in judge.findings][-1] == ("drift", True)
    assert {name: part["success"] for name, part in judge.results.items()} == {"images": False, "drift": True}
    assert judge.results["images"]["results"][0]["expectation_config"]["meta"]["remedy"]


def test_results_are_json_the_same_for_the_same_images_and_nothing_is_printed(validate, capfd):
    first, second = Judge(), Judge()
    for judge in (first, second):
        judge.check("images", pl.DataFrame([SOUND, SOUND | {"width": 7}]), expectations.of_images(validate))
    assert json.dumps(first.results, sort_keys=True) == json.dumps(second.results, sort_keys=True)
    assert capfd.readouterr() == ("", "")


def test_an_expectation_that_could_not_be_judged_is_never_a_pass(validate):
    without = pl.DataFrame([SOUND]).drop("width")
    with pytest.raises(RuntimeError, match="Great Expectations could not judge images"):
        Judge().check("images", without, expectations.of_images(validate))
