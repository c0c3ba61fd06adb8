"""Layouts of folders of labelled images, as people and tools make them: which file is an image of which label. Pure.

Known are one folder per label; the same below folders of splits (ImageFolder, Keras, Kaggle), or with folders of splits
below each label; and images with a list of labels beside them (`exports`). A folder around all of it is looked through.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from pipeline.base.errors import DataError
from pipeline.base.words import counted
from pipeline.data import labels, matching
from pipeline.data.labels import Line, Slices
from pipeline.data.matching import Matched
from pipeline.data.splits import Split

Splitting = Literal["keep", "merge"]
"""What is to become of splits that a layout has: they are taken as they are meant, or all is one set of images."""

SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "holdout"), "holdout"),
}
"""What splits are called."""

_SPLIT = re.compile(rf"(?:seg[_-])?({'|'.join(SPLIT_NAMES)})(?:[_ -]?(?:set|data|images?|split|[0-9]{{1,4}}))?")

FEW = 5
"""Columns that are named on the screen."""

DOCUMENTS = {"a text file", "an XML file", "a PDF file", "a ZIP file", "a gzip file"}
"""What `images.sniffing` calls files that nobody takes for images."""


class FileHere(NamedTuple):
    """A file in the folder."""

    path: str
    """Below the folder, POSIX."""
    is_image: bool
    """Whether it begins as an image of an accepted format does."""
    what: str
    """What it is otherwise, in words; empty if that is not known."""


class Labelled(NamedTuple):
    """A file that is to be taken as an image, though it may be faulty."""

    path: str
    label: str
    """Empty if labels.csv does not name it."""
    split: Split | None
    """Where it is meant to be used; None if nobody says."""
    group: str = ""
    slices: Slices = ()


@dataclass(frozen=True)
class Layout:
    """What a folder holds."""

    images: tuple[Labelled, ...]
    others: tuple[FileHere, ...]
    """Files that are no images and lie where none are expected."""
    is_listed: bool
    """Whether the labels are those of a list."""
    says: tuple[str, ...]
    """What people are to know of how it was read."""
    warnings: tuple[str, ...]
    asks_splits: bool = False
    """Whether the splits are those of folders or of a list of another tool, which need not name all three."""


class _Above(NamedTuple):
    """What the folders above a file say."""

    label: str
    """Empty if there is none."""
    split: Split | None


def split_of(name: str) -> Split | None:
    """The split that a word means; None if it means none."""
    fits = _SPLIT.fullmatch(name.strip().casefold())
    return SPLIT_NAMES[fits[1]] if fits else None


def read(
    folder: str,
    files: Sequence[FileHere],
    lists: Mapping[str, bytes],
    splitting: Splitting | None,
    again: str,
) -> Layout:
    """Find images and labels.

    Args:
        folder: as people call it.
        files: all that it holds, but for what systems leave behind.
        lists: content of the files at the top that may be lists of labels, by name.
        splitting: see `Splitting`; None: splits are refused.
        again: what an error says to do once the folder is mended.

    Raises:
        DataError: the labels or the splits cannot be told.
    """
    here = {file.path for file in files}
    if labels.CSV in lists and _is_own(lists[labels.CSV], here):
        return _of_own(folder, files, lists[labels.CSV], splitting, again)
    chosen = matching.chosen(folder, here, lists, again)
    if chosen is not None:
        return _of_list(folder, files, chosen, splitting, again)
    return _of_folders(folder, files, splitting, again)


def _is_own(content: bytes, here: Set[str]) -> bool:
    """Whether a labels.csv is one of ours. With other columns it may be another tool's, whose paths are others."""
    if labels.is_own(content):
        return True
    try:
        return labels.lines_of_csv(labels.CSV, content, "").keys() <= here
    except DataError:
        return False


def _of_own(folder: str, files: Sequence[FileHere], content: bytes, splitting: Splitting | None, again: str) -> Layout:
    """A batch with its own labels.csv: nothing is guessed."""
    lines = labels.lines_of_csv(f"{folder}/{labels.CSV}", content, again)
    here = {file.path: file for file in files if file.path != labels.CSV}
    others = tuple(file for file in here.values() if _is_document(file) and file.path not in lines)
    left_out = {file.path for file in others}
    wished = {path: line.split for path, line in lines.items()}
    asks = False
    if not any(wished.values()):  # then the folders may say it, as beside lists of others
        named = [path for path in lines if path in here]
        of_folders = {path: place.split for path, place in _places(named, _wrapping(named)).items()}
        asks = _has_splits(of_folders.values())
        told_by = f"{labels.CSV} and its folders" if asks else ""
        _refuse_splitting(folder, told_by, Counter(of_folders.values()), splitting, again)
        wished = of_folders if asks else {}
    if splitting == "merge":
        wished = {}
    unnamed = Line("", None)
    images = tuple(
        Labelled(path, line.label, wished.get(path), line.group, line.slices)
        for path in here
        if path not in left_out
        for line in [lines.get(path, unnamed)]
    )
    missing = [f"{folder}/{path}" for path in lines if path not in here]
    return Layout(images, others, True, (), _of_missing(labels.CSV, missing), asks and bool(wished))


