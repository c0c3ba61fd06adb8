"""Models: built in code from a short description, filled with weights from plain arrays. Home of Keras.

Nothing is ever loaded from a serialized model: `.keras` and `.h5` files have carried code time and
again (CVE-2024-3660, CVE-2025-1550 and their successors).
"""

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ModelError
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    import numpy as np


MOMENTUM = 0.9
"""Of batch normalisation's moving averages: they follow within some ten steps."""


@dataclass(frozen=True)
class Description:
    """All that is needed to build a model again."""

    architecture: str
    image_shape: tuple[int, int, int]
    labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def describe(value: dict[str, Any]) -> Description:
    """The inverse of `Description.to_json`."""
    height, width, channels = value["image_shape"]
    return Description(value["architecture"], (height, width, channels), tuple(value["labels"]))


def keras() -> Any:
    """Import Keras on TensorFlow; takes seconds, so only where a model is needed."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # oneDNN's sums depend on the machine
        with contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else _quiet():
            import keras  # noqa: F401
    return sys.modules["keras"]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what TensorFlow's C++ prints before its log level can be set; Python's errors still rise."""
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
    """Build a `keras.Model` with fresh (or pretrained) weights.

    It takes pixels 0 to 255, shape (batch, height, width, channels), and gives logits, shape
    (batch, labels); scaling is inside, so that serving cannot do it differently.

    Raises:
        ModelError: the architecture is unknown, does not fit the images, or gives no logits.
    """
    name = description.architecture
    if name == "small_cnn":
        return _small_cnn(description)
    if ":" in name:
        return _custom(description)
    return _application(description, pretrained)


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
    known = sorted(n for n in dir(applications) if n[0].isupper())
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, [*known, "small_cnn"], n=1, cutoff=0.0)[0]
        raise ModelError(
            f"train.architecture {name} is unknown; expected small_cnn, a keras.applications name (did you mean "
            f"{near}?) or module:function"
        )
    constructor = getattr(applications, name)
    inputs = layers.Input(description.image_shape, name="pixels")
    try:
        preprocess = sys.modules[constructor.__module__].preprocess_input
        with warnings.catch_warnings(action="ignore"):  # that the weights were made at another image size is meant
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
            f"{_line(error)}; {remedy}"
        ) from None
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Made for a million steps (up to 0.999), averages that slow never arrive in a cycle's few hundred.
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
            f"{what} failed: {type(error).__name__}: {_line(error)}; expected a function (image_shape, num_labels) "
            "that returns a keras.Model"
        ) from None
    wanted = (None, len(description.labels))
    if not isinstance(model, keras().Model) or model.output_shape != wanted:
        found = getattr(model, "output_shape", type(model).__name__)
        raise ModelError(f"{what} gave {found}; expected a keras.Model with output shape {wanted}")
    if getattr(model.layers[-1], "activation", None) is keras().activations.softmax:
        raise ModelError(f"{what} ends in a softmax; expected logits, so remove the last activation")
    return model


def use(precision: str) -> None:
    """What models compute in from now on; their weights stay float32."""
    keras().config.set_dtype_policy(precision)


def optimizer(train: Train) -> Any:
    """A fresh optimizer with `train.learning_rate`."""
    optimizers = keras().optimizers
    if train.optimizer == "adamw":
        made = optimizers.AdamW(train.learning_rate, weight_decay=train.weight_decay)
    else:
        made = {"adam": optimizers.Adam, "sgd": optimizers.SGD}[train.optimizer](train.learning_rate)
    # Gradients that float16 cannot hold become zero without.
    return optimizers.LossScaleOptimizer(made) if train.precision == "mixed_float16" else made


def arrays(variables: list[Any]) -> "dict[str, np.ndarray]":
    """Copies of variables by position: names change from one process to the next, order does not."""
    import numpy as np

    convert = keras().ops.convert_to_numpy
    return {f"{number:04d}": np.array(convert(variable)) for number, variable in enumerate(variables)}


def fill(variables: list[Any], values: "dict[str, np.ndarray]", whose: str) -> None:
    """Set variables from arrays.

    Raises:
        ModelError: number or shapes differ; says where, and leaves the variables as they were.
    """
    if len(variables) != len(values):
        raise ModelError(f"{whose}: {len(values)} arrays for {len(variables)} variables; it is of another kind")
    pairs = [(variable, values[name]) for variable, name in zip(variables, sorted(values), strict=True)]
    for variable, value in pairs:
        if tuple(variable.shape) != value.shape:
            raise ModelError(
                f"{whose}: {variable.path} has shape {value.shape}, expected {tuple(variable.shape)}; it is of "
                "another kind"
            )
    for variable, value in pairs:
        variable.assign(value)


def fill_optimizer(optimizer: Any, values: "dict[str, np.ndarray]", restore: tuple[str, ...], whose: str) -> None:
    """Set what `train.restore` names: the learning rate, and everything else (step count, slots)."""
    named = {
        name: value
        for name, value in arrays(optimizer.variables).items()
        if ("learning_rate" if optimizer.variables[int(name)] is optimizer.learning_rate else "optimizer")
        not in restore
    }
    fill(optimizer.variables, {**values, **named}, f"optimizer of {whose}")


def for_labels(
    weights: "dict[str, np.ndarray]", fresh: "dict[str, np.ndarray]", parent: Description, labels: tuple[str, ...]
) -> "dict[str, np.ndarray]":
    """A parent's weights for other labels: an output goes with its label, a new label's is fresh.

    Everything below the outputs stays as it is, so the logits of the labels that the parent knows are its own.

    Args:
        weights: of the parent, by position.
        fresh: of a new model with these labels.
        parent: its description.
        labels: of today.
    """
    import numpy as np

    if parent.labels == labels:
        return weights
    # Whatever takes another shape with one label more has one number per label, on its last axis.
    wider = build(replace(parent, labels=(*parent.labels, "one more"))).weights
    known = [label for label in labels if label in parent.labels]
    places, came = [labels.index(label) for label in known], [parent.labels.index(label) for label in known]
    found = dict(weights)
    for (name, value), other in zip(sorted(weights.items()), wider, strict=True):
        if tuple(other.shape) != value.shape:
            found[name] = np.copy(fresh[name])
            found[name][..., places] = value[..., came]
    return found


def misfit(parent: Description, now: Description) -> str | None:
    """Why a model cannot take over a parent's weights, in words; None if it can."""
    if parent.image_shape != now.image_shape:
        return f"it sees images of shape {parent.image_shape}, params.yaml asks for {now.image_shape}"
    if parent.architecture != now.architecture:
        return f"it is a {parent.architecture}, params.yaml asks for a {now.architecture}"
    return None


def logits(network: Any, pixels: "np.ndarray", batch_size: int) -> "np.ndarray":
    """Predict; float32 of shape (images, labels)."""
    import numpy as np

    found = [
        np.asarray(network.predict_on_batch(pixels[start : start + batch_size]))
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate(found)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
