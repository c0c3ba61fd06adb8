"""The dataset of a cycle: what the model sees of the images that were picked, on disk, read by memory map."""

import itertools
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.dataset import Contents
from pipeline.artifacts.model import Fit
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data.splits import SPLITS, Split

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

INDEX = "dataset.json"

MARKS = ("is_new", "is_fresh", "is_unlearned")
"""Columns of an image, see `Part`."""

CONFLICTS = "conflicts.parquet"
"""See `Dataset.conflicts`."""

SLICES = "slices.parquet"
"""See `Dataset.slices`."""


@dataclass(frozen=True)
class Part:
    """One split."""

    inputs: "np.ndarray"
    """What the model sees: pixels, uint8 (images, size, size, channels), or features, float16 (images, ...)."""
    labels: "np.ndarray"
    """int64 (images,)"""
    digests: tuple[str, ...]
    is_new: "np.ndarray | None" = None
    """bool (images,): which ones are new to the champion: its cycle did not have them under this label. They judge
    apart, and their labels may be doubted."""
    is_fresh: "np.ndarray | None" = None
    """bool (images,): which ones are new to the anchor, in the same sense: it was not chosen by them."""
    is_unlearned: "np.ndarray | None" = None
    """bool (images,): which ones are new to the parent, in the same sense; None: all. They are to be learned."""

    def __len__(self) -> int:
        return len(self.labels)

    def showing(self, inputs: "np.ndarray") -> "Part":
        """The same images, of which the model sees something else."""
        return replace(self, inputs=inputs)

    def take(self, rows: "np.ndarray | slice") -> "np.ndarray":
        """Inputs of some images, in memory of their own.

        They are read, not mapped: pages of a map count as memory of this process once they are touched, and a map of
        a file that is cut off kills it.

        Args:
            rows: numbers in ascending order, or a slice.

        Raises:
            DataError: the file is cut off.
        """
        import numpy as np

        if not isinstance(self.inputs, np.memmap):
            return np.asarray(self.inputs[rows])
        numbers = np.arange(len(self))[rows]
        taken = np.empty((len(numbers), *self.inputs.shape[1:]), self.inputs.dtype)
        size = math.prod(self.inputs.shape[1:]) * self.inputs.itemsize
        with open(str(self.inputs.filename), "rb", buffering=0) as file:
            # Neighbours at once.
            edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1), len(numbers)]
            for start, stop in itertools.pairwise(edges) if len(numbers) else ():
                place = self.inputs.offset + int(numbers[start]) * size
                if os.preadv(file.fileno(), [taken[start:stop].view(np.uint8).data], place) != (stop - start) * size:
                    raise DataError(f"{file.name}: cut off; delete {Path(file.name).parent} and run `dvc repro`")
        return taken


