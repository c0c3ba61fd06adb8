"""Likeness: which new images are near-duplicates of which, and what there is to say of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.base.words import counted
from pipeline.data import ledger, twins
from pipeline.data.delta import Delta
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.decoding import THUMBNAIL, View
from pipeline.images.pixels import Kept, Thumbnails
from pipeline.images.workers import Limits

if TYPE_CHECKING:
    import polars as pl

MANY = 0.2
"""Share of the new images, 0 to 1; so many near-duplicates are more likely different pictures that look alike."""

SHOWN = 5
"""Pairs of near-duplicates under two labels that are named on the screen."""


Pair = tuple[str, str]
"""Digests of a new image and of one that it is a near-duplicate of."""


class Images(NamedTuple):
    """Where the pixels of a cycle come from: what is kept in the scratch folder, else the store."""

    store: Store
    limits: Limits
    views: tuple[View, ...]
    """What the model sees; and what the champion sees, where that is of another shape or fit."""
    scratch: Path

    def kept(self, view: View) -> Kept:
        """Pixels that were decoded already."""
        return Kept(self.scratch / "pixels", view)

    def thumbnails(self, rows: "pl.DataFrame") -> Thumbnails:
        """Thumbnails of images; columns digest and path."""
        kept = [self.kept(view) for view in (THUMBNAIL, *self.views)]
        out = self.scratch / "thumbnails.npy"
        return pixels.thumbnails(self.store, rows, self.limits, kept, out, "prepare: near-duplicates")


def pairs(images: Images, before: "pl.DataFrame", accepted: Delta, similarity: float | None) -> list[Pair]:
    """New images with what they are near-duplicates of: candidates by hash, confirmed on thumbnails.

    Args:
        images: where pixels come from.
        before: the ledger before this cycle; images that are gone since share their split still.
        accepted: the delta that validation accepted.
        similarity: `prepare.near_duplicates` of params.yaml; None: no image is compared with others.
    """
    import numpy as np
    import polars as pl

    if similarity is None:
        return []
    new = ledger.newcomers(before, accepted)
    columns = ["digest", "path", *ledger.HASHES]
    every = pl.concat([before.select(columns), new.select(columns)])
    hashes = every.select(ledger.HASHES).to_numpy()
    found = twins.candidates(hashes[len(before) :], hashes[: len(before)])
    # What is removed may be deleted for good.
    gone = pl.concat([before.filter("removed")["digest"], accepted.removed["digest"]])
    removed = every[np.unique(found[:, 1])].filter(pl.col("digest").is_in(gone.implode()))
    lost = images.store.lost(removed.select("digest", "path").rows(), "prepare: near-duplicates: fetch")
    found = found[~every["digest"].is_in(list(lost)).to_numpy()[found[:, 1]]]
    if not len(found):
        return []
    asked = np.unique(found)
    thumbnails = images.thumbnails(every[asked])

    def are_twins(one: int, two: int) -> bool:
        min_side = min(thumbnails.sides[one], thumbnails.sides[two])
        return twins.are_twins(thumbnails.pixels[one], thumbnails.pixels[two], similarity, min_side)

    digests = every["digest"][asked]
    places = np.searchsorted(asked, found)
    return [(digests[one], digests[two]) for one, two in places.tolist() if are_twins(one, two)]


def conflicts(pairs: Sequence[Pair], rows: "pl.DataFrame") -> "pl.DataFrame":
    """The pairs of near-duplicates that are in the data under two labels; columns one and other, their digests.

    Args:
        pairs: of `pairs`.
        rows: of the ledger; columns digest, label, removed, torn.
    """
    import polars as pl

    digests = [digest for pair in pairs for digest in pair]
    here = ledger.present(rows.filter(pl.col("digest").is_in(digests)))
    labels = dict(here.select("digest", "label").iter_rows())
    torn = [(one, two) for one, two in pairs if one in labels and two in labels and labels[one] != labels[two]]
    return pl.DataFrame(torn, schema={"one": pl.String, "other": pl.String}, orient="row")


def say(pairs: Sequence[Pair], rows: "pl.DataFrame", num_new: int) -> None:
    """What there is to say of near-duplicates, as they are now: of one that is gone nothing can be mended.

    Args:
        pairs: of `pairs`.
        rows: the ledger of this cycle.
        num_new: images that it has and the one before had not.
    """
    import polars as pl

    if not pairs:
        return
    digests = {digest for pair in pairs for digest in pair}
    here = ledger.present(rows.filter(pl.col("digest").is_in(list(digests))))
    places = {row[0]: row[1:] for row in here.select("digest", "label", "path").iter_rows()}
    count = len(digests & set(rows["digest"].tail(num_new)))
    gone = {one for one, _ in pairs} - {one for one, two in pairs if two in places}
    print(
        f"prepare: {counted(count, 'new image')} with near-duplicates, which share one split"
        + (f"; those of {len(gone)} are gone or set aside" if gone else "")
    )
    if count > MANY * num_new:
        print(
            f"prepare: warning: that is {count / num_new:.0%} of the new images; if they are different pictures that "
            "look alike, raise prepare.near_duplicates in params.yaml, or set it to null"
        )
    conflicting = conflicts(pairs, here)
    torn = [(places[one], places[other]) for one, other in conflicting.iter_rows()]
    for (label, path), (other_label, other_path) in torn[:SHOWN]:
        print(
            f"prepare: warning: {path!r} is labelled {label}; its near-duplicate {other_path!r} is labelled "
            f"{other_label}"
        )
    if len(torn) > SHOWN:
        more = counted(len(torn) - SHOWN, "more pair")
        print(f"prepare: warning: and {more} of near-duplicates under two labels")
