"""Splits: train fits, val stops training and chooses the epoch, holdout judges. Pure.

The split of an image depends on its content alone: other images, and the order in which they come,
never move it. If splits were dealt anew in each cycle, the validation images of one cycle would be
training images of the cycles that a warm start goes on from.
"""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Split = Literal["train", "val", "holdout"]

SPLITS: tuple[Split, ...] = ("train", "val", "holdout")

STRONGEST: tuple[Split, ...] = ("holdout", "val", "train")
"""Of wishes for one picture the first counts: what anybody meant to judge by is not taught."""


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


def strongest(wishes: "pl.DataFrame", by: str) -> "pl.DataFrame":
    """One wish for each value of a column, columns `by` and split.

    Args:
        wishes: columns `by` and split.
        by: a column, such as digest or group.
    """
    import polars as pl

    order = pl.col("split").cast(pl.Enum(STRONGEST))
    return wishes.sort(order).unique(by, keep="first", maintain_order=True).select(by, "split")


def complete(
    meant: Iterable[Split | None], digests: Iterable[str], val_fraction: float, holdout_fraction: float
) -> list[Split | None]:
    """Wishes for all three splits, where those who split the images made only two: the rest is dealt from train.

    Args:
        meant: what each image is meant for.
        digests: of the images.
        val_fraction, holdout_fraction: see `assign`.
    """
    meant = list(meant)
    val = 0.0 if "val" in meant else val_fraction
    holdout = 0.0 if "holdout" in meant else holdout_fraction
    return [
        assign(digest, val, holdout) if wish == "train" else wish for wish, digest in zip(meant, digests, strict=True)
    ]
