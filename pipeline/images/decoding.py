"""The one definition of decoding: what validation accepts is what training and serving see. Home of Pillow."""

import io
import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""By content, not by name; a phone's MPO counts as JPEG. Few on purpose: most decoder holes are in the
others (Pillow's advisories)."""

EXPECTED = f"expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
}

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
the result can hardly be told from one without (Pillow's documentation of `Image.resize`)."""

SHARPNESS_SIDE = 64
"""Pixels; sharpness is measured on a centre square of at most this side, so that its cost is bounded."""

SMALL_SIDE = 64
"""Pixels; the picture is first averaged down to no less than this side, which comes nearly free."""

FINE_SIDE = 32
"""Pixels; from a picture squeezed to this square come hash, brightness and contrast."""

COARSE_SIDE = 9
"""Pixels; so that there are 8 steps from one to the next."""

FREQUENCIES = sorted(
    ((down, across) for down in range(12) for across in range(12) if down or across),
    key=lambda place: (place[0] ** 2 + place[1] ** 2, place),
)[:64]
"""The 64 lowest frequencies but the mean, by distance from it."""

ZERO = 1e-6
"""Below what a coefficient of 8 bit pixels that is not zero can be expected to be, above what rounding makes of
one that is: on flat or symmetric pictures the sign of the rounding error would differ between machines."""

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps to the next ones, of an interlaced PNG's passes (ISO/IEC 15948, 8.2)."""

MAGIC = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"BM", "BMP"),
    (rb"GIF8[79]a", "a GIF file"),
    (rb"II[*+]\0|MM\0[*+]", "a TIFF file"),
    (rb"....ftyp(?:hei|hev|mif1|msf1)", "a HEIC file"),
    (rb"....ftypavi", "an AVIF file"),
    (rb"....ftyp", "an MP4 or other video file"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "a JPEG XL file"),
    (rb"\0\0[\x01\x02]\0", "an icon file"),
    (rb"8BPS", "a Photoshop file"),
    (rb"%PDF", "a PDF file"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file"),
    (rb"PK\x03\x04", "a ZIP file"),
    (rb"\x1f\x8b", "a gzip file"),
    (rb"version https://git-lfs", "a Git LFS pointer, not the image itself"),
    (
        rb"(?i)(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?(?:<!doctype svg[^>]*>\s*)?<svg\b",
        "an SVG file",
    ),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body)\b", "an HTML page"),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*<\?xml", "an XML file"),
    (rb"\0+\Z", "only zero bytes"),
    (rb"[\t\n\r\x20-\x7e\x80-\xff]+\Z", "a text file"),
)
"""What a file's first bytes say, first match wins. From the formats' specifications and `file`'s magic(5)."""

MAGIC_BYTES = 512

ORIENTED = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
"""Where Pillow looks for an orientation; to ask it takes longer than all else that is done without one."""


@dataclass(frozen=True)
class View:
    """What pixels are wanted: uint8 of shape (size, size, channels)."""

    size: int
    channels: int = 3
    whole: bool = False
    """The full picture, squeezed to a square; else its centre square."""


THUMBNAIL = View(48, 3, whole=True)
"""For telling near-duplicates apart."""


@dataclass(frozen=True)
class Facts:
    """What is true of an image's bytes; `error` is empty if they can be decoded, else all but the size is unknown."""

    num_bytes: int
    format: str = ""
    """One of FORMATS."""
    mode: str = ""
    """Pillow's name for the kind of pixels in the file, such as RGB or I;16."""
    width: int = 0
    height: int = 0
    """Pixels, of the upright picture."""
    frames: int = 1
    """More than one only with the error that says so."""
    brightness: float = 0.0
    """Mean of luma (ITU-R BT.601), 0 to 1."""
    contrast: float = 0.0
    """Standard deviation of luma, 0 to 0.5, of the picture averaged down to 32 x 32 pixels."""
    sharpness: float = 0.0
    """Standard deviation of luma's Laplacian in the centre, 0 if flat: see `_sharpness`."""
    dct: int = 0
    across: int = 0
    down: int = 0
    """The perceptual hash, 3 x 64 bits, unsigned: see `_hash`."""
    error: str = ""


class Sketch(NamedTuple):
    """What statistics and hash are made of: uint8 luma."""

    fine: "np.ndarray"
    """The picture squeezed to (32, 32)."""
    centre: "np.ndarray"
    """Its centre at the file's own resolution, (height, width), up to 64 each."""


class Seen(NamedTuple):
    """A decoded image, or why it is none."""

    facts: Facts
    """Without its statistics and hash."""
    pixels: "np.ndarray | None" = None
    """As the view wants them."""
    sketch: Sketch | None = None


class _RefusedError(Exception):
    """Why an image is refused although it may be intact; the words are for people."""

    def __init__(self, reason: str, frames: int = 1) -> None:
        super().__init__(reason)
        self.frames = frames


