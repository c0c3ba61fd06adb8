"""Where a network is cut into a frozen and a tuned part."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]


HEAD = "head"


class Split(NamedTuple):
    """Both parts of a network; they share its variables."""

    frozen: Any
    """A `keras.Model`: pixels in, features out."""
    tuned: Any
    """A `keras.Model`: features in, logits out."""


def split(network: Any, at: str) -> Split:
    from pipeline.learning import backend

    assert at == "head"
    keras = backend.keras()
    features = network.layers[-1].input
    entry = keras.layers.Input(features.shape[1:], name="features")
    tuned = keras.Model(entry, network.layers[-1](entry))
    return Split(keras.Model(network.input, features), tuned)


def positions(network: Any, part: Any) -> tuple[str, ...]:
    """Of each weight of a part, its position among those of the whole network."""
    places = {id(weight): f"{number:04d}" for number, weight in enumerate(network.weights)}
    return tuple(places[id(weight)] for weight in part.weights)


def tuned(whole: "Arrays", places: tuple[str, ...]) -> "Arrays":
    return {f"{number:04d}": whole[place] for number, place in enumerate(places)}


def whole(around: "Arrays", tuned: "Arrays", places: tuple[str, ...]) -> "Arrays":
    return {**around, **{place: tuned[f"{number:04d}"] for number, place in enumerate(places)}}
