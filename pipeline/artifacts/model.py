"""`model.json`: all that is needed to build a model again, and to show it images as it knows them."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.artifacts.artifact import Artifact

Fit = Literal["crop", "pad", "stretch"]
"""How a picture becomes a square: its centre is taken, the longer side is made to fit and the rest is filled, or both
sides are made to fit."""

HEAD = "head"
"""The cut between the backbone and the layer that gives the logits."""


class Frozen(Artifact):
    """The part of a network that training leaves as it is. What it gives for an image are the image's features."""

    cut: str
    """Where it ends: HEAD or `last N blocks`, as in `train.tune`."""
    weights: str
    """Digest of the file that its weights came from: pretrained ones, or those of a version."""


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
    frozen: Frozen | None = None
    """None where all of it is trained."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """What its logits are divided by to give probabilities (`judging.calibration`); versions that do not say so have
    none."""

    @property
    def is_head_only(self) -> bool:
        """Whether only the layer that gives the logits is trained."""
        return self.frozen is not None and self.frozen.cut == HEAD

    @property
    def inputs(self) -> str:
        """Name of what its trained part sees of an image: pixels, or the features that its frozen part gives."""
        height, width, channels = self.image_shape
        pixels = f"{height}x{width}x{channels}{'' if self.fit == 'crop' else f'-{self.fit}'}"
        if self.frozen is None:
            return pixels
        return f"{pixels}-{self.architecture}-{self.frozen.cut}-{self.frozen.weights[:12]}".replace(" ", "-").replace(
            ":", "."
        )
