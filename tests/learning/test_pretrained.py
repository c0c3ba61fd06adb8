import io
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import description

from pipeline.base import files
from pipeline.base.errors import DataError, ModelError
from pipeline.learning import architecture, backend, model, networks, pretrained
from pipeline.settings import Params

pytestmark = pytest.mark.project  # TensorFlow takes seconds

LITE0 = description("cat", "dog", architecture="EfficientNetLite0", image_shape=(64, 64, 3))
SMALL = description("cat", "dog", image_shape=(16, 16, 3))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def lite0() -> Any:
    return networks.build(LITE0)


@pytest.fixture(scope="module")
def small() -> Any:
    return networks.build(SMALL)


def drawn(network: Any, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for all but the head, by their names in files."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=value.shape).astype("float32") for name, value in pretrained.arrays(network).items()}


def same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return set(first) == set(second) and all(np.array_equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("ending", [".safetensors", ".npz"])
def test_weights_of_efficientnet_lite0_are_found_by_their_names_and_its_classifier_is_left_alone(
    lite0: Any, ending: str
) -> None:
    path, values = Path(f"weights{ending}"), drawn(lite0)
    assert {"conv_stem.weight", "bn0.running_var", "blocks.15.expand_conv.weight", "bn1.bias"} <= set(values)
    whole = {**values, "fc.weight": np.zeros((1280, 1000), "float32"), "fc.bias": np.zeros(1000, "float32")}
    (pretrained.write(path, whole, "") if ending == ".safetensors" else files.write_arrays(path, whole))
    head = [variable.numpy() for variable in networks.head(lite0).weights]
    pretrained.fill(lite0, path)
    assert same(pretrained.arrays(lite0), values)
    for before, now in zip(head, networks.head(lite0).weights, strict=True):
        np.testing.assert_array_equal(before, now)


def timm(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights of EfficientNet-Lite0 as timm's tf_efficientnet_lite0 has them."""
    first = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
    others = {"expand_conv": "conv_pw", "bn0": "bn1", "depthwise_conv": "conv_dw", "bn1": "bn2"}
    others |= {"project_conv": "conv_pwl", "bn2": "bn3"}
    repeats = (1, 2, 2, 3, 3, 4, 1)
    stages = [f"{stage}.{repeat}" for stage, count in enumerate(repeats) for repeat in range(count)]
    renamed = {}
    for name, value in values.items():
        layer, kind = name.rsplit(".", 1)
        if layer.startswith("blocks."):
            _, number, part = layer.split(".")
            layer = f"blocks.{stages[int(number)]}.{(others if int(number) else first)[part]}"
        else:
            layer = {"bn0": "bn1", "bn1": "bn2"}.get(layer, layer)
        axes = (2, 3, 0, 1) if "conv_dw" in layer else (3, 2, 0, 1)
        renamed[f"{layer}.{kind}"] = value.transpose(axes) if value.ndim == 4 else value
    return renamed


def test_weights_of_timm_are_found_by_its_names_and_turned(lite0: Any) -> None:
    values = drawn(lite0, seed=1)
    theirs = timm(values)
    assert theirs["conv_stem.weight"].shape == (32, 3, 3, 3)
    assert theirs["blocks.3.1.conv_dw.weight"].shape == (480, 1, 3, 3)
    counts = {"bn1.num_batches_tracked": np.array(3), "classifier.weight": np.zeros((1000, 1280), "float32")}
    pretrained.write(Path("timm.safetensors"), {**theirs, **counts}, "")
    pretrained.fill(lite0, Path("timm.safetensors"))
    assert same(pretrained.arrays(lite0), values)


def test_a_cold_start_of_efficientnet_lite0_reads_what_the_command_wrote(lite0: Any) -> None:
    with pytest.raises(
        DataError, match=r"Lite0\.safetensors: no such file; .*`python -m pipeline weights Effi\w+Lite0` m"
    ):
        model.build(LITE0, "imagenet")
    path, values = pretrained.place("EfficientNetLite0"), drawn(lite0, seed=2)
    assert (
        pretrained.source("EfficientNetLite0", "imagenet") == path == Path("data/weights/EfficientNetLite0.safetensors")
    )
    pretrained.write(path, values, "")
    assert same(pretrained.arrays(model.build(LITE0, "imagenet")), values)


def test_weights_of_other_networks_are_found_by_position_whatever_keras_calls_its_layers(small: Any) -> None:
    values = drawn(small)
    assert list(values)[:2] == ["0000 conv0/kernel", "0001 norm0/gamma"]
    for number, name in enumerate(("{number} other_{number}/kernel", "{number}")):
        renamed = {name.format(number=key[:4]): value + number for key, value in reversed(values.items())}
        files.write_arrays(Path("own.npz"), renamed)
        pretrained.fill(small, Path("own.npz"))
        assert same(pretrained.arrays(small), {key: value + number for key, value in values.items()})


def test_the_weights_of_a_registered_model_are_such_a_file(small: Any) -> None:
    """For its architecture with other labels."""
    files.write_arrays(
        Path("weights.npz"), model.arrays(networks.build(SMALL.model_copy(update={"labels": ("a",)})).weights)
    )
    pretrained.fill(small, Path("weights.npz"))
    given = files.read_arrays(Path("weights.npz"))
    assert same({name[:4]: value for name, value in pretrained.arrays(small).items()}, dict(list(given.items())[:-2]))


def test_the_same_weights_are_the_same_bytes_and_the_digest_is_theirs(small: Any) -> None:
    for name in ("one", "two"):
        pretrained.write(Path(f"{name}.safetensors"), drawn(small), "from there")
    assert Path("one.safetensors").read_bytes() == Path("two.safetensors").read_bytes()
    assert pretrained.identity("small_cnn", "one.safetensors") == files.md5(Path("two.safetensors").read_bytes())
    with pytest.raises(DataError, match="no such file"):
        pretrained.identity("small_cnn", "three.safetensors")
    Path("three.safetensors.dvc").write_text(
        "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: three.safetensors\n"
    )
    assert pretrained.identity("small_cnn", "three.safetensors") == "d41d8cd98f00b204e9800998ecf8427e", (
        "the pointer tells it"
    )
    assert [pretrained.identity("MobileNetV2", name) for name in (None, "imagenet")] == ["none", "imagenet"]


@pytest.mark.parametrize(
    ("name", "start", "path"),
    [
        ("MobileNetV2", None, None),
        ("MobileNetV2", "imagenet", None),
        ("small_cnn", "imagenet", None),
        ("EfficientNetLite0", None, None),
        ("my:net", "w/own.npz", Path("w/own.npz")),
    ],
)
def test_only_a_file_is_read_as_one(name: str, start: str | None, path: Path | None) -> None:
    assert pretrained.source(name, start) == path


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("ending", "damage", "why"),
    [
        (".npz", torn, "File is not a zip file"),
        (".npz", flipped, "Bad CRC-32"),
        (".safetensors", torn, "incomplete metadata, file not fully covered"),
        (".safetensors", lambda path: path.write_bytes(path.read_bytes()[:100]), "invalid header length"),
        (".safetensors", lambda path: path.write_bytes(b""), "header too small"),
    ],
)
def test_a_damaged_file_is_refused_and_says_how_it_was_seen(
    small: Any, ending: str, damage: Callable[[Path], None], why: str
) -> None:
    path = Path(f"w{ending}")
    pretrained.write(path, drawn(small), "") if ending == ".safetensors" else files.write_arrays(path, drawn(small))
    damage(path)
    with pytest.raises(DataError, match=rf"w{ending}: not a whole \{ending} of plain arrays \(.*{why}.*get it anew$"):
        pretrained.fill(small, path)
    Path(f"w{ending}.dvc").touch()
    with pytest.raises(DataError, match=rf"get it anew; `dvc pull --force w\{ending}.dvc` brings it"):
        pretrained.fill(small, path)


def test_a_file_that_is_missing_is_pulled_or_made_or_put_there() -> None:
    with pytest.raises(DataError, match=r"w/own.npz: no such file; .* that train.pretrained asks for; put it there$"):
        pretrained.read(Path("w/own.npz"))
    with pytest.raises(DataError, match=r"; `python -m pipeline weights MobileNetV2` makes ImageNet weights$"):
        pretrained.read(Path("data/weights/MobileNetV2.safetensors"))
    Path("w.npz.dvc").touch()
    Path("w.npz").mkdir()
    with pytest.raises(DataError, match=r"w.npz: no such file; expected the .*; `dvc pull w.npz.dvc` brings it"):
        pretrained.read(Path("w.npz"))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("ran"),))


