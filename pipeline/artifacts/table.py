"""What artifacts in Parquet files are: frozen values, each around one table."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from pipeline.base import files
from pipeline.base.errors import UnreadableError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False)
class Table:
    """A table with the columns of its Parquet file; more columns may stand beside them."""

    rows: "pl.DataFrame"

    COLUMNS: ClassVar[tuple[str, ...]] = ()
    """That none may be missing of."""

    def __bool__(self) -> bool:
        return not self.rows.is_empty()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that a stage wrote.

        Raises:
            DataError: it is not there, or is not of this type; says which column it lacks.
        """
        rows = files.read_table(path)
        missing = [name for name in cls.COLUMNS if name not in rows.columns]
        if missing:
            raise UnreadableError(
                path, f"of another version of Evergreen, or damaged: it lacks the column {missing[0]}"
            )
        return cls(rows)

    def write(self, path: Path) -> None:
        """Write it: the same table gives the same bytes."""
        files.write_table(path, self.rows)
