from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from samples import description

from pipeline.base.errors import ModelError
from pipeline.learning import backend, cut, model, networks

pytestmark = pytest.mark.project  # TensorFlow takes seconds

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype("float32")


@cache
def network(name: str) -> Any:
    return networks.build(description("cat", "dog", "fox", architecture=name, image_shape=(64, 64, 3)))


def convolutions(*names: str, past: str = "") -> Any:
    """A chain of convolutions with these names; to the last, what the one named `past` gives is added."""
    layers = backend.keras().layers
    x = inputs = layers.Input((8, 8, 3))
    given = {}
    for name in names:
        x = layers.Conv2D(3, 1, name=name)(layers.Add()([x, given[past]]) if past and name == names[-1] else x)
        given[name] = x
    outputs = layers.Dense(2)(layers.GlobalAveragePooling2D()(x))
    return backend.keras().Model(inputs, outputs, name="mine")


@pytest.mark.parametrize("where", ["head", "last 2 blocks"])
@pytest.mark.parametrize("name", ["EfficientNetLite0", "MobileNetV3Small", "EfficientNetV2B0"])
def test_the_frozen_and_then_the_tuned_part_give_the_logits_of_the_whole(name: str, where: str) -> None:
    whole = network(name)
    parts = cut.split(whole, where)
    logits = np.asarray(whole(PIXELS))
    assert np.ptp(logits, axis=0).max() > 0
    np.testing.assert_allclose(
        parts.tuned(parts.frozen(PIXELS)), logits, rtol=1e-4, atol=1e-4 * np.ptp(logits, axis=0).max()
    )
    assert len(parts.frozen.weights) + len(parts.tuned.weights) == len(whole.weights)
    assert cut.positions(whole, parts.tuned) == parts.positions
    for place, variable in zip(parts.positions, parts.tuned.weights, strict=True):
        assert whole.weights[int(place)] is variable


@pytest.mark.parametrize(
    ("name", "where", "shape", "first"),
    [
        ("EfficientNetLite0", "head", (1280,), "logits"),
        ("EfficientNetLite0", "last 1 block", (2, 2, 192), "blocks.15.expand_conv"),
        ("EfficientNetLite0", "last 16 blocks", (32, 32, 32), "blocks.0.depthwise_conv"),
        ("MobileNetV3Small", "last 2 blocks", (2, 2, 96), "expanded_conv_9_expand"),
        ("MobileNetV3Small", "last 11 blocks", (32, 32, 16), "expanded_conv_depthwise_pad"),
        ("EfficientNetV2B0", "last 2 blocks", (2, 2, 192), "block6g_expand_conv"),
        ("MobileNetV2", "last 17 blocks", (32, 32, 32), "expanded_conv_depthwise"),
        ("ResNet50V2", "last 3 blocks", (2, 2, 1024), "conv5_block1_preact_bn"),
        ("VGG16", "last 1 block", (4, 4, 512), "block5_conv1"),
    ],
)
def test_the_cut_is_right_before_the_first_block_that_is_tuned(
    name: str, where: str, shape: tuple[int, ...], first: str
) -> None:
    parts = cut.split(network(name), where)
    assert parts.frozen.output.shape[1:] == parts.tuned.input.shape[1:] == shape
    assert parts.tuned.layers[1].name == first


def test_a_network_without_names_of_blocks_can_be_cut_at_its_head_only() -> None:
    with pytest.raises(ModelError, match=r"tune: small_cnn has no blocks .*set train.tune: head, all or first"):
        cut.split(network("small_cnn"), "last 2 blocks")
    assert len(cut.split(network("small_cnn"), "head").positions) == 2


def test_more_blocks_than_there_are_says_how_many_there_are() -> None:
    with pytest.raises(ModelError, match=r"last 17 blocks are more than EfficientNetLite0 has; expected 1 to 16;"):
        cut.split(network("EfficientNetLite0"), "last 17 blocks")


def test_a_users_blocks_are_told_by_their_names() -> None:
    whole = convolutions("stem", "block1_a", "block1_b", "between", "block2_a", "block2_b", "end", past="block2_a")
    parts = cut.split(whole, "last 1 block")
    assert [layer.name for layer in parts.tuned.layers][1:3] == ["block2_a", "block2_b"]
    assert list(parts.positions) == [f"{number:04d}" for number in range(8, 16)]
    assert parts.frozen.layers[-1].name == "between"


def test_a_network_whose_paths_run_past_the_cut_is_refused() -> None:
    whole = convolutions("stem", "block1_a", "block1_b", "block2_a", "block2_b", past="block1_a")
    with pytest.raises(ModelError, match=r"mine cannot be cut for last 1 block.*expected one tensor that all paths go"):
        cut.split(whole, "last 1 block")
    assert cut.split(whole, "last 2 blocks").frozen.layers[-1].name == "stem"


def shared() -> Any:
    """A layer that is called before the cut and behind it."""
    layers = backend.keras().layers
    inputs, twice = layers.Input((8, 8, 3)), layers.Conv2D(3, 1, name="twice")
    x = layers.Conv2D(3, 1, name="block1_conv")(twice(inputs))
    x = twice(layers.Conv2D(3, 1, name="block2_conv")(x))
    return backend.keras().Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="mine")


def subclassed() -> Any:
    """A model of a class of its own: nobody knows what is connected with what in it."""
    keras = backend.keras()

    class Mine(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(name="mine")
            self.block1_dense = keras.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.block1_dense(x)

    return Mine()


@pytest.mark.parametrize(
    ("make", "where", "message"),
    [
        (shared, "last 1 block", "one layer is used on both sides"),
        (subclassed, "last 1 block", "mine has no blocks that can be told"),
        (subclassed, "head", "mine ends in Dense; expected a keras.layers.Dense .* of a functional model"),
    ],
)
def test_what_cannot_be_cut_is_refused(make: Callable[[], Any], where: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        cut.split(make(), where)


def test_weights_of_the_tuned_part_are_taken_out_of_the_whole_and_put_back() -> None:
    whole = network("small_cnn")
    parts = cut.split(whole, "head")
    weights = model.arrays(whole.weights)
    taken = cut.taken(weights, parts.positions)
    assert [value.shape for value in taken.values()] == [tuple(v.shape) for v in parts.tuned.weights]
    assert sorted(taken) == ["0000", "0001"]
    changed = cut.joined(weights, {name: value + 1 for name, value in taken.items()}, parts.positions)
    assert sorted(changed) == sorted(weights)
    for place, value in weights.items():
        np.testing.assert_array_equal(changed[place], value + 1 if place in parts.positions else value)
    np.testing.assert_array_equal(cut.joined(weights, taken, parts.positions)["0015"], weights["0015"])
