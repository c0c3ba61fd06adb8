"""`summary.json` of detect: how many images changed, and how."""

from collections.abc import Mapping

from pipeline.artifacts.artifact import Artifact


class Changes(Artifact):
    """Counts of a delta (`data.delta`)."""

    added: int
    """Files; copies count as often as they are there."""
    retried: int
    """Images, as in what follows; each counts once."""
    relabelled: int
    removed: int
    renamed: int
    added_by_label: Mapping[str, int]
    warnings: tuple[str, ...]
    added_by_batch: Mapping[str, int] = {}
    """By the folder of the batch; what was written before this was noted has none."""
