"""New labels: what their outputs begin with, in a network whose features mean something already."""

from typing import TYPE_CHECKING, Any

from pipeline.learning import model

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part
    from pipeline.learning.engine import Engine

EACH = 50
"""Images of a label that are looked at, at most."""


def begin(engine: "Engine", part: "Part", new: "list[int]") -> int:
    """Let the outputs of new labels begin with the mean features of their images; the others stay as they are.

    A random output needs many steps to find its place, and disturbs the others meanwhile. The mean feature of a label
    is a good output after a single look (Qi et al., CVPR 2018, arXiv:1712.07136). Direction and size follow from two
    wishes: images of a new label get on average the logit that others get for their own label, or what it takes to be
    first; and images of the others get the one that they get for a wrong label.

    Args:
        engine: with the weights that the others have.
        part: the training images.
        new: numbers of the labels.

    Returns:
        How many images passed forward for it; none where only the head is trained.

    Raises:
        ModelError: see `networks.head`.
    """
    import numpy as np

    layer = engine.head
    kernel, *bias = (np.array(value) for value in layer.get_weights())
    old = [label for label in np.unique(part.labels).tolist() if label not in new]
    here = [label for label in new if (part.labels == label).any()]
    if not (old and here and bias):
        return 0
    body = engine.body
    features = {label: _features(body, part, np.flatnonzero(part.labels == label)[:EACH]) for label in (*old, *here)}
    known = np.concatenate([features[label] for label in old])
    numbers = np.concatenate([np.full(len(features[label]), label) for label in old])
    logits = (known @ kernel + bias[0])[:, old]
    is_own = numbers[:, None] == np.array(old)
    own, other = logits[is_own].mean(), logits[~is_own].mean() if len(old) > 1 else 0.0
    centre = known.mean(axis=0)
    largest = 2 * np.linalg.norm(kernel[:, old], axis=0).max()
    for label in here:
        mean = features[label].mean(axis=0)
        away = mean - centre
        distance = max(float(np.linalg.norm(away)), 1e-12)
        rivals = (features[label] @ kernel + bias[0])[:, old].max(axis=1).mean()
        wanted = max(own, rivals + (own - other) / 2)
        # Where a label lies amid the others, no output of a usual size tells it from them: it gets half of both wishes.
        kernel[:, label] = away / distance * min((wanted - other) / distance, largest)
        bias[0][label] = (wanted + other) / 2 - float((mean + centre) / 2 @ kernel[:, label])
    layer.set_weights([kernel, bias[0]])
    return 0 if body is None else sum(map(len, features.values()))


def _features(body: Any, part: "Part", rows: "np.ndarray") -> "np.ndarray":
    """float32 (rows, features): what the head sees."""
    import numpy as np

    if body is None:
        return part.take(rows).astype(np.float32)
    batches = [given for _, given in model.outputs(body, lambda some: part.take(rows[some]), len(rows))]
    return np.concatenate(batches).astype(np.float32)
