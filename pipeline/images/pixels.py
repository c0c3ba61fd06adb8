"""Pixels: images brought here, decoded in worker processes, and kept as long as they are of use.

What validation decoded, preparing takes from here; so does the next cycle its validation and holdout
images, which stay nearly the same. All of it can be deleted at any time: it is made again.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.artifacts.parent import Pin
from pipeline.base import code, files
from pipeline.base.errors import DataError
from pipeline.data.settings import Canvas
from pipeline.data.store import Store
from pipeline.images import workers
from pipeline.images.decoding import THUMBNAIL, Facts, View
from pipeline.images.settings import DecodingLimits
from pipeline.images.workers import Job, Limits

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PICTURE = View(128, 3, "pad")
"""What people are shown of an image: all of it, whatever a model sees."""


def limits(section: DecodingLimits) -> Limits:
    """What decoding one image may cost."""
    return Limits(section.max_pixels, section.max_seconds, section.max_memory * 2**20)


def views(canvas: Canvas, pins: Iterable[Pin | None]) -> tuple[View, ...]:
    """What pixels a cycle needs of an image.

    Args:
        canvas: the pixels that its model sees: the first view.
        pins: versions that see the same images; where their pixels have another shape or fit they are further views.
    """
    models = [pin.lineage.model for pin in pins if pin]
    theirs = [View(model.image_shape[0], model.image_shape[2], model.fit) for model in models]
    return tuple(dict.fromkeys((View(canvas.image_size, canvas.channels, canvas.fit), *theirs)))


def look(store: Store, rows: "pl.DataFrame", limits: Limits, outs: Mapping[View, Path], title: str) -> list[Facts]:
    """Bring the images here and decode them; a damaged copy in the cache is fetched again.

    Args:
        store: where they come from.
        rows: columns digest and path.
        limits, outs: see `workers.look`.
        title: of the progress bars.

    Returns:
        Facts by row.

    Raises:
        DataError: an image is nowhere to be had.
    """
    wanted = list(rows.select("digest", "path").iter_rows())
    store.fetch(wanted, f"{title}: fetch")
    jobs = [Job(digest, store.places(digest, path)) for digest, path in wanted]
    facts = workers.look(jobs, limits, outs, title)
    lost = [row for row, fact in enumerate(facts) if fact is None]
    if lost:
        store.heal([wanted[row] for row in lost])
        # All once more: rare, and their rows in `outs` are where they belong.
        facts = workers.look(jobs, limits, outs, title)
    if None in facts:
        digest, path = wanted[facts.index(None)]
        raise DataError(
            f"{path!r}: neither the file nor the copies in the DVC cache and remote have the bytes that its pointer "
            f"names ({digest}); `dvc add` the batch again where the image is right, and `dvc push`"
        )
    return [fact for fact in facts if fact is not None]


def decoder() -> str:
    """Short digest of how images are decoded: of our code and of Pillow's version."""
    return files.sha256_json([code.digest("pipeline.images.decoding"), metadata.version("pillow")])[:12]


