"""Fitting: which settings suit a collection of images, and why. Pure.

Only settings that do not suit are named. A network that a person chose, and what belongs to it, stay as they are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.base import auto
from pipeline.base.auto import AUTO, SMALL, VALUES
from pipeline.base.words import counted
from pipeline.judging.reach import BACKBONE

if TYPE_CHECKING:
    from pipeline.images.traits import Traits

PHOTOGRAPH = 64
"""Pixels; pictures whose shorter side is smaller are drawings, digits or icons, or as good as these to a network."""

DEFAULT, WITHOUT_WEIGHTS = SMALL
"""The network for small pictures, which params.yaml names until a person chooses another one, and the one for
photographs where no weights are at hand."""

SIZES, SIZES_WITHOUT_WEIGHTS = (160, 128, 96), (96, 64)
"""Pixels for a network for photographs, the best first: the first that the pictures nearly have, else the last."""

NEARLY = 1.1
"""How many times its own size a picture may be enlarged where a smaller size can be had."""

FEW = 300
"""Images up to which only the head is trained: that takes a minute, and there is little to train all of it on."""

TUNE_OF_MANY = "all"
"""`train.tune` for more images."""

STEP, LEAST = 8, 16
"""Pixels; sizes for small pictures are multiples of the one, and no less than the other."""

GREY = 0.95
"""Share of pictures without colours, 0 to 1, from which one channel is enough."""

MOSTLY = 0.5
"""Share of pictures that are long, 0 to 1, from which all of a picture is shown instead of its centre."""

SPARE = 1.5
"""Images that a split is expected to get, for each one that it needs: chance decides which image falls where."""

LARGEST_SHARE = 0.25
"""Of val and of holdout, where there are few images."""

TOO_SMALL = 4
"""The model sees too little of pictures whose shorter side is so many times the size that it is shown."""


@dataclass(frozen=True)
class Suited:
    """A setting that suits."""

    name: str
    """With its section."""
    value: str | int | float | bool | None
    why: str = ""

    @property
    def text(self) -> str:
        """The value as YAML has it."""
        return _text(self.value)


@dataclass(frozen=True)
class Fitting:
    """What suits a collection of images."""

    settings: tuple[Suited, ...]
    """Only those for which params.yaml has another value."""
    is_photographs: bool
    lacks_weights: bool
    """Whether a network with weights would suit better, and none are at hand."""


def fitting(traits: "Traits", written: Mapping[str, Any], weights: Sequence[str]) -> Fitting:
    """Which settings suit.

    Args:
        traits: of all images.
        written: what params.yaml has, by setting with its section, with each `auto` as it is.
        weights: files of pretrained weights at hand, each named after its architecture.
    """
    is_photographs = traits.side >= PHOTOGRAPH
    is_chosen = written["train.architecture"] not in (SMALL if is_photographs else (DEFAULT,))
    network = _network(traits, written, weights) if is_photographs else []
    pretrained = next((one.value for one in network if one.name == "train.pretrained"), written["train.pretrained"])
    wanted = [*network]
    if network or not is_chosen:
        wanted.append(_image_size(traits, written, pretrained is not None))
    wanted += [*_shape(traits, pretrained is not None), *_splits(traits, written)]
    if traits.handed:
        wanted.append(Suited("train.flip", False, traits.handed))
    return Fitting(
        settings=tuple(one for one in wanted if written[one.name] != one.value),
        is_photographs=is_photographs,
        lacks_weights=is_photographs and pretrained is None and not is_chosen,
    )


def described(traits: "Traits", found: Fitting) -> str:
    """What the images are."""
    counts = sorted(traits.counts.values())
    each = f"{counts[0]:,}" if counts[0] == counts[-1] else f"{counts[0]:,} to {counts[-1]:,}"
    kind = f"{'grey ' * (traits.grey >= GREY)}{'photographs' if found.is_photographs else 'small pictures'}"
    return (
        f"{kind} of about {traits.width} x {traits.height} pixels, {counted(len(counts), 'label')} with {each} "
        f"{'image' if counts[-1] == 1 else 'images'} each"
    )


def listed(settings: Sequence[Suited], before: Mapping[str, Any] | None = None) -> str:
    """Settings with their values and reasons, in a line.

    Args:
        settings: to list.
        before: what params.yaml had, by setting with its section, if that is to be told too.
    """

    def change(one: Suited) -> str:
        was = "" if before is None else f"{_text(before[one.name])} -> "
        return f"{one.name}: {was}{one.text}{f' ({one.why})' if one.why else ''}"

    return ", ".join(change(one) for one in settings)


def is_misfit(side: float, written: Mapping[str, Any]) -> bool:
    """Whether the default network is shown photographs far too small.

    Args:
        side: median of the images' shorter sides, in pixels.
        written: see `fitting`.
    """
    if written["train.architecture"] != DEFAULT:
        return False
    size = written["prepare.image_size"]
    shown = auto.filled({"train": {}, "prepare": {"image_size": size}})["prepare"]["image_size"]
    return bool(side >= max(PHOTOGRAPH, TOO_SMALL * shown))


def _text(value: Any) -> str:
    """As YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _network(traits: "Traits", written: Mapping[str, Any], weights: Sequence[str]) -> list[Suited]:
    """The network for photographs; none where a person chose one for which there is nothing to begin with."""
    chosen = written["train.architecture"]
    by_architecture = {PurePosixPath(file).stem: file for file in sorted(weights, reverse=True)}
    if chosen in SMALL:
        name = BACKBONE if BACKBONE in by_architecture else min(by_architecture, default=WITHOUT_WEIGHTS)
    elif chosen in by_architecture and written["train.pretrained"] is None:
        name = chosen
    else:
        return []
    if name not in by_architecture:
        return [Suited("train.architecture", name)]
    is_few = traits.total <= FEW
    return [
        Suited("train.architecture", name, f"with {_size_of_photographs(traits, SIZES)} pixels"),
        Suited("train.pretrained", by_architecture[name]),
        Suited("train.tune", "head" if is_few else TUNE_OF_MANY, f"for {traits.total} images" if is_few else ""),
    ]


