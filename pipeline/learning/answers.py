"""Answers of a registered model: its network, and the probabilities that it gives for pixels."""

from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Pin
from pipeline.judging import metrics
from pipeline.learning import architecture, model
from pipeline.learning.settings import Network, OwnNetworks
from pipeline.registry.chosen import Chosen

if TYPE_CHECKING:
    import numpy as np


class Answerer:
    """A registered model that answers."""

    def __init__(self, chosen: Chosen, train: Network, own: OwnNetworks) -> None:
        """Build it.

        Args:
            chosen: which version.
            train: part of section `train` of params.yaml.
            own: part of section `resolve` of params.yaml.

        Raises:
            ModelError: it cannot be built; or it is a user's own function, and params.yaml does not name that.
            DataError: its weights cannot be read.
        """
        version, lineage = chosen.version, chosen.lineage
        self.description: Description = lineage.model
        pin = Pin(version=version.number, run_id=version.run_id, lineage=lineage, called=lineage.model.labels)
        architecture.refuse_foreign([pin], train, own)
        with model.standard():
            self.network: Any = model.load(self.description, chosen.weights, f"v{version.number}")

    def probabilities(self, pixels: "np.ndarray") -> "np.ndarray":
        """Calibrated, 0 to 1, float (images, labels).

        Args:
            pixels: uint8 (images, height, width, channels); one image at least.
        """
        logits = model.logits(self.network, pixels, model.AT_ONCE)
        return metrics.probabilities(logits, self.description.temperature)
