"""Going back: a training goes on from the end of an epoch that a person chose, or that epoch is its result."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.artifacts.model import HEAD
from pipeline.base.errors import PipelineError
from pipeline.learning import checkpoint, freezing, kept
from pipeline.learning.checkpoint import DamagedError, State
from pipeline.learning.fit import Outcome
from pipeline.learning.stopping import Spent

if TYPE_CHECKING:
    from pipeline.learning.engine import Engine

LATER = (
    "audit_every audit_above head_rate head_epochs passes_per_new warm_epochs max_epochs replay repeat_new batch_size "
    "flip shift crop colour rand_augment mixup cutmix learning_rate warm_rate weight_decay patience min_delta "
    "start_from_epoch target reduce_patience reduce_factor min_learning_rate blend diverged_at max_retries "
    "retry_factor devices threads seed"
)
"""Settings of section `train` that may be others after going back: they only say how training goes on."""

MAY_DIFFER = {f"train.{name}" for name in LATER.split()} | {"train.from_epoch", "prepare.replay"}


class Target(NamedTuple):
    """Where a person wants to go back to."""

    training: str
    """Name of its folder."""
    epoch: int
    is_result: bool
    """Whether that epoch is the result; else training goes on from its end."""

    def __str__(self) -> str:
        """In words."""
        return f"epoch {self.epoch} of training {self.training}"

    @classmethod
    def of(cls, setting: str | None) -> "Target | None":
        """What `train.from_epoch` says."""
        if setting is None:
            return None
        training, _, rest = setting.partition("/")
        epoch, _, finish = rest.partition(" ")
        return cls(training, int(epoch), bool(finish))

    @property
    def setting(self) -> str:
        """As `train.from_epoch` says it."""
        return f"{self.training}/{self.epoch}{' finish' if self.is_result else ''}"


def load(target: Target, folder: Path, inputs: Mapping[str, Any]) -> State:
    """The state that training goes on from.

    All is as it was then: weights, optimizer, stopping, learning rate. Settings that changed since count from here on.

    Args:
        target: where to.
        folder: of all trainings.
        inputs: of the training that goes on.

    Raises:
        PipelineError: the state is not kept, is damaged, or is of a training that this one cannot go on from.
    """
    path = kept.find(folder, target.training, target.epoch)
    try:
        state, before = checkpoint.read(path)
    except DamagedError as error:
        raise PipelineError(
            f"{path} is damaged ({error}); choose another epoch, {kept.listed(kept.trainings(folder))}, or set "
            "train.from_epoch: null"
        ) from None
    there, here = _binding(before), _binding(inputs)
    if there != here:
        raise PipelineError(
            f"train.from_epoch: {target} is of another training than this one can go on from: "
            f"{checkpoint.differences(there, here)}; put back what differs, or set train.from_epoch: null"
        )
    return replace(state, factor=state.factor * (_rate(inputs) / _rate(before)))


def result(engine: "Engine", state: State) -> Outcome:
    """The epoch at whose end a state is, as the result of training.

    Args:
        engine: gets the values of the state.
        state: at the end of an epoch.
    """
    engine.fill(state.now)
    weights = engine.served()
    return Outcome(
        history=state.history,
        best_epoch=state.epoch,
        reason=f"a person's choice of epoch {state.epoch} (train.from_epoch)",
        is_cut=True,
        weights=weights,
        last=weights,
        optimizer=state.now.optimizer,
        retries=state.retries,
        spent=state.spent,
        spent_now=Spent(),
    )


def _binding(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that have to be the same."""
    params = {name: value for name, value in inputs["params"].items() if name not in MAY_DIFFER}
    # Whether an audit comes after it makes no difference.
    return {**inputs, "params": params, "start": inputs["start"].partition(",")[0]}


def _rate(inputs: Mapping[str, Any]) -> float:
    """The learning rate that the settings ask for."""
    params, is_warm = inputs["params"], inputs["start"][:4] == "warm"
    if freezing.cut_at(params.get("train.tune", "all"), "warm" if is_warm else "cold") == HEAD:
        return float(params["train.head_rate"])
    return float(params["train.learning_rate"] * (params["train.warm_rate"] if is_warm else 1))
