"""The whole of params.yaml: each section stands with the room that it is for, here they are put together.

Only what is no part of a model imports this: resolve, which checks the file, promote, which records it, the commands.
"""

from pydantic import Field

from pipeline.base.params import Section
from pipeline.checking.settings import Validate
from pipeline.data.settings import AfterRemoval, Detect, Prepare
from pipeline.data.trigger import StartRule
from pipeline.judging.settings import Evaluate
from pipeline.learning.settings import Budget, Checkpoint, OwnNetworks, Train, Watch
from pipeline.registry.promotion import Promote
from pipeline.registry.settings import RegisteredModel


class Resolve(RegisteredModel, StartRule, AfterRemoval, OwnNetworks):
    """Where the registered model is, when a cycle starts, from what after a removal, and who may have built it."""


class Params(Section):
    """The whole of params.yaml."""

    resolve: Resolve
    detect: Detect
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Prepare
    train: Train
    budget: Budget
    checkpoint: Checkpoint
    watch: Watch
    evaluate: Evaluate
    promote: Promote
