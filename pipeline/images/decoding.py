"""The one definition of decoding: what validation accepts is what training and serving see. Home of Pillow."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.base.errors import one_line
from pipeline.images import damage, sniffing, statistics
from pipeline.images.sniffing import FORMATS
from pipeline.images.statistics import FINE_SIDE, Sketch

if TYPE_CHECKING:
    import numpy as np

    from pipeline.artifacts.model import Fit

EXPECTED = f"expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

MAX_PIXELS = 64_000_000
"""Read from the header before anything is decoded: a small file can claim a huge picture."""

WORDS = {
    "not identified by this driver": "its header makes no sense",
    # libwebp does not say which.
    "could not create decoder object": "cut off, of a size that makes no sense, or too large for the memory there is",
}
"""Pillow's words in ours."""

OUT_OF_MEMORY = "needs more memory than there is"

REDUCING_GAP = 3.0
"""A large picture is first averaged down by a whole number, to no less than so many times the wanted side; from 3 on
the result can hardly be told from one without it (Pillow's documentation of `Image.resize`)."""

GREY_FILL = 128
"""What is put beside a picture that is padded: the middle of the range, which networks see as next to nothing once they
have scaled their pixels; the same for all pictures, so that it tells nothing of them."""

SHARPNESS_SIDE = 64
"""Pixels; sharpness is measured on a centre square of at most this side, so that its cost is bounded."""

SMALL_SIDE = 64
"""Pixels; the picture is first averaged down to no less than this side, which comes nearly free."""

STRIP = 256
"""Rows of two pictures that are compared at once, so that it takes little memory."""

ORIENTED = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
"""Where Pillow looks for an orientation; to ask it takes longer than all else that is done without one."""


@dataclass(frozen=True)
class View:
    """What pixels are wanted: uint8 of shape (size, size, channels)."""

    size: int
    channels: int = 3
    fit: "Fit" = "crop"
    """Its centre square; or the whole picture: padded to a square, or stretched to one."""


THUMBNAIL = View(48, 3, "stretch")
"""For telling near-duplicates apart."""


@dataclass(frozen=True)
class Facts:
    """What is true of an image's bytes; `error` is empty if they can be decoded, else all but the size is unknown."""

    num_bytes: int
    format: str = ""
    """One of `sniffing.FORMATS`."""
    mode: str = ""
    """Pillow's name for the kind of pixels in the file, such as RGB or I;16."""
    width: int = 0
    height: int = 0
    """Pixels, of the upright picture."""
    frames: int = 1
    """More than one only with the error that says so."""
    brightness: float = 0.0
    contrast: float = 0.0
    sharpness: float = 0.0
    dct: int = 0
    across: int = 0
    down: int = 0
    """These six: see `statistics.Measures`."""
    error: str = ""


class Decoded(NamedTuple):
    """A decoded image, or why it is none."""

    facts: Facts
    """Without what is measured on the sketch."""
    pixels: "tuple[np.ndarray, ...]" = ()
    """By view, uint8 (size, size, channels); none where the facts have an error."""
    sketch: Sketch | None = None


class _RefusedError(Exception):
    """Why an image is refused although it may be intact; the words are for people."""

    def __init__(self, reason: str, frames: int = 1) -> None:
        super().__init__(reason)
        self.frames = frames


def look(content: bytes, view: View, max_pixels: int = MAX_PIXELS) -> "tuple[Facts, np.ndarray | None]":
    """Decode an image once, for what is true of it and for its pixels.

    Never raises on bad bytes. A decoder that crashes or never ends takes this process along: bytes from
    outside go through `workers.look`.

    Returns:
        The facts, and uint8 pixels of shape (size, size, channels), or None where the facts have an error.
        The same bytes always give the same facts, whatever the view.
    """
    decoded = see(content, (view,), max_pixels)
    return complete([decoded])[0], decoded.pixels[0] if decoded.pixels else None


