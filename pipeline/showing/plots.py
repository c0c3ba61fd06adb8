"""Pictures for the reviewer, as PNG bytes, 736 pixels wide; the same numbers give the same bytes."""

from collections.abc import Mapping, Sequence

from pipeline.artifacts.comparison import ModelComparison
from pipeline.artifacts.past import PastCycle
from pipeline.artifacts.training import Training
from pipeline.judging.calibration import Confidence
from pipeline.showing import charts, dumbbells, epochs, matrices, reliable, timeline


def labels(comparison: ModelComparison) -> bytes:
    """Each label, from the champion's share of right images to the challenger's; the worst fall first."""
    if not comparison.labels:
        return charts.png(charts.message("There is no label."))
    return charts.png(dumbbells.figure(dumbbells.of_labels(comparison)))


def slices(comparison: ModelComparison) -> bytes:
    """The same for slices; those that are surely worse first."""
    if comparison.champion is None:
        return charts.png(charts.message("No slice is compared: there is no champion."))
    if not comparison.slices:
        return charts.png(
            charts.message("No slice is compared: none has holdout images whose labels the champion knows.")
        )
    return charts.png(dumbbells.figure(dumbbells.of_slices(comparison)))


def confusion(comparison: ModelComparison) -> bytes:
    """Which labels each model takes for which others, in the order of the model's outputs."""
    if not comparison.labels:
        return charts.png(charts.message("There is no label."))
    return charts.png(matrices.figure(matrices.of(comparison)))


def curves(training: Training) -> bytes:
    """Loss and accuracy by epoch, with the parent's, the epoch that was kept and the mixture that is served."""
    return charts.png(epochs.figure(epochs.of(training)))


def reliability(models: Mapping[str, Confidence], min_probability: float) -> bytes:
    """Left: accuracy by probability, with intervals of 95 %. Right: accuracy of the answers by how many are left.

    Args:
        models: the first one's thresholds are named on its curve.
        min_probability: the threshold that is marked; 0: none.
    """
    return charts.png(reliable.figure(models, min_probability))


def history(cycles: Sequence[PastCycle], current: int) -> bytes:
    """Accuracy, flips and cost of all versions.

    Args:
        cycles: in any order.
        current: version that is emphasised.
    """
    if not cycles:
        return charts.png(charts.message("There is no version yet."))
    return charts.png(timeline.figure(timeline.of(cycles, current)))
