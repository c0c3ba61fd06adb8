"""Pictures for the reviewer, as PNG bytes. Home of matplotlib."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.artifacts.training import Row
from pipeline.judging import calibration
from pipeline.judging.calibration import Confidence


def curves(history: Sequence[Row], best_epoch: int, stop_reason: str, is_chosen: bool = False) -> bytes:
    """Loss and accuracy by epoch, train and val, with the best and the last epoch marked.

    Args:
        history: metrics by epoch.
        best_epoch: the one that was kept.
        stop_reason: why training stopped, in words.
        is_chosen: whether a person chose the epoch.
    """
    kept = "chosen" if is_chosen else "best"
    figure = _figure(9, 3.6)
    epochs = range(len(history))
    for position, metric in enumerate(("loss", "accuracy")):
        axes = figure.add_subplot(1, 2, position + 1)
        for name, colour in ((metric, "#9aa5b1"), (f"val_{metric}", "#1f6f54")):
            axes.plot(
                epochs,
                [row.get(name, np.nan) for row in history],
                marker=".",
                color=colour,
                label=name,
            )
        axes.axvline(best_epoch, color="#d9822b", linestyle="--", label=f"{kept}: epoch {best_epoch}")
        axes.axvline(
            len(history) - 1,
            color="#c23030",
            linestyle=":",
            label=f"stopped: epoch {len(history) - 1}",
        )
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    figure.suptitle(f"Stopped by {stop_reason}", fontsize=10)
    return _png(figure)


def confusion(counts: np.ndarray, labels: Sequence[str]) -> bytes:
    """Counts (labels, labels) as shares of each true label; the counts themselves up to 20 labels."""
    side = min(12.0, 2.5 + 0.45 * len(labels))
    figure = _figure(side + 1, side)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    figure.colorbar(image, label="share of the true label", shrink=0.8)
    if len(labels) <= 20:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8, color=colour)
    # A label is shown as it is written: `$` would begin a formula.
    names = [(label if len(label) <= 24 else f"{label[:23]}…").replace("$", r"\$") for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90)
    axes.set_yticks(range(len(labels)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title("Challenger on the holdout images", fontsize=10)
    return _png(figure)


STYLES = (
    {"color": "#0072b2", "marker": "o", "linestyle": "-"},
    {"color": "#d55e00", "marker": "s", "linestyle": "--"},
    {"color": "#009e73", "marker": "^", "linestyle": ":"},
)
"""One for each model: colours that the colour-blind can tell apart (Okabe and Ito, 2008), and more than colours."""

THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.99)
"""Named on the curve of coverage where there is space."""

TEXT = 11
"""Points: can be read at half the size."""

APART = 0.08
"""Share of the images between two thresholds that are named, at least."""

FEWEST = 10
"""Images, at least, whose accuracy is drawn."""


def reliability(models: Mapping[str, Confidence], min_probability: float) -> bytes:
    """Left: accuracy by probability, with intervals of 95 %. Right: accuracy of the answers by how many are left.

    Args:
        models: the first one's thresholds are named on its curve.
        min_probability: the threshold that is marked; 0: none.
    """
    figure = _figure(6.7, 4.2)
    left, right = figure.subplots(1, 2)
    _reliability(left, models)
    _coverage(right, models, min_probability)
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=TEXT)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", frameon=False, fontsize=TEXT)
    return _png(figure)


def _reliability(axes: Any, models: Mapping[str, Confidence]) -> None:
    """Accuracy by probability; on the diagonal a model is right as often as it says."""
    axes.plot([0, 1], [0, 1], color="#6b7280", linewidth=1)
    lows = [1.0]
    for (who, confidence), style in zip(models.items(), STYLES, strict=False):
        bins = calibration.reliability(confidence)
        across = [one.probability for one in bins]
        name = f"{who}: expected calibration error {calibration.error(confidence):.1%}"
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


def _figure(width: float, height: float) -> Any:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()  # a matplotlibrc is for other plots; it may ask for LaTeX
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()
