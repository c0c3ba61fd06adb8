"""The table of facts: one row per new image, what expectations look at and what people are told. Pure."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.checking import drift
from pipeline.data import ledger, names
from pipeline.data.delta import NEW
from pipeline.images import sniffing
from pipeline.images.decoding import Facts

if TYPE_CHECKING:
    import polars as pl


def table(found: Sequence[Facts]) -> "pl.DataFrame":
    """Facts as columns; unknown where the image cannot be decoded: one fault, one failure."""
    import polars as pl

    def column(name: str) -> list[Any]:
        return [None if fact.error else getattr(fact, name) for fact in found]

    whole = ("width", "height")
    real = ("brightness", "contrast", "sharpness")
    return pl.DataFrame(
        {
            "readable": pl.Series([not fact.error for fact in found], dtype=pl.Boolean),
            "why_readable": pl.Series([fact.error for fact in found], dtype=pl.String),
            "format": pl.Series(column("format"), dtype=pl.String),
            "mode": pl.Series(column("mode"), dtype=pl.String),
            **{name: pl.Series(column(name), dtype=pl.Int64) for name in whole},
            **{name: pl.Series(column(name), dtype=pl.Float64) for name in real},
            **{name: pl.Series(column(name), dtype=pl.UInt64) for name in ledger.HASHES},
        }
    ).with_columns(
        aspect=pl.max_horizontal("width", "height") / pl.min_horizontal("width", "height"),
        megapixels=pl.col("width") * pl.col("height") / 1e6,
    )


def statistics(rows: "pl.DataFrame") -> dict[str, Any]:
    """Histograms of accepted images, each counted once; columns digest, label and those of `table`."""
    once = rows.unique("digest", maintain_order=True)
    return drift.statistics({name: once[name].to_list() for name in drift.FACTS}, once["label"].to_list())


def of_new(changes: "pl.DataFrame", known: "pl.DataFrame", seen: "pl.DataFrame", root: str) -> "pl.DataFrame":
    """The table: the delta's new rows, with what decoding and comparing them found.

    Args:
        changes: the delta.
        known: the images that the ledger has, columns digest, label, path.
        seen: of `table`, with the digest of each row.
        root: the folder of all batches.

    Returns:
        Columns kind, digest, label, path, was, those of `seen`, and named, labelled, extension (bool:
        as they should be), num_labels; `why_` before a column's name has words for people.
    """
    import polars as pl

    new = changes.filter(pl.col("kind").is_in(NEW))
    rows = new.join(seen, on="digest", how="left", maintain_order="left")
    below = [path[len(root) + 1 :] for path in rows["path"]]
    collisions = names.collisions(below)
    named = [
        f"{collisions[path]!a} is the same name on macOS and Windows" if path in collisions else names.fault(path)
        for path in below
    ]
    fits = [
        not kind or PurePosixPath(path).suffix.lower() in sniffing.extensions(kind)
        for kind, path in zip(rows["format"], below, strict=True)
    ]
    carried = labels_carried(changes, known)
    return rows.with_columns(
        labelled=pl.col("label") != "",
        named=pl.Series([not fault for fault in named], dtype=pl.Boolean),
        why_named=pl.Series(named, dtype=pl.String),
        extension=pl.Series(fits, dtype=pl.Boolean),
        num_labels=pl.Series([len(carried[digest]) for digest in rows["digest"]], dtype=pl.Int64),
        why_num_labels=pl.Series([where(carried[digest]) for digest in rows["digest"]], dtype=pl.String),
    )


def labels_carried(changes: "pl.DataFrame", known: "pl.DataFrame") -> dict[str, dict[str, str]]:
    """For each new digest every label it carries now, in the delta or in batches that did not change, with a path."""
    import polars as pl

    new = changes.filter(pl.col("kind").is_in(NEW)).select("digest").unique()
    here = changes.filter(pl.col("kind").is_in([*NEW, "relabelled", "elsewhere"])).join(new, on="digest", how="semi")
    # What is relabelled the ledger still has under its old label.
    moved = changes.filter(pl.col("kind") == "relabelled").select("digest")
    old = known.join(new, on="digest", how="semi").join(moved, on="digest", how="anti")
    placed = pl.concat([here.select("digest", "label", "path"), old.select("digest", "label", "path")])
    found: dict[str, dict[str, str]] = {}
    for digest, label, path in placed.sort("path").iter_rows():
        if label:  # an image without one is at fault for that
            found.setdefault(digest, {}).setdefault(label, path)
    return {digest: found.get(digest, {"": ""}) for digest in new["digest"]}


def where(labels: dict[str, str]) -> str:
    """Words for an image that carries several labels, each with a path; empty for one."""
    places = ", ".join(f"{label} at {path!a}" for label, path in sorted(labels.items()))
    return f"the same bytes carry {len(labels)} labels: {places}" if len(labels) > 1 else ""
