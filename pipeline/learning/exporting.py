"""Exporting: a registered model as a file of another format, with nothing left to do but decoding.

Keras writes SavedModel and LiteRT. Its SavedModel is converted to ONNX by the command of tf2onnx, for Keras' own way
there loses constants of networks such as ResNet50 and EfficientNetV2 (Keras 3.15, tf2onnx 1.17). Home of the runtimes.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.exported import ExportFormat
from pipeline.base.errors import ModelError, one_line
from pipeline.learning.answers import Answerer
from pipeline.learning.backend import keras

if TYPE_CHECKING:
    import numpy as np

INPUT, OUTPUT = "pixels", "probabilities"
"""Names in an exported model."""

FILES: dict[ExportFormat, str] = {"saved_model": "saved_model", "litert": "model.tflite", "onnx": "model.onnx"}
"""Name of the file, or of the folder, by format."""

TOLERANCE = 1e-3
"""By how much a probability may differ: other libraries add up in another order. The networks here differ by 1e-6."""

LONGEST = 300
"""Characters of a library's error that are shown."""


def write(answerer: Answerer, kind: ExportFormat, folder: Path) -> Path:
    """Write a model; gives its path.

    It takes uint8 pixels (images, height, width, channels) and gives probabilities (images, labels): scaling, softmax
    and temperature are inside, so that nobody can do them differently.

    Args:
        answerer: the model.
        kind: of the file.
        folder: where it goes.

    Raises:
        ModelError: the network has an operation that the format has not.
    """
    path = folder / FILES[kind]
    try:
        whole = _whole(answerer)
        if kind == "onnx":
            _convert_to_onnx(whole, path)
        else:
            whole.export(str(path), format={"saved_model": "tf_saved_model"}.get(kind, kind), verbose=False)
    except Exception as error:  # noqa: BLE001 - converters raise anything
        raise ModelError(
            f"{answerer.description.architecture} cannot be written as {kind}: {one_line(error)[:LONGEST]}; expected a "
            "network of operations that the format has; take another --format"
        ) from None
    return path


def _whole(answerer: Answerer) -> Any:
    """The network from bytes of pixels to probabilities: a `keras.Model`."""
    library = keras()
    pixels = library.layers.Input(answerer.description.image_shape, dtype="uint8", name=INPUT)
    logits = answerer.network(library.ops.cast(pixels, "float32"), training=False)
    scaled = library.ops.cast(logits, "float32") / answerer.description.temperature
    return library.Model(pixels, {OUTPUT: library.layers.Softmax(name=OUTPUT)(scaled)})


def _convert_to_onnx(whole: Any, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole.export(folder, format="tf_saved_model", verbose=False)
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--output", str(path.absolute())]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not path.is_file():
        said = done.stderr.strip().splitlines() or ["tf2onnx said nothing"]
        raise ModelError(said[-1])


def difference(answerer: Answerer, kind: ExportFormat, path: Path, pixels: "np.ndarray") -> float:
    """The largest difference between what an exported model and the version say to images.

    Args:
        answerer: of the version.
        kind: of the file.
        path: of the exported model.
        pixels: uint8 (images, height, width, channels).

    Raises:
        ModelError: the file does not run, gives another label, or probabilities that differ by more than TOLERANCE.
    """
    import numpy as np

    what = f"the {kind} file of {answerer.description.architecture}"
    wanted = answerer.probabilities(pixels)
    try:
        given = _RUNNERS[kind](path, pixels)
    except Exception as error:  # noqa: BLE001 - runtimes raise anything
        raise ModelError(
            f"{what} does not run: {one_line(error)[:LONGEST]}; expected a network of operations that the format has; "
            "nothing is kept of it; take another --format"
        ) from None
    rows = np.arange(len(pixels))
    ours, theirs = wanted.argmax(axis=1), given.argmax(axis=1)
    largest = float(np.abs(given - wanted).max())
    # Where two labels are as probable, either may come first.
    others = int((wanted[rows, ours] - wanted[rows, theirs] > TOLERANCE).sum())
    if others or not largest <= TOLERANCE:  # NaN is no number to compare
        raise ModelError(
            f"{what} gives other answers than the version: of {len(pixels)} images {others} get another label, "
            f"probabilities differ by up to {largest:.2g}; expected the same labels and at most {TOLERANCE:g}; nothing "
            "is kept of it; take another --format"
        )
    return largest


def _run_saved_model(path: Path, pixels: "np.ndarray") -> "np.ndarray":
    import numpy as np

    return np.asarray(keras().layers.TFSMLayer(str(path), call_endpoint="serve")(pixels)[OUTPUT])


def _run_litert(path: Path, pixels: "np.ndarray") -> "np.ndarray":
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    return np.asarray(Interpreter(model_path=str(path)).get_signature_runner()(**{INPUT: pixels})[OUTPUT])


def _run_onnx(path: Path, pixels: "np.ndarray") -> "np.ndarray":
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], {INPUT: pixels})[0])


_RUNNERS: "dict[ExportFormat, Callable[[Path, np.ndarray], np.ndarray]]" = {
    "saved_model": _run_saved_model,
    "litert": _run_litert,
    "onnx": _run_onnx,
}
