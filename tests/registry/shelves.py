"""A version in a real registry, and what it is known to answer."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.artifacts.lineage import Lineage
from pipeline.base import files
from pipeline.registry.client import Registry
from pipeline.registry.proof import Question
from pipeline.registry.version import Version


@dataclass(frozen=True)
class Shelf:
    """A registry with one version, and what that version is known to answer."""

    registry: Registry
    version: Version
    lineage: Lineage
    questions: tuple[Question, ...]
    model: Path
    """The folder that it was packed from."""
    folder: Path
    """What MLflow downloads of it."""

    def copy(self, folder: Path) -> Path:
        """A download of it to be changed."""
        return shutil.copytree(self.folder, folder / "version")


def asked(model: Path, pictures: list[bytes]) -> tuple[Question, ...]:
    """What the pipeline's own network, in this process, says to pictures."""
    from pipeline.artifacts.model import Description
    from pipeline.images import decoding
    from pipeline.judging import metrics
    from pipeline.learning import model as networks

    description = Description.read(model / "model.json")
    network = networks.load(description, model / "weights.npz", "test")
    size, _, channels = description.image_shape
    pixels = np.stack([decoding.decode(picture, size, channels, description.fit) for picture in pictures])
    odds = metrics.probabilities(networks.logits(network, pixels, 2), description.temperature)
    return tuple(
        Question(files.md5(picture), picture, description.labels[int(row.argmax())], float(row.max()))
        for picture, row in zip(pictures, odds, strict=True)
    )
