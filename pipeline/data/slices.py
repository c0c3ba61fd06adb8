"""Slices: which parts of the data an image is in, by labels.csv, its batch, when it came and what it looks like."""

from typing import TYPE_CHECKING

from pipeline.artifacts.sources import Sources
from pipeline.data import bins, ledger
from pipeline.data import sources as batches

if TYPE_CHECKING:
    import polars as pl


def of_judging(images: "pl.DataFrame", rows: "pl.DataFrame", sources: Sources) -> "pl.DataFrame":
    """The slices of images that judge: those of labels.csv files; batch and age; brightness and side in quarters.

    A column of a labels.csv that is called like one of the others comes before it.

    Args:
        images: rows of the ledger.
        rows: the ledger.
        sources: the batches.

    Returns:
        Columns digest, slice and value, see `Dataset.slices`.
    """
    import polars as pl

    said = ledger.slices(images)
    cycles = rows["first_seen"].unique(maintain_order=True).to_list()
    if cycles[-1:] != [sources.digest]:  # nothing came
        cycles.append(sources.digest)
    ago = {cycle: len(cycles) - 1 - place for place, cycle in enumerate(cycles)}
    told = {
        "batch": batches.batches(images["path"], sources.sources),
        "age": bins.ages([ago[cycle] for cycle in images["first_seen"]]),
        **{fact: bins.quarters(images[fact].to_numpy()) for fact in ledger.FACTS},
    }
    schema = dict.fromkeys(("digest", "slice", "value"), pl.String)
    own = [
        pl.DataFrame({"digest": images["digest"], "slice": name, "value": values}, schema=schema).drop_nulls()
        for name, values in told.items()
        if name not in set(said["slice"])
    ]
    return pl.concat([said, *own]).sort("digest", "slice", "value")


def of_new(
    trained: "pl.DataFrame", unlearned: "pl.DataFrame", said: "pl.DataFrame", sources: Sources
) -> "pl.DataFrame":
    """The slices of new images that train, columns digest, slice, value: who labelled them may have done it wrong.

    Args:
        trained: rows of the ledger that train.
        unlearned: rows that are new.
        said: columns digest, name and value; what labels.csv files say of slices.
        sources: the batches.
    """
    import polars as pl

    new = trained.join(unlearned.select("digest"), on="digest", how="semi")
    columns = said.select("digest", "value", slice="name").select("digest", "slice", "value")
    own = new.select(
        "digest",
        pl.lit("batch").alias("slice"),
        pl.Series("value", batches.batches(new["path"], sources.sources), pl.String),
    )
    if "batch" in set(said["name"]):
        own = own.clear()
    return pl.concat([columns.join(new, on="digest", how="semi"), own.drop_nulls()]).unique()
