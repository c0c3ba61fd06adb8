"""The ledger: one row per image ever accepted, append-only; it remembers each image's split. Pure.

Made for a million rows: nothing here walks over them one by one.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.data import splits
from pipeline.data.delta import Delta, once
from pipeline.data.splits import Split

if TYPE_CHECKING:
    import polars as pl

SLICE = ("source", "name", "value")
"""Fields of what is said of an image in column `slices`."""

HASHES = ("dct", "across", "down")
"""Three words of the perceptual hash (`pipeline.images.decoding`), uint64."""

FACTS = ("brightness", "side")
"""Facts of an image that are slices: mean luma, 0 to 1, float32; the shorter side of the picture in pixels, int32. Null
where an image was accepted before they were kept."""

COLUMNS = (
    *("digest", "group", "label", "split", "path", "first_seen", "removed", "rank", *HASHES),
    *("torn", "named", "slices", *FACTS),
)
"""digest: MD5 of the bytes. group: digest of the image seen first that it shares its split with. path: where the image
lay when it was last looked at. first_seen: the data's digest in the cycle that accepted it. removed: no longer in the
data, or set aside; the row stays. rank: `splits.rank`, uint64. torn: left out for good, as it ties images of different
splits (`data.groups`). named: the named groups that it was ever said to be of. slices: what each batch says of an image
that judges or stops: source (the batch's hash), name, value."""


def empty() -> "pl.DataFrame":
    """A ledger before the first cycle."""
    import polars as pl

    kinds: dict[str, Any] = {
        **dict.fromkeys(("removed", "torn"), pl.Boolean),
        **dict.fromkeys(("rank", *HASHES), pl.UInt64),
        "brightness": pl.Float32,
        "side": pl.Int32,
        "named": pl.List(pl.String),
        "slices": pl.List(pl.Struct(dict.fromkeys(SLICE, pl.String))),
    }
    return pl.DataFrame(schema={name: kinds.get(name, pl.String) for name in COLUMNS})


def completed(ledger: "pl.DataFrame", columns: Collection[str] = COLUMNS) -> "pl.DataFrame":
    """These columns of a ledger; of one that was written before there were groups, nobody is in any.

    Facts of it are unknown."""
    import polars as pl

    none: dict[str, object] = {"torn": False, "named": [], "slices": [], **dict.fromkeys(FACTS)}
    schema = empty().schema
    lacking = [name for name in columns if name not in ledger.columns]
    whole = ledger.with_columns(pl.lit(none[name], schema[name]).alias(name) for name in lacking)
    return whole.select(pl.col(name).cast(schema[name]) for name in columns)


def present(ledger: "pl.DataFrame") -> "pl.DataFrame":
    """The images that are in the data, not set aside and not left out.

    Args:
        ledger: columns removed and torn, and any others.
    """
    import polars as pl

    return ledger.filter(~pl.col("removed") & ~pl.col("torn"))


def without(rows: "pl.DataFrame", digests: "pl.Series") -> "pl.DataFrame":
    """The rows of other images; on a million rows four times as fast as an anti-join."""
    import polars as pl

    return rows.filter(~pl.col("digest").is_in(digests.implode()))


def newcomers(ledger: "pl.DataFrame", accepted: Delta) -> "pl.DataFrame":
    """The accepted images that the ledger has never seen, once each, sorted by digest."""
    return once(accepted.new.join(ledger, on="digest", how="anti")).sort("digest")


def unlearned(ledger: "pl.DataFrame", before: "pl.DataFrame", renamed_labels: Mapping[str, str]) -> "pl.DataFrame":
    """The images in the data that another cycle did not have under the label that they have now.

    That is less and more than what a ledger has never seen: it remembers images that were taken out of the data, set
    aside, or in a cycle that another version was made from, and whoever did not learn them has them before it.

    Args:
        ledger: of this cycle, or some rows of it.
        before: the ledger that the other cycle left; columns digest, label, removed.
        renamed_labels: `prepare.renamed_labels` of params.yaml: an image whose label is called otherwise is the same.
    """
    import polars as pl

    had = present(before).select("digest", pl.col("label").replace(renamed_labels))
    return present(ledger).join(had, on=["digest", "label"], how="anti", maintain_order="left")


def extend(
    ledger: "pl.DataFrame",
    accepted: Delta,
    groups: "pl.DataFrame",
    set_aside: "pl.DataFrame",
    wished: "pl.DataFrame",
    split_of: Callable[[str], Split],
    cycle: str,
) -> "pl.DataFrame":
    """The ledger after a cycle; rows are added and labels follow the data, but no split ever changes.

    Args:
        ledger: the parent's.
        accepted: the delta without what was set aside, with columns HASHES and FACTS. Copies count once, and an image
            that the ledger has comes back to its split.
        groups: columns digest, group, is_torn, for newcomers that are tied to another image (`data.groups`); the
            group's split is theirs. Others are a group of their own.
        set_aside: column digest; images of the ledger among them count as removed.
        wished: columns digest and split, for newcomers whose labels.csv asks for a split. A group seen for the first
            time gets the strongest wish of its images.
        split_of: the split of a group seen for the first time for which nobody wishes one, from its digest.
        cycle: digest of the data, for `first_seen`.
    """
    import polars as pl

    old = _updated(ledger, accepted, set_aside)
    new = newcomers(ledger, accepted)
    if new.is_empty():
        return old
    new = new.join(groups, on="digest", how="left", maintain_order="left").with_columns(
        pl.coalesce("group", "digest").alias("group")
    )
    dealt = _dealt(ledger, new, wished, split_of)
    new = new.join(dealt, on="group", how="left", maintain_order="left").with_columns(
        first_seen=pl.lit(cycle),
        removed=pl.lit(value=False),
        rank=pl.Series([splits.rank(digest) for digest in new["digest"]], dtype=pl.UInt64),
        torn=pl.col("is_torn").fill_null(value=False),
    )
    return pl.concat([old, completed(new)])


def torn(ledger: "pl.DataFrame", digests: Collection[str]) -> "pl.DataFrame":
    """The ledger with some images left out for good."""
    import polars as pl

    return ledger.with_columns(torn=pl.col("torn") | pl.col("digest").is_in([*digests]))


def named(ledger: "pl.DataFrame", names: "pl.DataFrame") -> "pl.DataFrame":
    """The ledger with named groups of some images, besides those that it knows already.

    Args:
        ledger: of this cycle.
        names: columns digest and name.
    """
    import polars as pl

    if names.is_empty():
        return ledger
    known = ledger.select("digest", "named").join(names, on="digest", how="semi")
    every = pl.concat([known.explode("named").select("digest", name="named").drop_nulls(), names])
    now = every.unique().sort("digest", "name").group_by("digest").agg(pl.col("name").alias("now"))
    rows = ledger.join(now, on="digest", how="left", maintain_order="left")
    return rows.with_columns(named=pl.coalesce("now", "named")).select(COLUMNS)


def sliced(ledger: "pl.DataFrame", said: "pl.DataFrame", kept: Collection[str]) -> "pl.DataFrame":
    """The ledger with the slices of the images that judge or stop, as the batches say them now.

    Args:
        ledger: of this cycle.
        said: columns digest and SLICE, of the batches that were looked at.
        kept: hashes of the other batches that there are: what they said still holds.
    """
    import polars as pl

    judges = ~pl.col("removed") & (pl.col("split") != "train")
    of_judges = ledger.filter(judges)
    before = of_judges.select("digest", "slices").explode("slices").drop_nulls().unnest("slices")
    before = before.filter(pl.col("source").is_in([*kept]))
    now = said.select("digest", *SLICE).join(of_judges, on="digest", how="semi")
    if before.is_empty() and now.is_empty() and not of_judges["slices"].list.len().sum():
        return ledger
    every = pl.concat([before, now]).unique().sort("digest", *SLICE)
    by_image = every.group_by("digest", maintain_order=True).agg(pl.struct(SLICE).alias("now"))
    rows = ledger.join(by_image, on="digest", how="left", maintain_order="left")
    none = pl.lit([], ledger.schema["slices"])
    return rows.with_columns(slices=pl.when(judges).then(pl.coalesce("now", none)).otherwise("slices")).select(COLUMNS)


def slices(ledger: "pl.DataFrame") -> "pl.DataFrame":
    """Which slices images are in; columns digest, slice, value, a row each, sorted.

    An image that two batches say different values of is in both.
    """
    rows = ledger.select("digest", "slices").explode("slices").drop_nulls().unnest("slices")
    return (
        rows.select("digest", "value", slice="name")
        .select("digest", "slice", "value")
        .unique()
        .sort("digest", "slice", "value")
    )


def _dealt(
    ledger: "pl.DataFrame", new: "pl.DataFrame", wished: "pl.DataFrame", split_of: Callable[[str], Split]
) -> "pl.DataFrame":
    """The split of each group of the new images, columns group, split: the ledger's, else a wish, else a fresh one."""
    import polars as pl

    before = ledger.join(new, on="group", how="semi").select("group", "split").unique("group")
    asked = splits.strongest(new.select("digest", "group").join(wished, on="digest"), "group")
    asked = asked.join(before, on="group", how="anti")
    fresh = new.select("group").unique().join(pl.concat([before, asked]), on="group", how="anti")["group"]
    split = [split_of(group) for group in fresh]
    dealt = pl.DataFrame({"group": fresh, "split": split}, schema_overrides={"split": pl.String})
    return pl.concat([before, asked, dealt])


def remembering(ledger: "pl.DataFrame", elder: "pl.DataFrame") -> "pl.DataFrame":
    """A ledger with the rows that only an elder one has, as removed: an image that comes back keeps its split."""
    import polars as pl

    others = elder.join(ledger, on="digest", how="anti", maintain_order="left")
    return pl.concat([ledger, others.select(COLUMNS).with_columns(removed=pl.lit(value=True))])


def _updated(ledger: "pl.DataFrame", accepted: Delta, set_aside: "pl.DataFrame") -> "pl.DataFrame":
    """The rows of the ledger with labels, places and presence as they are now."""
    import polars as pl

    here = once(accepted.here)
    gone = pl.concat([accepted.removed.select("digest"), set_aside.select("digest")])
    changes = pl.concat(
        [
            gone.unique().select(
                "digest",
                pl.lit(None, pl.String).alias("new_label"),
                pl.lit(None, pl.String).alias("new_path"),
                pl.lit(value=True).alias("gone"),
            ),
            here.join(gone, on="digest", how="anti").select(
                "digest",
                pl.col("label").alias("new_label"),
                pl.col("path").alias("new_path"),
                pl.lit(value=False).alias("gone"),
            ),
        ]
    )
    return ledger.join(changes, on="digest", how="left", maintain_order="left").select(
        *(
            {
                "label": pl.coalesce("new_label", "label").alias("label"),
                "path": pl.coalesce("new_path", "path").alias("path"),
                "removed": pl.coalesce("gone", "removed").alias("removed"),
            }.get(name, pl.col(name))
            for name in COLUMNS
        )
    )
