"""The worktree: the images on disk held against DVC's pointers, before any DVC command touches them.

`dvc add` hangs on a FIFO, breaks off at a name that is not UTF-8, and copies the file that a link points to into
the cache, from where `dvc push` publishes it. DVC's stages see neither images that nobody added nor images that
were changed after they were added. While nothing is new, names are compared with the listing only in folders that
changed since they last were.
"""

import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NoReturn

from pipeline.artifacts.sources import Source
from pipeline.base import files, git
from pipeline.base.errors import DataError, GitError
from pipeline.base.words import are, readable
from pipeline.data import scan, sources, versions
from pipeline.data.scan import FileStatus, Mark, Tree
from pipeline.data.store import Store

SETTLED = 2_000_000_000
"""Nanoseconds after which a further change gets a later time stamp, on every usual file system."""

FEW = 5
"""Files that a command in a message names."""

CHUNK = 500
"""Files that one thread hashes before it takes more."""


def check(images: Path, batches: Sequence[Source], store: Store, ignore: Sequence[str], memory: Path) -> list[str]:
    """Compare the disk with the batches; what to warn of, one line each.

    Args:
        images: the folder of all batches, relative to the project, which is the current directory.
        batches: what Git tracks.
        store: gives the batches' listings, and knows the cache.
        ignore: patterns of names of files and folders that take no part.
        memory: a file that keeps what need not be looked at again; it may be deleted at any time.

    Raises:
        DataError: something on disk is dangerous, untracked, or was changed after `dvc add`.
    """
    began = time.time_ns()
    last = _LastCheck.load(memory, ignore)
    tracked = _Tracked(images, batches, store, last.checked)
    tree = scan.walk(
        images,
        is_known=lambda folder, mark: last.folders.get(folder) == (mark, tracked.key(folder)),
        since=tracked.since,
        is_cache=store.is_cache,
    )
    _refuse_hostile(images, tree.hostile)
    untracked = _untracked(tree, tracked, ignore)
    warnings = _judge_untracked(tracked, untracked)
    stale = _judge_changed(tracked, tree.recent)
    warnings += [*stale.values(), *_absent(tree, tracked)]

    settled = began - SETTLED
    # The file system's clock may be another than ours, hence never later than what it said itself.
    newest = min(settled, max((status.changed for status in tree.recent), default=0) + 1)
    unlike = {path.rpartition("/")[0] for path in untracked}
    this = _LastCheck(
        tuple(ignore),
        {path: until if path in stale else max(until, newest) for path, until in tracked.checked.items()},
        {
            folder: (mark, tracked.key(folder))
            for folder, mark in tree.marks.items()
            if folder not in unlike and mark[0] < settled
        },
    )
    if this != last:
        this.save(memory)
    return warnings


class _Tracked:
    """What the pointers say of files on disk; a listing is read when it is first asked for."""

    def __init__(self, images: Path, batches: Sequence[Source], store: Store, checked: Mapping[str, int]) -> None:
        self.images = images
        self.batches = batches
        self.store = store
        self.checked = {source.path: checked.get(source.path, _added(source)) for source in batches}
        """By batch, the time in nanoseconds until which its files are known to be as listed."""
        self._folders = {source.path: source for source in batches if source.digest.endswith(".dir")}
        self._alone: dict[str, list[Source]] = {}
        """By folder, the images in it that are tracked alone."""
        for source in batches:
            if source.path not in self._folders:
                self._alone.setdefault(source.path.rpartition("/")[0], []).append(source)
        self._listed: dict[Source, dict[str, str]] = {}

    def of(self, folder: str) -> tuple[Source, ...]:
        """The batches that files directly in this folder can belong to: of folders, the innermost."""
        above = folder
        while above and above not in self._folders:
            above = above.rpartition("/")[0]
        return (*([self._folders[above]] if above else []), *self._alone.get(folder, ()))

    def key(self, folder: str) -> str:
        """What the names in this folder are compared with."""
        return " ".join(source.digest for source in self.of(folder))

    def since(self, folder: str) -> int:
        """From which time on, in nanoseconds, a change of a file in this folder was not seen yet."""
        return min((self.checked[source.path] for source in self.of(folder)), default=scan.NEVER)

    def listed(self, source: Source) -> dict[str, str]:
        """Path to digest."""
        if source not in self._listed:
            table = self.store.listing(source)
            self._listed[source] = dict(zip(table["path"].to_list(), table["digest"].to_list(), strict=True))
        return self._listed[source]

    def digest(self, path: str) -> str | None:
        """What the pointers say that a file is; None if they do not name it."""
        listings = (self.listed(source) for source in self.of(path.rpartition("/")[0]))
        return next((listed[path] for listed in listings if path in listed), None)

    def owner(self, path: str) -> str:
        """What to `dvc add` for a file: its batch, or the folder directly below `images`."""
        for source in self.batches:
            if path.startswith(f"{source.path}/"):
                return source.path
        return (self.images / Path(path).relative_to(self.images).parts[0]).as_posix()

    def by_owner(self, paths: Iterable[str]) -> dict[str, list[str]]:
        """Files by what to `dvc add` for them."""
        owned: dict[str, list[str]] = {}
        for path in paths:
            owned.setdefault(self.owner(path), []).append(path)
        return owned


