import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import description

from pipeline.artifacts.model import Description
from pipeline.base import auto
from pipeline.base.errors import ModelError
from pipeline.learning import backend, model, networks

pytestmark = pytest.mark.project  # TensorFlow takes seconds

SMALL = description("cat", "dog", "fox", image_shape=(32, 32, 3))
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)


def other(**changes: object) -> Description:
    return SMALL.model_copy(update=changes)


def application(name: str) -> Description:
    return other(architecture=name, image_shape=(64, 64, 3))


def nested(name: str) -> Any:
    """An application as a layer of its own, as it was built before: what was registered has weights in its order."""
    keras = backend.keras()
    constructor = getattr(keras.applications, name)
    inputs = keras.layers.Input((64, 64, 3))
    inner = constructor(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    preprocessed = sys.modules[constructor.__module__].preprocess_input(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(inner(preprocessed)))


def called(network: Any) -> np.ndarray:
    return np.asarray(network(PIXELS.astype("float32"), training=False))


def kinds(network: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Of each weight: its layer and name, without the number that Keras gave the last of its kind, and its shape."""
    return [
        (re.sub(r"_\d+(?=/|$)", "", "/".join(variable.path.split("/")[-2:])), tuple(variable.shape))
        for variable in network.weights
    ]


@pytest.mark.parametrize(
    "name", ["MobileNetV3Small", "MobileNetV2", "EfficientNetB0", "ResNet50V2", "DenseNet121", "ConvNeXtTiny"]
)
def test_an_application_is_flat_and_has_the_positions_and_logits_of_the_nested_one(name: str) -> None:
    before, now = nested(name), networks.build(application(name))
    assert kinds(before) == kinds(now)
    assert not [layer for layer in now.layers if type(layer).__name__ == "Functional"]
    for old, new in zip(before.weights, now.weights, strict=True):
        if re.search(r"(?<!batch_)normalization\w*/(mean|variance)$", old.path):
            old.assign([0.04, 0.05, 0.06])
        new.assign(old)
    for layer in before.layers[-2].layers:
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()  # as if Keras had loaded them
    logits = called(now)
    assert np.isfinite(logits).all()
    assert not np.array_equal(logits[0], logits[1])
    np.testing.assert_allclose(logits, called(before), atol=1e-4 * np.ptp(logits, axis=0).max())  # fresh ones are tiny


@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetLite0"])
def test_moving_averages_arrive_within_a_small_cycle(name: str) -> None:
    """MobileNetV3's own 0.999 leaves predictions at chance after a cycle of a few hundred steps."""
    network = networks.build(application(name))
    assert {layer.momentum for layer in network.layers if type(layer).__name__ == "BatchNormalization"} == {0.9}


@pytest.mark.parametrize("name", auto.SMALL)
@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 64, 3), (97, 97, 3)])
def test_the_small_networks_take_images_of_every_shape(name: str, shape: tuple[int, int, int]) -> None:
    network = networks.build(other(architecture=name, image_shape=shape))
    logits = np.asarray(network(np.zeros((2, *shape), "float32"), training=False))
    assert logits.shape == (2, 3)
    assert np.isfinite(logits).all()


def test_the_network_for_photographs_looks_at_a_sixteenth_of_the_positions() -> None:
    network = networks.build(other(architecture="photo_cnn", image_shape=(96, 96, 3)))
    assert network.count_params() == pytest.approx(318_000, rel=0.01)
    assert [tuple(network.get_layer(f"conv{number}").output.shape[1:3]) for number in range(4)] == [
        (24, 24), (24, 24), (12, 12), (6, 6)
    ]  # fmt: skip


def test_efficientnet_lite0_is_that_of_the_paper() -> None:
    network = networks.build(application("EfficientNetLite0"))
    head = networks.head(network)
    assert network.count_params() - head.count_params() == 3_413_024
    assert tuple(head.input.shape) == (None, 1280)
    strides = [layer.strides[0] for layer in network.layers if type(layer).__name__ == "DepthwiseConv2D"]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert sum(type(layer).__name__ == "Add" for layer in network.layers) == 9
    scale = network.get_layer("scale")
    np.testing.assert_allclose(scale(np.array([-1.0, 127.0, 255.0])), [-1, 0, 1])
    assert called(network).shape == (2, 3)


def test_efficientnet_lite0_needs_colours() -> None:
    with pytest.raises(ModelError, match=r"Lite0 cannot be built for .*\(64, 64, 1\).*set prepare.channels: 3"):
        networks.build(other(architecture="EfficientNetLite0", image_shape=(64, 64, 1)))


