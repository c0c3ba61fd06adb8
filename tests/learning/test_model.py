from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import description, pin

from pipeline.artifacts.model import Description
from pipeline.base import files
from pipeline.base.errors import ModelError
from pipeline.learning import model
from pipeline.settings import Params

pytestmark = pytest.mark.project  # these train

SMALL = description("cat", "dog", "fox", image_shape=(32, 32, 3))


def other(**changes: object) -> Description:
    return SMALL.model_copy(update=changes)


def test_a_description_survives_json() -> None:
    import json

    assert Description.from_json(json.dumps(SMALL.to_json()).encode(), "model.json") == SMALL


def test_small_cnn_takes_raw_pixels_and_gives_logits() -> None:
    network = model.build(SMALL)
    network.get_layer("logits").bias.assign([-5.0, 0.0, 5.0])
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    logits = model.logits(network, pixels, batch_size=2)
    assert logits.shape == (5, 3)
    assert (logits[:, 0] < 0).all(), "logits, not probabilities"
    assert (logits[:, 2] > 1).all(), "logits, not probabilities"


def test_weights_move_between_two_builds_of_one_description() -> None:
    first, second = model.build(SMALL), model.build(SMALL)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert not np.array_equal(model.logits(first, pixels, 4), model.logits(second, pixels, 4))
    model.fill(second.weights, model.arrays(first.weights), "first")
    assert np.array_equal(model.logits(first, pixels, 4), model.logits(second, pixels, 4))


def test_a_model_is_loaded_from_its_description_and_weights_in_memory_or_in_a_file(tmp_path: Path) -> None:
    weights = model.arrays(model.build(SMALL).weights)
    files.write_arrays(tmp_path / "weights.npz", weights)
    for source in (weights, tmp_path / "weights.npz"):
        network = model.load(SMALL, source, "v3")
        assert all(np.array_equal(weights[name], value) for name, value in model.arrays(network.weights).items())
    with pytest.raises(ModelError, match=r"v3: .*logits.* has shape \(96, 3\), expected \(96, 1\)"):
        model.load(other(labels=("cat",)), weights, "v3")


def test_weights_of_another_architecture_are_refused_and_nothing_changes() -> None:
    network, wider = model.build(SMALL), model.build(other(labels=("a", "b", "c", "d")))
    before = model.arrays(network.weights)
    with pytest.raises(ModelError, match=r"v3: .*logits.* has shape \(96, 4\), expected \(96, 3\)"):
        model.fill(network.weights, model.arrays(wider.weights), "v3")
    assert all(np.array_equal(before[name], value) for name, value in model.arrays(network.weights).items())
    with pytest.raises(ModelError, match=r"v3: 1 arrays for \d+ variables; it is of another kind; if train\.archit"):
        model.fill(network.weights, {"0000": np.zeros(1)}, "v3")


@pytest.mark.parametrize(
    ("restore", "rate", "steps"),
    [(("optimizer", "learning_rate"), 0.5, 1), (("learning_rate",), 0.5, 0), (("optimizer",), 0.002, 1)],
    ids=["both", "learning rate", "optimizer"],
)
def test_restore_takes_over_what_it_names(settings: Params, restore: tuple[str, ...], rate: float, steps: int) -> None:
    network = model.build(SMALL)
    old, new = model.optimizer(settings.train), model.optimizer(settings.train)
    for one in (old, new):
        one.build(network.trainable_variables)
    old.learning_rate.assign(0.5)
    old.apply([np.ones(v.shape, "float32") for v in network.trainable_variables], network.trainable_variables)
    model.fill_optimizer(new, model.arrays(old.variables), restore, "v1")
    assert float(new.learning_rate) == pytest.approx(rate)
    assert int(new.iterations) == steps
    moved = any(np.any(v.numpy()) for v in new.variables if v.shape == network.trainable_variables[0].shape)
    assert moved == ("optimizer" in restore)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (16, 16, 3)}, "(32, 32, 3), params.yaml asks for (16, 16, 3)"),
        ({"fit": "pad"}, "by prepare.fit: crop, params.yaml asks for pad"),
        ({"architecture": "MobileNetV2"}, "a small_cnn, params.yaml asks for a MobileNetV2"),
    ],
    ids=["image size", "fit", "architecture"],
)
def test_misfit_names_both_sides(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        model.refuse_misfit(pin(model=SMALL), other(**changes))
    assert str(caught.value).startswith("cannot start from v4: it ")
    assert words in str(caught.value)
    assert str(caught.value).endswith("set params.yaml back, or set train.start: cold to train afresh")


@pytest.mark.parametrize("labels", [SMALL.labels, ("cat", "owl")], ids=["the same", "other labels"])
def test_other_labels_are_no_misfit(labels: tuple[str, ...]) -> None:
    model.refuse_misfit(pin(model=SMALL), other(labels=labels))


def told(network: Any, labels: tuple[str, ...], pixels: np.ndarray) -> dict[str, list[float]]:
    """Logits by label."""
    return dict(zip(labels, model.logits(network, pixels, 64).T.tolist(), strict=True))


@pytest.mark.parametrize("architecture", ["small_cnn", "MobileNetV3Small"])
@pytest.mark.parametrize(
    "labels",
    [
        ("cat", "dog", "fox", "owl"),
        ("cat", "dog", "fox", *(f"new {number}" for number in range(14))),
        ("fox", "dog", "cat", "owl"),
        ("cat", "fox"),
        ("owl", "dog"),
    ],
    ids=["one more", "many more", "other places", "one gone", "one gone, one new"],
)
def test_known_labels_keep_their_logits_to_the_last_bit(architecture: str, labels: tuple[str, ...]) -> None:
    before = other(architecture=architecture)
    old, new = model.build(before), model.build(other(architecture=architecture, labels=labels))
    head = old.get_layer("logits")
    head.bias.assign(np.random.default_rng(0).normal(size=3))
    fresh = model.arrays(new.weights)
    model.fill(new.weights, model.for_labels(model.arrays(old.weights), fresh, before, labels), "parent")
    pixels = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype=np.uint8)
    was, now = told(old, SMALL.labels, pixels), told(new, labels, pixels)
    for label in set(labels) & set(SMALL.labels):
        assert was[label] == now[label]
    for place, label in enumerate(labels):
        if label not in SMALL.labels:
            kernel = fresh[sorted(fresh)[-2]]
            np.testing.assert_array_equal(new.get_layer("logits").kernel[:, place], kernel[:, place])


def test_the_same_labels_change_nothing() -> None:
    weights = model.arrays(model.build(SMALL).weights)
    assert model.for_labels(weights, {}, SMALL, SMALL.labels) is weights


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_each_optimizer_has_the_learning_rate(settings: Params, name: str) -> None:
    made = model.optimizer(settings.train.model_copy(update={"optimizer": name}))
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == pytest.approx(settings.train.learning_rate)
