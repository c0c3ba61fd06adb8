"""The one definition of decoding: what validation accepts is what training and serving see. Home of Pillow."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""By content, not by name; a phone's MPO counts as JPEG. Few on purpose: most decoder holes are in the
others (Pillow's advisories)."""

MAX_PIXELS = 100_000_000
"""Read from the header before anything is decoded: a small file can claim a huge picture."""


@dataclass(frozen=True)
class Facts:
    """What is true of an image's bytes; `error` is empty if they can be decoded."""

    num_bytes: int
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    error: str = ""


def inspect(content: bytes) -> Facts:
    """Decode an image in full and say what it is. Never raises on bad bytes."""
    try:
        image = _open(content)
        image.load()  # Image.verify() accepts a JPEG that is cut in half
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        return Facts(len(content), error=_reason(content, error))
    return Facts(len(content), image.format, image.mode, image.width, image.height)


def decode(content: bytes, size: int, channels: int) -> "np.ndarray":
    """Decode to canonical pixels: uint8, shape (size, size, channels).

    Rules: EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled, not
    cut off; the centre square is taken and resized with antialiasing. Only after `inspect`.
    """
    import numpy as np
    from PIL import Image, ImageOps

    image = _upright(_open(content))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB" if channels == 3 else "L")
    image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels)


def _upright(image: Any) -> Any:
    """Turned as its EXIF says; only the one tag is read, for the rest of the block may be broken."""
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(0x0112)
    except Exception:  # noqa: BLE001 - parsers of metadata raise anything on hostile bytes
        orientation = None
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _open(content: bytes) -> Any:
    from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    Image.MAX_IMAGE_PIXELS = None  # our own cap below refuses, Pillow's would only warn
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


def _reason(content: bytes, error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if not content:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} file, or damaged"
    return " ".join(str(error).split())[:200] or type(error).__name__
