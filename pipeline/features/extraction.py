"""Extraction: features of a cycle's images, those that are kept and those that have to be computed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.base import code
from pipeline.base.errors import ModelError
from pipeline.features.shards import Shards
from pipeline.images import pixels
from pipeline.images.pixels import Kept
from pipeline.images.workers import Limits
from pipeline.learning import model

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Extractor:
    """What gives features."""

    description: Description
    """Of the model whose frozen part it is."""
    network: Callable[[], Any]
    """Builds that part, a `keras.Model`: pixels in, features out. That takes seconds."""

    @property
    def key(self) -> str:
        """What features depend on, besides the image: size, network, cut, weights, and how images are decoded."""
        own = code.of_architecture(self.description.architecture)
        by_user = f" {code.digest(*own)[:12]}" if own else ""
        return f"{self.description.inputs}{by_user} {pixels.decoder()}"


@dataclass(frozen=True)
class Features:
    """The features of some images."""

    values: "np.ndarray"
    """float16 (images, ...), in the order of the images."""
    is_computed: "np.ndarray"
    """bool (images,): which ones went through the network; the others were kept."""
    faults: dict[str, str]
    """Images that cannot be decoded although they once were accepted, path to reason."""

    def is_made(self, rows: "pl.DataFrame") -> "np.ndarray":
        """bool (images,): which features are worth keeping; those of faulty images are none.

        Args:
            rows: the images, column path.
        """
        is_faulty: np.ndarray = rows["path"].is_in(list(self.faults)).to_numpy()
        kept: np.ndarray = self.is_computed & ~is_faulty
        return kept


def collect(
    extractor: Extractor,
    rows: "pl.DataFrame",
    shards: Shards,
    kept: Kept,
    limits: Limits,
    scratch: Path,
    say: "Callable[[pl.Series], None]",
) -> Features:
    """Features of accepted images: what shards have, and what has to be computed.

    Args:
        extractor: gives features.
        rows: columns digest and path.
        shards: of earlier cycles.
        kept: pixels that were decoded already, as the network sees them.
        limits: what decoding one image may cost.
        scratch: for pixels on their way.
        say: is told the digests of the images that features have to be computed of.

    Raises:
        DataError: an image is nowhere to be had.
        ModelError: the network gives values that are not finite.
    """
    import numpy as np

    came = list(shards.take(extractor.key, rows["digest"]))
    is_computed = np.ones(len(rows), bool)
    for places, _ in came:
        is_computed[places] = False
    faults: dict[str, str] = {}
    if is_computed.any():
        missing = rows.filter(is_computed)
        say(missing["digest"])
        target = scratch / "pixels-for-features.npy"
        faults = pixels.collect(shards.store, missing, limits, {kept: target}, "prepare: features")
        computed = _computed(extractor.network(), np.load(target, mmap_mode="r", allow_pickle=False))
        came.append((np.flatnonzero(is_computed), computed))
        target.unlink()
    shape = came[0][1].shape[1:] if came else ()
    values = np.zeros((len(rows), *shape), np.float16)
    for places, features in came:
        values[places] = features
    return Features(values, is_computed, faults)


def _computed(network: Any, pictures: "np.ndarray") -> "np.ndarray":
    """float16 (images, ...): half as large as float32, and labels predicted from them are the same."""
    import numpy as np
    from tqdm import tqdm

    made = np.zeros((len(pictures), *network.output_shape[1:]), np.float16)
    with tqdm(total=len(pictures), desc="prepare: features", unit="image", disable=None) as bar:
        for rows, features in model.outputs(network, pictures.__getitem__, len(pictures)):
            made[rows] = features
            bar.update(len(features))
    if not np.isfinite(made).all():
        raise ModelError(
            f"the frozen part of {network.name} gives values that are not finite in 16 bits; expected features; look "
            "at train.pretrained, or set train.tune: all"
        )
    return made
