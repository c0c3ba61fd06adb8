"""Splits: train fits, val stops training and chooses the epoch, holdout judges. Pure.

The split of an image depends on its content alone: other images, and the order in which they come,
never move it. If splits were dealt anew in each cycle, the validation images of one cycle would be
training images of the cycles that a warm start goes on from.
"""

import hashlib
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Split = Literal["train", "val", "holdout"]

SPLITS: tuple[Split, ...] = ("train", "val", "holdout")


def rank(digest: str) -> int:
    """A number in [0, 2**64) that depends on the image alone and on nothing that it shows."""
    return int.from_bytes(hashlib.sha256(f"evergreen split {digest}".encode()).digest()[:8], "big")


def assign(digest: str, val_fraction: float, holdout_fraction: float) -> Split:
    """The split of an image seen for the first time; the ledger remembers it from then on."""
    number = rank(digest) / 2**64
    if number < holdout_fraction:
        return "holdout"
    return "val" if number < holdout_fraction + val_fraction else "train"


def cap(rows: "pl.DataFrame", at_most: int) -> "pl.DataFrame":
    """At most so many rows of a ledger (columns digest, rank), sorted by digest.

    The lowest ranks are kept, so that the sample stays nearly the same as data grows.
    """
    return rows.bottom_k(at_most, by="rank").sort("digest") if len(rows) > at_most else rows.sort("digest")
