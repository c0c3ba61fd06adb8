"""Networks: what `train.architecture` names, built in code as one flat graph from pixels to logits."""

import importlib
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.base.auto import SMALL
from pipeline.base.errors import ModelError, one_line
from pipeline.learning.backend import keras

if TYPE_CHECKING:
    import numpy as np

SMALL_CNN, PHOTO_CNN = SMALL
LITE0 = "EfficientNetLite0"
OWN = (*SMALL, LITE0)
"""The architectures that are built here; all others are Keras' or a user's."""

HEAD = "logits"
"""Name of the last layer of all networks but a user's."""

_PACKAGE = __name__.removesuffix("pipeline.learning.networks")
"""Where this is the code of a registered version: the package that has it, with a dot (`registry.packaging`). Nothing
but its own code may build its network."""

LONGEST = 300
"""Characters of a library's error that are shown."""

MOMENTUM = 0.9
"""Of the moving averages of batch normalisation: they follow within some ten steps."""

BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Of EfficientNet-B0: repeats, kernel, stride of the first, expansion, filters."""


class DownloadError(ModelError):
    """Keras could not download weights."""

    def __init__(self, words: str, reason: str) -> None:
        super().__init__(words)
        self.reason = reason


def build(description: Description) -> Any:
    """Build a `keras.Model` with fresh weights.

    Raises:
        ModelError: the architecture is unknown, does not fit the images, or gives no logits.
    """
    name = description.architecture
    if name == SMALL_CNN:
        return _small_cnn(description)
    if name == PHOTO_CNN:
        return _photo_cnn(description)
    if name == LITE0:
        return _lite0(description)
    return _application(description) if is_application(name) else _custom(description)


def is_application(name: str) -> bool:
    """Whether an architecture is none of our own and no user's, and so one of `keras.applications`."""
    return name not in OWN and ":" not in name


def head(network: Any) -> Any:
    """The `keras.layers.Dense` that gives a network's logits.

    Raises:
        ModelError: a user's network ends in another layer.
    """
    return _ending(network).operation


def features(network: Any) -> Any:
    """The tensor that the layer takes which gives a network's logits; `layer.input` may be that of another network.

    Raises:
        ModelError: see `head`.
    """
    return _ending(network).input_tensors[0]


def _ending(network: Any) -> Any:
    """Keras' node of the last layer: of the parts that a network is divided into, each has nodes of its own."""
    outputs = getattr(network, "outputs", None)  # a user's own class of models has none
    history = outputs[0]._keras_history if outputs else None
    if history is None or not isinstance(history.operation, keras().layers.Dense):
        ends = type(network.layers[-1]).__name__ if network.layers else "nothing"
        raise ModelError(
            f"train.architecture: {network.name} ends in {ends}; expected a keras.layers.Dense that gives the logits "
            "as last layer of a functional model; end it so, or set train.tune: all and train.pretrained: null"
        )
    return history.operation._inbound_nodes[history.node_index]


