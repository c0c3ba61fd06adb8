"""Whether the network that params.yaml names can be built and go on from the parent: asked before a cycle begins.

DVC deletes the outputs of a stage before it runs it. What only train would refuse costs the last model.
"""

from collections.abc import Iterable
from pathlib import Path

from pipeline.artifacts.model import Description, Fit
from pipeline.artifacts.parent import Parent, Pin
from pipeline.base import code, files
from pipeline.base.auto import SMALL
from pipeline.base.errors import ModelError
from pipeline.learning import cut, freezing, ladder, model, pretrained
from pipeline.learning.ladder import Growth
from pipeline.learning.settings import Backbone, Network, OwnNetworks, Train

SOME_LABELS = ("one", "another")
"""The network is tried with so many outputs."""


def refuse_misfit(parent: Parent, train: Train, description: Description) -> None:
    """Refuse a network that cannot take over the parent's weights, if the cycle is to start from them.

    Raises:
        ModelError: says what differs.
    """
    if parent.pin and ladder.plan(parent, train, Growth(0, 0)).kind != "cold":
        model.refuse_misfit(parent.pin, description)


def refuse_foreign(pins: Iterable[Pin | None], train: Network, own: OwnNetworks) -> None:
    """Refuse versions of which the registry says that a function builds them which params.yaml does not name.

    What the registry says would be run otherwise, and more people may write there than here.

    Args:
        pins: the versions that a cycle may build; None is none.
        train: part of section `train` of params.yaml.
        own: part of section `resolve` of params.yaml.

    Raises:
        ModelError: names the first; nothing of it was run.
    """
    for pin in filter(None, pins):
        name = pin.lineage.model.architecture
        if pin.lineage.model.is_custom and name not in (train.architecture, *own.networks):
            raise ModelError(
                f"the registry says that {name} builds v{pin.version}, and params.yaml does not name that, so nothing "
                f"of it was run; if it is a network of your own, add it: resolve.networks: [{name}]; if it is not, "
                f"look in the MLflow UI who registered v{pin.version}, and move the alias to another version"
            )


def refuse_unbuildable(description: Description, memory: Path, backbone: Backbone) -> None:
    """Refuse a network that cannot be built or cut. To try it takes seconds, so what was tried once is remembered.

    Args:
        description: of the network.
        memory: a file for that; it may be deleted at any time.
        backbone: part of section `train` of params.yaml; a file of weights has to fit.

    Raises:
        ModelError: see `model.build` and `cut.split`.
        DataError: see `model.build`.
    """
    start, tune = backbone.pretrained, backbone.tune
    cuts = sorted({at for at in (freezing.cut_at(tune, "cold"), freezing.cut_at(tune, "warm")) if at})
    weights = pretrained.source(description.architecture, start)
    if description.architecture in SMALL and weights is None and not cuts:
        return
    own = code.of_architecture(description.architecture)
    parts = [description.model_dump(mode="json"), code.digest(*own) if own else "", cuts]
    tried = files.sha256_json([*parts, pretrained.identity(description.architecture, start)] if weights else parts)
    if memory.is_file() and memory.read_text() == tried:
        return
    print(f"resolve: trying to build {description.architecture}", flush=True)
    # What Keras downloads is asked for only where it is needed.
    network = model.build(description, start if weights else None)
    for at in cuts:
        cut.split(network, at)
    files.write(memory, tried.encode())


def described(train: Train, image_shape: tuple[int, int, int], fit: Fit) -> Description:
    """The network that a cycle is to train, with some labels."""
    return Description(architecture=train.architecture, image_shape=image_shape, fit=fit, labels=SOME_LABELS)
