"""Where images and listings come from by content hash: workspace, DVC cache, DVC remote. Home of DVC."""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from pipeline.errors import DataError
from pipeline.sources import Source


class Store:
    """Reads objects of one DVC project by their hash; never a whole directory.

    Safe to share between threads.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._repo: Any = None
        self._remote: Any = None

    def listing(self, source: Source) -> dict[str, str]:
        """Path (POSIX, relative to the project) to digest, for each file of a batch.

        Raises:
            DataError: the listing is neither in the cache nor in the remote.
        """
        content = self._object(source.digest, f"the listing of {source.path}")
        return {f"{source.path}/{item['relpath']}": item["md5"] for item in json.loads(content)}

    def read(self, digest: str, path: str) -> bytes:
        """The bytes of an image; where its file was changed since `dvc add`, those of the pointer.

        Raises:
            DataError: the image is not in the workspace, the cache or the remote.
        """
        try:
            content = (self.root / path).read_bytes()
        except OSError:
            content = None
        if content is not None and _md5(content) == digest:
            return content
        return self._object(digest, path)

    def _object(self, digest: str, name: str) -> bytes:
        with self._lock:
            if self._repo is None:
                self._open()
        cached = Path(self._repo.cache.local.oid_to_path(digest))
        if cached.is_file():
            return _verified(cached.read_bytes(), digest, str(cached), "delete it and run `dvc fetch`")
        remedy = "delete that object there and run `dvc push` where the image was added"
        return _verified(self._fetch(digest, name), digest, f"{name} in the DVC remote", remedy)

    def _open(self) -> None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            self._repo = Repo(str(self.root))
        except DvcException as error:
            raise DataError(f"{self.root}: not a DVC project ({_line(error)}); run this where dvc.yaml is") from None

    def _fetch(self, digest: str, name: str) -> bytes:
        from dvc.exceptions import DvcException

        try:
            with self._lock:
                if self._remote is None:
                    self._remote = self._repo.cloud.get_remote_odb()
            with self._remote.fs.open(self._remote.oid_to_path(digest), "rb") as file:
                content: bytes = file.read()
            return content
        except DvcException as error:
            reason = _line(error)
        except FileNotFoundError:
            reason = f"{digest} is not in the remote"
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            reason = f"the remote does not answer: {_line(error)}"
        raise DataError(
            f"{name}: not in the workspace, the DVC cache or the DVC remote ({reason}); run `dvc push` where it was "
            "added, or set the remote with `dvc remote modify`"
        )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _verified(content: bytes, digest: str, where: str, remedy: str) -> bytes:
    if _md5(content) != digest.removesuffix(".dir"):
        raise DataError(f"{where}: damaged, its bytes do not have the hash {digest}; {remedy}")
    return content


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
