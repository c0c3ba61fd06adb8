"""Add new labelled images, a folder or an archive, as a batch: checked first, then copied, then tracked by DVC."""

import argparse
import difflib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pipeline.artifacts.reference import Statistics
from pipeline.base import files, git, process, project
from pipeline.base import params as parameters
from pipeline.base.errors import DataError, ExpectationError
from pipeline.base.process import Ending
from pipeline.base.words import counted
from pipeline.checking import facts, inspection
from pipeline.checking.inspection import Inspection, Past
from pipeline.checking.settings import Validate
from pipeline.data import archives, delta, exports, labels, layouts, names, placing, scan, sources, splits, straddling
from pipeline.data.inventory import Inventory
from pipeline.data.labels import Line
from pipeline.data.layouts import FileHere, Layout, Splitting
from pipeline.data.placing import NewBatch, Placing
from pipeline.data.settings import Prepare
from pipeline.data.store import Store
from pipeline.images import pixels, sniffing, workers
from pipeline.images.decoding import Facts
from pipeline.images.workers import Job
from pipeline.learning import advice
from pipeline.learning.advice import Advice
from pipeline.settings import Params

if TYPE_CHECKING:
    import polars as pl

EXAMPLE = "python -m pipeline add ~/photos --batch june --dry-run"
SHOWN = 20
"""Images that are not taken and named on the screen."""

FEW = 5
"""Other files that are named on the screen."""

HIDDEN = re.compile(r"(?:^|/)(?:\.|@eaDir/)")
"""Paths of files that systems and editors keep for themselves; the second is that of network disks (Synology)."""

