"""Matrices: which labels each model takes for which others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.artifacts.comparison import Confused, ModelComparison
from pipeline.judging.predictions import CHALLENGER, CHAMPION
from pipeline.showing import charts
from pipeline.showing.charts import INK, LINE, MARGIN, SIZE, SOFT, WIDTH
from pipeline.showing.fonts import length

MOST = 20
"""Labels."""

GREW = 3
"""Confusions that are named because they became more."""

OTHERS = "others"
"""The last column, where there is need: labels that are not drawn, or are gone."""

# All in pixels.
_NAMES = 160  # at most
_CELL = 46  # at most
_WIDE = 30  # a cell, at least, of two matrices side by side
_GAP = 26
_FINE = 9  # digits, at least


@dataclass(frozen=True)
class Matrix:
    """What one model says."""

    title: str
    counts: np.ndarray
    """int (labels, columns): true label, label that it gives."""


@dataclass(frozen=True)
class Matrices:
    """A picture of one or two."""

    rows: tuple[str, ...]
    """True labels, in the order of the model's outputs."""
    columns: tuple[str, ...]
    """The same; at last others, where there is need."""
    matrices: tuple[Matrix, ...]
    grew: tuple[Confused, ...]
    """Confusions that the challenger makes more often, the largest growth first; framed."""
    notes: tuple[str, ...]


def of(comparison: ModelComparison) -> Matrices:
    """What both models say to the holdout images; if there are many labels, to those that are confused most."""
    everyone, grown = [one.label for one in comparison.labels], _grown(comparison)
    rows = _picked(everyone, comparison.confused, grown)
    has_others = any(one.actual in rows and one.predicted not in rows for one in comparison.confused)
    columns = (*rows, OTHERS) if has_others else rows
    ours, theirs = (np.zeros((len(rows), len(columns)), np.int64) for _ in range(2))
    for one in comparison.confused:
        if one.actual in rows:
            place = rows.index(one.actual), rows.index(one.predicted) if one.predicted in rows else len(rows)
            ours[place] += one.challenger
            theirs[place] += one.champion
    champion = f"{CHAMPION} v{comparison.champion}" if comparison.champion else ""
    matrices = [*([Matrix(champion, theirs)] if champion else []), Matrix(CHALLENGER if champion else "", ours)]
    return Matrices(rows, columns, tuple(matrices), tuple(grown), _notes(rows, everyone, grown, champion))


def _grown(comparison: ModelComparison) -> list[Confused]:
    """What labels that the champion knows are taken for more often than before, the largest growth first."""
    known = {one.label for one in comparison.labels if one.champion is not None}
    grown = [one for one in comparison.confused if one.actual != one.predicted and one.challenger > one.champion]
    return sorted((one for one in grown if one.actual in known), key=lambda one: one.champion - one.challenger)[:GREW]


def _picked(labels: Sequence[str], confused: Sequence[Confused], grown: Sequence[Confused]) -> tuple[str, ...]:
    """Labels that are drawn, in their order; those of confusions that are named are among them."""
    if len(labels) <= MOST:
        return tuple(labels)
    errors = dict.fromkeys(labels, 0)
    for one in confused:
        if one.actual != one.predicted:
            for label in (one.actual, one.predicted):
                errors[label] = errors.get(label, 0) + one.champion + one.challenger
    named = {label for one in grown for label in (one.actual, one.predicted)}
    most = set(sorted(labels, key=lambda label: (label not in named, -errors[label]))[:MOST])
    return tuple(label for label in labels if label in most)


def _notes(rows: Sequence[str], everyone: Sequence[str], grown: Sequence[Confused], champion: str) -> tuple[str, ...]:
    notes = ["Numbers are images, shades are shares of a row; the diagonal is right."]
    if grown:
        named = (
            f"{charts.name(one.actual, _NAMES)} as {charts.name(one.predicted, _NAMES)} from "
            f"{one.champion:,} to {one.challenger:,}"
            for one in grown
        )
        notes.append(f"Framed, more often than before: {'; '.join(named)}.")
    elif champion:
        notes.append("No label that the champion knows is taken for another more often than before.")
    if len(rows) < len(everyone):
        notes.append(f"The {len(rows)} of {len(everyone):,} labels that are confused most.")
    return tuple(notes)


