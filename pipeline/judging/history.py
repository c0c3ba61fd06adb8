"""History: which holdout images each earlier champion got right, and what was forgotten or won since. Pure.

An image counts for a champion that knew it: one whose own cycle, or one before it, had the image. So what is forgotten
was learned.

1. Backward transfer of Lopez-Paz and Ranzato (NeurIPS 2017): the accuracy now, less that of the first champion which
   knew the images. Below 0 something was forgotten.
2. Forgetting of Chaudhry et al. (ECCV 2018): the best recall that a label ever had, less that of now, in the mean of
   the labels. Each champion is compared on the images that it was asked about.
3. Negative flips of Yan et al. (CVPR 2021): images that an earlier champion got right, and the challenger wrong.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from pipeline.judging import metrics
from pipeline.judging.paired import Counts
from pipeline.judging.predictions import CHALLENGER, CHAMPION, Predictions
from pipeline.judging.slicing import Pairs

if TYPE_CHECKING:
    import polars as pl

UNASKED = -1


@dataclass(frozen=True, eq=False)
class History:
    """The champions until now, and how they did on today's holdout images."""

    champions: tuple[int, ...]
    """Numbers of their versions, the first one first; the last is to beat now."""
    digests: tuple[str, ...]
    """Of the images."""
    is_right: np.ndarray
    """int8 (images, champions): 1 for right, 0 for wrong, UNASKED for an image that a champion did not know."""

    @classmethod
    def of(
        cls, before: "pl.DataFrame | None", predictions: Predictions, champion: int, called: Mapping[str, str]
    ) -> Self:
        """The history that the champion brought, and how the champion itself does now.

        Args:
            before: see `table`, as the cycle of the champion left it; None if it left none.
            predictions: of today, with a champion.
            champion: its number.
            called: what labels of the champion's cycle are called today.
        """
        asked = ~predictions.is_new & predictions.is_familiar(CHAMPION)
        is_right = predictions.answers[CHAMPION].predicted == predictions.labels
        columns = {champion: np.where(asked, is_right, UNASKED).astype(np.int8)}
        if before is not None:
            columns = _earlier(before, predictions, called) | columns
        return cls(tuple(columns), predictions.digests, np.stack(list(columns.values()), axis=1))

    @classmethod
    def from_table(cls, table: "pl.DataFrame") -> Self:
        """See `table`."""
        numbers = _numbers(table)
        columns = [_column(table, number) for number in numbers]
        empty = np.empty((len(table), 0), np.int8)
        return cls(numbers, tuple(table["digest"]), np.stack(columns, axis=1) if columns else empty)

    def table(self, predictions: Predictions) -> "pl.DataFrame":
        """A row for each image: columns digest, label, and vN for each champion, null where it did not know the image.

        Args:
            predictions: of these images.
        """
        import polars as pl

        return _today(predictions).with_columns(
            pl.Series(f"v{number}", [None if said == UNASKED else bool(said) for said in column.tolist()], pl.Boolean)
            for number, column in zip(self.champions, self.is_right.T, strict=True)
        )

    def at(self, digests: tuple[str, ...]) -> "History":
        """That of some of the images."""
        rows = {digest: row for row, digest in enumerate(self.digests)}
        return History(self.champions, digests, self.is_right[[rows[digest] for digest in digests]])

    @property
    def first(self) -> np.ndarray:
        """int8 (images,): the answer of the first champion that knew each image, UNASKED where none did."""
        asked = self.is_right != UNASKED
        first = self.is_right[np.arange(len(asked)), asked.argmax(axis=1)]
        return np.where(asked.any(axis=1), first, UNASKED)


def fault(table: "pl.DataFrame", digests: Sequence[str] | None = None) -> str:
    """What is wrong with a table that was kept, in words; empty if it is what `History.table` writes.

    Args:
        table: see `History.table`.
        digests: of the images that it has to have; None: any.
    """
    import polars as pl

    for column in ("digest", "label"):
        if column not in table.columns:
            return f"it lacks the column {column}"
        if table.schema[column] != pl.String or table[column].null_count():
            return f"its column {column} is not all text"
    for column in table.columns[2:]:
        if not re.fullmatch(r"v\d{1,9}", column) or table.schema[column] != pl.Boolean:
            return f"its column {column} is no version's"
    if table["digest"].is_duplicated().any():
        return "it has an image twice"
    if digests is not None and set(table["digest"]) != set(digests):
        return "its images are not those of the predictions"
    return ""


def _today(predictions: Predictions) -> "pl.DataFrame":
    """Columns digest and label."""
    import polars as pl

    labels = np.array(predictions.names, object)[predictions.labels].tolist()
    schema = {"digest": pl.String, "label": pl.String}
    return pl.DataFrame({"digest": predictions.digests, "label": labels}, schema=schema)


def _numbers(table: "pl.DataFrame") -> tuple[int, ...]:
    return tuple(int(name[1:]) for name in table.columns if name not in ("digest", "label"))


def _column(table: "pl.DataFrame", number: int) -> np.ndarray:
    import polars as pl

    return np.asarray(table[f"v{number}"].cast(pl.Int8).fill_null(UNASKED).to_numpy())


def _earlier(before: "pl.DataFrame", predictions: Predictions, called: Mapping[str, str]) -> dict[int, np.ndarray]:
    """By number, the answers of earlier champions to today's images; none to those that have another label now."""
    import polars as pl

    renamed = before.with_columns(pl.col("label").replace(dict(called)))
    joined = _today(predictions).join(renamed, on=["digest", "label"], how="left", maintain_order="left")
    return {number: _column(joined, number) for number in _numbers(before)}


def since_first(history: History, predictions: Predictions) -> Pairs:
    """What the first champion that knew them, in the champion's place, and the challenger say to some images.

    Args:
        history: of these images, which all have a first answer.
        predictions: of the same ones.
    """
    is_right = predictions.answers[CHALLENGER].predicted == predictions.labels
    first = history.first == 1
    return Pairs(first, is_right, first.astype(float), is_right.astype(float))


def backward_transfer(history: History, predictions: Predictions) -> float | None:
    """Of all images that a champion knew, -1 to 1; None if there are none."""
    first, is_right = history.first, predictions.answers[CHALLENGER].predicted == predictions.labels
    known = first != UNASKED
    return float(is_right[known].mean() - first[known].mean()) if known.any() else None


def forgetting(history: History, predictions: Predictions) -> float | None:
    """In the mean of the labels that a champion knew, -1 to 1: how far each is below its best; None without such."""
    is_right = predictions.answers[CHALLENGER].predicted == predictions.labels
    falls = []
    for label in np.unique(predictions.labels):
        of_label = predictions.labels == label
        asked = [(column != UNASKED) & of_label for column in history.is_right.T]
        of_champions = [
            float(column[rows].mean() - is_right[rows].mean())
            for column, rows in zip(history.is_right.T, asked, strict=True)
            if rows.any()
        ]
        falls += [max(of_champions)] if of_champions else []
    return float(np.mean(falls)) if falls else None


def flips(history: History, predictions: Predictions) -> dict[int, Counts]:
    """By number of a champion, how it and the challenger did on the images that the champion knew, if there are any."""
    ours, found = predictions.answers[CHALLENGER].predicted, {}
    for number, column in zip(history.champions, history.is_right.T, strict=True):
        rows = column != UNASKED
        if rows.any():
            labels = predictions.labels[rows]
            theirs = np.where(column[rows] == 1, labels, -1)
            found[number] = metrics.paired(labels, theirs, ours[rows])
    return found
