"""What the pictures and tables of a report say in words and numbers, for those who do not see them. Pure."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.artifacts.comparison import Confused, Finding, ModelComparison
from pipeline.base.words import counted
from pipeline.showing.reported import CyclePart, DataPart
from pipeline.showing.standouts import percent

if TYPE_CHECKING:
    import polars as pl

NAMED = 8
"""Labels, slices or mistakes that a description names."""


@dataclass(frozen=True)
class Drawing:
    """A picture of the report."""

    content: bytes
    """A PNG file."""
    said: str
    """What it shows, in words and numbers."""


@dataclass(frozen=True)
class LabelRow:
    """A label in the table of labels; what is not known is None."""

    label: str
    new: int | None
    total: int | None
    images: int | None = None
    """That judge."""
    champion: float | None = None
    """Accuracy, 0 to 1."""
    challenger: float | None = None
    change: float | None = None
    finding: Finding | None = None


@dataclass(frozen=True)
class AgreementRow:
    """How often the models give new images the label that these have."""

    label: str
    images: int
    champion: int | None
    """Images; None where it did not answer."""
    challenger: int | None
    unlearned: int
    """Images that the challenger did not learn: those of val and holdout."""
    challenger_unlearned: int
    """Of these, it gives so many their label."""


def drawings(cycle: CyclePart | None) -> dict[str, Drawing]:
    """The pictures that there are, by name."""
    if cycle is None:
        return {}
    return {
        name: Drawing(cycle.pictures[name], " ".join((f"{title}.", *say(cycle))))
        for name, (title, say) in _SAYING.items()
        if cycle.pictures.get(name)
    }


def source(content: bytes, kind: str) -> str:
    """A picture as the address of itself."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def label_rows(data: DataPart, cycle: CyclePart | None) -> list[LabelRow]:
    """Every label: how many images of it came and are there, and how well each model knows it."""
    counts = {one.label: one for one in data.report.labels} if data.report else {}
    comparison = cycle.comparison if cycle else None
    rows = []
    for one in comparison.labels if comparison else ():
        count = counts.pop(one.label, None)
        rows.append(
            LabelRow(
                label=one.label,
                new=count.new if count else None,
                total=count.total if count else None,
                images=one.images,
                champion=one.champion / one.images if one.images and one.champion is not None else None,
                challenger=one.challenger / one.images if one.images else None,
                change=one.change,
                finding=one.finding,
            )
        )
    return [*rows, *(LabelRow(one.label, one.new, one.total) for one in counts.values())]


def agreement_rows(new: "pl.DataFrame | None") -> list[AgreementRow]:
    """What the models say to the new images, by label; none where nobody asked them."""
    import polars as pl

    if new is None or not {"split", "champion", "challenger"} <= {*new.columns} or new.is_empty():
        return []
    is_unlearned = pl.col("split") != "train"
    agrees = {who: pl.col(who) == pl.col("label") for who in ("champion", "challenger")}
    table = new.group_by("label").agg(
        pl.len().alias("images"),
        *(
            pl.when(pl.col(who).is_not_null().any()).then(agrees[who].sum()).alias(who)
            for who in ("champion", "challenger")
        ),
        is_unlearned.sum().alias("unlearned"),
        (is_unlearned & agrees["challenger"]).sum().alias("challenger_unlearned"),
    )
    return [AgreementRow(**row) for row in table.sort("label").iter_rows(named=True)]


def mistakes(comparison: ModelComparison | None) -> list[Confused]:
    """What is taken for what, the challenger's most frequent mistake first."""
    wrong = [one for one in comparison.confused if one.actual != one.predicted] if comparison else []
    return sorted(wrong, key=lambda one: (-one.challenger, -one.champion, one.actual, one.predicted))


def _labels(cycle: CyclePart) -> Iterator[str]:
    if cycle.comparison is None:
        return
    rows = [row for row in label_rows(DataPart(report=None), cycle) if row.challenger is not None]
    rows.sort(key=lambda row: (row.change or 0, row.label))
    told = []
    for row in rows[:NAMED]:
        before = f"{percent(row.champion)} to " if row.champion is not None else ""
        told.append(f"{row.label} {before}{percent(row.challenger or 0)} of {counted(row.images or 0, 'image')}")
    yield f"{'; '.join(told)}{_more(len(rows))}."


def _slices(cycle: CyclePart) -> Iterator[str]:
    slices = cycle.comparison.slices if cycle.comparison else ()
    if not slices:
        return
    told = [f"{one.slice} {one.value} {100 * one.change:+.1f} points" for one in slices[:NAMED]]
    yield f"{'; '.join(told)}{_more(len(slices))}."


def _confusion(cycle: CyclePart) -> Iterator[str]:
    found = mistakes(cycle.comparison)
    told = [f"{one.actual} taken for {one.predicted} {one.challenger} times ({one.champion})" for one in found[:NAMED]]
    if told:
        yield f"The challenger's most frequent mistakes, and the champion's in brackets: {'; '.join(told)}."


def _curves(cycle: CyclePart) -> Iterator[str]:
    training = cycle.training
    if training is None or not training.history:
        return
    losses = [row.get("val_loss") for row in (training.history[0], training.best)]
    first, best = ("not known" if loss is None else f"{loss:.3f}" for loss in losses)
    kept = "chosen" if training.is_chosen else "best"
    yield (
        f"Validation loss from {first} to {best} at the {kept} epoch {training.best_epoch} of {training.epochs}; "
        f"{training.ended}."
    )


def _reliability(cycle: CyclePart) -> Iterator[str]:
    scores = cycle.evaluation
    if scores is None or scores.challenger.calibration_error is None:
        return
    before = scores.champion.calibration_error
    beside = "" if before is None else f", the champion's {percent(before)}"
    yield f"Expected calibration error {percent(scores.challenger.calibration_error)}{beside}."


def _history(cycle: CyclePart) -> Iterator[str]:
    told = [f"v{one.version} {percent(one.accuracy)}" for one in cycle.past if one.accuracy is not None]
    if told:
        more = f"{len(told) - NAMED} earlier ones; " if len(told) > NAMED else ""
        yield f"{more}{'; '.join(told[-NAMED:])}."


def _nothing(_: CyclePart) -> Iterator[str]:
    yield from ()


def _more(number: int) -> str:
    return f"; and {number - NAMED} more" if number > NAMED else ""


_SAYING: dict[str, tuple[str, Callable[[CyclePart], Iterator[str]]]] = {
    "labels": ("Accuracy by label, champion to challenger", _labels),
    "slices": ("Change of accuracy by slice", _slices),
    "reliability": ("How often each model is right, by how sure it is", _reliability),
    "confusion": ("Which label each model gives to the images of which label", _confusion),
    "curves": ("Loss and accuracy by epoch", _curves),
    "history": ("Accuracy, flips and cost over all versions", _history),
    # Of versions that kept no thumbnails.
    "contact": ("Sheet of the new images", _nothing),
    "suspicious": ("Sheet of the images with a suspicious label", _nothing),
    "unusual": ("Sheet of the unusual images", _nothing),
}

PICTURES = tuple(_SAYING)
"""Names of the pictures that a report has room for."""
