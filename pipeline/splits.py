"""Splits: train fits, val stops training and chooses, holdout judges. Pure.

The split of an image is a function of its content, so that adding, removing or reordering others
never moves it: with a re-dealt split, warm starting trains on tomorrow's validation images.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

Split = Literal["train", "val", "holdout"]


def rank(digest: str) -> float:
    """A number in [0, 1) that depends on the image alone and on nothing that it shows."""
    content = hashlib.sha256(f"evergreen split {digest}".encode()).digest()
    return int.from_bytes(content[:8], "big") / 2**64


def assign(digest: str, val_fraction: float, holdout_fraction: float) -> Split:
    """The split of an image seen for the first time; the ledger remembers it from then on."""
    number = rank(digest)
    if number < holdout_fraction:
        return "holdout"
    return "val" if number < holdout_fraction + val_fraction else "train"


def cap(digests: Iterable[str], at_most: int) -> list[str]:
    """At most so many, always the lowest ranked: the sample stays nearly the same as data grows."""
    return sorted(sorted(digests, key=rank)[:at_most])
