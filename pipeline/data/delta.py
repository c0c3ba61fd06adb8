"""The delta: what differs between the data now and the data that the parent was trained on. Pure."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pipeline.data.sources import Source

if TYPE_CHECKING:
    import polars as pl

NEW = ("added", "retried")
"""Kinds of images to be judged and learned."""

KINDS = ("added", "retried", "relabelled", "removed", "renamed", "elsewhere")
"""What a row of a delta says of an image:

added: its bytes are new.
retried: an earlier cycle set it aside; it is judged anew each time.
relabelled: the same bytes under another label than before.
removed: its bytes are nowhere any more.
renamed: the same bytes and label at another place.
elsewhere: a relabelled image's place in a batch that did not change: no change, but it has to be known."""

SCHEMA = ("kind", "digest", "label", "path", "was")
"""Columns; `was` is the label or the path before, where there was another."""


def changed(before: Iterable[Source], now: Iterable[Source]) -> tuple[list[Source], list[Source]]:
    """The batches to open: those of either side whose directory hash the other side has not.

    A batch that only moved keeps hash and name and stays unopened; its name may be a label, so one
    that was renamed is opened.
    """
    before, now = list(before), list(now)
    old, new = {_contents(source) for source in before}, {_contents(source) for source in now}
    return (
        [source for source in before if _contents(source) not in new],
        [source for source in now if _contents(source) not in old],
    )


def _contents(source: Source) -> tuple[str, str]:
    # An image that is tracked alone has its label from the folder, not from its own name.
    depth = 1 if source.digest.endswith(".dir") else 2
    return source.digest, "/".join(source.path.split("/")[-depth:])


def diff(before: "pl.DataFrame", now: "pl.DataFrame", kept: "pl.DataFrame | None" = None) -> "pl.DataFrame":
    """Compare two collections of images by digest and label.

    Args:
        before: images of the changed batches as the parent knew them; columns digest, label, path.
        now: images of the changed batches now; the same columns.
        kept: images of the batches that did not change, which may hold copies; asked for where
            `needs_unchanged` of a first comparison says so.

    Returns:
        A row per change, columns SCHEMA, sorted. Copies of an added image are all there, so that
        validation sees them.
    """
    import polars as pl

    same = ["digest", "label", "path"]
    gone, came = before.join(now, on=same, how="anti"), now.join(before, on=same, how="anti")
    before, now = before.select(same), now.select(same)

    def rows(kind: str, table: pl.DataFrame, was: pl.Expr | None = None) -> pl.DataFrame:
        word = (was if was is not None else pl.lit("")).cast(pl.String).alias("was")
        return table.select(pl.lit(kind).alias("kind"), *same, word)

    added = came.join(before, on="digest", how="anti")
    removed = gone.join(now, on="digest", how="anti")
    if kept is not None:
        removed = removed.join(kept, on="digest", how="anti")

    pair = ["digest", "label"]
    gained = came.join(before, on=pair, how="anti").join(before, on="digest", how="semi")
    lost = gone.join(now, on=pair, how="anti").join(now, on="digest", how="semi")
    moved = pl.concat([gained, lost]).select("digest").unique()
    was = before.join(moved, on="digest", how="semi").group_by("digest").agg(pl.col("label").unique().sort().first())
    relabelled = now.join(moved, on="digest", how="semi").join(was.rename({"label": "before"}), on="digest", how="left")

    old_place = gone.join(moved, on="digest", how="anti").group_by("digest").agg(pl.col("path").min().alias("before"))
    renamed = came.join(old_place, on="digest", how="inner")

    parts = [
        rows("added", added),
        rows("removed", removed),
        rows("relabelled", relabelled, pl.col("before")),
        rows("renamed", renamed, pl.col("before")),
    ]
    if kept is not None:
        parts.append(rows("elsewhere", kept.join(moved, on="digest", how="semi")))
    return pl.concat(parts).unique().sort("kind", "path", "digest", "label")


def relabelled(found: "pl.DataFrame", renamed: Mapping[str, str]) -> "pl.DataFrame":
    """The relabelled images of a delta, without those whose label is only called otherwise now.

    Args:
        found: the delta.
        renamed: `prepare.renamed_labels` of params.yaml.
    """
    import polars as pl

    return found.filter((pl.col("kind") == "relabelled") & (pl.col("was").replace(renamed) != pl.col("label")))


def needs_unchanged(found: "pl.DataFrame") -> bool:
    """Whether a copy in a batch that did not change would matter: an image seems gone, or carries another label."""
    return bool(found["kind"].is_in(["removed", "relabelled"]).any())


def retried(found: "pl.DataFrame", set_aside: "pl.DataFrame", unchanged: Iterable[Source]) -> "pl.DataFrame":
    """The delta with the images that an earlier cycle set aside and that are still there.

    Args:
        found: of `diff`, whose `before` was without these images.
        set_aside: the parent's; columns digest, label, path.
        unchanged: the batches that `diff` did not see.
    """
    import polars as pl

    folders = {source.path for source in unchanged}
    inside = [any(part in folders for part in _above(path)) for path in set_aside["path"]]
    still = set_aside.filter(pl.Series(inside, dtype=pl.Boolean))
    again = still.select(pl.lit("retried").alias("kind"), "digest", "label", "path", pl.lit("").alias("was"))
    known = pl.struct("digest", "path").is_in(set_aside.select(pl.struct("digest", "path")).to_series().implode())
    kind = pl.when((pl.col("kind") == "added") & known).then(pl.lit("retried")).otherwise(pl.col("kind"))
    return pl.concat([found.with_columns(kind.alias("kind")), again]).unique().sort("kind", "path", "digest", "label")


def _above(path: str) -> list[str]:
    """A path and every folder above it."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def summary(found: "pl.DataFrame") -> dict[str, object]:
    """Counts for people: images of each kind, and of the added by label."""
    import polars as pl

    images = {kind: found.filter(pl.col("kind") == kind)["digest"].n_unique() for kind in KINDS if kind != "elsewhere"}
    # Copies count as often as they are there: they are files that someone added.
    added = found.filter(pl.col("kind") == "added")
    by_label = added.group_by("label").len().sort("label")
    return images | {"added": len(added), "added_by_label": dict(by_label.iter_rows())}
