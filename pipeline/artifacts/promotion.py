"""`promotion.json`: what promote did."""

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.evaluation import Decision


class Promotion(Artifact):
    """What became of the challenger."""

    decision: Decision
    run_key: str
    said: str
    """What was done, in a sentence."""
    version: int
    promoted: bool
    """Whether the alias was moved to it."""