def see(content: bytes, views: Sequence[View], max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image once, for any number of views; `complete` then adds to the facts what is measured.

    Never raises on bad bytes; see `look`.
    """
    kind = ""
    try:
        kind = _format(content)
        image = _open(content, kind, max_pixels)
        mode, picture = image.mode, _flat(_upright(image))
        facts = Facts(len(content), kind, mode, picture.width, picture.height)
        return Decoded(facts, tuple(_pixels(picture, view) for view in views), _sketch(picture))
    except _RefusedError as refused:
        return Decoded(Facts(len(content), frames=refused.frames, error=str(refused)))
    except MemoryError:
        return Decoded(Facts(len(content), error=OUT_OF_MEMORY))
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        return Decoded(Facts(len(content), error=f"damaged {kind}: {_reason(error)}"))


def complete(images: Sequence[Decoded]) -> list[Facts]:
    """The facts of decoded images with what is measured on their sketches; see `statistics.measure`."""
    measured = iter(statistics.measure([image.sketch for image in images if image.sketch is not None]))
    return [
        image.facts if image.sketch is None else replace(image.facts, **next(measured)._asdict()) for image in images
    ]


def inspect(content: bytes) -> Facts:
    """Decode an image in full and say what it is. Never raises on bad bytes."""
    return look(content, THUMBNAIL)[0]


def decode(content: bytes, size: int, channels: int, fit: "Fit" = "crop") -> "np.ndarray":
    """Decode to canonical pixels: uint8, shape (size, size, channels), those of `look`.

    Rules: EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled, not
    cut off; the picture is fitted to a square (see `View`) and resized with antialiasing. Only after `inspect`.

    Raises:
        ValueError: the image cannot be decoded.
    """
    facts, pixels = look(content, View(size, channels, fit))
    if pixels is None:
        raise ValueError(facts.error)
    return pixels


def preload() -> None:
    """Import what decoding needs, which the first image else pays for."""
    import numpy as np  # noqa: F401
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401


def _format(content: bytes) -> str:
    """One of FORMATS, by the first bytes."""
    if not content:
        raise _RefusedError("empty file")
    kind = sniffing.kind(content)
    if kind not in FORMATS:
        raise _RefusedError(f"{kind or 'not an image, or damaged at its beginning'}; {EXPECTED}")
    return kind


def _open(content: bytes, kind: str, max_pixels: int) -> Any:
    """The decoded image as Pillow has it.

    The decoder is called directly: `Image.open` would read the second picture's tables of a phone's MPO, and
    warn by a cap of its own.
    """
    from PIL import Image
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    decoder: Any = {"JPEG": JpegImageFile, "PNG": PngImageFile, "WEBP": WebPImageFile, "BMP": BmpImageFile}[kind]
    try:
        image: Any = decoder(io.BytesIO(content))
    except Image.DecompressionBombError:  # Pillow's own, higher cap, which WebP asks before it says the size
        raise _RefusedError(f"more than {max_pixels:,} pixels") from None
    if image.width * image.height > max_pixels:
        raise _RefusedError(f"{image.width} x {image.height} pixels, more than {max_pixels:,}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise _RefusedError(f"animated, {frames} frames; expected a single picture", frames)
    image.load()  # Image.verify() accepts a JPEG that is cut in half
    damage.refuse(content, kind, image, lambda other: _is_same(image, decoder, other))
    return image


def _is_same(image: Any, decoder: Any, content: bytes) -> bool:
    """Whether other bytes are decoded to the same picture."""
    try:
        other = decoder(io.BytesIO(content))
        other.load()
    except MemoryError:
        return True  # nothing is refused for that
    except Exception:  # noqa: BLE001 - decoders raise anything on hostile bytes
        return False
    rows = ((0, top, image.width, min(top + STRIP, image.height)) for top in range(0, image.height, STRIP))
    return other.size == image.size and all(image.crop(box).tobytes() == other.crop(box).tobytes() for box in rows)


def _upright(image: Any) -> Any:
    """Turned as its EXIF says; only the one tag is read, for the rest of the block may be broken."""
    from PIL.Image import Transpose

    if not ORIENTED & image.info.keys():
        return image
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


def _flat(image: Any) -> Any:
    """As opaque 8 bit grey (mode L) or colour (RGB), transparency over white."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        return _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white
    flat = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == flat else image.convert(flat)


def _eight_bit(image: Any) -> Any:
    """16 bit grey scaled to 8; `convert` would make everything above 255 white."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image, np.uint16) // 257
    if "transparency" in image.info:  # one value of grey
        pixels[np.asarray(image) == image.info["transparency"]] = 255
    return Image.fromarray(pixels.astype(np.uint8))


def _pixels(picture: Any, view: View) -> "np.ndarray":
    from PIL import Image

    mode = "RGB" if view.channels == 3 else "L"
    picture = picture if picture.mode == mode else picture.convert(mode)
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side) if view.fit == "crop" else (0, 0, width, height)
    target = _padded(width, height, view.size) if view.fit == "pad" else (view.size, view.size)
    resized = picture.resize(target, Image.Resampling.BILINEAR, box, reducing_gap=REDUCING_GAP)
    if target != (view.size, view.size):
        square = Image.new(mode, (view.size, view.size), (GREY_FILL,) * len(mode))
        square.paste(resized, ((view.size - resized.width) // 2, (view.size - resized.height) // 2))
        resized = square
    return _array(resized).reshape(view.size, view.size, view.channels)


def _padded(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of a picture whose longer side is made to fit; a pixel at least."""
    longer = max(width, height)
    return max(1, round(width * size / longer)), max(1, round(height * size / longer))


def _array(picture: Any) -> "np.ndarray":
    """Mode L as uint8 (height, width), RGB as (height, width, 3); in half the time of `np.asarray`."""
    import numpy as np

    shape = (picture.height, picture.width) if picture.mode == "L" else (picture.height, picture.width, 3)
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(shape)


def _sketch(picture: Any) -> Sketch:
    from PIL.Image import Resampling

    grey = picture if picture.mode == "L" else picture.convert("L")  # at once: one channel is then averaged, not three
    small = grey.reduce((_step(grey.width), _step(grey.height)))
    fine = _array(small.resize((FINE_SIDE, FINE_SIDE), Resampling.BILINEAR))
    width, height = min(grey.width, SHARPNESS_SIDE), min(grey.height, SHARPNESS_SIDE)
    left, top = (grey.width - width) // 2, (grey.height - height) // 2
    return Sketch(fine, _array(grey.crop((left, top, left + width, top + height))))


def _step(side: int) -> int:
    """How many pixels to average in one direction."""
    return max(1, side // SMALL_SIDE)


def _reason(error: Exception) -> str:
    """A decoder's words on one short line of printable ASCII; they may quote the file."""
    words = one_line(error)[:150]
    words = WORDS.get(words, words)
    return "".join(sign if " " <= sign <= "~" else "?" for sign in words)
