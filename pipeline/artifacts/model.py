"""`model.json`: all that is needed to build a model again, and to show it images as it knows them."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.artifacts.artifact import Artifact
from pipeline.base.errors import UnreadableError

Fit = Literal["crop", "pad", "stretch"]
"""How a picture becomes a square: its centre is taken, the longer side is made to fit and the rest is filled, or both
sides are made to fit."""

_WORD = "[A-Za-z_][A-Za-z0-9_]*"

Architecture = Annotated[str, Field(pattern=rf"^{_WORD}(?:\.{_WORD})*(?::{_WORD})?$", max_length=200)]
"""As in `train.architecture`: a name, or `module:function`."""

Side = Annotated[int, Field(ge=1, le=4096)]
"""Pixels."""

Label = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]

HEAD = "head"
"""The cut between the backbone and the layer that gives the logits."""


class Frozen(Artifact):
    """The part of a network that training leaves as it is. What it gives for an image are the image's features."""

    cut: Annotated[str, Field(pattern=r"^(?:head|last [1-9][0-9]{0,3} blocks?)$")]
    """Where it ends: HEAD or `last N blocks`, as in `train.tune`."""
    weights: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=200)]
    """Digest of the file that its weights came from: pretrained ones, or those of a version."""


class Description(Artifact):
    """What a model is, but for its weights."""

    IS_FINITE: ClassVar[bool] = True

    architecture: Architecture
    image_shape: tuple[Side, Side, int]
    """Height and width in pixels, which are the same; 1 or 3 channels."""
    fit: Fit = "crop"
    """How its images became squares; versions that do not say so were trained on the centre."""
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=100_000)]
    """The label map: position is the model's output."""
    frozen: Frozen | None = None
    """None where all of it is trained."""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What its logits are divided by to give probabilities (`judging.calibration`); versions that do not say so have
    none."""

    @model_validator(mode="after")
    def _is_one_model(self) -> Self:
        height, width, channels = self.image_shape
        if height != width or channels not in (1, 3):
            raise ValueError("image_shape: expected a square of 1 or 3 channels")
        return self

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Self:
        """As of any artifact. Each label is there once; only settings can give two labels one name, and only later.

        Raises:
            UnreadableError: see `Artifact.read`; or a label is there twice.
        """
        value = super().from_json(content, name)
        if value.has_a_label_twice:
            raise UnreadableError(name, "of another version of Evergreen, or damaged: labels: one is there twice")
        return value

    @property
    def has_a_label_twice(self) -> bool:
        """Which none that was registered has."""
        return len(set(self.labels)) < len(self.labels)

    @property
    def is_custom(self) -> bool:
        """Whether a user's own function builds its network."""
        return ":" in self.architecture

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
