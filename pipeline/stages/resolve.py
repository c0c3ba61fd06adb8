"""Look at the registry and at the pointers: what to start from, what to beat, what the data is.

The only stage that looks at mutable outside state, so it runs each time; the stages after it run
only if the bytes of its outputs change. That a promotion moves the alias must not cause the next
training, hence the pin: the parent is that of the newest version trained on exactly this data, if
there is one; else the champion. The champion to beat is pinned in the same way.
"""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from pipeline import files, params, recipe, sources
from pipeline.errors import DataError, RegistryError
from pipeline.registry import Registry, Version, shown
from pipeline.store import Store


def run(
    *,
    images: Path,
    parent: Path,
    champion: Path,
    batches: Path,
    snapshot: Path,
    scratch: Path,
    settings: Path,
) -> None:
    """Pin what this cycle starts from and what it has to beat."""
    chosen = params.load(settings)
    found = sources.find(images)
    _refuse_untracked(images, found, chosen.detect.ignore)
    registry = Registry(chosen.resolve)

    data, how = sources.digest(found), recipe.digest(chosen)
    current = registry.champion()
    if current is None:
        _refuse_empty(registry)
    on_data = registry.newest(sources=data)
    on_recipe = registry.newest(sources=data, recipe=how)
    start = _version(registry, on_data.parent) if on_data else current
    rival = _version(registry, on_recipe.rival) if on_recipe else current

    files.write_json(batches, {"digest": data, "sources": sources.to_json(found)})
    files.write_json(parent, _pinned(registry, start, scratch))
    files.write_json(champion, _pinned(registry, rival, scratch))
    files.write_json(snapshot, {"recipe": how, "known": _known(registry, data)})
    _say(found, current, on_recipe, start, is_known=on_data is not None)


def _version(registry: Registry, number: int | None) -> Version | None:
    return None if number is None else registry.version(number)


def _pinned(registry: Registry, version: Version | None, scratch: Path) -> dict[str, Any]:
    if version is None:
        return {"version": None}
    lineage = registry.lineage(version, scratch / "objects")
    return {"version": version.number, "run_id": version.run_id, "lineage": lineage}


def _known(registry: Registry, data: str) -> dict[str, dict[str, Any]]:
    """By run key, the versions on this data as they are: what `promote` need not do again."""
    return {
        version.run_key: {
            "version": version.number,
            "verdict_digest": version.tags.get("evergreen.verdict_digest", ""),
            "promoted": version.tags.get("evergreen.promoted") == "true",
        }
        for version in reversed(registry.all(sources=data))
    }


def _refuse_empty(registry: Registry) -> None:
    """A clone that forgot to name the registry must not begin anew: dvc.lock knows that a cycle was registered."""
    lock = Path("dvc.lock")
    registered = lock.is_file() and "promote" in (yaml.safe_load(lock.read_text("utf-8")) or {}).get("stages", {})
    if registered and registry.newest() is None:
        raise RegistryError(
            f"dvc.lock says that a cycle was registered, and the registry at {shown(registry.uri)} has no version of "
            f"{registry.name}; set MLFLOW_TRACKING_URI to the registry that has it, or begin anew with `rm dvc.lock`"
        )


def _refuse_untracked(images: Path, found: tuple[sources.Source, ...], ignore: tuple[str, ...]) -> None:
    """Images on disk that no pointer names are never silently ignored."""
    store = Store(Path())
    tracked = {path for source in found if Path(source.path).is_dir() for path in store.listing(source)}
    strays: dict[str, list[str]] = {}
    for stray in sources.untracked(images, tracked, ignore):
        strays.setdefault(_batch(stray, images, found), []).append(stray)
    batches = {source.path for source in found}
    for batch in [batch for batch in strays if batch not in batches and _was_tracked(batch)]:
        count = len(strays.pop(batch))
        print(
            f"resolve: warning: {count} files in {batch} are left over from a batch whose pointer is gone from Git and "
            f"take no part; `dvc checkout` deletes them, `dvc add {batch}` takes them back"
        )
    if strays:
        first = next(iter(strays.values()))[0]
        loose = [batch for batch in strays if Path(batch).is_file()]
        if loose:
            raise DataError(
                f"{len(loose)} files lie directly in {images}, e.g. {loose[0]!a}; expected each in a batch; move "
                f"them to {images}/<batch>/<label>/ and `dvc add {images}/<batch>`, or name them in detect.ignore"
            )
        commands = " ".join(f"'{batch}'" for batch in sorted(strays))
        raise DataError(
            f"{sum(map(len, strays.values()))} files below {images} are not tracked by DVC, e.g. {first!a}; expected "
            f"every image in a batch; run `dvc add {commands}`, or delete them, or name them in detect.ignore"
        )


def _was_tracked(batch: str) -> bool:
    """Whether Git once had a pointer for this folder, as after `git revert` of a push."""
    command = ["git", "log", "--max-count=1", "--format=%H", "--", f"{batch}.dvc"]
    return bool(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())


def _batch(stray: str, images: Path, found: tuple[sources.Source, ...]) -> str:
    """The directory to `dvc add` for a file: its batch, or the folder directly below `images`."""
    for source in found:
        if stray.startswith(f"{source.path}/"):
            return source.path
    return (images / Path(stray).relative_to(images).parts[0]).as_posix()


def _say(
    found: tuple[sources.Source, ...],
    current: Version | None,
    same: Version | None,
    start: Version | None,
    *,
    is_known: bool,
) -> None:
    batches = f"{len(found)} {'batch' if len(found) == 1 else 'batches'}"
    num_files = sum(source.num_files for source in found)
    print(f"resolve: {batches}, {num_files} files; champion: {_name(current)}", end="; ")
    if same:
        print(f"this data is known, v{same.number} was trained on it")
    elif start:
        print(f"{'known data, other settings' if is_known else 'new data'}: this cycle starts from {_name(start)}")
    else:
        print("nothing to start from yet")


def _name(version: Version | None) -> str:
    return f"v{version.number}" if version else "none"
