"""Removals: many images that are gone at once are more often an accident than a wish. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data.delta import Delta, once
from pipeline.data.settings import Detect

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class _Share:
    """Of some images, how many are gone and how many may go at once."""

    what: str
    gone: int
    total: int
    at_most: float
    """A share, 0 to 1."""
    setting: str


def refuse_many(delta: Delta, label_counts: Mapping[str, int], detect: Detect) -> None:
    """Refuse a delta without too many of the images so far, unless this is acknowledged.

    The delta is one since the parent, so from a parent that never saw them nothing is gone.

    It is this very set of images that is acknowledged, so it stays acknowledged until a parent has done without them.

    Args:
        delta: what changed.
        label_counts: the parent's images by label.
        detect: section `detect` of params.yaml.

    Raises:
        DataError: too many images are gone; says how to acknowledge that.
    """
    removed = once(delta.removed)
    name = f"gone-{files.sha256_json(sorted(removed['digest']))[:12]}"
    if name in detect.acknowledged:
        return
    for share in _shares(removed, label_counts, detect):
        if share.gone > share.at_most * share.total:
            raise DataError(
                f"{share.gone} of {share.total} images ({share.what}) are gone at once, more than {share.at_most:.0%} "
                f"({share.setting}), e.g. {removed['path'].min()!r}; if that is meant, put {name} into "
                "detect.acknowledged in params.yaml, and what the parent learned from them stays; or, above all if "
                "they taught it wrong, set resolve.after_removal: retrain, and the cycle starts from the newest "
                "champion that never saw them, or afresh; if not, copy elsewhere what you added since, take the "
                "pointers back (`git checkout HEAD -- data` before they are committed, else `git revert` of that "
                "commit), then run `dvc checkout`"
            )


def _shares(removed: "pl.DataFrame", label_counts: Mapping[str, int], detect: Detect) -> Iterator[_Share]:
    """Of all images, then of each label that lost some."""
    total = sum(label_counts.values())
    yield _Share("of all labels", len(removed), total, detect.max_removed, "detect.max_removed")
    for label, gone in removed.group_by("label").len().sort("label").iter_rows():
        total = label_counts.get(label, gone)
        yield _Share(f"of label {label}", gone, total, detect.max_removed_of_label, "detect.max_removed_of_label")
