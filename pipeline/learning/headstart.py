"""Head first: before a pretrained network is trained as a whole, its new head is, on the features it gives as it is.

A fresh head sends gradients through the backbone that have nothing to do with what it knows, and damages that (Kumar et
al., ICLR 2022, arXiv:2202.10054). The features are computed once, so this costs one pass forward for each image.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.learning import backend, model, starts
from pipeline.learning.engine import Engine
from pipeline.learning.fit import Outcome, Parts, Session, fit
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    from pipeline.data.dataset import Part


def beside(states: Path) -> Path:
    """Where the states of this are, of a training with states of its own."""
    return states.with_name(f"{states.name}-head")


def train_head(engine: Engine, parts: Parts, train: Train, session: Session, folder: Path) -> Outcome:
    """Train the head of a network that is about to be trained as a whole, and let that begin from it.

    Args:
        engine: of the whole, new.
        parts: the images.
        train: section `train` of params.yaml.
        session: of this training of the head.
        folder: for features.

    Returns:
        What the training of the head gave.

    Raises:
        PausedError, ModelError, OSError: see `fit`.
    """
    head, told = engine.head, starts.for_head(train)
    alone = Engine(_alone(head), model.optimizer(told), told, has_features=True, counts=engine.counts)
    alone.begin(model.arrays(head.weights), model.arrays(alone.optimizer.variables))
    features = Parts(*(_featured(engine.body, part, folder / f"{name}.npy") for name, part in parts._asdict().items()))
    outcome = fit(alone, features, told, session)
    model.fill(head.weights, outcome.weights, "head")
    engine.begin(model.arrays(engine.network.weights), model.arrays(engine.optimizer.variables))
    return outcome


def _alone(head: Any) -> Any:
    """A network like the head, with variables of its own: the other's may be spread over devices."""
    layers = backend.keras().layers
    size, count = head.kernel.shape
    features = layers.Input((size,), name="features")
    outputs = layers.Dense(count, use_bias=head.use_bias, name="logits")(features)
    return backend.keras().Model(features, outputs, name="head")


def _featured(body: Any, part: "Part", path: Path) -> "Part":
    """A part with features in place of what the network sees; they stay on disk."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(part), *body.output_shape[1:])
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for rows, given in model.outputs(body, part.take, len(part)):
        features[rows] = given
    features.flush()
    return part.showing(np.load(path, mmap_mode="r", allow_pickle=False))
