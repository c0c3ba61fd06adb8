"""Suspects: new images that the champion is sure have another label."""

from dataclasses import dataclass

import numpy as np

from pipeline.data.dataset import Dataset
from pipeline.data.splits import SPLITS
from pipeline.judging import metrics
from pipeline.learning.contenders import Contender

AT_ONCE = 1024
"""New images whose pixels are in memory at the same time."""


@dataclass(frozen=True)
class Suspect:
    """A new image that the champion confidently gives another label."""

    digest: str
    label: str
    predicted: str
    probability: float


def found(champion: Contender, images: Dataset, suspicious: float) -> list[Suspect]:
    """New images of whose label the champion doubts. None if the dataset does not have what it sees of them.

    Args:
        champion: its opinion counts.
        images: the dataset.
        suspicious: probability, 0 to 1, of another label from which it doubts.
    """
    suspects = []
    for split in SPLITS:
        if not images.shows(split, champion.description.inputs):
            continue
        part = images.part(split, champion.description.inputs)
        new = np.arange(0) if part.is_new is None else np.flatnonzero(part.is_new)
        for start in range(0, len(new), AT_ONCE):
            rows = new[start : start + AT_ONCE]
            odds = metrics.probabilities(champion.logits(part.inputs[rows]), champion.description.temperature)
            for row, odd in zip(rows, odds, strict=True):
                label, other = images.labels[part.labels[row]], images.labels[int(odd.argmax())]
                # Of a label that it does not know the champion can have no opinion.
                if other != label and champion.knows(label) and odd.max() >= suspicious:
                    suspects.append(Suspect(part.digests[row], label, other, float(odd.max())))
    return suspects
