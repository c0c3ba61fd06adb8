"""Dumbbells: each label or slice as a line from the champion's share of right images to the challenger's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.artifacts.comparison import LabelScore, ModelComparison, SliceScore
from pipeline.base.words import counted
from pipeline.judging.predictions import CHALLENGER, CHAMPION
from pipeline.showing import charts
from pipeline.showing.charts import FAINT, INK, LINE, MARGIN, SIZE, SOFT, WIDTH
from pipeline.showing.fonts import length

MOST = 24
"""Dumbbells."""

MOST_NEW = 6
"""Of these for new labels, where there are more rows than can be drawn."""

_ROW = 30  # pixels
_AXES, _NAMES = 180, 130  # at least
_SCALES = ((0.9, 0.95, 1.0), (0.8, 0.9, 1.0), (0.5, 0.75, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0))
"""Ticks, where the least share is above the first one."""

Tone = Literal["fell", "rose", "same", "new", "unsure"]

COLOURS: dict[Tone, str] = {
    "fell": charts.FELL,
    "rose": charts.ROSE,
    "same": SOFT,
    "new": charts.NEW,
    "unsure": "#727d87",
}


@dataclass(frozen=True)
class Dumbbell:
    """One row."""

    name: str
    """From outside."""
    champion: float | None
    """Share that is right, 0 to 1; None: there is nothing to compare."""
    challenger: float | None
    """None without images."""
    change: str
    """In points, or why there is no change."""
    counts: str
    tone: Tone
    is_sure: bool = False
    """Surely worse."""


@dataclass(frozen=True)
class Dumbbells:
    """A picture of dumbbells."""

    title: str
    champion: str
    """What it is called; empty without one."""
    dumbbells: tuple[Dumbbell, ...]
    notes: tuple[str, ...]
    """Below."""


def of_labels(comparison: ModelComparison) -> Dumbbells:
    """How many images of each label are right: worst fall first, then new labels, then those without images.

    Without a champion the worst label comes first. If there are too many, the most changed ones are drawn.
    """
    shown, rest = _picked(comparison.labels)
    dumbbells = tuple(_of_label(one, comparison.champion is not None) for one in shown)
    notes = _notes(dumbbells, "label")
    if rest:
        which = "these changed most" if comparison.champion else "these are the worst"
        notes += (f"{counted(rest, 'more label')} {'is' if rest == 1 else 'are'} not drawn: {which}.",)
    return Dumbbells("Right, of the holdout images of each label", _champion(comparison), dumbbells, notes)


def of_slices(comparison: ModelComparison) -> Dumbbells:
    """The same for slices: surely worse ones first, then by the fall, at last those of which nothing can be told."""
    ordered = sorted(comparison.slices, key=lambda one: (one.is_too_small, not one.is_worse, one.change))
    dumbbells = tuple(_of_slice(one) for one in ordered[:MOST])
    notes = _notes(dumbbells, "slice")
    if rest := len(ordered) - len(dumbbells):
        notes += (f"{counted(rest, 'more slice')} {'is' if rest == 1 else 'are'} not drawn: these fell most.",)
    return Dumbbells("Right, of the holdout images of each slice", _champion(comparison), dumbbells, notes)


def _picked(labels: Sequence[LabelScore]) -> tuple[list[LabelScore], int]:
    """Those that are drawn in the order in which they are, and how many are not."""
    compared = [one for one in labels if one.change is not None]
    others = [one for one in labels if one.change is None and one.images]
    empty = [one for one in labels if not one.images]
    compared.sort(key=lambda one: (-abs(one.change or 0), one.change or 0))
    others.sort(key=lambda one: one.challenger / one.images)
    room = max(MOST - len(compared), MOST_NEW)
    compared = compared[: MOST - min(len(others), room)]
    others = others[: MOST - len(compared)]
    compared.sort(key=lambda one: one.change or 0)
    shown = [*compared, *others, *empty][:MOST]
    return shown, len(labels) - len(shown)


def _of_label(score: LabelScore, is_compared: bool) -> Dumbbell:
    if not score.images:
        return Dumbbell(score.label, None, None, "", "no holdout image", "unsure")
    if score.champion is None:
        share, right = score.challenger / score.images, f"{score.challenger:,} of {score.images:,}"
        if is_compared:
            return Dumbbell(score.label, None, share, "new", f"- → {right}", "new")
        return Dumbbell(score.label, None, share, "", right, "same")
    is_unsure, is_sure = score.finding == "too few", score.finding == "surely fell"
    return _compared(score.label, score.champion, score.challenger, score.images, is_unsure, is_sure)


def _of_slice(score: SliceScore) -> Dumbbell:
    name = f"{score.slice}: {score.value}"
    return _compared(name, score.champion, score.challenger, score.images, score.is_too_small, score.is_worse)


def _compared(name: str, before: int, now: int, images: int, is_unsure: bool, is_sure: bool) -> Dumbbell:
    change = (now - before) / images
    tone: Tone = "unsure" if is_unsure else "fell" if change < 0 else "rose" if change > 0 else "same"
    counts = f"{before:,} → {now:,} of {images:,}"
    return Dumbbell(name, before / images, now / images, charts.points(change), counts, tone, is_sure)


def _champion(comparison: ModelComparison) -> str:
    return f"{CHAMPION} v{comparison.champion}" if comparison.champion else ""


def _notes(dumbbells: Sequence[Dumbbell], noun: str) -> tuple[str, ...]:
    """What signs and colours mean, where they are there."""
    sure = "▼ surely fell: by more than it may, beyond chance." if any(one.is_sure for one in dumbbells) else ""
    is_unsure = any(one.tone == "unsure" and one.challenger is not None for one in dumbbells)
    unsure = f"Grey, dotted: too few images, nothing is sure of such a {noun}." if is_unsure else ""
    return tuple(note for note in (sure, unsure) if note)


def figure(rows: Dumbbells) -> Any:
    """The picture. Axes "dumbbells" have the marks, x is the share, y the row; all text is in axes "page"."""
    lines, top = charts.folded(*rows.notes), MARGIN + 2 * LINE + 8
    bottom = top + _ROW * len(rows.dumbbells)
    made = charts.figure(bottom + 34 + LINE * len(lines) + MARGIN / 2)
    page = charts.page(made)
    charts.write(page, MARGIN, [rows.title], fontweight="bold")
    charts.legend(page, MARGIN + LINE, _legend(rows.champion))
    charts.write(page, bottom + 32, lines, SOFT)
    changes = max([length(_signed(one), SIZE, bold=True) for one in rows.dumbbells], default=0)
    counts = max([length(one.counts, SIZE, bold=one.is_sure) for one in rows.dumbbells], default=0)
    right = WIDTH - MARGIN - counts - 14 - changes - 22
    names = [charts.name(one.name, max(right - _AXES - 16 - MARGIN, _NAMES), one.is_sure) for one in rows.dumbbells]
    sizes = (length(name, SIZE, one.is_sure) for name, one in zip(names, rows.dumbbells, strict=True))
    left = MARGIN + max([*sizes, 0]) + 16
    for number, (one, name) in enumerate(zip(rows.dumbbells, names, strict=True)):
        y, weight = top + (number + 0.5) * _ROW, "bold" if one.is_sure else "normal"
        page.text(left - 16, y, name, ha="right", va="center_baseline", fontweight=weight)
        style = {"color": COLOURS[one.tone], "va": "center_baseline", "fontweight": weight}
        page.text(right + 22 + changes, y, _signed(one), ha="right", **style)
        page.text(right + 36 + changes, y, one.counts, ha="left", **style)
    _marks(charts.box(made, left, top, right - left, bottom - top), rows.dumbbells, right - left < _AXES)
    return made


def _signed(one: Dumbbell) -> str:
    return f"▼ {one.change}" if one.is_sure else one.change


def _legend(champion: str) -> list[tuple[str, dict[str, Any]]]:
    filled = (CHALLENGER if champion else "this model", {"marker": "o", "color": INK})
    hollow = (champion, {"marker": "o", "color": INK, "markerfacecolor": "white"})
    return [hollow, filled] if champion else [filled]


def _marks(axes: Any, dumbbells: Sequence[Dumbbell], is_narrow: bool) -> None:
    shares = [share for one in dumbbells for share in (one.champion, one.challenger) if share is not None]
    scale = next(one for one in _SCALES if one[0] < min([*shares, 1.0]) or not one[0])
    room = (1 - scale[0]) * 0.025
    axes.set_label("dumbbells")
    axes.set(xlim=(scale[0] - room, 1 + room), ylim=(len(dumbbells) - 0.5, -0.5), yticks=[])
    ticks = (scale[0], scale[-1]) if is_narrow else scale
    axes.set_xticks(ticks, [f"{100 * tick:g}{' %' if tick == 1 else ''}" for tick in ticks], color=SOFT)
    axes.tick_params(length=0, pad=6)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["left", "right", "top"]].set_visible(False)
    for row, one in enumerate(dumbbells):
        colour, dots = COLOURS[one.tone], ":" if one.tone == "unsure" else "-"
        if one.champion is not None:
            ends = [one.champion, one.challenger]
            axes.plot(ends, [row, row], color=colour, linewidth=3, linestyle=dots, zorder=2, gid="change")
            axes.plot(one.champion, row, "o", markersize=8, markeredgecolor=colour, markerfacecolor="white", gid="was")
        if one.challenger is not None:
            axes.plot(one.challenger, row, "o", markersize=8, color=colour, gid="is")
