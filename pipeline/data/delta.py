"""The delta: what differs between the data now and the data that the parent was trained on. Pure."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.sources import Source
from pipeline.artifacts.table import Table

if TYPE_CHECKING:
    import polars as pl

NEW = ("added", "retried")
"""Kinds of images to be judged and learned."""

KINDS = ("added", "retried", "relabelled", "removed", "renamed", "elsewhere")
"""What a row of a delta says of an image:

added: its bytes were not there.
retried: an earlier cycle set it aside; it is judged anew each time.
relabelled: the same bytes under another label than before.
removed: its bytes are nowhere any more.
renamed: the same bytes and label at another place.
elsewhere: a relabelled image's place in a batch that did not change. That is no change, but it has to be known."""

COLUMNS = ("kind", "digest", "label", "path", "was")
"""`was` is the label or the path before, where there was another."""


class Delta(Table):
    """Changes, one row for each place of an image; columns COLUMNS, and what a stage adds to them.

    A delta without a change is falsy. What the properties give are rows of it: an image has a row for each of its
    copies, and `once` takes one of them.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = COLUMNS

    @property
    def added(self) -> "pl.DataFrame":
        """Images whose bytes were not there."""
        return self._of("added")

    @property
    def new(self) -> "pl.DataFrame":
        """Images to be judged: those added, and those that an earlier cycle set aside."""
        return self._of(*NEW)

    @property
    def removed(self) -> "pl.DataFrame":
        """Images that are nowhere any more."""
        return self._of("removed")

    @property
    def renamed(self) -> "pl.DataFrame":
        """Known images that have their label still, at another place."""
        return self._of("renamed")

    @property
    def relabelled(self) -> "pl.DataFrame":
        """Known images under another label, at each of their places in batches that changed."""
        return self._of("relabelled")

    @property
    def relabelled_everywhere(self) -> "pl.DataFrame":
        """Known images under another label, at all of their places."""
        return self._of("relabelled", "elsewhere")

    @property
    def moved(self) -> "pl.DataFrame":
        """Known images at another place, under their old label or another."""
        return self._of("renamed", "relabelled")

    @property
    def labelled(self) -> "pl.DataFrame":
        """Images that count under the label of their row from now on: new ones and relabelled ones."""
        return self._of(*NEW, "relabelled")

    @property
    def labelled_everywhere(self) -> "pl.DataFrame":
        """New images, and known ones under another label, at all of their places."""
        return self._of(*NEW, "relabelled", "elsewhere")

    @property
    def here(self) -> "pl.DataFrame":
        """All images that came or changed, at the place where each is now."""
        return self._of(*NEW, "relabelled", "renamed")

    @property
    def arrived(self) -> "pl.DataFrame":
        """Images that came since, and known ones that are under another label since."""
        return self._of("added", "relabelled")

    @property
    def num_changed(self) -> int:
        """Images that came, went or got another label; each counts once, and not those that were set aside before."""
        return self._of("added", "removed", "relabelled")["digest"].n_unique()

    @property
    def needs_unchanged(self) -> bool:
        """Whether a copy in a batch that did not change would matter: an image seems gone, or has another label."""
        return not self._of("removed", "relabelled").is_empty()

    def truly_relabelled(self, renamed_labels: Mapping[str, str]) -> "pl.DataFrame":
        """The relabelled images, without those whose label is only called otherwise now.

        Args:
            renamed_labels: `prepare.renamed_labels` of params.yaml: what was called so, and how it is called now.
        """
        import polars as pl

        return self.relabelled.filter(pl.col("was").replace(renamed_labels) != pl.col("label"))

    def without(self, set_aside: "pl.DataFrame") -> "Delta":
        """The delta without some images.

        Args:
            set_aside: columns digest and path.
        """
        return Delta(self.rows.join(set_aside, on=["digest", "path"], how="anti", maintain_order="left"))

    def changes(self, warnings: Iterable[str] = ()) -> Changes:
        """Counts for people: images of each kind, and of the added by label.

        Args:
            warnings: of the comparison that the delta is of.
        """

        def images(kind: str) -> int:
            return self._of(kind)["digest"].n_unique()

        by_label = self.added.group_by("label").len().sort("label")
        return Changes(
            added=len(self.added),  # copies count as often as they are there: they are files that someone added
            retried=images("retried"),
            relabelled=images("relabelled"),
            removed=images("removed"),
            renamed=images("renamed"),
            added_by_label=dict(by_label.iter_rows()),
            warnings=tuple(warnings),
        )

    def _of(self, *kinds: str) -> "pl.DataFrame":
        import polars as pl

        return self.rows.filter(pl.col("kind").is_in(kinds))


def once(rows: "pl.DataFrame") -> "pl.DataFrame":
    """One row for each digest, that with the least path; sorted by path.

    Copies of an image are one image, and all who count, show, learn or remember it have to mean the same copy. The
    path decides, for it is what people see, and it does not depend on the order of the rows: a delta is sorted by
    kind, a join by nothing at all.

    Args:
        rows: columns digest and path, and any others. Rows with the same digest and path say the same of an image,
            but for their kind; the least kind wins.
    """
    keys = [name for name in ("path", "kind") if name in rows.columns]
    return rows.sort(keys, maintain_order=True).unique("digest", keep="first", maintain_order=True)


def of_added(images: "pl.DataFrame") -> Delta:
    """The delta of images all of which are new.

    Args:
        images: columns digest, label, path.
    """
    import polars as pl

    empty = pl.lit("").alias("was")
    return Delta(images.select(pl.lit("added").alias("kind"), "digest", "label", "path", empty))


def changed(before: Iterable[Source], now: Iterable[Source]) -> tuple[list[Source], list[Source]]:
    """The batches to open: those of either side whose directory hash the other side has not.

    A batch that only moved keeps hash and name and stays unopened. Its name may be a label, so a batch that was
    renamed is opened.
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


