"""The ledger: one row per image ever accepted, append-only; it remembers each image's split. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.splits import Split

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("digest", "group", "label", "split", "path", "first_seen", "removed")
"""digest: MD5 of the bytes. group: digest of the near-duplicate seen first. first_seen: the data's
digest in the cycle that accepted it. removed: no longer in the data; the row stays."""


@dataclass(frozen=True)
class Accepted:
    """An image that validation accepted."""

    digest: str
    label: str
    path: str


def empty() -> "pd.DataFrame":
    """A ledger before the first cycle."""
    import pandas as pd

    return pd.DataFrame({name: pd.Series(dtype="bool" if name == "removed" else "str") for name in COLUMNS})


def extend(
    ledger: "pd.DataFrame",
    added: Iterable[Accepted],
    relabelled: Iterable[Accepted],
    removed: Iterable[str],
    split_of: Callable[[str], Split],
    cycle: str,
) -> "pd.DataFrame":
    """The ledger after a cycle; rows are added and labels follow the data, but no split ever changes.

    Args:
        ledger: the parent's.
        added: new images; copies count once, and one that the ledger knows comes back to its split.
        relabelled: known images with the label that they carry now.
        removed: digests that the data no longer holds.
        split_of: the split of an image seen for the first time, from its digest.
        cycle: digest of the data, for `first_seen`.
    """
    import pandas as pd

    current = ledger.set_index("digest", drop=False)
    new: dict[str, Accepted] = {}
    labels: dict[str, str] = {image.digest: image.label for image in relabelled}
    back: list[str] = []
    for image in added:
        if image.digest in current.index:
            back.append(image.digest)
            labels[image.digest] = image.label
        else:
            new.setdefault(image.digest, image)
    current.loc[list(removed), "removed"] = True
    current.loc[back, "removed"] = False
    for digest, label in labels.items():
        current.loc[digest, "label"] = label
    rows = [
        (image.digest, image.digest, image.label, split_of(image.digest), image.path, cycle, False)
        for image in sorted(new.values(), key=lambda image: image.digest)
    ]
    added_rows = pd.DataFrame(rows, columns=list(COLUMNS)).astype(empty().dtypes.to_dict())
    return pd.concat([current.reset_index(drop=True), added_rows], ignore_index=True)