def _of_missing(name: str, missing: Sequence[str]) -> tuple[str, ...]:
    if not missing:
        return ()
    are = "that is not there" if len(missing) == 1 else "that are not there"
    return (f"{name} names {counted(len(missing), 'file')} {are}, e.g. {missing[0]!r}",)


def _of_list(
    folder: str, files: Sequence[FileHere], matched: Matched, splitting: Splitting | None, again: str
) -> Layout:
    name, rows = matched.of.name, matched.rows
    for row in rows.values():
        if row.label and not labels.is_label(row.label):
            raise DataError(
                f"{folder}/{name}: line {row.line}: {row.label!r} is not a label; expected 1 to {labels.MAX_LABEL} "
                f"letters, digits, spaces or any of _.+-, starting with a letter, digit or _; mend it and {again}"
            )
    named = {path: row for path, row in rows.items() if row.label}
    in_folders = _places(named, _wrapping(named))
    splits = {path: split_of(row.split) for path, row in named.items()}
    if not any(splits.values()):
        splits = {path: place.split for path, place in in_folders.items()}
        where = "its folders"
    else:
        where = f"its column {matched.of.columns[2]!r}"
        strange = [row for path, row in named.items() if splits[path] is None]
        if strange and splitting == "keep":
            raise DataError(
                f"{folder}/{name}: line {strange[0].line}: {strange[0].split!r} is no split; expected one of "
                f"{', '.join(SPLIT_NAMES)}; mend it and {again}"
            )
    has_splits = _has_splits(splits.values())
    _refuse_splitting(folder, f"{name} and {where}" if has_splits else "", Counter(splits.values()), splitting, again)
    is_kept = has_splits and splitting == "keep"
    images = tuple(
        Labelled(path, row.label, splits[path] if is_kept else None, row.group, row.slices)
        for path, row in sorted(named.items())
    )
    others = tuple(file for file in files if file.path not in named and file.path != name)
    unnamed = sum(file.is_image for file in others)
    says = [f"labels are those of {name}: {matched.of.words}"]
    left_out = matched.of.left_out
    if left_out:
        more = f" and {len(left_out) - FEW} more" if len(left_out) > FEW else ""
        says.append(f"columns of {name} that do not come along: {', '.join(left_out[:FEW])}{more}")
    if unnamed:
        are = "is" if unnamed == 1 else "are"
        says.append(f"{counted(unnamed, 'image')} without a label in {name} {are} not taken")
    others = tuple(file for file in others if not file.is_image)
    return Layout(images, others, True, tuple(says), _of_missing(name, matched.missing), is_kept)


def _has_splits(splits: Iterable[Split | None]) -> bool:
    """Whether images are told apart; one word alone may be a label, or the folder around everything."""
    return len(set(splits) - {None}) > 1


def _of_folders(folder: str, files: Sequence[FileHere], splitting: Splitting | None, again: str) -> Layout:
    holders = {_folder(file.path) for file in files if file.is_image}
    above = {str(parent) for holder in holders if holder != "." for parent in PurePosixPath(holder).parents}

    def is_other(file: FileHere) -> bool:
        place = _folder(file.path)
        if file.is_image or place in holders:
            return False
        return place in above or place == "." or _is_document(file)

    others = tuple(file for file in files if is_other(file))
    paths = [file.path for file in files if not is_other(file)]
    loose = sorted(path for path in paths if "/" not in path)
    if loose:
        lie = "lies" if len(loose) == 1 else "lie"
        raise DataError(
            f"{counted(len(loose), 'file')} {lie} directly in {folder}, e.g. {loose[0]!r}; expected each in a folder "
            f"named after its label, or a {labels.CSV} beside them (first line `file,label`)"
        )
    places = _places(paths, _wrapping(paths))
    splits = Counter(place.split for place in places.values())
    if not _has_splits(splits):
        if splitting == "keep":
            _refuse_splitting(folder, "", splits, splitting, again)
        parents = {path: PurePosixPath(path).parent.name for path in paths}
        _refuse_names(folder, parents, again)
        return Layout(tuple(Labelled(p, parents[p], None) for p in paths), others, False, (), ())
    _refuse_strange(folder, places, again)
    _refuse_splitting(folder, "its folders", splits, splitting, again)
    _refuse_names(folder, {path: place.label for path, place in places.items()}, again)
    is_kept = splitting == "keep"
    images = tuple(Labelled(path, place.label, place.split if is_kept else None) for path, place in places.items())
    # Where the folder of an image is not its label a list has to say it.
    is_listed = is_kept or any(PurePosixPath(image.path).parent.name != image.label for image in images)
    return Layout(images, others, is_listed, (), (), is_kept)