def diff(before: "pl.DataFrame", now: "pl.DataFrame", kept: "pl.DataFrame | None" = None) -> Delta:
    """Compare two collections of images by digest and label.

    Args:
        before: images of the changed batches as the parent knew them; columns digest, label, path.
        now: images of the changed batches now; the same columns.
        kept: images of the batches that did not change, which may hold copies. It is asked for where the delta
            without it says `needs_unchanged`.

    Returns:
        A row for each change, sorted. All copies of an added image are there, so that validation sees them.
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
    return _sorted(pl.concat(parts))


def with_retried(delta: Delta, set_aside: "pl.DataFrame", unchanged: Iterable[Source]) -> Delta:
    """The delta with the images that an earlier cycle set aside and that are still there.

    Args:
        delta: of `diff`, whose `before` was without these images.
        set_aside: the parent's; columns digest, label, path.
        unchanged: the batches that `diff` did not see.
    """
    import polars as pl

    folders = {source.path for source in unchanged}
    inside = [any(part in folders for part in _above(path)) for path in set_aside["path"]]
    still = set_aside.filter(pl.Series(inside, dtype=pl.Boolean))
    again = still.select(pl.lit("retried").alias("kind"), "digest", "label", "path", pl.lit("").alias("was"))
    was_aside = pl.struct("digest", "path").is_in(set_aside.select(pl.struct("digest", "path")).to_series().implode())
    kind = pl.when((pl.col("kind") == "added") & was_aside).then(pl.lit("retried")).otherwise(pl.col("kind"))
    return _sorted(pl.concat([delta.rows.with_columns(kind.alias("kind")), again]))


def _above(path: str) -> list[str]:
    """A path and every folder above it."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _sorted(rows: "pl.DataFrame") -> Delta:
    return Delta(rows.unique().sort("kind", "path", "digest", "label"))
