"""Sources: the batches of images that Git tracks by DVC pointers, found without opening any image."""

import fnmatch
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import yaml

from pipeline import files
from pipeline.errors import DataError

MAX_LABEL = 64
"""Characters of a label, which is a folder's name."""


@dataclass(frozen=True, order=True)
class Source:
    """One batch: a directory of images under one DVC pointer."""

    path: str
    """Directory, POSIX, relative to the project."""
    digest: str
    """DVC's hash of the directory listing, `<md5>.dir`: equal hash, equal contents."""
    num_files: int


@dataclass(frozen=True, order=True)
class Image:
    """An image as the pointers know it."""

    digest: str
    """MD5 of the bytes, as DVC computes it: the image's identity."""
    label: str
    path: str
    """POSIX, relative to the project; only where the image lies."""


def find(images: Path) -> tuple[Source, ...]:
    """Every batch below `images`: `images.dvc` beside it, or any number of pointers in it.

    Raises:
        DataError: there is none, or a pointer cannot be read.
    """
    pointers = [images.with_name(f"{images.name}.dvc"), *sorted(images.rglob("*.dvc"))]
    found = tuple(sorted(_read(pointer) for pointer in pointers if pointer.is_file()))
    if not found:
        raise DataError(
            f"no images: expected at least one DVC-tracked batch in {images}; put images in "
            f"{images}/<batch>/<label>/, then run `dvc add {images}/<batch>` and `git commit` its .dvc file"
        )
    return found


def _read(pointer: Path) -> Source:
    try:
        (out,) = yaml.safe_load(pointer.read_text("utf-8"))["outs"]
        path, digest, kind = out["path"], out["md5"], out.get("hash")
        if not isinstance(path, str) or not isinstance(digest, str):
            raise TypeError
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise DataError(
            f"{pointer}: not a DVC pointer with one output (a merge conflict?); restore it with "
            f"`git checkout {pointer}` or write it anew with `dvc add {pointer.with_suffix('')}`"
        ) from None
    if kind != "md5" or not digest.endswith(".dir"):
        raise DataError(
            f"{pointer}: tracks {'a single file' if kind == 'md5' else 'by the format of DVC 2'}; expected a directory "
            f"of images; run `dvc remove {pointer}` and `dvc add` the batch's directory"
        )
    return Source((PurePosixPath(pointer.parent.as_posix()) / path).as_posix(), digest, out.get("nfiles", 0))


def to_json(sources: Iterable[Source]) -> list[dict[str, object]]:
    """The sources as JSON values."""
    return [asdict(source) for source in sources]


def from_json(value: Iterable[dict[str, object]]) -> tuple[Source, ...]:
    """The inverse of `to_json`."""
    return tuple(Source(**item) for item in value)  # type: ignore[arg-type]


def digest(sources: Iterable[Source]) -> str:
    """One hash for a state of the data: the same batches at the same places, the same hash."""
    return files.sha256_json(sorted([source.path, source.digest] for source in sources))


def is_label(name: str) -> bool:
    """Whether a folder's name can be a label: what is left is safe on any page and in any terminal."""
    kinds = [unicodedata.category(character)[0] for character in name]  # L letter, N number, M mark on a letter
    inside = all(kind in "LNM" or character in " _.+-" for kind, character in zip(kinds, name, strict=True))
    return 0 < len(name) <= MAX_LABEL and inside and (kinds[0] in "LN" or name[0] == "_")


def label_of(path: str, images: str) -> str:
    """The name of the folder that holds the image.

    Raises:
        DataError: the image lies in no label folder, or its name cannot be a label.
    """
    parent = PurePosixPath(path).parent
    if parent.as_posix() == images:
        raise DataError(f"{path}: lies in no label folder; move it to {images}/<batch>/<label>/ and `dvc add` again")
    if not is_label(parent.name):
        raise DataError(
            f"{str(parent)!a}: not a label; expected 1 to {MAX_LABEL} letters, digits, spaces or any of _.+-, starting "
            "with a letter, digit or _, as the name of a folder of images; rename the folder and `dvc add` again"
        )
    return parent.name


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a file is one that systems leave behind, not an image (`detect.ignore`)."""
    name = PurePosixPath(path).name
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def untracked(images: Path, tracked: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Files below `images` that no batch tracks, sorted; a clone without images has none.

    Compares names only: 100,000 files take about a third of a second.
    """
    known = set(tracked)
    return sorted(path for path in _walk(images) if path not in known and not is_ignored(path, patterns))


def _walk(folder: Path) -> Iterator[str]:
    for where, _, names in os.walk(folder):
        base = Path(where).as_posix()
        for name in names:
            is_pointer = name.endswith(".dvc") or name in (".gitignore", ".gitkeep", ".dvcignore")
            if not is_pointer:
                yield f"{base}/{name}"