def _refuse_names(folder: str, label_of: Mapping[str, str], again: str) -> None:
    """Refuse folders whose names cannot be labels."""
    for path, label in label_of.items():
        if not labels.is_label(label):
            parents = PurePosixPath(path).parents
            raise labels.no_label(f"{folder}/{next(str(one) for one in parents if one.name == label)}", again)


def _refuse_strange(folder: str, places: Mapping[str, _Above], again: str) -> None:
    """Refuse images that lie beside the folders of splits, or in them without a label."""
    unlabelled = sorted(path for path, place in places.items() if not place.label)
    if unlabelled:
        lie = "lies" if len(unlabelled) == 1 else "lie"
        raise DataError(
            f"{counted(len(unlabelled), 'image')} in {folder} {lie} in a folder of a split and in none of a label, "
            f"e.g. {unlabelled[0]!r}; expected <split>/<label>/<image>, or a {labels.CSV} in {folder} (first line "
            f"`file,label`); move them away or give them labels, and {again}"
        )
    beside = sorted(path for path, place in places.items() if place.split is None)
    if beside:
        lie = "lies" if len(beside) == 1 else "lie"
        raise DataError(
            f"{counted(len(beside), 'image')} in {folder} {lie} beside the folders of splits, e.g. {beside[0]!r}; "
            f"expected all in folders named {', '.join(SPLIT_NAMES)}; move them away and {again}"
        )


def _refuse_splitting(
    folder: str, told_by: str, splits: Mapping[Split | None, int], splitting: Splitting | None, again: str
) -> None:
    """Refuse splits that nobody said what to do with, and the other way round."""
    if not told_by:
        if splitting == "keep":
            raise DataError(
                f"{folder} has no splits to keep; expected folders such as train, val and test with a folder for each "
                f"label in them, or a list of labels with a column `split`; leave out --keep-splits, or mend it and "
                f"{again}"
            )
        return
    if splitting is None:
        parts = ", ".join(f"{name or 'unknown'}: {count}" for name, count in splits.items())
        raise DataError(
            f"{folder} is split already, as {told_by} say ({parts}); expected to be told what is meant; "
            "--keep-splits takes the splits as they are (train, val, and test as holdout), --merge-splits takes all "
            "images as new ones without a split, and a single folder of them can be added alone"
        )


def _is_document(file: FileHere) -> bool:
    return not file.is_image and file.what in DOCUMENTS


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _wrapping(paths: Iterable[str]) -> int:
    """How many folders lie around everything: the parts that all folders begin with, but for the last of each."""
    folders = [PurePosixPath(folder).parts for folder in {_folder(path) for path in paths}]
    if not folders:
        return 0
    count = 0
    while all(len(parts) > count + 1 for parts in folders) and len({parts[count] for parts in folders}) == 1:
        count += 1
    return count


def _places(paths: Iterable[str], wrapping: int) -> dict[str, _Above]:
    """Label and split by the names of the folders."""
    folders = {path: PurePosixPath(path).parts[wrapping:-1] for path in paths}
    places: dict[str, _Above] = {}
    for path, parts in folders.items():
        first = split_of(parts[0]) if parts else None
        last = split_of(parts[-1]) if len(parts) > 1 else None
        if first:
            places[path] = _Above(parts[-1] if len(parts) > 1 else "", first)
        elif last:
            places[path] = _Above(parts[-2], last)
        else:
            places[path] = _Above(parts[-1] if parts else "", None)
    # `seg_test/seg_test/1.jpg`: a split in a folder of its name has no labels, unless others lie beside it.
    by_split: dict[Split | None, set[str]] = {}
    for place in places.values():
        by_split.setdefault(place.split, set()).add(place.label)
    flat = {split for split, names in by_split.items() if split and all(split_of(name) == split for name in names)}
    return {path: place._replace(label="") if place.split in flat else place for path, place in places.items()}
