"""Tiles: one image of a cycle in a square with a frame, and a sign for those who do not see colours."""

from functools import cache
from typing import Any

import numpy as np

from pipeline.showing.fonts import font

SOFT, EMPTY = "#5d6973", "#eef1f3"
_SIGN = 10
"""Pixels: half of the disc that holds a sign."""


def draw(sheet: Any, pixels: np.ndarray | None, place: tuple[int, int], side: int, frame: str, sign: str = "") -> None:
    """Draw a picture, or a placeholder.

    Args:
        sheet: `PIL.Image` to draw on.
        pixels: uint8 (height, width, 3), at best 48 pixels or more a side; None draws the placeholder.
        place: left and top of the picture in pixels; the frame lies around it.
        side: pixels.
        frame: colour; thin where there is no sign.
        sign: one character in the corner, white on the colour of the frame.
    """
    from PIL import Image, ImageOps

    (x, y), border = place, 3 if sign else 1
    sheet.paste(frame, (x - border, y - border), _rounded(side + 2 * border, 5 + border))
    if pixels is None:
        picture = _placeholder(side)
    else:
        fitted = ImageOps.contain(Image.fromarray(pixels), (side, side), Image.Resampling.BICUBIC)
        picture = ImageOps.pad(fitted, (side, side), color=EMPTY)
    sheet.paste(picture, (x, y), _rounded(side, 5))
    if sign:
        sheet.paste(frame, (x + 2 - _SIGN, y + 2 - _SIGN), _rounded(2 * _SIGN, _SIGN))
        _centred(sheet, sign, x + 2, y + 2, "#ffffff", font(14, bold=True))


def paper(width: int, height: int) -> Any:
    """An empty `PIL.Image` to draw on, of so many pixels."""
    from PIL import Image

    return Image.new("RGB", (width, height), "#ffffff")


def _placeholder(side: int) -> Any:
    from PIL import Image

    picture = Image.new("RGB", (side, side), EMPTY)
    _centred(picture, "no\npicture", side // 2, side // 2, SOFT, font(12 if side < 90 else 16))
    return picture


def _centred(image: Any, text: str, x: int, y: int, colour: str, with_font: Any) -> None:
    from PIL import ImageDraw

    ImageDraw.Draw(image).text((x, y), text, colour, with_font, anchor="mm", align="center", spacing=2)


@cache
def _rounded(side: int, radius: int) -> Any:
    """Mask of a square with round corners; drawn four times as large, for Pillow's edges are not smooth."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), 4 * radius, 255)
    return mask.resize((side, side), Image.Resampling.BOX)
