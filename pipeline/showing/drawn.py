"""The pictures of a cycle, each by the name of its file. MLflow compares those of several runs side by side."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.artifacts.comparison import (
    CONFUSION,
    CURVES,
    DOUBT,
    FLIPS,
    LABELS,
    RELIABILITY,
    SLICES,
    ModelComparison,
)
from pipeline.artifacts.training import Training
from pipeline.judging.calibration import Confidence
from pipeline.showing import gallery, plots

if TYPE_CHECKING:
    import numpy as np


def of_cycle(
    comparison: ModelComparison,
    training: Training,
    sure: Mapping[str, Confidence],
    min_probability: float,
    pictures: "Mapping[str, np.ndarray]",
) -> dict[str, bytes]:
    """PNG files by name; all but HISTORY, which is of all cycles.

    Args:
        comparison: of both models.
        training: of the challenger.
        sure: how sure each model is, by name.
        min_probability: below which no label is given; 0: all get one.
        pictures: of images that stand out, uint8 (height, width, 3), by digest.
    """
    return {
        LABELS: plots.labels(comparison),
        FLIPS: gallery.flips(comparison, pictures),
        DOUBT: gallery.doubts(comparison, pictures),
        CONFUSION: plots.confusion(comparison),
        CURVES: plots.curves(training),
        SLICES: plots.slices(comparison),
        RELIABILITY: plots.reliability(sure, min_probability),
    }
