"""Remarks: what people say of images besides their labels: the split that they wish, the group, the slices.

A wish counts when an image is first seen. An image that the ledger knows keeps its split, and images of a group share
one. Otherwise a model would be judged on what it was taught.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.artifacts.sources import Source
from pipeline.data import labels, splits
from pipeline.data.labels import Line
from pipeline.data.store import Store

if TYPE_CHECKING:
    import polars as pl

COLUMNS = ("source", "digest", "name", "value")
"""source: hash of the batch that says it. name: split, group, or the slice."""


def read(store: Store, batches: Iterable[Source], rule: str | None) -> "pl.DataFrame":
    """What is said of the images of some batches; columns COLUMNS, no row where nothing is said.

    Args:
        store: gives listings and each labels.csv.
        batches: where the images are.
        rule: `prepare.group` of params.yaml, for images to which labels.csv gives no group.

    Raises:
        DataError: a listing or a labels.csv cannot be read.
    """
    import polars as pl

    tables = [pl.DataFrame(schema=dict.fromkeys(COLUMNS, pl.String))]
    for source in batches:
        is_folder = source.digest.endswith(".dir")
        if not is_folder and rule is None:
            continue
        place = f"{source.path}/{labels.CSV}"
        files = store.listing(source)
        # An image that is tracked alone: its folder is what its batch has of it.
        inside = len(source.path if is_folder else "/".join(source.path.split("/")[:-2])) + 1
        files = files.with_columns(file=pl.col("path").str.slice(inside))
        listed = files.filter(pl.col("path") == place)["digest"]
        lines = {} if listed.is_empty() else labels.lines_of_csv(place, store.read(listed[0], place), AGAIN)
        said = _said(lines)
        if rule is not None:
            grouped = said.filter(pl.col("name") == "group")
            named = files.filter(pl.col("path") != place).join(grouped, on="file", how="anti")
            found = named.select("file", pl.lit("group").alias("name"), named_by(named["file"], rule).alias("value"))
            said = pl.concat([said, found.filter(pl.col("value").fill_null("") != "")])
        tables.append(files.join(said, on="file").select(pl.lit(source.digest).alias("source"), *COLUMNS[1:]))
    return pl.concat(tables)


AGAIN = "`dvc add` the batch again"


def named_by(files: "pl.Series", rule: str) -> "pl.Series":
    """The groups that a rule finds in paths; null where it does not match.

    Polars' regular expressions take time in proportion to the length of the text, whatever the pattern is: no rule can
    hang a cycle (documentation of the Rust crate `regex`, "Untrusted input").
    """
    return files.str.extract(rule, 1)


def _said(lines: dict[str, Line]) -> "pl.DataFrame":
    """What a labels.csv says, columns file, name, value."""
    import polars as pl

    rows = [
        (file, name, value)
        for file, line in lines.items()
        for name, value in (("split", line.split), ("group", line.group), *line.slices)
        if value
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("file", "name", "value"), pl.String), orient="row")


def wishes(said: "pl.DataFrame", digests: "pl.Series") -> "pl.DataFrame":
    """The splits that are wished for some images, columns digest and split; no row where there is none."""
    import polars as pl

    wished = said.filter((pl.col("name") == "split") & pl.col("digest").is_in(digests.implode()))
    return splits.strongest(wished.select("digest", pl.col("value").alias("split")), "digest")


def claims(said: "pl.DataFrame") -> "pl.DataFrame":
    """The named groups that images are said to be of, columns digest and name."""
    import polars as pl

    return said.filter(pl.col("name") == "group").select("digest", pl.col("value").alias("name")).unique()


def slices(said: "pl.DataFrame") -> "pl.DataFrame":
    """What is said of slices; columns COLUMNS."""
    import polars as pl

    return said.filter(~pl.col("name").is_in(["split", "group"]))
