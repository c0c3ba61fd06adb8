"""Advice on settings: what suits the images of a project, in one line; it is written into params.yaml if asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import files, git, params
from pipeline.base.errors import ParamsError
from pipeline.images import traits
from pipeline.images.workers import Limits
from pipeline.judging.reach import BACKBONE
from pipeline.learning import fitting
from pipeline.learning.fitting import Fitting

if TYPE_CHECKING:
    import polars as pl

WEIGHTS = Path("data/weights")
"""Where files of pretrained weights are, each named after its architecture."""

WEIGHTS_NAME = re.compile(r"([A-Za-z_]\w*\.(?:safetensors|npz))(?:\.dvc)?")
"""Of a file of weights, or of its DVC pointer."""

LOCK = Path("dvc.lock")
"""Written by the first cycle; from then on settings are a person's choice."""

NETWORK = ("train.architecture", "prepare.image_size", "prepare.channels", "prepare.fit")
"""What a champion cannot be continued with if it changes."""


@dataclass(frozen=True)
class Advice:
    """What suits images, where params.yaml says otherwise."""

    line: str
    content: bytes | None
    """Of params.yaml, with the settings that suit; None if it is to stay as it is."""

    def write(self, path: Path) -> None:
        """Write params.yaml, if there is something to write."""
        if self.content is not None:
            files.write(path, self.content)


def is_due(path: Path, side: float) -> bool:
    """Whether advice is wanted by someone who did not ask: before the first cycle, or if settings surely do not suit.

    Args:
        path: of params.yaml.
        side: median of the images' shorter sides, in pixels.
    """
    return not LOCK.exists() or fitting.is_misfit(side, params.written(path))


def advise(
    images: "pl.DataFrame", counts: Mapping[str, int], limits: Limits, path: Path, is_asked: bool
) -> Advice | None:
    """Look at images and say what suits them.

    Args:
        images: that can be looked at; columns digest, label, path.
        counts: images by label, of all that there are.
        limits: what decoding one may cost.
        path: of params.yaml.
        is_asked: whether it is to be written.

    Returns:
        None if there is nothing to say.

    Raises:
        ParamsError: it cannot be written.
    """
    if is_asked and path.as_posix() in git.unmerged(path.as_posix()):
        raise ParamsError(
            f"{path}: a merge left it in conflict; end that with `git add {path} && git commit`, then run this again"
        )
    seen = traits.look(images, counts, limits)
    if seen is None:
        return None
    written = params.written(path)
    found = fitting.fitting(seen, written, _weights())
    if not (found.settings or found.lacks_weights or is_asked):
        return None
    said = [fitting.described(seen, found)]
    content = None
    if not found.settings:
        said.append(f"{path} suits them as it is")
    elif is_asked:
        content = params.changed(path, {one.name: one.text for one in found.settings})
        said.append(f"{path} now says what suits them: {fitting.listed(found.settings, written)}")
    else:
        said.append(f"these settings suit them: {fitting.listed(found.settings)}")
        said.append(f"the same command with --set writes that into {path}")
    return Advice("; ".join([*said, *_besides(found, not seen.handed and written["train.flip"])]), content)


def _besides(found: Fitting, is_mirrored: bool) -> list[str]:
    """What the settings alone do not tell."""
    said = []
    if is_mirrored:
        said.append("training mirrors them at random: set train.flip: false if left and right differ")
    if found.lacks_weights:
        said.append(
            f"photographs do better with a network that has seen others: `python -m pipeline weights {BACKBONE}`, then "
            "the same command with --set"
        )
    if LOCK.exists() and {one.name for one in found.settings} & set(NETWORK):
        said.append(
            "if there is a champion, it cannot go on with these: set train.start: cold for one cycle, and back with "
            "the next batch"
        )
    return said


def _weights() -> list[str]:
    """Files of weights that are at hand, or that DVC would bring."""
    names = [WEIGHTS_NAME.fullmatch(entry.name) for entry in WEIGHTS.glob("*")]
    return sorted({(WEIGHTS / name[1]).as_posix() for name in names if name})
