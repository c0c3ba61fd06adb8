"""Pretrained backbones for tests: networks of a user with weights drawn at random."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.learning import pretrained
from pipeline.learning.backend import keras


def write_weights(path: Path, text: str, function: str, seed: int = 3, side: int = 8) -> None:
    """Write weights for the backbone of a user's network, as `train.pretrained` names them.

    Args:
        path: of the file.
        text: of the user's module.
        function: of it.
        seed: of the weights.
        side: pixels of an image's sides.
    """
    keras().utils.set_random_seed(seed)  # first: it sets what TensorFlow reads when it is imported
    namespace: dict[str, Any] = {}
    exec(text, namespace)  # noqa: S102 - the test's own text
    weights = pretrained.arrays(namespace[function]((side, side, 3), 2))
    # Also where a network has initial weights of its own.
    pretrained.write(path, {name: value * np.float32(1 + seed / 100) for name, value in weights.items()}, "drawn")
