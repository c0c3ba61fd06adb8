from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import samples

from pipeline.artifacts.model import Fit
from pipeline.base.errors import DataError
from pipeline.data import dataset
from pipeline.data.dataset import Part

PARTS = {
    "train": (["d1", "d2", "d3"], [0, 1, 0], [False, True, False]),
    "val": (["d4"], [1], [True]),
    "holdout": (["d5", "d6"], [1, 0], [True, False]),
}
FACTS = {
    "labels": ["cat", "dog"],
    "image_shape": (8, 8, 3),
    "fit": "crop",
    "inputs": {"8x8x3": None},
    "num_images": 9,
    "num_added": 4,
    "num_unlearned": 5,
    "num_known": 5,
    "num_computed": 0,
    "is_unchanged": False,
    "label_counts": [2, 1],
}


def pixels(split: str, size: int = 8, channels: int = 3, seed: int = 7) -> np.ndarray:
    shape = (len(PARTS[split][0]), size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def name(array: np.ndarray, fit: Fit = "crop") -> str:
    """Of what a model sees, as `Description.inputs` has it."""
    _, height, width, channels = array.shape
    return samples.description(image_shape=(height, width, channels), fit=fit).inputs


def lay(folder: Path, split: str, array: np.ndarray, fit: Fit = "crop") -> None:
    """Pixels where `prepare` leaves them."""
    folder.mkdir(exist_ok=True)
    np.save(dataset.file(folder, split, name(array, fit)), array)


def index(rows: Any) -> pl.DataFrame:
    """Rows by column; what is unlearned is what is new, unless it is said."""
    table = pl.DataFrame(dict(zip(("digest", "label", "is_new"), rows[:3], strict=True)))
    is_unlearned = pl.Series(rows[3]) if len(rows) > 3 else pl.col("is_new")
    return table.with_columns(is_unlearned=is_unlearned, is_fresh=pl.col("is_new"))


@pytest.fixture
def write(tmp_path: Path):
    """Write a dataset, with some things other than usual: `write(labels=["dog", "cat"])`."""

    def written(folder: str = "one", parts: Any = PARTS, arrays: Any = None, **facts: object) -> dataset.Dataset:
        for split in parts:
            lay(tmp_path / folder, split, (arrays or {}).get(split, pixels(split)))
        rows = {split: index(part) for split, part in parts.items()}
        return dataset.write(tmp_path / folder, rows, **(FACTS | facts))

    return written


def test_a_dataset_reads_as_it_was_written(write):
    written = write()
    read = dataset.read(written.folder)
    assert read == written
    assert (read.labels, read.image_shape) == (("cat", "dog"), (8, 8, 3))
    facts = read.contents
    assert (facts.num_images, facts.num_added, facts.is_unchanged) == (9, 4, False)


@pytest.mark.parametrize("split", PARTS)
def test_a_part_holds_its_pixels_labels_and_digests_in_order(write, split):
    part = write().part(split)
    np.testing.assert_array_equal(part.inputs, pixels(split))
    assert part.labels.tolist() == PARTS[split][1]
    assert part.labels.dtype == np.int64
    assert part.digests == tuple(PARTS[split][0])
    assert len(part) == len(PARTS[split][0])


def test_a_part_tells_the_images_that_the_parents_cycle_did_not_have(write):
    written = write()
    assert [written.part(split).is_new.tolist() for split in PARTS] == [rows[2] for rows in PARTS.values()]


def test_a_part_tells_the_images_that_were_not_learned_under_this_label(write):
    relabelled = (*PARTS["train"], [True, True, False])
    written = write(parts=PARTS | {"train": relabelled})
    assert written.part("train").is_unlearned.tolist() == [True, True, False]
    assert written.part("train").is_new.tolist() == [False, True, False]
    assert written.digest != write("two").digest, "what is unlearned counts for more in training"


def test_the_index_tells_the_split_of_every_image(write):
    assert write().index().rows() == [
        ("d1", "train", False),
        ("d2", "train", True),
        ("d3", "train", False),
        ("d4", "val", True),
        ("d5", "holdout", True),
        ("d6", "holdout", False),
    ]


def test_pixels_stay_on_disk_until_used_and_cannot_be_written(write):
    part = write().part("train")
    assert isinstance(part.inputs, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part.inputs[0, 0, 0, 0] = 1


def test_the_holdout_may_have_a_second_shape_for_a_champion_that_sees_another(write, tmp_path):
    lay(tmp_path / "one", "holdout", second := pixels("holdout", 4, 1))
    written = write()
    np.testing.assert_array_equal(written.part("holdout").inputs, pixels("holdout"))
    np.testing.assert_array_equal(written.part("holdout", "4x4x1").inputs, second)


def test_the_digest_does_not_depend_on_where_or_when_it_was_written(write):
    assert write("one").digest == write("two").digest


def test_the_digest_does_not_depend_on_what_the_champion_sees(write, tmp_path):
    lay(tmp_path / "two", "holdout", pixels("holdout", 4, 1))
    assert write("one").digest == write("two").digest


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["dog", "cat"]},
        {"labels": ["cat", "dog", "fox"]},
        {"num_images": 10},
        {"is_unchanged": True},
        {"label_counts": [9, 1]},
        {"parts": PARTS | {"val": (["d7"], [1], [True])}},
        {"parts": PARTS | {"val": (["d4"], [0], [True])}},
        {
            "parts": PARTS | {"val": PARTS["train"], "train": PARTS["val"]},
            "arrays": {"val": pixels("train"), "train": pixels("val")},
        },
        {"arrays": {"holdout": pixels("holdout", seed=8)}},
    ],
    ids=["order", "label", "total", "unchanged", "counts", "image", "relabelled", "split", "pixels made another way"],
)
def test_the_digest_changes_with_the_content(write, change):
    assert write("one").digest != write("two", **change).digest


