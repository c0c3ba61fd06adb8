"""Where images and listings come from by content hash: workspace, DVC cache, DVC remote."""

import errno
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.artifacts.sources import Source
from pipeline.base import files, git
from pipeline.base.errors import DataError, PipelineError, one_line
from pipeline.base.words import counted, readable
from pipeline.data.origins import Origin, Origins, Parts

if TYPE_CHECKING:
    import polars as pl

WAITS = (0.0, 0.5, 2.0)
"""Seconds before each attempt to transfer what is still missing."""

FEW = 3
"""Images that an error names; the others it counts."""

GIVE_UP = 24
"""Failures in a row, other than 'not found', after which an attempt ends: each may be a time-out of a minute."""

_DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")
_HOSTILE = r"(^|/)\.{0,2}(/|$)|\x00"
"""Fits a path that is empty or absolute, or has a part that is empty, `.` or `..`, or a NUL, which no file system
takes."""
_PUSH_ANEW = "; if that finds nothing to push, delete the listing of the batch from the remote, and push again"
"""DVC takes all that a listing names for pushed if it has pushed the listing (dvc-data 3, `hashfile.status`)."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class Fetched:
    """What came from the DVC remote."""

    num_objects: int
    num_bytes: int

    def __str__(self) -> str:
        return f"fetched {counted(self.num_objects, 'file')} ({self.num_bytes / 1e6:,.1f} MB) from the DVC remote"


class NowhereError(DataError):
    """An object is neither on this machine nor in the remote, which answered."""


class _WrongBytesError(Exception):
    """The bytes that arrived do not have the hash that names them."""


_ABSENT = (FileNotFoundError, _WrongBytesError)
"""Errors by which a place says that it does not have an object; another place may."""


@dataclass(frozen=True)
class _Failure:
    """Why an object did not come."""

    origin: Origin
    """The place that should have it."""
    error: Exception


class Store:
    """Reads objects of one DVC project by their hash, never a whole directory.

    Safe to share between threads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._top = os.path.abspath(root)  # noqa: PTH100 - Path.resolve would follow links
        self._lock = threading.Lock()
        self._cache: Any = None
        self._origins: Origins | None = None
        self._fetched = Fetched(0, 0)

    @property
    def origins(self) -> Origins:
        """Where DVC has the objects of this project.

        Raises:
            DataError: this is no DVC project.
        """
        return self._open()

    @property
    def fetched(self) -> Fetched:
        """What this store has transferred from the remote so far, listings included."""
        with self._lock:
            return self._fetched

    def listing(self, source: Source) -> "pl.DataFrame":
        """The files of a batch: `path` (POSIX, relative to the project) and `digest`, one row each.

        A million files take about a second and half a gigabyte. `json` needs less memory than Polars' own reader
        (562 against 771 MB) and as much time.

        Raises:
            DataError: the listing is neither in the cache nor in the remote, or names what no folder can hold.
        """
        import polars as pl

        if not source.digest.endswith(".dir"):
            return pl.DataFrame({"path": [source.path], "digest": [source.digest]})
        content = self._object(source.digest, source.path)
        try:
            items = json.loads(content)
            paths = pl.Series([item["relpath"] for item in items], dtype=pl.String)
            digests = pl.Series([item["md5"] for item in items], dtype=pl.String)
        except (ValueError, TypeError, KeyError, RecursionError, pl.exceptions.PolarsError):
            raise _foreign(source, "not a list of paths and MD5 hashes") from None
        _refuse_hostile(source, paths, digests)
        return pl.DataFrame({"path": pl.select(pl.lit(f"{source.path}/") + paths).to_series(), "digest": digests})

    def lost(self, wanted: Sequence[tuple[str, str]], title: str) -> set[str]:
        """The digests of images that are nowhere any more; the others are brought here.

        Args:
            wanted: digest and path of each image.
            title: stands before the progress bar.

        Raises:
            DataError: the remote does not answer, or images are damaged there.
        """
        try:
            self.fetch(wanted, title)
        except NowhereError:
            return {digest for digest, path in wanted if not self.is_here(digest, path)}
        return set()

    def places(self, digest: str, path: str) -> tuple[str, ...]:
        """Absolute paths where an image may lie on this machine, in the order to try them: workspace, then cache."""
        return f"{self._top}/{path}", self._cached(digest)

    def is_cache(self, path: str) -> bool:
        """Whether an absolute path, as one of DVC's links names it, is that of an object in the DVC cache."""
        folder, prefix, name = ("", "", *path.rsplit("/", 2))[-3:]
        if not _DIGEST.fullmatch(prefix + name):
            return False
        default = f"{self._top}/.dvc/cache/files/md5"
        if folder == default or os.path.realpath(folder) == os.path.realpath(default):
            return True
        self._open()
        return os.path.realpath(folder) == os.path.realpath(str(self._cache.path))

    def read(self, digest: str, path: str) -> bytes:
        """The bytes of an image, as the pointer names them, even where its file was changed since `dvc add`.

        Raises:
            DataError: the image is not in the workspace, the cache or the remote.
        """
        content = files.read_regular(f"{self._top}/{path}")
        if content is not None and files.md5(content) == digest:
            return content
        return self._object(digest, path)

    def fetch(self, wanted: Iterable[tuple[str, str]], title: str) -> Fetched:
        """Bring images that are not on this machine from the DVC remote into the DVC cache.

        A file that is here already is not hashed. What arrives is, before it is let into the cache.

        Args:
            wanted: digest and path of each image.
            title: stands before the progress bar.

        Raises:
            DataError: images are not in the remote or are damaged there, or the remote does not answer.
        """
        absent = {digest: path for digest, path in wanted if not self.is_here(digest, path)}
        return self._transfer(absent, title)

    def heal(self, wanted: Iterable[tuple[str, str]], title: str = "replace damaged files") -> Fetched:
        """Replace the cached copies of images that are damaged or gone.

        Args:
            wanted: digest and path of each image.
            title: stands before the progress bar.

        Raises:
            DataError: the remote cannot replace them; the damaged copies are gone from the cache all the same.
        """
        damaged = {}
        for digest, path in wanted:
            cached = Path(self._cached(digest))
            content = files.read_regular(cached)
            if content is None or files.md5(content) != digest.removesuffix(".dir"):
                cached.unlink(missing_ok=True)
                damaged[digest] = path
        return self._transfer(damaged, title)

    def keep_listing(self, files_of: Mapping[str, str]) -> str:
        """Put the listing of a batch into the DVC cache, as `dvc add` does.

        Args:
            files_of: digest by path below the batch.

        Returns:
            Its digest.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        self._open()
        tree: Any = Tree()  # type: ignore[no-untyped-call]
        for path, digest in files_of.items():
            tree.add(tuple(path.split("/")), None, HashInfo("md5", digest))
        tree.digest()
        self._cache.add(tree.path, tree.fs, tree.oid)
        return str(tree.oid)

    def keep(self, path: Path, digest: str) -> None:
        """Put a file into the DVC cache, as `dvc repro` does with what a stage writes once that is over."""
        from dvc_objects.fs.local import localfs

        self._open()
        self._cache.add(str(path), localfs, digest, hardlink=True)

    def is_elsewhere(self, digest: str, path: str) -> bool:
        """Whether the workspace has an image, or a place that DVC would fetch it from, as what it was imported from.

        Raises:
            DataError: a place does not answer.
        """
        if files.md5_regular(f"{self._top}/{path}") == digest:
            return True
        try:
            for turn in itertools.count():
                place = self._open().at(digest, path, turn)
                if place is None:
                    break
                if place[0].has(digest, place[1]):
                    return True
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            _refuse_silent([path], _Failure(Origin("a place that its pointer names", ""), error))
        return False

    def push(self, digests: Iterable[str]) -> int:
        """Send objects of the cache to the default remote; gives how many it did not have.

        Raises:
            DataError: see `Origins.push`.
        """
        return self._open().push(digests)

    def has(self, digest: str) -> bool:
        """Whether the cache has an object of this hash; its bytes are not looked at."""
        return os.path.isfile(self._cached(digest))  # noqa: PTH113 - speed

    def has_whole(self, digest: str) -> bool:
        """Whether the cache has an object with the bytes that its hash says; one with others is deleted.

        DVC itself trusts what is read-only, and hands damaged bytes out again.
        """
        cached = Path(self._cached(digest))
        if files.md5_regular(cached) == digest.removesuffix(".dir"):
            return True
        cached.unlink(missing_ok=True)
        return False

    def _object(self, digest: str, path: str) -> bytes:
        for _ in range(2):
            content = files.read_regular(self._cached(digest))
            if content is not None and files.md5(content) == digest.removesuffix(".dir"):
                return content
            self.heal([(digest, path)], "fetch")
        raise DataError(f"{self._cached(digest)}: does not keep its bytes; check the disk, then run `dvc fetch`")

    def is_here(self, digest: str, path: str) -> bool:
        """Whether a file of this name, or an object of this hash, is on this machine; no bytes are looked at."""
        return os.path.isfile(f"{self._top}/{path}") or os.path.isfile(self._cached(digest))  # noqa: PTH113 - speed

    def _cached(self, digest: str) -> str:
        """Where the cache keeps an object. It is looked for at the usual place first: opening DVC takes a quarter of a
        second."""
        if not _DIGEST.fullmatch(digest):
            raise DataError(f"{digest!r}: not an MD5 hash; restore the pointer or run `dvc add` on the batch again")
        default = f"{self._top}/.dvc/cache/files/md5/{digest[:2]}/{digest[2:]}"
        if self._cache is None and os.path.isfile(default):  # noqa: PTH113 - speed
            return default
        self._open()
        return str(self._cache.oid_to_path(digest))

    def _open(self) -> Origins:
        with self._lock:
            if self._origins is None:
                self._origins = Origins(self._top)
                self._cache = self._origins.cache
            return self._origins

    def _transfer(self, absent: Mapping[str, str], title: str) -> Fetched:
        """Fetch into the cache, in parallel, each from where DVC would; what fails is tried again.

        What a place says that it does not have is asked for at the next one.

        Args:
            absent: digest to path.
            title: stands before the progress bar.

        Raises:
            DataError: of what did not come, the worst: no answer, then not in the remote, then damaged there.
        """
        from tqdm import tqdm

        if not absent:
            return Fetched(0, 0)
        sizes: list[int] = []
        failures: dict[str, _Failure] = {}
        left, turn = [*absent], 0
        with tqdm(total=len(absent), desc=title, unit="image", disable=None) as bar:
            while left:
                asked = self._asked({digest: absent[digest] for digest in left}, turn)
                came, failed = self._ask(asked, bar)
                sizes += came
                failures = {digest: failures[digest] for digest in failures if digest not in asked or digest in failed}
                # Of the places that were asked, an error names the first: what the pointer says today.
                failures = {digest: _Failure(asked[digest][0], failed[digest]) for digest in failed} | failures
                left = [digest for digest, error in failed.items() if isinstance(error, _ABSENT)]
                turn += 1
        if failures:
            _refuse(failures, absent)
        return Fetched(len(sizes), sum(sizes))

    def _asked(self, absent: Mapping[str, str], turn: int) -> dict[str, tuple[Origin, Parts]]:
        """By digest, where to ask for it and its path below its batch; none for what has no further place."""
        try:
            places = {digest: self._open().at(digest, path, turn) for digest, path in absent.items()}
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            _refuse_silent([*absent.values()], _Failure(Origin("the DVC remote", ""), error))
        return {digest: place for digest, place in places.items() if place}

    def _ask(self, asked: Mapping[str, tuple[Origin, Parts]], bar: Any) -> tuple[list[int], dict[str, Exception]]:
        """Fetch from one place each; gives the sizes in bytes of what came, and the error of each that did not."""
        sizes: list[int] = []
        failed: dict[str, Exception] = {}
        left = [*asked]
        for wait in WAITS if left else ():
            time.sleep(wait)
            came, now = self._attempt({digest: asked[digest] for digest in left}, bar)
            sizes += came
            failed = {digest: failed[digest] for digest in failed if digest not in left} | now
            left = [digest for digest, error in now.items() if not isinstance(error, FileNotFoundError)]
            if not left:
                break
        return sizes, failed

    def _attempt(self, asked: Mapping[str, tuple[Origin, Parts]], bar: Any) -> tuple[list[int], dict[str, Exception]]:
        """Try each once; gives the sizes in bytes of what came, and the error of each that did not.

        A remote that fails many times in a row is not asked for the rest.
        """
        from dvc_objects.executors import ThreadPoolExecutor

        came: dict[str, int] = {}
        failed: dict[str, Exception] = {}
        in_a_row = 0
        jobs = max(origin.jobs for origin, _ in asked.values())
        with ThreadPoolExecutor(max_workers=jobs, cancel_on_error=True) as pool:
            for digest, outcome in pool.imap_unordered(lambda digest: self._download(digest, *asked[digest]), asked):
                if isinstance(outcome, int):
                    came[digest] = outcome
                    in_a_row = 0
                    bar.update()
                    continue
                failed[digest] = outcome
                in_a_row += not isinstance(outcome, FileNotFoundError)
                if in_a_row >= GIVE_UP:
                    pool.shutdown(wait=False, cancel_futures=True)
                    failed |= {other: outcome for other in asked if other not in came and other not in failed}
                    break
        with self._lock:
            total = self._fetched
            self._fetched = Fetched(total.num_objects + len(came), total.num_bytes + sum(came.values()))
        return [*came.values()], failed

    def _download(self, digest: str, origin: Origin, parts: Parts) -> tuple[str, int | Exception]:
        """Fetch into the cache under a temporary name, renamed if the bytes have their hash; gives the size in bytes.

        Objects come one by one, for DVC's transfer of many moves half an object into the cache if the connection
        breaks (dvc-objects 5.2, `fs.generic._get`: the error is swallowed inside of `as_atomic`).
        """
        from dvc_objects.fs.local import localfs
        from dvc_objects.fs.utils import as_atomic

        target = Path(self._cache.oid_to_path(digest))
        try:
            if not target.parent.is_dir():
                self._cache.makedirs(str(target.parent))
            with as_atomic(localfs, str(target)) as temporary:
                origin.get(digest, parts, temporary)
                size = _checked_size(temporary, digest)
            self._cache.protect(str(target))
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            return digest, error
        return digest, size


def _refuse_hostile(source: Source, paths: "pl.Series", digests: "pl.Series") -> None:
    """Anyone who may push can write a listing: no path may lead out of the batch, and no hash out of the cache."""
    if paths.has_nulls() or digests.has_nulls() or not digests.str.contains(r"^[0-9a-f]{32}$").all():
        raise _foreign(source, "an entry without a path or an MD5 hash")
    hostile = paths.filter(paths.str.contains(_HOSTILE))
    if len(hostile):
        raise _foreign(source, f"the path {hostile[0]!r}")
    if paths.n_unique() < len(paths):
        raise _foreign(source, f"the path {paths.filter(paths.is_duplicated())[0]!r} twice")


def _foreign(source: Source, what: str) -> DataError:
    return DataError(
        f"the listing of {source.path}: {what}; expected what `dvc add` writes; run `dvc add {source.path}` on the "
        f"images, or restore its pointer with `git checkout HEAD -- {source.path}.dvc`"
    )


def _refuse(failures: Mapping[str, _Failure], names: Mapping[str, str]) -> NoReturn:
    """Name the worst kind of what did not come, and of it the part that one place should have had.

    Args:
        failures: by hash, why it did not come.
        names: path by hash.
    """
    silent = {digest: one for digest, one in failures.items() if not isinstance(one.error, _ABSENT)}
    missing = {digest: one for digest, one in failures.items() if isinstance(one.error, FileNotFoundError)}
    worst = silent or missing or failures
    first = next(digest for digest in names if digest in worst)
    origin = worst[first].origin
    digests = [digest for digest in names if digest in worst and worst[digest].origin.name == origin.name]
    paths = [f"the listing of {names[one]}" if one.endswith(".dir") else names[one] for one in digests]
    if silent:
        _refuse_silent(paths, worst[first])
    if missing:
        reason = origin.fault or f"{first} is not {'in the remote' if origin.is_remote else 'there'}"
        raise NowhereError(
            f"{_few(paths)}: not in the workspace, the DVC cache or {origin.name} ({reason}); {origin.remedy}"
            f"{_anew(first, names[first]) if origin.is_pushed else ''}"
        )
    again = f"delete that object there and run `dvc push` where it was added{_PUSH_ANEW}"
    remedy = again if origin.is_pushed else origin.remedy
    raise DataError(f"{_few(paths)}: damaged in {origin.name}, the bytes do not have the hash {first}; {remedy}")


def _anew(digest: str, path: str) -> str:
    """Words for a push that helps: of a listing, from the commit whose pointer names it, for `dvc push` sends what the
    checked-out commit names."""
    if not digest.endswith(".dir"):
        return _PUSH_ANEW
    commit = git.first_commit_with(digest, f"{path}.dvc")
    return f"; its pointer is of commit {commit}: `git checkout {commit}`, then `dvc push` there" if commit else ""


def _refuse_silent(paths: Sequence[str], failure: _Failure) -> NoReturn:
    what, why, origin = _few(paths), one_line(failure.error), failure.origin
    if isinstance(failure.error, OSError) and failure.error.errno in _NO_ROOM:
        raise DataError(
            f"{what}: the DVC cache cannot take it ({why}); make room on that disk, or take another with "
            "`dvc cache dir --local PATH`"
        )
    whose = "the remote's address and credentials (`dvc remote list`)" if origin.is_remote else "the address"
    raise DataError(
        f"{what}: {origin.name} does not answer, tried {len(WAITS)} times ({why}); check the network and {whose}, then "
        "run the same again"
    )


def _few(paths: Sequence[str]) -> str:
    shown = ", ".join(map(readable, paths[:FEW]))
    return f"{shown} and {len(paths) - FEW} more" if len(paths) > FEW else shown


def _checked_size(path: str, digest: str) -> int:
    """Bytes of a file that has this hash."""
    actual = files.md5_file(path)
    if actual != digest.removesuffix(".dir"):
        raise _WrongBytesError(actual)
    return Path(path).stat().st_size
