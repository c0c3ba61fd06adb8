"""The one place that writes files: whole or not at all."""

import hashlib
import io
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.errors import DataError, UnreadableError, one_line

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_UNBLOCKED = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

MAX_INFLATION = 100
"""By how much arrays may be larger than the file that has them; weights hardly shrink when they are compressed."""

PARTIAL = ".partial"
"""How temporary names end."""


def write(path: Path, content: bytes) -> None:
    """Write to a temporary name, flush to disk, rename: a reader sees the old file or the new one.

    The rename alone does not survive a power loss; see ALICE (OSDI 2014) on why both syncs matter.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path)  # a full disk has no name
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Delete what a `write` that was killed left in a folder, which nobody else may be writing to."""
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that is the same bytes for the same value: sorted keys, no time stamps of ours."""
    write(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read(path: Path) -> bytes:
    """Read a file that a stage wrote.

    Raises:
        DataError: it is missing; names it and the remedy.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def read_regular(path: str | Path, flags: int = 0) -> bytes | None:
    """The bytes of a regular file, or of one behind a link; None for anything else.

    Opening a FIFO would wait for a writer, hence O_NONBLOCK.

    Args:
        path: of the file.
        flags: of `os.open`, besides; O_NOFOLLOW refuses links.
    """
    try:
        with _open(path, flags) as file:
            return file.read() if _is_regular(file) else None
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None


def _open(path: str | Path, flags: int) -> io.FileIO:
    return open(path, "rb", buffering=0, opener=lambda name, mode: os.open(name, mode | _UNBLOCKED | flags))


def _is_regular(file: io.FileIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def md5(content: bytes) -> str:
    """Hex MD5 of bytes: the digest by which DVC knows an image."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_file(path: str | Path) -> str:
    """Hex MD5 of a file's bytes, which need not fit into memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def md5_regular(path: str | Path, flags: int = 0) -> str | None:
    """Hex MD5 of the file that `read_regular` would read, which need not fit into memory; None for anything else.

    Raises:
        OSError: the file is there and cannot be read to its end.
    """
    try:
        file = _open(path, flags)
    except (OSError, ValueError):
        return None
    with file:
        if not _is_regular(file):
            return None
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage wrote.

    Raises:
        DataError: the file is missing or is not JSON; names the file and the remedy.
    """
    try:
        return json.loads(read(path))
    except ValueError as error:
        raise UnreadableError(path, f"not valid JSON ({error})") from None


def parse_yaml(content: bytes | str) -> Any:
    """YAML as plain values, by libyaml where there is one: ten times as fast.

    Raises:
        yaml.YAMLError: it is not YAML.
    """
    import yaml

    try:
        value = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        has_end = _has_end(value, set(), set())
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        # A 13th month, `!!bool x`, brackets without end: PyYAML lets Python's errors pass.
        raise yaml.YAMLError(str(error)) from None
    if not has_end:
        raise yaml.YAMLError("a list or mapping is inside of itself")
    return value


def _has_end(value: Any, above: set[int], seen: set[int]) -> bool:
    """Whether no list or mapping is inside of itself, as aliases of YAML can make it; each is looked at once."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return id(value) not in above
    above.add(id(value))
    seen.add(id(value))
    inside = value.values() if isinstance(value, dict) else value
    found = all(_has_end(one, above, seen) for one in inside)
    above.discard(id(value))
    return found


def write_table(path: Path, table: "pl.DataFrame") -> None:
    """Write a table as Parquet."""
    sink = io.BytesIO()
    table.write_parquet(sink, compression="zstd")
    write(path, sink.getvalue())


def read_table(path: Path, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """Read a Parquet table that a stage wrote, or some of its columns.

    Raises:
        DataError: the file is missing or is not Parquet.
    """
    import polars as pl

    with _parquet(path):
        return pl.read_parquet(path, columns=list(columns) if columns else None)


def columns(path: Path) -> list[str]:
    """Names of the columns of a Parquet table that a stage wrote.

    Raises:
        DataError: see `read_table`.
    """
    import polars as pl

    with _parquet(path):
        return list(pl.read_parquet_schema(path))


@contextmanager
def _parquet(path: Path) -> Iterator[None]:
    import polars as pl

    try:
        yield
    except FileNotFoundError:
        raise _missing(path) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UnreadableError(path, f"not a Parquet table ({reason})") from None


def write_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Write named arrays as an uncompressed .npz: the same arrays are always the same bytes."""
    import numpy as np

    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **dict(arrays))
    write(path, sink.getvalue())


def read_arrays(path: Path) -> "dict[str, np.ndarray]":
    """Read named arrays; never unpickles, so a hostile file cannot run code, and takes no more memory than it may.

    Raises:
        DataError: the file is missing, torn, or holds anything but plain arrays, or far more than its size says.
    """
    import zipfile

    import numpy as np

    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_INFLATION * path.stat().st_size + (1 << 20):
                raise ValueError(f"it would unpack to {unpacked:,} bytes")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise _missing(path) from None
    except Exception as error:  # noqa: BLE001 - zip, zlib, numpy and Python's parser raise anything on hostile bytes
        raise UnreadableError(path, f"not a whole .npz of plain arrays ({one_line(error)[:200]})") from None
    if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise UnreadableError(path, f"not a whole .npz of plain arrays ({others[0]} is no array)")
    return arrays


def _missing(path: Path) -> DataError:
    return DataError(f"{path}: no such file; a stage before this one writes it, so run `dvc repro`")


def sha256(content: bytes) -> str:
    """Hex SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value, independent of key order."""
    return sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
