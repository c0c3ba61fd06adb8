"""What lies on disk below the images' folder, looked at before any DVC command touches it.

`dvc add` hangs on a FIFO, breaks off at a name that is not UTF-8, and copies the file that a link points to into
the cache, from where `dvc push` publishes it. DVC stages see neither images that nobody added nor those that
were changed after they were added. 100,000 files take a fifth of a second if nothing is new, nearly all of it
one `lstat` for each: names are compared with the listing only in folders that changed since they last were.
"""

import hashlib
import json
import os
import re
import shlex
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data import sources
from pipeline.data.sources import Source
from pipeline.data.store import Store

SETTLED = 2_000_000_000
"""Nanoseconds after which a further change gets a later time stamp, on every usual file system."""

VERSIONS = 20
"""Of a batch, which are looked at to see whether files on disk are of an earlier one."""

FEW = 5
"""Files that a command in a message names."""

CHUNK = 500
"""Files that one thread hashes before it takes more."""

_KINDS = {
    stat.S_IFLNK: "a symbolic link to something other than the DVC cache",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_NO_TEXT = "a name that is not UTF-8"
_NEVER = 1 << 63

Mark = tuple[int, int, int]
"""Change time in nanoseconds, inode and number of entries of a folder: while they stay, so do the names in it.

The change time, for unlike the modification time no program can set it (`rsync -t`, `tar` and `cp -a` do that).
"""


@dataclass(frozen=True, slots=True)
class Seen:
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
    """What one walk found."""

    marks: dict[str, Mark] = field(default_factory=dict)
    """Of each folder, by path."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Files, and links into the DVC cache, in each folder that is not known."""
    recent: list[Seen] = field(default_factory=list)
    """Those, in any folder, that were changed since it was last looked at."""
    hostile: list[tuple[str, str]] = field(default_factory=list)
    """Path and kind of what no DVC command should meet."""


def check(images: Path, found: tuple[Source, ...], store: Store, ignore: Sequence[str], memory: Path) -> list[str]:
    """Compare the disk with the batches; what to warn of, one line each.

    Args:
        images: the folder of all batches, relative to the project, which is the current directory.
        found: the batches that Git tracks.
        store: gives their listings, and knows the cache.
        ignore: patterns of names of files and folders that take no part.
        memory: a file that keeps what need not be looked at again; it may be deleted at any time.

    Raises:
        DataError: something on disk is dangerous, untracked, or was changed after `dvc add`.
    """
    began = time.time_ns()
    remembered = _Memory.load(memory, ignore)
    batches = _Batches(found, store, remembered.checked)
    tree = scan(
        images,
        is_known=lambda folder, mark: remembered.folders.get(folder) == (mark, batches.key(folder)),
        since=batches.since,
        is_cache=store.is_cache,
    )
    _refuse_hostile(images, tree.hostile)
    untracked = _untracked(images, tree, batches, ignore)
    warnings = _refuse_untracked(images, untracked, found, store)
    stale = _refuse_changed(images, tree.recent, batches, store, found)
    warnings += [*stale.values(), *_absent(tree, batches, found)]

    settled = began - SETTLED
    # The file system's clock may be another than ours, hence never later than what it said itself.
    newest = min(settled, max((seen.changed for seen in tree.recent), default=0) + 1)
    strange = {path.rpartition("/")[0] for path in untracked}
    now = _Memory(
        tuple(ignore),
        {path: until if path in stale else max(until, newest) for path, until in batches.checked.items()},
        {
            folder: (mark, batches.key(folder))
            for folder, mark in tree.marks.items()
            if folder not in strange and mark[0] < settled
        },
    )
    if now != remembered:
        now.save(memory)
    return warnings


def scan(
    images: Path,
    is_known: Callable[[str, Mark], bool] = lambda _folder, _mark: False,
    since: Callable[[str], int] = lambda _folder: _NEVER,
    is_cache: Callable[[str], bool] = lambda _path: False,
) -> Tree:
    """Look at everything below a folder without opening any file or following any link.

    Args:
        images: where to begin; this itself may be a link to a folder.
        is_known: whether the names in a folder of this mark need not be given.
        since: from which time on, in nanoseconds, a change of a file in this folder is recent.
        is_cache: whether an absolute path is that of an object of the DVC cache.

    Raises:
        DataError: a folder cannot be read.
    """
    tree = Tree()
    left = [images.as_posix()] if images.is_dir() else []
    while left:
        folder = left.pop()
        try:
            left += _look(tree, folder, os.O_NOFOLLOW if tree.marks else 0, is_known, since(folder), is_cache)
        except FileNotFoundError:
            continue  # deleted since it was listed
        except OSError as error:
            raise DataError(
                f"{folder!a}: cannot be read ({error.strerror}); expected a folder that this user may list; "
                "see its permissions with `ls -ld`"
            ) from None
    return tree


def _look(
    tree: Tree,
    folder: str,
    flags: int,
    is_known: Callable[[str, Mark], bool],
    since: int,
    is_cache: Callable[[str], bool],
) -> list[str]:
    """Add one folder to the tree; the folders in it. The loop is all that costs anything in a large tree."""
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
                elif kind == stat.S_IFREG or (kind == stat.S_IFLNK and is_cache(_target(folder, entry.name))):
                    names.append(entry.name)
                    if status.st_ctime_ns >= since:
                        tree.recent.append(_seen(f"{folder}/{entry.name}", status))
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


def _seen(path: str, status: os.stat_result) -> Seen:
    return Seen(path, (status.st_dev, status.st_ino), status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)


def _target(folder: str, name: str) -> str:
    """Where a link points to, absolute; only the link is read."""
    try:
        target = Path(folder, name).readlink()
    except OSError:
        return ""
    return os.path.join(os.path.abspath(folder), target)  # noqa: PTH100, PTH118 - follows no link


def _no_text(names: Sequence[str]) -> list[str]:
    """Names whose bytes are not UTF-8; Python holds such bytes as lone surrogates (PEP 383)."""
    try:
        "/".join(names).encode()
    except UnicodeEncodeError:
        return [name for name in names if any("\udc80" <= character <= "\udcff" for character in name)]
    return []


class _Batches:
    """Which batch a folder belongs to, and what that batch lists; a listing is read when first asked for."""

    def __init__(self, found: Sequence[Source], store: Store, checked: Mapping[str, int]) -> None:
        self._store = store
        self._folders = {source.path: source for source in found if source.digest.endswith(".dir")}
        self._files: dict[str, list[Source]] = {}
        for source in found:
            if source.path not in self._folders:
                self._files.setdefault(source.path.rpartition("/")[0], []).append(source)
        self._listed: dict[Source, dict[str, str]] = {}
        self.checked = {source.path: checked.get(source.path, _added(source)) for source in found}
        """By batch, the time in nanoseconds until which its files are known to be as listed."""

    def of(self, folder: str) -> tuple[Source, ...]:
        """The batches that files directly in this folder can belong to: of folders, the innermost."""
        above = folder
        while above and above not in self._folders:
            above = above.rpartition("/")[0]
        return (*([self._folders[above]] if above else []), *self._files.get(folder, ()))

    def key(self, folder: str) -> str:
        """What the names in this folder are compared with."""
        return " ".join(source.digest for source in self.of(folder))

    def since(self, folder: str) -> int:
        """From which time on, in nanoseconds, a change of a file in this folder was not seen yet."""
        return min((self.checked[source.path] for source in self.of(folder)), default=_NEVER)

    def listed(self, source: Source) -> dict[str, str]:
        """Path to digest."""
        if source not in self._listed:
            table = self._store.listing(source)
            self._listed[source] = dict(zip(table["path"].to_list(), table["digest"].to_list(), strict=True))
        return self._listed[source]

    def digest(self, path: str) -> str | None:
        """What the pointers say that a file is; None if they do not name it."""
        listings = (self.listed(source) for source in self.of(path.rpartition("/")[0]))
        return next((listed[path] for listed in listings if path in listed), None)


def _added(source: Source) -> int:
    """When `dvc add` wrote the pointer, having hashed every file; nanoseconds."""
    try:
        return Path(f"{source.path}.dvc").stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True)
