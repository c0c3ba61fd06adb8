"""What a cycle takes over from the version that it goes on from: weights and optimizer, for the labels of today."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.lineage import LAST, OPTIMIZER, WEIGHTS
from pipeline.artifacts.parent import Pin
from pipeline.artifacts.training import StartKind
from pipeline.base import files
from pipeline.base.errors import ModelError
from pipeline.learning import head, model, newcomers, starts
from pipeline.learning.task import Task
from pipeline.registry.client import Registry

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part
    from pipeline.learning.engine import Engine

    Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Inheritance:
    """What a cycle takes over; arrays are by position, of the whole network but for the optimizer's."""

    version: int
    """Number of the parent."""
    kind: StartKind
    """How the cycle starts."""
    served: "Arrays"
    """The weights that the parent serves."""
    last: "Arrays"
    """Those after the last step of its training, where a warm start is from these."""
    fresh: "Arrays"
    """Weights of a new network."""
    restore: tuple[str, ...]
    """What the optimizer takes over; see `train.restore`."""
    optimizer: "Arrays"
    """The parent's optimizer; empty where nothing is restored."""

    def begin(self, engine: "Engine", is_idle: bool) -> None:
        """Let an engine begin from it.

        Args:
            engine: new.
            is_idle: whether there is nothing to learn; then the weights are those that are served.

        Raises:
            ModelError: the optimizer is of another precision.
        """
        weights = engine.tuned(self.served if is_idle else self.last)
        if self.kind == "shrink" and not is_idle:
            weights = starts.shrunk(weights, engine.tuned(self.fresh), engine.network)
        elif self.restore:
            try:
                model.fill_optimizer(engine.optimizer, self.optimizer, self.restore, f"v{self.version}")
            except ModelError as error:
                raise ModelError(f"{error}; set train.precision back, or set train.restore: []") from None
        engine.begin(weights, model.arrays(engine.optimizer.variables), is_good=self.kind == "warm")

    def welcoming(self, engine: "Engine", part: "Part", new: list[int]) -> "tuple[Inheritance, int]":
        """The same with outputs of new labels that begin with the mean features of their images, see `newcomers`.

        Args:
            engine: new; its weights are lost.
            part: the training images.
            new: numbers of the labels.

        Returns:
            It, and how many images passed forward for it.
        """
        model.fill(engine.network.weights, engine.tuned(self.served), f"v{self.version}")
        num_forward = newcomers.begin(engine, part, new)
        served = engine.whole(self.served, model.arrays(engine.network.weights))
        # The last weights are near those that are served: what suits the ones suits the others.
        begun = head.of(served)
        last = {name: _with(self.last[name], value, new) for name, value in begun.items()}
        return replace(self, served=served, last={**self.last, **last}), num_forward


def _with(values: "np.ndarray", others: "np.ndarray", places: list[int]) -> "np.ndarray":
    """A copy with some places of the last axis as others have them."""
    changed = values.copy()
    changed[..., places] = others[..., places]
    return changed


def fetch(pin: Pin, task: Task, fresh: "Arrays", registry: Registry, objects: Path) -> Inheritance:
    """Fetch what a cycle takes over.

    Args:
        pin: the parent.
        task: of the cycle.
        fresh: weights of a new network: an output that the parent does not have begins with these.
        registry: that the parent is in.
        objects: keeps downloads.

    Raises:
        ModelError: the parent does not fit params.yaml; says what differs.
        RegistryError: see `Registry.download`.
    """
    before, now, listed = pin.lineage.model, task.description, pin.lineage.files
    model.refuse_misfit(pin, now)

    def arrays(artifact: str) -> "dict[str, np.ndarray]":
        return files.read_arrays(registry.download(pin.run_id, artifact, listed[artifact], objects))

    def weights(artifact: str) -> "Arrays":
        return model.for_labels(arrays(artifact), fresh, before, now.labels)

    served = weights(WEIGHTS)
    # Versions that were registered before last weights were kept have none.
    has_last = task.train.warm_from == "last" and LAST in listed
    last = weights(LAST) if has_last else served
    restore = _restored(pin, task)
    optimizer = arrays(OPTIMIZER) if restore else {}
    return Inheritance(pin.version, task.plan.kind, served, last, fresh, restore, optimizer)


def _restored(pin: Pin, task: Task) -> tuple[str, ...]:
    """What the optimizer takes over.

    Raises:
        ModelError: the parent's optimizer is another.
    """
    # With other labels the optimizer's moments would be those of other outputs, with another cut those of other layers.
    theirs, ours = pin.lineage.model, task.description
    if task.plan.kind != "warm" or theirs.labels != ours.labels or theirs.frozen != ours.frozen:
        return ()
    restore, before, now = task.train.restore, pin.lineage.optimizer, task.train.optimizer
    if restore and before != now:
        raise ModelError(
            f"cannot restore the optimizer of v{pin.version}: it is {before}, train.optimizer is {now}; set it back, "
            "or set train.restore: []"
        )
    return restore
