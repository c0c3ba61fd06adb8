"""Pictures for the reviewer, as PNG bytes. Home of matplotlib."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.artifacts.training import Row


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
