"""Contenders: the models that are judged in a cycle, with their outputs at the places of today's label map."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.model import Description
from pipeline.base import files
from pipeline.learning import cut, engine, head, model
from pipeline.learning.settings import Repeatable

if TYPE_CHECKING:
    import numpy as np

UNKNOWN = -1e9
"""Logit of a label that a model has no output for."""

Logits = Callable[["np.ndarray"], "np.ndarray"]
"""Gives logits, float32 (images, labels of the model), for what a model sees of images."""


class Contender:
    """A model with its outputs at the places of today's label map."""

    def __init__(self, description: Description, logits: Logits, labels: Sequence[str]) -> None:
        self.description = description
        self._logits, self._labels = logits, labels

    def knows(self, label: str) -> bool:
        """Whether it has an output for a label."""
        return label in self.description.labels

    @property
    def known(self) -> "np.ndarray":
        """bool (labels of today,): for which it has an output."""
        import numpy as np

        return np.array([self.knows(label) for label in self._labels])

    def logits(self, inputs: "np.ndarray") -> "np.ndarray":
        """float32 (images, labels of today); UNKNOWN for a label that it does not know.

        Args:
            inputs: what it sees of the images, see `dataset.Part`.
        """
        import numpy as np

        placed = np.full((len(inputs), len(self._labels)), UNKNOWN, np.float32)
        if len(inputs):
            own = self._logits(inputs)
            for position, label in enumerate(self.description.labels):
                if label in self._labels:
                    placed[:, self._labels.index(label)] = own[:, position]
        return placed


def load(
    description: Description, weights: Path, labels: Sequence[str], train: Repeatable, batch_size: int
) -> Contender:
    """A model as it was registered, or as training left it.

    Args:
        description, weights: of the model.
        labels: of today.
        train: part of section `train` of params.yaml.
        batch_size: images per prediction step.
    """
    if description.is_head_only:
        return Contender(description, partial(head.logits, head.of(files.read_arrays(weights))), labels)
    if "tensorflow" not in sys.modules:  # once, whatever number of models
        print("evaluate: loading TensorFlow", flush=True)
    engine.make_repeatable(train.seed, train.threads)
    network = model.load(description, weights, str(weights))
    if description.frozen:
        network = cut.split(network, description.frozen.cut).tuned
    return Contender(description, lambda inputs: model.logits(network, inputs, batch_size), labels)
