"""Exported models give the answers of the version that they are of; those that do not are refused."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from benchmarks.workspace import CHECKOUT
from pipeline.artifacts.exported import ExportFormat
from pipeline.artifacts.model import Description, Frozen
from pipeline.base import files, params
from pipeline.base.errors import ModelError
from pipeline.learning import exporting, model
from pipeline.learning.answers import Answerer
from pipeline.registry.chosen import Chosen
from pipeline.registry.version import Version
from pipeline.settings import Params

pytestmark = pytest.mark.project  # loads TensorFlow

OWN = """
import keras


def net(image_shape, num_labels):
    layers = keras.layers
    pixels = layers.Input(image_shape)
    x = layers.Conv2D(4, 3, strides=2, name="block1_conv")(layers.Rescaling(1 / 127.5, offset=-1)(pixels))
    x = layers.BatchNormalization(name="block1_norm")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(pixels, layers.Dense(num_labels, name="logits")(x), name="net")


def odd(image_shape, num_labels):
    layers = keras.layers
    pixels = layers.Input(image_shape)
    x = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 300)(pixels))
    return keras.Model(pixels, layers.Dense(num_labels, name="logits")(keras.ops.erfinv(x)), name="odd")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "exported_net", raising=False)  # that of the test before


def answerer(tmp_path: Path, architecture: str, side: int = 16, **changes: Any) -> Answerer:
    """A version of this architecture, with weights drawn at random and outputs that differ."""
    from pipeline.learning.backend import keras

    Path("exported_net.py").write_text(OWN)
    description: Description = samples.description(
        "cat", "dog", "owl", architecture=architecture, image_shape=(side, side, 3), temperature=0.7, **changes
    )
    keras().utils.set_random_seed(5)
    network = model.build(description)
    kernel, bias = network.layers[-1].weights
    kernel.assign(20 * np.asarray(kernel))
    bias.assign([0.1, 0.3, 0.2])
    files.write_arrays(tmp_path / "weights.npz", model.arrays(network.weights))
    settings = params.load(CHECKOUT / "params.yaml", Params)
    chosen = Chosen(Version(7, "run", {}), samples.lineage(model=description), tmp_path / "weights.npz")
    return Answerer(chosen, settings.train.model_copy(update={"architecture": architecture}), settings.resolve)


def noise(side: int, count: int = 100) -> np.ndarray:
    """Dark and bright ones."""
    rng = np.random.default_rng(1)
    return (rng.integers(0, 256, (count, side, side, 3)) * np.linspace(0.1, 1, count)[:, None, None, None]).astype(
        np.uint8
    )


FORMATS: tuple[ExportFormat, ...] = ("saved_model", "litert", "onnx")


ONNX = pytest.param("onnx", marks=pytest.mark.slow)  # the conversion starts another TensorFlow


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        *(("small_cnn", kind) for kind in FORMATS),
        *(("exported_net:net", kind) for kind in FORMATS),
        ("photo_cnn", "litert"),
        pytest.param("photo_cnn", "onnx", marks=pytest.mark.slow),
    ],
)
def test_an_export_gives_the_answers_of_the_version(tmp_path: Path, architecture: str, kind: ExportFormat) -> None:
    # Of a version whose backbone is frozen all of the network is exported.
    frozen = Frozen(cut="head", weights="0" * 64) if ":" in architecture else None
    version = answerer(tmp_path, architecture, frozen=frozen)
    path = exporting.write(version, kind, tmp_path)
    assert path == tmp_path / exporting.FILES[kind]
    assert exporting.difference(version, kind, path, noise(16)) < 1e-5
    assert exporting.difference(version, kind, path, noise(16, 1)) < 1e-5, "one image or many"


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("architecture", ["EfficientNetLite0", "EfficientNetV2B0"])
def test_a_network_for_photographs_is_exported(tmp_path: Path, architecture: str, kind: ExportFormat) -> None:
    version = answerer(tmp_path, architecture, side=32)
    assert exporting.difference(version, kind, exporting.write(version, kind, tmp_path), noise(32)) < 1e-4


def test_what_is_exported_takes_bytes_of_pixels_and_gives_calibrated_probabilities(tmp_path: Path) -> None:
    version = answerer(tmp_path, "small_cnn")
    path = exporting.write(version, "litert", tmp_path)
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    (given,), (asked,) = runner.get_input_details().items(), runner.get_output_details().items()
    assert (given[0], given[1]["dtype"], asked[0]) == ("pixels", np.uint8, "probabilities")
    found = runner(pixels=noise(16, 5))["probabilities"]
    np.testing.assert_allclose(found, version.probabilities(noise(16, 5)), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["litert", ONNX])
def test_a_network_with_an_operation_that_a_format_has_not_is_refused(tmp_path: Path, kind: ExportFormat) -> None:
    version = answerer(tmp_path, "exported_net:odd")
    with pytest.raises(ModelError, match=r"expected a network of operations that the format has; .*another --format$"):
        exporting.difference(version, kind, exporting.write(version, kind, tmp_path), noise(16))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda right: right[:, [1, 0, 2]],
            r"of 100 images \d+ get another label, probabilities differ by up to 0\.\d",
        ),
        (
            lambda right: right + np.float32(0.002),
            "of 100 images 0 get another label, probabilities differ by up to 0.002",
        ),
        (lambda right: right * np.nan, "probabilities differ by up to nan"),
    ],
    ids=["labels", "probabilities", "nan"],
)
def test_a_file_that_answers_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, words: str
) -> None:
    version = answerer(tmp_path, "small_cnn")
    monkeypatch.setitem(exporting._RUNNERS, "litert", lambda _, pixels: change(version.probabilities(pixels)))
    with pytest.raises(
        ModelError, match=rf"^the litert file of small_cnn gives other answers than the version: .*{words}"
    ):
        exporting.difference(version, "litert", tmp_path / "model.tflite", noise(16))


def test_where_two_labels_are_as_probable_either_may_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = answerer(tmp_path, "small_cnn")
    tied = np.tile(np.float32([0.4, 0.4, 0.2]), (3, 1))
    monkeypatch.setattr(version, "probabilities", lambda _: tied)
    monkeypatch.setitem(exporting._RUNNERS, "onnx", lambda *_: tied + np.float32([0, 1e-6, 0]))
    assert exporting.difference(version, "onnx", tmp_path, noise(16, 3)) < 1e-5


def test_a_file_that_does_not_run_is_refused(tmp_path: Path) -> None:
    version = answerer(tmp_path, "small_cnn")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"^the onnx file of small_cnn does not run: .*; nothing is kept of it; "):
        exporting.difference(version, "onnx", tmp_path / "model.onnx", noise(16))
