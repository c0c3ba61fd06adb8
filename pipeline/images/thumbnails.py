"""Thumbnails: small pictures for people, kept in a table, so that pages can be drawn where the images are not."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import files
from pipeline.base.errors import UnreadableError

if TYPE_CHECKING:
    import numpy as np

THUMBNAILS = "thumbnails.parquet"
"""Columns digest and picture, a WebP file."""

QUALITY = 75
"""Of WebP, 0 to 100: with 128 pixels a side about 3 kB."""


def encode(pixels: "np.ndarray") -> bytes:
    """A picture as a WebP file; the same pixels give the same bytes.

    Args:
        pixels: uint8 (height, width, 3).
    """
    from PIL import Image

    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "WEBP", quality=QUALITY, method=2)
    return sink.getvalue()


def decode(picture: bytes) -> "np.ndarray":
    """The pixels of such a file, uint8 (height, width, 3)."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture), formats=["WEBP"]).convert("RGB"))


def write(path: Path, pictures: "Mapping[str, np.ndarray]") -> None:
    """Keep pictures, uint8 (height, width, 3) by digest."""
    import polars as pl

    rows = {"digest": list(pictures), "picture": [encode(one) for one in pictures.values()]}
    files.write_table(path, pl.DataFrame(rows, schema={"digest": pl.String, "picture": pl.Binary}))


def read(path: Path) -> dict[str, bytes]:
    """WebP files by digest.

    Raises:
        UnreadableError: it is no such table.
    """
    table = files.read_table(path)
    if table.columns != ["digest", "picture"]:
        raise UnreadableError(path, "of another version of Evergreen, or damaged: no table of thumbnails")
    return dict(table.iter_rows())
