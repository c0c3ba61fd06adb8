import numpy as np
import pytest
from PIL import Image

from pipeline.images import decoding
from pipeline.images.decoding import Facts, inspect


def words(facts: Facts) -> int:
    return (facts.dct << 128) | (facts.across << 64) | facts.down


def test_the_hash_of_a_twin_is_near_and_of_a_stranger_far(encode, photograph):
    rng = np.random.default_rng(7)
    scenes = [photograph(rng, *rng.integers(60, 400, 2)) for _ in range(30)]
    hashes = [words(inspect(encode(scene))) for scene in scenes]
    for scene, ours in zip(scenes, hashes, strict=True):
        width, height = scene.size
        cut = scene.crop((width // 40, 0, width - width // 40, height - height // 20))
        twins = [encode(scene, "JPEG", quality=50), encode(cut, "JPEG", quality=90)]
        twins += [encode(scene.resize((int(width * by), int(height * by))), "JPEG") for by in (0.5, 2)]
        assert max((ours ^ words(inspect(twin))).bit_count() for twin in twins) <= 36
    strangers = [(one ^ other).bit_count() for i, one in enumerate(hashes) for other in hashes[:i]]
    assert min(strangers) > 36


RECORDED = ("a10a8ff748a5b2ab", "60e087c282e3711e", "ebe3bd0418cfc3c7")


def test_the_hash_is_three_words_of_64_bits_in_a_fixed_order(encode, photograph):
    """Recorded: a ledger keeps hashes for years."""
    facts = inspect(encode(photograph(np.random.default_rng(7), 100, 80)))
    assert (f"{facts.dct:016x}", f"{facts.across:016x}", f"{facts.down:016x}") == RECORDED


def test_the_hash_of_brighter_to_the_right_and_down(encode):
    ramp = np.add.outer(np.arange(64), 2 * np.arange(64)).astype(np.uint8)
    facts = inspect(encode(ramp))
    assert facts.across == facts.down == 2**64 - 1
    turned_over = inspect(encode(ramp[::-1, ::-1]))
    assert turned_over.across == turned_over.down == 0


def test_the_hash_sees_the_whole_picture(encode, photograph):
    scene = np.asarray(photograph(np.random.default_rng(7), 300, 100))
    other = scene.copy()
    other[:, :90] = 255 - other[:, :90]  # outside the centre square
    assert (words(inspect(encode(scene))) ^ words(inspect(encode(other)))).bit_count() > 36


@pytest.mark.parametrize("side", [1, 2, 3, 8, 31, 33, 64, 65, 127, 128, 500])
@pytest.mark.parametrize("value", [0, 9, 255])
def test_a_flat_picture_has_an_empty_hash_and_no_contrast(encode, side, value):
    facts = inspect(encode(np.full((side, side, 3), value, np.uint8)))
    assert (facts.dct, facts.across, facts.down) == (0, 0, 0)
    assert (facts.contrast, facts.sharpness) == (0, 0)
    assert facts.brightness == pytest.approx(value / 255)


def test_brightness_and_contrast_are_those_of_luma(encode):
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 255
    facts = inspect(encode(halves))
    assert facts.brightness == pytest.approx(0.5)
    assert facts.contrast == pytest.approx(0.5, abs=0.02)
    assert inspect(encode(Image.new("RGB", (8, 8), (0, 255, 0)))).brightness == pytest.approx(150 / 255)


def test_sharpness_is_the_spread_of_the_laplacian_in_the_centre(encode):
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert inspect(encode(board)).sharpness == pytest.approx(4)  # its Laplacian is 4 and -4
    elsewhere = np.tile(board, (5, 5))
    elsewhere[64:, 64:] = 0
    assert inspect(encode(elsewhere)).sharpness == 0


def test_a_blurred_picture_is_less_sharp(encode):
    scene = Image.fromarray(np.random.default_rng(7).integers(0, 256, (80, 80, 3), np.uint8))
    blurred = scene.resize((20, 20), Image.Resampling.BILINEAR).resize((80, 80), Image.Resampling.BICUBIC)
    assert inspect(encode(blurred)).sharpness < inspect(encode(scene)).sharpness / 3


def test_facts_do_not_depend_on_what_else_is_measured(encode, photograph):
    """Pictures with centres of several shapes, and a faulty one among them."""
    rng = np.random.default_rng(7)
    contents = [encode(photograph(rng, *size)) for size in [(90, 80), (9, 80), (70, 99), (4, 4), (9, 80)]]
    contents.insert(2, b"not an image")
    facts = decoding.complete([decoding.see(content, [decoding.THUMBNAIL]) for content in contents])
    assert facts == [inspect(content) for content in contents]
    assert len({fact.sharpness for fact in facts}) == 6
