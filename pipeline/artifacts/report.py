"""`report.json` of validate: what came in and how it was judged, as the page shows it."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.artifacts.artifact import Artifact


class Asked(Artifact):
    """An expectation, and what Great Expectations said of it."""

    suite: str
    type: str
    """Its class in Great Expectations."""
    meaning: str
    observed: str = Field(validation_alias="found", serialization_alias="found")
    """What the images have, or the first few values that are not as expected."""
    outcome: str
    """passed, failed, warned or quarantined."""
    images: int
    """That fail it."""


class SetAside(Artifact):
    """An image that was set aside."""

    digest: str
    label: str
    path: str
    fault: str
    """Which it is: named, labelled, readable, width, height, mode, num_labels (its copies carry several labels) or
    total_if_new (its label is new and has too few images)."""
    reason: str
    """The fault in words."""
    remedy: str
    """What to do, a sentence."""
    is_known: bool
    """Whether it is an image that the ledger has, not a new copy of one."""


class LabelCount(Artifact):
    """Images of a label."""

    label: str
    new: int
    total: int


class Report(Artifact):
    """The whole report."""

    success: bool
    counts: Mapping[str, int]
    """Images that are new, accepted, quarantined, removed, relabelled, renamed; and warnings (`warned`)."""
    expectations: tuple[Asked, ...]
    quarantined: tuple[SetAside, ...]
    warnings: tuple[str, ...]
    drift: Mapping[str, float]
    """Distance of the new images from those before, 0 to 1, by fact."""
    max_drift: float
    """The distance above which it warns."""
    labels: tuple[LabelCount, ...]
