"""Conflicts: files that DVC writes, and that Git could not merge."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.sources import Source
from pipeline.base import files, git
from pipeline.base.errors import DataError
from pipeline.data import sources
from pipeline.data.store import Store

LOCK = Path("dvc.lock")
BASE, OURS, THEIRS = 1, 2, 3
"""Git's stages of a file in conflict."""

FEW = 3
"""Images that an error names; the others it counts."""

Listing = Mapping[str, str]
"""Digest by path."""


def pointers(images: Path) -> dict[Path, dict[int, str]]:
    """Pointers of batches in conflict, with the hashes of their versions by stage.

    Args:
        images: the folder of all batches.
    """
    found = git.unmerged(images.as_posix(), f"{images}.dvc")
    return {Path(path): versions for path, versions in found.items() if path.endswith(".dvc")}


def refuse(images: Path) -> None:
    """Refuse what DVC would give up at, with a message of its own that names no way out.

    Args:
        images: the folder of all batches.

    Raises:
        DataError: a pointer or dvc.lock cannot be read, as one with the marks of a conflict.
    """
    sources.find(images, at_least=0)
    lock()


def lock() -> Mapping[str, Any]:
    """dvc.lock as it is; nothing where there is none.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return files.parse_yaml(LOCK.read_bytes()) or {}
    except FileNotFoundError:
        return {}
    except yaml.YAMLError:
        raise DataError(
            f"{LOCK}: not valid YAML (a merge conflict?); delete it with `rm {LOCK}`, for the next cycle makes it anew "
            "and trains nothing twice"
        ) from None


def warnings(batches: Iterable[Source]) -> Iterator[str]:
    """What to say of a merge that has not ended, or that a person ended without a line of a .gitignore of DVC's.

    Args:
        batches: what Git tracks.
    """
    if git.unmerged(str(LOCK)):  # it is this side's, see .gitattributes
        yield f"a merge left {LOCK} in conflict; this cycle makes it anew, then `git add {LOCK} && git commit` ends it"
    paths = [source.path for source in batches]
    would_add = {name.rstrip("/") for name in git.would_add(*paths)} if paths else set()
    for path in map(Path, sorted(would_add.intersection(paths))):
        line, ignored = shlex.quote(f"/{path.name}"), shlex.quote(f"{path.parent}/.gitignore")
        yield (
            f"Git does not ignore {path.as_posix()!r}: `git add --all` would take its images in; `echo {line} >> "
            f"{ignored}` mends that"
        )


def join(pointer: Path, versions: Mapping[int, str], images: Path, store: Store) -> Source:
    """Join two versions of a batch: what either side did since their common ancestor is done; writes the pointer.

    Args:
        pointer: in conflict.
        versions: the hash of its content by stage.
        images: the folder of all batches.
        store: has the listings, or fetches them.

    Raises:
        DataError: only one side has the pointer, it tracks a single image, both sides changed one file of it, or a
            listing cannot be had.
    """
    if OURS not in versions or THEIRS not in versions:
        raise DataError(
            f"{pointer}: one side of the merge changed it and the other removed it; `git add {pointer}` keeps the "
            f"batch, `git rm {pointer}` removes it; then run this again"
        )
    batches = {stage: sources.parse(git.content(name), pointer, images) for stage, name in versions.items()}
    ours = batches[OURS]
    if not all(batch.digest.endswith(".dir") for batch in batches.values()):
        raise _other(pointer, "it tracks a single file, which both sides changed")
    listings = {stage: _below(store, batch) for stage, batch in batches.items()}
    both = merged(listings.get(BASE, {}), listings[OURS], listings[THEIRS])
    if isinstance(both, list):
        few = ", ".join(f"{path!r}" for path in both[:FEW])
        raise _other(pointer, f"{len(both)} files in it were changed on both sides, e.g. {few}")
    digest = store.keep_listing(both)
    content = files.parse_yaml(git.content(versions[OURS]))
    content["outs"][0] |= {"md5": digest, "nfiles": len(both)}
    content["outs"][0].pop("size", None)  # of images that need not be here
    files.write(pointer, yaml.safe_dump(content, sort_keys=False).encode())
    return Source(ours.path, digest, len(both))


def merged(base: Listing, ours: Listing, theirs: Listing) -> dict[str, str] | list[str]:
    """The files of a batch with what each of two sides did to it; or those to which both did something different."""
    both: dict[str, str] = {}
    unclear = []
    for path in sorted({*base, *ours, *theirs}):
        was, here, there = base.get(path), ours.get(path), theirs.get(path)
        if here != there and was not in (here, there):
            unclear.append(path)
        kept = there if here == was else here
        if kept is not None:
            both[path] = kept
    return unclear or both


def _below(store: Store, batch: Source) -> dict[str, str]:
    rows = store.listing(batch).select("path", "digest").iter_rows()
    return {path.removeprefix(f"{batch.path}/"): digest for path, digest in rows}


def _other(pointer: Path, why: str) -> DataError:
    return DataError(
        f"{pointer}: cannot be joined: {why}; take one side, `git checkout --ours {pointer}` or `git checkout --theirs "
        f"{pointer}`, then `git add {pointer}`, and add what the other side had after the merge"
    )
