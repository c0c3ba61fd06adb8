"""Recovery: whether data can be brought back: all that its batches list is to be had, and some of it is read."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.sources import Source
from pipeline.data.objects import Listings, Objects
from pipeline.data.store import NowhereError, Store

if TYPE_CHECKING:
    import polars as pl

SAMPLE = 100
"""Objects whose bytes are read, unless all are asked for."""

JOBS = 16
"""Requests at a time."""

ENOUGH = 24
"""Objects of a batch that are nowhere, after which the others are not looked for."""


@dataclass(frozen=True)
class Gap:
    """What is nowhere of a batch, or nowhere with the bytes that its hash says."""

    source: Source
    paths: tuple[str, ...]
    """At most ENOUGH of the files; the batch's own path stands for its listing."""

    def __str__(self) -> str:
        if self.paths == (self.source.path,) and self.source.digest.endswith(".dir"):
            return f"the listing of {self.source.path} ({self.source.digest})"
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"{self.paths[0]}{more} of {self.source.path}"


@dataclass(frozen=True, eq=False)
class Recovery:
    """Proves batches by what lies at some places."""

    store: Store
    listings: Listings
    places: Sequence[Objects]

    def files(self, source: Source) -> "pl.DataFrame | None":
        """What a batch holds, columns path and digest; None where its listing is nowhere.

        Raises:
            DataError: a place does not answer, or the listing is none.
        """
        import polars as pl

        if not source.digest.endswith(".dir"):
            return pl.DataFrame({"path": [source.path], "digest": [source.digest]})
        table = self.listings.files(source.digest)
        if table is not None:
            return table.with_columns(path=pl.lit(f"{source.path}/") + pl.col("path"))
        try:
            return self.store.listing(source)
        except NowhereError:
            return None

    def gaps(self, sources: Iterable[Source], there: set[str]) -> list[Gap]:
        """What is nowhere of these batches.

        Args:
            sources: the batches.
            there: hashes of all that the places have.
        """
        return [gap for source in sources if (gap := self._gap(source, there))]

    def damaged(self, sources: Sequence[Source], there: set[str], at_most: int | None) -> tuple[int, list[Gap]]:
        """What of these batches no place gives with the bytes that its hash says.

        Args:
            sources: the batches.
            there: hashes of all that the places have; only of that files are read.
            at_most: files that are read, evenly spaced by hash; None: all.

        Returns:
            How many were read, and what is damaged.
        """
        from tqdm import tqdm

        tables = [table for source in sources if (table := self.files(source)) is not None]
        every = sorted({digest for table in tables for digest in table["digest"]} & there)
        picked = every[:: max(1, len(every) // at_most)][:at_most] if at_most else every
        with ThreadPoolExecutor(JOBS) as pool:
            read = tqdm(pool.map(self._is_whole, picked), "gc: read", len(picked), unit="file", disable=None)
            damaged = {digest for digest, is_whole in zip(picked, read, strict=True) if not is_whole}
        return len(picked), self._named(sources, damaged)

    def _named(self, sources: Sequence[Source], digests: set[str]) -> list[Gap]:
        gaps = []
        for source in sources if digests else ():
            table = self.files(source)
            paths = [] if table is None else table.filter(table["digest"].is_in(list(digests)))["path"].to_list()
            gaps += [Gap(source, tuple(paths[:ENOUGH]))] if paths else []
        return gaps

    def _is_whole(self, digest: str) -> bool:
        return any(place.read(digest) is not None for place in self.places)

    def _gap(self, source: Source, there: set[str]) -> Gap | None:
        table = self.files(source)
        if table is None or (source.digest not in there and not self._is_elsewhere((source.path, source.digest))):
            return Gap(source, (source.path,))
        absent = [(path, digest) for path, digest in table.iter_rows() if digest not in there]
        lost: list[str] = []
        with ThreadPoolExecutor(JOBS) as pool:
            for start in range(0, len(absent), JOBS):
                some = absent[start : start + JOBS]
                found = pool.map(self._is_elsewhere, some)
                lost += [path for (path, _), is_found in zip(some, found, strict=True) if not is_found]
                if len(lost) >= ENOUGH:
                    break
        return Gap(source, tuple(lost[:ENOUGH])) if lost else None

    def _is_elsewhere(self, image: tuple[str, str]) -> bool:
        path, digest = image
        return self.store.is_elsewhere(digest, path)
