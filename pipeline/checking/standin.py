"""Stand-in for `Delta` and `once` of `pipeline.data.delta`: goes when those are merged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import files
from pipeline.data import delta as deltas

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Delta:
    """What differs between the data now and the data that the parent was trained on."""

    rows: "pl.DataFrame"
    """A row per change; columns kind, digest, label, path, was."""

    @classmethod
    def read(cls, path: Path) -> "Delta":
        """Read what detect wrote."""
        return cls(files.read_table(path))

    @property
    def new(self) -> "pl.DataFrame":
        """Images to be judged and learned."""
        import polars as pl

        return self.rows.filter(pl.col("kind").is_in(deltas.NEW))

    @property
    def removed(self) -> "pl.DataFrame":
        """Images whose bytes are nowhere any more."""
        import polars as pl

        return self.rows.filter(pl.col("kind") == "removed")

    def relabelled(self, renamed: Mapping[str, str]) -> "pl.DataFrame":
        """Images under another label, but for those whose label is only called otherwise now."""
        return deltas.relabelled(self.rows, renamed)


def once(rows: "pl.DataFrame") -> "pl.DataFrame":
    """One row per digest, the one with the least path; sorted by path."""
    return rows.sort("path").unique("digest", keep="first", maintain_order=True)
