"""Replay: old training images mixed in against forgetting. Pure."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def pick(old: "pl.DataFrame", num_new: int, per_new: int | Literal["all"], seed: int) -> "pl.DataFrame":
    """Choose old training images, uniformly and repeatably.

    Args:
        old: rows of the ledger: the training images that the parent knew.
        num_new: training images that are new in this cycle.
        per_new: how many old ones to pick per new one.
        seed: chooses among them.
    """
    import numpy as np

    wanted = len(old) if per_new == "all" else num_new * per_new
    if wanted >= len(old):
        return old.sort("digest")
    # By rank, not by place: the same images whatever the order of the rows.
    chosen = np.random.default_rng([seed, num_new]).choice(len(old), wanted, replace=False)
    return old.sort("rank")[np.sort(chosen)].sort("digest")


def is_strange(before: Mapping[str, float]) -> bool:
    """Whether the new images are of another kind than those before: drift, or labels that were not there.

    It is what the model says itself: on the new images, before it learned from them, it is right more seldom than on
    val, by more than two standard errors.

    Args:
        before: scores before the first step: val_accuracy, val_images, new_accuracy, new_images; without the last
            two nothing is new.
    """
    if not before.get("new_images"):
        return False
    p, q = before["val_accuracy"], before["new_accuracy"]
    error = math.sqrt(p * (1 - p) / before["val_images"] + q * (1 - q) / before["new_images"])
    return p - q > 2 * error


def length(num_images: int, num_new: int, per_new: int | Literal["all"]) -> int:
    """Images of one epoch; see `order`."""
    num_old = num_images - num_new
    return num_new + (num_old if per_new == "all" else min(num_old, per_new * num_new))


def order(
    is_new: "np.ndarray", per_new: int | Literal["all"], new_share: float | None, seed: int, epoch: int
) -> "np.ndarray":
    """Rows of one epoch, in the order of training: every new image and some old ones, drawn anew each epoch.

    Args:
        is_new: bool (images,): which of the images are to be learned in this cycle.
        per_new: how many old ones to draw per new one.
        new_share: None: every new image once. Else new images are repeated until they are this share of the epoch,
            whose length stays the same.
        seed, epoch: all that the order depends on besides.
    """
    import numpy as np

    rng = np.random.default_rng([seed, epoch])
    new, old = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    count = length(len(is_new), len(new), per_new)
    wanted = len(new) if new_share is None or not len(new) else max(len(new), round(new_share * count))
    rounds = [rng.permutation(new) for _ in range(math.ceil(wanted / max(len(new), 1)))]
    picked = rng.choice(old, count - wanted, replace=False)
    return rng.permutation(np.concatenate([np.concatenate([*rounds, new[:0]])[:wanted], picked]))