def _added(source: Source) -> int:
    """When `dvc add` wrote the pointer, having hashed every file; nanoseconds."""
    try:
        return Path(f"{source.path}.dvc").stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True)
class _LastCheck:
    """What the last check on this machine saw, and the next one need not look at again."""

    ignore: tuple[str, ...]
    checked: dict[str, int]
    """By batch, until when its files are known to be as listed; nanoseconds."""
    folders: dict[str, tuple[Mark, str]]
    """Folders with nothing untracked in them, and with what that was compared."""

    @classmethod
    def load(cls, path: Path, ignore: Sequence[str]) -> "_LastCheck":
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


def _refuse_hostile(images: Path, entries: Iterable[tuple[str, str]]) -> None:
    """Path and kind of each."""
    hostile = sorted(entries)
    if hostile:
        path, kind = hostile[0]
        raise DataError(
            f"{len(hostile)} entries below {images} are no plain files, e.g. {path!r}: {kind}; expected folders and "
            "files of their own, with names in UTF-8, before any DVC command meets them; delete, copy or rename them"
        )


def _untracked(tree: Tree, tracked: _Tracked, ignore: Sequence[str]) -> list[str]:
    """Files that no batch lists, sorted, but for pointers and what is to be ignored."""
    untracked = []
    for folder, names in tree.names.items():
        if not names or sources.is_ignored(os.path.relpath(folder, tracked.images), ignore):
            continue
        listings = [tracked.listed(source) for source in tracked.of(folder)]
        untracked += [
            f"{folder}/{name}"
            for name in names
            if not any(f"{folder}/{name}" in listed for listed in listings)
            and not _is_pointer(name)
            and not sources.is_ignored(name, ignore)
        ]
    return sorted(untracked)


def _is_pointer(name: str) -> bool:
    return name.endswith(".dvc") or name in (".gitignore", ".gitkeep", ".dvcignore")


def _judge_untracked(tracked: _Tracked, untracked: Sequence[str]) -> list[str]:
    """Images on disk that no pointer names are never silently ignored; what to warn of."""
    strays, left_over = tracked.by_owner(untracked), {}
    batches = {source.path for source in tracked.batches}
    warnings = []
    for batch in sorted(strays):
        known = _of_other_versions(batch, strays[batch], tracked.store, must_be_cached=batch not in batches)
        if len(known) == len(strays[batch]):
            warnings.append((_stale if batch in batches else _left_over)(batch, strays.pop(batch)))
        elif known:
            left_over[batch] = known
            strays[batch] = [path for path in strays[batch] if path not in known]
    if strays.keys() - batches and git.is_shallow():
        raise GitError(
            f"{min(strays.keys() - batches)}: this shallow clone has no commit with it, so whether Git ever tracked it "
            "cannot be told; run `git fetch --unshallow`, then this again"
        )
    if strays:
        linked = _linked_elsewhere(tracked, [path for paths in strays.values() for path in paths])
        _refuse_hostile(tracked.images, linked)
        _refuse_strays(tracked, strays, left_over)
    return warnings


