"""Answers of a registered model: its network, and the probabilities that it gives for pixels."""

from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.base.errors import ModelError
from pipeline.judging import metrics
from pipeline.learning import model
from pipeline.registry.served import Served

if TYPE_CHECKING:
    import numpy as np


class Answerer:
    """A registered model that answers."""

    def __init__(self, served: Served, architecture: str) -> None:
        """Build it.

        Args:
            served: of which version.
            architecture: `train.architecture` of params.yaml.

        Raises:
            ModelError: it cannot be built; or it is a user's own function, and params.yaml names another one.
            DataError: its weights cannot be read.
        """
        self.description: Description = served.lineage.model
        _refuse_foreign(served, architecture)
        whose = f"v{served.version.number}"
        with model.standard():
            self.network: Any = model.load(self.description, served.weights, whose)

    def probabilities(self, pixels: "np.ndarray") -> "np.ndarray":
        """Calibrated, 0 to 1, float (images, labels).

        Args:
            pixels: uint8 (images, height, width, channels); one image at least.
        """
        logits = model.logits(self.network, pixels, model.AT_ONCE)
        return metrics.probabilities(logits, self.description.temperature)


def _refuse_foreign(served: Served, architecture: str) -> None:
    """Refuse to run a function that only the registry names: whoever writes there would run code here."""
    theirs = served.lineage.model.architecture
    if ":" in theirs and theirs != architecture:
        raise ModelError(
            f"v{served.version.number} is built by the function {theirs}, and train.architecture in params.yaml is "
            f"{architecture}; expected that function there, as code of the registry's choice is not run; set it so, if "
            "it is yours"
        )