NEAR = 0.8
"""Likeness of two labels, 0 to 1, from which one may be meant for the other (`difflib.SequenceMatcher`)."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "folder",
        type=project.given,
        help="holds <label>/<image>, or images and a labels.csv; or a ZIP or tar archive of that",
    )
    parser.add_argument("--batch", default=None, help="name of the new batch (default: the folder's)")
    splitting = parser.add_mutually_exclusive_group()
    splitting.add_argument(
        "--keep-splits", action="store_true", help="images of train, val and test folders stay in these splits"
    )
    splitting.add_argument(
        "--merge-splits", action="store_true", help="such folders, or a column `split`, are all new images alike"
    )
    parser.add_argument(
        "--set",
        dest="is_setting",
        action="store_true",
        help="write the settings that suit the images into params.yaml; also for images that are there already",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would happen")
    parser.add_argument("--images", type=project.given, default=Path("data/images"), help="default: data/images")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


@dataclass(frozen=True)
class _Given:
    """What is to be added. Until images are copied, all paths in tables and messages are those that people know."""

    name: str
    """As people call it."""
    folder: Path
    """Where its files are."""
    again: str
    """How it is added once it was mended."""

    def path(self, below: str) -> str:
        """Path of a file, for people, from its path below the folder."""
        return f"{self.name}/{below}"

    def below(self, path: str) -> str:
        """Path below the folder."""
        return path[len(f"{self.name}/") :]


def run(
    folder: Path,
    batch: str | None,
    keep_splits: bool,
    merge_splits: bool,
    dry_run: bool,
    images: Path,
    params: Path,
    scratch: Path,
    is_setting: bool = False,
) -> int:
    """Take new labelled images into a new batch, but for images that are faulty or there already."""
    sections = parameters.load(params, Params)
    git.check()
    new_batch = NewBatch(_target(folder, batch, images), images, scratch)
    splitting: Splitting | None = "keep" if keep_splits else "merge" if merge_splits else None
    with process.ending("add: interrupted; run it again") as ending:
        reads_only = dry_run and not archives.stem(folder) and not placing.is_left(images, scratch)
        with nullcontext() if reads_only else _alone(new_batch, ending):
            if not is_setting:  # else it may be there already, whole
                _refuse_taken(new_batch)
            with _unpacked(folder, new_batch) as given:
                options = _Options(splitting, dry_run, is_setting, params)
                return _add(given, new_batch, options, sections, ending)


@dataclass(frozen=True)
class _Options:
    """How it is to be added."""

    splitting: Splitting | None
    is_dry: bool
    """Whether it is only said what would happen."""
    is_setting: bool
    """Whether settings that suit are written."""
    params: Path


def _add(given: _Given, batch: NewBatch, options: _Options, sections: Params, ending: Ending) -> int:
    held = _held(batch.images, sections.detect.ignore)
    layout = _layout(given, sections.detect.ignore, options.splitting)
    here = _read(given, layout, sections.prepare)
    new = _new(here, held)
    print(
        f"add: {counted(len(here), 'image')} in {given.name}, {len(here) - len(new)} of them there already or copies "
        "of others"
    )
    if new.is_empty():
        print("add: nothing to add")
        _tell(_advice(here, held, given, options, sections) if options.is_setting else None, options)
        return 0

    _refuse_taken(batch)
    inspected = _inspect(new, held, given, sections)
    _say_not_taken(inspected)
    _say_near_labels(new["label"].unique().to_list(), held["label"].unique().to_list(), given, sections.validate_)
    if inspected.obstacles:
        raise ExpectationError(f"{' | '.join(inspected.obstacles)}; nothing was added")
    wished = new.select("digest", "split").unique("digest")
    taken = inspected.kept.rows.join(wished, on="digest", how="left", maintain_order="left")
    takes = f"{'would take' if options.is_dry else 'takes'} {counted(len(taken), 'image')}"
    print(f"add: {takes} into {batch.target} ({_counts(taken) or 'none'})")
    if taken.is_empty():
        return 0
    _warn_of_stems(given, taken, layout, sections.prepare)
    # Before anything is placed: what is refused, is refused before that.
    is_due = options.is_setting or advice.is_due(options.params, _median_side(inspected.looks))
    found = _advice(taken, held, given, options, sections) if is_due else None
    if options.is_dry:
        _tell(found, options)
        return 0

    said = {image.path: (image.group, image.slices) for image in layout.images}
    placed = [(given.below(path), *rest) for path, *rest in taken.select("path", "label", "split").iter_rows()]
    rows = {path: Line(label, split, *said[path]) for path, label, split in placed}
    _place(Placing(batch), given.folder, rows, layout.is_listed, ending)
    message = shlex.quote(f"Add {batch.target.name}")
    print(
        f"add: staged {batch.pointer}; next: git commit -am {message}; then "
        "`dvc repro` trains on it, and `dvc push && git push` shares it"
    )
    _tell(found, options)
    return 0


def _warn_of_stems(given: _Given, taken: "pl.DataFrame", layout: Layout, prepare: Prepare) -> None:
    """Warn where names of files suggest groups that nobody gave: before the images are split."""
    if prepare.group is not None or any(image.group for image in layout.images):
        return
    named = [(given.below(path), label) for path, label in taken.select("path", "label").iter_rows()]
    if warning := straddling.suggestion(named):
        print(f"add: {warning}")


def _advice(
    rows: "pl.DataFrame", held: "pl.DataFrame", given: _Given, options: _Options, sections: Params
) -> Advice | None:
    """What settings suit the images, those that are there already counted in."""
    import polars as pl

    pair = ["digest", "label"]
    every = pl.concat([held.select(pair), rows.select(pair)]).filter(pl.col("label") != "").unique()
    counts = dict(every.group_by("label").len().sort("label").iter_rows())
    here = [str(given.folder / given.below(path)) for path in rows["path"]]
    images = rows.select(*pair, path=pl.Series(here, dtype=pl.String))
    is_asked = options.is_setting and not options.is_dry
    return advice.advise(images, counts, pixels.limits(sections.validate_), options.params, is_asked)


def _tell(found: Advice | None, options: _Options) -> None:
    if found:
        found.write(options.params)
        print(f"add: {found.line}")


def _median_side(looks: "pl.DataFrame") -> float:
    import polars as pl

    return float(looks.select(pl.min_horizontal("width", "height").median()).item() or 0)


def _target(folder: Path, batch: str | None, images: Path) -> Path:
    stem = archives.stem(folder) if folder.is_file() else ""
    if not folder.is_dir() and not stem:
        what = "neither a folder nor an archive" if folder.exists() else "no such folder or archive"
        raise DataError(
            f"{folder}: {what}; expected a folder with images in <label>/, or with a labels.csv, or an archive of "
            f"one ({', '.join(archives.ENDINGS)})"
        )
    name = stem or folder.resolve().name if batch is None else batch
    fault = names.fault(name) or ("it is not one name" if "/" in name or name in (".", "..") else "")
    if fault or not labels.is_label(name):
        raise DataError(
            f"{name!r} cannot name a batch{f': {fault}' if fault else ''}; expected letters, digits, spaces or any of "
            "_.+-, beginning with a letter, digit or _; give another with --batch"
        )
    return images / name


def _refuse_taken(batch: NewBatch) -> None:
    target = batch.target
    if target.exists() or target.with_name(f"{target.name}.dvc").exists():
        raise DataError(f"{target} exists; expected the name of a new batch; give another with --batch")


@contextmanager
def _alone(batch: NewBatch, ending: Ending) -> Iterator[None]:
    """Be the only call here, clean up after one that was killed, and leave nothing behind however this one ends."""
    lock = batch.scratch / "adding.lock"
    with process.alone(lock, "`add`", "it leaves nothing behind"):
        for line in placing.recover(batch.images, batch.scratch):
            print(f"add: {line}")
        tidy = Placing(batch).tidy

        def undo() -> None:
            tidy()
            lock.with_suffix(".pid").unlink(missing_ok=True)

        ending.undo = undo
        try:
            yield
        finally:
            tidy()


@contextmanager
def _unpacked(folder: Path, batch: NewBatch) -> Iterator[_Given]:
    """The folder; of an archive one in the scratch folder, as long as this lasts."""
    if folder.is_dir():
        yield _Given(str(folder), folder, "run this again")
        return
    print(f"add: unpacking {folder}", flush=True)
    archives.unpack(folder, batch.unpacked)
    yield _Given(str(folder), batch.unpacked, f"run this again with a mended {folder.name}")


def _layout(given: _Given, ignore: tuple[str, ...], splitting: Splitting | None) -> Layout:
    """What the folder holds; says what is not taken."""
    tree = scan.walk(given.folder, since=lambda _folder: 0)
    _refuse_hostile(given, tree)
    below = sorted(os.path.relpath(entry.path, given.folder) for entry in tree.recent)
    wanted = [path for path in below if not sources.is_ignored(path, ignore)]
    hidden = {path for path in wanted if HIDDEN.search(path)}
    found = [_look_at(given.folder, path) for path in wanted if path not in hidden]
    lists = {
        file.path: (given.folder / file.path).read_bytes()
        for file in found
        if "/" not in file.path and not file.is_image and file.path.lower().endswith(exports.ENDINGS)
    }
    layout = layouts.read(given.name, found, lists, splitting, given.again)
    others = [*layout.others, *(FileHere(path, is_image=False, what="hidden") for path in sorted(hidden))]
    if others:
        named = ", ".join(f"{file.path!r} ({file.what or 'no image'})" for file in others[:FEW])
        more = f" and {len(others) - FEW} more" if len(others) > FEW else ""
        print(f"add: not taken, no images by content or place: {named}{more}")
    for line in layout.says:
        print(f"add: {line}")
    for warning in layout.warnings:
        print(f"add: warning: {warning}")
    return layout


def _look_at(folder: Path, path: str) -> FileHere:
    with open(folder / path, "rb") as file:
        kind = sniffing.kind(file.read(sniffing.MAGIC_BYTES))
    return FileHere(path, kind in sniffing.FORMATS, kind)


def _read(given: _Given, layout: Layout, prepare: Prepare) -> "pl.DataFrame":
    """The images of the folder: columns digest, label, path, group, split."""
    import polars as pl

    print(f"add: reading {counted(len(layout.images), 'file')}", flush=True)
    bar = tqdm(layout.images, desc="add: read", unit="image", disable=None)
    digests = [files.md5_file(given.folder / image.path) for image in bar]
    wished = [image.split for image in layout.images]
    if layout.asks_splits:
        for split, share in (("val", prepare.val_fraction), ("holdout", prepare.holdout_fraction)):
            if split not in wished:
                print(f"add: nothing is meant for {split}: it gets {share:.0%} of train (prepare.{split}_fraction)")
        wished = splits.complete(wished, digests, prepare.val_fraction, prepare.holdout_fraction)
    table = pl.DataFrame(
        {
            "digest": digests,
            "label": [image.label for image in layout.images],
            "path": [given.path(image.path) for image in layout.images],
            "group": [image.group for image in layout.images],
            "split": wished,
        },
        schema=dict.fromkeys(("digest", "label", "path", "group", "split"), pl.String),
    )
    several = table.drop_nulls("split").group_by("digest").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    if len(several):
        are = "copy of an image lies" if len(several) == 1 else "images lie"
        print(f"add: warning: {len(several)} {are} in more than one split; what judges or stops counts, not train")
    strongest = splits.strongest(table.drop_nulls("split").select("digest", "split"), "digest")
    return table.drop("split").join(strongest, on="digest", how="left", maintain_order="left")


def _refuse_hostile(given: _Given, tree: scan.Tree) -> None:
    """Refuse what `dvc add` would follow, hang on or publish."""
    names_here = Counter(entry.identity for entry in tree.recent)
    linked = [
        (entry.path, "a hard link to a file that lies elsewhere too")
        for entry in tree.recent
        if entry.num_names > names_here[entry.identity]
    ]
    hostile = sorted([*tree.hostile, *linked])
    if hostile:
        path, kind = hostile[0]
        are = "is no plain file" if len(hostile) == 1 else "are no plain files"
        place = given.path(os.path.relpath(path, given.folder))
        raise DataError(
            f"{counted(len(hostile), 'entry', 'entries')} in {given.name} {are}, e.g. {place!r}: {kind}; expected "
            f"folders and files of their own; delete or copy them and {given.again}"
        )


def _held(images: Path, ignore: tuple[str, ...]) -> "pl.DataFrame":
    """What the batches hold now: columns digest, label, path."""
    inventory = Inventory(Store(Path()), images, ignore)
    return inventory.read(sources.find(images, at_least=0))[0]


def _new(here: "pl.DataFrame", held: "pl.DataFrame") -> "pl.DataFrame":
    """The images that no batch holds under this label; of copies in one group the one with the least path.

    An image that is there already comes along with new ones of its group, or nobody would know that it is of it.
    """
    import polars as pl

    pair = ["digest", "label"]
    new = here.join(held, on=pair, how="anti")
    grouped = (pl.col("group") != "") & pl.col("group").is_in(new["group"].implode())
    tied = here.join(held, on=pair, how="semi").filter(grouped)
    return pl.concat([new, tied]).sort("path").unique([*pair, "group"], keep="first", maintain_order=True)


def _inspect(new: "pl.DataFrame", held: "pl.DataFrame", given: _Given, sections: Params) -> Inspection:
    """What the stage `validate` would say of them."""
    import polars as pl

    images, added = delta.once(new), delta.of_added(new)
    held = held.filter(pl.col("label") != "")  # what a labels.csv there does not name has no label to be judged
    jobs = [
        Job(digest, (str(given.folder / given.below(path)),))
        for digest, path in images.select("digest", "path").iter_rows()
    ]
    decoded = workers.look(jobs, pixels.limits(sections.validate_), {}, "add")
    table = facts.table([image or Facts(0, error="changed while it was read") for image in decoded])
    table = table.with_columns(images["digest"])
    rows = facts.of_new(added, held, table, given.name)
    # That another label still waits for more images is no news.
    counts = held.group_by("label").len()
    is_enough = pl.col("len") >= sections.validate_.min_images_per_label
    known_labels = counts.filter(is_enough | pl.col("label").is_in(new["label"].implode()))["label"]
    past = Past(held, known_labels.to_list(), Statistics())
    again = f" and {given.again}"
    return inspection.inspect(rows, added, past, sections.validate_, sections.prepare, again)


def _say_not_taken(inspected: Inspection) -> None:
    import polars as pl

    for warning in inspected.warnings:
        print(f"add: warning: {warning}")
    refused = inspected.aside.filter(~pl.col("is_known"))
    for path, reason in refused.select("path", "reason").head(SHOWN).iter_rows():
        print(f"add: not taken: {path!r}: {reason}")
    if len(refused) > SHOWN:
        left = len(refused) - SHOWN
        print(f"add: and {left} more {'is' if left == 1 else 'are'} not taken")


def _say_near_labels(new: Sequence[str], held: Sequence[str], given: _Given, validate: Validate) -> None:
    """Warn of new labels that are nearly the names of known ones; what `validate.labels` lists is meant so."""
    for label in sorted(set(new) - {*held, *validate.labels, ""}):
        near = _near(label, held)
        if near:
            print(f"add: warning: the label {label!r} is new; if {near!r} is meant, name it so and {given.again}")


def _near(label: str, known: Sequence[str]) -> str:
    """The known label that another is nearest to; empty if none is near. Numbers in names tell labels apart."""
    plain = {one.casefold(): one for one in sorted(known) if re.findall("[0-9]+", one) == re.findall("[0-9]+", label)}
    found = difflib.get_close_matches(label.casefold(), plain, n=1, cutoff=NEAR)
    return plain[found[0]] if found else ""


def _counts(taken: "pl.DataFrame") -> str:
    """Images by label, and by split where any has one."""
    labelled = taken.group_by("label").len().sort("label").iter_rows()
    by_label = ", ".join(f"{label}: {count}" for label, count in labelled)
    by_split = dict(taken.drop_nulls("split").group_by("split").len().iter_rows())
    shown = ", ".join(f"{by_split[split]} {split}" for split in splits.SPLITS if split in by_split)
    return f"{by_label}; {shown}" if shown else by_label


def _place(this: Placing, folder: Path, rows: Mapping[str, Line], is_listed: bool, ending: Ending) -> None:
    """Copy, move, `dvc add`, stage: all of it or nothing."""
    after = ending.undo

    def undo() -> None:
        this.undo()
        after()

    ending.undo = undo
    try:
        this.copy(folder, rows, is_listed)
        with ending.held():
            this.move()
        this.track()
    except BaseException:
        with ending.held():
            this.undo()
        raise
    process.ignore_signals()  # the batch is there
    this.stage()
