"""The settings of the gate: section evaluate of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.params import Count, OpenShare, Section, Share, fits

MIN_PROBABILITY = "min_probability"
"""Parameter of a request to a served model: takes the place of the setting of that name."""


Metric = Literal["accuracy", "balanced_accuracy"]
"""balanced_accuracy: the mean recall of the labels, each counted alike."""


class Bound(Section, part=True):
    """How much worse a challenger may be, and how sure that has to be, now and for ever."""

    metric: Metric
    margin: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    risk: OpenShare | None
    """That ever a champion is worse than promised; see `judging.lifetime`."""

    @property
    def metric_name(self) -> str:
        """For people."""
        return self.metric.replace("_", " ")


class Evaluate(Bound):
    """When a challenger has earned promotion."""

    min_accuracy: Share
    max_wrong: Share | None
    """Of the labels of new images."""
    believed: tuple[
        Annotated[str, fits(r"labels-[0-9a-f]{12}", "a name like labels-0123456789ab, as the verdict gave it")], ...
    ]
    """Names of new labels that a person looked at and found right."""
    max_drop: Share | None
    """Of a label's recall."""
    max_forgotten: Share | None
    """Of the recall that a label, or an age, had when its images were first known; see `judging.history`."""
    max_flips: Share | None
    """Of the holdout images: those that only the champion gets right."""
    worse_slices: Literal["warn", "reject"]
    """What becomes of a challenger that is surely worse on a slice."""
    suspicious: OpenShare
    min_probability: Share
    """Below it serving gives no label; the verdict does not depend on it."""
    batch_size: Count
