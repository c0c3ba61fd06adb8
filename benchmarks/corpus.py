"""Image files of every kind a user may push: valid, unusual, damaged, hostile. Made here, none copied."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Exif, Image

PNG_START = b"\x89PNG\r\n\x1a\n"
GREY, RGB, RGBA = 0, 2, 6
"""Colour types of a PNG header (ISO/IEC 15948, 11.2.2)."""


def corpus() -> dict[str, bytes]:
    """Named files; the same bytes at every call on the same version of Pillow. Names beginning with `bomb` are
    small files that claim or hold a lot."""
    scene = _scene(64, 48)
    return dict(
        [*_valid(scene), *_unusual(scene), *_damaged(scene), *_foreign(scene), *_metadata(scene), *_bombs(scene)]
    )


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file, its checksum right."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colours: int, data: bytes, extra: bytes = b"") -> bytes:
    """A PNG that says what you like; `data` as compressed, `extra` chunks before it."""
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    return PNG_START + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zero bytes, compressed (RFC 1950) without ever being in memory: one block, again and again."""
    press, block = zlib.compressobj(9, wbits=-15), 2**20
    whole = press.compress(bytes(block)) + press.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    rest = press.compress(bytes(count % block)) + press.flush()
    checksum = struct.pack(">HH", count % 65521, 1)  # Adler-32: the sum of the sums, the sum, which begins at 1
    return b"\x78\xda" + whole * (count // block) + rest + checksum


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a JPEG up to its first scan (ITU-T T.81, B.1)."""
    place = 2
    while place + 4 <= len(jpeg) and jpeg[place] == 0xFF:
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        yield jpeg[place + 1], place, end
        if jpeg[place + 1] == 0xDA:
            return
        place = end


def slow_jpeg(side: int, scans: int) -> bytes:
    """A small progressive JPEG whose scans each refine the whole picture, and each say nothing: CPU time by the
    kilobyte, as in "Two Issues with the JPEG Standard" (libjpeg-turbo, 2015)."""
    frame = struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)
    table = bytes([0] + [64] * 64)
    # One code of one bit, for "end of band, 2^14 blocks"; and one for a direct coefficient difference of zero.
    direct, ends = bytes([0x00, 1] + [0] * 15 + [0]), bytes([0x10, 1] + [0] * 15 + [0xE0])
    parts = [b"\xff\xd8", _segment(0xDB, table), _segment(0xC2, frame), _segment(0xC4, direct), _segment(0xC4, ends)]
    blocks = ((side + 7) // 8) ** 2
    first = bytes((blocks + 7) // 8)
    parts += [_segment(0xDA, bytes([1, 1, 0x00, 0, 0, 0x01])), first]
    runs = -(-blocks // 16384)
    body = bytes((runs * 15 + 7) // 8)
    for _ in range(scans):
        parts += [_segment(0xDA, bytes([1, 1, 0x00, 1, 63, 0x00])), body]
    return b"".join([*parts, b"\xff\xd9"])


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _scene(width: int, height: int) -> "Image":
    """No two columns or rows alike, and noise, so that files are not tiny."""
    import numpy as np
    from PIL import Image

    across, down = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    noise = np.random.default_rng(7).integers(0, 56, (height, width, 3))
    return Image.fromarray((np.stack([across, down, 200 - across], axis=2) + noise).astype(np.uint8))


def _encode(image: "Image", kind: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def _valid(scene: "Image") -> Iterator[tuple[str, bytes]]:
    yield "rgb.jpg", _encode(scene, "JPEG")
    yield "progressive.jpg", _encode(scene, "JPEG", progressive=True)
    yield "no_subsampling.jpg", _encode(scene, "JPEG", subsampling=0, quality=95)
    yield "restarts.jpg", _encode(scene, "JPEG", restart_marker_blocks=1)
    yield "rgb.png", _encode(scene, "PNG")
    yield "rgb.bmp", _encode(scene, "BMP")
    yield "lossy.webp", _encode(scene, "WEBP")
    yield "lossless.webp", _encode(scene, "WEBP", lossless=True)


def _unusual(scene: "Image") -> Iterator[tuple[str, bytes]]:
    import numpy as np
    from PIL import Image

    clear = scene.convert("RGBA")
    clear.putalpha(scene.convert("L"))
    sixteen = np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    yield "grey.jpg", _encode(scene.convert("L"), "JPEG")
    yield "cmyk.jpg", _encode(scene.convert("CMYK"), "JPEG")
    yield "mpo.jpg", _encode(scene, "MPO", save_all=True, append_images=[scene.rotate(90)])
    yield "grey.png", _encode(scene.convert("L"), "PNG")
    yield "one_bit.png", _encode(scene.convert("1"), "PNG")
    yield "palette.png", _encode(scene.convert("P"), "PNG")
    yield "palette_clear.png", _encode(scene.convert("P"), "PNG", transparency=3)
    yield "rgb_clear.png", _encode(scene, "PNG", transparency=(0, 0, 0))
    yield "grey_alpha.png", _encode(clear.convert("LA"), "PNG")
    yield "alpha.png", _encode(clear, "PNG")
    yield "alpha.webp", _encode(clear, "WEBP")
    yield "sixteen_bit_grey.png", _encode(Image.fromarray(sixteen), "PNG")
    yield "sixteen_bit_rgb.png", png(8, 8, 16, RGB, zlib.compress((b"\0" + bytes(range(48))) * 8))
    yield "interlaced.png", _interlaced()
    yield "one_bit.bmp", _encode(scene.convert("1"), "BMP")
    yield "palette.bmp", _encode(scene.convert("P"), "BMP")
    yield "grey.bmp", _encode(scene.convert("L"), "BMP")
    yield "flat.png", _encode(Image.new("RGB", (64, 64), (9, 9, 9)), "PNG")
    yield "one_pixel.png", _encode(Image.new("RGB", (1, 1)), "PNG")
    yield "sliver.png", _encode(Image.new("RGB", (1, 20_000)), "PNG")
    yield "wide.jpg", _encode(Image.new("RGB", (20_000, 1)), "JPEG")


def _interlaced() -> bytes:
    """Adam7, 8 x 8 grey: the seven passes of an 8 x 8 picture have these widths and heights (ISO/IEC 15948, 8.2)."""
    passes = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]
    rows = b"".join((b"\0" + bytes(range(width))) * height for width, height in passes)
    header = struct.pack(">IIBBBBB", 8, 8, 8, GREY, 0, 0, 1)
    return PNG_START + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _damaged(scene: "Image") -> Iterator[tuple[str, bytes]]:
    jpeg, ping, webp, bmp = (_encode(scene, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP"))
    yield "empty.jpg", b""
    yield "zeros.jpg", bytes(4096)
    yield "half.jpg", jpeg[: len(jpeg) // 2]
    yield "half_progressive.jpg", (two := _encode(scene, "JPEG", progressive=True))[: len(two) // 2]
    yield "header_only.jpg", jpeg[:20]
    yield "no_end.jpg", jpeg[:-2]
    yield "half.png", ping[: len(ping) // 2]
    yield "no_end.png", ping[:-12]
    yield "half.webp", webp[: len(webp) // 2]
    yield "half.bmp", bmp[: len(bmp) // 2]
    yield "flipped_bits.jpg", _flipped(jpeg, len(jpeg) // 2)
    yield "flipped_bit.png", _flipped(ping, len(ping) // 2)
    yield "flipped_header.png", _flipped(ping, ping.index(b"IHDR") + 9)
    yield "short_data.png", png(64, 48, 8, RGB, zlib.compress(bytes(193 * 10)))
    yield "no_data.png", png(64, 48, 8, RGB, b"")
    yield "no_width.png", png(0, 48, 8, RGB, zlib.compress(b""))
    yield "no_size.png", png(0, 0, 8, RGB, zlib.compress(b""))
    yield "no_palette.png", png(8, 8, 8, 3, zlib.compress(bytes(9 * 8)))
    yield "bad_depth.png", png(8, 8, 7, RGB, zlib.compress(bytes(25 * 8)))
    yield "no_size.bmp", bmp[:18] + bytes(8) + bmp[26:]
    yield "bad_depth.bmp", bmp[:28] + b"\x05\0" + bmp[30:]
    yield (
        "no_tables.jpg",
        b"".join(jpeg[start:end] for marker, start, end in [(0xD8, 0, 2), *segments(jpeg)] if marker != 0xDB)
        + jpeg[[end for _, _, end in segments(jpeg)][-1] :],
    )
    yield "png_start_only.png", PNG_START
    yield "riff_only.webp", webp[:12]


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def _foreign(scene: "Image") -> Iterator[tuple[str, bytes]]:
    import numpy as np
    from PIL import Image

    more = [scene.rotate(angle) for angle in (90, 180, 270)]
    yield "text.jpg", b"not an image\n"
    yield "page.jpg", b"<!doctype html><script>alert(1)</script>"
    yield "picture.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
    yield "lfs_pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    yield "paper.jpg", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    yield "script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    yield "archive.jpg", b"PK\x03\x04" + bytes(26)
    yield "packed.jpg", b"\x1f\x8b\x08\0" + bytes(20)
    yield "still.gif", _encode(scene, "GIF")
    yield "moving.gif", _encode(scene, "GIF", save_all=True, append_images=more)
    yield "gif_named.jpg", _encode(scene, "GIF")
    yield "scan.tiff", _encode(scene, "TIFF")
    yield "pages.tiff", _encode(scene, "TIFF", save_all=True, append_images=more)
    yield "not_a_number.tiff", _encode(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF")
    yield "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
    yield "picture.avif", _encode(scene, "AVIF")
    yield "film.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(40)
    yield "wavelets.jp2", _encode(scene, "JPEG2000")
    yield "icon.ico", _encode(scene, "ICO", sizes=[(32, 32)])
    yield "layers.psd", b"8BPS\0\1" + bytes(60)
    yield "noise.jpg", np.random.default_rng(7).bytes(4096)
    yield "moving.png", _encode(scene, "PNG", save_all=True, append_images=more)
    yield "moving.webp", _encode(scene, "WEBP", save_all=True, append_images=more)
    yield "png_named.jpg", _encode(scene, "PNG")
    yield "polyglot.jpg", _encode(scene, "JPEG") + b"PK\x03\x04" + bytes(2000)


def _metadata(scene: "Image") -> Iterator[tuple[str, bytes]]:
    import numpy as np
    from PIL import PngImagePlugin

    rng, jpeg = np.random.default_rng(7), _encode(scene, "JPEG")
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.jpg", _encode(scene, "JPEG", exif=turned(orientation))
    yield "orientation_9.jpg", _encode(scene, "JPEG", exif=turned(9))
    yield "orientation_6.png", _encode(scene, "PNG", exif=turned(6))
    yield "orientation_6.webp", _encode(scene, "WEBP", exif=turned(6))
    yield "broken_exif.jpg", jpeg[:2] + _segment(0xE1, b"Exif\0\0" + rng.bytes(40)) + jpeg[2:]
    yield "broken_profile.jpg", _encode(scene, "JPEG", icc_profile=rng.bytes(500))
    yield "broken_profile.png", _encode(scene, "PNG", icc_profile=rng.bytes(500))
    yield "comment.jpg", _encode(scene, "JPEG", comment=b"<script>alert(1)</script>\n::error::x")
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "<script>alert(1)</script>")
    yield "comment.png", _encode(scene, "PNG", pnginfo=text)


def turned(orientation: int) -> "Exif":
    """EXIF with nothing but an orientation."""
    from PIL.Image import Exif

    exif = Exif()
    exif[0x0112] = orientation
    return exif


def _bombs(scene: "Image") -> Iterator[tuple[str, bytes]]:
    yield "bomb_header.png", png(60_000, 60_000, 8, RGB, zlib.compress(b"\0"))
    yield "bomb_largest_header.png", png(2**31 - 1, 2**31 - 1, 8, RGB, b"")
    yield "bomb_one_bit.png", png(30_000, 30_000, 1, GREY, zeros(30_000 * 3751))
    yield "bomb_at_the_cap.png", png(8_000, 8_000, 8, RGBA, zeros(8_000 * 32_001))
    yield "bomb_over_the_cap.png", png(8_001, 8_000, 8, RGB, b"")
    bmp = _encode(scene, "BMP")
    yield "bomb_header.bmp", bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:]
    yield "bomb_header.webp", _large_webp()
    packed = zlib.compress(bytes(20_000_000), 9)
    data = zlib.compress((b"\0" + bytes(24)) * 8)
    yield "bomb_text.png", png(8, 8, 8, RGB, data, chunk(b"zTXt", b"comment\0\0" + packed))
    yield "bomb_unicode_text.png", png(8, 8, 8, RGB, data, chunk(b"iTXt", b"comment\0\1\0\0\0" + packed))
    yield "bomb_profile.png", png(8, 8, 8, RGB, data, chunk(b"iCCP", b"profile\0\0" + packed))
    yield "bomb_scans.jpg", slow_jpeg(4000, 500)


def _large_webp() -> bytes:
    """A WebP whose header claims the largest canvas there can be (RFC 9649, 2.7)."""
    size = (16_383).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size
    return b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended
