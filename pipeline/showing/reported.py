"""What a report is drawn from: what came in, and what the cycle made of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.comparison import SEEN, ModelComparison
from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import Doubt, Evaluation, Judgement
from pipeline.artifacts.filed import Filed
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.past import PastCycle
from pipeline.artifacts.report import Report
from pipeline.artifacts.training import Training

if TYPE_CHECKING:
    import polars as pl

ACCEPTED = "data/cycle/accepted/images.parquet"
"""Where all new images are while their cycle runs."""

NEW = f"data/{SEEN}"
"""Run artifact: see there."""

NEW_COLUMNS = ("digest", "path", "label")
"""Those of its columns that have to be there."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataPart:
    """What came in: the first half of a report, and all of it where the cycle stopped at the data."""

    report: Report | None
    """Of validate; None where a version kept none."""
    new: "pl.DataFrame | None" = None
    """The new images that were accepted: columns digest, path and label, and further ones of `NEW`."""
    everywhere: str = ACCEPTED
    """What holds the new images that the page has no room for."""
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    """WebP files by digest (`images.pictures`)."""
    content: Content | None = None
    unusual: Sequence[Unusual] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class CyclePart:
    """What the cycle made of it: the second half. What a version did not keep is None or empty."""

    judgement: Judgement | None
    filed: Filed | None = None
    """What became of the version; None where nobody knows."""
    model: str = ""
    """Name of the registered model."""
    version: int | None = None
    comparison: ModelComparison | None = None
    doubts: Sequence[Doubt] = ()
    """Suspicious labels, for a version that kept no comparison."""
    training: Training | None = None
    evaluation: Evaluation | None = None
    lineage: Lineage | None = None
    changes: Changes | None = None
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by name: labels, slices, reliability, confusion, curves, history; see `described.PICTURES`."""
    past: Sequence[PastCycle] = ()
    """All cycles until this one, which `history` draws."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses by what they lead to: parent, champion, run, version."""