class _Memory:
    """What earlier checks need not do again, on this machine."""

    ignore: tuple[str, ...]
    checked: dict[str, int]
    """By batch, until when its files are known to be as listed; nanoseconds."""
    folders: dict[str, tuple[Mark, str]]
    """Folders with nothing untracked in them, and with what that was compared."""

    @classmethod
    def load(cls, path: Path, ignore: Sequence[str]) -> "_Memory":
        """What was saved; nothing where that is of no use."""
        try:
            value = json.loads(path.read_bytes())
            folders = {
                name: ((int(a), int(b), int(c)), str(key)) for name, ((a, b, c), key) in value["folders"].items()
            }
            checked = {str(name): int(until) for name, until in value["checked"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls((), {}, {})
        return cls(tuple(ignore), checked, folders if value.get("ignore") == list(ignore) else {})

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        value = {"ignore": self.ignore, "checked": self.checked, "folders": self.folders}
        files.write(path, json.dumps(value, sort_keys=True).encode())


def _untracked(images: Path, tree: Tree, batches: _Batches, ignore: Sequence[str]) -> list[str]:
    """Files that no batch lists, sorted, but for pointers and what is to be ignored."""
    found = []
    for folder, names in tree.names.items():
        if not names or sources.is_ignored(os.path.relpath(folder, images), ignore):
            continue
        listings = [batches.listed(source) for source in batches.of(folder)]
        found += [
            f"{folder}/{name}"
            for name in names
            if not any(f"{folder}/{name}" in listed for listed in listings)
            and not _is_pointer(name)
            and not sources.is_ignored(name, ignore)
        ]
    return sorted(found)


def _is_pointer(name: str) -> bool:
    return name.endswith(".dvc") or name in (".gitignore", ".gitkeep", ".dvcignore")


def _refuse_hostile(images: Path, hostile: Iterable[tuple[str, str]]) -> None:
    found = sorted(hostile)
    if found:
        path, kind = found[0]
        raise DataError(
            f"{len(found)} entries below {images} are no plain files, e.g. {path!a}: {kind}; expected folders and "
            "files of their own, with names in UTF-8, before any DVC command meets them; delete, copy or rename them"
        )


def _refuse_untracked(images: Path, untracked: Sequence[str], found: Sequence[Source], store: Store) -> list[str]:
    """Images on disk that no pointer names are never silently ignored; what to warn of."""
    strays: dict[str, list[str]] = {}
    for path in untracked:
        strays.setdefault(_batch(path, images, found), []).append(path)
    batches = {source.path for source in found}
    gone = [batch for batch in strays if batch not in batches and _was_tracked(batch)]
    warnings = [
        f"{len(strays.pop(batch))} files in {_quoted(batch)} are left over from a batch whose pointer is gone from Git "
        f"and take no part; `dvc checkout` deletes them, `dvc add {_quoted(batch)}` takes them back"
        for batch in gone
    ]
    for batch in sorted(strays.keys() & batches):
        if _are_earlier(batch, {path: _md5(path) for path in strays[batch]}, store):
            warnings.append(_stale(batch, strays.pop(batch)))
    if not strays:
        return warnings
    _refuse_hostile(images, _linked_elsewhere(images, [path for paths in strays.values() for path in paths], store))
    loose = [batch for batch in strays if Path(batch).is_file()]
    if loose:
        raise DataError(
            f"{len(loose)} files lie directly in {images}, e.g. {loose[0]!a}; expected each in a batch; move "
            f"them to {images}/<batch>/<label>/ and `dvc add {images}/<batch>`, or name them in detect.ignore"
        )
    for batch, paths in sorted(strays.items()):
        absent = _absent_digests(batch, found, store)
        if absent - {_md5(path) for path in paths}:  # else they were all moved
            raise DataError(
                f"{len(paths)} files below {images} are not tracked by DVC, e.g. {paths[0]!a}; expected every image in "
                f"a batch; run `dvc add {_quoted(*paths[:FEW])}`{' and so on with each' if len(paths) > FEW else ''}, "
                f"not `dvc add {_quoted(batch)}`: {len(absent)} files of it are not on this disk and would count as "
                "removed, unless you moved or deleted them yourself and mean that"
            )
    first = next(iter(strays.values()))[0]
    raise DataError(
        f"{sum(map(len, strays.values()))} files below {images} are not tracked by DVC, e.g. {first!a}; expected "
        f"every image in a batch; run `dvc add {_quoted(*sorted(strays))}`, or delete them, or name them in "
        "detect.ignore"
    )


def _absent_digests(batch: str, found: Iterable[Source], store: Store) -> set[str]:
    """Of the files of a batch that are not on disk, as in a clone that fetched only what it needed."""
    listings = (store.listing(source) for source in found if source.path == batch)
    rows = chain.from_iterable(listing.select("path", "digest").iter_rows() for listing in listings)
    return {digest for path, digest in rows if not os.path.lexists(path)}


def _are_earlier(batch: str, digests: Mapping[str, str | None], store: Store) -> bool:
    """Whether files, by path, are all as earlier versions of their batch had them: pulled, but not checked out."""
    left = dict(digests)
    for listed in _earlier(batch, store):
        left = {path: digest for path, digest in left.items() if digest is None or listed.get(path) != digest}
        if not left:
            return True
    return False


def _earlier(batch: str, store: Store) -> Iterator[dict[str, str]]:
    """What the newest versions of a batch listed, path to digest, as far as DVC's cache has them."""
    pointer = f"{batch}.dvc"
    command = ["git", "log", f"--max-count={VERSIONS}", "--patch", "--format=", "--", pointer]
    patches = subprocess.run(command, capture_output=True, check=False).stdout.decode(errors="replace")
    for digest in dict.fromkeys(re.findall(r"^[-+ ].*\bmd5: ([0-9a-f]{32}(?:\.dir)?)$", patches, re.MULTILINE)):
        if Path(store.places(digest, batch)[1]).is_file():
            with suppress(DataError):  # DVC's cache may hold anything
                table = store.listing(Source(batch, digest, 0))
                yield dict(table.select("path", "digest").iter_rows())


def _absent(tree: Tree, batches: "_Batches", found: Sequence[Source]) -> list[str]:
    """Warnings of batches that are only partly here: deleted files are in the data until `dvc add` says so."""
    warnings = []
    for source in found:
        looked = {folder for folder in tree.names if folder == source.path or folder.startswith(f"{source.path}/")}
        if not looked:
            continue
        here = {f"{folder}/{name}" for folder in looked for name in tree.names[folder]}
        known = tree.marks.keys() - looked  # nothing has changed in these
        missing = [p for p in batches.listed(source) if p not in here and p.rpartition("/")[0] not in known]
        if missing and (here or any(folder.startswith(f"{source.path}/") for folder in tree.marks)):
            batch, count = _quoted(source.path), f"{len(missing)} of {source.num_files}"
            warnings.append(
                f"{count} files of {batch} are not on this disk, e.g. {min(missing)!a}; they "
                f"are in the data until `dvc add {batch}` takes them out; `dvc pull {batch}.dvc` brings them back"
            )
    return warnings


def _was_tracked(batch: str) -> bool:
    """Whether Git once had a pointer for this folder, as after `git revert` of a push."""
    command = ["git", "log", "--max-count=1", "--format=%H", "--", f"{batch}.dvc"]
    return bool(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())


def _batch(stray: str, images: Path, found: Sequence[Source]) -> str:
    """What to `dvc add` for a file: its batch, or the folder directly below `images`."""
    for source in found:
        if stray.startswith(f"{source.path}/"):
            return source.path
    return (images / Path(stray).relative_to(images).parts[0]).as_posix()


def _quoted(*names: str) -> str:
    """Names for a shell, on one line of any terminal."""
    plain = (f"'{name}'" if "'" not in name else shlex.quote(name) for name in names)
    return " ".join(name if name.isprintable() else ascii(name) for name in plain)


def _linked_elsewhere(images: Path, untracked: Sequence[str], store: Store) -> Iterator[tuple[str, str]]:
    """Files with another name that is neither below `images` nor DVC's own, in its cache."""
    linked = [seen for seen in map(_look_at, untracked) if seen and seen.num_names > 1]
    if not linked:
        return
    here = Counter(seen.identity for seen in scan(images, since=lambda _folder: 0).recent)
    for seen in linked:
        elsewhere = seen.num_names - here[seen.identity]
        if elsewhere > 1 or (elsewhere == 1 and not _is_cached(seen, _md5(seen.path), store)):
            yield seen.path, "a hard link to a file that lies elsewhere too"


def _look_at(path: str) -> Seen | None:
    try:
        return _seen(path, os.lstat(path))
    except OSError:
        return None


def _refuse_changed(
    images: Path, recent: Sequence[Seen], batches: _Batches, store: Store, found: Sequence[Source]
) -> dict[str, str]:
    """Changes in place of tracked files, which DVC's pointers do not know of; what to warn of, by batch."""
    digests = {seen: batches.digest(seen.path) for seen in recent}
    suspects = [seen for seen, digest in digests.items() if digest and not _is_unchanged(seen, digest, batches, store)]
    paths = [seen.path for seen in suspects]
    with ThreadPoolExecutor() as pool:  # hashing lets other threads run
        parts = pool.map(_md5s, (paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)))
        hashes = dict(zip(paths, chain.from_iterable(parts), strict=True))
    changed = [seen.path for seen in suspects if hashes[seen.path] not in (digests[seen], None)]
    if changed:
        owners = sorted({_batch(path, images, found) for path in changed})
        pointers = _quoted(*(f"{owner}.dvc" for owner in owners))
        theirs = {owner: {p: hashes[p] for p in changed if _batch(p, images, found) == owner} for owner in owners}
        if all(_are_earlier(owner, digests, store) for owner, digests in theirs.items()):
            return {owner: _stale(owner, digests) for owner, digests in theirs.items()}
        raise DataError(
            f"{len(changed)} files below {images} were changed after `dvc add`, e.g. {min(changed)!a}; expected what "
            f"their pointer says; run `dvc add {_quoted(*owners)}` to take the change up, or "
            f"`dvc checkout --force {pointers}` to undo it"
        )
    return {}


def _stale(batch: str, paths: Iterable[str]) -> str:
    """What to say of files that an earlier version of their batch has: the pointer was pulled, and not checked out."""
    paths = sorted(paths)
    return (
        f"{len(paths)} files on disk are of an earlier version of {_quoted(batch)}, e.g. {paths[0]!a}; the data is "
        f"what its pointer says; `dvc checkout {_quoted(f'{batch}.dvc')}` brings the disk up to date, `dvc add "
        f"{_quoted(batch)}` takes them back"
    )


def _is_unchanged(seen: Seen, digest: str, batches: _Batches, store: Store) -> bool:
    """Whether this is told without reading the file.

    An object of the cache gets a new change time whenever DVC makes or drops a hard link to it; the modification
    time is still the old one.
    """
    is_old = seen.modified < batches.since(seen.path.rpartition("/")[0])
    return is_old and seen.num_names > 1 and _is_cached(seen, digest, store)


def _is_cached(seen: Seen, digest: str | None, store: Store) -> bool:
    """Whether a file is the very object of this hash in the cache, by another name."""
    cached = _look_at(store.places(digest, seen.path)[1]) if digest else None
    return cached is not None and cached.identity == seen.identity


def _md5s(paths: Sequence[str]) -> list[str | None]:
    return [_md5(path) for path in paths]


def _md5(path: str) -> str | None:
    """The hash of a regular file, or that which a link into the cache names; None where there is neither any more."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "".join(_target(*path.rsplit("/", 1)).split("/")[-2:]) or None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    finally:
        os.close(descriptor)