def _refuse_strays(
    tracked: _Tracked, strays: Mapping[str, Sequence[str]], left_over: Mapping[str, Collection[str]]
) -> NoReturn:
    """Refuse untracked files; each kind has a remedy of its own.

    Args:
        tracked: what the pointers say.
        strays: new files, by what to `dvc add` for them.
        left_over: beside them, files that other versions of the same batch have.
    """
    images = tracked.images
    loose = [batch for batch in strays if Path(batch).is_file()]
    if loose:
        raise DataError(
            f"{are(len(loose), 'file', 'lies', 'lie')} directly in {images}, e.g. {loose[0]!r}; expected each in a "
            f"batch; move them to {images}/<batch>/<label>/ and `dvc add {images}/<batch>`, or name them in "
            "detect.ignore"
        )
    number = sum(map(len, strays.values()))
    count = f"{are(number, 'file', where=f'below {images}')} not tracked by DVC"
    batches = {source.path for source in tracked.batches}
    for batch, paths in sorted(strays.items()):
        absent = _absent_digests(batch, tracked)
        if batch in left_over:
            others = are(len(left_over[batch]), "file", where="beside them")
            why = f"{others} of another version of it and would come in too"
        elif absent - {_digest_on_disk(path) for path in paths}:  # else they were all moved
            why = (
                f"{are(len(absent), 'file', where='of it')} not on this disk and would count as removed, unless you "
                "moved or deleted them yourself and mean that"
            )
        else:
            continue
        alone = f"run `dvc add {_few(paths)}"
        do = alone if batch in batches else "move them to a folder of another name"
        raise DataError(
            f"{count}, e.g. {paths[0]!r}; expected every image in a batch; {do}, not `dvc add {_quoted(batch)}`: {why}"
        )
    first = next(iter(strays.values()))[0]
    raise DataError(
        f"{count}, e.g. {first!r}; expected every image in a batch; run `dvc add {_quoted(*sorted(strays))}`, or "
        "delete them, or name them in detect.ignore"
    )


def _absent_digests(batch: str, tracked: _Tracked) -> set[str]:
    """Of the files of a batch that are not on disk, as in a clone that fetched only what it needed."""
    listings = (tracked.store.listing(source) for source in tracked.batches if source.path == batch)
    rows = chain.from_iterable(listing.select("path", "digest").iter_rows() for listing in listings)
    return {digest for path, digest in rows if not os.path.lexists(path)}


def _of_other_versions(batch: str, paths: Sequence[str], store: Store, must_be_cached: bool = False) -> set[str]:
    """Which of these files are as other versions of their batch had them: DVC put them here for another commit.

    Args:
        batch: what to `dvc add` for the files.
        paths: of the files.
        store: gives the listings, and knows the cache.
        must_be_cached: leave out what DVC's cache does not have too.
    """
    found: set[str] = set()
    left: dict[str, str | None] = {}
    for number, listed in enumerate(versions.listed(batch, store)):
        left = left if number else _digests_on_disk(paths)
        same = {path for path, digest in left.items() if digest is not None and listed.get(path) == digest}
        found |= {path for path in same if not must_be_cached or Path(store.places(listed[path], path)[1]).is_file()}
        left = {path: digest for path, digest in left.items() if path not in same}
        if not left:
            break
    return found


def _stale(batch: str, paths: Iterable[str]) -> str:
    """A warning of files that another version of their batch has: the pointer came by Git, without `dvc checkout`."""
    paths = sorted(paths)
    return (
        f"{are(len(paths), 'file', where='on disk')} of another version of {_quoted(batch)}, e.g. {paths[0]!r}; the "
        f"data is what its pointer says; `dvc checkout {_quoted(f'{batch}.dvc')}` brings the disk up to date, `dvc add "
        f"{_quoted(batch)}` takes them back"
    )


def _left_over(batch: str, paths: Sequence[str]) -> str:
    """A warning of the files of a batch whose pointer Git took away: by a switch, a stash, a revert, a reset."""
    then = "; Git does not ignore them here: do one of these before `git add`" if git.would_add(paths[0]) else ""
    return (
        f"{are(len(paths), 'file', where=f'in {_quoted(batch)}')} left over from a batch whose pointer is not in this "
        f"checkout, and take no part; `rm -r {_quoted(batch)}` deletes them and loses nothing, for DVC's cache has "
        f"them all (`dvc checkout` does it where DVC knows that it put them there); `dvc add {_quoted(batch)}` "
        f"takes them in{then}"
    )


def _few(paths: Sequence[str]) -> str:
    """The end of a command on files; where it says that there are more, each is meant."""
    return f"{_quoted(*paths[:FEW])}`{' and so on with each' if len(paths) > FEW else ''}"


def _quoted(*names: str) -> str:
    """Names for a shell, on one line of any terminal."""
    plain = (f"'{name}'" if "'" not in name else shlex.quote(name) for name in names)
    return " ".join(map(readable, plain))


