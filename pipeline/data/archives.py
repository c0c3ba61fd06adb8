"""Archives of images, ZIP and tar, unpacked by the standard library: only plain files, only inside, only so much.

What an archive says of owners, modes and times is not taken over, and archives in it are files like others.
"""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from pipeline.base.errors import DataError, one_line
from pipeline.base.words import counted

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""How the names of archives end."""

MAX_FILES = 2_000_000
"""Of an archive, folders included."""

MAX_RATIO = 100
"""Bytes that may come out of one byte of an archive. Encoded images hardly shrink; a bomb has 1,000 and more."""

FREE_BYTES = 256 * 2**20
"""Bytes that may come out whatever the ratio: drawings as BMP shrink a lot."""

CHUNK = 1 << 20
"""Bytes that are read at once."""

_DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    UnicodeError,
    ValueError,
)


@dataclass(frozen=True)
class _Member:
    """An entry of an archive."""

    name: str
    size: int
    """Bytes, as the archive says."""
    is_folder: bool
    fault: str
    """What it is if it is neither a file nor a folder, or cannot be read; else empty."""
    open: Callable[[], IO[bytes]]


def stem(path: Path) -> str:
    """The name of an archive without its ending; empty if a file of this name is none."""
    ending = max((end for end in ENDINGS if path.name.lower().endswith(end)), key=len, default="")
    return path.name[: -len(ending)] if ending else ""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a new folder.

    Raises:
        DataError: it is damaged or encrypted, holds links, devices or paths that lead out, or is a bomb.
    """
    most = max(FREE_BYTES, MAX_RATIO * archive.stat().st_size)
    folder.mkdir(parents=True)
    left, seen = most, 0
    try:
        with _members(archive) as members:
            for member in members:
                seen, left = seen + 1, left - member.size
                if seen > MAX_FILES:
                    raise DataError(f"{archive}: holds more than {counted(MAX_FILES, 'file')}; {_OTHERWISE}")
                if left < 0:
                    raise DataError(
                        f"{archive}: unpacks to more than {most // 2**20:,} MiB, {MAX_RATIO} times its size, as only a "
                        f"bomb does; {_OTHERWISE}"
                    )
                _take(archive, member, folder)
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: a damaged archive, or none ({one_line(error)}); expected ZIP or tar; fetch or pack it anew"
        ) from None
    except OSError as error:
        if error.errno is not None:  # the disk's; of a damaged bzip2 stream it has none
            error.filename = error.filename or str(folder)
            raise
        raise DataError(f"{archive}: a damaged archive ({one_line(error)}); fetch or pack it anew") from None


_OTHERWISE = "unpack it yourself if you trust it, and add the folder"


def _take(archive: Path, member: _Member, folder: Path) -> None:
    name = member.name.replace("\\", "/").rstrip("/")
    parts = [part for part in name.split("/") if part != "."]
    if not parts:
        return
    inside = not name.startswith("/") and ".." not in parts and "" not in parts and ":" not in parts[0]
    if not inside or "\0" in name:
        raise DataError(f"{archive}: holds {member.name!r}, which would lie outside of it; {_WITHOUT}")
    if member.fault:
        raise DataError(f"{archive}: holds {member.name!r}, {member.fault}; {_WITHOUT}")
    target = folder.joinpath(*parts)
    if member.is_folder:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise DataError(
            f"{archive}: holds {member.name!r} twice, or in capital and small letters, which is one name on this disk; "
            f"{_WITHOUT}"
        )
    left = member.size
    with member.open() as source, open(target, "xb") as file:
        while content := source.read(min(CHUNK, left + 1)):
            left -= len(content)
            if left < 0:
                raise zipfile.BadZipFile(f"{member.name!r} is longer than the archive says")
            file.write(content)
    if left:
        raise EOFError(f"{member.name!r} ends too early")


_WITHOUT = "expected folders and plain files of their own; pack it anew without that"


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    """The entries of an archive, to be read in their order."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            yield _of_zip(zipped)
    else:
        with tarfile.open(archive, "r:*") as packed:
            yield _of_tar(packed)


def _of_zip(zipped: zipfile.ZipFile) -> Iterator[_Member]:
    for info in zipped.infolist():
        kind = info.external_attr >> 28  # the file's type in a Unix mode: 8 a file, 4 a folder, 0 not said
        fault = "" if kind in (0, 4, 8) else "a link" if kind == 10 else "a device"
        if info.flag_bits & 1:
            fault = "which is encrypted"
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            fault = f"which is compressed in a way that is not read here (number {info.compress_type})"
        yield _Member(info.filename, info.file_size, info.is_dir(), fault, partial(zipped.open, info))


def _of_tar(packed: tarfile.TarFile) -> Iterator[_Member]:
    for info in packed:
        fault = "" if info.isfile() or info.isdir() else "a link" if info.islnk() or info.issym() else "a device"
        if info.issparse():
            fault = "a file with holes"
        size = info.size if info.isfile() else 0
        yield _Member(info.name, size, info.isdir(), fault, partial(_opened, packed, info))
        packed.members = []  # type: ignore[attr-defined] # tarfile keeps what it has met; a bomb of names would fill the memory


def _opened(packed: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = packed.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name!r} is no file")
    return file
