"""Stems: what names of files have in common, where that looks like groups of images, such as a patient's. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

RULES = (
    r"([^/]*[A-Za-z][^/]*?\d+)[ ._-]+[^/\d]*\d+\.[^/.]+$",  # patient12_001.jpg, video3-frame0001.png
    r"(?:^|/)(\d{1,6})[ ._-]+\d+\.[^/.]+$",  # 12_001.jpg
    r"([^/]*[A-Za-z][^/]*?)[ ._-]*\d+\.[^/.]+$",  # red-shoe_1.jpg
    r"([A-Za-z][^/]*\d)/[^/]+$",  # patient12/001.jpg
)
"""What finds the group in a path, written so that `prepare.group` takes it as it is."""

MIN_NAMES = 20
"""Names; fewer tell nothing."""

MOST = 0.8
"""Share of the names, 0 to 1, that have to be in groups of two or more; and of those, that the rule has to match."""

MAX_SHARE = 0.5
"""Share of the names that one group may have: cameras give one stem to all."""

MIN_GROUPS = 4

PER_LABEL = 2
"""Groups for each label, at least: a stem may only be the name of the label."""

_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d[-_. ]?(?:0\d|1[0-2])[-_. ]?(?:[0-2]\d|3[01])(?!\d)")
"""Cameras and messengers name images so: IMG_20240501_123456.jpg."""

_HASH = re.compile(r"[0-9a-fA-F-]{6,}")


class Suggestion(NamedTuple):
    """A rule that would group images."""

    rule: str
    num_images: int
    """That would be in a group."""
    num_groups: int
    example: tuple[str, str]
    """A path, and its group."""


def suggested(files: Sequence[tuple[str, str]]) -> Suggestion | None:
    """The first rule that makes groups of names; None if they do not look like groups.

    Args:
        files: path in its batch and label of each image.
    """
    named = [(path, label) for path, label in files if not _HASH.fullmatch(path.rsplit("/", 1)[-1].split(".", 1)[0])]
    num_labels = len({label for _, label in files})
    if len(named) < max(MIN_NAMES, MOST * len(files)):
        return None
    for rule in RULES:
        pattern = re.compile(rule)
        found = {path: match[1] for path, _ in named if (match := pattern.search(path)) and not _DATE.search(match[1])}
        counts = Counter(found.values())
        together = sum(count for count in counts.values() if count > 1)
        is_fit = (
            len(counts) >= max(MIN_GROUPS, PER_LABEL * num_labels)
            and together >= MOST * len(files)
            and max(counts.values()) <= MAX_SHARE * len(files)
        )
        if is_fit:
            path = next(path for path, group in found.items() if counts[group] > 1)
            return Suggestion(rule, len(found), len(counts), (path, found[path]))
    return None
