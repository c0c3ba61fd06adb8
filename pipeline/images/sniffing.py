"""What a file's first bytes say that it is; its name says nothing. Pure."""

import re
from functools import cache

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats that are decoded; a phone's MPO counts as JPEG. Few on purpose: most holes of decoders are in the others
(Pillow's advisories)."""

EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
}
"""Endings of file names that fit a format, the usual one first."""

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
"""Patterns of first bytes, and what a file is that begins so; the first match counts. From the specifications of the
formats and magic(5)."""

MAGIC_BYTES = 512
"""How many of the first bytes are looked at."""


def kind(content: bytes) -> str:
    """What a file with these bytes is: one of FORMATS, else words for people, such as "a GIF file".

    Empty where nothing is known to begin so.
    """
    start = content[:MAGIC_BYTES]
    return next((name for pattern, name in _patterns() if pattern.match(start)), "")


def extensions(kind: str) -> tuple[str, ...]:
    """The extensions that fit a format, the usual one first; none for an unknown format."""
    return EXTENSIONS.get(kind, ())


@cache
def _patterns() -> tuple[tuple[re.Pattern[bytes], str], ...]:
    return tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in MAGIC)