@dataclass(frozen=True)
class Dataset:
    """A dataset that `prepare` wrote."""

    folder: Path
    contents: Contents

    @property
    def labels(self) -> tuple[str, ...]:
        """The label map: position is the model's output."""
        return self.contents.labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height and width in pixels, and channels, as the model sees them."""
        return self.contents.image_shape

    @property
    def fit(self) -> Fit:
        """How pictures became squares."""
        return self.contents.fit

    @property
    def digest(self) -> str:
        """Of everything in it."""
        return self.contents.digest

    def shows(self, split: Split, inputs: str) -> bool:
        """Whether it has these inputs of a split."""
        return file(self.folder, split, inputs).is_file()

    def part(self, split: Split, inputs: str | None = None) -> Part:
        """Read a split; what the model sees stays on disk until used.

        Args:
            split: which.
            inputs: what the model sees, see `Description.inputs`; None: what the model of the cycle does.
        """
        import numpy as np

        path = file(self.folder, split, inputs or self.contents.inputs)
        index = files.read_table(self.folder / f"{split}.parquet")
        try:
            shown = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete {self.folder} and run `dvc repro`") from None
        labels = index["label"].to_numpy().astype(np.int64)
        marks = {name: index[name].to_numpy().astype(bool) for name in MARKS}
        return Part(shown, labels, tuple(index["digest"]), **marks)

    def named(self, split: Split) -> str:
        """A name for the images of a split and their labels, such as holdout_149_3f2a91; of others it is another."""
        rows = files.read_table(self.folder / f"{split}.parquet").select("digest", "label").iter_rows()
        each = sorted((digest, self.labels[label]) for digest, label in rows)
        return f"{split}_{len(each)}_{files.sha256_json(each)[:6]}"

    def index(self) -> "pl.DataFrame":
        """Every image of it: columns digest, split, is_unlearned."""
        import polars as pl

        return pl.concat(
            [
                files.read_table(self.folder / f"{split}.parquet").select(
                    "digest", pl.lit(split).alias("split"), "is_unlearned"
                )
                for split in SPLITS
            ]
        )

    def slices(self) -> "pl.DataFrame":
        """Which slices images are in; columns digest, slice and value, a row each, sorted.

        Of those that judge or stop: the further columns of each labels.csv, batch, age, brightness and side. Of new
        ones that train: the columns and the batch. An image may be in several values of one slice, or in none.
        """
        return files.read_table(self.folder / SLICES)

    def conflicts(self) -> "pl.DataFrame":
        """Near-duplicates under two labels; columns one and other, their digests."""
        return files.read_table(self.folder / CONFLICTS)


def file(folder: Path, split: Split, inputs: str) -> Path:
    """Where what a model sees of a split lies: a .npy; see `Part.inputs` and, for the name, `Description.inputs`."""
    return folder / f"{split}-{inputs}.npy"


def clear(folder: Path) -> None:
    """An empty folder for a new dataset: what only an earlier one had must not be taken for a part of this one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def write_remarks(folder: Path, slices: "pl.DataFrame", conflicts: "pl.DataFrame") -> None:
    """Write what is told of a dataset's images and makes the model no other one.

    Args:
        folder: of the dataset.
        slices, conflicts: see `Dataset`.
    """
    files.write_table(folder / SLICES, slices)
    files.write_table(folder / CONFLICTS, conflicts)


def write(
    folder: Path,
    parts: "Mapping[Split, pl.DataFrame]",
    *,
    labels: Sequence[str],
    image_shape: tuple[int, int, int],
    fit: Fit,
    inputs: Mapping[str, str | None],
    num_images: int,
    num_added: int,
    num_unlearned: int,
    num_known: int,
    num_computed: int,
    is_unchanged: bool,
    label_counts: Sequence[int],
) -> Dataset:
    """Describe the arrays that lie in `folder`; `dataset.json` comes last: a dataset that has one is whole.

    Args:
        folder: where; holds what the models see of each split already.
        parts: for each split, in the order of its arrays: columns digest, label (number) and MARKS.
        labels: the label map.
        image_shape: (height, width, channels) of the pixels.
        fit: how pictures became squares.
        inputs: what the trainings of the cycle see, the first the one that goes on; with the key of features, which
            tells them to the last bit that matters. What only champion or anchor see does not make this model another.
        num_images, num_added, num_unlearned, num_known, num_computed, is_unchanged, label_counts: see
            `artifacts.dataset.Contents`.
    """
    for split, rows in parts.items():
        files.write_table(folder / f"{split}.parquet", rows.select("digest", "label", *MARKS))
    facts = {
        "labels": list(labels),
        "image_shape": list(image_shape),
        "fit": fit,
        "inputs": next(iter(inputs)),
        "num_images": num_images,
        "num_added": num_added,
        "num_unlearned": num_unlearned,
        "num_known": num_known,
        "is_unchanged": is_unchanged,
        "counts": {split: len(rows) for split, rows in parts.items()},
        "label_counts": list(label_counts),
    }
    columns = ("digest", "label", "is_unlearned")  # in training, what is unlearned counts for more
    listed = {split: [rows[name].to_list() for name in columns] for split, rows in parts.items()}
    made = {
        name: key or {split: files.sha256_file(file(folder, split, name)) for split in parts}
        for name, key in inputs.items()
    }
    digest = files.sha256_json([facts, listed, made])
    files.write_json(folder / INDEX, facts | {"num_computed": num_computed, "digest": digest})
    return read(folder)


def read(folder: Path) -> Dataset:
    """Open a dataset.

    Raises:
        DataError: it is not there or not whole.
    """
    return Dataset(folder, Contents.read(folder / INDEX))