def _small_cnn(description: Description) -> Any:
    """Three conv-BN-ReLU blocks and global average pooling: 54,000 weights, trains on a CPU."""
    layers = keras().layers
    inputs = layers.Input(description.image_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    for number, filters in enumerate((24, 48, 96)):
        x = _convolved(x, filters, number)
        if number < 2:
            x = layers.MaxPooling2D(name=f"pool{number}")(x)
    return _ended(inputs, layers.GlobalAveragePooling2D(name="average")(x), description)


def _photo_cnn(description: Description) -> Any:
    """For photographs, where there are no pretrained weights: 318,000 weights, trains on a CPU.

    The first convolution has a stride of 4, so that the others see a sixteenth of the positions: in the same time it
    learns more epochs, and so more, than a network that looks at all of them.
    """
    layers = keras().layers
    inputs = layers.Input(description.image_shape, name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(inputs)
    x = _convolved(x, 32, 0, kernel=4, stride=4)
    for number, filters in enumerate((64, 128, 192), start=1):
        x = _convolved(x, filters, number)
        x = layers.MaxPooling2D(padding="same", name=f"pool{number}")(x)
    return _ended(inputs, layers.GlobalAveragePooling2D(name="average")(x), description)


def _convolved(x: Any, filters: int, number: int, kernel: int = 3, stride: int = 1) -> Any:
    """A block of a small network: convolution, batch normalisation, ReLU."""
    layers = keras().layers
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"conv{number}")(x)
    x = layers.BatchNormalization(momentum=MOMENTUM, name=f"norm{number}")(x)
    return layers.ReLU(name=f"relu{number}")(x)


def _lite0(description: Description) -> Any:
    """EfficientNet-Lite0: 3.4 million weights, about 0.4 billion multiplications at 224 pixels.

    Tan and Le, ICML 2019, arXiv:1905.11946, in the form for small devices of tensorflow/tpu (efficientnet/lite):
    ReLU6, no squeeze and excitation, pixels as (x - 127) / 128. Layers are named as in the PyTorch conversions of it.
    """
    layers = keras().layers
    if description.image_shape[2] != 3:
        raise ModelError(
            f"train.architecture {LITE0} cannot be built for images of shape {description.image_shape}; expected "
            "colours; set prepare.channels: 3, which takes grey images too"
        )

    def norm(x: Any, name: str, is_activated: bool = True) -> Any:
        x = layers.BatchNormalization(momentum=MOMENTUM, epsilon=1e-3, name=name)(x)
        return layers.ReLU(6.0, name=f"{name}.relu")(x) if is_activated else x

    def conv(x: Any, filters: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=name)(x)

    inputs = layers.Input(description.image_shape, name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(inputs)
    x = norm(conv(x, 32, "conv_stem", 3, 2), "bn0")
    repeated = [(kind, repeat) for kind in BLOCKS for repeat in range(kind[0])]
    for number, ((_, kernel, stride, expansion, filters), repeat) in enumerate(repeated):
        name, before, width = f"blocks.{number}", x, int(x.shape[-1])
        if expansion != 1:
            x = norm(conv(x, width * expansion, f"{name}.expand_conv"), f"{name}.bn0")
        x = layers.DepthwiseConv2D(
            kernel, 1 if repeat else stride, padding="same", use_bias=False, name=f"{name}.depthwise_conv"
        )(x)
        x = norm(x, f"{name}.bn1")
        x = norm(conv(x, filters, f"{name}.project_conv"), f"{name}.bn2", is_activated=False)
        if repeat:
            x = layers.Add(name=f"{name}.add")([before, x])
    x = norm(conv(x, 1280, "conv_head"), "bn1")
    return _ended(inputs, layers.GlobalAveragePooling2D(name="average")(x), description)


def _ended(inputs: Any, features: Any, description: Description) -> Any:
    """A network from its backbone: pooled features, then a fresh head."""
    outputs = keras().layers.Dense(len(description.labels), name=HEAD)(features)
    return keras().Model(inputs, outputs, name=description.architecture)


def _application(description: Description) -> Any:
    """A `keras.applications` network without its head, with its own preprocessing, and a new head.

    Weights have the positions that they have in the network of Keras alone: what was registered is filled by them.
    """
    layers = keras().layers
    constructor = _constructor(description.architecture)
    inputs = layers.Input(description.image_shape, name="pixels")
    try:
        preprocess = sys.modules[constructor.__module__].preprocess_input
        backbone = constructor(include_top=False, weights=None, input_tensor=preprocess(inputs), pooling="avg")
    except Exception as error:  # noqa: BLE001 - Keras raises many kinds
        raise _unfit(description, error) from None
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Keras' momentum, up to 0.999, is made for a million steps; in a few hundred the averages never arrive.
            layer.momentum = min(layer.momentum, MOMENTUM)
        if isinstance(layer, layers.Normalization) and layer.weights:
            # Keras copies these weights when it loads a file of its own; here they are filled from arrays.
            layer.mean, layer.variance = layer.adapt_mean, layer.adapt_variance
    return _ended(inputs, backbone.output, description)


def applications() -> list[str]:
    """The names in `keras.applications`."""
    return sorted(name for name in dir(keras().applications) if name[0].isupper())


def _constructor(name: str) -> Any:
    """Of a `keras.applications` network.

    Raises:
        ModelError: there is none of that name; names the nearest.
    """
    names = applications()
    if name not in names:
        import difflib

        near = difflib.get_close_matches(name, [*names, *OWN], n=1, cutoff=0.0)[0]
        raise ModelError(
            f"train.architecture {name} is unknown; expected {', '.join(OWN)}, a keras.applications name (did you mean "
            f"{near}?) or module:function"
        )
    return getattr(keras().applications, name)


def imagenet(description: Description) -> "list[np.ndarray]":
    """ImageNet weights of a `keras.applications` network without its head, which Keras downloads once.

    Raises:
        ModelError: it is unknown or does not fit the images.
        DownloadError: they cannot be downloaded.
    """
    import numpy as np

    layers, constructor = keras().layers, _constructor(description.architecture)
    try:
        with warnings.catch_warnings(action="ignore"):  # weights that were made at another image size are wanted
            backbone = constructor(include_top=False, weights="imagenet", input_shape=description.image_shape)
    except Exception as error:  # noqa: BLE001 - Keras raises many kinds, a failed download others
        raise _unfit(description, error, " with pretrained imagenet weights") from None
    for layer, then in pairwise(backbone.layers):
        if isinstance(layer, layers.Normalization) and isinstance(then, layers.Rescaling):
            # Only with these weights Keras' EfficientNet multiplies after the normalisation: here a part of it.
            layer.adapt_variance.assign(layer.adapt_variance / np.square(np.asarray(then.scale)))
    return [np.asarray(keras().ops.convert_to_numpy(variable)) for variable in backbone.weights]


def _unfit(description: Description, error: Exception, with_what: str = "") -> ModelError:
    why = one_line(error)[:LONGEST]
    words = (
        f"train.architecture {description.architecture} cannot be built for images of shape "
        f"{description.image_shape}{with_what}: {why}"
    )
    _, no_download, reason = why.partition("URL fetch failure: ")
    if no_download:
        return DownloadError(
            f"{words}; run it once with network, which keeps them in ~/.keras, or set train.pretrained: null, or to a "
            f"file that `python -m pipeline weights {description.architecture}` made on another machine",
            reason,
        )
    return ModelError(f"{words}; change prepare.image_size or prepare.channels")


def _custom(description: Description) -> Any:
    """A user's `module:function(image_shape, num_labels)`, which returns a model that gives logits."""
    name, function = description.architecture.split(":")
    what = f"train.architecture {description.architecture}"
    try:
        module = importlib.import_module(f"{_PACKAGE}{name}") if _PACKAGE else _of_project(name, what)
        model = getattr(module, function)(description.image_shape, len(description.labels))
    except ModelError:
        raise
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


def _of_project(name: str, what: str) -> Any:
    """A module of the project, which is the current directory, imported.

    Raises:
        ModelError: it is no file there: one of a library is not run because a name says so, which may have come from a
            registry. Or a library has the same name.
    """
    here = Path.cwd()
    path = here.joinpath(*name.split("."))
    own = [one.resolve() for one in (path / "__init__.py", path.with_suffix(".py")) if one.is_file()]
    if not own:
        raise ModelError(
            f"{what}: there is no {name.replace('.', '/')}.py in {here}; expected module:function with a module of the "
            "project; write it, or name another"
        )
    if str(here) not in sys.path:
        sys.path.insert(0, str(here))
    module = importlib.import_module(name)
    file = getattr(module, "__file__", None)
    if file is None or Path(file).resolve() not in own:
        raise ModelError(f"{what}: Python has another module {name.partition('.')[0]}, {file}; rename the project's")
    return module
