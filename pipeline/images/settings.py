"""What decoding one image may cost: a part of section validate of params.yaml."""

from typing import Annotated

from pydantic import Field

from pipeline.base.params import Section


class DecodingLimits(Section, part=True):
    """What decoding one image may cost."""

    max_pixels: Annotated[int, Field(ge=1, le=500_000_000)]
    max_seconds: Annotated[float, Field(ge=0.1, le=600)]
    max_memory: Annotated[int, Field(ge=128)]
