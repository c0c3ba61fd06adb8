"""Models and their optimizers: built in code from a description, filled from plain arrays. Home of Keras.

No model is loaded from a `.keras` or `.h5` file: such files have carried code again and again (CVE-2024-3660,
CVE-2025-1550 and their successors).
"""

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Pin
from pipeline.base import files
from pipeline.base.errors import ModelError, one_line
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    import numpy as np


OWN = "small_cnn"
"""The architecture that is built here; all others are Keras' or a user's."""

LONGEST = 300
"""Characters of a library's error that are shown."""

CHANGED = (
    "; if train.architecture is your own function and was changed, put it back as it was, and name the new one "
    "otherwise, with train.start: cold"
)
"""What to do where weights do not fit: a version is built by the function that its name says."""

MOMENTUM = 0.9
"""Of the moving averages of batch normalisation: they follow within some ten steps."""


ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN's sums depend on the machine
    "TF_XLA_FLAGS": "",  # may compile all functions, which changes the last bits
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "",  # the same
}
"""What must be so when the libraries load, whatever the user's account says."""


def keras() -> Any:
    """Keras on TensorFlow; its import takes seconds, so it is done only where a model is needed.

    Raises:
        ModelError: the program that this runs in has Keras on something else already.
    """
    if "keras" not in sys.modules:
        os.environ.update(ENVIRONMENT)
        with contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else _quiet():
            import keras
        _standardise(keras)
    if (backend := sys.modules["keras"].config.backend()) != "tensorflow":
        raise ModelError(
            f"Keras runs on {backend} in this process; expected tensorflow; set KERAS_BACKEND=tensorflow before "
            "anything imports Keras"
        )
    return sys.modules["keras"]


def _standardise(library: Any) -> None:
    """Keras' own defaults, whatever `~/.keras/keras.json` says: another project may need that."""
    library.config.set_floatx("float32")
    library.config.set_epsilon(1e-7)
    library.config.set_image_data_format("channels_last")
    library.config.set_dtype_policy("float32")


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """Keras' own defaults for a while: to build a model in a program that may have set others."""
    config = keras().config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    _standardise(keras())
    try:
        yield
    finally:
        config.set_floatx(before[0])
        config.set_epsilon(before[1])
        config.set_image_data_format(before[2])
        config.set_dtype_policy(before[3])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what TensorFlow's C++ prints before its log level can be set; errors of Python are still raised."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def build(description: Description, pretrained: str | None = None) -> Any:
    """Build a `keras.Model`.

    It takes pixels 0 to 255 of shape (batch, height, width, channels) and gives logits of shape (batch, labels).
    Scaling is inside, so that serving cannot do it differently.

    Args:
        description: of the model.
        pretrained: the data set whose weights it begins with, e.g. imagenet; None: fresh weights.

    Raises:
        ModelError: the architecture is unknown, does not fit the images, or gives no logits.
    """
    name = description.architecture
    if name == OWN:
        return _small_cnn(description)
    if ":" in name:
        return _custom(description)
    return _application(description, pretrained)


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


def _small_cnn(description: Description) -> Any:
    """Three conv-BN-ReLU blocks and global average pooling: 55,000 weights, trains on a CPU."""
    layers = keras().layers
    inputs = layers.Input(description.image_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    for number, filters in enumerate((24, 48, 96)):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=MOMENTUM, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < 2:
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(len(description.labels), name="logits")(x)
    return keras().Model(inputs, outputs, name="small_cnn")


def _application(description: Description, pretrained: str | None) -> Any:
    """A `keras.applications` network without its head, with its own preprocessing, and a new head."""
    applications, layers = keras().applications, keras().layers
    name = description.architecture
    names = sorted(n for n in dir(applications) if n[0].isupper())
    if name not in names:
        import difflib

        near = difflib.get_close_matches(name, [*names, OWN], n=1, cutoff=0.0)[0]
        raise ModelError(
            f"train.architecture {name} is unknown; expected small_cnn, a keras.applications name (did you mean "
            f"{near}?) or module:function"
        )
    constructor = getattr(applications, name)
    inputs = layers.Input(description.image_shape, name="pixels")
    try:
        preprocess = sys.modules[constructor.__module__].preprocess_input
        with warnings.catch_warnings(action="ignore"):  # weights that were made at another image size are wanted
            network = constructor(
                include_top=False, weights=pretrained, input_shape=description.image_shape, pooling="avg"
            )
    except Exception as error:  # noqa: BLE001 - Keras raises many kinds, a failed download others
        with_what = f" with pretrained {pretrained} weights" if pretrained else ""
        remedy = "change prepare.image_size or prepare.channels"
        if "URL fetch failure" in str(error):
            remedy = "run it once with network, which keeps them in ~/.keras, or set train.pretrained: null"
        raise ModelError(
            f"train.architecture {name} cannot be built for images of shape {description.image_shape}{with_what}: "
            f"{one_line(error)[:LONGEST]}; {remedy}"
        ) from None
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Keras' momentum, up to 0.999, is made for a million steps; in a few hundred the averages never arrive.
            layer.momentum = min(layer.momentum, MOMENTUM)
    outputs = layers.Dense(len(description.labels), name="logits")(network(preprocess(inputs)))
    return keras().Model(inputs, outputs, name=name)


def _custom(description: Description) -> Any:
    """A user's `module:function(image_shape, num_labels)`, which returns a model that gives logits."""
    module, function = description.architecture.split(":")
    what = f"train.architecture {description.architecture}"
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        model = getattr(importlib.import_module(module), function)(description.image_shape, len(description.labels))
    except Exception as error:  # noqa: BLE001 - a user's code raises anything
        raise ModelError(
            f"{what} failed: {type(error).__name__}: {one_line(error)[:LONGEST]}; expected a function (image_shape, "
            "num_labels) that returns a keras.Model"
        ) from None
    wanted = (None, len(description.labels))
    if not isinstance(model, keras().Model) or model.output_shape != wanted:
        given = getattr(model, "output_shape", type(model).__name__)
        raise ModelError(f"{what} gave {given}; expected a keras.Model with output shape {wanted}")
    if getattr(model.layers[-1], "activation", None) is keras().activations.softmax:
        raise ModelError(f"{what} ends in a softmax; expected logits, so remove the last activation")
    return model


def use(precision: str) -> None:
    """Let models that are built from now on compute in this precision; their weights stay float32."""
    keras().config.set_dtype_policy(precision)


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
        ModelError: their number or shapes differ; the variables stay as they were.
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

    batches = [
        np.asarray(network.predict_on_batch(pixels[start : start + batch_size]))
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(batches)
