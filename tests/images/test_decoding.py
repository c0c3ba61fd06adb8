import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from examples import examples
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from pipeline.images import decoding

MODES = {
    "JPEG": ["L", "RGB", "CMYK"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "P", "RGB"],
}
FILES = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


@pytest.fixture(scope="session")
def picture(draw, encode) -> Callable[[str, str], bytes]:
    def encoded(kind: str, mode: str, **options: object) -> bytes:
        if mode == "I;16":
            return encode(np.arange(96, dtype=np.uint16).reshape(8, 12) * 600, kind, **options)
        return draw(kind, mode, **options)

    return encoded


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A grey PNG of any claimed size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_inspect_says_what_an_image_is(picture, kind, mode):
    content = picture(kind, mode)
    facts = decoding.inspect(content)
    assert facts.num_bytes == len(content)
    assert (facts.format, facts.mode, facts.width, facts.height, facts.frames) == (kind, mode, 12, 8, 1)
    assert facts.error == ""


def test_a_phones_mpo_is_a_jpeg(encode):
    other = Image.new("RGB", (12, 8))
    content = encode(Image.new("RGB", (12, 8)), "MPO", save_all=True, append_images=[other])
    facts = decoding.inspect(content)
    assert (facts.error, facts.format, facts.frames) == ("", "JPEG", 1)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on what it could not read
@pytest.mark.parametrize("kind", MODES)
def test_a_file_cut_anywhere_is_refused(picture, kind):
    content = picture(kind, "RGB", size=(40, 30))
    for length in range(1, len(content) - 20, 7):
        facts = decoding.inspect(content[:length])
        assert facts.error
        assert (facts.num_bytes, facts.width, facts.height) == (length, 0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_file_that_lacks_its_second_half_is_said_to_be_truncated(picture, kind):
    content = picture(kind, "RGB", size=(200, 200))
    assert "truncated" in decoding.inspect(content[: len(content) // 2]).error


@pytest.mark.parametrize("part", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_png_whose_bytes_and_checksum_disagree_is_refused(draw, part):
    content = bytearray(draw("PNG", "P"))
    content[content.index(part) + 9] ^= 1
    assert decoding.inspect(bytes(content)).error


def test_a_png_with_a_damaged_header_is_not_said_to_be_no_png(draw):
    content = bytearray(draw("PNG"))
    content[content.index(b"IHDR") + 9] ^= 1
    assert "damaged" in decoding.inspect(bytes(content)).error


def test_a_reason_is_one_short_line(draw):
    content = bytearray(draw("PNG"))
    content[content.index(b"IDAT") + 9] ^= 1
    reason = decoding.inspect(bytes(content)).error
    assert 0 < len(reason) <= 200
    assert "\n" not in reason


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1), (decoding.MAX_PIXELS + 1, 1)], ids=str)
def test_a_huge_picture_is_refused_by_its_header_alone(size):
    content = png(*size, pixels=b"\0" * 100)
    assert len(content) < 100
    assert decoding.inspect(content).error == f"{size[0]} x {size[1]} pixels, more than 64,000,000"
    with pytest.raises(ValueError, match="pixels, more than 64,000,000"):
        decoding.decode(content, 8, 3)


def test_a_picture_at_the_cap_is_not_too_large(draw):
    assert decoding.look(draw(size=(12, 8)), decoding.THUMBNAIL, max_pixels=96)[0].error == ""
    facts, pixels = decoding.look(draw(size=(97, 1)), decoding.THUMBNAIL, max_pixels=96)
    assert (facts.error, pixels) == ("97 x 1 pixels, more than 96", None)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_pixels_are_canonical_whatever_the_file(picture, kind, mode, channels):
    pixels = decoding.decode(picture(kind, mode), 16, channels)
    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.uint8
    assert pixels.min() < pixels.max()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_pixels_at_their_own_size_are_those_of_the_file(encode, kind):
    pixels = np.random.default_rng(7).integers(0, 256, (8, 8, 3), np.uint8)
    content = encode(pixels, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decoding.decode(content, 8, 3), pixels)


UPRIGHT: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda scene: scene,
    np.fliplr,
    lambda scene: np.rot90(scene, 2),
    np.flipud,
    lambda scene: scene.swapaxes(0, 1),
    lambda scene: np.rot90(scene, 1),
    lambda scene: np.rot90(scene, 2).swapaxes(0, 1),
    lambda scene: np.rot90(scene, -1),
]
"""How a camera stores a scene under EXIF orientations 1 to 8 (CIPA DC-008, figure of tag 0x0112)."""


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_of_a_scene_gives_the_same_pixels(encode, orientation):
    scene = np.random.default_rng(7).integers(0, 256, (8, 12, 3), np.uint8)
    stored = encode(UPRIGHT[orientation - 1](scene), exif=turned(orientation))
    facts, pixels = decoding.look(stored, decoding.View(8))
    np.testing.assert_array_equal(pixels, scene[:, 2:10])
    upright = decoding.inspect(encode(scene))
    assert replace(facts, num_bytes=upright.num_bytes) == upright


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_orientation_is_read_in_every_format_that_has_it(encode, kind, orientation):
    scene = np.zeros((32, 32, 3), np.uint8)
    scene[:16, :16], scene[:16, 16:], scene[16:, :16] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    stored = encode(UPRIGHT[orientation - 1](scene), kind, exif=turned(orientation), quality=100)
    corners = (slice(4, 32, 24),) * 2
    np.testing.assert_allclose(decoding.decode(stored, 32, 3)[corners].astype(int), scene[corners], atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_read_from_xmp_too(encode, kind):
    scene = np.zeros((32, 32, 3), np.uint8)
    scene[:16] = 200
    words = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    chunk = PngImagePlugin.PngInfo()
    chunk.add_itxt("XML:com.adobe.xmp", words.decode())
    stored = encode(scene, kind, quality=100, **({"pnginfo": chunk} if kind == "PNG" else {"xmp": words}))
    np.testing.assert_allclose(decoding.decode(stored, 32, 3)[::31, 0, 0].astype(int), [0, 200], atol=2)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"", b"garbage!", b"MM\0*", b"II*\0\x08\0\0\0\xff\xff"], ids=repr)
