"""Objects: what lies in DVC's cache and remote, listed once with size and age, read by hash, and deleted."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files
from pipeline.base.errors import DataError, one_line
from pipeline.data.references import DIGEST

if TYPE_CHECKING:
    import polars as pl

AT_ONCE = 500
"""Objects that one request deletes, at most."""

REMEMBERED = 16
"""Listings that are kept in memory: one of a million files takes 100 MB."""

_TIMES = ("created", "mtime", "LastModified", "last_modified", "creation_time", "modified", "updated")
"""What clients of remotes call the time of an object's last change."""


@dataclass(frozen=True)
class Objects:
    """The cache or a remote: objects by their hash."""

    name: str
    """For people."""
    odb: Any = field(repr=False)
    """DVC's object database."""

    def listed(self) -> "pl.DataFrame":
        """All objects, columns place, digest, bytes, changed: seconds since 1970, null where that is not told.

        Raises:
            DataError: the place does not answer.
        """
        import polars as pl

        digests: list[str] = []
        sizes: list[int] = []
        times: list[float | None] = []
        try:
            for digest, size, changed in self._on_disk() if self._is_local else self._elsewhere():
                digests.append(digest)
                sizes.append(size)
                times.append(changed)
        except Exception as error:  # noqa: BLE001 - each remote client has exceptions of its own
            raise DataError(
                f"{self.name} cannot be listed ({one_line(error)}); nothing was deleted; check its address and "
                "credentials (`dvc remote list`), then run the same again"
            ) from None
        schema = {"digest": pl.String, "bytes": pl.Int64, "changed": pl.Float64}
        table = pl.DataFrame([digests, sizes, times], schema=schema)
        return table.select(pl.lit(self.name).alias("place"), *schema)

    def read(self, digest: str) -> bytes | None:
        """An object with the bytes that its hash says; None where there is none.

        Raises:
            DataError: the place does not answer.
        """
        path = self.odb.oid_to_path(digest)
        try:
            content = files.read_regular(path) if self._is_local else self.odb.fs.cat_file(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - see above
            raise DataError(f"{self.name} does not answer ({one_line(error)}); run the same again") from None
        return content if content is not None and files.md5(content) == digest.removesuffix(".dir") else None

    def delete(self, digests: Sequence[str]) -> Iterator[int]:
        """Delete objects; gives how many are done each time. What is gone already is no error.

        Raises:
            DataError: the place refuses.
        """
        for start in range(0, len(digests), AT_ONCE):
            some = [self.odb.oid_to_path(digest) for digest in digests[start : start + AT_ONCE]]
            try:
                self._remove(some)
            except Exception as error:  # noqa: BLE001 - see above
                raise DataError(
                    f"{self.name} deleted {start:,} of {len(digests):,} objects and refuses the next ones "
                    f"({one_line(error)}); all that is needed is there still; mend that and run the same again"
                ) from None
            yield len(some)

    def forget(self) -> None:
        """Let DVC ask this remote anew which listings it has: it remembers those that it pushed."""
        from dvc_data.hashfile.db import get_index

        get_index(self.odb).clear()

    @property
    def _is_local(self) -> bool:
        return bool(self.odb.fs.protocol == "local")

    def _on_disk(self) -> Iterator[tuple[str, int, float]]:
        """A file keeps its old time of change where it is moved into the cache; what tells then is the inode's."""
        root = Path(self.odb.path)
        for folder in (one for one in (root.iterdir() if root.is_dir() else ()) if len(one.name) == 2):
            with os.scandir(folder) as inside:
                for entry in inside:
                    if DIGEST.fullmatch(folder.name + entry.name):
                        with suppress(FileNotFoundError):  # DVC renames and deletes, too
                            status = entry.stat()
                            changed = max(status.st_mtime, status.st_ctime)
                            yield folder.name + entry.name, status.st_size, changed

    def _elsewhere(self) -> Iterator[tuple[str, int, float | None]]:
        fs = self.odb.fs
        if not fs.CAN_TRAVERSE:
            raise NotImplementedError("this kind of remote gives no list of what it has")
        try:
            found = fs.fs.find(self.odb.path, detail=True)
        except FileNotFoundError:
            return
        for path, info in found.items():
            prefix, name = path.rsplit("/", 2)[-2:]
            if DIGEST.fullmatch(prefix + name):
                yield prefix + name, int(info.get("size") or 0), _changed(info)

    def _remove(self, paths: Sequence[str]) -> None:
        if self._is_local:
            for path in paths:
                Path(path).unlink(missing_ok=True)
            return
        try:
            self.odb.fs.remove(list(paths))
        except FileNotFoundError:  # somebody else deletes, too
            for path in paths:
                with suppress(FileNotFoundError):
                    self.odb.fs.remove(path)


class Listings:
    """Listings of folders, read wherever a place has them; nothing is kept on this machine."""

    def __init__(self, places: Sequence[Objects], held: "pl.DataFrame") -> None:
        """Of objects that were listed, see `Objects.listed`."""
        rows = held.filter(held["digest"].str.ends_with(".dir")).select("digest", "place")
        self._places = {place.name: place for place in places}
        self._where: dict[str, list[str]] = {}
        for digest, name in rows.iter_rows():
            self._where.setdefault(digest, []).append(name)
        self._read: dict[str, pl.DataFrame | None] = {}

    def files(self, digest: str) -> "pl.DataFrame | None":
        """What a listing names, columns path, relative to its folder, and digest; None where it is nowhere, or damaged.

        Raises:
            DataError: a place does not answer.
        """
        if digest not in self._read:
            contents = (self._places[name].read(digest) for name in self._where.get(digest, ()))
            table = next((entries(content) for content in contents if content is not None), None)
            self._read = {name: self._read[name] for name in [*self._read][1 - REMEMBERED :]} | {digest: table}
        return self._read[digest]

    def named(self, digests: Iterable[str]) -> set[str]:
        """Everything that these objects name, they themselves included."""
        found: set[str] = set()
        for digest in digests:
            found.add(digest)
            table = self.files(digest) if digest.endswith(".dir") else None
            if table is not None:
                found.update(table["digest"].to_list())
        return found


def entries(content: bytes) -> "pl.DataFrame | None":
    """What the bytes of a listing name, columns path and digest; None where they are none."""
    import polars as pl

    try:
        rows = [(str(item["relpath"]), str(item["md5"])) for item in json.loads(content)]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return pl.DataFrame(rows, schema={"path": pl.String, "digest": pl.String}, orient="row")


def _changed(info: dict[str, Any]) -> float | None:
    """When an object was last changed, by what a client of a remote says of it."""
    found = []
    for name in _TIMES:
        value = info.get(name)
        with suppress(ValueError):
            value = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(value, datetime):
            found.append(value.timestamp())
        elif isinstance(value, int | float):
            found.append(float(value))
    return max(found, default=None)
