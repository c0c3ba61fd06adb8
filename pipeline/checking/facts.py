"""The table of facts: one row per new image, what expectations look at and what people are told. Pure."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.reference import Statistics
from pipeline.checking import drift
from pipeline.data import names
from pipeline.data.delta import Delta, once
from pipeline.data.ledger import HASHES
from pipeline.images import sniffing
from pipeline.images.decoding import Facts

if TYPE_CHECKING:
    import polars as pl


def table(images: Sequence[Facts]) -> "pl.DataFrame":
    """Facts as columns; unknown where the image cannot be decoded, so that one fault is one failure."""
    import polars as pl

    def column(name: str) -> list[Any]:
        return [None if image.error else getattr(image, name) for image in images]

    whole = ("width", "height")
    real = ("brightness", "contrast", "sharpness")
    return pl.DataFrame(
        {
            "readable": pl.Series([not image.error for image in images], dtype=pl.Boolean),
            "why_readable": pl.Series([image.error for image in images], dtype=pl.String),
            "format": pl.Series(column("format"), dtype=pl.String),
            "mode": pl.Series(column("mode"), dtype=pl.String),
            **{name: pl.Series(column(name), dtype=pl.Int64) for name in whole},
            **{name: pl.Series(column(name), dtype=pl.Float64) for name in real},
            **{name: pl.Series(column(name), dtype=pl.UInt64) for name in HASHES},
        }
    ).with_columns(
        side=pl.min_horizontal("width", "height"),
        aspect=pl.max_horizontal("width", "height") / pl.min_horizontal("width", "height"),
        megapixels=pl.col("width") * pl.col("height") / 1e6,
    )


def statistics(rows: "pl.DataFrame") -> Statistics:
    """Histograms of accepted images, each counted once; columns digest, label, path and those of `table`."""
    images = once(rows)
    return drift.statistics({name: images[name].to_list() for name in drift.FACTS}, images["label"].to_list())


def of_new(delta: Delta, ledger: "pl.DataFrame", seen: "pl.DataFrame", root: str) -> "pl.DataFrame":
    """The table: the new rows of a delta, with what decoding and comparing them showed.

    Args:
        delta: what changed.
        ledger: the images so far; columns digest, label, path.
        seen: of `table`, with the digest of each row.
        root: the folder that all paths of the delta begin with.

    Returns:
        Columns kind, digest, label, path, was, those of `seen`, num_labels, and named, labelled, extension
        (bool: whether they are as they should be). `why_` before a column's name has words for people.
    """
    import polars as pl

    rows = delta.new.join(seen, on="digest", how="left", maintain_order="left")
    below = [path[len(root) + 1 :] for path in rows["path"]]
    why_named = _name_faults(below)
    extension = [
        not kind or PurePosixPath(path).suffix.lower() in sniffing.extensions(kind)
        for kind, path in zip(rows["format"], below, strict=True)
    ]
    carried = labels_carried(delta, ledger)
    return rows.with_columns(
        labelled=pl.col("label") != "",
        named=pl.Series([not fault for fault in why_named], dtype=pl.Boolean),
        why_named=pl.Series(why_named, dtype=pl.String),
        extension=pl.Series(extension, dtype=pl.Boolean),
        num_labels=pl.Series([len(carried[digest]) for digest in rows["digest"]], dtype=pl.Int64),
        why_num_labels=pl.Series([where(carried[digest]) for digest in rows["digest"]], dtype=pl.String),
    )


def _name_faults(paths: Sequence[str]) -> list[str]:
    """Why each path is unsafe; empty where it is not."""
    collisions = names.collisions(paths)
    return [
        f"{names.spelt(collisions[path])} is the same name on macOS and Windows"
        if path in collisions
        else names.fault(path)
        for path in paths
    ]


def labels_carried(delta: Delta, ledger: "pl.DataFrame") -> dict[str, dict[str, str]]:
    """For each new digest every label that it carries now, each with a path.

    The delta has some of its places, batches that did not change have the others.
    """
    import polars as pl

    new = delta.new.select("digest").unique()
    here = delta.labelled_everywhere.join(new, on="digest", how="semi")
    # What is relabelled the ledger still has under its old label.
    old = ledger.join(new, on="digest", how="semi").join(delta.relabelled, on="digest", how="anti")
    placed = pl.concat([here.select("digest", "label", "path"), old.select("digest", "label", "path")])
    carried: dict[str, dict[str, str]] = {}
    for digest, label, path in placed.sort("path").iter_rows():
        if label:  # an image without one is at fault for that
            carried.setdefault(digest, {}).setdefault(label, path)
    return {digest: carried.get(digest, {"": ""}) for digest in new["digest"]}


def where(labels: dict[str, str]) -> str:
    """Words for an image that carries several labels, each with a path; empty for one."""
    places = ", ".join(f"{label} at {path!r}" for label, path in sorted(labels.items()))
    return f"the same bytes carry {len(labels)} labels: {places}" if len(labels) > 1 else ""
