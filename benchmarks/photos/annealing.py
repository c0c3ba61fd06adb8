"""An engine whose learning rate may fall along a cosine, which the product's does not: for the opponent."""

import math
from typing import TYPE_CHECKING, Any

from pipeline.learning import model
from pipeline.learning.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from pipeline.learning.settings import Train

    Arrays = Mapping[str, np.ndarray]

WARM_UP = 20
"""Steps in which the learning rate rises to where it begins to fall."""


class Annealed(Engine):
    """An engine that can be used again and again, with a learning rate of its own for each training."""

    _total: int | None = None
    """Steps after which the learning rate is 0; None: it is what the training says."""
    _done = 0
    _highest = 0.0

    def begin_with(self, optimizer: "Arrays", learning_rate: float) -> None:
        """Let the optimizer be as if it were new."""
        model.fill(self.optimizer.variables, optimizer, "fresh")
        self.optimizer.learning_rate.assign(learning_rate)

    def optimizer_now(self) -> "Arrays":
        """The optimizer's variables."""
        return model.arrays(self.optimizer.variables)

    def schedule(self, epochs: int | None, images: int, train: "Train") -> None:
        """Let the learning rate of the next training fall from what it is now along a cosine.

        Args:
            epochs: after which it is 0; None: it does not fall.
            images: of an epoch.
            train: section `train` of params.yaml.
        """
        self._total = epochs and epochs * math.ceil(images / train.batch_size)
        self._done, self._highest = 0, self.learning_rate

    def step(self, batch: Any, count: int, decay: float) -> tuple[float, int]:
        """See `Engine.step`."""
        if self._total:
            self._done += 1
            self.optimizer.learning_rate.assign(self._highest * cosine(self._done, self._total))
        return super().step(batch, count, decay)


def cosine(step: int, total: int) -> float:
    """Share of the highest learning rate: it rises for `WARM_UP` steps, and falls to 0 along half a cosine.

    Loshchilov and Hutter, ICLR 2017, arXiv:1608.03983, without restarts.

    Args:
        step: from 1.
        total: steps of the training.
    """
    return min(1.0, step / WARM_UP) * (1 + math.cos(math.pi * min(step / total, 1.0))) / 2
