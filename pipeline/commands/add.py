"""Add a folder of new labelled images as a batch: checked first, then copied, then tracked by DVC."""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pipeline.artifacts.reference import Statistics
from pipeline.base import files, git, process, project
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, ExpectationError, GitError
from pipeline.checking import facts, inspection
from pipeline.checking.inspection import Inspection, Past
from pipeline.checking.settings import Validate
from pipeline.data import delta, labels, names, scan, sources
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
"""Images that are not taken and named on the screen."""

AGAIN = "run this again"
"""How a folder that was mended is added."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("folder", type=project.given, help="holds <label>/<image>, or images and a labels.csv")
    parser.add_argument("--batch", default=None, help="name of the new batch (default: the folder's)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    parser.add_argument("--images", type=project.given, default=Path("data/images"), help="default: data/images")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


@dataclass(frozen=True)
class NewBatch:
    """A batch that is to be made of a folder. Until they are copied, all paths are those of the folder."""

    folder: Path
    """Where its images are."""
    target: Path
    """The folder of the batch."""
    images: Path
    """The folder of all batches."""

    @property
    def is_part(self) -> bool:
        """Whether one pointer tracks all batches."""
        return self._of_all.is_file()

    @property
    def pointer(self) -> Path:
        """The pointer that tracks it."""
        return self._of_all if self.is_part else self.target.with_name(f"{self.target.name}.dvc")

    @property
    def _of_all(self) -> Path:
        return self.images.with_name(f"{self.images.name}.dvc")

    def path(self, below: str) -> str:
        """Path of an image in the folder, from its path below it."""
        return f"{self.folder}/{below}"

    def below(self, path: str) -> str:
        """Path below the folder, from `path`."""
        return path[len(f"{self.folder}/") :]


def run(folder: Path, batch: str | None, dry_run: bool, images: Path, params: Path, scratch: Path) -> int:
    """Take a folder of new labelled images into a new batch, but for images that are faulty or there already."""
    sections = parameters.load(params, Params)
    git.check()
    new_batch = NewBatch(folder, _target(folder, batch, images), images)
    here, held = _read(new_batch, sections.detect.ignore), _held(images, sections.detect.ignore)
    new = _new(here, held)
    print(f"add: {len(here)} images in {folder}, {len(here) - len(new)} of them there already or copies of others")
    if new.is_empty():
        print("add: nothing to add")
        return 0

    inspected = _inspect(new, held, folder, sections.validate_)
    _say_not_taken(inspected)
    if inspected.obstacles:
        raise ExpectationError(f"{' | '.join(inspected.obstacles)}; nothing was added")
    taken = inspected.kept.rows
    counts = ", ".join(f"{label}: {count}" for label, count in taken.group_by("label").len().sort("label").iter_rows())
    takes = f"{'would take' if dry_run else 'takes'} {len(taken)} images"
    print(f"add: {takes} into {new_batch.target} ({counts or 'none'})")
    if dry_run or taken.is_empty():
        return 0

    _track(_copied(taken, new_batch, scratch), new_batch)
    message = shlex.quote(f"Add {new_batch.target.name}")
    print(
        f"add: staged {new_batch.pointer}; next: git commit -m {message}; then "
        "`dvc repro` trains on it, and `dvc push && git push` shares it"
    )
    return 0


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


def _read(batch: NewBatch, ignore: tuple[str, ...]) -> "pl.DataFrame":
    """The images of the folder: columns digest, label, path."""
    import polars as pl

    folder = batch.folder
    entries = scan.walk(folder, since=lambda _folder: 0)
    _refuse_hostile(folder, entries)
    below = sorted(os.path.relpath(entry.path, folder) for entry in entries.recent)
    kept = [path for path in below if not sources.is_ignored(path, ignore)]
    print(f"add: reading {len(kept)} files", flush=True)
    table = pl.DataFrame(
        {
            "path": [batch.path(path) for path in kept],
            "digest": [files.md5_file(folder / path) for path in kept],
        },
        schema={"path": pl.String, "digest": pl.String},
    )
    loose = [path for path in kept if "/" not in path]
    if loose and labels.CSV not in loose:
        raise DataError(
            f"{len(loose)} files lie directly in {folder}, e.g. {loose[0]!a}; expected each in a folder named "
            f"after its label, or a {labels.CSV} beside them (first line `file,label`)"
        )
    return _labelled(table, batch)


def _labelled(table: "pl.DataFrame", batch: NewBatch) -> "pl.DataFrame":
    """With their labels, from the folders or from labels.csv; columns digest, label, path."""
    import polars as pl

    listed = batch.path(labels.CSV)
    if listed not in table["path"]:
        return labels.of_folders(table, str(batch.folder), AGAIN)
    content = Path(listed).read_bytes()
    rows, missing = labels.of_csv(table.filter(pl.col("path") != listed), str(batch.folder), content, AGAIN)
    if missing:
        print(f"add: warning: {labels.CSV} names {len(missing)} files that are not there, e.g. {missing[0]!a}")
    return rows


def _refuse_hostile(folder: Path, entries: scan.Tree) -> None:
    """Refuse what `dvc add` would follow, hang on or publish."""
    names_here = Counter(entry.identity for entry in entries.recent)
    linked = [
        (entry.path, "a hard link to a file that lies elsewhere too")
        for entry in entries.recent
        if entry.num_names > names_here[entry.identity]
    ]
    hostile = sorted([*entries.hostile, *linked])
    if hostile:
        path, kind = hostile[0]
        raise DataError(
            f"{len(hostile)} entries in {folder} are no plain files, e.g. {path!a}: {kind}; expected folders and files "
            "of their own; delete or copy them"
        )


def _held(images: Path, ignore: tuple[str, ...]) -> "pl.DataFrame":
    """What the batches hold now: columns digest, label, path."""
    inventory = Inventory(Store(Path()), images, ignore)
    return inventory.read(sources.find(images, at_least=0))[0]


def _new(here: "pl.DataFrame", held: "pl.DataFrame") -> "pl.DataFrame":
    """The images that no batch holds under this label; of copies the one with the least path."""
    pair = ["digest", "label"]
    return here.join(held, on=pair, how="anti").sort("path").unique(pair, keep="first", maintain_order=True)


def _inspect(new: "pl.DataFrame", held: "pl.DataFrame", folder: Path, validate: Validate) -> Inspection:
    """What the stage `validate` would say of them."""
    import polars as pl

    images, added = delta.once(new), delta.of_added(new)
    jobs = [Job(digest, (path,)) for digest, path in images.select("digest", "path").iter_rows()]
    decoded = workers.look(jobs, pixels.limits(validate), {}, "add")
    table = facts.table([image or Facts(0, error="changed while it was read") for image in decoded])
    table = table.with_columns(images["digest"])
    rows = facts.of_new(added, held, table, str(folder))
    # That another label still waits for more images is no news.
    counts = held.group_by("label").len()
    is_enough = pl.col("len") >= validate.min_images_per_label
    known_labels = counts.filter(is_enough | pl.col("label").is_in(new["label"].implode()))["label"]
    past = Past(held, known_labels.to_list(), Statistics())
    return inspection.inspect(rows, added, past, validate, f" and {AGAIN}")


def _say_not_taken(inspected: Inspection) -> None:
    import polars as pl

    for warning in inspected.warnings:
        print(f"add: warning: {warning}")
    refused = inspected.aside.filter(~pl.col("is_known"))
    for path, reason in refused.select("path", "reason").head(SHOWN).iter_rows():
        print(f"add: not taken: {path!a}: {reason}")
    if len(refused) > SHOWN:
        print(f"add: and {len(refused) - SHOWN} more are not taken")


def _copied(taken: "pl.DataFrame", batch: NewBatch, scratch: Path) -> Path:
    """The folder that they were copied to, beside their place: all of it or nothing is moved there."""
    beside = scratch / "adding"
    shutil.rmtree(beside, ignore_errors=True)
    rows = [(batch.below(path), label) for path, label in taken.select("path", "label").iter_rows()]
    for path, _ in tqdm(rows, desc="add: copy", unit="image", disable=None):
        (beside / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(batch.folder / path, beside / path, follow_symlinks=False)
    if (batch.folder / labels.CSV).is_file():
        files.write(beside / labels.CSV, labels.to_csv(rows))
    return beside


def _track(copied: Path, batch: NewBatch) -> None:
    """Move what was copied to its place, `dvc add` it, stage the pointer; take it away again if that is cut short."""
    target, images, pointer = batch.target, batch.images, batch.pointer
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
    ignored = images.parent / ".gitignore" if batch.is_part else images / ".gitignore"
    try:
        git.says("add", "--", *(str(path) for path in (pointer, ignored) if path.is_file()))
    except GitError as error:
        raise GitError(
            f"{target} is added, and its pointer {pointer} is not staged: {error}; then `git add` it"
        ) from None


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
