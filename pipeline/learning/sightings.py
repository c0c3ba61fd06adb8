"""Sightings: what both models of a cycle say to some of its images, those that trained too."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.comparison import Seen
from pipeline.data.dataset import Dataset, Part
from pipeline.data.splits import SPLITS
from pipeline.judging import metrics
from pipeline.judging.predictions import CHALLENGER, CHAMPION
from pipeline.learning.contenders import Contender

if TYPE_CHECKING:
    import polars as pl

AT_ONCE = 1024
"""Images whose pixels are in memory at the same time."""


def of(
    images: Dataset, models: Mapping[str, Contender], listed: "pl.DataFrame", asked: Collection[str]
) -> "pl.DataFrame":
    """What models say to some of the images that are listed, in the order of their paths.

    Columns digest, path, label, split; for each of CHAMPION and CHALLENGER the label that it gives, and with
    _probability after its name how sure it is: null for an image that was not asked about, without such a model, where
    the dataset has not what it sees of the image, and where it knows no label of today. The split is null for an image
    that the dataset does not hold.

    Args:
        images: the dataset of the cycle.
        models: by name.
        listed: columns digest, path and label of the images.
        asked: digests of those that the models are asked about.
    """
    import polars as pl

    names, wanted, found = np.array(images.labels, object), set(asked), set(listed["digest"])
    splits, tables = [], []
    for split in SPLITS:
        digests = images.part(split).digests
        here = pl.DataFrame({"digest": [one for one in digests if one in found]}, {"digest": pl.String})
        splits.append(here.with_columns(split=pl.lit(split)))
        rows = np.array([row for row, digest in enumerate(digests) if digest in wanted], np.int64)
        columns: dict[str, Any] = {"digest": [digests[row] for row in rows]}
        for who in (CHAMPION, CHALLENGER):
            columns |= {who: [None] * len(rows), f"{who}_probability": [None] * len(rows)}
            model = models.get(who)
            if model and model.known.any() and images.shows(split, model.description.inputs):
                said = odds(images.part(split, model.description.inputs), rows, model)
                columns[who] = names[said.argmax(axis=1)].tolist()
                columns[f"{who}_probability"] = said.max(axis=1, initial=0).tolist()
        schema = {name: pl.Float64 if name.endswith("_probability") else pl.String for name in columns}
        tables.append(pl.DataFrame(columns, schema=schema))
    told = listed.select("digest", "path", "label").join(pl.concat(splits), on="digest", how="left")
    return told.join(pl.concat(tables), on="digest", how="left").sort("path", "digest")


def odds(part: Part, rows: np.ndarray, model: Contender) -> np.ndarray:
    """Probabilities of some images, float64 (rows, labels of today), calibrated.

    Args:
        part: holds what the model sees of them.
        rows: their numbers there, int64, in ascending order.
        model: is asked.
    """
    temperature = model.description.temperature
    some = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
    told = [metrics.probabilities(model.logits(part.take(taken)), temperature) for taken in some]
    return np.concatenate([np.empty((0, len(model.known))), *told])


def by_digest(table: "pl.DataFrame") -> dict[str, Seen]:
    """Each image of such a table."""
    columns = list(Seen.model_fields)
    return {row["digest"]: Seen(**row) for row in table.select(columns).iter_rows(named=True)}
