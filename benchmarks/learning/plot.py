"""The plot: accuracy against cost."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.arms import ARMS, BUDGETS, ELEMENTS


def plot(results: Mapping[str, Any], path: Path) -> None:
    """Difference to scratch against cost for each stream; what each element of the recipe does, on the first one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    streams = list(results["streams"].items())
    figure = Figure(figsize=(13, 5.5 if len(streams) == 1 else 9.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    upper, *lower = figure.subfigures(1 if len(streams) == 1 else 2, 1, squeeze=False)[:, 0]
    first, elements = upper.subplots(1, 2, width_ratios=[1.3, 1])
    panels = [first, *(lower[0].subplots(1, len(streams) - 1, squeeze=False)[0] if lower else [])]
    first_arms = streams[0][1]["arms"]
    _forest(elements, {arm: row for arm, row in first_arms.items() if arm in ELEMENTS and row["against_recipe"]})
    for axes, (stream, content) in zip(panels, streams, strict=True):
        # All at the recipe's cost, and beside it in the other panel.
        arms = {arm: row for arm, row in content["arms"].items() if axes is not first or arm not in ELEMENTS}
        _scatter(axes, arms, results["must"]["cost"])
        axes.set_title(f"{stream}: {content['title'].replace(', ', chr(10), 1)}", fontsize=10)
        axes.set_xlabel("passes, % of scratch's")
    for axes in panels[:2]:  # the first of each row
        axes.set_ylabel("accuracy against scratch, points")
    most = 100 * results["must"]["cost"]
    first.text(most, 0.02, " the most it may cost", transform=first.get_xaxis_transform(), color="grey", fontsize=7)
    canvas.draw()
    figure.set_layout_engine("none")  # names are placed where things are now
    for axes in panels:
        _label(axes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _forest(axes: Any, arms: Mapping[str, Any]) -> None:
    """What a change of the recipe does, one row each."""
    axes.axvline(0, color="C3", linewidth=1)
    for at, row in enumerate(arms.values()):
        found = row["against_recipe"]
        if found["interval"]:
            axes.plot(found["interval"], [at, at], color="C0", alpha=0.5)
        axes.plot(found["difference"], at, "o", color="C0", markersize=5)
    names = [ARMS[arm].title.removeprefix("recipe, ") for arm in arms]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_title("S1: the recipe with one thing changed", fontsize=10)
    axes.set_xlabel("accuracy against the recipe, points")


def _scatter(axes: Any, arms: Mapping[str, Any], most: float) -> None:
    """Points with intervals; a line through those that differ in their budget alone, and one at the most it may be."""
    budgets = [arms[arm] for arm in BUDGETS if arm in arms]
    axes.axhline(0, color="black", linewidth=0.5)
    axes.axvline(100 * most, color="grey", linewidth=0.8, linestyle=":")
    axes.plot([100 * row["cost"] for row in budgets], [row["difference"] for row in budgets], color="C3", linewidth=1)
    for arm, row in arms.items():
        color, size = {"recipe": ("C3", 10), "scratch": ("black", 8)}.get(arm, ("C3" if arm in BUDGETS else "C0", 5))
        low, high = row["interval"] or [row["difference"]] * 2
        reach = [[row["difference"] - low], [high - row["difference"]]]
        faint = 1 if arm in ("recipe", "scratch") else 0.35
        axes.errorbar(100 * row["cost"], row["difference"], reach, color=color, alpha=faint, linewidth=1)
        axes.plot(100 * row["cost"], row["difference"], "o", color=color, markersize=size, zorder=3, label=arm)
    axes.set_xscale("log")
    ticks = [at for at in (1, 2, 3, 5, 10, 20, 50, 100, 200) if axes.get_xlim()[0] <= at <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [str(at) for at in ticks])
    axes.minorticks_off()


def _label(axes: Any) -> None:
    """Name the points, each where it hides no other point and no other name, the most important first."""
    from matplotlib.transforms import Bbox

    renderer = axes.get_figure(root=True).canvas.get_renderer()
    points = {line.get_label(): line.get_xydata()[0] for line in axes.lines if line.get_label() in ARMS}
    pixels = [axes.transData.transform(point) for point in points.values()]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in pixels]
    places = [(reach * math.cos(turn), reach * math.sin(turn)) for reach in (9, 18, 28, 40, 55, 75)
              for turn in np.linspace(1, 1 + 2 * math.pi, 16, endpoint=False)]  # fmt: skip
    for arm in sorted(points, key=lambda arm: (arm != "recipe", arm != "scratch", arm not in BUDGETS)):
        for at, (right, up) in enumerate(places):
            name = axes.annotate(
                arm, points[arm], (right, up), textcoords="offset points", fontsize=8, va="center",
                ha="left" if right > 1 else "right" if right < -1 else "center",
                fontweight="bold" if arm == "recipe" else "normal",
            )  # fmt: skip
            box = name.get_window_extent(renderer)
            is_inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0 <= axes.bbox.y1
            if at == len(places) - 1 or (is_inside and not any(box.overlaps(other) for other in taken)):
                taken.append(box)
                break
            name.remove()
