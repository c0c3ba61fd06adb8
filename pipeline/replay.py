"""Replay: old training images mixed in against forgetting. Pure."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
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
