"""Origins: where DVC would fetch a batch's objects from: a remote, a project, an address. Home of DVC.

A pointer may name a remote of its own, or say where the batch was imported from (`dvc import`, `dvc import-url`). DVC
itself reads it; what follows from it is as in `dvc.repo.index._load_storage_from_out` of DVC 3.67, by which `dvc fetch`
goes.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.base import files, git
from pipeline.base.errors import DataError, one_line

VERSIONS = 20
"""Earlier versions of a pointer that are asked where their objects were."""

Parts = tuple[str, ...]
"""A path below a batch; that of the batch itself is empty."""


@dataclass(frozen=True)
class Origin:
    """One place to fetch objects from."""

    name: str
    """For a message."""
    remedy: str
    """What to do if an object is not there."""
    is_pushed: bool = False
    """Whether `dvc push` sends there, by their hashes, what the checked-out commit names."""
    storage: Any = field(default=None, repr=False)
    """DVC's `Storage`: objects by their hash, or files by their path. None where nothing can be had from there."""
    fault: str = ""
    """Why it is None."""
    tree: Callable[[], Any] | None = field(default=None, repr=False)
    """Gives DVC's `Tree` of the batch where no object is its listing."""
    versions: Mapping[Parts, Any] = field(default_factory=dict, repr=False)
    """DVC's `Meta` by file, where the place keeps several versions of each."""

    @property
    def key(self) -> tuple[str, frozenset[str]]:
        """What tells it apart from other places."""
        return self.name, frozenset(map(str, self.versions.values()))

    @property
    def is_remote(self) -> bool:
        """Whether it is a remote of DVC's, not what a batch was imported from."""
        return self.name.startswith("the DVC remote")

    @property
    def jobs(self) -> int:
        """Downloads at a time."""
        return int(self.storage.fs.jobs) if self.storage else 1

    def get(self, digest: str, parts: Parts, target: str) -> None:
        """Write an object to a file. Its hash is not looked at.

        Args:
            digest: of the object.
            parts: of the file.
            target: path of the file to write.

        Raises:
            FileNotFoundError: it is not there.
            Exception: each client of a remote has exceptions of its own.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.index import DataIndexEntry

        if self.storage is None:
            raise FileNotFoundError(self.fault)
        if self.tree and digest.endswith(".dir"):
            Path(target).write_bytes(self.tree().as_bytes())
            return
        entry = DataIndexEntry((*self.storage.key, *parts), self.versions.get(parts), HashInfo("md5", digest))
        try:
            fs, path = self.storage.get(entry)
        except ValueError as error:  # the remote keeps versions and the pointer names none
            raise FileNotFoundError(one_line(error)) from None
        fs.get_file(path, target)

    def has(self, digest: str, parts: Parts) -> bool:
        """Whether an object is there; its bytes are not looked at.

        Raises:
            Exception: as in `get`.
        """
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.index import DataIndexEntry

        if self.storage is None:
            return False
        entry = DataIndexEntry((*self.storage.key, *parts), self.versions.get(parts), HashInfo("md5", digest))
        try:
            fs, path = self.storage.get(entry)
        except ValueError:
            return False
        return bool(fs.exists(path))


class Origins:
    """The origins of all batches of a DVC project. Safe to share between threads."""

    def __init__(self, top: str) -> None:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo import Repo

        try:
            self._repo = Repo(top)
        except NotDvcRepoError as error:
            raise DataError(
                f"{top}: not a DVC project ({one_line(error)}); restore its folder .dvc with `git checkout HEAD -- "
                ".dvc`, or run this where dvc.yaml is"
            ) from None
        except DvcException as error:
            raise DataError(f"{top}: DVC fails: {one_line(error)}; mend that until `dvc status` works") from None
        self.cache = self._repo.cache.local
        """DVC's object database on this machine."""
        self._top = top
        self._lock = threading.RLock()
        self._batches: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._named_otherwise: dict[str, Any] = {}
        """By batch, DVC's `Output` of a pointer that has another name, or lies in another folder."""
        self._texts: dict[str, list[str]] = {}
        self._found: dict[str, dict[tuple[str, frozenset[str]], Origin]] = {}
        self._left: dict[str, Iterator[Origin]] = {}

    def at(self, digest: str, path: str, turn: int) -> tuple[Origin, Parts] | None:
        """Where to ask for an object, and its path below its batch.

        First what the batch's pointer says; then, for a state of the data that is not today's, what earlier versions of
        the pointer said; then the default remote.

        Args:
            digest: of the object.
            path: of the file, or of the batch if the object is its listing; relative to the project.
            turn: from 0.

        Returns:
            None where no further place is left to ask.
        """
        with self._lock:
            batch = self._batch(path, is_listing=digest.endswith(".dir"))
            found = self._found.setdefault(batch, {})
            left = self._left.setdefault(batch, self._search(batch))
            while len(found) <= turn:
                origin = next(left, None)
                if origin is None:
                    return None
                found.setdefault(origin.key, origin)
            return [*found.values()][turn], PurePosixPath(path).relative_to(batch).parts

    def remote(self, name: str | None) -> Any:
        """DVC's object database in a remote, in the default one if none is named; None where that keeps versions of
        files, not objects by their hash.

        Raises:
            DataError: there is no such remote.
        """
        from dvc.exceptions import DvcException

        try:
            remote = self._repo.cloud.get_remote(name)
        except DvcException as error:
            raise DataError(
                f"{one_line(error)}; expected a DVC remote; `dvc remote add --default NAME URL` makes one"
            ) from None
        return None if remote.fs.version_aware else remote.odb

    @property
    def remote_name(self) -> str | None:
        """Of the default remote, if there is one."""
        name = self._repo.config["core"].get("remote")
        return None if name is None else str(name)

    @property
    def runs(self) -> Path | None:
        """Folder of the run-cache; None where other projects may share it."""
        folder = Path(self._repo.cache.legacy.path)
        return folder / "runs" if folder == Path(self._top) / ".dvc/cache" else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """No command of DVC's changes this project meanwhile.

        Raises:
            DataError: one is running.
        """
        from dvc.lock import LockError

        try:
            self._repo.lock.lock()
        except LockError as error:
            raise DataError(
                f"DVC is at work here ({one_line(error)}); wait until it ends, then run this again"
            ) from None
        try:
            yield
        finally:
            self._repo.lock.unlock()

    def push(self, digests: Iterable[str]) -> int:
        """Send objects of the cache to the default remote; gives how many it did not have.

        Raises:
            DataError: there is no remote, or it does not take them.
        """
        from dvc_data.hashfile.hash_info import HashInfo

        try:
            sent = self._repo.cloud.push([HashInfo("md5", digest) for digest in digests])
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            raise DataError(f"the DVC remote takes nothing: {one_line(error)}") from None
        if sent.failed:
            raise DataError(f"the DVC remote did not take {len(sent.failed)} of {len(sent.failed | sent.transferred)}")
        return len(sent.transferred)

    def _batch(self, path: str, is_listing: bool) -> str:
        """What a pointer tracks or, in an earlier commit, tracked; where there is none, the folder of the file."""
        if path not in self._batches:
            folder = path if is_listing else str(PurePosixPath(path).parent)
            above = (path, *map(str, PurePosixPath(path).parents))[:-1]
            tracked = (one for one in above if os.path.isfile(f"{self._top}/{one}.dvc"))  # noqa: PTH113 - speed
            self._batches[path] = next(tracked, "") or self._batch_of_folder(folder)
        return self._batches[path]

    def _batch_of_folder(self, folder: str) -> str:
        """The same of a folder without a pointer of that name, or above."""
        from dvc.exceptions import DvcException

        if folder not in self._folders:
            self._folders[folder] = folder
            above = (folder, *map(str, PurePosixPath(folder).parents))[:-1]
            if once := [one for one in above if self._earlier(f"{one}.dvc")]:
                self._folders[folder] = once[-1]
            with suppress(DvcException):  # there is none
                (out,) = self._repo.find_outs_by_path(f"{self._top}/{folder}", strict=False)
                batch = os.path.relpath(out.fs_path, self._top)
                self._folders[folder], self._named_otherwise[batch] = batch, out
        return self._folders[folder]

    def _earlier(self, pointer: str) -> list[str]:
        """What Git has of a pointer."""
        if pointer not in self._texts:
            self._texts[pointer] = git.versions(pointer, VERSIONS)
        return self._texts[pointer]

    def _search(self, batch: str) -> Iterator[Origin]:
        """All places to ask for a batch; the next one is looked for when it is its turn."""
        pointer = f"{batch}.dvc"
        content = files.read_regular(f"{self._top}/{pointer}")
        if content:
            yield from self._of(self._output(pointer, content))
        yield from self._of(self._named_otherwise.get(batch))
        for earlier in self._earlier(pointer):
            yield from (origin for origin in self._of(self._output(pointer, earlier.encode())) if origin.storage)
        yield self._remote(None, pointer)

    def _output(self, pointer: str, content: bytes) -> Any:
        """DVC's `Output` of a pointer; None if it is none."""
        import yaml
        from dvc.dvcfile import SingleStageFile
        from dvc.exceptions import DvcException
        from dvc.stage.loader import SingleStageLoader

        place = SingleStageFile(self._repo, f"{self._top}/{pointer}")
        try:
            (out,) = SingleStageLoader.load_stage(place, files.parse_yaml(content), None).outs
        except (DvcException, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError):
            return None  # as one that a merge left in conflict
        return out

    def _of(self, out: Any) -> Iterator[Origin]:
        """What a pointer says."""
        if out is None:
            return
        stage = out.stage
        pointer = stage.path_in_repo
        if stage.is_repo_import:
            repo = stage.deps[0].def_repo
            project, commit = repo["url"], str(repo.get("rev_lock", ""))[:7]
            yield self._source(
                out,
                f"the project {project} at {commit} that {pointer} names",
                f"run `dvc push` in {project} at {commit}, or `dvc update {pointer}` to import what it has now",
            )
            return
        if not stage.is_versioned_import:
            yield self._remote(out, pointer)
        if stage.is_import and not stage.is_db_import:
            url = stage.deps[0].def_path
            yield self._source(out, url, f"`dvc update {pointer}` to import again from {url}")

    def _source(self, out: Any, name: str, remedy: str) -> Origin:
        """What a batch was imported from: there are files, by their path."""
        from dvc_data.hashfile.build import build
        from dvc_data.hashfile.tree import Tree
        from dvc_data.index import FileStorage

        dep = out.stage.deps[0]
        versions = _versions(dep)

        def tree() -> Any:
            """Of the hash of each file there: DVC's projects know it, of others each file is read."""
            if dep.files:
                return Tree.from_list(dep.files, hash_name="md5")
            return build(self.cache, dep.fs_path, dep.fs, "md5", dry_run=True)[2]

        return Origin(name, remedy, storage=FileStorage((), dep.fs, dep.fs_path), tree=tree, versions=versions)

    def _remote(self, out: Any, pointer: str) -> Origin:
        """The remote that a pointer names, or the default one."""
        from dvc.exceptions import DvcException
        from dvc_data.index import FileStorage, ObjectStorage

        named = out.remote if out else None
        name = f"the DVC remote {named}" if named else "the DVC remote"
        remedy = _remedy(out, pointer, named or self._repo.config["core"].get("remote", "NAME"))
        try:
            remote = self._repo.cloud.get_remote(named)
        except DvcException as error:
            if named:
                remedy = f"run `dvc remote add {named} URL`"
            return Origin(name, remedy, fault=one_line(error))
        if not remote.fs.version_aware:
            is_pushed = out is None or (out.can_push and not out.stage.is_import)
            return Origin(name, remedy, is_pushed, ObjectStorage((), remote.odb))
        if out is None:  # there are no objects by their hash
            return Origin(name, remedy, fault="it keeps versions of files, which only a pointer names")
        storage = FileStorage(out.index_key[1], remote.fs, remote.path, prefix=())
        versions = _versions(out)
        return Origin(name, remedy, storage=storage, tree=out.get_obj if out.files else None, versions=versions)


def _remedy(out: Any, pointer: str, name: str) -> str:
    """What to do about an object that is not in the remote of this name."""
    if out and not out.can_push:
        return (
            f"it is not pushed (`push: false` in {pointer}); take that line out, then run `dvc push` where it was added"
        )
    if out and out.stage.is_import:
        return f"run `dvc push` where it was imported, or `dvc update {pointer}` to import it again"
    modify = f"dvc remote modify --local {name} url URL"
    return f"run `dvc push` where it was added, or set the remote with `{modify}`"


def _versions(out: Any) -> dict[Parts, Any]:
    """DVC's `Meta` by file, with the version that a cloud gave it; of a batch in a DVC 3 project none have one."""
    if out.files:
        return {key: meta for key, meta, _ in out.get_obj()}
    return {(): out.meta} if out.meta.version_id else {}
