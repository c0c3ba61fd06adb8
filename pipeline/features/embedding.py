"""Embedding: features of a cycle's images for its dataset; what had to be computed becomes shards for later cycles."""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Parent
from pipeline.base.errors import DataError
from pipeline.base.words import counted
from pipeline.data import dataset
from pipeline.data.splits import Split
from pipeline.features import extraction, observation
from pipeline.features.inputs import Input
from pipeline.features.observation import Observed
from pipeline.features.shards import Shards
from pipeline.images.likeness import Images
from pipeline.registry.client import Registry

if TYPE_CHECKING:
    import polars as pl

MEMORY = "features.parquet"
"""In the scratch folder: where the features are that this machine knows of."""


@dataclass(frozen=True)
class Embedded:
    """What became of the images of a cycle."""

    index: FeatureIndex
    """Where the features are that the next cycle may need."""
    num_computed: int
    """Images that went through a network; the features of the others were kept."""
    faults: Mapping[str, str]
    """Images that cannot be decoded although they once were accepted, path to reason."""


def known(registry: Registry, parent: Parent, champion: Champion, scratch: Path) -> FeatureIndex:
    """Where features are, as far as the registry and this machine know."""
    indices = [registry.feature_index(parent, champion, scratch / "objects")]
    with suppress(DataError):  # there is none, or it is damaged: it only saves work
        indices.append(FeatureIndex.read(scratch / MEMORY))
    return FeatureIndex.of(indices)


def observed(observer: Input | None, new: "pl.DataFrame", shards: Shards, images: Images) -> Observed | None:
    """The new images as the observer sees them, if there is one.

    Args:
        observer: see `inputs.observer`.
        new: columns digest, path, label.
        shards: of earlier cycles.
        images: where pixels come from.
    """
    if observer is None or observer.extractor is None:
        return observation.observe(None, new, shards, images, lambda _: None)
    say = partial(_say, observer.description, shards.index.rows, observer.extractor.key, new["digest"])
    return observation.observe(observer, new, shards, images, say)


def embed(
    seen: Sequence[Input],
    parts: "Mapping[Split, pl.DataFrame]",
    new: "pl.Series",
    observed: Observed | None,
    shards: Shards,
    images: Images,
    folder: Path,
) -> Embedded:
    """Write the features of each split where a model sees these.

    Args:
        seen: what the models of the cycle see.
        parts: the images of each split, columns digest and path.
        new: digests of those that are new to the parent.
        observed: the new ones, if they were looked at already.
        shards: of earlier cycles; they get those of this one.
        images: where pixels come from.
        folder: of the dataset.

    Raises:
        DataError: an image is nowhere to be had.
        ModelError: see `extraction.collect`.
    """
    import numpy as np
    import polars as pl

    made, keys, num_computed = [], [], 0
    faults: dict[str, str] = {}
    if observed:
        shards = replace(shards, index=FeatureIndex.of([observed.index, shards.index]))
        keys, num_computed = [observed.key], observed.num_computed
    for one in seen:
        if one.extractor is None:
            continue
        key = one.extractor.key
        rows, kept = pl.concat([parts[split] for split in one.splits]), images.kept(one.view)
        say = partial(_say, one.description, shards.index.rows, key, new)
        found = extraction.collect(one.extractor, rows, shards, kept, images.limits, images.scratch, say)
        edges = np.cumsum([0, *(len(parts[split]) for split in one.splits)])
        for split, (start, stop) in zip(one.splits, itertools.pairwise(edges), strict=True):
            np.save(dataset.file(folder, split, one.name), found.values[start:stop], allow_pickle=False)
        is_made = found.is_made(rows)
        made.append(shards.write(key, rows["digest"].filter(is_made), found.values[is_made]))
        keys.append(key)
        num_computed += int(found.is_computed.sum())
        faults |= found.faults
    every = FeatureIndex.of([*made, shards.index])
    every.write(images.scratch / MEMORY)
    return Embedded(every.under(keys), num_computed, faults)


def _say(described: Description, index: "pl.DataFrame", key: str, new: "pl.Series", digests: "pl.Series") -> None:
    """Which features have to be computed; of known images also why."""
    known = digests.filter(~digests.is_in(new.implode()) | digests.is_in(index["digest"].implode()))
    print(f"prepare: features: {counted(len(digests), 'image')} to go through {described.architecture}", end="")
    if len(known):
        kept = set(index.filter(index["digest"].is_in(known.implode()))["key"])
        print(f"; {len(known)} of them are known and go through it again: {_why(key, kept)}", end="")
    print(flush=True)


def _why(key: str, kept: set[str]) -> str:
    """Why features of known images are not taken from what is kept.

    Args:
        key: of those that are wanted, see `Extractor.key`.
        kept: keys of those that there are.
    """
    if key in kept:
        return "what was kept is nowhere any more"
    if key.rpartition(" ")[0] in {other.rpartition(" ")[0] for other in kept}:
        return "images are decoded otherwise now"
    return "what is kept is of another network, size, fit, cut or other weights" if kept else "none were kept"
