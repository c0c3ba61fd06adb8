"""`model.json`: all that is needed to build a model again, and to show it images as it knows them."""

from typing import Literal

from pipeline.artifacts.artifact import Artifact

Fit = Literal["crop", "pad", "stretch"]
"""How a picture becomes a square: its centre is taken, the longer side is made to fit and the rest is filled, or both
sides are made to fit."""


class Description(Artifact):
    """What a model is, but for its weights."""

    architecture: str
    """As in `train.architecture`."""
    image_shape: tuple[int, int, int]
    """Height and width in pixels, channels."""
    fit: Fit = "crop"
    """How its images became squares; versions that do not say so were trained on the centre."""
    labels: tuple[str, ...]
    """The label map: position is the model's output."""
