import hashlib
import io
from itertools import combinations
from pathlib import Path

import hypothesis
import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pipeline.checking import facts, quarantine
from pipeline.data import groups, ledger, neighbours, twins
from pipeline.data.delta import Delta
from pipeline.data.store import Store
from pipeline.images import decoding, likeness, pixels
from pipeline.images.decoding import THUMBNAIL, View
from pipeline.stages import prepare

PLANTED = 1000
SIDES = (64, 200)
"""Pixels; of the pictures drawn here."""


def photograph(seed: int) -> Image.Image:
    """Like one: light and colour that change slowly, texture on top of that, and a few things with edges."""
    rng = np.random.default_rng(seed)
    width, height = rng.integers(*SIDES, 2, endpoint=True).tolist()
    light = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((3, 60), (6, 30), (12, 15), (24, 8)):
        coarse = rng.normal(0, strength, (cells, cells, 3)).astype(np.float32)
        coarse = 0.3 * coarse + 0.7 * coarse.mean(axis=2, keepdims=True)  # colours go together in photographs
        planes = [Image.fromarray(np.ascontiguousarray(coarse[..., plane])) for plane in range(3)]
        light += np.stack([plane.resize((width, height), Image.Resampling.BICUBIC) for plane in planes], axis=2)
    light += rng.normal(0, 4, (height, width, 1))
    picture = Image.fromarray(np.clip(light + rng.integers(90, 165, 3), 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(2, 6)):
        left, right = sorted(rng.integers(0, width, 2).tolist())
        top, bottom = sorted(rng.integers(0, height, 2).tolist())
        colour = tuple(rng.integers(0, 256, 3).tolist())
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((left, top, right, bottom), colour)
    return picture


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def resized(picture: Image.Image, by: float) -> Image.Image:
    return picture.resize(
        (max(1, round(picture.width * by)), max(1, round(picture.height * by))), Image.Resampling.BICUBIC
    )


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """2 to 5 % of each axis less, from either edge or both."""
    spans = []
    for side in picture.size:
        gone = int(rng.uniform(0.02, 0.05) * side)
        first = int(rng.integers(0, gone + 1))
        spans.append((first, side - gone + first))
    (left, right), (top, bottom) = spans
    return picture.crop((left, top, right, bottom))


def twin(number: int) -> bytes:
    """A copy of a photograph: encoded again; every other one resized, every third one cropped before that."""
    rng, picture = np.random.default_rng([number, 7]), photograph(number)
    if number % 3 == 0:
        picture = cropped(picture, rng)
    if number % 2 == 0:
        picture = resized(picture, 2 ** (rng.choice([-1, 1]) * rng.uniform(0.1, 1)))
    quality = int(rng.integers(50, 96))
    kinds = [("JPEG", {"quality": quality}), ("WEBP", {"quality": quality}), ("PNG", {})]
    kind, options = kinds[int(rng.choice(3, p=[0.6, 0.2, 0.2]))]
    if number % 6 in (1, 5):  # neither: as JPEG, or it would be a copy
        kind, options = kinds[0]
    return encoded(picture, kind, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("twins")


def accept(root: Path, contents: list[bytes], settings) -> pl.DataFrame:
    """Put images into the DVC cache and accept them, as `validate` does."""
    digests = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents]
    for digest, content in zip(digests, contents, strict=True):
        path = root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    rows = pl.DataFrame({"digest": digests, "path": [f"data/images/a/cat/{digest}" for digest in digests]})
    looks = pixels.look(Store(root), rows, pixels.limits(settings.validate_), {}, "test")
    assert not [fact.error for fact in looks if fact.error]
    words = facts.table(looks).select(ledger.HASHES)
    return rows.with_columns(words, kind=pl.lit("added"), label=pl.lit("cat"))


def prepared(root: Path, before: pl.DataFrame, rows: pl.DataFrame, settings) -> pl.DataFrame:
    """The ledger, as `prepare` extends it."""
    accepted = Delta(rows.with_columns(was=pl.lit("")))
    images = likeness.Images(Store(root), pixels.limits(settings.validate_), (View(8),), root)
    pairs = likeness.pairs(images, before, accepted, settings.prepare.near_duplicates)
    nobody = pl.DataFrame(schema={"digest": pl.String, "split": pl.String})
    claims = pl.DataFrame(schema={"digest": pl.String, "name": pl.String})
    grouping = groups.of(before, ledger.newcomers(before, accepted)["digest"], pairs, claims)
    return prepare._extend(before, accepted, grouping, quarantine.table([]), nobody, "c", settings.prepare)


@pytest.mark.project
def test_of_a_thousand_planted_twins_none_is_on_the_other_side_of_the_split(root, settings):
    originals = accept(root, [encoded(photograph(number), "PNG") for number in range(PLANTED)], settings)
    copies = accept(root, [twin(number) for number in range(PLANTED)], settings)
    first = prepared(root, ledger.empty(), originals, settings)
    both = prepared(root, first, copies, settings)
    split, group = (dict(both.select("digest", name).iter_rows()) for name in ("split", "group"))
    pairs = list(zip(originals["digest"], copies["digest"], strict=True))
    assert len({digest for pair in pairs for digest in pair}) == 2 * PLANTED

    assert sum(split[one] != split[other] for one, other in pairs) == 0
    assert sum(group[one] != group[other] for one, other in pairs) == 0
    unrelated = 2 * PLANTED - len(set(group.values())) - PLANTED
    assert unrelated <= PLANTED // 500
    assert both["torn"].sum() <= PLANTED // 500  # bridges between unrelated pictures are left out


WORDS = st.tuples(*[st.integers(0, 2**64 - 1)] * 3)


def near(words: tuple[int, ...], bits) -> tuple[int, ...]:
    """The hash with these bits, of 192, the other way round."""
    whole = sum(word << 64 * place for place, word in enumerate(words)) ^ sum(1 << bit for bit in set(bits))
    return tuple(whole >> 64 * place & 2**64 - 1 for place in range(3))


def candidates(new, old=()) -> set[tuple[int, int]]:
    pairs = twins.candidates(*(np.array(rows, np.uint64).reshape(-1, 3) for rows in (new, old)))
    found = {(row - len(old), other) for row, other in pairs.tolist()}
    assert len(pairs) == len(found)
    return found


@hypothesis.given(st.lists(st.tuples(WORDS, st.lists(st.integers(0, 191), max_size=60)), max_size=5), st.integers(0, 9))
def test_every_pair_within_the_distance_is_a_candidate_and_no_other(drawn, num_old):
    every = [words for base, bits in drawn for words in (base, near(base, bits))]
    old, new = every[: min(num_old, len(every))], every[min(num_old, len(every)) :]

    def distance(one, other) -> list[int]:
        return [(a ^ b).bit_count() for a, b in zip(one, other, strict=True)]

    expected = {
        (place - len(old), other)
        for other, place in combinations(range(len(every)), 2)
        if place >= len(old)
        if distance(every[place], every[other])[0] <= twins.MAX_DISTANCE_DCT
        if sum(distance(every[place], every[other])) <= twins.MAX_DISTANCE
    }
    if all(sum(row == place for row, _ in expected) <= twins.MAX_CANDIDATES for place, _ in expected):
        assert candidates(new, old) == expected


ZERO = (0, 0, 0)


@pytest.mark.parametrize(
    ("bits", "is_candidate"),
    [
        (range(16), True),
        (range(17), False),
        (range(64, 100), True),
        (range(64, 101), False),
        ([*range(16), *range(64, 84)], True),
        ([*range(16), *range(64, 85)], False),
    ],
    ids=["first word at", "first word beyond", "others at", "others beyond", "both at", "both beyond"],
)
def test_the_distances_are_bounds(bits, is_candidate):
    assert candidates([near(ZERO, bits)], [ZERO]) == ({(0, 0)} if is_candidate else set())


def test_only_the_nearest_of_many_are_looked_at():
    old = [near(ZERO, range(100, 100 + bits)) for bits in range(20, 0, -1)]
    assert candidates([ZERO], old) == {(0, 20 - bits) for bits in range(1, 1 + twins.MAX_CANDIDATES)}


def test_a_twin_is_found_in_every_block_of_a_large_ledger(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 4)
    rng = np.random.default_rng(7)
    old = [tuple(rng.integers(0, 2**64, 3, np.uint64).tolist()) for _ in range(11)]
    assert candidates(old, old) == {(row, row) for row in range(11)} | set()


def test_no_images_have_no_candidates():
    assert candidates([], [ZERO]) == candidates([ZERO], []) == set()


def thumbnail(picture: Image.Image) -> np.ndarray:
    fact, shown = decoding.look(encoded(picture, "PNG"), THUMBNAIL)
    assert not fact.error
    return shown


def are_twins(one: Image.Image, other: Image.Image, similarity: float = 0.93, min_side: int = 64) -> bool:
    first, second = thumbnail(one), thumbnail(other)
    answer = twins.are_twins(first, second, similarity, min_side)
    assert twins.are_twins(second, first, similarity, min_side) is answer
    return answer


@pytest.mark.parametrize("seed", range(5))
def test_a_small_crop_of_any_edge_is_a_twin_and_a_large_one_is_not(seed):
    picture = photograph(seed)
    width, height = picture.size
    for edge in range(4):
        box = [0, 0, width, height]
        box[edge] += (1 if edge < 2 else -1) * int((width, height)[edge % 2] * 0.05)
        assert are_twins(picture, picture.crop(box))
    assert not are_twins(picture, picture.crop((0, 0, width // 2, height // 2)))


@pytest.mark.parametrize("turn", list(Image.Transpose), ids=lambda turn: turn.name.lower())
def test_mirrored_and_turned_copies_are_other_pictures(turn):
    assert not are_twins(photograph(1), photograph(1).transpose(turn))


@pytest.mark.parametrize("seed", range(5))
def test_different_photographs_are_no_twins(seed):
    assert not are_twins(photograph(seed), photograph(seed + 100))


def test_the_same_picture_in_other_colours_is_no_twin():
    picture = photograph(1)
    red, green, blue = picture.split()
    assert not are_twins(picture, Image.merge("RGB", (blue, red, green)))
    assert not are_twins(picture, Image.eval(picture, lambda value: value // 2))


def test_small_pictures_are_twins_only_if_they_are_equal():
    picture = photograph(1)
    crop = picture.crop((2, 0, *picture.size))
    assert are_twins(picture, crop, min_side=twins.MIN_SIDE)
    assert not are_twins(picture, crop, min_side=twins.MIN_SIDE - 1)
    assert are_twins(picture, picture, min_side=1)


def test_a_stricter_similarity_tells_more_pictures_apart():
    picture = photograph(1)
    worse = Image.open(io.BytesIO(encoded(resized(picture, 0.25), "JPEG", quality=10)))
    assert are_twins(picture, worse, 0.8)
    assert not are_twins(picture, worse, 0.9999)


@pytest.mark.parametrize(("one", "other", "same"), [(0, 0, True), (200, 201, True), (200, 202, False), (0, 255, False)])
def test_blank_pictures_are_twins_only_if_they_are_of_one_shade(one, other, same):
    flat = [np.full((48, 48, 3), shade, np.uint8) for shade in (one, other)]
    assert twins.are_twins(*flat, 0.93, 64) is same


def test_a_blank_picture_is_no_twin_of_any_other():
    assert not are_twins(Image.new("RGB", (64, 64), "grey"), photograph(1))
