"""Pretrained weights: what a backbone starts cold from, in files of plain arrays. Nothing is ever unpickled.

A file holds an array for each weight but those of the head. What it holds besides, such as a classifier of other
labels, is left alone. EfficientNetLite0 has names of its own: those of its PyTorch conversions, with Keras' layouts, or
those of timm's `tf_efficientnet_lite0`, with PyTorch's. In all other networks an array is found by its position, the
number that its name begins with. The rest of the name is for people, because Keras' automatic names differ from
version to version. So the weights.npz of a registered model is such a file, too.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.artifacts.model import Description
from pipeline.base import files
from pipeline.base.errors import DataError, ModelError, one_line
from pipeline.learning import networks

if TYPE_CHECKING:
    import numpy as np

FOLDER = Path("data/weights")
"""Where `python -m pipeline weights` puts what it makes."""

IMAGENET = "imagenet"

SHOWN = 3
"""Names that are shown of many."""

KINDS = {
    b"\x80": "a pickle, as PyTorch writes it, which can run code",
    b"\x89HDF": "an HDF5 file, as Keras writes it",
    b"PK": "a ZIP archive, as .npz, .keras and PyTorch's files are",
    b"\x93NUMPY": "a single array of NumPy",
    b"version https://git-lfs": "a pointer of Git LFS, so `git lfs pull` brings the file",
    b"<": "a web page",
}
"""What a file is, by its first bytes."""

PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
"""PyTorch's names for Keras' weights."""

TIMM = "blocks.0.0.conv_dw.weight"
"""By this name a file of timm's is told."""

TIMM_FIRST = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
TIMM_OTHERS = {
    "expand_conv": "conv_pw",
    "bn0": "bn1",
    "depthwise_conv": "conv_dw",
    "bn1": "bn2",
    "project_conv": "conv_pwl",
    "bn2": "bn3",
}
TIMM_ENDS = {"conv_stem": "conv_stem", "bn0": "bn1", "conv_head": "conv_head", "bn1": "bn2"}
"""timm's names for layers: in the blocks of the first stage, in other blocks, outside of blocks."""


def place(architecture: str) -> Path:
    """Where `python -m pipeline weights` puts the weights of a network, if it is not told otherwise."""
    return FOLDER / f"{architecture}.safetensors"


def source(architecture: str, pretrained: str | None) -> Path | None:
    """The file that `train.pretrained` means; None where no file is read."""
    if pretrained == IMAGENET:
        return place(architecture) if architecture == networks.LITE0 else None
    return Path(pretrained) if pretrained else None


def identity(architecture: str, pretrained: str | None) -> str:
    """What tells the weights of `train.pretrained` from others: the MD5 of their file, as its pointer has it.

    A file that DVC tracks need not be here for that.

    Raises:
        DataError: there is neither a file nor a pointer to it.
    """
    path = source(architecture, pretrained)
    if path is None:
        return pretrained or "none"
    if not path.is_file() and (digest := tracked(path)):
        return digest
    _refuse_missing(path)
    return files.md5_file(path)


def tracked(path: Path) -> str | None:
    """MD5 of a file as its DVC pointer says; None where it has none."""
    with suppress(OSError, yaml.YAMLError, TypeError, KeyError, ValueError):
        (out,) = files.parse_yaml(_pointer(path).read_bytes())["outs"]
        return str(out["md5"])
    return None


def begin(network: Any, description: Description, pretrained: str | None) -> None:
    """Give a fresh network's backbone what `train.pretrained` says; ImageNet weights are of Keras' networks only.

    Raises:
        ModelError: see `fill` and `networks.imagenet`.
        DataError: see `fill`.
    """
    path = source(description.architecture, pretrained)
    if path:
        fill(network, path)
    elif pretrained and networks.is_application(description.architecture):
        for variable, value in zip(_backbone(network).values(), networks.imagenet(description), strict=True):
            variable.assign(value)


def fill(network: Any, path: Path) -> None:
    """Set all weights of a network but those of its head from a file.

    Raises:
        DataError: the file is missing, damaged, of another kind, or holds numbers that are not finite.
        ModelError: the weights are of another network, which then stays as it was.
    """
    import numpy as np

    wanted, given = _backbone(network), read(path)
    values = _for_lite0(given) if network.name == networks.LITE0 else _by_position(given, wanted)
    missing = [name for name in wanted if name not in values]
    if missing:
        raise ModelError(
            f"{path}: of the {len(wanted)} arrays that {network.name} needs, {len(wanted) - len(missing)} are there; "
            f"missing: {_some(missing)}; expected weights of {network.name}{_remedy(network.name)}"
        )
    for name, variable in wanted.items():
        value, shape = values[name], tuple(variable.shape)
        if value.shape != shape or (value.dtype.kind == "f") != np.issubdtype(np.dtype(variable.dtype), np.floating):
            raise ModelError(
                f"{path}: {name} is {value.dtype} of shape {value.shape}, expected {variable.dtype} of shape {shape}: "
                f"the weights are of another network, or of images with other channels{_remedy(network.name)}"
            )
        if not np.isfinite(value).all():
            raise DataError(
                f"{path}: {name} holds numbers that are not finite; get the file anew{_remedy(network.name)}"
            )
    for name, variable in wanted.items():
        variable.assign(values[name].astype(variable.dtype))


