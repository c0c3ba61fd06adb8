"""Files that decoders read although a part of them is lost: how many are told. No intact one is refused."""

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from benchmarks import decode
from pipeline.images import decoding, jpeg

SIDES = [(64, 64), (224, 224), (320, 240)]
PLACES = [tenth / 20 for tenth in range(5, 20)]
"""Shares of a file, where its damage begins; before a quarter lie the headers of the small ones."""

JPEGS = {
    "plain": {},
    "fitted code": {"optimize": True},
    "no subsampling": {"subsampling": 0},
    "restart markers": {"restart_marker_blocks": 3},
    "grey": {"mode": "L"},
    "four colours": {"mode": "CMYK"},
}
WEBPS = {"lossy": {"quality": 80}, "lossless": {"lossless": True}}
FORMATS = [
    *(("JPEG", options) for options in JPEGS.values()),
    ("PNG", {}),
    *(("WEBP", options) for options in WEBPS.values()),
]
IDS = [*(f"JPEG, {name}" for name in JPEGS), "PNG", *(f"WebP, {name}" for name in WEBPS)]


@cache
def scene(number: int, width: int, height: int) -> Image.Image:
    """A picture with the spectrum of photographs."""
    square = decode.photograph(np.random.default_rng([number, 7]), max(width, height))
    return Image.open(io.BytesIO(square)).convert("RGB").crop((0, 0, width, height))


def encoded(picture: Image.Image, kind: str, mode: str = "RGB", **options: object) -> bytes:
    sink = io.BytesIO()
    picture.convert(mode).save(sink, kind, **{"quality": 85, **options})
    return sink.getvalue()


def error(content: bytes) -> str:
    return decoding.inspect(content).error


def zero_tail(content: bytes, place: float) -> bytes:
    """A copy that was cut off on a file of full size."""
    start = int(place * len(content))
    return content[:start] + bytes(len(content) - start)


