"""The inventory: which images the batches hold, from DVC's listings alone; no image has to be here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.sources import Source
from pipeline.base import code, files
from pipeline.base.words import readable
from pipeline.data import delta, labels, recollection, sources
from pipeline.data.comparison import Comparison, Comparisons
from pipeline.data.store import NowhereError, Store

if TYPE_CHECKING:
    import polars as pl

SetAside = tuple[str, str, str]
"""Digest, label and path of an image that a cycle set aside."""

REMEMBERED = ("digest", "label", "path", "removed")
"""Columns of a ledger that stands in for listings."""

Recall = Callable[[], "pl.DataFrame"]
"""Gives the ledger that a cycle left, or its columns REMEMBERED."""


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

    def since(self, lineage: Lineage | None, now: Sequence[Source], recall: Recall | None = None) -> Comparison:
        """What is different from the data that a version was made from; without a version all is new.

        Args:
            lineage: the version's, with its labels as they are called today.
            now: the state now.
            recall: gives the version's ledger, which stands in for listings of its data that are nowhere any more.
        """
        return self.between(lineage.sources, now, lineage.quarantine, recall) if lineage else self.between((), now, ())

    def between(
        self,
        before: Sequence[Source],
        now: Sequence[Source],
        quarantine: Sequence[SetAside],
        recall: Recall | None = None,
    ) -> Comparison:
        """Compare two states of the data: a Merkle diff that opens only batches whose hash changed.

        With a `scratch` nothing is opened for what was compared before. What a ledger had to tell is not kept: a
        listing that comes back tells more.

        Args:
            before, now: the states.
            quarantine: what the cycle on `before` set aside.
            recall: gives the ledger that this cycle left.

        Raises:
            DataError: a listing cannot be had: of the state now, or of the one before where nothing stands in for it.
        """
        if self.scratch is None:
            return self._compared(before, now, quarantine, recall)
        comparisons, key = Comparisons(self.scratch / "comparisons"), self._key(before, now, quarantine)
        comparison = comparisons.recall(key)
        if comparison is None:
            try:
                comparison = self._compared(before, now, quarantine, None)
            except NowhereError:
                if recall is None:
                    raise
                return self._compared(before, now, quarantine, recall)
            comparisons.keep(key, comparison)
        return comparison

    def _compared(
        self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[SetAside], recall: Recall | None
    ) -> Comparison:
        import polars as pl

        old, new = delta.changed(before, now)
        unchanged = [source for source in now if source not in new]
        set_aside = pl.DataFrame(list(quarantine), schema=_nothing().schema, orient="row")
        present, warnings = self.read(new)
        past, lost = self._past(old, recall)
        opened = len(new)
        if lost and recall:
            listed, opened = pl.concat([past, self.read(unchanged)[0]]), len(now)
            past = pl.concat([past, recollection.images(recall(), listed, present)])
            warnings.append(_recalled(lost))
        past = past.join(set_aside, on=["digest", "path"], how="anti")
        difference = delta.diff(past, present)
        if unchanged and difference.needs_unchanged:
            difference, opened = delta.diff(past, present, self.read(unchanged)[0]), len(now)
        return Comparison(delta.with_retried(difference, set_aside, unchanged), opened, tuple(warnings))

    def _past(self, batches: Iterable[Source], recall: Recall | None) -> "tuple[pl.DataFrame, list[Source]]":
        """The images of batches of an earlier state, and the batches whose listing, or labels.csv, is nowhere."""
        import polars as pl

        tables, lost = [_nothing()], []
        for source in batches:
            try:
                tables.append(self._batch(source)[0])
            except NowhereError:
                if recall is None:
                    raise
                lost.append(source)
        return pl.concat(tables), lost

    def _key(self, before: Sequence[Source], now: Sequence[Source], quarantine: Sequence[SetAside]) -> str:
        """All that a comparison depends on, as one hash; the listings are named by their own hashes."""
        states = [[(source.path, source.digest) for source in state] for state in (before, now)]
        own = (self.images.as_posix(), self.ignore, code.digest("pipeline.data.inventory"))
        return files.sha256_json([states, [*quarantine], own])


def _recalled(lost: Sequence[Source]) -> str:
    what = ", ".join(readable(source.path) for source in lost)
    return (
        f"what {what} held at the last version is listed nowhere any more (was it deleted by `dvc gc`?), so the ledger "
        "tells what is new; it does not know where copies lay: one of a known image counts as known"
    )


def _nothing() -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(schema={"digest": pl.String, "label": pl.String, "path": pl.String})
