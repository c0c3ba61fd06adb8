"""The settings of the data: sections detect and prepare of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.artifacts.model import Fit
from pipeline.base.params import Count, OpenShare, Section, Share, fits


class Detect(Section):
    """What counts as an image, and how many may vanish."""

    ignore: tuple[str, ...]
    max_removed: Share
    max_removed_of_label: Share
    acknowledged: tuple[
        Annotated[str, fits(r"gone-[0-9a-f]{12}", "a name like gone-0123456789ab, as the error gave it")], ...
    ]


class Canvas(Section, part=True):
    """The pixels that the model sees."""

    image_size: Annotated[int, Field(ge=8, le=2048)]
    fit: Fit
    channels: Literal[1, 3]


class LabelChanges(Section, part=True):
    """Labels that get another name, and labels that go, by request."""

    renamed_labels: dict[str, str]
    removed_labels: tuple[str, ...]

    @model_validator(mode="after")
    def _names_each_label_once(self) -> Self:
        old, new = list(self.renamed_labels), list(self.renamed_labels.values())
        for label in (*new, *self.removed_labels):
            if (*new, *old, *self.removed_labels).count(label) > 1:
                raise ValueError(
                    f"renamed_labels and removed_labels name {label} twice; expected each old and new name once (of "
                    "two labels that become one, move one's images to the other's folder, and put that one into "
                    "removed_labels)"
                )
        return self


class Replay(Section, part=True):
    """How many old images are at hand for each new one."""

    replay: Literal["all"] | Annotated[int, Field(ge=0)]


class AfterRemoval(Section, part=True):
    """What a cycle starts from once images that the parent learned from are gone."""

    after_removal: Literal["warn", "retrain"]


class Holdout(Section, part=True):
    """How many images judge."""

    holdout_fraction: OpenShare
    max_holdout: Count


def _finds_one(rule: str) -> str:
    """A rule that finds one thing in a path, by the regular expressions that read the paths."""
    import polars as pl

    try:
        count = len(pl.Series([""]).str.extract_groups(rule).struct.fields)
    except pl.exceptions.PolarsError as error:
        reason = " ".join(str(error).split()).removeprefix("regex error: ")
        raise ValueError(
            f"{rule[:80]!r} is not a regular expression ({reason[:200]}); expected one without look-around and "
            r"back-references, e.g. '(patient\d+)_'"
        ) from None
    if count != 1:
        raise ValueError(
            f"{rule[:80]!r} has {count} groups in parentheses; expected one, which is the name of the group, e.g. "
            r"'(patient\d+)_'; (?:...) only holds together"
        )
    return rule


class Prepare(Canvas, LabelChanges, Replay, Holdout):
    """Splits, replay and canonical pixels."""

    val_fraction: OpenShare
    max_val: Count
    min_split: Count
    near_duplicates: OpenShare | None
    group: Annotated[str, AfterValidator(_finds_one)] | None
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _leaves_training_images(self) -> Self:
        if self.val_fraction + self.holdout_fraction >= 0.9:
            raise ValueError("val_fraction + holdout_fraction must be below 0.9, or nothing is left to train on")
        return self
