"""The dataset of a cycle: canonical pixels of what was picked, on disk, read by memory map."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import files
from pipeline.errors import DataError
from pipeline.splits import Split

if TYPE_CHECKING:
    import numpy as np

SPLITS: tuple[Split, ...] = ("train", "val", "holdout")


@dataclass(frozen=True)
class Part:
    """One split: pixels uint8 of shape (images, size, size, channels), labels int64 (images,)."""

    pixels: "np.ndarray"
    labels: "np.ndarray"
    digests: tuple[str, ...]
    is_new: "np.ndarray | None" = None
    """bool (images,): which ones the parent's cycle did not have."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset that `prepare` wrote."""

    folder: Path
    labels: tuple[str, ...]
    """The label map: position is the model's output; it only ever grows at the end."""
    image_shape: tuple[int, int, int]
    digest: str
    """Of everything in it: digests, labels, splits and how pixels were made."""
    num_images: int
    """In the data as a whole, of which this holds the new and the picked."""
    num_added: int
    is_unchanged: bool
    """Nothing was added, removed or relabelled: there is nothing to learn."""

    def part(self, split: Split, size: int | None = None, channels: int | None = None) -> Part:
        """Read a split; the pixels stay on disk until used.

        Args:
            split: which.
            size, channels: for a model that sees images of another shape; only the holdout has one.
        """
        import numpy as np

        shape = (size or self.image_shape[0], channels or self.image_shape[2])
        name = _file(split, *shape)
        index = files.read_table(self.folder / f"{split}.parquet")
        try:
            pixels = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.folder / name}: cannot be read ({error}); delete {self.folder} and run `dvc repro`"
            ) from None
        labels, is_new = index["label"].to_numpy(np.int64), index["is_new"].to_numpy(bool)
        return Part(pixels, labels, tuple(index["digest"]), is_new)


def write(
    folder: Path,
    parts: "dict[Split, tuple[Sequence[str], Sequence[int]]]",
    pixels: "Iterable[tuple[Split, int, int, np.ndarray]]",
    *,
    labels: Sequence[str],
    image_shape: tuple[int, int, int],
    known: Collection[str] = (),
    num_images: int,
    num_added: int,
    is_unchanged: bool,
) -> Dataset:
    """Write a dataset; `dataset.json` comes last, so that a dataset that has one is whole.

    Args:
        folder: where.
        parts: for each split, digests and label numbers, in the order of its rows.
        pixels: arrays (split, size, channels, uint8 (images, size, size, channels)).
        labels: the label map.
        image_shape: (height, width, channels) that the model will see.
        known: digests that the parent's cycle had.
        num_images, num_added, is_unchanged: see `Dataset`.
    """
    import io

    import numpy as np

    for split, (digests, numbers) in parts.items():
        new = [digest not in known for digest in digests]
        files.write_table(folder / f"{split}.parquet", {"digest": digests, "label": numbers, "is_new": new})
    made = {}
    for split, size, channels, array in pixels:
        sink = io.BytesIO()
        np.save(sink, array, allow_pickle=False)
        files.write(folder / _file(split, size, channels), sink.getvalue())
        if (size, size, channels) == tuple(image_shape):  # what the champion sees besides does not shape this model
            made[split] = files.sha256(sink.getvalue())
    content = {
        "labels": list(labels),
        "image_shape": list(image_shape),
        "num_images": num_images,
        "num_added": num_added,
        "is_unchanged": is_unchanged,
        "counts": {split: len(numbers) for split, (_, numbers) in parts.items()},
    }
    rows = {split: [list(digests), list(numbers)] for split, (digests, numbers) in parts.items()}
    files.write_json(folder / "dataset.json", content | {"digest": files.sha256_json([content, rows, made])})
    return read(folder)


def read(folder: Path) -> Dataset:
    """Open a dataset.

    Raises:
        DataError: it is not there or not whole.
    """
    content = files.read_json(folder / "dataset.json")
    height, width, channels = content["image_shape"]
    return Dataset(
        folder=folder,
        labels=tuple(content["labels"]),
        image_shape=(height, width, channels),
        digest=content["digest"],
        num_images=content["num_images"],
        num_added=content["num_added"],
        is_unchanged=content["is_unchanged"],
    )


def _file(split: Split, size: int, channels: int) -> str:
    return f"{split}-{size}x{size}x{channels}.npy"
