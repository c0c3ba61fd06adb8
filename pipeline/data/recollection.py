"""Recollection: what batches held whose listings are gone, as the ledger remembers it. Pure.

DVC deletes the listing of an earlier state of a batch once nothing names it any more (`dvc gc --workspace`). The ledger
of the version that was made from that state knows each image that it accepted, with its label then. It does not know
where the copies of an image lay, nor files that are no images.
"""

from typing import TYPE_CHECKING

from pipeline.data import ledger

if TYPE_CHECKING:
    import polars as pl


def images(remembered: "pl.DataFrame", listed: "pl.DataFrame", present: "pl.DataFrame") -> "pl.DataFrame":
    """The images that the batches without a listing held.

    An image of another batch may have had a copy in one of them. Nobody can tell any more, so a copy that is there now,
    under the label that the image had, is taken to have been there.

    Args:
        remembered: the ledger that the cycle on that state left; columns digest, label, path, removed.
        listed: images of that state's other batches; column digest.
        present: images of the batches that changed, as they are now; columns digest, label, path.

    Returns:
        columns digest, label, path, sorted.
    """
    import polars as pl

    known = remembered.filter(~pl.col("removed")).select("digest", "label", "path")
    alone = ledger.without(known, listed["digest"])
    copies = ledger.without(present.join(known, on=["digest", "label"], how="semi"), alone["digest"])
    return pl.concat([alone, copies.select(known.columns)]).unique().sort("path", "digest")
