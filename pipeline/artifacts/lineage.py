"""`lineage.json` in the registry: what a version was made from, enough to make it again and to start from it."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from pipeline.artifacts.artifact import Artifact, Count, Inside, Name, Number, RunPath, Sha256
from pipeline.artifacts.model import Description, Label
from pipeline.artifacts.reference import Statistics
from pipeline.artifacts.sources import Source
from pipeline.artifacts.training import Places

WEIGHTS = "model/weights.npz"
"""Run artifact: the weights that are served."""

DESCRIPTION = "model/model.json"
"""Run artifact: see `artifacts.model.Description`."""

LAST = "model/last.npz"
"""Run artifact: the weights after the last step."""

OPTIMIZER = "model/state.npz"
"""Run artifact: what the optimizer kept after the best epoch."""

IMAGES = "model/images.parquet"
"""Run artifact: columns digest, split, is_unlearned: what a version's own cycle trained, chose and judged by."""

LEDGER = "ledger/ledger.parquet"
"""Run artifact: see `data.ledger`."""


FEATURES = "features/index.parquet"
"""Run artifact: see `artifacts.features`."""

PREDICTIONS = "data/predictions.parquet"
"""Run artifact: what all models of its cycle said to the holdout images, see `judging.predictions`."""

HISTORY = "data/history.parquet"
"""Run artifact: which of these the champions until then got right, see `judging.history`."""

VERDICT = "data/verdict.json"
"""Run artifact: the verdict, see `artifacts.evaluation.Judgement`."""

STATISTICS = "features/statistics.npz"
"""Run artifact: sums over the features of all its images, see `features.content`; not there where none were looked at.
"""


class Lineage(Artifact):
    """What a version was made from. The keys with a default came later than the first versions."""

    IS_FINITE: ClassVar[bool] = True

    run_key: Name
    """Hash of everything that determines the model."""
    recipe: Name
    """Hash of the settings and the code that made it."""
    sources: tuple[Source, ...]
    """The batches that it was made from."""
    sources_digest: Name
    dataset_digest: Name
    parent: Number | None
    """Number of the version that it was trained from."""
    elder: Number | None = None
    """Number of a version whose ledger knows splits that the parent's does not."""
    is_warm: bool = True
    """Whether it knows what its parent learned."""
    ladder: Places | None = None
    champion: Number | None = Field(validation_alias="rival", serialization_alias="rival")
    """Number of the version that it was judged against."""
    anchor: Number | None = None
    """Number of the version that was the best until then, by which it was judged too; None without a champion."""
    judged: Count = 0
    """See `artifacts.parent.Champion`."""
    model: Description
    optimizer: Name
    label_counts: Mapping[Label, Count]
    """Images by label."""
    quarantine: tuple[tuple[Name, str, Inside], ...] = ()
    """Digest, label and path of each image that was set aside."""
    reference: Statistics = Statistics()
    """Of all its images."""
    params: Mapping[str, Mapping[str, Any]]
    """params.yaml, as it was."""
    commit: Name
    """Of the checkout; with a + where that had uncommitted changes."""
    files: Mapping[RunPath, Sha256]
    """SHA-256 of each artifact of its run."""
