from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import dataset
from pipeline.errors import DataError

PARTS = {"train": (["d1", "d2", "d3"], [0, 1, 0]), "val": (["d4"], [1]), "holdout": (["d5", "d6"], [1, 0])}


def pixels(split: str, size: int = 8, channels: int = 3, seed: int = 7) -> tuple[str, int, int, np.ndarray]:
    shape = (len(PARTS[split][0]), size, size, channels)
    return split, size, channels, np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


PIXELS = [pixels(split) for split in PARTS]
FACTS = {"labels": ["cat", "dog"], "image_shape": (8, 8, 3), "num_images": 9, "num_added": 4, "is_unchanged": False}


@pytest.fixture
def write(tmp_path: Path):
    """Write a dataset, with some things other than usual: `write(labels=["dog", "cat"])`."""

    def written(folder: str = "one", parts: Any = PARTS, arrays: Any = PIXELS, **facts: object) -> dataset.Dataset:
        return dataset.write(tmp_path / folder, parts, arrays, **(FACTS | facts))

    return written


def test_a_dataset_reads_as_it_was_written(write):
    written = write()
    read = dataset.read(written.folder)
    assert read == written
    assert (read.labels, read.image_shape) == (("cat", "dog"), (8, 8, 3))
    assert (read.num_images, read.num_added, read.is_unchanged) == (9, 4, False)


@pytest.mark.parametrize("number", range(3), ids=PARTS)
def test_a_part_holds_its_pixels_labels_and_digests_in_order(write, number):
    split, _, _, expected = PIXELS[number]
    part = write().part(split)
    np.testing.assert_array_equal(part.pixels, expected)
    assert part.labels.tolist() == PARTS[split][1]
    assert part.labels.dtype == np.int64
    assert part.digests == tuple(PARTS[split][0])
    assert len(part) == len(PARTS[split][0])


def test_a_part_tells_the_images_that_the_parents_cycle_did_not_have(write):
    written = write(known={"d1", "d3", "d6"})
    assert [written.part(split).is_new.tolist() for split in PARTS] == [[False, True, False], [True], [True, False]]


def test_pixels_stay_on_disk_until_used_and_cannot_be_written(write):
    part = write().part("train")
    assert isinstance(part.pixels, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part.pixels[0, 0, 0, 0] = 1


def test_the_holdout_may_have_a_second_shape_for_a_champion_that_sees_another(write):
    second = pixels("holdout", 4, 1)
    written = write(arrays=[*PIXELS, second])
    np.testing.assert_array_equal(written.part("holdout").pixels, PIXELS[2][3])
    np.testing.assert_array_equal(written.part("holdout", 4, 1).pixels, second[3])


def test_the_digest_does_not_depend_on_where_or_when_it_was_written(write):
    assert write("one").digest == write("two").digest


def test_the_digest_does_not_depend_on_what_the_champion_sees(write):
    assert write("one").digest == write("two", arrays=[*PIXELS, pixels("holdout", 4, 1)]).digest


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["dog", "cat"]},
        {"labels": ["cat", "dog", "fox"]},
        {"image_shape": (16, 16, 3)},
        {"num_images": 10},
        {"is_unchanged": True},
        {"parts": PARTS | {"val": (["d7"], [1])}},
        {"parts": PARTS | {"val": (["d4"], [0])}},
        {"parts": PARTS | {"val": PARTS["train"], "train": PARTS["val"]}},
        {"arrays": [*PIXELS[:2], pixels("holdout", seed=8)]},
    ],
    ids=["order", "label", "shape", "total", "unchanged", "image", "relabelled", "split", "pixels made another way"],
)
def test_the_digest_changes_with_the_content(write, change):
    assert write("one").digest != write("two", **change).digest


def test_a_dataset_is_whole_only_when_its_index_is_there(write, tmp_path):
    def interrupted():
        yield PIXELS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(arrays=interrupted())
    with pytest.raises(DataError, match=r"dataset\.json: no such file; a stage before this one writes it"):
        dataset.read(tmp_path / "one")


def test_missing_pixels_are_named_with_the_remedy(write):
    written = write()
    (written.folder / "val-8x8x3.npy").unlink()
    with pytest.raises(DataError, match=r"val-8x8x3\.npy: cannot be read .*; delete .*one and run `dvc repro`"):
        written.part("val")


def test_a_shape_that_was_not_written_is_named(write):
    with pytest.raises(DataError, match=r"holdout-64x64x1\.npy: cannot be read"):
        write().part("holdout", 64, 1)


def test_torn_pixels_are_named(write):
    written = write()
    path = written.folder / "train-8x8x3.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"train-8x8x3\.npy: cannot be read"):
        written.part("train")


def test_a_missing_index_is_named(write):
    written = write()
    (written.folder / "val.parquet").unlink()
    with pytest.raises(DataError, match=r"val\.parquet: no such file"):
        written.part("val")
