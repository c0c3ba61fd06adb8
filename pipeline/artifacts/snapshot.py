"""`snapshot.json`: what the registry held when resolve looked. It lets promote see that there is nothing to do."""

from collections.abc import Mapping

from pydantic import Field

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.filed import Filed


class Registered(Artifact):
    """A version on this data, as far as promote has to know it."""

    version: int
    verdict_digest: str
    """Hash of the judgement that was carried out on it; empty if there was none."""
    promoted: bool
    min_probability: float = 0.0
    """With which it is served."""
    weights: str = ""
    """SHA-256 of its weights; empty for a version of before that was noted."""
    standing: str = ""
    """What people decided on it, in words; empty if nothing."""
    filed: Filed


class Snapshot(Artifact):
    """The recipe of this cycle, and the versions on its data."""

    recipe: str
    """Hash of the settings and the code that turn data and a parent into a model."""
    registered: Mapping[str, Registered] = Field(validation_alias="known", serialization_alias="known")
    """By run key."""
