"""Observation: what is new in the new images of a cycle, told by features that are computed once for each image."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts import artifact
from pipeline.artifacts.content import CONTENT, MOMENTS, UNUSUAL, Content, Kind, Unusual
from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import STATISTICS
from pipeline.artifacts.parent import Parent
from pipeline.base import files
from pipeline.base.errors import DataError, ModelError
from pipeline.base.words import counted
from pipeline.features import content, extraction
from pipeline.features.content import Moments, Placement
from pipeline.features.inputs import Input
from pipeline.features.shards import Shards
from pipeline.images import pictures
from pipeline.images.likeness import Images
from pipeline.images.pictures import PICTURES
from pipeline.registry.client import Registry

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

LISTED = 24
"""Unusual images of each kind that are listed, at most."""

SHOWN = 3
"""Unusual images of each kind that are named on the screen."""

TITLES: dict[Kind, str] = {"strange": "unlike any label", "astray": "more like another label"}


@dataclass(frozen=True, eq=False)
class Observed:
    """The new images, and their features."""

    key: str
    """See `Moments.key`."""
    rows: "pl.DataFrame"
    """Columns digest, path, label; an image each."""
    features: "np.ndarray"
    """float16 (images, ...)."""
    index: FeatureIndex
    """Where those are that were not kept before."""

    @property
    def num_dimensions(self) -> int:
        """Numbers that an image's features are."""
        return math.prod(self.features.shape[1:])

    @property
    def num_computed(self) -> int:
        """Images whose features were not kept."""
        return len(self.index.rows)


def observe(
    observer: Input | None, rows: "pl.DataFrame", kept: Shards, images: Images, say: "Callable[[pl.Series], None]"
) -> Observed | None:
    """Features of the new images; what was not kept yet becomes new shards.

    Nothing that a cycle needs depends on them: where they are not to be had it says so, and goes on.

    Args:
        observer: what gives them, if there is one (`inputs.observer`).
        rows: columns digest, path, label.
        kept: features of earlier cycles.
        images: where pixels come from.
        say: see `extraction.collect`.
    """
    for name in (MOMENTS, CONTENT, UNUSUAL, PICTURES):
        (kept.folder / name).unlink(missing_ok=True)
    if observer is None or observer.extractor is None:
        return None
    extractor = observer.extractor
    try:
        found = extraction.collect(
            extractor, rows, kept, images.kept(observer.view), images.limits, images.scratch, say
        )
    except (DataError, ModelError) as error:
        print(f"prepare: warning: the content of the new images is not looked at: {error}", flush=True)
        return None
    is_whole = (~rows["path"].is_in(list(found.faults))).to_numpy()
    is_made = found.is_made(rows)
    made = kept.write(extractor.key, rows["digest"].filter(is_made), found.values[is_made])
    return Observed(extractor.key, rows.filter(is_whole), found.values[is_whole], made)


def before(
    observed: Observed, parent: Parent, registry: Registry, objects: Path, kept: Shards, old: "pl.DataFrame"
) -> Moments | None:
    """The moments of what the new images are compared with; None if there is nothing.

    That is what the parent's cycle left, if it is of the same features. Else it begins anew with the old images that
    have such features already. Images that were removed since still count, as in the facts' reference.

    Args:
        observed: the new images.
        parent: the version to start from.
        registry: that it is in.
        objects: keeps downloads.
        kept: features of this cycle and of those before.
        old: images that this cycle has picked and that are not new; columns digest, label.
    """
    import numpy as np

    if parent.pin and (listed := parent.pin.lineage.files.get(STATISTICS)):
        left = content.of_arrays(files.read_arrays(registry.download(parent.pin.run_id, STATISTICS, listed, objects)))
        if left and left.key == observed.key and len(left.squares) == observed.num_dimensions:
            return content.renamed(left, dict(zip(parent.pin.called, parent.pin.lineage.model.labels, strict=True)))
    parts = list(kept.take(observed.key, old["digest"]))
    if not parts:
        return None
    labels = old["label"].gather(np.concatenate([places for places, _ in parts])).to_list()
    return content.moments(observed.key, np.concatenate([features for _, features in parts]), labels)


def write(
    observed: Observed, then: Moments | None, present: set[str], max_distance: float, images: Images, folder: Path
) -> None:
    """Write how far the new images are from those of before and which stand out; and the moments for the next cycle.

    Args:
        observed: the new images.
        then: of the images of before, if there are such.
        present: labels that have images now.
        max_distance: `validate.max_content_drift` of params.yaml.
        images: where pixels for their pictures come from.
        folder: for the files.
    """
    labels = observed.rows["label"].to_list()
    new = content.moments(observed.key, observed.features, labels) if labels else None
    if new is None:
        if then:
            files.write_arrays(folder / MOMENTS, content.arrays(then))
        return
    whole = content.merge(then, new) if then else new
    files.write_arrays(folder / MOMENTS, content.arrays(whole))
    found = content.placements(whole, observed.features, labels, present)
    unusual = _unusual(observed.rows, found)
    artifact.write_list(folder / UNUSUAL, unusual)
    if then:
        apart = content.distance(then, new)
        told = Content(
            distance=None if apart is None else round(apart, 4),
            num_new=new.num_images,
            num_before=then.num_images,
            max_distance=max_distance,
        )
        told.write(folder / CONTENT)
        print(f"prepare: {'warning: ' if told.is_far else ''}content: {told.said}")
    else:
        print(f"prepare: content: {counted(len(labels), 'image')} looked at; there are none yet to compare with")
    if unusual:
        pictures.write(folder / PICTURES, _pictures(unusual, images))
    for kind in TITLES:
        of_kind = [one for one in unusual if one.kind == kind]
        for one in of_kind[:SHOWN]:
            print(f"prepare: unusual: {one.path!r} is {one.said}")
        if len(of_kind) > SHOWN:
            print(f"prepare: unusual: and {len(of_kind) - SHOWN} others are {TITLES[kind]}")
    if unusual:
        print("prepare: unusual: the cycle's report shows them all")


def _unusual(rows: "pl.DataFrame", found: Sequence[Placement | None]) -> dict[Unusual, str]:
    """The images that stand out most, with their digests: first the strange ones, then those that are astray."""
    listed: dict[Unusual, str] = {}
    placed = [(*row, one) for row, one in zip(rows.select("digest", "path", "label").iter_rows(), found, strict=True)]
    limits: dict[Kind, float] = {"strange": content.STRANGE, "astray": content.ASTRAY}
    for kind, least in limits.items():
        scored = {
            Unusual(kind=kind, path=path, label=label, nearest=one.nearest, score=score): digest
            for digest, path, label, one in placed
            if one and (score := one.strangeness if kind == "strange" else one.astray) >= least
        }
        first = sorted(scored, key=lambda one: (-one.score, one.path))[:LISTED]
        listed |= {one: scored[one] for one in first}
    return listed


def _pictures(unusual: Mapping[Unusual, str], images: Images) -> "dict[str, np.ndarray]":
    """Pictures of them, uint8 (height, width, 3) by digest."""
    import polars as pl

    rows = pl.DataFrame({"digest": list(unusual.values()), "path": [one.path for one in unusual]})
    rows = rows.unique("digest", keep="first", maintain_order=True)
    return pictures.of(images.store, rows, images.limits, images.scratch, "prepare: unusual images")
