"""Models and their optimizers: built in code from a description, filled from plain arrays.

No model is loaded from a `.keras` or `.h5` file: such files have carried code again and again (CVE-2024-3660,
CVE-2025-1550 and their successors).
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Pin
from pipeline.base import files
from pipeline.base.errors import ModelError
from pipeline.learning import backend, networks, pretrained
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    import numpy as np


keras, standard, use = backend.keras, backend.standard, backend.use
"""Of the library, for whoever has a model in hand."""

CHANGED = (
    "; if train.architecture is your own function and was changed, put it back as it was, and name the new one "
    "otherwise, with train.start: cold"
)
"""What to do where weights do not fit: a version is built by the function that its name says."""


AT_ONCE = 64
"""Images that go through a network together where it only gives outputs."""


def build(description: Description, start: str | None = None) -> Any:
    """Build a `keras.Model`.

    It takes pixels 0 to 255 of shape (batch, height, width, channels) and gives logits of shape (batch, labels).
    Scaling is inside, so that serving cannot do it differently.

    Args:
        description: of the model.
        start: what its backbone begins with, as in `train.pretrained`; None: fresh weights.

    Raises:
        ModelError: the architecture is unknown, does not fit the images or the weights, or gives no logits.
        DataError: a file of weights cannot be read, see `pretrained.fill`.
    """
    network = networks.build(description)
    pretrained.begin(network, description, start)
    return network


def load(description: Description, weights: "Path | Mapping[str, np.ndarray]", whose: str) -> Any:
    """Build a `keras.Model` and fill it.

    Args:
        description: of the model.
        weights: by position, or an .npz of them.
        whose: says in an error what the weights are of.

    Raises:
        ModelError: see `build` and `fill`.
        DataError: see `files.read_arrays`.
    """
    network = build(description)
    fill(network.weights, files.read_arrays(weights) if isinstance(weights, Path) else weights, whose)
    return network


def optimizer(train: Train) -> Any:
    """A fresh optimizer with `train.learning_rate`."""
    optimizers = keras().optimizers
    if train.optimizer == "adamw":
        made = optimizers.AdamW(train.learning_rate, weight_decay=train.weight_decay)
    else:
        made = {"adam": optimizers.Adam, "sgd": optimizers.SGD}[train.optimizer](train.learning_rate)
    # Without it, gradients that float16 cannot hold become zero.
    return optimizers.LossScaleOptimizer(made) if train.precision == "mixed_float16" else made


def arrays(variables: list[Any]) -> "dict[str, np.ndarray]":
    """Copies of variables by position: their names change from process to process, their order does not."""
    import numpy as np

    convert = keras().ops.convert_to_numpy
    return {f"{number:04d}": np.array(convert(variable)) for number, variable in enumerate(variables)}


def fill(variables: list[Any], values: "Mapping[str, np.ndarray]", whose: str, remedy: str = CHANGED) -> None:
    """Set variables from arrays; the inverse of `arrays`.

    Args:
        variables: of Keras.
        values: by position.
        whose: says in an error what the values are of.
        remedy: says in an error what to do.

    Raises:
        ModelError: their number, shapes or kinds differ; the variables stay as they were.
    """
    if len(variables) != len(values):
        raise ModelError(f"{whose}: {len(values)} arrays for {len(variables)} variables; it is of another kind{remedy}")
    pairs = [(variable, values[name]) for variable, name in zip(variables, sorted(values), strict=True)]
    for variable, value in pairs:
        if tuple(variable.shape) != value.shape:
            raise ModelError(
                f"{whose}: {variable.path} has shape {value.shape}, expected {tuple(variable.shape)}; it is of "
                f"another kind{remedy}"
            )
        if value.dtype.kind not in "fiub":
            raise ModelError(f"{whose}: {variable.path} has values of kind {value.dtype}, expected numbers{remedy}")
    for variable, value in pairs:
        variable.assign(value)


def fill_optimizer(optimizer: Any, values: "Mapping[str, np.ndarray]", restore: tuple[str, ...], whose: str) -> None:
    """Set of an optimizer what `restore` names.

    Args:
        optimizer: of Keras, built.
        values: its variables by position.
        restore: `learning_rate`, and `optimizer` for everything else (step count, slots); see `train.restore`.
        whose: says in an error what the values are of.

    Raises:
        ModelError: see `fill`.
    """
    kept = {
        name: value
        for name, value in arrays(optimizer.variables).items()
        if ("learning_rate" if optimizer.variables[int(name)] is optimizer.learning_rate else "optimizer")
        not in restore
    }
    fill(optimizer.variables, {**values, **kept}, f"optimizer of {whose}", remedy="")


def for_labels(
    weights: "Mapping[str, np.ndarray]", fresh: "Mapping[str, np.ndarray]", parent: Description, labels: tuple[str, ...]
) -> "Mapping[str, np.ndarray]":
    """A parent's weights for other labels: each output goes with its label, and that of a new label is fresh.

    Everything below the outputs stays as it is, so labels that the parent has keep its logits.

    Args:
        weights: of the parent, by position.
        fresh: of a new model with these labels.
        parent: its description.
        labels: of today.
    """
    import numpy as np

    if parent.labels == labels:
        return weights
    # A variable whose shape changes with one label more has one number per label, on its last axis.
    wider = build(parent.model_copy(update={"labels": (*parent.labels, "one more")})).weights
    shared = [label for label in labels if label in parent.labels]
    now, before = [labels.index(label) for label in shared], [parent.labels.index(label) for label in shared]
    widened = dict(weights)
    for (name, value), other in zip(sorted(weights.items()), wider, strict=True):
        if tuple(other.shape) != value.shape:
            widened[name] = np.copy(fresh[name])
            widened[name][..., now] = value[..., before]
    return widened


def refuse_misfit(pin: Pin, now: Description) -> None:
    """Refuse to take over a parent's weights that are of another network.

    Raises:
        ModelError: says what differs.
    """
    before, why = pin.lineage.model, ""
    if before.architecture != now.architecture:
        why = f"it is a {before.architecture}, params.yaml asks for a {now.architecture}"
    elif before.image_shape != now.image_shape:
        why = f"it sees images of shape {before.image_shape}, params.yaml asks for {now.image_shape}"
    elif before.fit != now.fit:
        why = f"it sees images by prepare.fit: {before.fit}, params.yaml asks for {now.fit}"
    if why:
        raise ModelError(
            f"cannot start from v{pin.version}: {why}; set params.yaml back, or set train.start: cold to train afresh"
        )


def logits(network: Any, pixels: "np.ndarray", batch_size: int) -> "np.ndarray":
    """Predict.

    Args:
        network: a `keras.Model`.
        pixels: uint8 (images, height, width, channels); one image at least.
        batch_size: images at once.

    Returns:
        float32 (images, labels).
    """
    import numpy as np

    batches = [predicted(network, pixels[start : start + batch_size]) for start in range(0, len(pixels), batch_size)]
    return np.concatenate(batches)


def predicted(network: Any, batch: "np.ndarray") -> "np.ndarray":
    """What a `keras.Model` gives for one batch."""
    import numpy as np

    return np.asarray(network.predict_on_batch(batch))


def outputs(network: Any, take: "Callable[[slice], np.ndarray]", count: int) -> "Iterator[tuple[slice, np.ndarray]]":
    """What a `keras.Model` gives for many images, batch by batch; all of one size, for each other one is compiled anew.

    Args:
        network: what they go through.
        take: gives what it sees of some of them.
        count: of the images.

    Returns:
        Pairs: which images; what it gives for them.
    """
    import numpy as np

    for start in range(0, count, AT_ONCE):
        rows = slice(start, min(start + AT_ONCE, count))
        batch = np.asarray(take(rows))
        yield rows, predicted(network, np.resize(batch, (AT_ONCE, *batch.shape[1:])))[: len(batch)]
