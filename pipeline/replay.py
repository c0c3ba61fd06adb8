"""Replay: old training images mixed in against forgetting. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np


def pick(old: Sequence[str], num_new: int, per_new: int | Literal["all"], seed: int) -> list[str]:
    """Choose old training images, uniformly and repeatably.

    Args:
        old: digests of the training images that the parent knew.
        num_new: training images that are new in this cycle.
        per_new: how many old ones to pick per new one.
        seed: chooses among them.
    """
    ordered = sorted(old)
    wanted = len(ordered) if per_new == "all" else num_new * per_new
    if wanted >= len(ordered):
        return ordered
    chosen = np.random.default_rng([seed, num_new]).choice(len(ordered), wanted, replace=False)
    return [ordered[index] for index in sorted(chosen)]
