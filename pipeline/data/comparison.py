"""Comparisons of two states of the data, kept on disk: more than one stage of a cycle asks for the same one."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.artifact import Artifact
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data.delta import Delta

NUM_KEPT = 4
"""Comparisons that are kept; a cycle makes two at most."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How the data differ between two states."""

    delta: Delta
    opened: int
    """Batches of the later state whose listing was read."""
    warnings: tuple[str, ...]
    """Of the later state, one line each."""


class _Record(Artifact):
    """What stands beside the table of a delta."""

    opened: int
    warnings: tuple[str, ...]
    sha256: str
    """Of the table."""


class Comparisons:
    """Comparisons in a folder that may be deleted at any time, each in a folder of its own by its key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, key: str) -> Comparison | None:
        """What was kept under this key; None where nothing was, or where it is damaged."""
        folder = self._folder / key
        try:
            record = _Record.read(folder / "comparison.json")
            if files.sha256_file(folder / "delta.parquet") != record.sha256:
                return None
            return Comparison(Delta.read(folder / "delta.parquet"), record.opened, record.warnings)
        except (DataError, OSError):
            return None

    def keep(self, key: str, comparison: Comparison) -> None:
        """Keep one, and of all others only the newest."""
        folder = self._folder / key
        comparison.delta.write(folder / "delta.parquet")
        sha256 = files.sha256_file(folder / "delta.parquet")
        record = _Record(opened=comparison.opened, warnings=comparison.warnings, sha256=sha256)
        record.write(folder / "comparison.json")
        by_age = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in by_age[NUM_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
