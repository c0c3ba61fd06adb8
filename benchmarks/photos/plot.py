"""The plot: accuracy by cycle, and against cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.photos.arms import ARMS

COLORS = {arm: f"C{number}" for number, arm in enumerate(ARMS)}


def plot(results: Mapping[str, Any], path: Path) -> None:
    """For each stream the accuracy by cycle; below it the difference to scratch against the cost."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    streams = list(results["streams"].items())
    figure = Figure(figsize=(4.5 * len(streams) + 0.5, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(streams), squeeze=False)
    for (stream, content), upper, lower in zip(streams, *panels, strict=True):
        upper.set_title(f"{stream}: {content['title'].replace(', ', chr(10), 1)}", fontsize=9)
        for arm, row in content["arms"].items():
            cycles, values = zip(*((int(at), 100 * value) for at, value in row["curve"].items()), strict=True)
            upper.plot(cycles, values, "o-", color=COLORS[arm], markersize=3, linewidth=1, label=arm)
            low, high = row["interval"] or [row["difference"]] * 2
            reach = [[row["difference"] - low], [high - row["difference"]]]
            lower.errorbar(100 * row["cost"], row["difference"], reach, fmt="o", color=COLORS[arm], linewidth=1)
        lower.axhline(0, color="black", linewidth=0.5)
        lower.set_xscale("log")
        upper.set_xlabel("cycle")
        lower.set_xlabel("passes, % of scratch's")
    panels[0][0].set_ylabel("accuracy, %")
    panels[1][0].set_ylabel("accuracy against scratch, points")
    handles = {label: line for axes in panels[0] for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
