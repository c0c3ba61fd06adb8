"""Each expectation: what passes at its bound, what fails beyond, and what failing means."""

from typing import NamedTuple

import polars as pl
import pytest

from pipeline.checking import expectations
from pipeline.checking.expectations import BETWEEN, IN_SET, MEDIAN, UNIQUE, Remedy
from pipeline.checking.findings import Finding, Judge

AGAIN = ", `dvc add` the batch and `dvc repro`"
SOUND = {"named": True, "labelled": True, "readable": True, "width": 40, "height": 30, "mode": "RGB", "num_labels": 1}
FAIR = {"extension": True, "brightness": 0.5, "contrast": 0.2, "sharpness": 0.1, "aspect": 1.5}
UNKNOWN = {"readable": False, "width": None, "height": None, "mode": None}
LISTED = (
    f"rename the folder, or the label in labels.csv{AGAIN}; or list the new label in validate.labels in params.yaml "
    "(or set validate.new_labels: allow); the model then gets an output for it; if a known label got this name, say so "
    "in prepare.renamed_labels, and give the older images that name too (`dvc add` their batches)"
)
LOOK = "look at it"


@pytest.fixture(scope="module")
def bounds(settings):
    """Section `validate` with plain values."""
    return settings.validate_.model_copy(
        update={
            "min_side": 8,
            "max_side": 100,
            "modes": ("L", "RGB"),
            "min_images_per_label": 10,
            "new_labels": "listed",
            "labels": ("owl",),
            "brightness": (0.25, 0.75),
            "min_contrast": 0.125,
            "min_sharpness": 0.0625,
            "max_aspect": 10.0,
            "max_duplicates": 0.7,
            "max_imbalance": 100.0,
            "max_drift": 0.25,
        }
    )


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Setting up takes seconds."""
    return Judge()


@pytest.fixture
def check(bounds, judge, request):
    """The expectations that fail, of a suite by its name: `check("looks", [{"contrast": 0.1}])`."""
    at_most = 20
    suites = {
        "images": lambda: expectations.of_images(bounds),
        "looks": lambda: expectations.of_looks(bounds),
        "labels": lambda: expectations.of_labels(bounds, ["cat", "dog"]),
        "drift": lambda: expectations.of_drift(bounds),
        "cycle": lambda: expectations.of_cycle(bounds, at_most),
    }

    def failed(suite: str, rows: list[dict[str, object]]) -> list[Finding]:
        count[0] += 1
        findings = judge.check(
            f"{suite} {request.node.name} {count[0]}", pl.DataFrame(rows, infer_schema_length=None), suites[suite]()
        )
        judge.findings.clear()
        judge.results.clear()
        return findings

    count = [0]
    return failed


def table(suite: str, *changed: dict[str, object]) -> list[dict[str, object]]:
    """Three rows that are as they should be, then these."""
    plain = {
        "images": SOUND,
        "looks": FAIR,
        "labels": {"label": "cat", "looks_like": "", "total_if_new": None, "total_if_known": 10},
        "drift": {"fact": "contrast", "distance": 0.0},
        "cycle": {"num_labels": 2, "imbalance": 1.0, "quarantined": 0},
    }[suite]
    if suite == "cycle":
        return [plain | row for row in changed]
    rows = [plain] * 3 + [plain | row for row in changed]
    return [row | {"digest": f"d{place}"} for place, row in enumerate(rows)] if suite == "looks" else rows


class Case(NamedTuple):
    suite: str
    column: str
    at: list[object]
    beyond: list[object]
    outcome: str
    meaning: str
    remedy: str
    kind: str = BETWEEN


CASES = [
    Case("images", "named", [True], [False], "quarantine", "names are safe in a terminal and on a page",
         f"rename it{AGAIN}", IN_SET),
    Case("images", "labelled", [True], [False], "quarantine", "every image of a batch is named in its labels.csv",
         f"add its line{AGAIN}", IN_SET),
    Case("images", "readable", [True], [False], "quarantine", "every image can be decoded",
         f"export it again or remove it{AGAIN}", IN_SET),
    Case("images", "width", [8, 100], [7, 101], "quarantine",
         "widths are between 8 and 100 pixels (validate.min_side, validate.max_side)", f"resize or remove it{AGAIN}"),
    Case("images", "height", [8, 100], [7, 101], "quarantine",
         "heights are between 8 and 100 pixels (validate.min_side, validate.max_side)", f"resize or remove it{AGAIN}"),
    Case("images", "mode", ["L", "RGB"], ["CMYK", "F", "l"], "quarantine",
         "pixel modes are among L, RGB (validate.modes)", f"export it as RGB or remove it{AGAIN}", IN_SET),
    Case("images", "num_labels", [1], [2, 3], "quarantine", "copies of an image carry one label",
         f"keep the copy with the right label, remove the others{AGAIN}", IN_SET),
    Case("looks", "extension", [True], [False], "warn", "file names end as their contents are",
         "rename it; its content counts", IN_SET),
    Case("looks", "brightness", [0.25, 0.75], [0.249, 0.751], "warn",
         "brightness is between 0.25 and 0.75 (validate.brightness)", LOOK),
    Case("looks", "contrast", [0.125, 0.5], [0.124], "warn",
         "contrast is at least 0.125 (validate.min_contrast)", LOOK),
    Case("looks", "sharpness", [0.0625, 3.0], [0.062], "warn",
         "sharpness is at least 0.0625 (validate.min_sharpness)", LOOK),
    Case("looks", "aspect", [1.0, 10.0], [10.1], "warn", "sides are at most 1 : 10 (validate.max_aspect)", LOOK),
    Case("labels", "total_if_new", [None, 10], [9], "quarantine",
         "a new label has at least 10 images (validate.min_images_per_label)",
         "it enters by itself once there are enough"),
    Case("labels", "total_if_known", [None, 10], [9], "warn",
         "a known label keeps at least 10 images (validate.min_images_per_label)",
         "add images of it; the model goes on knowing it"),
    Case("labels", "looks_like", [""], ["'Cat' beside 'cat'"], "stop", "no new label looks like another",
         f"give both folders one name, or both labels in labels.csv{AGAIN}; or list the new label in validate.labels "
         "in params.yaml if both are meant; if a known label is written in another way now, say so in "
         "prepare.renamed_labels, and give the older images that name too (`dvc add` their batches)", IN_SET),
    Case("labels", "label", ["cat", "dog", "owl"], ["fox"], "stop",
         "labels are known to the parent or listed in validate.labels: cat, dog, owl", LISTED, IN_SET),
    Case("drift", "distance", [0.0, 0.25], [0.251], "warn",
         "the new images are within 0.25 of those before (validate.max_drift)",
         "look at the report: is it the same camera, the same task?"),
    Case("cycle", "quarantined", [0, 20], [21], "stop",
         "at most 20 images are set aside (validate.max_quarantined, validate.max_quarantined_images)",
         f"mend or remove them{AGAIN}, or raise the limits in params.yaml"),
    Case("cycle", "num_labels", [2, 9], [1, 0], "stop", "there are at least two labels",
         f"add images of another label, in a folder of its name{AGAIN}"),
    Case("cycle", "imbalance", [1.0, 100.0], [100.5], "warn",
         "the largest label has at most 100 times the images of the smallest (validate.max_imbalance)",
         "add images of the smallest; or, to have each label recognised alike, set train.balance: adjusted and "
         "evaluate.metric: balanced_accuracy before the next batch, and for its cycle evaluate.max_drop: null and "
         "evaluate.max_forgotten: null, for large labels are then given less often"),
]  # fmt: skip


def plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite} {case.column}")
def test_what_is_at_the_bound_passes(check, case):
    for value in case.at:
        assert check(case.suite, table(case.suite, {case.column: value})) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite} {case.column}")
def test_what_is_beyond_the_bound_fails_with_its_meaning_and_its_remedy(check, case):
    for value in case.beyond:
        (finding,) = check(case.suite, table(case.suite, {case.column: value}))
        rows = table(case.suite, {case.column: value})
        shown = plain(float(value)) if case.column.startswith("total") else plain(value)
        shown = "" if isinstance(value, bool) else shown
        assert finding == Finding(
            finding.suite, finding.expectation, success=False, observed=shown, rows=(len(rows) - 1,)
        )
        assert finding.suite.startswith(case.suite)
        failed = finding.expectation
        assert (failed.kind, failed.column) == (case.kind, case.column)
        assert (failed.meaning, failed.consequence) == (case.meaning, case.outcome)
        assert failed.remedy.words() == case.remedy


def test_every_expectation_has_a_case(bounds):
    suites = [
        *expectations.of_images(bounds),
        *expectations.of_looks(bounds),
        *expectations.of_labels(bounds, ["cat"]),
        *expectations.of_drift(bounds),
        *expectations.of_cycle(bounds, 20),
    ]
    asked = {(one.kind, one.column) for one in suites}
    assert asked == {(case.kind, case.column) for case in CASES} | {(UNIQUE, "digest")}


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        (8, "stretch", {"side": (32, "set prepare.image_size: 32 (")}),
        (24, "pad", {"side": (96, "set prepare.image_size: 96 (")}),
        (95, "pad", {"side": (380, "set prepare.image_size: 96 (")}),
        (96, "pad", {}),
        (96, "crop", {"aspect": (1.5, "set prepare.fit: pad (")}),
        (160, "stretch", {}),
    ],
)
def test_what_most_new_images_should_be_like_follows_what_the_model_sees(settings, size, fit, expected):
    """No more pixels are advised than the images have, nor more than a model needs to begin with."""
    suite = expectations.of_shapes(settings.prepare.model_copy(update={"image_size": size, "fit": fit}))
    assert {one.column: one.limits for one in suite} == {
        name: {"max_value": limit} for name, (limit, _) in expected.items()
    }
    for one in suite:
        assert one.consequence == "warn"
        assert one.remedy.words().startswith(expected[one.column][1])
        assert one.remedy.words().endswith(" cannot be continued: also train.start: cold for that cycle)")


def test_the_kinds_are_those_of_great_expectations():
    assert BETWEEN == "ExpectColumnValuesToBeBetween"
    assert IN_SET == "ExpectColumnValuesToBeInSet"
    assert MEDIAN == "ExpectColumnMedianToBeBetween"
    assert UNIQUE == "ExpectColumnProportionOfUniqueValuesToBeBetween"


@pytest.mark.parametrize(
    ("remedy", "words"),
    [
        (Remedy("look at it"), "look at it"),
        (Remedy("rename it", is_on_batch=True), "rename it and again"),
        (Remedy("mend it", is_on_batch=True, alternative=", or not"), "mend it and again, or not"),
    ],
)
def test_only_what_changes_the_batch_has_to_be_added_again(remedy, words):
    assert remedy.words(" and again") == words


def test_copies_up_to_the_share_pass_and_one_more_warns(check):
    rows = table("looks", *[{}] * 7)  # ten
    of_ten = [row | {"digest": f"d{min(place, 2)}"} for place, row in enumerate(rows)]
    assert check("looks", of_ten) == []
    (finding,) = check("looks", [row | {"digest": f"d{min(place, 1)}"} for place, row in enumerate(rows)])
    failed = finding.expectation
    assert (failed.consequence, failed.column, finding.observed, finding.rows) == ("warn", "digest", "80.0% copies", ())
    assert failed.meaning == "at most 70% of the images are copies of others (validate.max_duplicates)"
    assert failed.remedy.words() == "remove the copies; they count once"


@pytest.mark.parametrize(
    ("known_labels", "new_labels"), [([], "listed"), (["cat"], "allow")], ids=["first cycle", "allowed"]
)
def test_a_new_label_need_not_be_listed(bounds, known_labels, new_labels):
    section = bounds.model_copy(update={"new_labels": new_labels})
    assert not [one for one in expectations.of_labels(section, known_labels) if one.column == "label"]


def test_an_image_that_cannot_be_decoded_fails_once(check):
    (finding,) = check("images", table("images", UNKNOWN))
    assert (finding.expectation.column, finding.rows) == ("readable", (3,))


def test_images_none_of_which_can_be_decoded_fail_once_each(check):
    schema = dict.fromkeys(("width", "height"), pl.Int64) | {"mode": pl.String}
    rows = pl.DataFrame([SOUND | UNKNOWN] * 3, schema_overrides=schema).to_dicts()
    (finding,) = check("images", rows)
    assert (finding.expectation.column, finding.rows) == ("readable", (0, 1, 2))


def test_an_image_fails_all_that_it_is_at_fault_for(check):
    findings = check("images", table("images", {"width": 7, "mode": "F"}, {"height": 101}))
    assert [(one.expectation.column, one.rows) for one in findings] == [
        ("width", (3,)),
        ("height", (4,)),
        ("mode", (3,)),
    ]


def test_at_most_five_values_are_shown_of_all_that_fail(check):
    (finding,) = check("images", table("images", *({"mode": f"mode {number}"} for number in range(7))))
    assert finding.observed == "mode 0, mode 1, mode 2, mode 3, mode 4"
    assert finding.rows == tuple(range(3, 10))
