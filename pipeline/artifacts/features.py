"""`index.parquet` of features: which shard holds the features of an image (`features.shards`)."""

from collections.abc import Sequence
from typing import ClassVar, Self

from pipeline.artifacts.table import Table


class FeatureIndex(Table):
    """Where features are kept, one row per image and key."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("digest", "key", "shard", "place")
    """digest: of the image. key: what its features depend on besides (`features.extraction.key`). shard: MD5 of the
    file that holds them. place: their row there, int64."""

    @classmethod
    def of(cls, parts: "Sequence[Self]") -> Self:
        """Several as one; of an image that several have, the first counts."""
        import polars as pl

        nothing = pl.DataFrame(schema={**dict.fromkeys(cls.COLUMNS, pl.String), "place": pl.Int64})
        rows = pl.concat([nothing, *(part.rows.select(cls.COLUMNS) for part in parts)])
        return cls(rows.unique(["digest", "key"], keep="first", maintain_order=True))

    def under(self, keys: Sequence[str]) -> Self:
        """The rows of some keys."""
        import polars as pl

        return type(self)(self.rows.filter(pl.col("key").is_in(list(keys))))
