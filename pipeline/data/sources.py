"""Sources: the batches of images that Git tracks by DVC pointers; no image is opened to find them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.artifacts.sources import Source
from pipeline.base import files
from pipeline.base.errors import DataError

STAGED = ".adding"
"""Folder below the images in which `pipeline add` makes a batch. What a call that was killed left there is no data."""


def find(images: Path, at_least: int = 1) -> tuple[Source, ...]:
    """Every batch below `images`: `images.dvc` beside it, or any number of pointers in it.

    Raises:
        DataError: there are fewer than `at_least`, or a pointer cannot be read.
    """
    batches = tuple(sorted(_read(pointer) for pointer in _pointers(images)))
    if len(batches) < at_least:
        raise DataError(
            f"no images: expected at least one DVC-tracked batch in {images}; put images in "
            f"{images}/<batch>/<label>/, then run `dvc add {images}/<batch>` and `git commit` its .dvc file"
        )
    return batches


def _pointers(images: Path) -> Iterator[Path]:
    """Pointer files. Batches are not looked into: DVC allows no pointer inside a tracked directory."""
    beside = images.with_name(f"{images.name}.dvc")
    if beside.is_file():
        yield beside
        return
    waiting = [images] if images.is_dir() else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            by_name = {entry.name: entry for entry in entries}
        for name, entry in by_name.items():
            if entry.is_dir(follow_symlinks=False):
                if f"{name}.dvc" not in by_name and name != STAGED:
                    waiting.append(Path(entry.path))
            elif name.endswith(".dvc") and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)


def _read(pointer: Path) -> Source:
    import yaml

    try:
        (out,) = files.parse_yaml(pointer.read_bytes())["outs"]
        path, digest, kind = out["path"], out["md5"], out.get("hash")
        if not isinstance(path, str) or not isinstance(digest, str):
            raise TypeError
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        raise DataError(
            f"{pointer}: not a DVC pointer with one output (a merge conflict?); restore it with "
            f"`git checkout {pointer}` or write it anew with `dvc add {pointer.with_suffix('')}`"
        ) from None
    if kind != "md5":
        raise DataError(
            f"{pointer}: tracks by the format of DVC 2; expected that of DVC 3; run `dvc remove {pointer}` and "
            f"`dvc add {pointer.with_suffix('')}`"
        )
    return Source((PurePosixPath(pointer.parent.as_posix()) / path).as_posix(), digest, out.get("nfiles", 1))


def digest(sources: Iterable[Source]) -> str:
    """One hash for a state of the data: the same batches at the same places give the same hash."""
    return files.sha256_json(sorted([source.path, source.digest] for source in sources))


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a name in a path is one that systems leave behind, not an image (`detect.ignore`)."""
    return re.search(pattern(patterns), path) is not None


def pattern(patterns: Sequence[str]) -> str:
    """One regular expression for patterns with * and ?, and for STAGED; a whole part of a path has to fit one."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    parts = ("".join(wild.get(character, re.escape(character)) for character in one) for one in (*patterns, STAGED))
    return f"(?:^|/)(?:{'|'.join(parts)})(?:/|$)"
