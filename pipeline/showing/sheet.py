"""The contact sheet: thumbnails of a cycle's images as one PNG, for a person to look over."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.showing.text import visible

MAX_PANELS = 48
"""The first ones are drawn and a line says how many are not: a page is looked at, not searched."""

MANY_PANELS = 12
"""With more than this, two panels without captions share a row and show half as many tiles each."""

MAX_TILES = 24
"""Tiles with a caption in one panel; tiles without one fill a single row."""

# All in pixels.
_SIDE = 84  # of a tile
_MARGIN = 24
_GAP, _NARROW_GAP = 10, 8  # between tiles; the narrow one leaves room between two panels side by side
_PER_ROW = 12
_INNER = _PER_ROW * _SIDE + (_PER_ROW - 1) * _GAP
_HALF = _PER_ROW // 2 * _SIDE + (_PER_ROW // 2 - 1) * _NARROW_GAP
_PER_ROW_CAPTIONED = 4
_CARD_GAP = 16  # between tiles with captions, both ways
_CARD = (_INNER - (_PER_ROW_CAPTIONED - 1) * _CARD_GAP) // _PER_ROW_CAPTIONED
_INDENT = _SIDE + 10  # of a caption from the left of its tile
_HEADER, _BASELINE = 36, 17
_LINE = 14  # of a caption

_MAX_TEXT = 400  # characters that are looked at; more never fit

_PAPER, _INK, _SOFT, _EMPTY = "#ffffff", "#1d2429", "#5d6973", "#eef1f3"
_FRAMES = {"plain": "#d5dbe0", "fault": "#c23030", "warning": "#d9822b"}
_SIGNS = {"fault": "×", "warning": "!"}


@dataclass(frozen=True)
class Tile:
    """One image on the sheet."""

    pixels: np.ndarray | None
    """uint8 (height, width, 3), at best 48 pixels or more a side; None draws a placeholder."""
    caption: str = ""
    """Wrapped beside the picture; whatever does not fit ends in an ellipsis."""
    kind: Literal["plain", "fault", "warning"] = "plain"
    """Colour of the frame, and a sign in the corner for those who do not see colours."""


@dataclass(frozen=True)
class Panel:
    """Tiles under a heading."""

    title: str
    note: str
    """Beside the title, smaller."""
    tiles: tuple[Tile, ...]
    more: int = 0
    """Images of this panel that are not among the tiles: "+ 480 more"."""


@dataclass(frozen=True)
class _Box:
    """Where a panel goes: pixels from the top left corner of the sheet."""

    panel: Panel
    x: int
    y: int
    width: int


def draw(panels: Sequence[Panel]) -> bytes:
    """The sheet as PNG, 1166 pixels wide; the same panels give the same bytes.

    Put first what matters most: only the first `MAX_PANELS` are drawn. Tiles beyond what a panel
    has room for are counted as `more`.
    """
    from PIL import Image, ImageDraw

    shown = panels[:MAX_PANELS]
    boxes, height = _layout(shown, many=len(panels) > MANY_PANELS)
    rest = len(panels) - len(shown)
    footer = f"{rest} more sections are not drawn" if rest else "" if panels else "no images"
    sheet = Image.new("RGB", (_INNER + 2 * _MARGIN, height + (_HEADER if footer else 0)), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    for box in boxes:
        _draw_panel(sheet, canvas, box)
    if footer:
        canvas.text((_MARGIN, height), footer, _SOFT, _font(13))
    sink = io.BytesIO()
    sheet.save(sink, "PNG", optimize=True)
    return sink.getvalue()


def _layout(panels: Sequence[Panel], many: bool) -> tuple[list[_Box], int]:
    """Panels from top to bottom, and the height of the sheet."""
    boxes: list[_Box] = []
    y, beside = _MARGIN, None  # beside: the panel whose right side is free
    for panel in panels:
        halved = many and not _captioned(panel)
        if halved and beside is not None:
            boxes.append(_Box(panel, _MARGIN + _INNER - _HALF, beside.y, _HALF))
            y, beside = max(y, beside.y + _height(boxes[-1])), None
            continue
        boxes.append(_Box(panel, _MARGIN, y, _HALF if halved else _INNER))
        y += _height(boxes[-1])
        beside = boxes[-1] if halved else None
    return boxes, y


def _captioned(panel: Panel) -> bool:
    return any(tile.caption for tile in panel.tiles)


def _room(box: _Box) -> int:
    """How many tiles are drawn."""
    if _captioned(box.panel):
        return MAX_TILES
    return _PER_ROW if box.width == _INNER else _PER_ROW // 2


def _height(box: _Box) -> int:
    return _HEADER + max((y + _SIDE for _, y in _places(box)), default=0) + _MARGIN


def _places(box: _Box) -> list[tuple[int, int]]:
    """Left and top of each tile, from the left and the end of the heading."""
    count = min(len(box.panel.tiles), _room(box))
    if _captioned(box.panel):
        rows = (divmod(number, _PER_ROW_CAPTIONED) for number in range(count))
        return [(column * (_CARD + _CARD_GAP), row * (_SIDE + _CARD_GAP)) for row, column in rows]
    gap = _GAP if box.width == _INNER else _NARROW_GAP
    return [(number * (_SIDE + gap), 0) for number in range(count)]


def _draw_panel(sheet: Any, canvas: Any, box: _Box) -> None:
    panel, places = box.panel, _places(box)
    _draw_heading(canvas, box, panel.more + len(panel.tiles) - len(places))
    for tile, (x, y) in zip(panel.tiles, places, strict=False):
        left, top = box.x + x, box.y + _HEADER + y
        _draw_tile(sheet, tile, left, top)
        lines = wrap(tile.caption, _font(12), _CARD - _INDENT, _SIDE // _LINE)
        for number, line in enumerate(lines):
            canvas.text((left + _INDENT, top + 11 + number * _LINE), line, _INK, _font(12), anchor="ls")


def _draw_heading(canvas: Any, box: _Box, more: int) -> None:
    """Title and note from the left, what is not shown at the right; the title has two thirds at most."""
    y, end = box.y + _BASELINE, box.x + box.width
    if more:
        words = f"+ {more:,} more"
        canvas.text((end, y), words, _SOFT, _font(12), anchor="rs")
        end -= int(_font(12).getlength(words)) + 12
    title = _shortened(drawable(box.panel.title), _font(15, bold=True), (end - box.x) * 2 // 3)
    canvas.text((box.x, y), title, _INK, _font(15, bold=True), anchor="ls")
    x = box.x + int(_font(15, bold=True).getlength(title)) + 12
    note = _shortened(drawable(box.panel.note), _font(12), end - x)
    canvas.text((x, y), note, _SOFT, _font(12), anchor="ls")


def _draw_tile(sheet: Any, tile: Tile, x: int, y: int) -> None:
    from PIL import Image, ImageOps

    border = 1 if tile.kind == "plain" else 3
    sheet.paste(_FRAMES[tile.kind], (x - border, y - border), _rounded(_SIDE + 2 * border, 5 + border))
    if tile.pixels is None:
        picture = _placeholder()
    else:
        fitted = ImageOps.contain(Image.fromarray(tile.pixels), (_SIDE, _SIDE), Image.Resampling.BICUBIC)
        picture = ImageOps.pad(fitted, (_SIDE, _SIDE), color=_EMPTY)
    sheet.paste(picture, (x, y), _rounded(_SIDE, 5))
    if tile.kind != "plain":
        sheet.paste(_FRAMES[tile.kind], (x - 8, y - 8), _rounded(20, 10))
        _centred(sheet, _SIGNS[tile.kind], x + 2, y + 2, "#ffffff", _font(14, bold=True))


def _placeholder() -> Any:
    from PIL import Image

    picture = Image.new("RGB", (_SIDE, _SIDE), _EMPTY)
    _centred(picture, "no\npicture", _SIDE // 2, _SIDE // 2, _SOFT, _font(12))
    return picture


def _centred(image: Any, text: str, x: int, y: int, colour: str, font: Any) -> None:
    from PIL import ImageDraw

    ImageDraw.Draw(image).text((x, y), text, colour, font, anchor="mm", align="center", spacing=2)


@cache
def _rounded(side: int, radius: int) -> Any:
    """Mask of a square with round corners; drawn four times as large, for Pillow's edges are not smooth."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), 4 * radius, 255)
    return mask.resize((side, side), Image.Resampling.BOX)