def hole(content: bytes, place: float) -> bytes:
    """A twentieth of the file is lost."""
    start = int(place * len(content))
    end = min(len(content) - 20, start + max(40, len(content) // 20))
    return content[:start] + bytes(end - start) + content[end:]


def cut(content: bytes, place: float) -> bytes:
    """Cut off, and a JPEG's end put behind it."""
    return content[: int(place * len(content))] + b"\xff\xd9"


def share_refused(damage, kind: str, options: dict[str, object]) -> float:
    """Of the files that this damage does not leave as they are."""
    files = [
        (content, damage(content, place))
        for number, side in enumerate(SIDES)
        for content in [encoded(scene(number, *side), kind, **options)]
        for place in PLACES
    ]
    told = [bool(error(damaged)) for content, damaged in files if damaged != content]
    assert len(told) > 0.8 * len(SIDES) * len(PLACES)
    return sum(told) / len(told)


@pytest.mark.parametrize(("kind", "options"), FORMATS, ids=IDS)
def test_a_copy_that_was_cut_off_on_a_file_of_full_size_is_refused(kind, options):
    assert share_refused(zero_tail, kind, options) >= (0.9 if kind == "WEBP" else 1)


@pytest.mark.parametrize(("kind", "options"), FORMATS, ids=IDS)
def test_a_file_with_a_hole_is_refused(kind, options):
    assert share_refused(hole, kind, options) >= (1 if kind == "PNG" else 0.9)


@pytest.mark.parametrize("options", [*JPEGS.values(), {"progressive": True}], ids=[*JPEGS, "progressive"])
def test_a_jpeg_whose_end_was_put_behind_a_part_of_it_is_refused(options):
    # The last refinement of a progressive one makes up to a half of it, and is hardly seen.
    least = 0.3 if options.get("progressive") else 1
    assert share_refused(cut, "JPEG", options) >= least


def test_of_a_cut_progressive_jpeg_that_is_not_refused_hardly_anything_is_lost():
    for number, side in enumerate(SIDES):
        content = encoded(scene(number, *side), "JPEG", progressive=True)
        whole = decoding.decode(content, 64, 3).astype(int)
        kept = [damaged for place in PLACES if not error(damaged := cut(content, place))]
        assert all(np.abs(decoding.decode(damaged, 64, 3) - whole).mean() < 6 for damaged in kept)


@pytest.mark.parametrize("side", SIDES, ids=str)
def test_a_png_with_any_flipped_bit_is_refused(side):
    content = encoded(scene(1, *side), "PNG")
    for place in [*range(8, 60), *range(60, len(content), len(content) // 50), len(content) - 1]:
        assert error(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]), place


def chunks(content: bytes) -> list[tuple[bytes, int]]:
    """Name and place of each chunk of a PNG."""
    found, place = [], 8
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        found.append((name, place))
        place += length + 12
    return found


@pytest.mark.parametrize("name", [b"tEXt", b"eXIf", b"tRNS", b"IDAT"])
def test_the_checksum_of_each_chunk_of_a_png_counts(encode, name):
    """Of text too: it may say which way up the picture is."""
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "words")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(Image.new("P", (8, 8)), pnginfo=text, exif=exif, transparency=0)
    place = dict(chunks(content))[name]
    assert error(content) == ""
    assert error(content[: place + 8] + b"?" + content[place + 9 :]).startswith("damaged PNG: ")


def test_text_behind_a_pngs_data_counts_too(encode):
    content = encode(Image.new("L", (8, 8)))
    words = b"tEXtcomment\0words"
    right = struct.pack(">I", len(words) - 4) + words + struct.pack(">I", zlib.crc32(words))
    assert error(content[:-12] + right + content[-12:]) == ""
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    assert error(content[:-12] + wrong + content[-12:]) == "damaged PNG: the checksum of its chunk tEXt is wrong"


def test_a_png_without_its_end_is_refused(encode):
    content = encode(Image.new("L", (8, 8)))
    assert error(content[:-12]) == error(content[:-5]) == "damaged PNG: cut off: it has no IEND chunk"
    assert error(content + b"anything") == ""


def test_a_reason_says_what_of_a_jpeg_is_lost():
    plain, progressive = (encoded(scene(1, 224, 224), "JPEG", progressive=is_so) for is_so in (False, True))
    assert error(hole(plain, 0.7)) == "damaged JPEG: a part of its data is overwritten with zeros"
    assert error(cut(plain, 0.8)) == "damaged JPEG: its data ends before its picture does"
    assert error(cut(progressive, 0.6)) == "damaged JPEG: cut off: scans are missing"
    restarts = encoded(scene(1, 64, 64), "JPEG", restart_marker_blocks=2)
    assert error(restarts.replace(b"\xff\xd3", b"\xff\0", 1)) == "damaged JPEG: restart markers are missing"


FLAT = {
    "white": np.full((80, 120, 3), 255, np.uint8),
    "black": np.zeros((80, 120, 3), np.uint8),
    "blue": np.full((80, 120, 3), (0, 0, 255), np.uint8),
    "middle grey": np.full((80, 120, 3), 128, np.uint8),
    "white below": np.concatenate([np.asarray(scene(1, 400, 100)), np.full((300, 400, 3), 255, np.uint8)]),
    "grey below": np.concatenate([np.asarray(scene(1, 400, 100)), np.full((300, 400, 3), 128, np.uint8)]),
    "a product on white": np.pad(np.asarray(scene(2, 64, 64)), ((100, 100), (100, 100), (0, 0)), constant_values=255),
    "slope": np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None], (256, 200, 3)),
    "chequered": np.broadcast_to(
        (np.indices((90, 130)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None], (90, 130, 3)
    ),
    "one pixel": np.full((1, 1, 3), 128, np.uint8),
}
OPTIONS = [
    {},
    {"optimize": True},
    {"progressive": True},
    {"subsampling": 0, "optimize": True},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "progressive": True},
]


