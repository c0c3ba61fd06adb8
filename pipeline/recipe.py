"""The recipe: one hash of the settings and the code that turn data and a parent into a model."""

from pipeline import code, files
from pipeline.params import Params

STAGES = ("prepare", "train")


def digest(params: Params) -> str:
    """The same recipe on the same data from the same parent gives the same model."""
    settings = [getattr(params, stage).model_dump(mode="json") for stage in STAGES]
    return files.sha256_json([settings, [code.digest(f"pipeline.stages.{stage}") for stage in STAGES]])