def test_broken_exif_is_no_reason_to_refuse_an_image_or_to_fail(draw, kind, exif):
    content = draw(kind, exif=b"Exif\0\0" + exif)
    assert decoding.inspect(content).error == ""
    np.testing.assert_array_equal(decoding.decode(content, 8, 3), decoding.decode(draw(kind), 8, 3))


def test_an_orientation_beside_an_unwritable_tag_is_applied(encode):
    """Cameras write tags of the wrong type; nothing needs them to be written again."""
    resolution = b"\x11\x01\x1a\x01\x02\x00\x01\x00\x00\x00x\0\0\0"  # 0x011a, as text
    orientation = b"\x12\x01\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + orientation + resolution[2:] + b"\0\0\0\0"
    scene = np.random.default_rng(7).integers(0, 256, (8, 8, 3), np.uint8)
    content = encode(np.rot90(scene, 2), exif=exif)
    np.testing.assert_array_equal(decoding.decode(content, 8, 3), scene)


@pytest.mark.parametrize(("stored", "expected"), [(0, 0), (256, 0), (32_768, 127), (65_535, 255)])
def test_sixteen_bit_grey_is_scaled_not_cut_off(encode, stored, expected):
    pixels = decoding.decode(encode(np.full((8, 8), stored, np.uint16)), 8, 1)
    assert set(pixels.flat) == {expected}


def test_a_sixteen_bit_grey_declared_transparent_is_white(encode):
    grey = Image.fromarray(np.full((8, 8), 1000, np.uint16))
    header = encode(grey)
    place = header.index(b"IDAT") - 4
    content = header[:place] + chunk(b"tRNS", struct.pack(">H", 1000)) + header[place:]
    assert set(decoding.decode(content, 8, 1).flat) == {255}


def test_transparent_pixels_are_white(encode):
    clear = np.zeros((8, 8, 4), np.uint8)
    assert set(decoding.decode(encode(clear), 8, 3).flat) == {255}


