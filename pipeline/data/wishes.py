"""Wishes: which split the people who labelled an image meant it for, as the labels.csv of its batch says.

A wish counts when an image is first seen. An image that the ledger knows keeps its split, and near-duplicates share
one. Otherwise a model would be judged on what it was taught.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.artifacts.sources import Source
from pipeline.data import labels, splits
from pipeline.data.store import Store

if TYPE_CHECKING:
    import polars as pl


def read(store: Store, batches: Iterable[Source], images: "pl.DataFrame") -> "pl.DataFrame":
    """The wishes for some images, columns digest and split; no row where there is none.

    Args:
        store: gives listings and each labels.csv.
        batches: where the images are.
        images: columns digest and path, all copies of an image.

    Raises:
        DataError: a listing or a labels.csv cannot be read.
    """
    import polars as pl

    tables = [pl.DataFrame(schema={"digest": pl.String, "split": pl.String})]
    for source in batches:
        inside = images.filter(pl.col("path").str.starts_with(f"{source.path}/"))
        if inside.is_empty():
            continue
        place = f"{source.path}/{labels.CSV}"
        listed = store.listing(source).filter(pl.col("path") == place)["digest"]
        if listed.is_empty():
            continue
        lines = labels.lines_of_csv(place, store.read(listed.item(), place), "`dvc add` the batch again")
        wished = {f"{source.path}/{file}": line.split for file, line in lines.items() if line.split}
        said = pl.DataFrame(
            {"path": list(wished), "split": list(wished.values())}, schema={"path": pl.String, "split": pl.String}
        )
        tables.append(inside.join(said, on="path").select("digest", "split"))
    return splits.strongest(pl.concat(tables), "digest")
