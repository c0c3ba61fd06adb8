"""What evaluate writes: `verdict.json`, and `evaluation.json` with the scores."""

import re
from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.artifacts.artifact import Artifact, Count, Number

COUNTED = re.compile(
    r"of \d+ holdout images (with labels that the champion knows )?the challenger gets |"
    r"it is surely (at most [\d.]+ points|not) below v\d+, the best so far; "
)
"""How those reasons of a verdict begin that only count: a table of both models, or the report, says the same."""

Decision = Literal["promote", "reject", "not enough evidence", "unchanged"]


class Judgement(Artifact):
    """The verdict on a challenger, and the champion that it is about."""

    IS_FINITE: ClassVar[bool] = True

    decision: Decision
    reasons: tuple[str, ...]
    difference: float | None
    """Accuracy of challenger minus champion; None without a champion."""
    lower: float | None
    """One-sided confidence bound of the difference."""
    champion: Number | None = Field(validation_alias="rival", serialization_alias="rival")
    """Number of the version that was to beat."""
    anchor: Number | None = None
    """Number of the version that was the best until then; None without a champion."""
    judged: Count = 0
    """How many challengers were ever judged, this one included."""
    outdated: tuple[str, ...] = ()
    """Labels of the champion that were renamed or removed by request."""
    is_trusted: bool = True
    """Whether the labels of the new images can be trusted; else nothing that learned them is promoted."""
    is_doubtful: bool = False
    """Whether they are likely wrong, and yet not surely: only old images judged."""
    doubts: tuple[str, ...] = ()
    """What is wrong with them, a sentence each."""
    promise: float | None = None
    """By how much a champion may be below the best that there was; None if nothing is promised."""
    is_best: bool = False
    """Whether the challenger, once it is champion, is the best that there was."""


class Answered(Artifact):
    """What is left of the answers with `evaluate.min_probability`."""

    coverage: float
    """Share of the images that get a label."""
    accuracy: float | None
    """Of these; None if there are none."""


class ChallengerScores(Artifact):
    """How the challenger does on the holdout images."""

    accuracy: float
    loss: float
    recall: Mapping[str, float]
    """By label, of those that have images."""
    balanced_accuracy: float | None = None
    """Mean of the recalls; files of before it came have none."""
    calibration_error: float | None = None
    """Expected calibration error with its temperature (`judging.calibration`); files of before it came have none."""
    answered: Answered | None = None
    """Given where some images may get no answer."""


class ChampionScores(Artifact):
    """How the champion does on the same images; nothing where there is none."""

    accuracy: float | None = None
    loss: float | None = None
    """Not given where it does not know all labels: it would mean nothing."""
    balanced_accuracy: float | None = None
    calibration_error: float | None = None
    answered: Answered | None = None


class Evaluation(Artifact):
    """The scores of both."""

    holdout_images: int
    challenger: ChallengerScores
    champion: ChampionScores
    negative_flips: float | None
    """Share of the images that the champion has right and the challenger wrong; None without a champion."""
    backward_transfer: float | None = None
    """See `judging.history`; None where no champion knew an image, and in files of before it came."""
    forgetting: float | None = None
    """Likewise."""

    def published(self, images: str) -> dict[str, dict[str, float]]:
        """The first of them for `dvc metrics`: DVC subtracts what two commits call by one name.

        Args:
            images: name of the holdout images (`Dataset.named`); on others it is another metric.
        """
        ours, theirs = self.challenger, self.champion
        scores = {
            "accuracy": ours.accuracy,
            "champion": theirs.accuracy,
            "balanced": ours.balanced_accuracy,
            "flips": self.negative_flips,
        }
        return {images: {name: value for name, value in scores.items() if value is not None}}


class Doubt(Artifact):
    """A new image that models which did not learn its label confidently give another one."""

    path: str
    label: str
    predicted: str = Field(validation_alias="found", serialization_alias="found")
    probability: float
