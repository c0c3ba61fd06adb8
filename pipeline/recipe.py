"""The recipe: one hash of the settings and the code that turn data and a parent into a model."""

from collections.abc import Mapping

from pipeline.base import files
from pipeline.settings import Params

STAGES = ("detect", "validate", "prepare", "train")


def digest(params: Params, code: Mapping[str, str], pretrained: str) -> str:
    """The same recipe on the same data from the same parent gives the same model.

    Args:
        params: all settings; those that only judge are no part of it. Of resolve's, one says which parent is wanted.
        code: digest of each stage's code.
        pretrained: digest of the weights that a cold start begins with.
    """
    settings = params.model_dump(mode="json", by_alias=True)
    parts = [[settings[stage], code[stage]] for stage in STAGES]
    return files.sha256_json([*parts, settings["resolve"]["after_removal"], pretrained])
