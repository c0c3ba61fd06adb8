"""The settings of the gate: section evaluate of params.yaml."""

from typing import Annotated

from pydantic import Field

from pipeline.base.params import Count, OpenShare, Section, Share


class Evaluate(Section):
    """When a challenger has earned promotion."""

    margin: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    min_accuracy: Share
    suspicious: OpenShare
    batch_size: Count
