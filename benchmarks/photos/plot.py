"""The plot: accuracy by cycle, and against cost."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.photos.arms import ARMS

COLUMNS = 3
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
COLORS = {arm: f"C{number}" for number, arm in enumerate(ARMS)}


def plot(results: Mapping[str, Any], path: Path) -> None:
    """For each stream the accuracy by cycle; below it the difference to scratch against the cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    streams = list(results["streams"].items())
    columns, rows = min(len(streams), COLUMNS), math.ceil(len(streams) / COLUMNS)
    figure = Figure(figsize=(4.5 * columns + 0.5, 8 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 * rows, columns, squeeze=False)
    pairs = list(zip(panels[::2].flat, panels[1::2].flat, strict=True))
    for axes in [axes for pair in pairs[len(streams) :] for axes in pair]:
        axes.remove()
    for (stream, content), (upper, lower) in zip(streams, pairs, strict=False):
        upper.set_title(f"{stream}: {content['title'].replace(', ', chr(10), 1)}", fontsize=9)
        for arm, row in content["arms"].items():
            cycles, values = zip(*((int(at), 100 * value) for at, value in row["curve"].items()), strict=True)
            upper.plot(cycles, values, "o-", color=COLORS[arm], markersize=3, linewidth=1, label=arm)
            low, high = row["interval"] or [row["difference"]] * 2
            reach = [[row["difference"] - low], [high - row["difference"]]]
            lower.errorbar(100 * row["cost"], row["difference"], reach, fmt="o", color=COLORS[arm], linewidth=1)
        lower.axhline(0, color="black", linewidth=0.5)
        lower.set_xscale("log")
        ticks = [at for at in TICKS if lower.get_xlim()[0] <= at <= lower.get_xlim()[1]]
        lower.set_xticks(ticks, [str(at) for at in ticks])
        lower.minorticks_off()
        upper.set_xlabel("cycle")
        lower.set_xlabel("passes, % of scratch's")
        upper.set_ylabel("accuracy, %")
        lower.set_ylabel("accuracy against scratch, points")
    shown = [upper for upper, _ in pairs[: len(streams)]]
    handles = {label: line for axes in shown for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
