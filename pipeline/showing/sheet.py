"""The contact sheet: thumbnails of a cycle's images as one PNG, for a person to look over."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline.showing import tiles
from pipeline.showing.fonts import drawable, font, shortened, wrap
from pipeline.showing.tiles import SOFT

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

_PAPER, _INK = "#ffffff", "#1d2429"
_FRAMES = {"plain": "#d5dbe0", "fault": "#c23030", "warning": "#d9822b"}
_SIGNS = {"plain": "", "fault": "×", "warning": "!"}


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
        canvas.text((_MARGIN, height), footer, SOFT, font(13))
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
        tiles.draw(sheet, tile.pixels, (left, top), _SIDE, _FRAMES[tile.kind], _SIGNS[tile.kind])
        lines = wrap(tile.caption, font(12), _CARD - _INDENT, _SIDE // _LINE)
        for number, line in enumerate(lines):
            canvas.text((left + _INDENT, top + 11 + number * _LINE), line, _INK, font(12), anchor="ls")


def _draw_heading(canvas: Any, box: _Box, more: int) -> None:
    """Title and note from the left, what is not shown at the right; the title has two thirds at most."""
    y, end = box.y + _BASELINE, box.x + box.width
    if more:
        words = f"+ {more:,} more"
        canvas.text((end, y), words, SOFT, font(12), anchor="rs")
        end -= int(font(12).getlength(words)) + 12
    title = shortened(drawable(box.panel.title), font(15, bold=True), (end - box.x) * 2 // 3)
    canvas.text((box.x, y), title, _INK, font(15, bold=True), anchor="ls")
    x = box.x + int(font(15, bold=True).getlength(title)) + 12
    note = shortened(drawable(box.panel.note), font(12), end - x)
    canvas.text((x, y), note, SOFT, font(12), anchor="ls")
