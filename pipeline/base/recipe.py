"""The recipe: one hash of the settings and the code that turn data and a parent into a model."""

from pipeline.base import code, files
from pipeline.base.params import Params

STAGES = ("detect", "validate", "prepare", "train")


def digest(params: Params) -> str:
    """The same recipe on the same data from the same parent gives the same model."""
    values = params.model_dump(mode="json", by_alias=True)
    settings = [values[stage] for stage in STAGES]
    return files.sha256_json([settings, [code.digest(f"pipeline.stages.{stage}") for stage in STAGES]])
