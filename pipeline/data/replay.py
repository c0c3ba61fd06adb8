"""Replay: old training images mixed in against forgetting. Pure."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def pick(old: "pl.DataFrame", num_new: int, per_new: int | Literal["all"], seed: int) -> "pl.DataFrame":
    """Pick old training images, each with the same chance, and repeatably.

    Args:
        old: rows of the ledger (columns digest, rank): the training images that the parent's cycle had.
        num_new: training images that are new in this cycle.
        per_new: how many old ones to pick per new one.
        seed: of the draw.

    Returns:
        The picked rows, sorted by digest.
    """
    import numpy as np

    wanted = len(old) if per_new == "all" else num_new * per_new
    if wanted >= len(old):
        return old.sort("digest")
    # By rank, not by place: the same images whatever the order of the rows.
    picked = np.random.default_rng([seed, num_new]).choice(len(old), wanted, replace=False)
    return old.sort("rank")[np.sort(picked)].sort("digest")


def length(num_images: int, num_new: int, per_new: int | Literal["all"], repeated: int = 1) -> int:
    """Images of one epoch; see `order`."""
    num_old = num_images - num_new
    return repeated * num_new + (num_old if per_new == "all" else min(num_old, per_new * num_new))


def often(is_new: "np.ndarray", per_new: int | Literal["all"], repeated: int) -> "np.ndarray":
    """How often each image is in an epoch, in the mean, float64 (images,); see `order`."""
    import numpy as np

    num_new = int(is_new.sum())
    num_old = len(is_new) - num_new
    return np.where(is_new, float(repeated), (length(len(is_new), num_new, per_new) - num_new) / max(num_old, 1))


def order(is_new: "np.ndarray", per_new: int | Literal["all"], repeated: int, seed: int, epoch: int) -> "np.ndarray":
    """Rows of one epoch, in the order of training: every new image and some old ones, drawn anew each epoch.

    Args:
        is_new: bool (images,): which of the images are to be learned in this cycle.
        per_new: how many old ones to draw per new one.
        repeated: how often a new one comes.
        seed, epoch: the only other things that the order depends on.
    """
    import numpy as np

    rng = np.random.default_rng([seed, epoch])
    new, old = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    num_old = length(len(is_new), len(new), per_new) - len(new)
    return rng.permutation(np.concatenate([np.tile(new, repeated), rng.choice(old, num_old, replace=False)]))
