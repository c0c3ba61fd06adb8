"""Inputs: what the models of a cycle see of its images, pixels or features, and what gives these."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.artifacts.lineage import WEIGHTS
from pipeline.artifacts.model import HEAD, Description, Frozen
from pipeline.artifacts.parent import Champion, Parent, Pin
from pipeline.data.splits import SPLITS, Split
from pipeline.features.extraction import Extractor
from pipeline.images.decoding import View
from pipeline.learning import cut, engine, freezing, model
from pipeline.learning.ladder import Plan
from pipeline.learning.settings import Embedding
from pipeline.registry.client import Registry


@dataclass(frozen=True)
class Input:
    """What a model sees."""

    description: Description
    """Of the model."""
    splits: tuple[Split, ...]
    """Of whose images it is wanted."""
    is_trained_on: bool
    extractor: Extractor | None
    """What gives it, where it is features."""

    @property
    def name(self) -> str:
        """See `Description.inputs`."""
        return self.description.inputs

    @property
    def view(self) -> View:
        """The pixels that it is, or is computed from."""
        size, _, channels = self.description.image_shape
        return View(size, channels, self.description.fit)


def of_cycle(
    plain: Description,
    train: Embedding,
    plan: Plan,
    parent: Parent,
    champion: Champion,
    pretrained: str,
    fetch: Callable[[Pin], Path],
) -> tuple[Input, ...]:
    """What has to be there for a cycle: what its trainings see of all images, champion and anchor of the holdout's.

    Args:
        plain: the model of the cycle, without a frozen part.
        train: part of section `train` of params.yaml.
        plan: how the cycle starts.
        parent: the version to start from.
        champion: the version to beat, and the anchor.
        pretrained: digest of the weights that a cold start begins with.
        fetch: gives the file with a version's weights.

    Returns:
        The first is that of the training that goes on.
    """

    def built() -> Any:
        return model.build(plain, train.pretrained)

    wanted = []
    for kind in dict.fromkeys((plan.kind, "cold") if plan.is_audited else (plan.kind,)):
        description = freezing.described(plain, train.tune, kind, parent, pretrained)
        of_parent = partial(_loaded, parent.pin, fetch) if parent.pin and kind != "cold" else built
        wanted.append(Input(description, SPLITS, True, _extractor(description, of_parent, train)))
    for pin in (champion.pin, champion.anchor):
        if pin:
            gives = _extractor(pin.lineage.model, partial(_loaded, pin, fetch), train)
            wanted.append(Input(pin.lineage.model, ("holdout",), False, gives))
    first: dict[str, Input] = {}
    for one in wanted:
        first.setdefault(one.name, one)
    return tuple(first.values())


def observer(plain: Description, train: Embedding, own: Input, weights: str) -> Input | None:
    """What the content of new images is told by (`features.observation`): no model of the cycle need see it.

    Args:
        plain: the model of the cycle, without a frozen part.
        train: part of section `train` of params.yaml.
        own: what the training sees that goes on.
        weights: digest of the weights that a cold start begins with.

    Returns:
        Features at the head, of the cycle's own frozen part or else of the pretrained network; None where nothing was
        pretrained.
    """
    if own.description.is_head_only:
        return own
    if train.pretrained is None:
        return None
    frozen = Frozen(cut=HEAD, weights=weights)
    description = plain.model_copy(update={"frozen": frozen})
    return Input(description, (), False, _extractor(description, partial(model.build, plain, train.pretrained), train))


def _extractor(description: Description, whole: Callable[[], Any], train: Embedding) -> Extractor | None:
    """What gives a model's features; None where it sees pixels.

    Args:
        description: of the model.
        whole: builds a network with the frozen part's weights in it.
        train: part of section `train` of params.yaml.
    """
    if description.frozen is None:
        return None
    return Extractor(description, partial(_frozen, whole, description.frozen, train))


def _frozen(whole: Callable[[], Any], frozen: Frozen, train: Embedding) -> Any:
    print("prepare: loading TensorFlow", flush=True)
    engine.make_repeatable(0, train.threads)  # nothing is drawn
    return cut.split(whole(), frozen.cut).frozen


def _loaded(pin: Pin, fetch: Callable[[Pin], Path]) -> Any:
    return model.load(pin.lineage.model, fetch(pin), f"v{pin.version}")


def fetched(registry: Registry, objects: Path) -> Callable[[Pin], Path]:
    """Gives the file with a version's weights.

    Args:
        registry: that the versions are in.
        objects: keeps downloads.
    """
    return lambda pin: registry.download(pin.run_id, WEIGHTS, pin.lineage.files[WEIGHTS], objects)
