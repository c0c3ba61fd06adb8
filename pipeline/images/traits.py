"""Traits of a collection of images, told from a sample: how large they are, grey, long, different in a mirror."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.images import workers
from pipeline.images.decoding import View
from pipeline.images.workers import Job, Limits

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SAMPLE = 200
"""Images that are looked at, at most."""

SMALL = View(32, 3, "stretch")
"""Pixels of the sample."""

LONG = 1.5
"""Longer side divided by the shorter one, from which a picture is long: its centre square is two thirds of it."""

GREY = 4
"""How much the channels of a grey picture may differ, of 255: encoding as JPEG leaves some."""

SAME = 0.93
"""Correlation from which two pictures are one, which says nothing of their label; as `prepare.near_duplicates`."""

LOST = 0.5
"""Of the pictures that lie nearest to one of their own label, the share whose mirror images do not: from here on left
and right differ. It is 0.65 on digits, 0.8 on letters, 0.3 on TrashNet, 0.2 on CIFAR-10."""

SURE = 4.0
"""Standard deviations by which pictures do better than their mirror images, for that to be no chance."""

SIDES = re.compile(r"(?<![a-z])(left|right|links|rechts)(?![a-z])", re.IGNORECASE)
"""Labels that name a side."""


@dataclass(frozen=True)
class Traits:
    """What a collection of images is like."""

    counts: Mapping[str, int]
    """Images by label."""
    width: int
    height: int
    side: int
    """Medians, in pixels; the last of the shorter sides."""
    long: float
    """Share of pictures that are long."""
    grey: float
    """Share of pictures without colours."""
    handed: str
    """Why left and right differ, in words; empty if that cannot be told."""

    @property
    def total(self) -> int:
        """Images."""
        return sum(self.counts.values())


def look(images: "pl.DataFrame", counts: Mapping[str, int], limits: Limits) -> Traits | None:
    """Look at a sample of images.

    Args:
        images: that can be looked at; columns digest, label, path.
        counts: images by label, of all that there are.
        limits: what decoding one may cost.

    Returns:
        None if none of them can be decoded.
    """
    import numpy as np

    sample = _sample(images)
    jobs = [Job(digest, (path,)) for digest, path in sample.select("digest", "path").iter_rows()]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "pixels.npy"
        facts = workers.look(jobs, limits, {SMALL: out}, "add: look")
        pixels = np.load(out)
    good = [row for row, fact in enumerate(facts) if fact and not fact.error]
    if not good:
        return None
    sizes = np.array([(fact.width, fact.height) for fact in facts if fact and not fact.error])
    pixels, labels = pixels[good], np.array(sample["label"].to_list())[good]
    width, height = (round(side) for side in np.median(sizes, axis=0))
    colours = pixels.astype(np.int16)
    return Traits(
        counts=dict(counts),
        width=width,
        height=height,
        side=round(float(np.median(sizes.min(axis=1)))),
        long=float((sizes.max(axis=1) > LONG * sizes.min(axis=1)).mean()),
        grey=float(((colours.max(axis=3) - colours.min(axis=3)).max(axis=(1, 2)) <= GREY).mean()),
        handed=handed_by_name([*counts]) or handed_by_looks(pixels.mean(axis=3), labels),
    )


def _sample(images: "pl.DataFrame") -> "pl.DataFrame":
    """About as many of each label, chosen by digest: the same ones each time."""
    sorted_ones = images.unique("digest").sort("digest")
    of_each = max(1, SAMPLE // sorted_ones["label"].n_unique())
    return sorted_ones.group_by("label", maintain_order=True).head(of_each).sort("digest").head(SAMPLE)


def handed_by_name(labels: "list[str]") -> str:
    """Why left and right differ, as the names of labels say; empty if they do not say."""
    if any(SIDES.search(label) for label in labels):
        return "labels name left or right"
    if len(labels) > 1 and all(len(label) == 1 and label.isalnum() for label in labels):
        return "labels are digits or letters"
    return ""


def handed_by_looks(pixels: "np.ndarray", labels: "np.ndarray") -> str:
    """Why left and right differ: pictures lie nearest to others of their label, and their mirror images do not.

    Where pictures lie nearest to any, as photographs do in pixels, that tells nothing.

    Args:
        pixels: luma, (images, height, width).
        labels: (images,).

    Returns:
        Words; empty if it cannot be told.
    """
    import numpy as np

    if len(pixels) < 2:
        return ""
    plain = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    plain = plain / (np.sqrt((plain**2).sum(axis=(1, 2), keepdims=True)) + 1e-6)
    flat, mirrored = plain.reshape(len(plain), -1), plain[:, :, ::-1].reshape(len(plain), -1)
    alike = flat @ flat.T
    is_same = (alike >= SAME) | np.eye(len(flat), dtype=bool)
    right, right_mirrored = (
        labels[np.where(is_same, -2, correlation).argmax(axis=1)] == labels
        for correlation in (alike, mirrored @ flat.T)
    )
    lost, gained = int((right & ~right_mirrored).sum()), int((right_mirrored & ~right).sum())
    if lost - gained < max(LOST * right.sum(), SURE * np.sqrt(lost + gained), 1):
        return ""
    return "their mirror images look like other labels"
