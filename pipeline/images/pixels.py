"""Pixels: images brought here, decoded in worker processes, and kept as long as they are of use.

What validation decoded, preparing takes from here; so does the next cycle its validation and holdout
images, which stay nearly the same. All of it can be deleted at any time: it is made again.
"""

import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import code, files
from pipeline.base.errors import DataError
from pipeline.data.store import Store
from pipeline.images import workers
from pipeline.images.decoding import Facts, View
from pipeline.images.settings import DecodingLimits
from pipeline.images.workers import Job, Limits

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


def limits(settings: DecodingLimits) -> Limits:
    """What decoding one image may cost."""
    return Limits(settings.max_pixels, settings.max_seconds, settings.max_memory * 2**20)


def look(store: Store, rows: "pl.DataFrame", view: View, allowed: Limits, out: Path | None, title: str) -> list[Facts]:
    """Bring the images here and decode them; a damaged copy in the cache is fetched again.

    Args:
        store: where they come from.
        rows: columns digest and path.
        view: what pixels are wanted.
        allowed: see `workers.look`.
        out: .npy file for the pixels, uint8 (rows, size, size, channels).
        title: of the progress bars.

    Raises:
        DataError: an image is nowhere to be had.
    """
    wanted = list(rows.select("digest", "path").iter_rows())
    store.fetch(wanted, f"{title}: fetch")
    jobs = [Job(digest, store.places(digest, path)) for digest, path in wanted]
    found = workers.look(jobs, view, allowed, out, title)
    lost = [row for row, facts in enumerate(found) if facts is None]
    if lost:
        store.heal([wanted[row] for row in lost])
        # All once more: rare, and their rows in `out` are where they belong.
        found = workers.look(jobs, view, allowed, out, title)
    known = [facts for facts in found if facts is not None]
    if len(known) < len(found):
        digest, path = wanted[found.index(None)]
        raise DataError(
            f"{path!a}: neither the file nor the copies in the DVC cache and remote have the bytes that its pointer "
            f"names ({digest}); `dvc add` the batch again where the image is right, and `dvc push`"
        )
    return known


class Kept:
    """Pixels of one view in a scratch folder, by the images' digests."""

    def __init__(self, folder: Path, view: View) -> None:
        decoder = files.sha256_json([code.digest("pipeline.images.decoding"), metadata.version("pillow")])[:12]
        self._folder = folder / f"{view.size}x{view.size}x{view.channels}-{decoder}"

    def add(self, name: str, digests: "pl.Series", pixels: Path) -> None:
        """Keep a .npy file under a name, by hard link where the disk can; an older one of the name goes."""
        import polars as pl

        self._folder.mkdir(parents=True, exist_ok=True)
        index, array = self._folder / f"{name}.parquet", self._folder / f"{name}.npy"
        index.unlink(missing_ok=True)
        array.unlink(missing_ok=True)
        try:
            os.link(pixels, array)
        except OSError:
            shutil.copyfile(pixels, array)
        files.write_table(index, pl.DataFrame({"digest": digests}))  # last: what has an index is whole

    def take(self, digests: "pl.Series", target: "np.ndarray") -> "pl.Series":
        """Copy what is kept into the rows of `target`; gives which rows (bool) were found."""
        import numpy as np
        import polars as pl

        wanted = pl.DataFrame({"digest": digests}).with_row_index("row")
        found = np.zeros(len(digests), bool)
        for index in sorted(self._folder.glob("*.parquet")):
            here = files.read_table(index).with_row_index("place").unique("digest")
            both = wanted.filter(pl.Series(~found)[wanted["row"]]).join(here, on="digest").sort("place")
            if both.is_empty():
                continue
            array = np.load(index.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            for row, place in both.select("row", "place").iter_rows():
                target[row] = array[place]
            found[both["row"].to_numpy()] = True
        return pl.Series(found)

    def clear(self) -> None:
        """Forget everything, other views too."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)


def collect(
    store: Store, rows: "pl.DataFrame", view: View, allowed: Limits, kept: Kept, target: Path, title: str
) -> None:
    """Write the pixels of accepted images to a .npy file: what is kept, and what has to be decoded.

    Raises:
        DataError: an image is nowhere to be had, or cannot be decoded although it once was accepted.
    """
    import numpy as np

    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # `kept` may have it by another name
    shape = (len(rows), view.size, view.size, view.channels)
    array = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=shape)
    missing = ~kept.take(rows["digest"], array)
    if missing.any():
        part = target.with_suffix(".part.npy")
        facts = look(store, rows.filter(missing), view, allowed, part, title)
        faults = [
            (path, fact.error) for path, fact in zip(rows.filter(missing)["path"], facts, strict=True) if fact.error
        ]
        if faults:
            raise DataError(
                f"{faults[0][0]!a}: was accepted once and cannot be decoded now ({faults[0][1]}; {len(faults)} such "
                "images); raise the limits of section validate in params.yaml, or remove it and `dvc add` its batch"
            )
        array[missing.to_numpy()] = np.load(part, mmap_mode="r", allow_pickle=False)
        part.unlink()
    array.flush()
