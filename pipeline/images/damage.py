"""Damage that decoders pass over: a file that can be decoded, and yet its picture is not whole. Pure.

Told is what can be told without ever refusing an intact file:

- PNG: any change, by the checksum of each chunk. Those of text and EXIF count too: they may say which way up the
  picture is, and Pillow refuses them before the pixels anyway.
- JPEG and WebP have no checksums. A JPEG is refused if it lacks scans or restart markers, if its data ends before its
  picture does, and if its data has a run of zeros that stands for no picture. A WebP is refused if its picture depends
  on a run of zeros and not on the end of its data; so is a JPEG, where zeros may stand for a flat area.

Not told: other changes of a JPEG's or WebP's data, which most often leave wrong colours or blocks from there on; the
last refinement of a progressive JPEG, if it is cut off; and zeros in a BMP, which are black pixels.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.images import jpeg

IsSame = Callable[[bytes], bool]
"""Whether other bytes are decoded to the same picture."""

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps to the next ones, of an interlaced PNG's passes (ISO/IEC 15948, 8.2)."""

ZEROS = bytes(16)
"""A run of zeros that is suspicious. Photographs as cameras and Pillow write them have 4 in a row at most (of 62,527 in
CIFAR-10 and TrashNet); flat areas have more, where the code was made for the picture."""

OTHER = bytes.fromhex("55a9364dca72b5185ae9276c93d44bb2")
"""What is put in place of bytes, to see whether the picture depends on them. It has no 0xFF, which begins a JPEG's
markers."""

GREY = (127, 128)
"""Values of a pixel that libjpeg makes up where data is missing: all coefficients are zero then (`jdhuff.c`). 127 is
128 inverted, as the four colours of print are stored."""


def refuse(content: bytes, kind: str, image: Any, is_same: IsSame) -> None:
    """Refuse a file that is damaged although it can be decoded.

    Args:
        content: its bytes.
        kind: one of `sniffing.FORMATS`.
        image: the decoded image, as Pillow has it.
        is_same: asked only where something is suspicious, for it decodes once more.

    Raises:
        ValueError: it is damaged; the words are for people.
    """
    if kind == "PNG":
        _refuse_png(content, image)
    elif kind == "JPEG":
        _refuse_jpeg(content, image, is_same)
    elif kind == "WEBP":
        _refuse_webp(content, is_same)


def _refuse_png(content: bytes, image: Any) -> None:
    chunks = list(_chunks(content))
    if _may_lack_rows(content, image) and not _holds(chunks, _expected(content, image)):
        raise ValueError("too few rows of pixels")


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and data of each chunk of a PNG, up to its end (ISO/IEC 15948, 5.3).

    Raises:
        ValueError: a checksum is wrong, or the end is missing.
    """
    view, place, name = memoryview(content), 8, b""
    while name != b"IEND":
        if place + 12 > len(content):
            raise ValueError("cut off: it has no IEND chunk")
        length, name = struct.unpack_from(">I4s", content, place)
        end = place + 8 + length
        if end + 4 > len(content) or zlib.crc32(view[place + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise ValueError(f"the checksum of its chunk {name.decode('latin-1')} is wrong")
        yield name, view[place + 8 : end]
        place = end + 4


def _may_lack_rows(content: bytes, image: Any) -> bool:
    """Whether a PNG's data may end, in good order, before its picture does: Pillow then leaves the last row zero.

    Of an interlaced one the last row says nothing of the others.
    """
    last = (0, image.height - 1, image.width, image.height)
    return _is_interlaced(content) or not image.crop(last).getbbox(alpha_only=False)


def _is_interlaced(content: bytes) -> bool:
    return content[28] != 0  # ISO/IEC 15948, 11.2.2


def _expected(content: bytes, image: Any) -> int:
    """How many bytes a PNG's data has to come to."""
    depth, colours = content[24], content[25]
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    expected = 0
    for left, top, right, down in ADAM7 if _is_interlaced(content) else ((0, 0, 1, 1),):
        width, height = -(-(image.width - left) // right), -(-(image.height - top) // down)
        expected += max(0, height) * (1 + (width * bits + 7) // 8) if width > 0 else 0
    return expected


def _holds(chunks: list[tuple[bytes, memoryview]], expected: int) -> bool:
    """Whether a PNG's data comes to so many bytes; no more than those are unpacked, for it may be a bomb."""
    unpack, count = zlib.decompressobj(), 0
    for name, data in chunks:
        packed: bytes | memoryview = data if name == b"IDAT" else b""
        while packed and count < expected:
            count += len(unpack.decompress(packed, 2**20))
            packed = unpack.unconsumed_tail
    return count >= expected


def _refuse_jpeg(content: bytes, image: Any, is_same: IsSame) -> None:
    picture = jpeg.read(content)
    if not picture.is_complete:
        raise ValueError("cut off: scans are missing")
    for scan in picture.scans:
        if scan.expected_restarts and not jpeg.restarts(content, scan).startswith(scan.expected_restarts):
            raise ValueError("restart markers are missing")
        # What a scan adds that is refined later may be lost in rounding: then nothing seems to depend on its end.
        if picture.is_sequential or not scan.may_have_zeros:
            _refuse_zeros(content, scan.start, scan.end, is_same, is_code=scan.may_have_zeros)
    end = picture.scans[-1].end
    # Where later scans refine earlier ones, missing data does not leave grey.
    is_suspicious = _is_grey(image.getpixel((image.width - 1, image.height - 1)))
    if is_suspicious and not is_same(content[:end] + OTHER + content[end:]):
        raise ValueError("its data ends before its picture does")


def _is_grey(pixel: int | tuple[int, ...]) -> bool:
    return all(value in GREY for value in (pixel if isinstance(pixel, tuple) else (pixel,)))


def _refuse_webp(content: bytes, is_same: IsSame) -> None:
    place = 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        if name in (b"VP8 ", b"VP8L"):
            _refuse_zeros(content, place + 8, min(place + 8 + length, len(content)), is_same, is_code=True)
            return
        place += 8 + length + length % 2  # RFC 9649, 2.3


def _refuse_zeros(content: bytes, start: int, end: int, is_same: IsSame, *, is_code: bool) -> None:
    """Refuse data with a run of zeros that is not the picture's own.

    Args:
        content: the file.
        start, end: where the data lies in it.
        is_same: see `refuse`.
        is_code: whether zeros can be the code of a flat area. Then the data is only refused if the picture does not
            depend on its last bytes: zeros from elsewhere stand for another number of blocks than the lost bytes.
    """
    zeros = content.find(ZEROS, start, end)
    if zeros < 0:
        return

    def depends_on(place: int) -> bool:
        return not is_same(content[:place] + OTHER + content[place + len(OTHER) :])

    # Some writers fill up behind the data: nothing depends on that.
    if depends_on(zeros) and not (is_code and depends_on(end - len(OTHER))):
        raise ValueError("a part of its data is overwritten with zeros")
