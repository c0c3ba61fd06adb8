"""What is frozen in a cycle: where the network is cut, and whose weights the frozen part has. Pure.

A frozen part gives the same features for an image each time, so they are computed once and kept (`features.shards`).
"""

from pipeline.artifacts.lineage import WEIGHTS
from pipeline.artifacts.model import HEAD, Description, Frozen
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.training import StartKind


def cut_at(tune: str, kind: StartKind) -> str | None:
    """Where a network is cut; None where all of it is trained.

    Args:
        tune: `train.tune` of params.yaml.
        kind: how the training starts.
    """
    if tune == "first":
        return HEAD if kind == "warm" else None
    return None if tune == "all" else tune


def described(plain: Description, tune: str, kind: StartKind, parent: Parent, pretrained: str) -> Description:
    """The model of a training with its frozen part, if it has one.

    Args:
        plain: the model without one.
        tune: `train.tune` of params.yaml.
        kind: how the training starts.
        parent: the version that a warm start goes on from; its frozen part stays as it is.
        pretrained: digest of the weights that a cold start begins with.
    """
    cut = cut_at(tune, kind)
    if cut is None:
        return plain
    if kind == "cold" or parent.lineage is None:
        weights = pretrained
    else:
        before = parent.lineage.model.frozen
        # What was frozen in the parent has the weights of before; of a cut further up some were trained since.
        is_same = before is not None and _blocks(cut) >= _blocks(before.cut)
        weights = before.weights if before and is_same else parent.lineage.files[WEIGHTS]
    return plain.model_copy(update={"frozen": Frozen(cut=cut, weights=weights)})


def _blocks(cut: str) -> int:
    """Blocks that are trained besides the head."""
    return 0 if cut == HEAD else int(cut.split()[1])
