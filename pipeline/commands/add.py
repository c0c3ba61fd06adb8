"""Add a folder of new labelled images as a batch: checked first, then copied, then tracked by DVC."""

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pipeline.base import files, process
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, ExpectationError
from pipeline.checking import facts, inspection
from pipeline.checking.expectations import AGAIN
from pipeline.checking.inspection import Inspection
from pipeline.data import labels, names, sources, tree
from pipeline.data.inventory import Inventory
from pipeline.data.store import Store
from pipeline.images import pixels, workers
from pipeline.images.decoding import Facts
from pipeline.images.workers import Job
from pipeline.settings import Params

if TYPE_CHECKING:
    import polars as pl

EXAMPLE = "python -m pipeline add ~/photos --batch june --dry-run"
SHOWN = 20
"""Images set aside or skipped that are named on the screen."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("folder", type=Path, help="holds <label>/<image>, or images and a labels.csv")
    parser.add_argument("--batch", default=None, help="name of the new batch (default: the folder's)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    parser.add_argument("--images", type=Path, default=Path("data/images"), help="default: data/images")
    parser.add_argument(
        "--params", dest="settings", type=Path, default=Path("params.yaml"), help="default: params.yaml"
    )
    parser.add_argument("--scratch", type=Path, default=Path("data/scratch"), help="default: data/scratch")


def run(folder: Path, batch: str | None, dry_run: bool, images: Path, settings: Path, scratch: Path) -> int:
    """Take a folder of new labelled images into a new batch, but for images that are faulty or there already."""
    import polars as pl

    chosen = parameters.load(settings, Params)
    target = _target(folder, batch, images)
    try:
        here = _read(folder, target, images, chosen)
    except DataError as error:  # of a batch that is not one yet
        raise DataError(_as_source(str(error), folder, target)) from None
    known = _known(images, chosen)
    new = here.join(known, on=["digest", "label"], how="anti")
    new = new.unique(["digest", "label"], keep="first", maintain_order=True)
    print(f"add: {len(here)} images in {folder}, {len(here) - len(new)} of them there already or copies of others")

    if new.is_empty():
        print("add: nothing to add")
        return 0
    found = _inspect(new, known, target, folder, images, chosen)
    for warning in found.warnings:
        print(f"add: warning: {warning}")
    refused = found.aside.filter(~pl.col("is_known"))
    for path, reason in refused.select("path", "reason").head(SHOWN).iter_rows():
        print(f"add: not taken: {_as_source(f'{path!a}: {reason}', folder, target)}")
    if len(refused) > SHOWN:
        print(f"add: and {len(refused) - SHOWN} more are not taken")
    if found.obstacles:
        raise ExpectationError(_as_source(f"{' | '.join(found.obstacles)}; nothing was added", folder, target))
    taken = found.kept
    counts = ", ".join(f"{label}: {count}" for label, count in taken.group_by("label").len().sort("label").iter_rows())
    print(f"add: {'would take' if dry_run else 'takes'} {len(taken)} images into {target} ({counts or 'none'})")
    if dry_run or taken.is_empty():
        return 0
    _track(_copied(taken, folder, target, scratch), target, images)
    print(
        f"add: staged {_pointer(target, images)}; next: git commit -m {shlex.quote(f'Add {target.name}')}; then "
        "`dvc repro` trains on it, and `dvc push && git push` shares it"
    )
    return 0


def _pointer(target: Path, images: Path) -> Path:
    """What names the batch: a pointer of its own, or the one for all images."""
    return images.with_name(f"{images.name}.dvc") if _is_one(images) else target.with_name(f"{target.name}.dvc")


def _is_one(images: Path) -> bool:
    return images.with_name(f"{images.name}.dvc").is_file()


def _track(copied: Path, target: Path, images: Path) -> None:
    """Move what was copied to its place, `dvc add` it, stage the pointer; take it away again if that is cut short."""
    pointer = _pointer(target, images)
    words = [str(Path(sys.executable).with_name("dvc")), "add", str(pointer.with_suffix(""))]
    with process.stoppable() as asked:  # from here on no signal comes between two steps
        target.parent.mkdir(parents=True, exist_ok=True)
        copied.rename(target)
        # A session of its own: Ctrl-C is for us to handle, for DVC would answer it with a traceback.
        dvc = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            said = _waited(dvc, asked)
        except BaseException:
            dvc.terminate()
            dvc.communicate()
            _take_back(target)
            raise
    if dvc.returncode:
        _take_back(target)
        faults = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")] or [said]
        raise DataError(f"`dvc add` failed, nothing was added: {' '.join(faults[0].split())[:300]}")
    ignored = images.parent / ".gitignore" if _is_one(images) else images / ".gitignore"
    subprocess.run(["git", "add", str(pointer), str(ignored)], capture_output=True, check=False)


def _waited(dvc: "subprocess.Popen[str]", asked: Callable[[], str | None]) -> str:
    """What DVC says on stderr, once it ends.

    Raises:
        KeyboardInterrupt: this process was asked to stop.
    """
    while True:
        try:
            return dvc.communicate(timeout=process.POLL)[1]
        except subprocess.TimeoutExpired:
            if asked():
                raise KeyboardInterrupt from None


def _take_back(target: Path) -> None:
    shutil.rmtree(target)
    target.with_name(f"{target.name}.dvc").unlink(missing_ok=True)


def _as_source(sentence: str, folder: Path, target: Path) -> str:
    """A sentence about the batch to come, said of the folder that it comes from."""
    there = sentence.replace(f"{target.as_posix()}/", f"{folder}/")
    return there.replace(AGAIN, " and run this again").replace("and `dvc add` the batch again", "and run this again")


def _target(folder: Path, batch: str | None, images: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; expected one with images in <label>/, or with a labels.csv")
    name = folder.resolve().name if batch is None else batch
    fault = names.fault(name) or ("it is not one name" if "/" in name or name in (".", "..") else "")
    if fault or not labels.is_label(name):
        raise DataError(
            f"{name!a} cannot name a batch{f': {fault}' if fault else ''}; expected letters, digits, spaces or any of "
            "_.+-, beginning with a letter, digit or _; give another with --batch"
        )
    target = images / name
    if target.exists() or target.with_name(f"{name}.dvc").exists():
        raise DataError(f"{target} exists; expected the name of a new batch; give another with --batch")
    return target


def _read(folder: Path, target: Path, images: Path, chosen: Params) -> "pl.DataFrame":
    """The images of the folder where they are going to lie: columns digest, label, path."""
    import polars as pl

    looked = tree.scan(folder, since=lambda _folder: 0)
    _refuse_hostile(folder, looked)
    below = sorted(os.path.relpath(seen.path, folder) for seen in looked.recent)
    kept = [path for path in below if not sources.is_ignored(path, chosen.detect.ignore)]
    print(f"add: reading {len(kept)} files", flush=True)
    table = pl.DataFrame(
        {"path": [f"{target.as_posix()}/{path}" for path in kept], "digest": [_md5(folder / path) for path in kept]},
        schema={"path": pl.String, "digest": pl.String},
    )
    listed = f"{target.as_posix()}/{labels.CSV}"
    if labels.CSV not in kept:
        loose = [path for path in kept if "/" not in path]
        if loose:
            raise DataError(
                f"{len(loose)} files lie directly in {folder}, e.g. {loose[0]!a}; expected each in a folder named "
                f"after its label, or a {labels.CSV} beside them (first line `file,label`)"
            )
        return labels.of_folders(table, images.as_posix())
    content = (folder / labels.CSV).read_bytes()
    rows, missing = labels.of_csv(table.filter(pl.col("path") != listed), target.as_posix(), content)
    if missing:
        print(f"add: warning: {labels.CSV} names {len(missing)} files that are not there, e.g. {missing[0]!a}")
    return rows


def _refuse_hostile(folder: Path, looked: tree.Tree) -> None:
    """What `dvc add` would follow, hang on or publish."""
    names_here = Counter(seen.identity for seen in looked.recent)
    linked = [
        (seen.path, "a hard link to a file that lies elsewhere too")
        for seen in looked.recent
        if seen.num_names > names_here[seen.identity]
    ]
    found = sorted([*looked.hostile, *linked])
    if found:
        path, kind = found[0]
        raise DataError(
            f"{len(found)} entries in {folder} are no plain files, e.g. {path!a}: {kind}; expected folders and files "
            "of their own; delete or copy them"
        )


def _known(images: Path, chosen: Params) -> "pl.DataFrame":
    """What the batches hold now: columns digest, label, path."""
    inventory = Inventory(Store(Path()), images, chosen.detect.ignore)
    return inventory.read(sources.find(images, at_least=0))[0]


def _inspect(
    new: "pl.DataFrame", known: "pl.DataFrame", target: Path, folder: Path, images: Path, chosen: Params
) -> Inspection:
    """What `validate` would say."""
    import polars as pl

    changes = new.select(pl.lit("added").alias("kind"), "digest", "label", "path", pl.lit("").alias("was"))
    start = len(target.as_posix()) + 1
    once = new.unique("digest", keep="first", maintain_order=True)
    jobs = [Job(digest, (f"{folder}/{path[start:]}",)) for digest, path in once.select("digest", "path").iter_rows()]
    seen = workers.look(jobs, pixels.limits(chosen.validate_), {}, "add")
    found = [fact or Facts(0, error="changed while it was read") for fact in seen]
    table = facts.table(found).with_columns(once["digest"]).with_row_index("place")
    rows = facts.of_new(changes, known, table, images.as_posix())
    # That another label still waits for more images is no news.
    counts = known.group_by("label").len()
    enough = pl.col("len") >= chosen.validate_.min_images_per_label
    told = counts.filter(enough | pl.col("label").is_in(new["label"].implode()))["label"]
    return inspection.inspect(rows, changes, known, told.to_list(), {}, chosen.validate_)


def _copied(taken: "pl.DataFrame", folder: Path, target: Path, scratch: Path) -> Path:
    """Where they were copied to, beside their place: all of it or nothing is moved there."""
    start = len(target.as_posix()) + 1
    beside = scratch / "adding"
    shutil.rmtree(beside, ignore_errors=True)
    rows = [(path[start:], label) for path, label in taken.select("path", "label").iter_rows()]
    for path, _ in tqdm(rows, desc="add: copy", unit="image", disable=None):
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, beside / path, follow_symlinks=False)
    if (folder / labels.CSV).is_file():
        files.write(beside / labels.CSV, labels.to_csv(rows))
    return beside


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
