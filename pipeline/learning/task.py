"""The task of a cycle's training: everything that determines the model."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import code, files
from pipeline.data.dataset import Dataset
from pipeline.learning import ladder
from pipeline.learning.ladder import Plan
from pipeline.learning.model import Description
from pipeline.learning.settings import Train
from pipeline.settings import Params

if TYPE_CHECKING:
    from pipeline.data.dataset import Part


@dataclass(frozen=True)
class Task:
    """What there is to learn, from where, and how."""

    images: Dataset
    pinned: dict[str, Any]
    """The parent: `parent.json`."""
    chosen: Params

    @property
    def train(self) -> Train:
        """The settings of training, as they stand in params.yaml."""
        return self.chosen.train

    @cached_property
    def plan(self) -> Plan:
        """How the cycle starts."""
        return ladder.plan(self.pinned, self.train)

    @cached_property
    def description(self) -> Description:
        """Of the model."""
        return Description(self.train.architecture, self.images.image_shape, self.images.labels)

    @cached_property
    def parts(self) -> "tuple[Part, Part]":
        """Train and val."""
        return self.images.part("train"), self.images.part("val")

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines the model, by name."""
        settings = {f"train.{name}": value for name, value in self.train.model_dump(mode="json").items()}
        if self.plan.is_audited:
            settings["prepare.replay"] = self.chosen.prepare.replay
        return {
            "dataset": self.images.digest,
            "parent": self.pinned["lineage"]["files"]["model/weights.npz"] if self.pinned["version"] else None,
            "start": f"{self.plan.kind}, audited" if self.plan.is_audited else self.plan.kind,
            "params": settings,
            "code": code.digest("pipeline.stages.train"),
            "own code": _own_code(self.train.architecture),
        }

    @cached_property
    def key(self) -> str:
        """One hash of the inputs."""
        return files.sha256_json(self.inputs)

    @cached_property
    def is_idle(self) -> bool:
        """Whether there is nothing to learn: then only the start is scored."""
        part, plan = self.parts[0], self.plan
        if not len(part):
            return True
        if plan.kind == "cold":
            return False
        # Old images are there for each new one, or for an audit; without new ones there is nothing to mix them with.
        takes_all = self.train.replay == "all" and not plan.is_audited
        is_known = part.is_unlearned is not None and not part.is_unlearned.any()
        return self.images.is_unchanged or (plan.kind == "warm" and not takes_all and is_known)

    @cached_property
    def limit(self) -> Train:
        """The settings of this training: how many epochs there are, how many old images in each."""
        from pipeline.learning import training

        if self.is_idle:
            # The score before the first step has no training metrics.
            nothing = {"max_epochs": 0, "monitor": "val_loss", "mode": "auto", "target": None}
            return self.train.model_copy(update=nothing)
        if self.plan.kind != "warm":
            return self.audit_limit
        settings = self.train
        if self.plan.is_audited and settings.replay == "all":
            # All images are there for the audit; the warm start gets what it gets in any cycle.
            settings = settings.model_copy(update={"replay": self.chosen.prepare.replay})
        return training.warmed(settings, self.parts[0])

    @property
    def audit_limit(self) -> Train:
        """The settings of a training on all images until early stopping, as an audit is."""
        return self.train.model_copy(update={"replay": "all"})


def _own_code(architecture: str) -> str | None:
    """Hash of the module that a user's own `module:function` lives in, where it is a file here."""
    path = Path(architecture.partition(":")[0].replace(".", "/") + ".py")
    return files.sha256_file(path) if ":" in architecture and path.is_file() else None
