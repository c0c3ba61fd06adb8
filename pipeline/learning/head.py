"""The head of a network by itself: what gives the logits of features. Pure numpy.

To judge models whose backbones are frozen, TensorFlow need not be imported, which takes longer than all else.
"""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def of(weights: Arrays) -> Arrays:
    """The head's weights, the last ones of the whole network: kernel, and bias if it has one.

    Args:
        weights: of the whole network, by position.
    """
    names = sorted(weights)
    return {name: weights[name] for name in names[-2 if weights[names[-1]].ndim == 1 else -1 :]}


def logits(head: Arrays, features: np.ndarray) -> np.ndarray:
    """float32 (images, labels).

    Args:
        head: see `of`.
        features: float16 (images, features).
    """
    kernel, *bias = (value for _, value in sorted(head.items()))
    given: np.ndarray = features.astype(np.float32) @ kernel
    return given + bias[0] if bias else given