def zipped_pickle() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("0000.npy", pickle.dumps(Evil()))
    return sink.getvalue()


def objects() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{"0000": np.array([Evil()], dtype=object)})
    return sink.getvalue()


@pytest.mark.parametrize(
    ("ending", "content", "message"),
    [
        (".npz", pickle.dumps(Evil()), "it is a pickle, as PyTorch writes it, which can run code"),
        (".safetensors", pickle.dumps(Evil(), protocol=2), "it is a pickle"),
        (".npz", zipped_pickle(), r"not a whole .npz of plain arrays \(0000 is no array\)"),
        (".npz", objects(), "not a whole .npz of plain arrays .*allow_pickle=False"),
        (".safetensors", zipped_pickle(), "it is a ZIP archive"),
        (".safetensors", b"\x89HDF\r\n\x1a\n" + bytes(99), "it is an HDF5 file, as Keras writes it; expected plain"),
        (".npz", b"\x93NUMPY\x01\x00" + bytes(99), "it is a single array of NumPy"),
        (".npz", b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS, so `git lfs pull`"),
        (".safetensors", b"<!DOCTYPE html>", "it is a web page"),
    ],
    ids=["pickle", "PyTorch", "zipped pickle", "objects", "ZIP", "HDF5", "array", "Git LFS", "web page"],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused_and_runs_nothing(
    small: Any, ending: str, content: bytes, message: str
) -> None:
    Path(f"w{ending}").write_bytes(content)
    with pytest.raises((DataError, ModelError), match=message):
        pretrained.fill(small, Path(f"w{ending}"))
    assert not Path("ran").exists()


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], None]:
    def apply(values: dict[str, np.ndarray]) -> None:
        values[name] = change(values[name])

    return apply


