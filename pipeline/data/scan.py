"""What lies in a folder, told by one `lstat` for each entry: no file is opened and no link followed.

100,000 files take a fifth of a second.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.base.errors import DataError

NEVER = 1 << 63
"""A time in nanoseconds after every change."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link to something other than the DVC cache",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NO_TEXT = "a name that is not UTF-8"

Mark = tuple[int, int, int]
"""Change time in nanoseconds, inode and number of entries of a folder: while they stay, so do the names in it.

It is the change time because no program can set it. The modification time is set by `rsync -t`, `tar` and `cp -a`.
"""


@dataclass(frozen=True, slots=True)
class FileStatus:
    """A file, or a link into the DVC cache, as one `lstat` told it."""

    path: str
    identity: tuple[int, int]
    """Device and inode: the same for all hard links to a file."""
    num_names: int
    """Hard links, this one included."""
    modified: int
    """When its bytes were written, as far as programs tell; nanoseconds."""
    changed: int
    """When anything about it was changed, by the file system's own clock; nanoseconds."""


@dataclass(frozen=True)
class Tree:
    """What one walk through a folder met."""

    marks: dict[str, Mark] = field(default_factory=dict)
    """Of each folder, by path."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """By folder, the files and the links into the DVC cache in it; without folders whose names are known."""
    recent: list[FileStatus] = field(default_factory=list)
    """Files and such links, in any folder, that were changed since they were last looked at."""
    hostile: list[tuple[str, str]] = field(default_factory=list)
    """Path and kind of what no DVC command should meet."""


def walk(
    top: Path,
    is_known: Callable[[str, Mark], bool] = lambda _folder, _mark: False,
    since: Callable[[str], int] = lambda _folder: NEVER,
    is_cache: Callable[[str], bool] = lambda _path: False,
) -> Tree:
    """Look at everything below a folder.

    Args:
        top: where to begin; this itself may be a link to a folder.
        is_known: whether the names in a folder of this mark need not be given.
        since: from which time on, in nanoseconds, a change of a file in this folder is recent.
        is_cache: whether an absolute path is that of an object of the DVC cache.

    Raises:
        DataError: a folder cannot be read.
    """
    tree = Tree()
    left = [top.as_posix()] if top.is_dir() else []
    while left:
        folder = left.pop()
        try:
            left += _look_into(tree, folder, is_known, since(folder), is_cache)
        except FileNotFoundError:
            continue  # deleted since it was listed
        except OSError as error:
            raise DataError(
                f"{folder!r}: cannot be read ({error.strerror}); expected a folder that this user may list; "
                "see its permissions with `ls -ld`"
            ) from None
    return tree


def _look_into(
    tree: Tree, folder: str, is_known: Callable[[str, Mark], bool], since: int, is_cache: Callable[[str], bool]
) -> list[str]:
    """Add one folder to the tree; gives the folders in it. In a large tree the loop is all that costs anything."""
    flags = os.O_NOFOLLOW if tree.marks else 0
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | flags)
    try:
        before = os.fstat(descriptor)  # before its entries: what changes meanwhile is looked at again next time
        names, folders = [], []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                kind = stat.S_IFMT(status.st_mode)
                if kind == stat.S_IFDIR:
                    folders.append(entry.name)
                elif kind == stat.S_IFREG or (kind == stat.S_IFLNK and is_cache(target(f"{folder}/{entry.name}"))):
                    names.append(entry.name)
                    if status.st_ctime_ns >= since:
                        tree.recent.append(_file_status(f"{folder}/{entry.name}", status))
                else:
                    tree.hostile.append((f"{folder}/{entry.name}", _KINDS.get(kind, "of an unknown kind")))
    finally:
        os.close(descriptor)
    mark = (before.st_ctime_ns, before.st_ino, len(names) + len(folders))
    tree.marks[folder] = mark
    if not is_known(folder, mark):
        tree.names[folder] = names
        tree.hostile.extend((f"{folder}/{name}", _NO_TEXT) for name in _no_text(names))
    tree.hostile.extend((f"{folder}/{name}", _NO_TEXT) for name in _no_text(folders))
    return [f"{folder}/{name}" for name in folders]


def look_at(path: str) -> FileStatus | None:
    """One file or link; None where there is none."""
    try:
        return _file_status(path, os.lstat(path))
    except OSError:
        return None


def _file_status(path: str, status: os.stat_result) -> FileStatus:
    return FileStatus(path, (status.st_dev, status.st_ino), status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)


def target(path: str) -> str:
    """Where a link points to, absolute; empty for what is no link. Only the link is read."""
    try:
        pointed = Path(path).readlink()
    except OSError:
        return ""
    return os.path.join(os.path.abspath(os.path.dirname(path)), pointed)  # noqa: PTH100, PTH118, PTH120 - no resolving


def _no_text(names: Sequence[str]) -> list[str]:
    """Names whose bytes are not UTF-8; Python holds such bytes as lone surrogates (PEP 383)."""
    try:
        "/".join(names).encode()
    except UnicodeEncodeError:
        return [name for name in names if any("\udc80" <= character <= "\udcff" for character in name)]
    return []