@pytest.mark.parametrize("name", FLAT)
@pytest.mark.parametrize("quality", [10, 75, 95, 100])
def test_an_intact_picture_with_flat_areas_is_not_refused(name, quality):
    """Their data has long runs of zeros where the code was made for the picture."""
    picture = Image.fromarray(np.ascontiguousarray(FLAT[name]))
    for options in OPTIONS:
        for mode in ("RGB", "L", "CMYK"):
            assert error(encoded(picture, "JPEG", mode, quality=quality, **options)) == "", (options, mode)
    for method in (0, 4, 6):
        assert error(encoded(picture, "WEBP", quality=quality, method=method)) == ""
        assert error(encoded(picture, "WEBP", lossless=True, method=method)) == ""
        assert error(encoded(picture, "WEBP", "RGBA", quality=quality, method=method)) == ""


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}], ids=str)
@pytest.mark.parametrize("filling", [bytes(5000), b"\xff" * 50, b"\xff\xd9" * 3, bytes(range(256)) * 20])
def test_what_follows_the_end_of_an_intact_file_does_not_matter(options, filling):
    for kind in ("JPEG", "PNG"):
        assert error(encoded(scene(1, 64, 64), kind, **options) + filling) == ""


@pytest.mark.parametrize("options", [{}, {"optimize": True}], ids=str)
@pytest.mark.parametrize("filling", [bytes(5000), b"\x5a" * 300])
def test_what_a_camera_fills_up_behind_a_jpegs_data_does_not_matter(options, filling):
    content = encoded(scene(1, 64, 64), "JPEG", **options)
    assert error(content[:-2] + filling + content[-2:]) == ""


def test_what_lies_between_a_jpegs_segments_does_not_matter():
    content = encoded(scene(1, 64, 64), "JPEG")
    table = content.index(b"\xff\xdb")
    for filling in (b"\xff\xff\xff", b"lost", bytes(20)):
        assert error(content[:table] + filling + content[table:]) == ""


def test_zeros_that_fill_up_a_webps_data_do_not_matter():
    content = encoded(scene(1, 64, 64), "WEBP")
    assert content[12:16] == b"VP8 "
    filled = bytearray(content + bytes(200))
    struct.pack_into("<I", filled, 4, len(filled) - 8)
    struct.pack_into("<I", filled, 16, len(filled) - 20)
    assert error(bytes(filled)) == ""


def test_a_bmp_shorter_than_its_picture_is_refused(encode):
    for mode in ("1", "L", "RGB"):
        content = encode(scene(1, 64, 64).convert(mode), "BMP")
        assert error(content) == ""
        assert error(content[:-5]).startswith("damaged BMP: ")


def test_little_memory_is_no_reason_to_refuse_an_intact_file():
    """What is suspicious is decoded once more."""
    content = encoded(Image.new("RGB", (64, 64), (128, 128, 128)), "JPEG")
    image = decoding._open(content, "JPEG", 10**6)

    def starved(_: object) -> None:
        raise MemoryError

    assert decoding._is_same(image, starved, content)


def test_the_scans_of_a_progressive_jpeg_are_read():
    picture = jpeg.read(encoded(scene(1, 70, 50), "JPEG", progressive=True, restart_marker_blocks=4))
    assert (picture.width, picture.height, len(picture.sampling)) == (70, 50, 3)
    assert len(picture.scans) == 10  # libjpeg's own script (`jcparam.c`)
    assert picture.is_complete
    assert not picture.is_sequential
    by_component = {scan.components: len(scan.expected_restarts) for scan in picture.scans}
    # Areas of 16 pixels; blocks of 8 pixels, of a component in full and of halved ones.
    assert by_component == {(1, 2, 3): (5 * 4 - 1) // 4, (1,): (9 * 7 - 1) // 4, (2,): 4, (3,): 4}
