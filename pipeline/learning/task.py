"""The task of a cycle's training: everything that determines the model."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pipeline.artifacts.lineage import WEIGHTS
from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.training import StartKind
from pipeline.base import code, files
from pipeline.base.paths import Paths
from pipeline.data import dataset
from pipeline.data.dataset import Dataset
from pipeline.learning import freezing, ladder, rewind, starts
from pipeline.learning.fit import Parts
from pipeline.learning.ladder import Growth, Plan
from pipeline.learning.settings import Train


@dataclass(frozen=True)
class Task:
    """What there is to learn, from where, and how."""

    images: Dataset
    parent: Parent
    train: Train
    """Section `train` of params.yaml, as it stands there."""
    replayed: int | Literal["all"]
    """Old images at hand for each new one; see `prepare.replay`."""
    pretrained: str
    """Digest of the weights that a cold start begins with."""

    @cached_property
    def plan(self) -> Plan:
        """How the cycle starts."""
        contents = self.images.contents
        return ladder.plan(self.parent, self.train, Growth(contents.num_unlearned, contents.num_known))

    @cached_property
    def start_reason(self) -> str:
        """Why it starts so, in words."""
        reason = ladder.reason(self.plan, self.parent.version, self.train)
        return f"{reason}; back to {self.target}, as a person chose (train.from_epoch)" if self.target else reason

    @property
    def target(self) -> rewind.Target | None:
        """Where a person wants training to go back to."""
        return rewind.Target.of(self.train.from_epoch)

    @cached_property
    def description(self) -> Description:
        """Of the model that the cycle goes on with."""
        return self._described(self.plan.kind)

    @cached_property
    def description_afresh(self) -> Description:
        """Of the model that an audit trains from scratch."""
        return self._described("cold")

    def _described(self, kind: StartKind) -> Description:
        plain = Description(
            architecture=self.train.architecture,
            image_shape=self.images.image_shape,
            fit=self.images.fit,
            labels=self.images.labels,
        )
        return freezing.described(plain, self.train.tune, kind, self.parent, self.pretrained)

    @property
    def new_labels(self) -> list[int]:
        """Numbers of the labels whose outputs can begin with features that mean something already."""
        known = self.parent.lineage.model.labels if self.parent.lineage else ()
        if self.train.pretrained is None or self.plan.kind != "warm":
            return []
        return [number for number, label in enumerate(self.images.labels) if label not in known]

    @cached_property
    def parts(self) -> Parts:
        """The images that train, and those that stop training and choose the epoch."""
        return self._parts(self.description)

    @cached_property
    def parts_afresh(self) -> Parts:
        """The same for an audit: all of them count as new."""
        return self._parts(self.description_afresh).unlearned

    def _parts(self, description: Description) -> Parts:
        return Parts(*(self.images.part(split, description.inputs) for split in ("train", "val")))

    @cached_property
    def inputs(self) -> dict[str, Any]:
        """Everything that determines the model, as JSON values by name."""
        params = {f"train.{name}": value for name, value in self.train.model_dump(mode="json").items()}
        if self.plan.is_audited:
            params["prepare.replay"] = self.replayed
        own = code.of_architecture(self.train.architecture)
        return {
            "dataset": self.images.digest,
            "parent": self.parent.lineage.files[WEIGHTS] if self.parent.lineage else None,
            "start": f"{self.plan.kind}, audited" if self.plan.is_audited else self.plan.kind,
            "params": params,
            "code": code.digest("pipeline.stages.train"),
            "own code": code.digest(*own) if own else None,
            **({"pretrained": self.pretrained} if self.train.pretrained and self.plan.needs_all else {}),
        }

    @cached_property
    def key(self) -> str:
        """One hash of the inputs."""
        return files.sha256_json(self.inputs)

    @cached_property
    def is_idle(self) -> bool:
        """Whether there is nothing to learn: then only the start is scored."""
        part, plan = self.parts.train, self.plan
        if not len(part):
            return True
        if plan.kind == "cold":
            return False
        # Each new image brings some old ones, and an audit brings all. Without new ones there is nothing to mix with.
        takes_all = self.train.replay == "all" and not plan.is_audited
        is_all_learned = part.is_unlearned is not None and not part.is_unlearned.any()
        return self.images.contents.is_unchanged or (plan.kind == "warm" and not takes_all and is_all_learned)

    @cached_property
    def train_now(self) -> Train:
        """The settings of this training: how many epochs it has, how many old images in each."""
        if self.is_idle:
            # The score before the first step has no metrics of training images.
            nothing = {"max_epochs": 0, "monitor": "val_loss", "mode": "auto", "target": None}
            return self.train.model_copy(update=nothing)
        if self.description.is_head_only:
            return starts.for_head(self.train)
        if self.plan.kind != "warm":
            return self.train_on_all
        train = self.train
        if self.plan.is_audited and train.replay == "all":
            # All images are there for the audit. The warm start gets as many as in a cycle without one.
            train = train.model_copy(update={"replay": self.replayed})
        return starts.warmed(train, self.parts.train)

    @property
    def train_on_all(self) -> Train:
        """The settings of a training on all images until early stopping, such as an audit."""
        if self.description_afresh.is_head_only:
            return starts.for_head(self.train)
        return self.train.model_copy(update=starts.ALL_ALIKE)


def read(paths: Paths, train: Train, replayed: int | Literal["all"]) -> Task:
    """The task that the stages before training left.

    Args:
        paths: of the cycle.
        train: section `train` of params.yaml.
        replayed: see `Task.replayed`.

    Raises:
        DataError: the dataset or the parent is not there.
    """
    images, parent = dataset.read(paths.dataset), Parent.read(paths.parent)
    return Task(images, parent, train, replayed, files.read(paths.pretrained).decode().strip())
