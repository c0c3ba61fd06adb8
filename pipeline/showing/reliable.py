"""Reliability: whether models are right as often as they say, and what a threshold comes to."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.base.words import percent
from pipeline.judging import calibration
from pipeline.judging.calibration import Confidence
from pipeline.showing import charts
from pipeline.showing.charts import TEXT

STYLES = (
    {"color": "#0072b2", "marker": "o", "linestyle": "-"},
    {"color": "#d55e00", "marker": "s", "linestyle": "--"},
    {"color": "#009e73", "marker": "^", "linestyle": ":"},
)
"""One for each model: colours that the colour-blind can tell apart (Okabe and Ito, 2008), and more than colours."""

THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.99)
"""Named on the curve of coverage where there is space."""

APART = 0.16
"""Share of the images between two thresholds that are named, at least."""

FEWEST = 10
"""Images, at least, whose accuracy is drawn."""


def figure(models: Mapping[str, Confidence], min_probability: float) -> Any:
    """Left: accuracy by probability, with intervals of 95 %. Right: accuracy of the answers by how many are left.

    Args:
        models: the first one's thresholds are named on its curve.
        min_probability: the threshold that is marked; 0: none.
    """
    made = charts.figure(462)
    made.set_layout_engine("constrained")
    left, right = made.subplots(1, 2)
    _reliability(left, models)
    _coverage(right, models, min_probability)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=TEXT)
    handles, names = left.get_legend_handles_labels()
    made.legend(handles, names, loc="outside lower center", frameon=False, fontsize=TEXT)
    return made


def _reliability(axes: Any, models: Mapping[str, Confidence]) -> None:
    """Accuracy by probability; on the diagonal a model is right as often as it says."""
    axes.plot([0, 1], [0, 1], color="#6b7280", linewidth=1)
    lows = [1.0]
    for (who, confidence), style in zip(models.items(), STYLES, strict=False):
        bins = calibration.reliability(confidence)
        across = [one.probability for one in bins]
        name = f"{who}: expected calibration error {percent(calibration.error(confidence))}"
        axes.plot(across, [one.accuracy for one in bins], **style, linewidth=1.6, markersize=5, label=name)
        ends = [one.interval for one in bins]
        axes.vlines(across, [low for low, _ in ends], [high for _, high in ends], color=style["color"], alpha=0.35)
        lows += [*across, *(low for low, _ in ends)]
    start = np.floor(10 * min(lows)) / 10
    axes.set(xlim=(start, 1.02), ylim=(start, 1.02))
    axes.set_xlabel("probability", fontsize=TEXT)
    axes.set_ylabel("share that is right", fontsize=TEXT)
    axes.set_title("Calibration", fontsize=TEXT)


def _coverage(axes: Any, models: Mapping[str, Confidence], min_probability: float) -> None:
    """Accuracy of the answers by the share of images that get one."""
    for number, ((_, confidence), style) in enumerate(zip(models.items(), STYLES, strict=False)):
        rows = calibration.coverages(confidence)
        rows = [one for one in rows if one.coverage * len(confidence.probability) > FEWEST - 0.5] or rows[-1:]
        line = {**style, "marker": None, "linewidth": 1.6}
        axes.plot([one.coverage for one in rows], [one.accuracy for one in rows], **line)
        if number == 0:
            _thresholds(axes, confidence, min_probability, style["color"])
    axes.margins(y=0.12)  # for what is written above the curve
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("share that gets an answer", fontsize=TEXT)
    axes.set_ylabel("share of answers that is right", fontsize=TEXT)
    axes.set_title("Answers left, by min_probability", fontsize=TEXT)


def _thresholds(axes: Any, confidence: Confidence, min_probability: float, colour: str) -> None:
    """What some thresholds come to, beside the curve, and that of params.yaml in bold."""
    shown: list[float] = []
    for threshold in sorted({*THRESHOLDS, min_probability} - {0}, key=lambda one: (one != min_probability, one)):
        point = calibration.coverage(confidence, threshold)
        is_set = threshold == min_probability
        if point.coverage * len(confidence.probability) < FEWEST or any(
            abs(point.coverage - other) < APART for other in shown
        ):
            continue
        shown.append(point.coverage)
        axes.plot(point.coverage, point.accuracy, marker="o", markersize=9 if is_set else 5, color=colour)
        axes.annotate(
            f"{threshold:g}",
            (point.coverage, point.accuracy),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=TEXT,
            fontweight="bold" if is_set else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
        )
