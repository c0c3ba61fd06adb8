"""Tables of predictions as they are kept: whether one is what `Predictions.table` writes. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.judging.predictions import ANCHOR, CHALLENGER, CHAMPION, MARKS, SLICE

if TYPE_CHECKING:
    import polars as pl


def fault(table: "pl.DataFrame", names: Sequence[str], *, has_champion: bool) -> str:
    """What is wrong with a table, in words; empty if nothing is. More columns may stand beside those that are needed.

    Args:
        table: see `Predictions.table`.
        names: of the labels.
        has_champion: whether champion and anchor have to be in it.
    """
    import polars as pl

    models = (CHALLENGER, CHAMPION, ANCHOR) if has_champion else (CHALLENGER,)
    kinds: dict[str, type[pl.DataType]] = {"digest": pl.String, **dict.fromkeys(("label", *models), pl.String)}
    kinds |= dict.fromkeys(MARKS, pl.Boolean)
    kinds |= {f"{model}_{measure}": pl.Float32 for model in models for measure in ("probability", "truth")}
    for column, kind in kinds.items():
        if column not in table.columns:
            return f"it lacks the column {column}"
        if table.schema[column] != kind:
            return f"its column {column} is {table.schema[column]}; expected {kind}"
    for column in table.columns:
        if column.startswith(SLICE) and table.schema[column] != pl.List(pl.String):
            return f"its column {column} is {table.schema[column]}; expected lists of texts"
    if table.is_empty():
        return "it has no image"
    for column in kinds:
        if not column.endswith("_truth") and table[column].null_count():
            return f"its column {column} has gaps"
    for column in ("label", *models):
        if unknown := sorted(set(table[column]) - set(names)):
            return f"its column {column} has {unknown[0]!r}, which is no label of the version"
    return ""