def test_half_transparent_black_is_grey(encode):
    half = np.zeros((8, 8, 4), np.uint8)
    half[..., 3] = 128
    assert set(decoding.decode(encode(half), 8, 3).flat) == {127}


def test_opaque_pixels_stay_as_they_are(encode):
    opaque = np.full((8, 8, 4), (10, 20, 30, 255), np.uint8)
    assert decoding.decode(encode(opaque), 8, 3)[3, 3].tolist() == [10, 20, 30]


def test_grey_with_transparency_lies_over_white(encode):
    pixels = np.zeros((8, 8, 2), np.uint8)
    pixels[:, 4:, 1] = 255
    decoded = decoding.decode(encode(Image.fromarray(pixels, "LA")), 8, 1)[..., 0]
    assert set(decoded[:, :4].flat) == {255}
    assert set(decoded[:, 4:].flat) == {0}


@pytest.mark.parametrize(
    ("mode", "clear", "other", "shown"),
    [
        ("P", 0, 1, [0, 0, 200]),
        ("L", 0, 90, [90, 90, 90]),
        ("RGB", (0, 0, 0), (0, 0, 200), [0, 0, 200]),
        ("1", 0, 1, [255, 255, 255]),
    ],
    ids=["palette", "grey", "colour", "one bit"],
)
def test_a_colour_declared_transparent_is_white(encode, mode, clear, other, shown):
    image = Image.new(mode, (8, 8), clear)
    if mode == "P":
        image.putpalette([0, 0, 0, 0, 0, 200])
    image.paste(other, (4, 0, 8, 8))
    decoded = decoding.decode(encode(image, transparency=clear), 8, 3)
    assert set(decoded[:, :4].flat) == {255}
    assert decoded[0, 6].tolist() == shown


def test_cmyk_gives_the_colours_that_were_meant(encode):
    red = decoding.decode(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100), 8, 3)
    np.testing.assert_allclose(red[4, 4].astype(int), [255, 0, 0], atol=8)


def test_one_bit_gives_black_and_white(encode):
    image = Image.new("1", (8, 8), 0)
    image.paste(1, (4, 0, 8, 8))
    decoded = decoding.decode(encode(image), 8, 1)[..., 0]
    assert set(decoded[:, :4].flat) == {0}
    assert set(decoded[:, 4:].flat) == {255}


def test_grey_as_colour_has_three_equal_channels(draw):
    pixels = decoding.decode(draw(mode="L"), 8, 3)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 1])
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_colour_as_grey_is_its_brightness(encode):
    colours = {(255, 0, 0): 76, (0, 255, 0): 150, (0, 0, 255): 29}  # ITU-R BT.601: 0.299, 0.587, 0.114
    for colour, brightness in colours.items():
        assert decoding.decode(encode(Image.new("RGB", (8, 8), colour)), 8, 1)[4, 4, 0] == brightness


def test_the_centre_square_is_taken(encode):
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, 8:16] = 200
    assert set(decoding.decode(encode(stripes), 8, 3).flat) == {200}
    assert set(decoding.decode(encode(stripes.swapaxes(0, 1)), 8, 3).flat) == {200}


def test_shrinking_averages_instead_of_dropping_pixels(encode):
    fine = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    np.testing.assert_allclose(decoding.decode(encode(fine), 8, 1).astype(int), 127, atol=12)


@pytest.mark.parametrize("side", [100, 500, 1111])
def test_pixels_are_what_pillow_makes_of_the_centre(encode, photograph, side):
    """Up to rounding: a large picture is first averaged down, which is four times as fast."""
    scene = photograph(np.random.default_rng(7), side + 30, side)
    exact = ImageOps.fit(scene, (64, 64), Image.Resampling.BILINEAR)
    difference = decoding.decode(encode(scene), 64, 3).astype(int) - np.asarray(exact)
    assert np.abs(difference).max() <= 4
    assert np.abs(difference).mean() < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1)], ids=str)