def figure(drawn: Matrices) -> Any:
    """The picture. Axes "matrix 0" and "matrix 1" have the cells and their counts; names are in axes "page"."""
    names = [charts.name(label, _NAMES) for label in drawn.columns]
    side = max([length(name, SIZE) for name in names], default=0) + 10
    number, columns = len(drawn.matrices), len(drawn.columns)
    start, room = MARGIN + LINE + side, WIDTH - 2 * MARGIN - LINE - side
    beside = (room - (number - 1) * _GAP) / (number * columns)
    is_beside = number > 1 and beside >= _WIDE
    cell = min(beside if is_beside else room / columns, _CELL)
    lines = charts.folded(*drawn.notes)
    width, tall = cell * columns, cell * len(drawn.rows)
    pitch = max(width, *(length(one.title, SIZE, bold=True) for one in drawn.matrices)) + _GAP
    has_titles = any(one.title for one in drawn.matrices)
    header = MARGIN + (2 if has_titles else 0.6) * LINE
    whole = LINE + tall + side + LINE
    bottom = header + (1 if is_beside else number) * whole
    made = charts.figure(bottom + LINE * len(lines) + MARGIN)
    page = charts.page(made)
    charts.write(page, MARGIN, ["Labels given to the holdout images"], fontweight="bold")
    charts.write(page, bottom + MARGIN / 2, lines, SOFT)
    for position, matrix in enumerate(drawn.matrices):
        left = start + (position * pitch if is_beside else 0)
        top = header + LINE + (0 if is_beside else position * whole)
        page.text(left, top - 0.6 * LINE, matrix.title, va="center_baseline", fontweight="bold")
        if position == 0 or not is_beside:
            page.text(
                MARGIN + LINE / 2, top + tall / 2, "true label", rotation=90, ha="center", va="center", color=SOFT
            )
            for row, name in enumerate(names[: len(drawn.rows)]):
                page.text(left - 8, top + (row + 0.5) * cell, name, ha="right", va="center_baseline")
        for column, name in enumerate(names):
            page.text(left + (column + 0.5) * cell, top + tall + 8, name, rotation=90, ha="center", va="top")
        page.text(
            left + width / 2,
            top + tall + side + 0.4 * LINE,
            "given label",
            ha="center",
            va="center_baseline",
            color=SOFT,
        )
        axes = charts.box(made, left, top, width, tall)
        axes.set_label(f"matrix {position}")
        _cells(axes, matrix.counts, cell)
        if position == number - 1:
            _frames(axes, drawn)
    return made


def _cells(axes: Any, counts: np.ndarray, cell: float) -> None:
    """Shades and counts; a row without images stays empty."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(_shades(shares), aspect="auto", interpolation="nearest")
    axes.set(xticks=np.arange(counts.shape[1] + 1) - 0.5, yticks=np.arange(counts.shape[0] + 1) - 0.5)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    axes.grid(color="white", linewidth=1)
    axes.spines[:].set_visible(False)
    texts = {place: _short(int(counts[place])) for place in zip(*np.nonzero(counts), strict=True)}
    widest = max([length(text, SIZE) for text in texts.values()], default=0)
    size = max(SIZE * min(1, (cell - 4) / max(widest, 1), (cell - 2) / SIZE), _FINE)
    for (row, column), text in texts.items():
        dark = shares[row, column] > (0.5 if row == column else 0.35)
        style = {"ha": "center", "va": "center_baseline", "fontsize": size * 72 / charts.DPI}
        axes.text(column, row, text, color="white" if dark else INK, **style)


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.2g}k" if count < 99_500 else f"{count / 1000:.0f}k"


def _shades(shares: np.ndarray) -> np.ndarray:
    """float (rows, columns, 3): bluish green on the diagonal, vermillion beside it; few errors are to be seen too."""
    right, wrong = (
        np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) for colour in (charts.ROSE, charts.FELL)
    )
    is_right = (np.arange(shares.shape[0])[:, None] == np.arange(shares.shape[1]))[..., None]
    strength = np.where(is_right, shares[..., None], np.sqrt(shares[..., None]))
    paper = np.array([0xF4, 0xF6, 0xF8])
    return np.asarray((paper + strength * (np.where(is_right, right, wrong) - paper)) / 255)


def _frames(axes: Any, drawn: Matrices) -> None:
    for one in drawn.grew:
        if one.actual in drawn.rows:
            row = drawn.rows.index(one.actual)
            column = drawn.rows.index(one.predicted) if one.predicted in drawn.rows else len(drawn.rows)
            across, down = np.array([-0.5, 0.5, 0.5, -0.5, -0.5]), np.array([-0.5, -0.5, 0.5, 0.5, -0.5])
            axes.plot(column + across, row + down, color=INK, linewidth=2, clip_on=False, gid="grew")
