"""The dataset of a cycle: canonical pixels of what was picked, on disk, read by memory map."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Part:
    """One split: pixels uint8 of shape (images, size, size, channels), labels int64 (images,)."""

    pixels: "np.ndarray"
    labels: "np.ndarray"
    digests: tuple[str, ...]
    is_new: "np.ndarray | None" = None
    """bool (images,): which ones are new to the champion: its cycle did not have them under this label. They judge
    apart, and their labels may be doubted."""
    is_unlearned: "np.ndarray | None" = None
    """bool (images,): which ones are new to the parent, in the same sense; None: all. They are to be learned."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: "np.ndarray | slice") -> "np.ndarray":
        """Pixels of some images, in memory of their own: uint8 (rows, size, size, channels).

        They are read, not mapped: pages of a map count as memory of this process once they are touched, and a map of
        a file that is cut off kills it.

        Args:
            rows: numbers in ascending order, or a slice.

        Raises:
            DataError: the file is cut off.
        """
        import numpy as np

        if not isinstance(self.pixels, np.memmap):
            return np.asarray(self.pixels[rows])
        numbers = np.arange(len(self))[rows]
        taken = np.empty((len(numbers), *self.pixels.shape[1:]), np.uint8)
        size = math.prod(self.pixels.shape[1:])
        with open(str(self.pixels.filename), "rb", buffering=0) as file:
            # Neighbours at once.
            edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1), len(numbers)]
            for start, stop in itertools.pairwise(edges) if len(numbers) else ():
                place = self.pixels.offset + int(numbers[start]) * size
                if os.preadv(file.fileno(), [taken[start:stop].data], place) != (stop - start) * size:
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
        """How the pictures became squares."""
        return self.contents.fit

    @property
    def digest(self) -> str:
        """Of everything in it."""
        return self.contents.digest

    def part(self, split: Split, size: int | None = None, channels: int | None = None, fit: Fit | None = None) -> Part:
        """Read a split; the pixels stay on disk until used.

        Args:
            split: which.
            size, channels, fit: for a model that sees other pixels of the images; only the holdout has them.
        """
        import numpy as np

        shape = (size or self.image_shape[0], channels or self.image_shape[2])
        path = file(self.folder, split, *shape, fit or self.fit)
        index = files.read_table(self.folder / f"{split}.parquet")
        try:
            pixels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); delete {self.folder} and run `dvc repro`") from None
        labels = index["label"].to_numpy().astype(np.int64)
        is_new, is_unlearned = (index[name].to_numpy().astype(bool) for name in ("is_new", "is_unlearned"))
        return Part(pixels, labels, tuple(index["digest"]), is_new, is_unlearned)

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


def file(folder: Path, split: Split, size: int, channels: int, fit: Fit = "crop") -> Path:
    """Where the pixels of a split lie: a .npy of uint8 (images, size, size, channels)."""
    return folder / f"{split}-{size}x{size}x{channels}{'' if fit == 'crop' else f'-{fit}'}.npy"


def write(
    folder: Path,
    parts: "Mapping[Split, pl.DataFrame]",
    *,
    labels: Sequence[str],
    image_shape: tuple[int, int, int],
    fit: Fit = "crop",
    num_images: int,
    num_added: int,
    num_unlearned: int,
    num_known: int,
    is_unchanged: bool,
) -> Dataset:
    """Describe the pixels that lie in `folder`; `dataset.json` comes last: a dataset that has one is whole.

    Args:
        folder: where; holds each split's pixels already.
        parts: for each split, in the order of its pixels: columns digest, label (number), is_new and is_unlearned (see
            `Part`).
        labels: the label map.
        image_shape: (height, width, channels) that the model will see.
        fit: how the pictures became squares.
        num_images, num_added, num_unlearned, num_known, is_unchanged: see `artifacts.dataset.Contents`.
    """
    size, _, channels = image_shape
    for split, rows in parts.items():
        files.write_table(folder / f"{split}.parquet", rows.select("digest", "label", "is_new", "is_unlearned"))
    facts = {
        "labels": list(labels),
        "image_shape": list(image_shape),
        "fit": fit,
        "num_images": num_images,
        "num_added": num_added,
        "num_unlearned": num_unlearned,
        "num_known": num_known,
        "is_unchanged": is_unchanged,
        "counts": {split: len(rows) for split, rows in parts.items()},
    }
    columns = ("digest", "label", "is_unlearned")  # in training, what is unlearned counts for more
    listed = {split: [rows[name].to_list() for name in columns] for split, rows in parts.items()}
    # What the champion sees besides, if it sees other pixels, does not make this model another.
    made = {split: files.sha256_file(file(folder, split, size, channels, fit)) for split in parts}
    files.write_json(folder / INDEX, facts | {"digest": files.sha256_json([facts, listed, made])})
    return read(folder)


def read(folder: Path) -> Dataset:
    """Open a dataset.

    Raises:
        DataError: it is not there or not whole.
    """
    return Dataset(folder, Contents.read(folder / INDEX))