def test_a_sliver_of_an_image_can_be_decoded(draw, size):
    assert decoding.decode(draw(size=size), 8, 3).shape == (8, 8, 3)


def test_a_picture_is_stretched_to_a_square_or_its_centre_is_taken(encode):
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, 8:16] = 200
    content = encode(stripes)
    stretched = decoding.look(content, decoding.View(24, 1, "stretch"))[1]
    assert stretched[:, [4, 12, 20], 0].tolist() == [[0, 200, 0]] * 24
    assert set(decoding.look(content, decoding.View(8, 1, "crop"))[1].flat) == {200}
    np.testing.assert_array_equal(decoding.decode(content, 8, 1), decoding.decode(content, 8, 1, "crop"))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_padded_picture_is_all_there_with_grey_beside_it(encode, channels):
    scene = np.random.default_rng(7).integers(0, 256, (8, 24, 3), np.uint8)
    for turned_scene in (scene, scene.swapaxes(0, 1)):
        content = encode(turned_scene)
        pixels = decoding.decode(content, 24, channels, "pad")
        exact = np.asarray(Image.fromarray(turned_scene).convert("RGB" if channels == 3 else "L"))
        middle = (slice(8, 16), slice(None)) if turned_scene is scene else (slice(None), slice(8, 16))
        np.testing.assert_array_equal(pixels[middle], exact.reshape(*turned_scene.shape[:2], channels))
        beside = np.ones((24, 24), bool)
        beside[middle] = False
        assert set(pixels[beside].flat) == {128}


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_of_a_square_picture_every_fit_gives_the_same(encode, photograph, fit):
    content = encode(photograph(np.random.default_rng(7), 300, 300))
    np.testing.assert_array_equal(decoding.decode(content, 32, 3, fit), decoding.decode(content, 32, 3))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_fit_is_of_the_upright_picture(encode, orientation, fit):
    scene = np.random.default_rng(7).integers(0, 256, (30, 60, 3), np.uint8)
    stored = encode(UPRIGHT[orientation - 1](scene), exif=turned(orientation))
    np.testing.assert_array_equal(decoding.decode(stored, 20, 3, fit), decoding.decode(encode(scene), 20, 3, fit))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("size", [(400, 40), (40, 400), (300, 200), (500, 1), (1, 500), (3, 2)], ids=str)
def test_every_fit_of_every_aspect_is_a_square(draw, kind, size, fit):
    """And the same whether it is decoded alone or with others."""
    content, view = draw(kind, size=size), decoding.View(32, 3, fit)
    facts, pixels = decoding.look(content, view)
    assert (facts.error, facts.width, facts.height) == ("", *size)
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_array_equal(decoding.see(content, [decoding.THUMBNAIL, view]).pixels[1], pixels)


@pytest.mark.parametrize("size", [(640, 480), (1920, 1080), (400, 40)], ids=str)
def test_a_padded_photograph_is_what_pillow_makes_of_it(encode, photograph, size):
    """Up to rounding; see the test of the centre."""
    scene = photograph(np.random.default_rng(7), *size)
    exact = ImageOps.pad(scene, (64, 64), Image.Resampling.BILINEAR, color=(128, 128, 128))
    difference = decoding.decode(encode(scene), 64, 3, "pad").astype(int) - np.asarray(exact)
    assert np.abs(difference).mean() < 0.5
    assert np.percentile(np.abs(difference), 99) <= 4


@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_facts_do_not_depend_on_the_view(picture, kind, mode):
    content = picture(kind, mode)
    views = [decoding.View(8), decoding.View(96, 1), decoding.THUMBNAIL]
    assert len({decoding.look(content, view)[0] for view in views}) == 1
    several, none = decoding.see(content, views), decoding.see(content, ())
    assert decoding.complete([several, none]) == [decoding.look(content, views[0])[0]] * 2


@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_one_decoding_gives_the_pixels_of_each_view(picture, kind, mode):
    content = picture(kind, mode)
    views = [decoding.View(8), decoding.THUMBNAIL, decoding.View(96, 1), decoding.View(8, 1)]
    pixels = decoding.see(content, views).pixels
    assert len(pixels) == len(views)
    for view, rows in zip(views, pixels, strict=True):
        assert rows.dtype == np.uint8
        np.testing.assert_array_equal(rows, decoding.look(content, view)[1])


