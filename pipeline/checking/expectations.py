"""What the new images must satisfy: the suites, each for one table, as data. Pure.

A suite speaks of numbers, labels and yes or no, never of file names: the HTML pages of Great Expectations
do not escape what they show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.base.words import are, counted
from pipeline.checking.settings import Validate
from pipeline.data.settings import Canvas

Consequence = Literal["quarantine", "warn", "stop"]
"""Of a failed expectation: set the image aside, only say so, end the cycle."""

BY_DVC_ADD = ", `dvc add` the batch and `dvc repro`"
"""How a batch that was mended comes in again: the end of a sentence."""


@dataclass(frozen=True)
class Remedy:
    """What a person can do about a fault."""

    action: str
    """What to do with the images or the settings."""
    is_on_batch: bool = False
    """Whether that changes the batch, so that it has to be added again."""
    alternative: str = ""
    """What helps instead: the end of the sentence, from its comma or semicolon on."""

    def words(self, again: str = BY_DVC_ADD) -> str:
        """The sentence; `again` says how a batch is added again, as `BY_DVC_ADD` does."""
        return f"{self.action}{again if self.is_on_batch else ''}{self.alternative}"


@dataclass(frozen=True)
class Expectation:
    """What is expected of a column of a table, and what follows if it fails; a suite has one of a kind for a column."""

    kind: str
    """Its class in Great Expectations."""
    column: str
    consequence: Consequence
    meaning: str
    """Completes "expected that ..."."""
    remedy: Remedy
    limits: Mapping[str, object] = field(default_factory=dict)
    """Arguments of the class: min_value, max_value, value_set."""


IN_SET = "ExpectColumnValuesToBeInSet"
BETWEEN = "ExpectColumnValuesToBeBetween"
UNIQUE = "ExpectColumnProportionOfUniqueValuesToBeBetween"
MEDIAN = "ExpectColumnMedianToBeBetween"

FAR_LARGER = 4
"""A picture's shorter side, in that of what the model sees, from which it sees little more than a thumbnail."""

ENOUGH_PIXELS = 96
"""Side of what a model sees, from which more pixels are no longer advised: their cost grows with the square."""

MAX_CUT = 1.5
"""A picture's longer side, in shorter sides, above which its centre square lacks more than a third of it."""

CONTRADICTED = Remedy("keep the copy with the right label, remove the others", is_on_batch=True)
"""For images whose copies carry different labels."""

_TRUE = {"value_set": [True]}
_LOOK = Remedy("look at it")
_RENAMED = "say so in prepare.renamed_labels, and give the older images that name too (`dvc add` their batches)"
"""What to do about a label that has another name now."""


def of_images(validate: Validate) -> list[Expectation]:
    """Suite of the facts of each new image; columns readable, named, labelled, width, height, mode, num_labels."""
    side = {"min_value": validate.min_side, "max_value": validate.max_side}
    allowed = f"between {validate.min_side} and {validate.max_side} pixels (validate.min_side, validate.max_side)"
    modes = ", ".join(validate.modes)

    def expected(kind: str, column: str, limits: Mapping[str, object], meaning: str, action: str) -> Expectation:
        return Expectation(kind, column, "quarantine", meaning, Remedy(action, is_on_batch=True), limits)

    return [
        expected(IN_SET, "named", _TRUE, "names are safe in a terminal and on a page", "rename it"),
        expected(IN_SET, "labelled", _TRUE, "every image of a batch is named in its labels.csv", "add its line"),
        expected(IN_SET, "readable", _TRUE, "every image can be decoded", "export it again or remove it"),
        expected(BETWEEN, "width", side, f"widths are {allowed}", "resize or remove it"),
        expected(BETWEEN, "height", side, f"heights are {allowed}", "resize or remove it"),
        expected(
            IN_SET,
            "mode",
            {"value_set": list(validate.modes)},
            f"pixel modes are among {modes} (validate.modes)",
            "export it as RGB or remove it",
        ),
        Expectation(
            IN_SET, "num_labels", "quarantine", "copies of an image carry one label", CONTRADICTED, {"value_set": [1]}
        ),
    ]


def of_looks(validate: Validate) -> list[Expectation]:
    """Suite of how the accepted images look; columns extension, brightness, contrast, sharpness, aspect, digest."""
    low, high = validate.brightness

    def expected(kind: str, column: str, limits: Mapping[str, object], meaning: str, remedy: Remedy) -> Expectation:
        return Expectation(kind, column, "warn", meaning, remedy, limits)

    return [
        expected(
            IN_SET,
            "extension",
            _TRUE,
            "file names end as their contents are",
            Remedy("rename it; its content counts"),
        ),
        expected(
            BETWEEN,
            "brightness",
            {"min_value": low, "max_value": high},
            f"brightness is between {low} and {high} (validate.brightness)",
            _LOOK,
        ),
        expected(
            BETWEEN,
            "contrast",
            {"min_value": validate.min_contrast},
            f"contrast is at least {validate.min_contrast} (validate.min_contrast)",
            _LOOK,
        ),
        expected(
            BETWEEN,
            "sharpness",
            {"min_value": validate.min_sharpness},
            f"sharpness is at least {validate.min_sharpness} (validate.min_sharpness)",
            _LOOK,
        ),
        expected(
            BETWEEN,
            "aspect",
            {"max_value": validate.max_aspect},
            f"sides are at most 1 : {validate.max_aspect:g} (validate.max_aspect)",
            _LOOK,
        ),
        expected(
            UNIQUE,
            "digest",
            {"min_value": round(1 - validate.max_duplicates, 9)},  # 1 - 0.7 is more than 0.3
            f"at most {validate.max_duplicates:.0%} of the images are copies of others (validate.max_duplicates)",
            Remedy("remove the copies; they count once"),
        ),
    ]