def look(content: bytes, view: View, max_pixels: int = MAX_PIXELS) -> "tuple[Facts, np.ndarray | None]":
    """Decode an image once, for what is true of it and for its canonical pixels.

    Never raises on bad bytes. A decoder that crashes or never ends takes this process along: bytes from
    outside go through `workers.look`.

    Returns:
        The facts, and uint8 pixels of shape (size, size, channels) or None where the facts have an error.
        The same bytes always give the same facts, whatever the view.
    """
    seen = see(content, view, max_pixels)
    return measure([seen])[0], seen.pixels


def see(content: bytes, view: View, max_pixels: int = MAX_PIXELS) -> Seen:
    """The first half of `look`, all that needs the picture; `measure` is the other one."""
    kind = ""
    try:
        kind = _kind(content)
        image = _open(content, kind, max_pixels)
        mode, picture = image.mode, _flat(_upright(image))
        facts = Facts(len(content), kind, mode, picture.width, picture.height)
        return Seen(facts, _pixels(picture, view), _sketch(picture))
    except _RefusedError as refused:
        return Seen(Facts(len(content), frames=refused.frames, error=str(refused)))
    except MemoryError:
        return Seen(Facts(len(content), error=OUT_OF_MEMORY))
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        return Seen(Facts(len(content), error=f"damaged {kind}: {_line(error)}"))


def measure(found: "Sequence[Seen]") -> list[Facts]:
    """The facts of images with their statistics, the same for an image whatever the others are.

    For many at once it takes a third of the time: a few small pictures do not pay for NumPy's calls.
    """
    facts = [seen.facts for seen in found]
    shapes: dict[tuple[int, ...], dict[int, Sketch]] = defaultdict(dict)
    for place, seen in enumerate(found):
        if seen.sketch is not None:
            shapes[seen.sketch.centre.shape][place] = seen.sketch
    for sketches in shapes.values():
        for place, values in zip(sketches, _statistics(list(sketches.values())), strict=True):
            facts[place] = replace(facts[place], **values)
    return facts


def inspect(content: bytes) -> Facts:
    """Decode an image in full and say what it is. Never raises on bad bytes."""
    return look(content, THUMBNAIL)[0]


def decode(content: bytes, size: int, channels: int) -> "np.ndarray":
    """Decode to canonical pixels: uint8, shape (size, size, channels), those of `look`.

    Rules: EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled, not
    cut off; the centre square is taken and resized with antialiasing. Only after `inspect`.

    Raises:
        ValueError: the image cannot be decoded.
    """
    facts, pixels = look(content, View(size, channels))
    if pixels is None:
        raise ValueError(facts.error)
    return pixels


def preload() -> None:
    """Import what decoding needs, which the first image else pays for."""
    import numpy as np  # noqa: F401
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401


def names(kind: str) -> tuple[str, ...]:
    """The extensions that fit a format, the usual one first; none for an unknown format."""
    return EXTENSIONS.get(kind, ())


def _kind(content: bytes) -> str:
    """One of FORMATS, by the first bytes."""
    if not content:
        raise _RefusedError("empty file")
    start = content[:MAGIC_BYTES]
    found = next((name for pattern, name in _magic() if pattern.match(start)), None)
    if found is None:
        raise _RefusedError(f"not an image, or damaged at its beginning; {EXPECTED}")
    if found not in FORMATS:
        raise _RefusedError(f"{found}; {EXPECTED}")
    return found


@cache
def _magic() -> tuple[tuple[re.Pattern[bytes], str], ...]:
    return tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in MAGIC)


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
    if kind == "PNG" and _lacks_rows(content, image):
        raise ValueError("too few rows of pixels")
    return image


