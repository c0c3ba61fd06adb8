"""A review: all that the stages of a cycle say about its challenger, from which card, summary and page are written."""

from dataclasses import dataclass

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import ModelComparison
from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import Evaluation, Judgement
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.past import PastCycle
from pipeline.artifacts.report import Report
from pipeline.artifacts.training import Training


@dataclass(frozen=True)
class Review:
    """All that the stages of a cycle say about its challenger."""

    training: Training
    evaluation: Evaluation
    judgement: Judgement
    comparison: ModelComparison
    changes: Changes
    report: Report
    """On the new images."""
    content: Content | None = None
    """Known where features of the new images were compared."""
    unusual: tuple[Unusual, ...] = ()
    seconds: float | None = None
    """That training took, by the clock."""
    price: str = ""
    """What that cost, e.g. 0.02 EUR; empty where nobody says what an hour costs."""
    past: tuple[PastCycle, ...] = ()
    """All cycles that the registry knows, this one too once it is registered."""
    lineage: Lineage | None = None
    """Known once the challenger is to be registered."""