def of_shapes(canvas: Canvas) -> list[Expectation]:
    """Suite of how most of the accepted images suit what the model sees; columns side (the shorter one), aspect."""
    size, suite = canvas.image_size, []

    def expected(column: str, limit: float, meaning: str, setting: str, now: str) -> Expectation:
        remedy = f"set {setting} (a champion of {now} cannot be continued: also train.start: cold for that cycle)"
        return Expectation(MEDIAN, column, "warn", meaning, Remedy(remedy), {"max_value": limit})

    if size < ENOUGH_PIXELS:
        limit, more = FAR_LARGER * size, min(FAR_LARGER * size, ENOUGH_PIXELS)
        meaning = (
            f"the median shorter side of the new images is at most {limit} pixels, {FAR_LARGER} times what the model "
            f"sees (prepare.image_size: {size})"
        )
        suite.append(expected("side", limit, meaning, f"prepare.image_size: {more}", f"{size} pixels"))
    if canvas.fit == "crop":
        meaning = (
            f"the median of longer to shorter side of the new images is at most {MAX_CUT}, for the model sees only "
            "their centre squares (prepare.fit: crop)"
        )
        suite.append(expected("aspect", MAX_CUT, meaning, "prepare.fit: pad", "crop"))
    return suite


def of_labels(validate: Validate, known_labels: Sequence[str]) -> list[Expectation]:
    """Suite of the labels that the data will have; columns label, looks_like, total_if_new, total_if_known.

    Args:
        validate: section of params.yaml.
        known_labels: the parent's; empty for a first cycle.
    """
    enough = f"at least {counted(validate.min_images_per_label, 'image')} (validate.min_images_per_label)"
    at_least = {"min_value": validate.min_images_per_label}
    suite = [
        Expectation(
            BETWEEN,
            "total_if_new",
            "quarantine",
            f"a new label has {enough}",
            Remedy("it enters by itself once there are enough"),
            at_least,
        ),
        Expectation(
            BETWEEN,
            "total_if_known",
            "warn",
            f"a known label keeps {enough}",
            Remedy("add images of it; the model goes on knowing it"),
            at_least,
        ),
        Expectation(
            IN_SET,
            "looks_like",
            "stop",
            "no new label looks like another",
            Remedy(
                "give both folders one name, or both labels in labels.csv",
                is_on_batch=True,
                alternative="; or list the new label in validate.labels in params.yaml if both are meant; if a known "
                f"label is written in another way now, {_RENAMED}",
            ),
            {"value_set": [""]},
        ),
    ]
    if known_labels and validate.new_labels == "listed":
        suite.append(_listed(sorted({*known_labels, *validate.labels})))
    return suite


def _listed(allowed: list[str]) -> Expectation:
    return Expectation(
        IN_SET,
        "label",
        "stop",
        f"labels are known to the parent or listed in validate.labels: {', '.join(allowed)}",
        Remedy(
            "rename the folder, or the label in labels.csv",
            is_on_batch=True,
            alternative="; or list the new label in validate.labels in params.yaml (or set validate.new_labels: allow);"
            f" the model then gets an output for it; if a known label got this name, {_RENAMED}",
        ),
        {"value_set": allowed},
    )


def of_cycle(validate: Validate, at_most: int) -> list[Expectation]:
    """Suite of the cycle as a whole, a table of one row; columns num_labels, imbalance, quarantined.

    Args:
        validate: section of params.yaml.
        at_most: images that may be set aside.
    """
    return [
        Expectation(
            BETWEEN,
            "quarantined",
            "stop",
            f"at most {are(at_most, 'image')} set aside (validate.max_quarantined, validate.max_quarantined_images)",
            Remedy("mend or remove them", is_on_batch=True, alternative=", or raise the limits in params.yaml"),
            {"max_value": at_most},
        ),
        Expectation(
            BETWEEN,
            "num_labels",
            "stop",
            "there are at least two labels",
            Remedy("add images of another label, in a folder of its name", is_on_batch=True),
            {"min_value": 2},
        ),
        Expectation(
            BETWEEN,
            "imbalance",
            "warn",
            f"the largest label has at most {validate.max_imbalance:g} times the images of the smallest "
            "(validate.max_imbalance)",
            Remedy(
                "add images of the smallest; or, to have each label recognised alike, set train.balance: adjusted and "
                "evaluate.metric: balanced_accuracy before the next batch, and for its cycle evaluate.max_drop: null "
                "and evaluate.max_forgotten: null, for large labels are then given less often"
            ),
            {"max_value": validate.max_imbalance},
        ),
    ]


def of_drift(validate: Validate) -> list[Expectation]:
    """Suite of the distances of the new images from the parent's; columns fact, distance."""
    return [
        Expectation(
            BETWEEN,
            "distance",
            "warn",
            f"the new images are within {validate.max_drift} of those before (validate.max_drift)",
            Remedy("look at the report: is it the same camera, the same task?"),
            {"max_value": validate.max_drift},
        )
    ]
