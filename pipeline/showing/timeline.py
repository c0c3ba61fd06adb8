"""The timeline: accuracy, flips and cost of a project's versions until now."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.artifacts.past import PastCycle
from pipeline.base.words import duration, percent
from pipeline.showing import charts
from pipeline.showing.charts import FAINT, INK, LINE, MARGIN, SIZE, SOFT, WIDTH
from pipeline.showing.fonts import length

FEW = 10
"""Versions whose seconds are written above their bars; if there are more, only those of the current one are."""

PROMOTED = ("champion", "was champion", "rolled back")
"""Standings of versions that were champion once."""

_TOP, _HEIGHT, _LOW = 62, 190, 96  # pixels: of the upper panel, and of the two lower ones
_LEFT, _BETWEEN = 78, 46


@dataclass(frozen=True)
class Milestone:
    """One version, as it is drawn."""

    past: PastCycle
    is_promoted: bool
    is_current: bool

    @property
    def seconds(self) -> str:
        """How long its training took, in words; empty where nobody knows."""
        return "" if self.past.seconds is None else duration(self.past.seconds)


def of(cycles: Sequence[PastCycle], current: int) -> tuple[Milestone, ...]:
    """Versions in their order."""
    ordered = sorted(cycles, key=lambda one: one.version)
    return tuple(Milestone(one, _is_promoted(one), one.version == current) for one in ordered)


def _is_promoted(past: PastCycle) -> bool:
    return past.standing in PROMOTED or (not past.standing and past.verdict == "promote")


def figure(cycles: Sequence[Milestone]) -> Any:
    """The picture. Axes "accuracy", "lost" and "passes" have the marks; x is the number of a cycle, from 0."""
    bottom = _TOP + _HEIGHT + 2 * (_BETWEEN + _LOW)
    pairs = ["The two of a pair have the same images; other pairs may have others."]
    notes = charts.folded(*(pairs if any(one.past.champion is not None for one in cycles) else []))
    made = charts.figure(bottom + 34 + LINE * len(notes) + MARGIN / 2)
    page = charts.page(made)
    charts.write(page, MARGIN, ["Right, of the holdout images"], fontweight="bold")
    charts.legend(page, MARGIN + LINE, _legend(cycles))
    charts.write(page, bottom + 32, notes, SOFT)
    width, tops = WIDTH - _LEFT - 28, (_TOP, _TOP + _HEIGHT + _BETWEEN, _TOP + _HEIGHT + _LOW + 2 * _BETWEEN)
    heights = (_HEIGHT, _LOW, _LOW)
    titles = ("", "Right before, wrong now", "Cost: images that went through training")
    for name, title, top, height in zip(("accuracy", "lost", "passes"), titles, tops, heights, strict=True):
        page.text(MARGIN, top - 18, title, va="center_baseline", fontweight="bold")
        axes = charts.box(made, _LEFT, top, width, height)
        axes.set_label(name)
        _frame(axes, cycles)
        {"accuracy": _accuracy, "lost": _lost, "passes": _passes}[name](axes, cycles)
        axes.tick_params(labelbottom=name == "passes")
    _versions(made.axes[-1], cycles, width)
    return made


_WAS: dict[str, Any] = {"marker": "o", "color": INK, "markerfacecolor": "white"}
_IS: dict[str, Any] = {"marker": "o", "color": charts.NEW}
_NOT: dict[str, Any] = {"marker": "X", "color": charts.FELL}
_PAPER: Any = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.7}
"""Behind text that may stand over marks."""


def _legend(cycles: Sequence[Milestone]) -> list[tuple[str, dict[str, Any]]]:
    marks = [("its champion", _WAS)] if any(one.past.champion is not None for one in cycles) else []
    return [*marks, ("version", _IS), *([("not promoted", _NOT)] if any(not one.is_promoted for one in cycles) else [])]


def _frame(axes: Any, cycles: Sequence[Milestone]) -> None:
    axes.set_xlim(-0.6, max(len(cycles), 1) - 0.4)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["right", "top"]].set_visible(False)
    axes.tick_params(length=0, pad=6)
    axes.yaxis.get_major_locator().set_params(nbins=4, steps=(1, 2, 5, 10))
    for place, one in enumerate(cycles):
        if one.is_current:
            axes.axvspan(place - 0.5, place + 0.5, color="#e8eef4", zorder=0, linewidth=0, gid="current")


def _accuracy(axes: Any, cycles: Sequence[Milestone]) -> None:
    size = 8 if len(cycles) <= 40 else 5 if len(cycles) <= 100 else 3
    scored = [(place, one.past.champion, one.past.accuracy, one) for place, one in enumerate(cycles)]
    for is_promoted, style in ((True, _IS), (False, _NOT)):
        pairs = [(place, was, now) for place, was, now, one in scored if one.is_promoted == is_promoted]
        changed = [pair for pair in pairs if None not in pair]
        ends = ([pair[position] for pair in changed] for position in range(3))
        axes.vlines(*ends, color=style["color"], linewidth=2 if size > 3 else 1)
    for position, gid, style in ((1, "was", _WAS), (2, "is", _IS), (2, "not", _NOT)):
        rows = [row for row in scored if gid == "was" or row[3].is_promoted == (gid == "is")]
        known = [(row[0], row[position]) for row in rows if row[position] is not None]
        across, up = [place for place, _ in known], [share for _, share in known]
        axes.plot(across, up, markersize=size + (gid == "not"), linestyle="none", gid=gid, **style)
    for place, was, now, one in scored:
        if one.is_current and now is not None:
            above = 12 if was is None or now >= was else -12
            style = {"textcoords": "offset points", "va": "center", "fontweight": "bold", "bbox": _PAPER}
            axes.annotate(percent(now), (place, now), xytext=(0, above), ha=_side(place, cycles), **style)
    axes.margins(y=0.25)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    _nothing(axes, [one.past.accuracy for one in cycles])


def _lost(axes: Any, cycles: Sequence[Milestone]) -> None:
    known = [(place, one.past.lost) for place, one in enumerate(cycles) if one.past.lost is not None]
    axes.bar([place for place, _ in known], [lost for _, lost in known], width=_bar(cycles), color=charts.FELL)
    top = max([lost for _, lost in known], default=0)
    axes.set_ylim(0, 1.15 * top or 0.05)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    is_compared = any(one.past.champion is not None for one in cycles)
    _nothing(axes, [one.past.lost for one in cycles], "not known" if is_compared else "no champion to compare with")


def _passes(axes: Any, cycles: Sequence[Milestone]) -> None:
    known = [(place, one.past.passes, one) for place, one in enumerate(cycles) if one.past.passes is not None]
    axes.bar([place for place, _, _ in known], [passes for _, passes, _ in known], width=_bar(cycles), color=charts.NEW)
    axes.set_ylim(0, 1.35 * max([passes for _, passes, _ in known], default=0) or 1)
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))
    for place, passes, one in known:
        if one.seconds and (one.is_current or len(cycles) <= FEW):
            weight = "bold" if one.is_current else "normal"
            style = {"textcoords": "offset points", "va": "bottom", "fontweight": weight, "bbox": _PAPER}
            axes.annotate(one.seconds, (place, passes), xytext=(0, 4), ha=_side(place, cycles), **style)
    _nothing(axes, [one.past.passes for one in cycles])


def _side(place: int, cycles: Sequence[Milestone]) -> str:
    """Where text is put that would else stand beside the picture."""
    if len(cycles) <= 1.6 * FEW:
        return "center"
    return "right" if place > 0.9 * len(cycles) else "left" if place < 0.1 * len(cycles) else "center"


def _nothing(axes: Any, values: Sequence[float | None], words: str = "not known") -> None:
    if all(value is None for value in values):
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color=SOFT)
        axes.set_yticks([])


def _bar(cycles: Sequence[Milestone]) -> float:
    """How wide a bar is, in cycles."""
    return min(0.7, len(cycles) / 10)


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.3g}"


def _versions(axes: Any, cycles: Sequence[Milestone], width: float) -> None:
    """Names of the versions below, as many as there is room for; the current one always, in bold."""
    widest = max([length(f"v{one.past.version}", SIZE, bold=True) for one in cycles], default=1) + 12
    every = max(1, -(-len(cycles) * widest // width))
    current = [place for place, one in enumerate(cycles) if one.is_current]
    places = [
        place
        for place in range(len(cycles))
        if place in current or (place % every == 0 and all(abs(place - other) >= every for other in current))
    ]
    axes.set_xticks(places, [f"v{cycles[place].past.version}" for place in places])
    for place, tick in zip(places, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if place in current else "normal")
        tick.set_color(INK if place in current else SOFT)
