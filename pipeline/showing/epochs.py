"""Epochs: how a training went, with the parent's score, the epoch that was kept and the mixture that is served."""

import math
from dataclasses import dataclass
from typing import Any

from pipeline.artifacts.training import Mixture, Row, Training
from pipeline.base.words import capital, counted, percent
from pipeline.showing import charts
from pipeline.showing.charts import FAINT, INK, LINE, MARGIN, SOFT, TEXT
from pipeline.showing.fonts import drawable

HEIGHT = 426  # pixels, with one line of title
MANY = 40
"""Epochs: with more, not each has a mark."""

WIDE = 20
"""Where the largest value is more than so many times the least, the scale is a logarithm."""

STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#8a5a00", "marker": "s", "linestyle": "--", "markersize": 4, "linewidth": 1.4},
    "val": {"color": "#0072b2", "marker": "o", "linestyle": "-", "markersize": 5, "linewidth": 1.8},
}
"""Told apart by their lines and marks too."""


@dataclass(frozen=True)
class Curve:
    """One metric, loss or accuracy."""

    metric: str
    train: tuple[float, ...]
    """By epoch; NaN where there is none."""
    val: tuple[float, ...]
    parent: float | None
    """What the parent has on val, where it is what the training began with."""
    served: float | None
    """What the mixture has on val that is served; None where it is the epoch that was kept."""

    def kept(self, epoch: int) -> float:
        """What an epoch has on val, else on train; NaN where there is none."""
        values = [curve[epoch] for curve in (self.val, self.train) if epoch < len(curve)]
        return next((one for one in values if math.isfinite(one)), math.nan)


@dataclass(frozen=True)
class Course:
    """A picture of them."""

    curves: tuple[Curve, ...]
    best: int
    title: str
    parent: str
    kept: str
    served: str
    """Words of the legend; empty where there is nothing."""


def of(training: Training) -> Course:
    """Loss and accuracy by epoch."""
    mixture = _mixture(training)
    curves = tuple(_curve(training, metric, mixture) for metric in ("loss", "accuracy"))
    kept = f"{'chosen' if training.is_chosen else 'best'}: epoch {training.best_epoch}"
    if value := _score(_row(training, training.best_epoch), "val_loss"):
        kept += f", val loss {_number(value)}"
    has_parent = any(curve.parent is not None for curve in curves)
    parent = f"parent{f' v{training.parent}' if training.parent else ''}, val" if has_parent else ""
    return Course(curves, training.best_epoch, stopped(training), parent, kept, _served(training, mixture))


def stopped(training: Training) -> str:
    """Why and where training stopped."""
    return f"{capital(training.ended)}; {counted(training.epochs, 'epoch')} of at most {training.max_epochs}"


def _mixture(training: Training) -> Mixture | None:
    """What is served, where it is not the epoch that was kept."""
    return next((one for one in training.blended if one.share == training.share != 1), None)


def _served(training: Training, mixture: Mixture | None) -> str:
    if not mixture:
        return ""
    of_result = f"{percent(training.share, 0)} of this training, the rest the parent's weights"
    return f"served: {of_result if training.share else 'the parent as it was'}, val loss {_number(mixture.val_loss)}"


def _curve(training: Training, metric: str, mixture: Mixture | None) -> Curve:
    train, val = (
        tuple(math.nan if (value := _score(row, name)) is None else value for row in training.history)
        for name in (metric, f"val_{metric}")
    )
    is_parents = training.start == "warm" and training.is_warm
    parent = _score(_row(training, 0), f"val_{metric}") if is_parents else None
    served = _score({"val": getattr(mixture, f"val_{metric}")}, "val") if mixture else None
    return Curve(metric, train, val, parent, served)


def _row(training: Training, epoch: int) -> Row:
    return training.history[epoch] if epoch < len(training.history) else {}


def _score(row: Row, name: str) -> float | None:
    """A finite number, or None."""
    value = row.get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def figure(drawn: Course) -> Any:
    """The picture. Axes "loss" and "accuracy" have the curves; what they mean is in the legend of the picture."""
    lines = charts.folded(drawable(drawn.title), is_bold=True)
    keys = 2 + sum(bool(words) for words in (drawn.parent, drawn.kept, drawn.served))
    made = charts.figure(HEIGHT + LINE * (len(lines) - 1 + max(keys - 4, 0)))
    charts.write(charts.page(made), MARGIN, lines, fontweight="bold")
    top = MARGIN + LINE * len(lines) + 34
    for position, curve in enumerate(drawn.curves):
        axes = charts.box(made, 76 + position * 364, top, 282, 206)
        axes.set_label(curve.metric)
        _draw(axes, curve, drawn)
    handles, names = made.axes[1].get_legend_handles_labels()
    style = {"frameon": False, "fontsize": TEXT, "handlelength": 2.6, "borderpad": 0, "labelspacing": 0.35}
    made.legend(handles, names, loc="lower left", bbox_to_anchor=(0.01, 0.012), ncols=1, **style)
    return made


def _draw(axes: Any, curve: Curve, drawn: Course) -> None:
    epochs = range(len(curve.val))
    every = max(1, math.ceil(len(curve.val) / MANY))
    for name, values in (("train", curve.train), ("val", curve.val)):
        label = name if any(map(math.isfinite, values)) else None
        axes.plot(epochs, values, label=label, markevery=every, gid=name, **STYLES[name])
    if drawn.parent:
        value = math.nan if curve.parent is None else curve.parent
        axes.axhline(value, color=INK, linestyle=(0, (1, 2)), linewidth=1.6, label=drawn.parent, gid="parent")
    best = curve.kept(drawn.best)
    ring = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgewidth": 2, "linestyle": "none"}
    axes.plot(drawn.best, best, color=INK, label=drawn.kept, gid="kept", zorder=4, clip_on=False, **ring)
    if drawn.served:
        value = math.nan if curve.served is None else curve.served
        diamond = {"marker": "D", "markersize": 9, "color": charts.FELL, "linestyle": "none"}
        axes.plot(drawn.best, value, label=drawn.served, gid="served", zorder=5, clip_on=False, **diamond)
    _frame(axes, curve)


def _frame(axes: Any, curve: Curve) -> None:
    """All that is not a mark."""
    axes.set_title(curve.metric, fontsize=TEXT, loc="left", color=SOFT)
    axes.set_xlabel("epoch", color=SOFT)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(steps=(1, 2, 5, 10))
    axes.set_xlim(-0.5, max(len(curve.val) - 0.5, 1.5))
    numbers = [one for one in (*curve.train, *curve.val) if math.isfinite(one)]
    if not numbers and curve.served is None:
        axes.text(0.5, 0.5, "no number", transform=axes.transAxes, ha="center", va="center", color=SOFT)
    if numbers and min(numbers) > 0 and max(numbers) > WIDE * min(numbers) and curve.metric == "loss":
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(lambda *_: "")
    is_share = curve.metric == "accuracy"
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.5g} %" if is_share else f"{value:.6g}")
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["right", "top"]].set_visible(False)
