"""Predictions: what the models say to the holdout images, from which every number of a verdict comes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pipeline.judging import metrics
from pipeline.judging.paired import Balanced, Compared, Counts, Hits
from pipeline.judging.settings import Metric

if TYPE_CHECKING:
    import polars as pl

CHALLENGER, CHAMPION, ANCHOR = "challenger", "champion", "anchor"

MARKS = ("is_new", "is_fresh")

SLICE = "slice "
"""How the columns of slices begin."""


@dataclass(frozen=True)
class Answers:
    """What one model says to some images."""

    predicted: np.ndarray
    """int64 (images,): number of the label that it gives."""
    probability: np.ndarray
    """float32 (images,): that it gives to this label, as it is served: with its temperature."""
    truth: np.ndarray
    """float32 (images,): that it gives to the true label; NaN where it has no output for that."""

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray, is_known: np.ndarray) -> Self:
        """The answers that logits are.

        Args:
            logits: float (images, labels of today), divided by the model's temperature.
            labels: int64 (images,), numbers of the true labels.
            is_known: bool (labels of today,): for which the model has an output. One that knows none is always wrong.
        """
        odds, rows = metrics.probabilities(logits), np.arange(len(labels))
        predicted = logits.argmax(axis=1) if is_known.any() else (labels + 1) % logits.shape[1]
        truth = np.where(is_known[labels], odds[rows, labels], np.nan)
        return cls(predicted, odds[rows, predicted].astype(np.float32), truth.astype(np.float32))

    @property
    def is_familiar(self) -> np.ndarray:
        """bool (images,): whose labels the model knows."""
        return np.asarray(~np.isnan(self.truth))


@dataclass(frozen=True)
class Predictions:
    """The holdout images of a cycle, and the answers of all models to them."""

    names: tuple[str, ...]
    """Labels of today, by number."""
    digests: tuple[str, ...]
    labels: np.ndarray
    """int64 (images,): numbers of the true labels."""
    is_new: np.ndarray
    """bool (images,): which are new to the champion; all without one."""
    is_fresh: np.ndarray
    """bool (images,): which are new to the anchor; all without one."""
    slices: "pl.DataFrame"
    """Columns digest, slice and value: which slices the images are in, see `Dataset.slices`."""
    answers: Mapping[str, Answers]
    """By CHALLENGER, CHAMPION and ANCHOR; only the first where there is no champion. The champion may be the anchor."""

    def of(self, rows: np.ndarray) -> "Predictions":
        """Those of some images only; rows as numpy has them."""
        answers = {
            name: Answers(*(getattr(said, field.name)[rows] for field in fields(Answers)))
            for name, said in self.answers.items()
        }
        return replace(
            self,
            digests=tuple(np.array(self.digests, object)[rows].tolist()),
            labels=self.labels[rows],
            is_new=self.is_new[rows],
            is_fresh=self.is_fresh[rows],
            answers=answers,
        )

    def counts(self, other: str, rows: "np.ndarray | slice" = slice(None)) -> Counts:
        """How the challenger and another did on some of the images.

        Args:
            other: CHAMPION or ANCHOR; counted as the champion.
            rows: which images.
        """
        theirs, ours = self.answers[other].predicted[rows], self.answers[CHALLENGER].predicted[rows]
        return metrics.paired(self.labels[rows], theirs, ours)

    def compared(self, other: str, metric: Metric, rows: "np.ndarray | slice" = slice(None)) -> Compared:
        """The same, counted as a metric counts them.

        Args:
            other, rows: see `counts`.
            metric: of section `evaluate` of params.yaml.
        """
        if metric == "accuracy":
            return self.counts(other, rows)
        chosen = np.zeros(len(self.labels), bool)
        chosen[rows] = True
        return Balanced(
            tuple(self.counts(other, chosen & (self.labels == label)) for label in np.unique(self.labels[rows]))
        )

    def is_familiar(self, other: str) -> np.ndarray:
        """bool (images,): whose labels another model knows."""
        return self.answers[other].is_familiar

    def score(self, metric: Metric) -> float:
        """Of the challenger, 0 to 1."""
        predicted = self.answers[CHALLENGER].predicted
        if metric == "accuracy":
            return float((predicted == self.labels).mean())
        return metrics.balanced_accuracy(self.labels, predicted)

    @property
    def hits_on_new(self) -> Hits:
        """How the challenger did on the new images."""
        right = (self.answers[CHALLENGER].predicted == self.labels)[self.is_new]
        return Hits(int(right.sum()), len(right))

    def table(self) -> "pl.DataFrame":
        """A row for each image.

        Columns digest, label, MARKS; for each model NAME, the label it gives, NAME_probability and NAME_truth; for each
        slice a column SLICE with the list of values that it has there.
        """
        import polars as pl

        named = np.array(self.names, object)
        columns: dict[str, Any] = {"digest": self.digests, "label": named[self.labels]}
        columns |= {mark: getattr(self, mark) for mark in MARKS}
        for who, said in self.answers.items():
            columns |= {who: named[said.predicted]}
            columns |= {f"{who}_{name}": getattr(said, name) for name in _MEASURES}
        table = pl.DataFrame(columns).with_columns(pl.col(pl.Float32).fill_nan(None))
        listed = self.slices.group_by("digest", "slice").agg(pl.col("value").sort())
        for (name,), rows in sorted(listed.group_by("slice")):
            values = rows.select("digest", pl.col("value").alias(f"{SLICE}{name}"))
            table = table.join(values, on="digest", how="left", maintain_order="left")
        return table

    @classmethod
    def from_table(cls, table: "pl.DataFrame", names: tuple[str, ...]) -> Self:
        """The predictions of such a table.

        Args:
            table: see `table`.
            names: labels of today, by number.
        """
        import polars as pl

        numbers = {name: number for number, name in enumerate(names)}

        def numbered(column: str) -> np.ndarray:
            return np.array([numbers[name] for name in table[column]], np.int64)

        answers = {
            who: Answers(numbered(who), *(table[f"{who}_{name}"].to_numpy() for name in _MEASURES))
            for who in (CHALLENGER, CHAMPION, ANCHOR)
            if who in table.columns
        }
        marks = {mark: table[mark].to_numpy() for mark in MARKS}
        said = [column for column in table.columns if column.startswith(SLICE)]
        slices = pl.concat(
            [pl.DataFrame(schema=dict.fromkeys(("digest", "slice", "value"), pl.String))]
            + [
                table.select("digest", pl.lit(column.removeprefix(SLICE)).alias("slice"), pl.col(column).alias("value"))
                .explode("value")
                .drop_nulls()
                for column in said
            ]
        )
        return cls(names, tuple(table["digest"]), numbered("label"), slices=slices, answers=answers, **marks)


_MEASURES = tuple(field.name for field in fields(Answers))[1:]
