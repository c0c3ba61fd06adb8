"""Fonts: text of any origin in glyphs that are there, and in lines that fit.

matplotlib brings DejaVu Sans along, so pictures look the same on every machine.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.showing.text import middle, visible

_MAX_TEXT = 400
"""Characters that are looked at; more never fit."""


@cache
def font(size: float, bold: bool = False) -> Any:
    """A `PIL.ImageFont` of so many pixels."""
    from PIL import ImageFont

    # Pillow's own layout: the shaping library may or may not be there, and the bytes would differ.
    return ImageFont.truetype(_file(bold), size, layout_engine=ImageFont.Layout.BASIC)


def drawable(text: str) -> str:
    """Text on one line in glyphs that the fonts have; a character that they lack is written as its code.

    Two labels in a script that the fonts do not know stay two labels, which empty boxes would not.
    """
    shown, glyphs = visible(text[:_MAX_TEXT]), _characters()
    return "".join(one if ord(one) in glyphs else one.encode("unicode_escape").decode() for one in shown)


def length(text: str, size: float, bold: bool = False) -> float:
    """Pixels that a text takes which is drawn as it is."""
    return float(font(size, bold).getlength(text))


def fitted(text: str, pixels: float, size: float, bold: bool = False) -> str:
    """A text as it can be drawn, no wider than so many pixels: what is too wide loses its middle.

    At least the ellipsis is left.
    """
    shown = drawable(text)
    if length(shown, size, bold) <= pixels:
        return shown
    low, high = 1, len(shown) - 1
    while low < high:  # characters that are left
        half = (low + high + 1) // 2
        low, high = (half, high) if length(middle(shown, half), size, bold) <= pixels else (low, half - 1)
    return middle(shown, low)


def wrap(text: str, font: Any, width: int, max_lines: int) -> list[str]:
    """Lines no wider than `width` pixels of text from outside; see `broken`."""
    return broken(drawable(text), font, width, max_lines)


def broken(text: str, font: Any, width: int, max_lines: int) -> list[str]:
    """Lines no wider than `width` pixels, broken after a space, slash, hyphen or underscore where there is one.

    The text is drawn as it is; the last line ends in an ellipsis where there is more of it.
    """
    rest, lines = text, list[str]()
    while rest and len(lines) < max_lines - 1:
        fits = _fits(rest, font, width)
        if fits < len(rest):
            breaks = (match.end() for match in re.finditer("[ /_-]", rest[:fits]))
            fits = max((place for place in breaks if 2 * place >= fits), default=fits)  # no line is half empty
        lines.append(rest[:fits].rstrip(" "))
        rest = rest[fits:].lstrip(" ")
    return [*lines, shortened(rest, font, width)] if rest else lines


def shortened(text: str, font: Any, width: int) -> str:
    """A text that can be drawn, without the end that does not fit."""
    if font.getlength(text) <= width:
        return text
    return text[: _fits(text, font, width - font.getlength("…"))].rstrip(" ") + "…"


def _fits(text: str, font: Any, width: float) -> int:
    """How many characters from the start fit; at least one, so that wrapping ends."""
    too_wide = (length - 1 for length in range(2, len(text) + 1) if font.getlength(text[:length]) > width)
    return next(too_wide, max(len(text), 1))


@cache
def _characters() -> frozenset[int]:
    """Code points that both fonts can draw."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_file(False)).get_charmap()) & frozenset(FT2Font(_file(True)).get_charmap())


def _file(bold: bool) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"))
