"""The inventory: which images the batches hold, from DVC's listings alone; no image has to be here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data import delta, labels, sources
from pipeline.data.sources import Source
from pipeline.data.store import Store

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Inventory:
    """Reads batches; the same folder and patterns for each."""

    store: Store
    images: Path
    """The folder of all batches."""
    ignore: tuple[str, ...]
    """Patterns of names that are not images, for the path below `images`."""

    def read(self, batches: Iterable[Source]) -> "tuple[pl.DataFrame, list[str]]":
        """The images of these batches, columns digest, label, path; and warnings.

        The label of an image that its batch's labels.csv does not name is empty.

        Raises:
            DataError: a listing cannot be had, or something in it has no usable label.
        """
        import polars as pl

        tables, warnings = [_nothing()], []
        for source in batches:
            table, missing = self._batch(source)
            tables.append(table)
            if missing:
                where = f"{source.path}/{labels.CSV}"
                warnings.append(f"{where} names {len(missing)} files that the batch has not, e.g. {missing[0]!a}")
        return pl.concat(tables), warnings

    def _batch(self, source: Source) -> "tuple[pl.DataFrame, list[str]]":
        import polars as pl

        files = self.store.listing(source).select("path", "digest")
        if self.ignore:
            below = pl.col("path").str.slice(len(self.images.as_posix()))
            files = files.filter(~below.str.contains(sources.pattern(self.ignore)))
        place = f"{source.path}/{labels.CSV}"
        listed = files.filter(pl.col("path") == place)
        if listed.is_empty():
            return labels.of_folders(files, self.images.as_posix()), []
        content = self.store.read(listed["digest"].item(), place)
        return labels.of_csv(files.filter(pl.col("path") != place), source.path, content)

    def between(
        self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[Sequence[str]]
    ) -> "Comparison":
        """Compare two states of the data: a Merkle diff that opens only batches whose hash changed.

        Args:
            before, now: the states.
            quarantine: digest, label and path of each image that the cycle on `before` set aside.
        """
        import polars as pl

        old, new = delta.changed(before, now)
        unchanged = [source for source in now if source not in new]
        set_aside = pl.DataFrame(list(quarantine), schema=_nothing().schema, orient="row")
        past = self.read(old)[0].join(set_aside, on=["digest", "path"], how="anti")
        present, warnings = self.read(new)
        found, opened = delta.diff(past, present), len(new)
        if unchanged and delta.needs_unchanged(found):
            found, opened = delta.diff(past, present, self.read(unchanged)[0]), len(now)
        return Comparison(delta.retried(found, set_aside, unchanged), opened, tuple(warnings))


@dataclass(frozen=True)
class Comparison:
    """What `between` found."""

    delta: "pl.DataFrame"
    """See `delta.SCHEMA`."""
    opened: int
    """Batches of the state now whose listing was read."""
    warnings: tuple[str, ...]


def _nothing() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(schema={"digest": pl.String, "label": pl.String, "path": pl.String})
