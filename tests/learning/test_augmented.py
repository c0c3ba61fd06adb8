"""What is drawn for each image, whatever else is in its batch; what is mixed, and with which labels."""

import hashlib
import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.learning import augment, distortions
from pipeline.learning.augment import Batch
from pipeline.learning.settings import Train
from pipeline.settings import Params

SINGLE = {"crop": 0.5, "colour": 0.4, "rand_augment": 2}
EVERY = {**SINGLE, "mixup": 0.5, "cutmix": 1.0}
EACH = [{name: value} for name, value in EVERY.items()]


def pictures(count: int = 12, side: int = 24, channels: int = 3) -> np.ndarray:
    """Patches of different brightness, so that nothing that is done to them leaves them as they are."""
    rng = np.random.default_rng(0)
    return rng.integers(20, 230, (count, side // 4, side // 4, channels)).repeat(4, 1).repeat(4, 2).astype(np.uint8)


def digests(count: int = 12) -> list[str]:
    return [hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest() for number in range(count)]


@pytest.fixture
def still(settings: Params) -> Train:
    """Neither mirrored nor shifted."""
    return settings.train.model_copy(update={"flip": False, "shift": 0.0})


def augmented(train: Train, changes: dict[str, Any], rows: Any = slice(None), epoch: int = 3, **other: Any) -> Batch:
    given = {"pixels": pictures(), "seed": 7, "step": 0} | other
    pixels, labels, names = given["pixels"], np.arange(len(given["pixels"])), np.array(digests(len(given["pixels"])))
    settings = train.model_copy(update=changes)
    return augment.augmented(
        pixels[rows], labels[rows], names[rows].tolist(), settings, given["seed"], epoch, given["step"]
    )


def equal(one: Batch, two: Batch, rows: Any = slice(None)) -> bool:
    return all(
        (mine is None and its is None) or np.array_equal(mine[rows], its) for mine, its in zip(one, two, strict=True)
    )


def test_all_is_off_in_params_yaml(settings: Params) -> None:
    assert not settings.train.is_distorting
    assert not settings.train.is_mixing


def test_with_all_off_the_images_are_those_given(still: Train) -> None:
    given = pictures()
    batch = augmented(still, {}, pixels=given)
    assert batch.pixels.base is given, "all rows of it"
    assert np.array_equal(batch.labels, np.arange(12))
    assert (batch.partners, batch.shares) == (None, None)


@pytest.mark.parametrize(("epoch", "step"), [(1, 0), (3, 4)])
def test_images_that_are_only_moved_are_moved_by_the_draws_of_their_step(settings, epoch, step):
    rng = np.random.default_rng([7, epoch, step + 1])
    moved = augment.move(pictures(), settings.train.flip, settings.train.shift, rng)
    assert np.array_equal(augmented(settings.train, {}, epoch=epoch, step=step).pixels, moved)


@pytest.mark.parametrize("changes", [*EACH, SINGLE, EVERY], ids=str)
def test_the_same_draws_each_time_and_others_with_another_seed_or_epoch(settings, changes):
    given = pictures()
    before = given.copy()
    one = augmented(settings.train, changes, pixels=given)
    assert np.array_equal(given, before), "the images stay as they are"
    assert (one.pixels.dtype, one.pixels.shape) == (given.dtype, given.shape)
    assert equal(one, augmented(settings.train, changes))
    assert equal(one, augmented(settings.train, changes, step=5)), "the step does not matter"
    for other in (augmented(settings.train, changes, epoch=4), augmented(settings.train, changes, seed=8)):
        assert sum(np.array_equal(*pair) for pair in zip(one.pixels, other.pixels, strict=True)) <= 1


@pytest.mark.parametrize("changes", [*EACH, EVERY], ids=str)
def test_the_order_in_a_batch_does_not_matter(settings, changes):
    order = np.random.default_rng(1).permutation(12)
    assert equal(augmented(settings.train, changes), augmented(settings.train, changes, order), order)


@pytest.mark.parametrize("changes", [*EACH[:3], SINGLE], ids=str)
def test_an_image_is_distorted_alike_whatever_else_is_in_its_batch(settings, changes):
    whole = augmented(settings.train, changes)
    for rows in ([3], [7, 3], range(2, 9)):
        assert equal(whole, augmented(settings.train, changes, np.array(rows)), np.array(rows))


def test_an_image_draws_its_share_whatever_else_is_in_its_batch(still: Train) -> None:
    for changes in EACH[3:]:
        whole, alone = augmented(still, changes), augmented(still, changes, [3])
        assert whole.shares is not None
        assert alone.shares is not None
        assert whole.shares[3] == alone.shares[0]
        assert np.array_equal(alone.pixels, pictures()[[3]]), "with nobody else it is mixed with itself"


@pytest.mark.parametrize("changes", [*EACH, EVERY], ids=str)
def test_grey_images_are_augmented_too(settings, changes):
    given = pictures(channels=1)
    batch = augmented(settings.train, changes, pixels=given)
    assert (batch.pixels.dtype, batch.pixels.shape) == (np.uint8, given.shape)
    assert not np.array_equal(batch.pixels, given)


def test_a_cropped_image_is_mirrored_and_shifted_first(settings: Params, still: Train) -> None:
    """All of the picture is kept, so the crop changes nothing of what was moved."""
    moved, whole = augmented(settings.train, {"crop": 1.0}), pictures()
    assert np.array_equal(augmented(still, {"crop": 1.0}).pixels, whole)
    mirrored = augmented(still, {"crop": 1.0, "flip": True}).pixels
    kinds = {
        (np.array_equal(image, its), np.array_equal(image, its[:, ::-1]))
        for image, its in zip(mirrored, whole, strict=True)
    }
    assert kinds == {(True, False), (False, True)}
    assert not any(np.array_equal(*pair) for pair in zip(moved.pixels, whole, strict=True))


@hypothesis.given(st.integers(0, 2**64), st.sampled_from([0.01, 0.08, 0.5, 0.99, 1.0]), st.sampled_from([8, 33, 160]))
def test_a_crop_lies_inside_and_has_the_area_and_the_aspect(seed: int, least: float, height: int) -> None:
    width = 2 * height
    left, top, right, bottom = distortions.crop_box(width, height, least, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert least - 1e-9 <= (right - left) * (bottom - top) / (width * height) <= 1 + 1e-9
    assert 3 / 4 - 1e-9 <= (right - left) / (bottom - top) / 2 <= 4 / 3 + 1e-9


def test_crops_are_of_all_sizes_aspects_and_places() -> None:
    boxes = np.array([distortions.crop_box(100, 100, 0.2, np.random.default_rng(seed)) for seed in range(1000)])
    across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    area, aspect = across * down / 100**2, across / down
    np.testing.assert_allclose(np.quantile(area, [0, 0.5, 1]), [0.2, 0.6, 1], atol=0.03)
    np.testing.assert_allclose(np.quantile(np.log(aspect), [0.02, 0.5, 0.98]), [-0.28, 0, 0.28], atol=0.03)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres.mean(axis=0), 50, atol=1)
    assert (centres.std(axis=0) > 5).all()


def test_a_crop_is_resized_to_the_whole(still: Train) -> None:
    """On a slope from left to right, what is left of a crop is a part of the slope."""
    slope = np.broadcast_to(np.arange(0, 240, 10, dtype=np.uint8)[None, None, :, None], (12, 24, 24, 3))
    for image in augmented(still, {"crop": 0.3}, pixels=slope).pixels[:, 12, :, 0].astype(int):
        assert (np.diff(image) >= 0).all()
        assert math.sqrt(0.3 * 3 / 4) * 230 - 15 < image[-1] - image[0] < 230


def test_colours_change_within_the_strength(still: Train) -> None:
    """Of an even grey only the brightness changes."""
    grey = np.full((400, 2, 2, 3), 100, np.uint8)
    changed = augmented(still, {"colour": 0.2}, pixels=grey).pixels
    assert (changed == changed[:, :1, :1, :1]).all()
    found = changed[:, 0, 0, 0].astype(int)
    assert found.min() in (80, 81)
    assert found.max() in (119, 120)
    assert abs(found.mean() - 100) < 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", distortions.OPERATIONS, ids=lambda it: it.__name__.strip("_"))
def test_each_operation_changes_a_picture_and_nothing_of_its_kind(operation, channels):
    from PIL import Image

    pixels = pictures(1, channels=channels)[0]
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    before = picture.copy()
    changed = operation(picture, np.random.default_rng(1))
    assert (changed.size, changed.mode) == (picture.size, picture.mode)
    assert changed != picture
    assert picture == before


def test_each_operation_is_drawn(still: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def noted(number: int) -> Any:
        return lambda picture, _: drawn.append(number) or picture

    monkeypatch.setattr(distortions, "OPERATIONS", [noted(number) for number in range(8)])
    augmented(still, {"rand_augment": 3}, pixels=pictures(200))
    assert len(drawn) == 600
    assert set(drawn) == set(range(8))


def test_each_image_is_mixed_with_one_other_and_no_two_with_the_same(still: Train) -> None:
    one, two = (augmented(still, {"mixup": 1.0}, epoch=epoch).partners for epoch in (3, 4))
    assert one is not None
    assert two is not None
    assert sorted(one) == list(range(12))
    assert (one != np.arange(12)).all()
    assert not np.array_equal(one, two)


def test_a_blended_image_has_the_share_of_itself_and_the_rest_of_its_partner(still: Train) -> None:
    given = pictures(200, 8)
    _, labels, partners, shares = batch = augmented(still, {"mixup": 0.4}, pixels=given)
    assert partners is not None
    assert shares is not None
    assert shares.dtype == np.float32
    assert (partners.dtype, partners.shape) == (labels.dtype, labels.shape)
    share = shares[:, None, None, None]
    np.testing.assert_allclose(batch.pixels, share * given + (1 - share) * given[partners], atol=0.501)
    # Of Beta(0.4, 0.4): the mean, and the variance 1 / (4 (2 * 0.4 + 1)).
    assert abs(shares.mean() - 0.5) < 0.06
    assert abs(shares.var() - 1 / 7.2) < 0.02


def test_an_image_that_comes_again_in_an_epoch_looks_different_where_that_is_asked_for(still: Train) -> None:
    twice, same = pictures(1).repeat(2, axis=0), digests(1) * 2
    train = still.model_copy(update=SINGLE)
    given = (twice, np.zeros(2, np.int64), same, train, 7, 3, 0)
    one, again = augment.augmented(*given, np.array([0, 1])).pixels
    assert not np.array_equal(one, again)
    for pixels in (augment.augmented(*given).pixels, augment.augmented(*given, np.array([0, 0])).pixels):
        assert np.array_equal(pixels, np.stack([one, one]))


def test_the_share_of_a_cut_image_is_that_of_its_pixels(still: Train) -> None:
    """Each image is of one value, its number."""
    given = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None, None, None], (200, 10, 6, 3))
    pixels, labels, partners, shares = augmented(still, {"cutmix": 1.0}, pixels=given)
    assert partners is not None
    assert shares is not None
    own = (pixels == labels[:, None, None, None]).all(axis=3)
    others = (pixels == partners[:, None, None, None]).all(axis=3)
    assert (own ^ others).all()
    np.testing.assert_allclose(shares, own.mean(axis=(1, 2)), atol=1e-6)
    for pasted in others:
        assert pasted.sum() == pasted.any(axis=0).sum() * pasted.any(axis=1).sum(), "a rectangle"
    assert {round(float(share), 1) for share in shares} >= {0.2, 0.5, 0.8, 1.0}
    assert others.mean(axis=0).min() > 0.1, "anywhere"


def test_with_both_about_half_are_blended_and_the_others_cut(still: Train) -> None:
    given = np.broadcast_to(np.arange(1, 201, dtype=np.uint8)[:, None, None, None], (200, 10, 10, 1))
    batch = augmented(still, {"mixup": 1.0, "cutmix": 1.0}, pixels=given)
    assert batch.partners is not None
    sources = np.stack([batch.labels, batch.partners], 1)[:, :, None, None, None] + 1
    is_cut = (batch.pixels[:, None] == sources).any(axis=1).all(axis=(1, 2, 3))
    assert 70 < is_cut.sum() < 140


@pytest.mark.parametrize("alpha", [1e-300, 1e-12, 1e300], ids=str)
def test_an_alpha_of_any_size_gives_shares(still: Train, alpha: float) -> None:
    for name in ("mixup", "cutmix"):
        shares = augmented(still, {name: alpha}).shares
        assert shares is not None
        assert ((shares >= 0) & (shares <= 1)).all()
