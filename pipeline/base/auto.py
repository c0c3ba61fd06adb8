"""What `auto` in params.yaml stands for, by architecture. Pure.

Where params.yaml has a number instead, that number counts, whatever the network.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

AUTO = "auto"

SMALL = ("small_cnn", "photo_cnn")
"""The networks that always begin with random weights: for small pictures, and for photographs."""

BACKBONE_SIZE = 160
"""Pixels of an image's sides that suit pretrained weights."""


Value = float | str | tuple[float, ...] | None
"""Of a setting; a tuple is a list in YAML."""


class Defaults(NamedTuple):
    """What `auto` stands for, by the kind of network."""

    small_cnn: Value
    """For `train.architecture: small_cnn`."""
    fresh: Value
    """For other networks that start cold from random weights."""
    pretrained: Value
    """For those that start cold from pretrained weights (`train.pretrained`)."""


MIXTURES = (0, 0.25, 0.5, 0.75, 1)
"""What `train.blend` is by default. With pretrained weights it chose worse on few validation images than the result by
itself, and its scoring cost a tenth of a cycle (`python -m benchmarks.photos --arms "recipe, blended"`)."""

VALUES: Mapping[str, Defaults] = {
    "prepare.image_size": Defaults(32, 96, BACKBONE_SIZE),
    "train.passes_per_new": Defaults(150, 150, None),
    "train.warm_epochs": Defaults(10, 10, 2),
    "train.max_epochs": Defaults(60, 60, 12),
    "train.replay": Defaults("all", "all", 6),
    "train.repeat_new": Defaults(1, 1, 2),
    "train.shift": Defaults(0.125, 0.125, 0.125),
    "train.learning_rate": Defaults(0.002, 0.002, 0.0003),
    "train.warm_rate": Defaults(2.5, 2.5, 0.8),
    "train.patience": Defaults(6, 6, 3),
    "train.warm_average": Defaults(None, None, 1),
    "train.blend": Defaults(MIXTURES, MIXTURES, ()),
}
"""By the name of the setting; no other setting may be `auto`."""


NOT_FOR_HEAD = {
    "train.passes_per_new",
    "train.warm_epochs",
    "train.max_epochs",
    "train.replay",
    "train.repeat_new",
    "train.shift",
    "train.learning_rate",
    "train.warm_rate",
    "train.warm_average",
}
"""Of these, what a training of the head alone does not read (`train.tune: head`)."""


def standing_for(content: Mapping[str, Any]) -> dict[str, Value]:
    """What each `auto` stands for, by the name of the setting.

    Args:
        content: of params.yaml, all of it, as YAML has it; it may be faulty.
    """
    return {name: getattr(VALUES[name], _kind(content)) for name in VALUES if _value(content, name) == AUTO}


def filled(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same content with numbers in the place of each `auto`; see `standing_for`."""
    changed = dict(content)
    for name, value in standing_for(content).items():
        section, key = name.split(".")
        changed[section] = {**changed[section], key: value}
    return changed


def differing(content: Mapping[str, Any]) -> dict[str, Value]:
    """What of `standing_for` is another value than for small_cnn, the default, and is read."""
    unread = NOT_FOR_HEAD if _value(content, "train.tune") == "head" else set()
    values = standing_for(content).items()
    return {name: value for name, value in values if value != VALUES[name].small_cnn and name not in unread}


def _kind(content: Mapping[str, Any]) -> str:
    """A field of `Defaults`. A file that does not name the network is refused for that, whatever stands for `auto`."""
    if _value(content, "train.architecture") in (None, "small_cnn"):
        return "small_cnn"
    return "fresh" if _value(content, "train.pretrained") is None else "pretrained"


def _value(content: Mapping[str, Any], name: str) -> Any:
    section, key = name.split(".")
    keys = content.get(section)
    return keys.get(key) if isinstance(keys, dict) else None