class Kept:
    """Pixels of one view in a scratch folder, by the images' digests."""

    def __init__(self, folder: Path, view: View) -> None:
        self.view = view
        self._folder = folder / f"{view.size}x{view.size}x{view.channels}-{view.fit}-{decoder()}"

    def path(self, name: str) -> Path:
        """Where pixels of this name lie: .npy, uint8 (images, size, size, channels)."""
        return self._folder / f"{name}.npy"

    def reserve(self, name: str) -> Path:
        """Forget what is kept under a name: the path where its new pixels may be written, before `commit`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._index(name).unlink(missing_ok=True)
        self.path(name).unlink(missing_ok=True)
        return self.path(name)

    def commit(self, name: str, index: "pl.DataFrame") -> None:
        """Keep the pixels that lie at the path of a name; what is not committed is not taken.

        Args:
            name: see `reserve`.
            index: columns digest; place, the row of its pixels; side, the shortest of the upright picture in the
                file, in pixels, or null where that is not known. Rows that it does not name are not kept.
        """
        files.write_table(self._index(name), index.select("digest", "place", "side"))

    def add(self, name: str, digests: "pl.Series", pixels: Path) -> None:
        """Keep a .npy file under a name, by hard link where the disk can; an older one of the name goes."""
        import polars as pl

        target = self.reserve(name)
        try:
            os.link(pixels, target)
        except OSError:
            shutil.copyfile(pixels, target)
        index = pl.DataFrame({"digest": digests}).with_row_index("place")
        self.commit(name, index.with_columns(side=pl.lit(None, pl.Int64)))

    def take(self, digests: "pl.Series", target: "np.ndarray") -> "pl.Series":
        """Copy what is kept into the rows of `target`; gives which rows (bool) were found."""
        import numpy as np
        import polars as pl

        wanted = pl.DataFrame({"digest": digests}).with_row_index("row")
        is_taken = np.zeros(len(digests), bool)
        for path, index in self._kept():
            both = wanted.filter(pl.Series(~is_taken)[wanted["row"]]).join(index, on="digest").sort("place")
            if both.is_empty():
                continue
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            for row, place in both.select("row", "place").iter_rows():
                target[row] = array[place]
            is_taken[both["row"].to_numpy()] = True
        return pl.Series(is_taken)

    def sides(self, digests: "pl.Series") -> "pl.Series":
        """The shortest side of each picture in its file, pixels (Int64); null where it is not kept or not known."""
        import polars as pl

        empty = pl.DataFrame(schema={"digest": pl.String, "side": pl.Int64})
        index = pl.concat([empty, *(index.select("digest", "side") for _, index in self._kept())])
        index = index.drop_nulls().unique("digest")
        return pl.DataFrame({"digest": digests}).join(index, on="digest", how="left", maintain_order="left")["side"]

    def clear(self) -> None:
        """Forget everything, other views too."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)

    def _kept(self) -> "Iterator[tuple[Path, pl.DataFrame]]":
        """Files of pixels, each with its index."""
        for path in sorted(self._folder.glob("*.parquet")):
            if path.with_suffix(".npy").is_file():
                yield path.with_suffix(".npy"), files.read_table(path).unique("digest")

    def _index(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"


def keep(
    store: Store, rows: "pl.DataFrame", limits: Limits, kept: Sequence[Kept], name: str, title: str
) -> list[Facts]:
    """Decode images, each once for all views, and keep the pixels of those that can be decoded.

    Args:
        store, rows, limits, title: see `look`.
        kept: where the pixels are kept, one for each view.
        name: under which they are kept, in place of what was kept under it.

    Returns:
        Facts by row.

    Raises:
        DataError: an image is nowhere to be had.
    """
    import polars as pl

    outs = {of_view.view: of_view.reserve(name) for of_view in kept}
    facts = look(store, rows, limits, outs, title)
    sides = pl.Series([min(fact.width, fact.height) for fact in facts], dtype=pl.Int64)
    readable = pl.Series([not fact.error for fact in facts], dtype=pl.Boolean)
    index = rows.select("digest").with_row_index("place").with_columns(side=sides).filter(readable)
    for of_view in kept:
        of_view.commit(name, index)
    return facts


class Thumbnails(NamedTuple):
    """What near-duplicates are told by, image by image; zero where an image cannot be decoded."""

    pixels: "np.ndarray"
    """uint8 (images, 48, 48, 3): the whole picture, squeezed to a square."""
    sides: list[int]
    """The shortest side of the picture in its file, in pixels."""


def thumbnails(
    store: Store, rows: "pl.DataFrame", limits: Limits, kept: Sequence[Kept], out: Path, title: str
) -> Thumbnails:
    """Thumbnails of images: those that are kept, and of the others what has to be decoded.

    Args:
        store, rows, limits, title: see `look`.
        kept: of several views, that of THUMBNAIL the first. What has to be decoded is kept for all of them, so that
            it need not be decoded again when its other pixels are asked for.
        out: .npy file for the thumbnails, which stay on disk until used.

    Raises:
        DataError: an image is nowhere to be had.
    """
    ours = kept[0]
    unknown = ours.sides(rows["digest"]).is_null()
    if unknown.any():
        keep(store, rows.filter(unknown), limits, kept, "candidates", title)
    array = _create(out, len(rows), THUMBNAIL)
    ours.take(rows["digest"], array)
    return Thumbnails(array, ours.sides(rows["digest"]).fill_null(0).to_list())


def collect(
    store: Store, rows: "pl.DataFrame", limits: Limits, targets: Mapping[Kept, Path], title: str
) -> dict[str, str]:
    """Write the pixels of accepted images to .npy files: what is kept, and what has to be decoded, once for all views.

    Args:
        store, rows, limits, title: see `look`.
        targets: for each view what is kept of it, and the file for its pixels, uint8 (rows, size, size, channels).

    Returns:
        The images that cannot be decoded although they once were accepted, path to reason; their pixels are zero.

    Raises:
        DataError: an image is nowhere to be had.
    """
    import numpy as np
    import polars as pl

    arrays = {kept: _create(target, len(rows), kept.view) for kept, target in targets.items()}
    missing = pl.repeat(value=False, n=len(rows), dtype=pl.Boolean, eager=True)
    for kept, array in arrays.items():
        missing |= ~kept.take(rows["digest"], array)
    faults: dict[str, str] = {}
    if missing.any():
        parts = {kept: target.with_suffix(".part.npy") for kept, target in targets.items()}
        outs = {kept.view: part for kept, part in parts.items()}
        facts = look(store, rows.filter(missing), limits, outs, title)
        faults = {
            path: fact.error for path, fact in zip(rows.filter(missing)["path"], facts, strict=True) if fact.error
        }
        for kept, part in parts.items():
            arrays[kept][missing.to_numpy()] = np.load(part, mmap_mode="r", allow_pickle=False)
            part.unlink()
    for array in arrays.values():
        array.flush()
    return faults


def _create(path: Path, count: int, view: View) -> "np.memmap[tuple[int, ...], np.dtype[np.uint8]]":
    """A new .npy file of zeros, mapped into memory."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may have another name, under which what it holds is still wanted
    shape = (count, view.size, view.size, view.channels)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # What is mapped and finds no room on the disk ends the process by SIGBUS, without a word.
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