def test_a_dataset_is_whole_only_when_its_description_is_there(tmp_path):
    for split in ("train", "val"):
        lay(tmp_path / "one", split, pixels(split))
    with pytest.raises(FileNotFoundError):  # interrupted before the pixels of the holdout
        dataset.write(tmp_path / "one", {split: index(rows) for split, rows in PARTS.items()}, **FACTS)
    with pytest.raises(DataError, match=r"dataset\.json: no such file; a stage before this one writes it"):
        dataset.read(tmp_path / "one")


def test_a_dataset_in_another_shape_is_another(write):
    small = {split: pixels(split, 4) for split in PARTS}
    assert write("one").digest != write("two", arrays=small, image_shape=(4, 4, 3), inputs={"4x4x3": None}).digest


def test_a_dataset_of_another_fit_is_another_even_of_square_pictures(write, tmp_path):
    for split in PARTS:
        lay(tmp_path / "two", split, pixels(split), "pad")
    padded = write("two", fit="pad")
    assert (padded.fit, dataset.read(padded.folder).fit, write("one").fit) == ("pad", "pad", "crop")
    assert padded.digest != write("one").digest


def test_the_holdout_as_a_champion_of_another_fit_sees_it_has_its_own_file(write, tmp_path):
    written, other = write(), pixels("holdout", seed=8)
    lay(tmp_path / "one", "holdout", other, "stretch")
    np.testing.assert_array_equal(written.part("holdout", "8x8x3-stretch").inputs, other)
    np.testing.assert_array_equal(written.part("holdout", "8x8x3").inputs, pixels("holdout"))
    with pytest.raises(DataError, match=r"holdout-8x8x3-pad\.npy: cannot be read"):
        written.part("holdout", "8x8x3-pad")


def test_missing_pixels_are_named_with_the_remedy(write):
    written = write()
    (written.folder / "val-8x8x3.npy").unlink()
    with pytest.raises(DataError, match=r"val-8x8x3\.npy: cannot be read .*; delete .*one and run `dvc repro`"):
        written.part("val")


def test_a_shape_that_was_not_written_is_named(write):
    with pytest.raises(DataError, match=r"holdout-64x64x1\.npy: cannot be read"):
        write().part("holdout", "64x64x1")


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


@pytest.fixture
def on_disk(tmp_path):
    """A part whose pixels lie in a file, and the pixels."""
    pixels = np.random.default_rng(7).integers(0, 256, (20, 4, 4, 3), np.uint8)
    np.save(tmp_path / "train-4x4x3.npy", pixels)
    mapped = np.load(tmp_path / "train-4x4x3.npy", mmap_mode="r")
    return Part(mapped, np.arange(20), tuple(map(str, range(20)))), pixels


@pytest.mark.parametrize("rows", [[0], [3, 4, 5, 9, 19], [], list(range(20))], ids=str)
def test_pixels_are_read_by_number(on_disk, rows):
    part, pixels = on_disk
    numbers = np.array(rows, int)
    np.testing.assert_array_equal(part.take(numbers), pixels[numbers])
    np.testing.assert_array_equal(part.take(slice(2, 7)), pixels[2:7])
    assert not isinstance(part.take(numbers), np.memmap)


def test_pixels_that_are_cut_off_are_an_error_not_a_crash(on_disk, tmp_path):
    part, _ = on_disk
    with open(tmp_path / "train-4x4x3.npy", "r+b") as file:
        file.truncate(500)
    with pytest.raises(DataError, match=r"train-4x4x3.npy: cut off; delete .* and run `dvc repro`"):
        part.take(np.array([1, 19]))
