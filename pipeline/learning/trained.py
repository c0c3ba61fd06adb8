"""A model that was trained: what training gave, put back into the whole network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.model import Description
from pipeline.judging import calibration
from pipeline.learning import model
from pipeline.learning.fit import Outcome, Parts

if TYPE_CHECKING:
    import numpy as np

    from pipeline.learning.engine import Engine

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Trained:
    """A training that is over, with what it was done on."""

    description: Description
    engine: "Engine"
    around: "Arrays"
    """Weights of the whole network, of which the frozen ones count."""
    parts: Parts
    outcome: Outcome
    num_forward: int
    """Images that only passed forward for it, besides those that it scored: features were computed of them."""

    @property
    def weights(self) -> "Arrays":
        """Of the whole network: those of the best epoch."""
        return self.engine.whole(self.around, self.outcome.weights)

    @property
    def last(self) -> "Arrays":
        """Of the whole network: those after the last step."""
        return self.engine.whole(self.around, self.outcome.last)

    @property
    def passes(self) -> float:
        """What it cost, in images passed forward and back; those that only pass forward count a third.

        What passes through the head alone counts nothing: that is a thousandth of the network.
        """
        through = 0.0 if self.description.is_head_only else self.outcome.passes(len(self.parts.val))
        return through + self.num_forward / 3

    def logits(self, batch_size: int) -> "np.ndarray":
        """Of the validation images, float32 (images, labels)."""
        network = self.engine.network
        model.fill(network.weights, self.outcome.weights, "result")
        return model.logits(network, self.parts.val.inputs, batch_size)

    def calibrated(self, batch_size: int) -> Description:
        """The description with the temperature that suits the validation images."""
        temperature = calibration.temperature(self.parts.val.labels, self.logits(batch_size))
        return self.description.model_copy(update={"temperature": temperature})
