"""`model.json` of an export: what a program needs to know that runs an exported model."""

from typing import Literal

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.model import Fit

ExportFormat = Literal["saved_model", "litert", "onnx"]


class Checked(Artifact):
    """How the exported model was compared with the version in the registry."""

    holdout: int
    """Images that judged the version."""
    noise: int
    """Images of noise, where there were too few of the others."""
    largest_difference: float
    """Of any probability of any image."""
    tolerance: float


class Exported(Artifact):
    """What an exported model takes and gives, and where it is from."""

    format: ExportFormat
    file: str
    """Of the model; a folder for saved_model."""
    registered_model: str
    version: int
    run_key: str
    """Hash of everything that determines the model."""
    labels: tuple[str, ...]
    """By position in the output."""
    input: str
    """Name of the input: uint8 (images, height, width, channels), 0 to 255; colours are red, green, blue."""
    image_shape: tuple[int, int, int]
    """Height and width in pixels, channels."""
    fit: Fit
    """How a picture becomes a square."""
    output: str
    """Name of the output: calibrated probabilities, float32 (images, labels)."""
    min_probability: float
    """Below it the version gives no label."""
    checked: Checked
