"""Charts: what all pictures with axes have in common, their size, colours and words. Home of matplotlib.

Lengths are pixels from the top left corner, of a picture that is shown as large as it is.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from pipeline.showing.fonts import broken, fitted, font, length
from pipeline.showing.text import embedded

WIDTH = 736
"""MLflow's pane that compares versions side by side shows 740 pixels."""

MARGIN = 10

DPI = 110

TEXT = 11
"""Points: can be read at half the size."""

SIZE = TEXT * DPI / 72
"""The same in pixels."""

LINE = 23
"""From one line of text to the next."""

NARROWER = 0.97
"""Pillow measures, and matplotlib's text is a little wider."""

INK, SOFT, FAINT = "#1d2429", "#5d6973", "#d5dbe0"

FELL, ROSE, NEW = "#b3400a", "#08685e", "#1f4e9e"
"""Vermillion, bluish green and blue of Okabe and Ito (2008), darker, so that text has a contrast of 4.5 on white. The
colour-blind can tell them apart, and nothing is told by colour alone."""


def figure(height: float) -> Any:
    """An empty picture. Its text is no formula, whatever dollars are in it."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcdefaults()  # a matplotlibrc is for other plots; it may ask for LaTeX
    matplotlib.rcParams.update({"text.parse_math": False, "font.size": TEXT, "text.color": INK, "axes.edgecolor": SOFT})
    made = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(made)
    return made


def page(figure: Any) -> Any:
    """Invisible axes over the whole picture: one unit is one pixel, from the top left corner."""
    height = figure.get_figheight() * DPI
    axes = figure.add_axes((0, 0, 1, 1), label="page")
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    return axes


def box(figure: Any, left: float, top: float, width: float, height: float) -> Any:
    """Axes at a place."""
    whole = figure.get_figheight() * DPI
    return figure.add_axes((left / WIDTH, 1 - (top + height) / whole, width / WIDTH, height / whole))


def message(text: str) -> Any:
    """A picture that says why there is none."""
    lines = folded(text)
    made = figure(2 * MARGIN + LINE * len(lines))
    write(page(made), MARGIN, lines, SOFT)
    return made


def folded(*texts: str, is_bold: bool = False) -> list[str]:
    """Lines that fit the page, three at most of each text, which is drawn as it is."""
    room = int((WIDTH - 2 * MARGIN) * NARROWER)
    return list(chain.from_iterable(broken(text, font(SIZE, is_bold), room, 3) for text in texts))


def write(page: Any, top: float, lines: Sequence[str], colour: str = INK, **style: Any) -> None:
    """Lines from the left, one below the other; they are drawn as they are."""
    for number, line in enumerate(lines):
        page.text(MARGIN, top + (number + 0.5) * LINE, line, color=colour, va="center_baseline", **style)


def legend(page: Any, top: float, marks: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """What marks mean, in one line: words, and how the mark is drawn."""
    x = MARGIN + 6.0
    for words, style in marks:
        page.plot(x, top + LINE / 2, **{**style, "markersize": 8, "linestyle": "none"})
        page.text(x + 12, top + LINE / 2, words, va="center_baseline")
        x += 12 + length(words, SIZE) + 30


def name(label: str, width: float, is_bold: bool = False) -> str:
    """A name from outside, as it can be drawn among other text, in so many pixels."""
    return embedded(fitted(label, width * NARROWER, SIZE, is_bold))


def png(figure: Any) -> bytes:
    """The picture as a file; the same numbers give the same bytes."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def points(change: float) -> str:
    """A change of a share, -1 to 1, in points with its sign: +4, -9, -0.3; 0 where nothing changed."""
    value = 100 * change
    return f"{value:+.{0 if abs(value) >= 0.95 else 1}f}" if value else "0"