def test_the_head_is_the_layer_that_gives_the_logits(own: Path) -> None:
    assert networks.head(networks.build(SMALL)).name == "logits"
    for last in (
        "keras.Model(inputs, keras.layers.Dense(num_labels, name='mine')(x))",
        "keras.Sequential([inputs, keras.layers.Flatten(), keras.layers.Dense(num_labels, name='mine')])",
    ):
        name = write(own, "fine", last)
        sys.modules.pop("mynet_fine", None)
        assert networks.head(networks.build(other(architecture=name))).name == "mine"


@pytest.mark.parametrize(
    "last",
    [
        "keras.Model(inputs, keras.layers.ReLU(name='end')(keras.layers.Dense(num_labels)(x)))",
        "keras.Model(inputs, keras.layers.Dense(num_labels)(x) * 2)",
    ],
    ids=["another layer", "an operation"],
)
def test_a_network_that_ends_in_something_else_has_no_head(own: Path, last: str) -> None:
    network = networks.build(other(architecture=write(own, "fine", last)))
    with pytest.raises(
        ModelError, match=r"expected a keras.layers.Dense that gives the logits.*set train.tune: all and"
    ):
        networks.head(network)


def test_an_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"MobilNetV3Small is unknown; .*did you mean MobileNetV3Small"):
        networks.build(other(architecture="MobilNetV3Small"))


def test_an_architecture_that_does_not_fit_the_images_says_so() -> None:
    with pytest.raises(
        ModelError, match=r"VGG16 cannot be built for images of shape \(16, 16, 3\).*prepare.image_size"
    ):
        networks.build(other(architecture="VGG16", image_shape=(16, 16, 3)))


def test_pretrained_weights_that_cannot_be_fetched_are_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("URL fetch failure: no route\nto host")

    application = sys.modules[model.keras().applications.MobileNetV3Small.__module__]
    monkeypatch.setattr(application.file_utils, "get_file", offline)
    with pytest.raises(
        ModelError, match=r"with pretrained imagenet weights: URL fetch failure: no route to host; run it once"
    ):
        networks.imagenet(other(architecture="MobileNetV3Small"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("fine", "soft", "broken", "narrow"):
        monkeypatch.delitem(sys.modules, f"mynet_{name}", raising=False)
    return tmp_path


def write(folder: Path, name: str, last: str) -> str:
    (folder / f"mynet_{name}.py").write_text(
        "import keras\n"
        "def net(image_shape, num_labels):\n"
        "    inputs = keras.Input(image_shape)\n"
        "    x = keras.layers.Flatten()(inputs)\n"
        f"    return {last}\n"
    )
    return f"mynet_{name}:net"


def test_a_users_own_function_builds_the_model(own: Path) -> None:
    name = write(own, "fine", "keras.Model(inputs, keras.layers.Dense(num_labels)(x))")
    assert networks.build(other(architecture=name)).output_shape == (None, 3)


@pytest.mark.parametrize(
    ("name", "last", "message"),
    [
        ("soft", "keras.Model(inputs, keras.layers.Dense(num_labels, activation='softmax')(x))", "ends in a softmax"),
        ("narrow", "keras.Model(inputs, keras.layers.Dense(1)(x))", r"expected a keras.Model .*\(None, 3\)"),
        ("broken", "1 / 0", r"failed: ZeroDivisionError.*expected a function \(image_shape, num_labels\)"),
    ],
)  # fmt: skip
def test_a_users_function_that_does_not_do_says_why(own: Path, name: str, last: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        networks.build(other(architecture=write(own, name, last)))


def test_a_users_function_that_is_not_there_says_so() -> None:
    expected = r"nowhere:net: there is no nowhere.py in /\S+; expected module:function with a module of the project; "
    with pytest.raises(ModelError, match=expected):
        networks.build(other(architecture="nowhere:net"))


@pytest.mark.parametrize("name", ["subprocess:call", "os:system", "keras.utils:get_file", "numpy:load", "sys:exit"])
def test_a_function_of_a_library_builds_no_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks.importlib, "import_module", lambda name: pytest.fail(f"{name} is imported"))
    with pytest.raises(ModelError, match=rf"^train.architecture {name}: there is no \S+\.py in /"):
        networks.build(other(architecture=name))


def test_a_module_that_a_library_stands_in_for_is_refused(own: Path) -> None:
    (own / "numpy.py").write_text("def net(image_shape, num_labels): ...\n")
    with pytest.raises(ModelError, match=r"numpy:net: Python has another module numpy, \S+; rename the project's$"):
        networks.build(other(architecture="numpy:net"))
