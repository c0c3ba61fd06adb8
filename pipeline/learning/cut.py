"""The cut: where a network is divided into a frozen part, from pixels to features, and a tuned part, to the logits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import ModelError
from pipeline.learning import networks
from pipeline.learning.backend import keras

if TYPE_CHECKING:
    import numpy as np

BLOCK = re.compile(
    r"(?:conv\d+_block\d+"  # ResNet, DenseNet
    r"|\w*?stage_?\d+_block_?\d+"  # ConvNeXt
    r"|expanded_conv(?:_\d+)?"  # MobileNetV3, and the first of MobileNetV2
    r"|blocks\.\d+"  # EfficientNetLite0
    r"|block_?\d+[a-z]?)"  # EfficientNet, MobileNetV2, VGG, Xception, a user's
    r"(?=[_.]|$)"
)
"""How the names of a block's layers begin."""

OTHERWISE = "set train.tune: head, all or first"


@dataclass(frozen=True)
class Split:
    """Two networks that share the variables of a whole one."""

    frozen: Any
    """From pixels to features: a `keras.Model`."""
    tuned: Any
    """From features to logits: a `keras.Model`."""
    features: Any
    """The tensor between them, in the graph of the whole network."""
    positions: tuple[str, ...]
    """For each weight of the tuned part, its position in the whole network (see `model.arrays`)."""


def split(network: Any, cut: str) -> Split:
    """Divide a network.

    Args:
        network: a `keras.Model` from pixels to logits.
        cut: `head`, at the input of the layer that gives the logits; or `last N blocks`, before the N-th block from
            the end, by the names of layers. What follows the last block is always tuned.

    Raises:
        ModelError: the network has no such place.
    """
    model = keras().Model
    features = networks.head(network).input if cut == "head" else _before(network, int(cut.split()[1]))
    (pixels,), (logits,) = network.inputs, network.outputs
    try:
        frozen, tuned = model(pixels, features), model(features, logits)
    except ValueError:
        raise _not_one(network.name, cut) from None
    shared = {id(variable) for variable in frozen.variables} & {id(variable) for variable in tuned.variables}
    if shared:  # a layer that is called on both sides would change the features while it is tuned
        raise _not_one(network.name, cut)
    return Split(frozen, tuned, features, positions(network, tuned))


def positions(network: Any, part: Any) -> tuple[str, ...]:
    """For each weight of a part, in its order, the position in the whole network (see `model.arrays`)."""
    places = {id(variable): f"{number:04d}" for number, variable in enumerate(network.weights)}
    return tuple(places[id(variable)] for variable in part.weights)


def taken(whole: "Mapping[str, np.ndarray]", places: Sequence[str]) -> "dict[str, np.ndarray]":
    """The weights of a part, by its own positions, out of those of the whole network.

    Args:
        whole: weights by position.
        places: `Split.positions`.
    """
    return {f"{number:04d}": whole[place] for number, place in enumerate(places)}


def joined(
    whole: "Mapping[str, np.ndarray]", part: "Mapping[str, np.ndarray]", places: Sequence[str]
) -> "dict[str, np.ndarray]":
    """The weights of the whole network with those of a part in their places; the inverse of `taken`.

    Args:
        whole: weights by position.
        part: by its own positions.
        places: `Split.positions`.
    """
    return {**whole, **{place: part[f"{number:04d}"] for number, place in enumerate(places)}}


def _before(network: Any, count: int) -> Any:
    """The tensor before the last `count` blocks through which all paths go: the last one that is before all of them.

    Operations stand in an order in which each comes after what it needs. Where only one tensor is needed behind a place
    in that order, all paths go through it.
    """
    outputs = getattr(network, "outputs", None) or []  # a user's own class of models has none
    operations = keras().Model(network.inputs, outputs).operations if outputs else []
    blocks: dict[str, list[int]] = {}
    for number, operation in enumerate(operations):
        if found := BLOCK.match(operation.name):
            blocks.setdefault(found[0], []).append(number)
    if not blocks:
        raise ModelError(
            f"train.tune: {network.name} has no blocks that can be told by the names of its layers; expected names "
            f"like block1_conv; {OTHERWISE}"
        )
    if count > len(blocks):
        raise ModelError(
            f"train.tune: last {count} blocks are more than {network.name} has; expected 1 to {len(blocks)}; set fewer "
            "or train.tune: all"
        )
    names = sorted(blocks, key=lambda name: blocks[name][0])
    kept, first = names[: len(names) - count], min(blocks[name][0] for name in names[len(names) - count :])
    at_least = max((max(blocks[name]) for name in kept), default=0)
    for number in range(first - 1, at_least - 1, -1):
        needed = _needed_behind(operations, number, outputs)
        if len(needed) == 1:
            return needed[0]
    raise _not_one(network.name, f"last {count} blocks")


def _needed_behind(operations: Sequence[Any], number: int, outputs: Sequence[Any]) -> list[Any]:
    """The tensors that operations up to this one give, and later ones take."""
    flatten = keras().tree.flatten
    given = {id(tensor): tensor for operation in operations[: number + 1] for tensor in flatten(operation.output)}
    later = [
        operation for operation in operations[number + 1 :] if not isinstance(operation, keras().layers.InputLayer)
    ]
    wanted = {id(tensor) for operation in later for tensor in flatten(operation.input)} | set(map(id, outputs))
    return [tensor for name, tensor in given.items() if name in wanted]


def _not_one(name: str, cut: str) -> ModelError:
    return ModelError(
        f"train.tune: {name} cannot be cut for {cut}: before them paths of the network run past each other, or one "
        f"layer is used on both sides; expected one tensor that all paths go through; set another number of blocks, or "
        f"{OTHERWISE.removeprefix('set ')}"
    )
