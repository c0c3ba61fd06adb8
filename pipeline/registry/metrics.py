"""Names of metrics in MLflow, and the images that they are about. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.registry import limits

DIGEST = 36
"""Characters of a dataset's digest that MLflow takes: as many as DVC's hash of a folder has, `<md5>.dir`."""

NAMES = {
    "loss": "train/loss",
    "accuracy": "train/accuracy",
    "learning_rate": "train/learning_rate",
    "val_loss": "val/loss",
    "val_accuracy": "val/accuracy",
}
"""Of the metrics of an epoch, by their names in training.json. Those of a second training have its name for a group."""


@dataclass(frozen=True)
class UsedImages:
    """Images that a run used, as MLflow lists them."""

    name: str
    """Of the split, or the path of the batch."""
    digest: str
    """The same images, the same digest."""
    context: str
    """What they were used for."""
    source: Mapping[str, str]
    """Where they are to be found."""
    images: int

    @property
    def source_json(self) -> str:
        """As MLflow takes it."""
        return json.dumps(dict(self.source), sort_keys=True)

    @property
    def profile_json(self) -> str:
        """As MLflow takes it; num_rows is what its page shows."""
        return json.dumps({"num_rows": self.images})


def of_epoch(name: str, prefix: str = "") -> str:
    """Name of a metric by epoch.

    Args:
        name: in training.json.
        prefix: of a second training, `head_` or `audit_`.
    """
    return limits.key(f"{prefix.removesuffix('_')}/{name}" if prefix else NAMES.get(name, name))


def is_models(name: str) -> bool:
    """Whether a metric is about the model alone, whatever it is compared with: its page keeps what it once had."""
    return "champion" not in name and name not in _COMPARED


_COMPARED = {
    f"holdout/{name}" for name in ("change", "change_at_least", "negative_flips", "backward_transfer", "forgetting")
}
