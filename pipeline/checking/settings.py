"""The settings of the checks: section validate of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.base.params import Count, Share
from pipeline.images.settings import DecodingLimits

Mode = Literal["1", "L", "LA", "I", "I;16", "I;16B", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"]
"""Pillow's names of the pixel modes that the decoded formats can have."""


class Watching(DecodingLimits, part=True):
    """What preparing the images knows of it."""

    max_content_drift: Share


class Validate(Watching):
    """What the new images must satisfy."""

    min_side: Count
    max_side: Count
    modes: tuple[Mode, ...]
    max_quarantined: Share
    max_quarantined_images: Annotated[int, Field(ge=0)]
    min_images_per_label: Count
    new_labels: Literal["listed", "allow"]
    labels: tuple[str, ...]
    brightness: tuple[Share, Share]
    min_contrast: Share
    min_sharpness: Annotated[float, Field(ge=0)]
    max_aspect: Annotated[float, Field(ge=1)]
    max_duplicates: Share
    max_imbalance: Annotated[float, Field(ge=1)]
    max_drift: Share

    @model_validator(mode="after")
    def _leaves_a_range(self) -> Self:
        if self.min_side > self.max_side:
            raise ValueError(f"min_side is {self.min_side}, more than max_side, {self.max_side}; no image would pass")
        if self.brightness[0] >= self.brightness[1]:
            raise ValueError(f"brightness is {list(self.brightness)}; expected the darkest, then the brightest")
        return self
