"""Where everything lies that stages read and write. dvc.yaml says the same; a test holds the two together."""

from dataclasses import dataclass
from pathlib import Path

CYCLE = Path("data/cycle")
"""What the stages of one cycle hand on: made anew by each, kept by DVC."""


@dataclass(frozen=True)
class Paths:
    """Paths relative to the project, which is the current directory; the usual ones by default."""

    params: Path = Path("params.yaml")
    images: Path = Path("data/images")
    """The folder of all batches, which have DVC pointers."""
    scratch: Path = Path("data/scratch")
    """Checkpoints and downloads, outside DVC and Git."""

    sources: Path = CYCLE / "sources.json"
    """The batches that DVC tracks now, with their hashes."""
    parent: Path = CYCLE / "parent.json"
    """The version to start from, pinned."""
    champion: Path = CYCLE / "champion.json"
    """The version to beat, pinned."""
    snapshot: Path = CYCLE / "snapshot.json"
    """What the registry held when resolve looked."""
    code: Path = CYCLE / "code"
    """A file for each stage, with the digest of its code."""
    pretrained: Path = CYCLE / "pretrained"
    """Digest of the weights that a cold start begins with."""
    delta: Path = CYCLE / "delta"
    """What changed since the parent."""
    accepted: Path = CYCLE / "accepted"
    """The delta that validation accepted, and what it set aside."""
    validation: Path = CYCLE / "validation"
    """The report on the new images."""
    dataset: Path = CYCLE / "dataset"
    """What the model sees of the images that were picked, by split."""
    features: Path = CYCLE / "features"
    """Features that were computed in this cycle, and where those of earlier ones are."""
    ledger: Path = CYCLE / "ledger.parquet"
    """One row per image ever accepted."""
    model: Path = CYCLE / "model"
    """The challenger: the model just trained."""
    curves: Path = CYCLE / "curves.csv"
    """Metrics by epoch, for `dvc plots`."""
    training: Path = CYCLE / "training.json"
    """Epochs, and the scores of the one that was kept, for `dvc metrics`."""
    cost: Path = CYCLE / "cost.json"
    """What training took."""
    evaluation: Path = CYCLE / "evaluation"
    """Verdict and pictures."""
    scores: Path = CYCLE / "evaluation.json"
    """Scores of champion and challenger."""
    metrics: Path = CYCLE / "metrics.json"
    """The first of them, for `dvc metrics`."""
    confusion: Path = CYCLE / "confusion.csv"
    """Images by true and predicted label, for `dvc plots`."""
    promotion: Path = CYCLE / "promotion.json"
    """What promote did."""
    summary: Path = CYCLE / "summary.txt"
    """What a terminal shows at the end of a cycle."""
    page: Path = CYCLE / "report.html"
    """The report of this cycle."""
    report: Path = CYCLE / "report.md"
    """The card of this cycle."""
