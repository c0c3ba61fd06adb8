"""Placing a new batch: all of it comes to its place, or nothing does, whatever ends the process meanwhile.

It is made in a folder of its own below the images, where nobody takes anything for data, and renamed: the scratch
folder may be on another disk, and across disks nothing can be renamed. A journal in the scratch folder tells the next
call what one that was killed had begun.
"""

import json
import os
import shlex
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline.base import files, git
from pipeline.base.errors import GitError
from pipeline.data import labels, tracking
from pipeline.data.labels import Line
from pipeline.data.sources import STAGED

JOURNAL = "adding.json"
"""In the scratch folder, from the rename until DVC tracks the batch."""

UNPACKED = "adding"
"""Folder in the scratch folder for what is unpacked of an archive."""


@dataclass(frozen=True)
class NewBatch:
    """A batch that is to be made."""

    target: Path
    """The folder of the batch."""
    images: Path
    """The folder of all batches."""
    scratch: Path

    @property
    def is_part(self) -> bool:
        """Whether one pointer tracks all batches."""
        return self._of_all.is_file()

    @property
    def pointer(self) -> Path:
        """The pointer that tracks it."""
        return self._of_all if self.is_part else self.target.with_name(f"{self.target.name}.dvc")

    @property
    def ignored(self) -> Path:
        """Where DVC tells Git not to look at it."""
        return self.pointer.with_name(".gitignore")

    @property
    def staged(self) -> Path:
        """Where it is made."""
        return self.images / STAGED

    @property
    def journal(self) -> Path:
        """What tells the next call that this one was killed."""
        return self.scratch / JOURNAL

    @property
    def unpacked(self) -> Path:
        """Where an archive is unpacked."""
        return self.scratch / UNPACKED

    @property
    def _of_all(self) -> Path:
        return self.images.with_name(f"{self.images.name}.dvc")


class Placing:
    """One call that makes a batch."""

    def __init__(self, batch: NewBatch) -> None:
        self.batch = batch
        self._before: dict[Path, bytes | None] = {}
        """What DVC is going to write, as it was."""

    def copy(self, folder: Path, rows: Mapping[str, Line], is_listed: bool) -> None:
        """Copy images to where the batch is made.

        Args:
            folder: where they are.
            rows: what there is to say of each image, by its path below the folder.
            is_listed: whether it is said by a labels.csv, not by folders.
        """
        staged = self.batch.staged
        staged.mkdir(parents=True)
        for path in tqdm(rows, desc="add: copy", unit="image", disable=None):
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, staged / path, follow_symlinks=False)
        if is_listed:
            files.write(staged / labels.CSV, labels.to_csv(rows))

    def move(self) -> None:
        """Rename what was copied to its place, with a journal of it; no signal may end the process meanwhile."""
        batch = self.batch
        self._before = {path: _content(path) for path in (batch.pointer, batch.ignored)}
        pointer = self._before[batch.pointer]
        record = {
            "batch": batch.target.name,
            "names": _names(batch.staged),
            "pointer": None if pointer is None else files.md5(pointer),
        }
        files.write_json(batch.journal, record)
        batch.staged.rename(batch.target)

    def track(self) -> None:
        """`dvc add` it.

        Raises:
            DataError: DVC refuses.
        """
        tracking.track(self.batch.pointer.with_suffix(""))

    def stage(self) -> None:
        """Let Git stage the pointer: the batch is made.

        Raises:
            GitError: Git refuses.
        """
        self.batch.journal.unlink(missing_ok=True)
        _stage(self.batch)

    def undo(self) -> None:
        """Take away everything, so that all is as it was before this call."""
        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            elif _content(path) != content:
                files.write(path, content)
        if self._before and self.batch.target.is_dir():
            self.batch.target.rename(self.batch.staged)  # at once, where deleting takes its time
        self.tidy()

    def tidy(self) -> None:
        """Delete what is of no use any more."""
        _delete(self.batch.staged)
        _delete(self.batch.unpacked)
        self.batch.journal.unlink(missing_ok=True)


def is_left(images: Path, scratch: Path) -> bool:
    """Whether a call that was killed left something."""
    return any(os.path.lexists(path) for path in (images / STAGED, scratch / JOURNAL, scratch / UNPACKED))


def recover(images: Path, scratch: Path) -> list[str]:
    """Clean up after a call that was killed; what people should know, one line each.

    A batch that DVC tracks by now stays: all of it is there. So does one in which anything was changed since.
    """
    says = []
    record = _record(scratch / JOURNAL)
    if record:
        batch = NewBatch(images / record["batch"], images, scratch)
        pointer = _content(batch.pointer)
        if (None if pointer is None else files.md5(pointer)) != record["pointer"]:
            says.append(f"{batch.target} was added by a call that was killed before it could say so; see `git status`")
            _stage(batch)
        elif batch.target.is_dir() and _names(batch.target) == record["names"]:
            _delete(batch.staged)
            batch.target.rename(batch.staged)
            _forget(batch)
            says.append(f"took away {batch.target}, which a call that was killed had left")
        elif batch.target.is_dir():
            says.append(
                f"warning: {batch.target} was left by a call that was killed, and was changed since; `dvc add` it or "
                "delete it"
            )
    Placing(NewBatch(images / STAGED, images, scratch)).tidy()
    return says


def _stage(batch: NewBatch) -> None:
    paths = [str(path) for path in (batch.pointer, batch.ignored) if path.is_file()]
    try:
        git.says("add", "--", *paths)
    except GitError as error:
        raise GitError(
            f"{batch.target} is added, and its pointer {batch.pointer} is not staged: {error}; then `git add "
            f"{shlex.join(paths)}`"
        ) from None


def _record(journal: Path) -> dict[str, Any]:
    """What a journal says; nothing where it says nothing of use."""
    with suppress(OSError, ValueError):
        record = json.loads(journal.read_bytes())
        if isinstance(record, dict) and isinstance(record.get("batch"), str):
            return {"names": None, "pointer": None, **record}
    return {}


def _forget(batch: NewBatch) -> None:
    """Take the batch out of the list that DVC keeps for Git, where DVC came so far."""
    content = _content(batch.ignored)
    line = f"/{batch.target.name}\n".encode()
    if content is None or batch.is_part or line not in content.splitlines(keepends=True):
        return
    left = b"".join(one for one in content.splitlines(keepends=True) if one != line)
    if left:
        files.write(batch.ignored, left)
    else:
        batch.ignored.unlink()


def _names(folder: Path) -> str:
    """All paths below a folder and the sizes of files, as one hash."""
    found = [
        (os.path.relpath(path, folder), os.lstat(path).st_size)
        for place, _, names in os.walk(folder)
        for path in (f"{place}/{name}" for name in names)
    ]
    return files.sha256_json(sorted(found))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _delete(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
