"""`proof.json` in the registry: that a version, fetched from there, answered as it was judged (`registry.proof`)."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from pipeline.artifacts.artifact import Artifact, Count, Inside, Name, Number, Sha256

PROOF = "proof/proof.json"
"""Run artifact."""


class Proof(Artifact):
    """What was fetched, and how it answered."""

    version: Number
    served: Sha256 | None
    """SHA-256 of the file that MLflow runs; None for a version of before that file checked the others."""
    num_images: Count
    """Holdout images that it was asked for; 0 where none is left in any store: then it was only loaded."""
    largest_difference: Annotated[float, Field(ge=0, le=1)]
    """Between a probability that it gave and that of evaluate."""
    tolerance: Annotated[float, Field(ge=0, le=1)]
    """Up to which they count as the same."""
    libraries: Mapping[Name, Name]
    """Versions by name, Python's too."""
    files: Mapping[Inside, Sha256]
    """SHA-256 of each file of the version, by path."""