def arrays(network: Any) -> "dict[str, np.ndarray]":
    """The weights of a network but those of its head, by the names that `fill` looks for."""
    return {name: variable.numpy() for name, variable in _backbone(network).items()}


def write(path: Path, values: "Mapping[str, np.ndarray]", note: str) -> None:
    """Write a .safetensors file of weights: the same ones with the same note are always the same bytes.

    Args:
        path: of the file.
        values: by name.
        note: for people, in the metadata of the file; more than one entry would come in random order.
    """
    import numpy as np
    from safetensors.numpy import save

    whole = {name: np.ascontiguousarray(value) for name, value in values.items()}
    files.write(path, save(whole, {"note": note}))


def read(path: Path) -> "dict[str, np.ndarray]":
    """All arrays of a .safetensors or .npz file.

    Raises:
        DataError: it is missing, damaged, or of another kind.
    """
    import numpy as np
    from safetensors import safe_open

    _refuse_missing(path)
    _refuse_other_kind(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                found = {name: archive[name] for name in archive.files}
            if strange := [name for name, value in found.items() if not isinstance(value, np.ndarray)]:
                raise ValueError(f"{strange[0]} is no array")
            return found
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    except Exception as error:  # noqa: BLE001 - both libraries raise many kinds where a file is damaged
        raise DataError(
            f"{path}: not a whole {path.suffix} of plain arrays ({one_line(error)}); it was cut off or "
            f"damaged, or is of another kind; get it anew{_pull(path, ' --force')}"
        ) from None


def from_pytorch(name: str, value: "np.ndarray") -> "np.ndarray":
    """A weight of a PyTorch network as Keras has it.

    Args:
        name: tells a depthwise convolution.
        value: (out, in, height, width) becomes (height, width, in, out), and that of a depthwise convolution
            (height, width, out, 1); (out, in) becomes (in, out).
    """
    if value.ndim == 4:
        return value.transpose(2, 3, 0, 1) if re.search("depthwise|conv_dw", name) else value.transpose(2, 3, 1, 0)
    return value.T


def _backbone(network: Any) -> dict[str, Any]:
    """The weights of a network but those of its head, in its order."""
    mine = {id(variable) for variable in networks.head(network).weights}
    rest = {number: one for number, one in enumerate(network.weights) if id(one) not in mine}
    if network.name == networks.LITE0:
        return {_lite0_name(variable.path): variable for variable in rest.values()}
    return {f"{number:04d} {variable.path}": variable for number, variable in rest.items()}


def _lite0_name(path: str) -> str:
    layer, kind = path.split("/")[-2:]
    return f"{layer}.{PARTS[kind]}"


def _for_lite0(given: "Mapping[str, np.ndarray]") -> "Mapping[str, np.ndarray]":
    """Arrays by the names of EfficientNet-Lite0 in Keras."""
    if TIMM not in given:
        return given
    ours, found = _timm_layers(), [(name.rpartition("."), value) for name, value in given.items()]
    return {f"{ours[layer]}.{kind}": from_pytorch(layer, value) for (layer, _, kind), value in found if layer in ours}


def _timm_layers() -> dict[str, str]:
    """Keras' name for each layer by timm's, which counts blocks by stage."""
    ours = {theirs: name for name, theirs in TIMM_ENDS.items()}
    stages = [(stage, repeat) for stage, (repeats, *_) in enumerate(networks.BLOCKS) for repeat in range(repeats)]
    for number, (stage, repeat) in enumerate(stages):
        parts = TIMM_OTHERS if stage else TIMM_FIRST
        ours |= {f"blocks.{stage}.{repeat}.{theirs}": f"blocks.{number}.{name}" for name, theirs in parts.items()}
    return ours


def _by_position(given: "Mapping[str, np.ndarray]", wanted: Mapping[str, Any]) -> "dict[str, np.ndarray]":
    """Arrays by the names that are wanted, found by the positions that names begin with."""
    numbered = {name[:4]: value for name, value in given.items() if re.match(r"\d{4}(?: |$)", name)}
    return {name: numbered[name[:4]] for name in wanted if name[:4] in numbered}


def _refuse_missing(path: Path) -> None:
    if path.is_file():
        return
    made = f"; `python -m pipeline weights {path.stem}` makes ImageNet weights"
    remedy = _pull(path) or (made if path == place(path.stem) else "; put it there")
    raise DataError(f"{path}: no such file; expected the weights that train.pretrained asks for{remedy}")


def _refuse_other_kind(path: Path) -> None:
    with path.open("rb") as file:
        first = file.read(32)
    if first[8:9] == b"{" if path.suffix == ".safetensors" else first[:2] == b"PK":
        return
    for mark, kind in KINDS.items():
        if first.startswith(mark):
            raise DataError(
                f"{path}: it is {kind}; expected plain arrays in {path.suffix}; set train.pretrained to such a file"
            )


def _pointer(path: Path) -> Path:
    return path.with_name(f"{path.name}.dvc")


def _pull(path: Path, option: str = "") -> str:
    """How DVC brings a file, if it tracks that."""
    pointer = _pointer(path)
    return f"; `dvc pull{option} {shlex.quote(str(pointer))}` brings it" if pointer.is_file() else ""


def _remedy(name: str) -> str:
    """What to do where weights do not fit a network."""
    can = name == networks.LITE0 or name in networks.applications()
    makes = f" (`python -m pipeline weights {name}` makes them)" if can else ""
    return f"; set train.pretrained to weights of {name}{makes}, or to null"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