def _image_size(traits: "Traits", written: Mapping[str, Any], has_weights: bool) -> Suited:
    """Near the size of the pictures; `auto` where that stands for it."""
    defaults = VALUES["prepare.image_size"]
    if has_weights:
        size, stands_for = _size_of_photographs(traits, SIZES), defaults.pretrained
    elif traits.side >= PHOTOGRAPH:
        size, stands_for = _size_of_photographs(traits, SIZES_WITHOUT_WEIGHTS), defaults.fresh
    else:
        size, stands_for = max(LEAST, STEP * round(traits.side / STEP)), defaults.small_cnn
    if size != stands_for or written["prepare.image_size"] == size:
        return Suited("prepare.image_size", size)
    return Suited("prepare.image_size", AUTO, f"{size} pixels")


def _size_of_photographs(traits: "Traits", sizes: Sequence[int]) -> int:
    return next((size for size in sizes if size <= NEARLY * traits.side), sizes[-1])


def _shape(traits: "Traits", has_weights: bool) -> list[Suited]:
    """Channels, and what becomes of long pictures. Weights are for colours, and take grey as such."""
    channels = 1 if traits.grey >= GREY and not has_weights else 3
    shape = [Suited("prepare.channels", channels, "they are grey" if channels == 1 else "")]
    if traits.long > MOSTLY:
        shape.append(Suited("prepare.fit", "pad", f"{traits.long:.0%} are long"))
    return shape


def _splits(traits: "Traits", written: Mapping[str, Any]) -> list[Suited]:
    """Shares of val and holdout that give each enough images; of very few images, less is enough."""
    names = ("prepare.val_fraction", "prepare.holdout_fraction")
    needed = SPARE * written["prepare.min_split"]
    if traits.total * min(written[name] for name in names) >= needed:
        return []
    share = 0.2 if traits.total * 0.2 >= needed else LARGEST_SHARE
    why = f"of {traits.total} images"
    shares = [Suited(name, share, why) for name in names if written[name] < share]
    if traits.total * share >= needed:
        return shares
    return [*shares, Suited("prepare.min_split", max(1, int(traits.total * share / SPARE)), why)]
