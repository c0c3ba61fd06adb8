"""Sources: the batches of images that Git tracks by DVC pointers; no image is opened to find them."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

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
    batches = tuple(sorted(_read(pointer, images) for pointer in _pointers(images)))
    if len(batches) < at_least:
        raise DataError(
            f"no images: expected at least one DVC-tracked batch in {images}; put images in "
            f"{images}/<batch>/<label>/, then run `dvc add {images}/<batch>` and `git commit` its .dvc file"
        )
    return batches


def pointers(images: Path) -> dict[str, str]:
    """Paths of the pointers by what they track: usually the same with `.dvc` behind, but `wdir` may lead elsewhere."""
    return {_read(pointer, images).path: pointer.as_posix() for pointer in _pointers(images)}


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


def _read(pointer: Path, images: Path) -> Source:
    return parse(pointer.read_bytes(), pointer, images)


def parse(text: bytes | str, pointer: Path, images: Path) -> Source:
    """The batch that a pointer tracks.

    Args:
        text: of the pointer.
        pointer: where it is, or was.
        images: the folder of all batches.

    Raises:
        DataError: it tracks nothing, or several outputs, or in a way that cannot be followed.
    """
    import yaml

    try:
        content = files.parse_yaml(text)
        (out,) = content["outs"]
        path, kind = os.path.normpath(pointer.parent / (content.get("wdir") or ".") / out["path"]), out.get("hash")
        if kind == "md5" and out.get("md5") is None and "files" not in out and content.get("deps"):
            raise _not_downloaded(pointer)
        digest, num_files = _digest(out), len(out["files"]) if "files" in out else out.get("nfiles", 1)
        if not isinstance(digest, str) or not isinstance(num_files, int):
            raise TypeError
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"{pointer}: not a DVC pointer with one output; run `python -m pipeline merge` if a merge left it in "
            f"conflict, else restore it with `git checkout HEAD -- {pointer}`, or delete it and run `dvc add "
            f"{pointer.with_suffix('')}`"
        ) from None
    if kind != "md5":
        raise DataError(
            f"{pointer}: tracks by the format of DVC 2; expected that of DVC 3; with its images on disk, run "
            f"`dvc remove {pointer}` and `dvc add {pointer.with_suffix('')}`"
        )
    if out.get("cache", True) is False:
        raise DataError(
            f"{pointer}: says `cache: false`, so DVC keeps no copy of the images; expected a batch that it keeps; take "
            f"that line out, then run `dvc commit --force {pointer}` where the images are"
        )
    if not f"{path}/".startswith(f"{images}/"):
        raise DataError(
            f"{pointer}: tracks {path}; expected a folder or file below {images}; run `dvc remove {pointer}`, then "
            f"`python -m pipeline add {path} --batch NAME` where the images are"
        )
    return Source(path, digest, num_files)


def _digest(out: dict[str, Any]) -> Any:
    """DVC's hash of an output; for a remote that keeps versions, DVC lists the files in the pointer in place of it."""
    if "files" not in out:
        return out["md5"]
    listing = [{"md5": entry["md5"], "relpath": entry["relpath"]} for entry in out["files"]]
    content = json.dumps(sorted(listing, key=lambda entry: entry["relpath"]), sort_keys=True)
    return f"{files.md5(content.encode())}.dir"


def _not_downloaded(pointer: Path) -> DataError:
    return DataError(
        f"{pointer}: was imported with --no-download, so it does not say what it holds; expected an import with its "
        f"hash; run `dvc update {pointer}`, which downloads it, then commit {pointer}"
    )


def digest(sources: Iterable[Source]) -> str:
    """One hash for a state of the data: the same batches at the same places give the same hash."""
    return files.sha256_json(sorted([source.path, source.digest] for source in sources))


def batches(paths: Iterable[str], sources: Iterable[Source]) -> list[str | None]:
    """The folder of the batch that each image is in; None if it is in none of them.

    Args:
        paths: of images.
        sources: the batches. An image that is tracked alone is part of the batch whose label folder it lies in.
    """
    folders = {one.path if one.digest.endswith(".dir") else str(PurePosixPath(one.path).parents[1]) for one in sources}
    above = ((str(parent) for parent in PurePosixPath(path).parents) for path in paths)
    return [next((parent for parent in parents if parent in folders), None) for parents in above]


def counted(paths: Iterable[str], sources: Iterable[Source]) -> dict[str, int]:
    """How many images are in each batch, by its folder; those that are in none do not count.

    Args:
        paths, sources: see `batches`.
    """
    of_batch = Counter(folder for folder in batches(paths, sources) if folder)
    return dict(sorted(of_batch.items()))


def is_ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether a name in a path is one that systems leave behind, not an image (`detect.ignore`)."""
    return re.search(pattern(patterns), path) is not None


def pattern(patterns: Sequence[str]) -> str:
    """One regular expression for patterns with * and ?, and for STAGED; a whole part of a path has to fit one."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    parts = ("".join(wild.get(character, re.escape(character)) for character in one) for one in (*patterns, STAGED))
    return f"(?:^|/)(?:{'|'.join(parts)})(?:/|$)"
