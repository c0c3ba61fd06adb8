"""What a stage that was killed left in its output folder is gone after the next call, however that is started."""

import os
import signal
from pathlib import Path

import pytest
from project import Project

from pipeline.base import files

FOLDERS = {
    "delta": "detect",
    "validation": "validate",
    "accepted": "validate",
    "dataset": "prepare",
    "model": "train",
    "evaluation": "evaluate",
}


def killed_while_writing(path: Path) -> set[Path]:
    """The names that a process leaves that is killed before it renames what it wrote."""
    before = set(path.parent.iterdir())
    child = os.fork()
    if not child:
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        files.write(path, b"half")
    os.waitpid(child, 0)
    return set(path.parent.iterdir()) - before


@pytest.mark.parametrize(("folder", "stage"), FOLDERS.items())
def test_the_leftovers_of_a_killed_call_are_gone_after_the_next(trained: Project, folder: str, stage: str) -> None:
    place = trained.root / "data/cycle" / folder
    before = {path.name for path in place.iterdir()}
    (left,) = killed_while_writing(place / "thing.json")
    assert left.name.startswith(".thing.json.")
    again = trained.run(stage)
    assert again.code == 0, again.err
    assert {path.name for path in place.iterdir()} == before
