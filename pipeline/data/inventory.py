"""The inventory: which images the batches hold, from DVC's listings alone; no image has to be here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.sources import Source
from pipeline.base import code, files
from pipeline.data import delta, labels, sources
from pipeline.data.comparison import Comparison, Comparisons
from pipeline.data.store import Store

if TYPE_CHECKING:
    import polars as pl

SetAside = tuple[str, str, str]
"""Digest, label and path of an image that a cycle set aside."""


@dataclass(frozen=True)
class Inventory:
    """Reads batches; the same folder and patterns for each."""

    store: Store
    images: Path
    """The folder of all batches."""
    ignore: tuple[str, ...]
    """Patterns of names that are not images, for the path below `images`."""
    scratch: Path | None = None
    """Where to keep what `between` compared, so that no stage compares again what an earlier one did; it may be deleted
    at any time."""

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
                warnings.append(f"{where} names {len(missing)} files that are not in the batch, e.g. {missing[0]!r}")
        return pl.concat(tables), warnings

    def _batch(self, source: Source) -> "tuple[pl.DataFrame, list[str]]":
        import polars as pl

        listing = self.store.listing(source).select("path", "digest")
        below = pl.col("path").str.slice(len(self.images.as_posix()))
        listing = listing.filter(~below.str.contains(sources.pattern(self.ignore)))
        place = f"{source.path}/{labels.CSV}"
        listed = listing.filter(pl.col("path") == place)
        if listed.is_empty():
            return labels.of_folders(listing, self.images.as_posix()), []
        content = self.store.read(listed["digest"].item(), place)
        return labels.of_csv(listing.filter(pl.col("path") != place), source.path, content)

    def since(self, lineage: Lineage | None, now: Sequence[Source]) -> Comparison:
        """What is different from the data that a version was made from; without a version all is new.

        Args:
            lineage: the version's, with its labels as they are called today.
            now: the state now.
        """
        return self.between(lineage.sources, now, lineage.quarantine) if lineage else self.between((), now, ())

    def between(self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[SetAside]) -> Comparison:
        """Compare two states of the data: a Merkle diff that opens only batches whose hash changed.

        With a `scratch` nothing is opened for what was compared before.

        Args:
            before, now: the states.
            quarantine: what the cycle on `before` set aside.
        """
        if self.scratch is None:
            return self._compared(before, now, quarantine)
        comparisons, key = Comparisons(self.scratch / "comparisons"), self._key(before, now, quarantine)
        comparison = comparisons.recall(key)
        if comparison is None:
            comparison = self._compared(before, now, quarantine)
            comparisons.keep(key, comparison)
        return comparison

    def _compared(self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[SetAside]) -> Comparison:
        import polars as pl

        old, new = delta.changed(before, now)
        unchanged = [source for source in now if source not in new]
        set_aside = pl.DataFrame(list(quarantine), schema=_nothing().schema, orient="row")
        past = self.read(old)[0].join(set_aside, on=["digest", "path"], how="anti")
        present, warnings = self.read(new)
        difference, opened = delta.diff(past, present), len(new)
        if unchanged and difference.needs_unchanged:
            difference, opened = delta.diff(past, present, self.read(unchanged)[0]), len(now)
        return Comparison(delta.with_retried(difference, set_aside, unchanged), opened, tuple(warnings))

    def _key(self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[SetAside]) -> str:
        """All that a comparison depends on, as one hash; the listings are named by their own hashes."""
        states = [[(source.path, source.digest) for source in state] for state in (before, now)]
        own = (self.images.as_posix(), self.ignore, code.digest("pipeline.data.inventory"))
        return files.sha256_json([states, [*quarantine], own])


def _nothing() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(schema={"digest": pl.String, "label": pl.String, "path": pl.String})