def _linked_elsewhere(tracked: _Tracked, untracked: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Files with another name that is neither below the images' folder nor DVC's own, in its cache."""
    linked = [status for status in map(scan.look_at, untracked) if status and status.num_names > 1]
    if not linked:
        return
    names_here = Counter(status.identity for status in scan.walk(tracked.images, since=lambda _folder: 0).recent)
    for status in linked:
        elsewhere = status.num_names - names_here[status.identity]
        is_cached = elsewhere == 1 and _is_cached(status, _digest_on_disk(status.path), tracked.store)
        if elsewhere > 0 and not is_cached:
            yield status.path, "a hard link to a file that lies elsewhere too"


def _judge_changed(tracked: _Tracked, recent: Sequence[FileStatus]) -> dict[str, str]:
    """Refuse changes in place of tracked files, which DVC's pointers do not know of; what to warn of, by batch."""
    listed = ((status, tracked.digest(status.path)) for status in recent)
    suspects = {
        status.path: digest for status, digest in listed if digest and not _is_unchanged(status, digest, tracked)
    }
    on_disk = _digests_on_disk([*suspects])
    changed = [path for path, digest in suspects.items() if on_disk[path] not in (digest, None)]
    if not changed:
        return {}
    owned = dict(sorted(tracked.by_owner(changed).items()))
    if all(len(_of_other_versions(batch, paths, tracked.store)) == len(paths) for batch, paths in owned.items()):
        return {batch: _stale(batch, paths) for batch, paths in owned.items()}
    pointers = _quoted(*(f"{batch}.dvc" for batch in owned))
    undo = f"`dvc checkout --force {pointers}`"
    # A change in place, of an object of the cache by another name, changed that too.
    if [path for path in changed if not tracked.store.has_whole(suspects[path])]:
        undo = f"`rm {_few(changed)}, then `dvc pull {pointers}`, for DVC's cache does not have what was there,"
    raise DataError(
        f"{are(len(changed), 'file', 'was', 'were', f'below {tracked.images}')} changed after `dvc add`, "
        f"e.g. {min(changed)!r}; expected what their pointer says; run `dvc add {_quoted(*owned)}` to take the change "
        f"up, or {undo} to undo it"
    )


def _is_unchanged(status: FileStatus, digest: str, tracked: _Tracked) -> bool:
    """Whether this can be told without reading the file.

    An object of the cache gets a new change time whenever DVC makes or drops a hard link to it; the modification
    time is still the old one.
    """
    is_old = status.modified < tracked.since(status.path.rpartition("/")[0])
    return is_old and status.num_names > 1 and _is_cached(status, digest, tracked.store)


def _is_cached(status: FileStatus, digest: str | None, store: Store) -> bool:
    """Whether a file is the very object of this hash in the cache, by another name."""
    cached = scan.look_at(store.places(digest, status.path)[1]) if digest else None
    return cached is not None and cached.identity == status.identity


def _absent(tree: Tree, tracked: _Tracked) -> list[str]:
    """Warnings of batches that are only partly here: deleted files are in the data until `dvc add` says so."""
    warnings = []
    for source in tracked.batches:
        listed_anew = {folder for folder in tree.names if folder == source.path or folder.startswith(f"{source.path}/")}
        if not listed_anew:
            continue
        here = {f"{folder}/{name}" for folder in listed_anew for name in tree.names[folder]}
        unchanged = tree.marks.keys() - listed_anew
        missing = [p for p in tracked.listed(source) if p not in here and p.rpartition("/")[0] not in unchanged]
        if missing and (here or any(folder.startswith(f"{source.path}/") for folder in tree.marks)):
            batch, count = _quoted(source.path), f"{len(missing)} of {source.num_files}"
            warnings.append(
                f"{count} files of {batch} are not on this disk, e.g. {min(missing)!r}; they "
                f"are in the data until `dvc add {batch}` takes them out; `dvc pull {_quoted(f'{source.path}.dvc')}` "
                "brings them back"
            )
    return warnings


def _digests_on_disk(paths: Sequence[str]) -> dict[str, str | None]:
    """By path; hashing lets other threads run."""
    chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
    with ThreadPoolExecutor() as pool:
        hashed = pool.map(lambda chunk: [_digest_on_disk(path) for path in chunk], chunks)
        return dict(zip(paths, chain.from_iterable(hashed), strict=True))


def _digest_on_disk(path: str) -> str | None:
    """The hash of a regular file, or the one that a link into the cache names; None where neither is there any more."""
    return files.md5_regular(path, os.O_NOFOLLOW) or "".join(scan.target(path).split("/")[-2:]) or None
