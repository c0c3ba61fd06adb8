"""Merge what Git could not: pointers that both sides changed, and dvc.lock."""

import argparse
from pathlib import Path

from pipeline.base import git, project
from pipeline.base.words import counted
from pipeline.data import conflicts
from pipeline.data.store import Store

EXAMPLE = "python -m pipeline merge"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--images", type=project.given, default=Path("data/images"), help="default: data/images")


def run(images: Path) -> int:
    """Join both sides of batches that a merge left in conflict; keep this side's dvc.lock, made anew by a cycle."""
    store, mended = Store(Path()), []
    for pointer, versions in conflicts.pointers(images).items():
        batch = conflicts.join(pointer, versions, images, store)
        git.says("add", str(pointer))
        mended.append(f"dvc checkout {pointer}")
        print(f"merge: {pointer}: {counted(batch.num_files, 'file')}, what both sides did is done")
    lock = str(conflicts.LOCK)
    if conflicts.OURS in git.unmerged(lock).get(lock, {}):
        git.says("checkout", "--ours", "--", lock)
        git.says("add", lock)
        mended.append("dvc repro")
        print(f"merge: {lock}: this side's, the next cycle makes it anew")
    if not mended:
        print("merge: nothing of DVC's is in conflict")
    return 0
