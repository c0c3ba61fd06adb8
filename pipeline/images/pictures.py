"""Pictures: small ones for people, kept in a table, so that pages can be drawn where the images are not."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import files
from pipeline.base.errors import DataError, UnreadableError
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.pixels import PICTURE, Kept
from pipeline.images.workers import Limits

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PICTURES = "pictures.parquet"
"""Columns digest and picture, a WebP file."""

QUALITY = 75
"""Of WebP, 0 to 100: with 128 pixels a side about 3 kB."""


OF_LABEL, IN_ALL = 24, 400
"""New images that people are shown, at most."""


def sample(new: "pl.DataFrame") -> "pl.DataFrame":
    """Those of the new images that people are shown: some of each label, as many of each as fit.

    Args:
        new: columns digest, label and path; a digest once.
    """
    of_label = min(OF_LABEL, max(IN_ALL // max(new["label"].n_unique(), 1), 1))
    return new.sort("label", "digest").group_by("label", maintain_order=True).head(of_label).head(IN_ALL)


def of(store: Store, rows: "pl.DataFrame", limits: Limits, scratch: Path, title: str) -> "dict[str, np.ndarray]":
    """Small pictures of some images by digest, uint8 (128, 128, 3): of those that can be had and decoded.

    Nothing but what people see depends on them: one that is missing is no reason to end a cycle.

    Args:
        store, limits, title: see `pixels.look`.
        rows: columns digest and path; a digest once.
        scratch: for the pixels on their way.
    """
    import numpy as np
    import polars as pl

    wanted = list(rows.select("digest", "path").iter_rows())
    try:
        lost = store.lost(wanted, title)
    except DataError as error:
        lost = {digest for digest, path in wanted if not store.is_here(digest, path)}
        print(f"{title}: warning: {len(lost)} pictures will be missing: {error}", flush=True)
    rows = rows.filter(~pl.col("digest").is_in(list(lost)))
    out = scratch / "pictures.npy"
    try:
        faults = pixels.collect(store, rows, limits, {Kept(scratch / "pixels", PICTURE): out}, title)
    except DataError as error:  # one went, or turned out to be damaged, in the meantime
        print(f"{title}: warning: pictures will be missing: {error}", flush=True)
        return {}
    shown = np.load(out, allow_pickle=False)
    out.unlink()
    return {
        digest: shown[row]
        for row, (digest, path) in enumerate(rows.select("digest", "path").iter_rows())
        if path not in faults
    }


def encode(picture: "np.ndarray") -> bytes:
    """A picture as a WebP file; the same pixels give the same bytes.

    Args:
        picture: uint8 (height, width, 3).
    """
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "WEBP", quality=QUALITY, method=2)
    return sink.getvalue()


def decode(content: bytes) -> "np.ndarray":
    """The pixels of such a file, uint8 (height, width, 3)."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content), formats=["WEBP"]).convert("RGB"))


def write(path: Path, pictures: "Mapping[str, np.ndarray]") -> None:
    """Keep pictures, uint8 (height, width, 3) by digest."""
    keep(path, {digest: encode(picture) for digest, picture in pictures.items()})


def keep(path: Path, pictures: Mapping[str, bytes]) -> None:
    """Keep WebP files by digest."""
    import polars as pl

    rows = {"digest": list(pictures), "picture": list(pictures.values())}
    files.write_table(path, pl.DataFrame(rows, schema={"digest": pl.String, "picture": pl.Binary}))


def read(path: Path) -> dict[str, bytes]:
    """WebP files by digest.

    Raises:
        UnreadableError: it is no such table.
    """
    table = files.read_table(path)
    if table.columns != ["digest", "picture"]:
        raise UnreadableError(path, "of another version of Evergreen, or damaged: no table of pictures")
    return dict(table.iter_rows())
