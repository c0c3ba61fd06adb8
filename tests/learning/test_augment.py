import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.learning import augment


def pictures(count: int = 40, height: int = 8, width: int = 6) -> np.ndarray:
    """No two pixels alike."""
    return np.arange(count * height * width * 3).reshape(count, height, width, 3).astype(np.uint8)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_is_asked_and_nothing_moves() -> None:
    given = pictures()
    assert augment.move(given, flip=False, shift=0.0, rng=rng()) is given


def test_about_half_are_mirrored_and_the_others_are_as_they_were() -> None:
    given = np.tile(np.arange(6, dtype=np.uint8)[None, None, :, None], (400, 8, 1, 3))
    moved = augment.move(given, flip=True, shift=0.0, rng=rng())
    mirrored = (moved == given[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((moved == given).all(axis=(1, 2, 3)) | mirrored).all()
    assert 150 < mirrored.sum() < 250


@hypothesis.given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.25, 0.5]), st.booleans())
def test_each_image_is_shifted_as_a_whole_within_the_share(seed: int, shift: float, flip: bool) -> None:
    """Rows and columns tell where they came from; what comes in at the edge is the mirror image."""
    height, width = 8, 6
    place = np.stack(np.meshgrid(range(height), range(width), indexing="ij"), axis=2).astype(np.uint8)
    moved = augment.move(np.tile(place[None], (20, 1, 1, 1)), flip, shift, rng(seed)).astype(int)
    down, right = round(shift * height), round(shift * width)
    for rows, columns in zip(moved[:, :, 0, 0], moved[:, 0, :, 1], strict=True):
        assert any(np.array_equal(rows, mirror(height, by)) for by in range(-down, down + 1))
        ways = [mirror(width, by) for by in range(-right, right + 1)]
        ways += [way[::-1] for way in ways] if flip else []
        assert any(np.array_equal(columns, way) for way in ways)


def mirror(size: int, by: int) -> np.ndarray:
    return np.pad(np.arange(size), size, mode="reflect")[size + by : 2 * size + by]


@pytest.mark.parametrize(("flip", "shift"), [(True, 0.0), (False, 0.25), (True, 0.25)])
def test_the_same_draws_give_the_same_pixels_and_others_others(flip: bool, shift: float) -> None:
    given = pictures()
    one, two, other = (augment.move(given, flip, shift, rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    assert (one.dtype, one.shape) == (given.dtype, given.shape)


def test_each_image_is_moved_by_itself() -> None:
    """Up and down, and to the sides: pixels that tell their row, or their column, alone."""
    for axis in (0, 1):
        place = np.indices((8, 6))[axis].astype(np.uint8)[None, :, :, None]
        moved = augment.move(np.tile(place, (60, 1, 1, 1)), flip=False, shift=0.25, rng=rng())
        assert len(np.unique(moved.reshape(60, -1), axis=0)) >= 3