NORM = "0004 norm0/moving_variance"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda values: values.pop(NORM),
            rf"w.npz: of the 15 arrays that small_cnn needs, 14 are there; missing: {NORM};",
        ),
        (
            lambda values: values.clear(),
            r"0 are there; missing: 0000 .*, 0001 .*, 0002 norm0/beta and 12 more; expected ",
        ),
        (
            changed("0000 conv0/kernel", lambda value: value[:, :, :1]),
            r"0000 conv0/kernel is float32 of shape \(3, 3, 1, 24\), expected float32 of shape \(3, 3, 3, 24\): the "
            r"weights are of another network, or of images with other channels; set train.pretrained to weights of ",
        ),
        (changed(NORM, lambda value: value.astype("int64")), r"is int64 of shape \(24,\), expected float32"),
        (changed(NORM, lambda value: value * np.nan), rf"{NORM} holds numbers that are not finite; get the file anew;"),
        (changed(NORM, lambda value: value / 0), rf"{NORM} holds numbers that are not finite"),
    ],
    ids=["one missing", "all missing", "channels", "kind", "not a number", "infinite"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_weights_that_do_not_fit_are_refused_and_the_network_stays_as_it_was(
    small: Any, change: Callable[[dict[str, np.ndarray]], None], message: str
) -> None:
    values, before = drawn(small, seed=3), model.arrays(small.weights)
    change(values)
    files.write_arrays(Path("w.npz"), values)
    with pytest.raises((ModelError, DataError), match=message):
        pretrained.fill(small, Path("w.npz"))
    assert same(before, model.arrays(small.weights))


def test_weights_of_another_architecture_name_the_command_for_the_right_ones(lite0: Any, small: Any) -> None:
    pretrained.write(Path("w.safetensors"), drawn(small), "")
    with pytest.raises(ModelError, match=r"0 are there; .* or to null$") as caught:
        pretrained.fill(lite0, Path("w.safetensors"))
    assert "(`python -m pipeline weights EfficientNetLite0` makes them)" in str(caught.value)


def test_halved_and_doubled_precision_is_read(small: Any) -> None:
    values = drawn(small)
    for kind in ("float16", "float64"):
        files.write_arrays(Path("w.npz"), {name: value.astype(kind) for name, value in values.items()})
        pretrained.fill(small, Path("w.npz"))
        expected = {name: value.astype(kind).astype("float32") for name, value in values.items()}
        assert same(pretrained.arrays(small), expected)


def test_what_keras_downloads_is_the_same_function_when_it_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras' EfficientNet has one layer more if it is built with these weights; they are filled in by arrays later."""
    keras, asked = backend.keras(), description("cat", "dog", architecture="EfficientNetB0", image_shape=(32, 32, 3))
    inner = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))
    norm = next(layer for layer in inner.layers if isinstance(layer, keras.layers.Normalization))
    norm.adapt_mean.assign([0.485, 0.456, 0.406])
    norm.adapt_variance.assign([0.229, 0.224, 0.225])
    inner.save_weights("w.weights.h5")
    application = sys.modules[keras.applications.EfficientNetB0.__module__]
    monkeypatch.setattr(application.file_utils, "get_file", lambda *_, **__: "w.weights.h5")
    theirs = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(32, 32, 3), pooling="avg"
    )
    network = model.build(asked, "imagenet")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    expected = np.asarray(theirs(pixels))
    features = keras.Model(network.input, networks.head(network).input)(pixels)
    np.testing.assert_allclose(features, expected, atol=1e-3 * np.ptp(expected, axis=0).max())
    again = model.load(asked, model.arrays(network.weights), "test")
    np.testing.assert_array_equal(again(pixels), network(pixels))


def test_a_file_that_does_not_fit_is_refused_before_a_cycle_begins_and_what_was_tried_is_remembered(
    small: Any, settings: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried(name: str | None = "w.npz") -> bool:
        backbone = settings.train.model_copy(update={"pretrained": name})
        architecture.refuse_unbuildable(SMALL, Path("memory"), backbone)
        return "trying to build small_cnn" in capsys.readouterr().out

    with pytest.raises(DataError, match=r"w.npz: no such file"):
        tried()
    files.write_arrays(Path("w.npz"), {"0000": np.zeros(1)})
    with pytest.raises(ModelError, match=r"w.npz: of the 15 arrays"):
        tried()
    capsys.readouterr()
    files.write_arrays(Path("w.npz"), drawn(small))
    assert [tried(), tried()] == [True, False]
    files.write_arrays(Path("w.npz"), drawn(small, seed=1))
    assert tried()
    assert not tried(None)