def _lacks_rows(content: bytes, image: Any) -> bool:
    """Whether a PNG's data ends, in good order, before its picture does: Pillow leaves the rest zero and is content.

    Only where the last row is zero, or rows are not stored in order, is the data unpacked once more to count it.
    """
    interlaced = content[28] != 0  # ISO/IEC 15948, 11.2.2
    if not interlaced and image.crop((0, image.height - 1, image.width, image.height)).getbbox(alpha_only=False):
        return False
    depth, colours = content[24], content[25]
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    rows = ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for left, top, right, down in rows:
        width, height = -(-(image.width - left) // right), -(-(image.height - top) // down)
        expected += max(0, height) * (1 + (width * bits + 7) // 8) if width > 0 else 0
    return not _holds(content, expected)


def _holds(content: bytes, expected: int) -> bool:
    """Whether a PNG's data comes to so many bytes; no more than those are unpacked, for it may be a bomb."""
    unpack, count, place = zlib.decompressobj(), 0, 8
    while place + 8 <= len(content) and count < expected:
        length, name = struct.unpack_from(">I4s", content, place)
        packed = content[place + 8 : place + 8 + length] if name == b"IDAT" else b""
        while packed and count < expected:
            count += len(unpack.decompress(packed, 2**20))
            packed = unpack.unconsumed_tail
        place += length + 12
    return count >= expected


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
    from PIL.Image import Resampling

    mode = "RGB" if view.channels == 3 else "L"
    picture = picture if picture.mode == mode else picture.convert(mode)
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (0, 0, width, height) if view.whole else (left, top, left + side, top + side)
    resized = picture.resize((view.size, view.size), Resampling.BILINEAR, box, reducing_gap=REDUCING_GAP)
    return _array(resized).reshape(view.size, view.size, view.channels)


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


def _statistics(sketches: "Sequence[Sketch]") -> list[dict[str, Any]]:
    """Fields of the facts, of sketches with centres of one shape."""
    import numpy as np

    fine = np.stack([sketch.fine for sketch in sketches]).astype(np.float64)
    brightness, contrast = _spread(fine)
    sharpness = _sharpness(np.stack([sketch.centre for sketch in sketches]))
    names = ("brightness", "contrast", "sharpness", "dct", "across", "down")
    columns = ((brightness / 255).tolist(), (contrast / 255).tolist(), sharpness.tolist(), *_hash(fine))
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _sharpness(centres: "np.ndarray") -> "np.ndarray":
    """Standard deviation of the Laplacian (up + down + left + right - 4 x centre) of luma 0 to 1, at the file's own
    resolution, in its centre, by picture; about 0.02 and less looks blurred.

    After Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy", who take the variance.
    """
    import numpy as np

    count, height, width = centres.shape
    if width < 3 or height < 3:
        return np.zeros(count)
    luma = centres.astype(np.int16)
    laplacian = -4 * luma[:, 1:-1, 1:-1]
    for neighbour in (luma[:, :-2, 1:-1], luma[:, 2:, 1:-1], luma[:, 1:-1, :-2], luma[:, 1:-1, 2:]):
        laplacian += neighbour
    return _spread(laplacian.astype(np.float64))[1] / 255


def _spread(values: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """By picture the mean and standard deviation of whole numbers, float64 (count, height, width).

    Sums of whole numbers are exact in any order, so that all machines agree, which `std` does not promise.
    """
    import numpy as np

    flat = values.reshape(len(values), -1)
    size = flat.shape[1]
    mean = flat.sum(axis=1) / size
    return mean, np.sqrt(np.maximum(0, np.einsum("ij,ij->i", flat, flat) / size - mean**2))


def _hash(fine: "np.ndarray") -> tuple[list[int], list[int], list[int]]:
    """Three words of 64 bits that hardly change when a picture is encoded again, resized or cropped a little, for
    each of float64 (count, 32, 32).

    `dct`: signs of its lowest frequencies; `across`, `down`: whether it gets brighter to the right and downwards
    on an 8 x 8 grid. Twins differ in 36 of the 192 bits or less (JPEG quality 50 to 95, half to double size, crops
    up to 5 % per axis; measured on CIFAR-10).
    """
    import numpy as np

    rows, places = _filters()
    values = (rows @ fine @ rows.T).reshape(len(fine), -1).take(places, axis=1)
    words = np.packbits(values > ZERO, axis=1).view(">u8")
    dct, across, down = words.T.tolist()
    return dct, across, down


@cache
def _filters() -> "tuple[np.ndarray, np.ndarray]":
    """What the hash multiplies a picture with from both sides, float64 (28, 32), and which of the 28 x 28 products
    it takes, int (192,).

    Rows: the first 12 waves of the orthonormal DCT-II, 8 means (from 32 pixels to the first 8 of 9 by the antialiased
    bilinear filter that Pillow resizes with), and 8 slopes (the differences between neighbours among those 9).
    """
    import numpy as np

    place = np.arange(FINE_SIDE) + 0.5
    waves = np.cos(np.pi * place * np.arange(12)[:, None] / FINE_SIDE) * np.sqrt(2 / FINE_SIDE)
    waves[0] /= np.sqrt(2)
    scale = FINE_SIDE / COARSE_SIDE
    centres = (np.arange(COARSE_SIDE) + 0.5) * scale
    triangles = np.maximum(0, 1 - np.abs(place - centres[:, None]) / scale)
    triangles /= triangles.sum(axis=1, keepdims=True)
    rows = np.concatenate((waves, triangles[:-1], np.diff(triangles, axis=0)))
    means, slopes = np.arange(12, 20), np.arange(20, 28)
    products = np.arange(28 * 28).reshape(28, 28)
    across, down = products[np.ix_(means, slopes)], products[np.ix_(slopes, means)]
    return rows, np.concatenate((products[tuple(np.array(FREQUENCIES).T)], across.ravel(), down.ravel()))


def _line(error: Exception) -> str:
    """A decoder's words on one short line of printable ASCII; they may quote the file."""
    words = " ".join(str(error).split())[:150] or type(error).__name__
    words = WORDS.get(words, words)
    return "".join(sign if " " <= sign <= "~" else "?" for sign in words)