def test_a_faulty_image_has_no_pixels_of_any_view(draw):
    decoded = decoding.see(draw()[:60], [decoding.View(8), decoding.THUMBNAIL])
    assert decoded.facts.error
    assert (decoded.pixels, decoded.sketch) == ((), None)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("missing", [9, 36], ids=["a row", "four rows"])
def test_a_png_whose_data_ends_early_in_good_order_is_refused(interlaced, missing):
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, interlaced)
    whole = b"".join((b"\0" + bytes(width)) * times for width, times in ADAM7) if interlaced else bytes(9 * 8)
    for data, error in ((whole, ""), (whole[:-missing], "damaged PNG: too few rows of pixels")):
        parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
        assert decoding.inspect(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).error == error


def test_an_interlaced_pngs_last_row_says_nothing_of_the_others():
    """The last of nine is in the first pass, the row before it in the last."""
    passes = [(1, 2), (1, 2), (2, 1), (2, 3), (4, 2), (4, 5), (8, 4)]
    data = b"".join((b"\0" + b"\xff" * width) * times for width, times in passes)
    for missing, error in ((0, ""), (9, "damaged PNG: too few rows of pixels")):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 9, 8, 0, 0, 0, 1))
        rest = chunk(b"IDAT", zlib.compress(data[: len(data) - missing])) + chunk(b"IEND", b"")
        assert decoding.inspect(b"\x89PNG\r\n\x1a\n" + header + rest).error == error


ADAM7 = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)]
"""Width and rows of the passes of an interlaced picture of 8 x 8 pixels (ISO/IEC 15948, 8.2)."""


def test_counting_a_pngs_data_unpacks_no_more_than_the_picture_needs():
    content = png(8, 8, bytes(300_000_000))
    tracemalloc.start()
    try:
        assert decoding.inspect(content).error == ""
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@st.composite
def damaged(draw_from, content: bytes) -> bytes:
    """The bytes with a few changed, most often near their beginning, and perhaps cut off."""
    changed = bytearray(content)
    places = st.integers(0, min(99, len(content) - 1)) | st.integers(0, len(content) - 1)
    for place, byte in draw_from(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        changed[place] = byte
    return bytes(changed[: draw_from(st.just(len(content)) | st.integers(1, len(content)))])


@pytest.fixture(scope="session")
def originals(picture) -> list[bytes]:
    return [picture(kind, mode) for kind, mode in FILES]


def check_that_what_is_accepted_can_be_decoded(content: bytes) -> None:
    facts, pixels = decoding.look(content, decoding.View(8))
    assert facts == decoding.inspect(content)
    assert (pixels is None) == bool(facts.error)
    if pixels is None:
        with pytest.raises(ValueError, match=re.escape(facts.error)):
            decoding.decode(content, 8, 3)
    else:
        np.testing.assert_array_equal(decoding.decode(content, 8, 3), pixels)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on what it skips
@examples(600)
@hypothesis.given(data=st.data())
def test_inspect_never_raises_and_what_it_accepts_can_be_decoded(originals, data):
    check_that_what_is_accepted_can_be_decoded(data.draw(damaged(data.draw(st.sampled_from(originals)))))


@pytest.mark.filterwarnings("ignore::UserWarning")
@examples(300)
@hypothesis.given(data=st.data(), kind=st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_what_is_accepted_can_be_decoded_whatever_its_exif(draw, data, kind):
    exif = turned(6)
    exif[0x010F], exif[0x011A] = "a camera", 72.0
    check_that_what_is_accepted_can_be_decoded(draw(kind, exif=b"Exif\0\0" + data.draw(damaged(exif.tobytes()[6:]))))


@hypothesis.given(st.binary(max_size=200))
def test_inspect_never_raises_on_bytes_of_any_kind(content):
    for start in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 ", b"BM"):
        assert decoding.inspect(start + content).error
