"""Whether the network that params.yaml names can be built and go on from the parent: asked before a cycle begins.

DVC deletes the outputs of a stage before it runs it. What only train would refuse costs the last model.
"""

from pathlib import Path

from pipeline.artifacts.model import Description, Fit
from pipeline.artifacts.parent import Parent
from pipeline.base import code, files
from pipeline.learning import ladder, model, networks, pretrained
from pipeline.learning.ladder import Growth
from pipeline.learning.settings import Train

SOME_LABELS = ("one", "another")
"""The network is tried with so many outputs where nothing says how many there will be."""


def refuse_misfit(parent: Parent, train: Train, description: Description) -> None:
    """Refuse a network that cannot take over the parent's weights, if the cycle is to start from them.

    Raises:
        ModelError: says what differs.
    """
    if parent.pin and ladder.plan(parent, train, Growth(0, 0)).kind != "cold":
        model.refuse_misfit(parent.pin, description)


def refuse_unbuildable(description: Description, memory: Path, start: str | None = None) -> None:
    """Refuse a network that cannot be built. To try it takes seconds, so what was tried once is remembered.

    Args:
        description: of the network.
        memory: a file for that; it may be deleted at any time.
        start: `train.pretrained`; a file of weights has to fit.

    Raises:
        ModelError: see `model.build`.
        DataError: see `model.build`.
    """
    weights = pretrained.source(description.architecture, start)
    if description.architecture == networks.SMALL_CNN and weights is None:
        return
    own = code.of_architecture(description.architecture)
    parts = [description.model_dump(mode="json"), code.digest(*own) if own else ""]
    tried = files.sha256_json([*parts, files.md5_file(weights)] if weights else parts)
    if memory.is_file() and memory.read_text() == tried:
        return
    print(f"resolve: trying to build {description.architecture}", flush=True)
    model.build(description, start if weights else None)  # what Keras downloads is asked for only where it is needed
    files.write(memory, tried.encode())


def described(train: Train, image_shape: tuple[int, int, int], fit: Fit, parent: Parent) -> Description:
    """The network that a cycle is to train, with the parent's labels."""
    labels = parent.lineage.model.labels if parent.lineage else SOME_LABELS
    return Description(architecture=train.architecture, image_shape=image_shape, fit=fit, labels=labels)
