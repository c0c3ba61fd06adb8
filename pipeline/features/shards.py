"""Shards: files of features, each of the images that were new in one cycle.

A shard never changes. It lies in DVC's cache and remote under the MD5 of its bytes, as an image does, and an index in
the registry says which image is in which row of which shard. All of it may be lost at any time: features that are
nowhere are computed anew.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.features import FeatureIndex
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.base.words import counted
from pipeline.data.store import Store

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

ROWS = 4096
"""Images of a shard, at most: one is fetched whole, for whichever of its images a cycle picked."""


@dataclass(frozen=True)
class Shards:
    """The shards that cycles before this one left."""

    store: Store
    index: FeatureIndex
    folder: Path
    """Where this cycle's shards are written, relative to the project; DVC tracks it."""

    def take(self, key: str, digests: "pl.Series") -> "Iterator[tuple[np.ndarray, np.ndarray]]":
        """The features that are kept, shard by shard.

        Args:
            key: what they depend on besides the image.
            digests: of the images.

        Returns:
            Pairs: rows of `digests`, int64 (images,); their features, float16 (images, ...).
        """
        import polars as pl

        wanted = pl.DataFrame({"digest": digests}).with_row_index("row")
        found = wanted.join(self.index.under([key]).rows, on="digest").sort("shard", "place")
        names = found["shard"].unique(maintain_order=True).to_list()
        lost = self._lost(names)
        for (shard,), rows in found.filter(~pl.col("shard").is_in(list(lost))).group_by("shard", maintain_order=True):
            features = self._read(str(shard))
            if features is not None and len(features) > int(rows["place"].to_numpy().max()):
                yield rows["row"].to_numpy(), features[rows["place"].to_numpy()]

    def write(self, key: str, digests: "pl.Series", features: "np.ndarray") -> FeatureIndex:
        """Write features as shards, into the folder and DVC's cache.

        Args:
            key: what they depend on besides the image.
            digests: of the images.
            features: float16 (images, ...).

        Returns:
            Where they are.
        """
        import numpy as np
        import polars as pl

        written = []
        for start in range(0, len(digests), ROWS):
            some = digests[start : start + ROWS]
            sink = io.BytesIO()
            np.save(sink, features[start : start + ROWS], allow_pickle=False)
            shard = files.md5(sink.getvalue())
            path = self.folder / f"{shard}.npy"
            files.write(path, sink.getvalue())
            self.store.keep(path, shard)
            places = pl.int_range(len(some), eager=True, dtype=pl.Int64)
            table = pl.DataFrame({"digest": some}).with_columns(key=pl.lit(key), shard=pl.lit(shard), place=places)
            written.append(FeatureIndex(table))
        return FeatureIndex.of(written)

    def _lost(self, names: list[str]) -> set[str]:
        """Shards that are not to be had; the others are brought here. Whatever the reason, it is no error."""
        try:
            return self.store.lost([(name, self._path(name)) for name in names], "prepare: features: fetch")
        except DataError:
            return {name for name in names if not self.store.has_whole(name)}

    def _read(self, name: str) -> "np.ndarray | None":
        """A shard, float16 (images, ...); None if it is not to be had."""
        import numpy as np

        try:
            return np.asarray(np.load(io.BytesIO(self.store.read(name, self._path(name))), allow_pickle=False))
        except (DataError, ValueError, EOFError):
            return None

    def _path(self, name: str) -> str:
        return f"{self.folder.as_posix()}/{name}.npy"


def push(store: Store, index: FeatureIndex) -> str:
    """Send shards to the DVC remote, where other machines look for them; what was done, in words.

    All that are here are sent, for an earlier cycle may have failed to. It is no error where that fails: what is not
    there is computed anew.
    """
    names = [name for name in index.rows["shard"].unique(maintain_order=True) if store.has(name)]
    if not names:
        return ""
    try:
        sent = store.push(names)
    except DataError as error:
        return f"warning: features stay on this machine, others compute them anew: {error}"
    return f"features are in the DVC remote ({counted(sent, 'new file')})" if sent else ""