def wrap(text: str, font: Any, width: int, max_lines: int) -> list[str]:
    """Lines no wider than `width` pixels, broken after a space, slash, hyphen or underscore where there is one."""
    rest = drawable(text)
    lines: list[str] = []
    while rest and len(lines) < max_lines - 1:
        fits = _fits(rest, font, width)
        if fits < len(rest):
            breaks = (match.end() for match in re.finditer("[ /_-]", rest[:fits]))
            fits = max((place for place in breaks if 2 * place >= fits), default=fits)  # no line is half empty
        lines.append(rest[:fits].rstrip(" "))
        rest = rest[fits:].lstrip(" ")
    return [*lines, _shortened(rest, font, width)] if rest else lines


def drawable(text: str) -> str:
    """Text on one line in glyphs that the fonts have; a character that they lack is written as its code.

    Two labels in a script that the fonts do not know stay two labels, which empty boxes would not.
    """
    shown, glyphs = visible(text[:_MAX_TEXT]), _characters()
    return "".join(one if ord(one) in glyphs else one.encode("unicode_escape").decode() for one in shown)


def _shortened(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    return text[: _fits(text, font, width - font.getlength("…"))].rstrip(" ") + "…"


def _fits(text: str, font: Any, width: float) -> int:
    """How many characters from the start fit; at least one, so that wrapping ends."""
    too_wide = (length - 1 for length in range(2, len(text) + 1) if font.getlength(text[:length]) > width)
    return next(too_wide, max(len(text), 1))


@cache
def _font(size: int, bold: bool = False) -> Any:
    from PIL import ImageFont

    # Pillow's own layout: the shaping library may or may not be there, and the bytes would differ.
    return ImageFont.truetype(_font_file(bold), size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _characters() -> frozenset[int]:
    """Code points that both fonts can draw."""
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(_font_file(False)).get_charmap()) & frozenset(FT2Font(_font_file(True)).get_charmap())


def _font_file(bold: bool) -> str:
    """matplotlib brings DejaVu Sans along, so the sheet looks the same on every machine."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "fonts/ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"))
