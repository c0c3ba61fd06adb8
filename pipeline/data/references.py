"""References: which objects of DVC's are named by Git's commits, by pointers on disk and by DVC's run-cache.

What a branch, a tag, a stash, the index or the disk names is needed. What history names is known to be this project's.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.base import files, git
from pipeline.base.git import LOCK

DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
"""How objects are named in what DVC writes."""

IMAGES, FEATURES, OUTPUTS, OTHERS = "images", "features", "outputs of stages", "other files"
KINDS = (IMAGES, FEATURES, OUTPUTS, OTHERS)
"""What an object is: of a batch; a shard of features; what a stage wrote; what other pointers track, as weights."""


def mentioned(content: bytes) -> set[str]:
    """Every hash in a pointer or a dvc.lock, also in one that a merge left in conflict: rather too many than one less.

    Args:
        content: of the file.
    """
    return set(DIGEST.findall(content.decode(errors="replace")))


def tracked(path: str, content: bytes, images: Path) -> dict[str, str]:
    """The kind of each object that a pointer or a dvc.lock tracks, by hash; nothing of what cannot be read.

    Args:
        path: of the file, relative to the project.
        content: of the file.
        images: the folder of all batches.
    """
    value = _parsed(content)
    if PurePosixPath(path).name == LOCK:
        stages = value.get("stages")
        entries = stages.values() if isinstance(stages, dict) else ()
        return {digest: OUTPUTS for entry in entries for digest in _outs(entry)}
    is_batch = PurePosixPath(path).is_relative_to(images) or path == f"{images.as_posix()}.dvc"
    return dict.fromkeys(_outs(value), IMAGES if is_batch else OTHERS)


def needed() -> set[str]:
    """The objects that a person can go back to by a branch, a tag, a stash, or by doing nothing; relative to the
    project, which is the current directory."""
    contents = [*git.contents(git.pointers_at_tips()).values(), *_on_disk().values()]
    return {digest for content in contents for digest in mentioned(content)}


def needed_at(commit: str) -> set[str]:
    """The objects that the pointers of a commit name; what its stages wrote can be made again."""
    pointers = [name for name, path in git.pointers_at(commit).items() if path.endswith(".dvc")]
    return {digest for content in git.contents(pointers).values() for digest in mentioned(content)}


def known(images: Path, runs: Path | None) -> dict[str, str]:
    """The kind of each object that this project ever tracked, by hash.

    Args:
        images: the folder of all batches.
        runs: folder of DVC's run-cache, unless other projects have it too.
    """
    paths = git.pointers_ever()
    kinds: dict[str, str] = {}
    for path, content in [*((paths[name], text) for name, text in git.contents(paths).items()), *_on_disk().items()]:
        kinds = tracked(path, content, images) | kinds
    for entry in runs.glob("*/*/*") if runs else ():
        kinds = dict.fromkeys(_outs(_parsed(entry.read_bytes())), OUTPUTS) | kinds
    return kinds


def _on_disk() -> Mapping[str, bytes]:
    """The pointers and the dvc.lock files that lie on disk, by path; Git need not know them yet."""
    listed = git.says("ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", ".")
    paths = listed.split("\0") if listed is not None else [path.as_posix() for path in Path().rglob("*")]
    found = {path: files.read_regular(path) for path in paths if path.endswith((".dvc", LOCK))}
    return {path: content for path, content in found.items() if content is not None}


def _parsed(content: bytes) -> dict[str, Any]:
    """A mapping in YAML; nothing where it is none."""
    import yaml

    try:
        value = files.parse_yaml(content)
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _outs(entry: Any) -> list[str]:
    """The hashes of what a pointer or a stage tracks, in the format of DVC 3."""
    outs = entry.get("outs") if isinstance(entry, dict) else None
    digests = [
        str(out.get("md5"))
        for out in (outs if isinstance(outs, list) else ())
        if isinstance(out, dict) and out.get("hash") == "md5"
    ]
    return [digest for digest in digests if DIGEST.fullmatch(digest)]
