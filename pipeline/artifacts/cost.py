"""`cost.json` of train: what a training took, which is never the same to the second."""

from pipeline.artifacts.artifact import Artifact


class Cost(Artifact):
    """What a training took."""

    seconds: float | None
    """By the clock, over all sittings of it; None for a model that another machine trained."""
