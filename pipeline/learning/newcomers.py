"""New labels: what their outputs begin with, in a network whose features mean something already."""

from typing import TYPE_CHECKING, Any

from pipeline.learning import backend, model, networks

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part

EACH = 200
"""Images of a label that are looked at, at most."""

AT_ONCE = 64
"""Images that go through the network together."""


def begin(network: Any, part: "Part", new: "list[int]") -> int:
    """Let the outputs of new labels begin with the mean features of their images; the others stay as they are.

    A random output needs many steps to find its place, and disturbs the others meanwhile. The mean feature of a label
    is a good output after a single look (Qi et al., CVPR 2018, arXiv:1712.07136). Direction and size follow from two
    wishes: images of a new label get on average the logit that others get for their own label, and images of the
    others the one that they get for a wrong label.

    Args:
        network: a `keras.Model`, fed with what the part shows; it ends in a Dense layer with a bias.
        part: the training images.
        new: numbers of the labels.

    Returns:
        How many images passed forward for it; none where only the head is trained.

    Raises:
        ModelError: see `networks.head`.
    """
    import numpy as np

    layer, shown = networks.head(network), networks.features(network)
    kernel, *bias = (np.array(value) for value in layer.get_weights())
    old = [label for label in np.unique(part.labels).tolist() if label not in new]
    here = [label for label in new if (part.labels == label).any()]
    if not (old and here and bias):
        return 0
    # Where only the head is trained, it is fed with features already.
    body = None if shown is network.inputs[0] else backend.keras().Model(network.inputs, shown)
    features = {label: _features(body, part, np.flatnonzero(part.labels == label)[:EACH]) for label in (*old, *here)}
    known = np.concatenate([features[label] for label in old])
    numbers = np.concatenate([np.full(len(features[label]), label) for label in old])
    logits = (known @ kernel + bias[0])[:, old]
    is_own = numbers[:, None] == np.array(old)
    own, other = logits[is_own].mean(), logits[~is_own].mean() if len(old) > 1 else 0.0
    centre = known.mean(axis=0)
    for label in here:
        away = features[label].mean(axis=0) - centre
        scale = (own - other) / max(float(away @ away), 1e-12)
        kernel[:, label] = scale * away
        bias[0][label] = other - scale * float(away @ centre)
    layer.set_weights([kernel, bias[0]])
    return 0 if body is None else sum(map(len, features.values()))


def _features(body: Any, part: "Part", rows: "np.ndarray") -> "np.ndarray":
    """float32 (rows, features)."""
    import numpy as np

    if body is None:
        return part.take(rows).astype(np.float32)
    starts = range(0, len(rows), AT_ONCE)
    batches = [model.predicted_padded(body, part.take(rows[start : start + AT_ONCE]), AT_ONCE) for start in starts]
    return np.concatenate(batches).astype(np.float32)
