"""The parent: what a cycle takes over from the version that it goes on from, for the labels of today."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files
from pipeline.base.errors import ModelError
from pipeline.learning import model
from pipeline.learning.ladder import Kind
from pipeline.learning.model import Description
from pipeline.learning.settings import Train
from pipeline.registry.client import Registry

if TYPE_CHECKING:
    import numpy as np

    from pipeline.learning.training import Engine


class Parent:
    """What a cycle takes over from its parent, for the labels of today."""

    def __init__(
        self,
        registry: Registry,
        pinned: dict[str, Any],
        description: Description,
        fresh: "dict[str, np.ndarray]",
        train: Train,
        kind: Kind,
        scratch: Path,
    ) -> None:
        """Fetch it.

        Args:
            registry: that it is in.
            pinned: the parent.
            description: of the model of today.
            fresh: weights of a new one: those of an output that the parent has not.
            train: `restore` says what a warm start takes over besides the weights.
            kind: of the start.
            scratch: keeps downloads.

        Raises:
            ModelError: the parent does not fit params.yaml; says what differs.
        """
        self._version, listed = f"v{pinned['version']}", pinned["lineage"]["files"]
        was = model.describe(pinned["lineage"]["model"])
        if why := model.misfit(was, description):
            raise ModelError(
                f"cannot start from {self._version}: {why}; set params.yaml back, or set train.start: cold to train "
                "afresh"
            )

        def fetch(artifact: str) -> Any:
            path = registry.download(pinned["run_id"], artifact, listed[artifact], scratch / "objects")
            return files.read_arrays(path)

        def widened(artifact: str) -> Any:
            return model.for_labels(fetch(artifact), fresh, was, description.labels)

        self.served = widened("model/weights.npz")
        self._fresh = fresh
        # Versions from before it was kept have none.
        has_last = train.warm_from == "last" and "model/last.npz" in listed
        self.last = widened("model/last.npz") if has_last else self.served
        # The moments of the head would be those of other outputs.
        self._restored = train.restore if kind == "warm" and was.labels == description.labels else ()
        self._kind = kind
        if self._restored and (theirs := pinned["lineage"]["optimizer"]) != train.optimizer:
            raise ModelError(
                f"cannot restore the optimizer of {self._version}: it is {theirs}, train.optimizer is "
                f"{train.optimizer}; set it back, or set train.restore: []"
            )
        self._optimizer = fetch("model/state.npz") if self._restored else {}

    def start(self, engine: "Engine", is_idle: bool) -> None:
        """Let an engine begin from it: warm, or shrunk and perturbed; from what is served where nothing is learned."""
        from pipeline.learning import training

        weights = self.served if is_idle else self.last
        if self._kind == "shrink" and not is_idle:
            weights = training.shrunk(weights, self._fresh, engine.network)
        elif self._restored:
            try:
                model.fill_optimizer(engine.optimizer, self._optimizer, self._restored, self._version)
            except ModelError as error:
                raise ModelError(f"{error}; set train.precision back, or set train.restore: []") from None
        engine.begin(weights, model.arrays(engine.optimizer.variables), is_good=self._kind == "warm")
