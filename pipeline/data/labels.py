"""Labels: the name of the folder that holds an image, or what the batch's own labels.csv says."""

import csv
import io
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from pipeline.artifacts.lineage import Lineage
from pipeline.base.errors import DataError
from pipeline.data.settings import LabelChanges
from pipeline.data.splits import SPLITS, Split

if TYPE_CHECKING:
    import polars as pl

MAX_LABEL = 64
"""Characters of a label."""

CSV = "labels.csv"
"""In the topmost folder of a batch; the first line begins `file,label`, files are relative to that folder. A column
`split` and one `group` may follow, and any others: slices."""

HEADERS = (["file", "label"], ["file", "label", "split"])
"""First lines of a labels.csv without groups and slices."""

RESERVED = ("file", "label", "split", "group")
"""Columns that are no slices."""

MAX_SLICES = 64
"""Columns of slices in a labels.csv."""

MAX_VALUE = 100
"""Characters of a group or of a value of a slice."""

Slices = tuple[tuple[str, str], ...]
"""Names and values of the slices that an image is in, in the order of the columns."""


class Line(NamedTuple):
    """What labels.csv says of a file."""

    label: str
    split: Split | None
    """What the image is wished to be used for, should nothing be decided yet; None: its content decides."""
    group: str = ""
    """The images of a group, in whatever batches they are, are used for the same; empty: it is in none."""
    slices: Slices = ()


def is_label(name: str) -> bool:
    """Whether a name can be a label: what is left is safe on any page and in any terminal."""
    kinds = [unicodedata.category(character)[0] for character in name]  # L letter, N number, M mark on a letter
    inside = all(kind in "LNM" or character in " _.+-" for kind, character in zip(kinds, name, strict=True))
    return 0 < len(name) <= MAX_LABEL and inside and (kinds[0] in "LN" or name[0] == "_")


def is_value(text: str) -> bool:
    """Whether a text can name a group or be the value of a slice: it is short and hides nothing."""
    return len(text) <= MAX_VALUE and text.isprintable()


def column(cell: str) -> str:
    """What a cell of a first line names: capitals and the way of writing an accent make no other column."""
    return unicodedata.normalize("NFC", cell.strip().lower())


def value(cell: str) -> str:
    """A cell as the name of a group or the value of a slice."""
    return unicodedata.normalize("NFC", cell.strip())


def named(lineage: Lineage, renamed_labels: Mapping[str, str]) -> Lineage:
    """A version's lineage with its labels as they are called today.

    Args:
        lineage: as it was registered. What it does not say, the one of today does not say either.
        renamed_labels: `prepare.renamed_labels` of params.yaml: what was called so, and how it is called now.
    """

    def name(label: str) -> str:
        return renamed_labels.get(label, label)

    model, reference = lineage.model, lineage.reference
    changes: dict[str, object] = {
        "model": model.model_copy(update={"labels": tuple(name(label) for label in model.labels)}),
        "label_counts": _summed(lineage.label_counts, name),
    }
    if "labels" in reference.model_fields_set:
        changes["reference"] = reference.model_copy(update={"labels": _summed(reference.labels, name)})
    if lineage.quarantine:
        changes["quarantine"] = tuple((digest, name(label), path) for digest, label, path in lineage.quarantine)
    return lineage.model_copy(update=changes)


def _summed(counts: Mapping[str, int], name: Callable[[str], str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for label, count in counts.items():
        sums[name(label)] = sums.get(name(label), 0) + count
    return sums


def outputs(parent_labels: Sequence[str], present: Mapping[str, int], label_changes: LabelChanges) -> list[str]:
    """The label map: the parent's labels at their places, then the new ones sorted; an output never changes meaning.

    Args:
        parent_labels: of the parent's outputs, as they are called today.
        present: images by label.
        label_changes: the only way for a label to go.

    Raises:
        DataError: see `refuse`.
    """
    refuse(parent_labels, present, label_changes)
    kept = [label for label in parent_labels if label not in label_changes.removed_labels]
    return kept + sorted(set(present) - set(kept))


def refuse(parent_labels: Sequence[str], present: Mapping[str, int], label_changes: LabelChanges) -> None:
    """Refuse names that do not agree with the data; the arguments are those of `outputs`.

    Raises:
        DataError: there are images of a label that is to have another name or to go; or two labels get one name.
    """
    for label, now in label_changes.renamed_labels.items():
        if present.get(label):
            raise DataError(
                f"{present[label]} images are labelled {label}, which is called {now} now (prepare.renamed_labels); "
                f"move them to a folder named {now}, or name them so in labels.csv, and `dvc add` the batch; or take "
                f"{label} out of the setting"
            )
    twice = sorted({label for label in parent_labels if list(parent_labels).count(label) > 1})
    if twice:
        olds = ", ".join(old for old, now in label_changes.renamed_labels.items() if now in twice)
        raise DataError(
            f"prepare.renamed_labels makes one label of two: {', '.join(twice)}; expected a name that no label of the "
            f"model has; if the images were relabelled to merge them, take {olds} out of it and put it into "
            "prepare.removed_labels"
        )
    for label in label_changes.removed_labels:
        if present.get(label):
            raise DataError(
                f"{present[label]} images are labelled {label}, which is to be removed (prepare.removed_labels); "
                f"remove or relabel them and `dvc add` the batch, or take {label} out of the setting"
            )


def unheard_of(heard: Collection[str], label_changes: LabelChanges) -> list[str]:
    """The settings that name a label that never was: mistyped, most likely.

    Args:
        heard: every label that an image or an output has or had. What was renamed once is heard by its new name.
        label_changes: what is to be renamed and removed.
    """
    gone = [f"prepare.removed_labels: {label}" for label in label_changes.removed_labels if label not in heard]
    renamed = label_changes.renamed_labels.items()
    return gone + [f"prepare.renamed_labels: {old}" for old, new in renamed if old not in heard and new not in heard]


def of_folders(files: "pl.DataFrame", images: str, again: str = "`dvc add` again") -> "pl.DataFrame":
    """Label images by the folder that holds them.

    Args:
        files: columns path (POSIX) and digest.
        images: the folder of all batches, as the paths begin.
        again: what an error says to do once the files are mended.

    Returns:
        columns digest, label, path.

    Raises:
        DataError: an image lies in no label folder, or a folder's name cannot be a label.
    """
    import polars as pl

    folder = pl.col("path").str.extract(r"(?s)^(.*)/")
    rows = files.with_columns(folder=folder)
    folders: list[str] = rows["folder"].unique().sort().to_list()
    for name in folders:
        if name == images:
            path = rows.filter(pl.col("folder") == name)["path"].sort()[0]
            raise DataError(
                f"{path!r}: lies in no label folder; move it to {images}/<batch>/<label>/ and {again}; if it has a "
                f"pointer of its own, run `dvc remove {f'{path}.dvc'!r}` too"
            )
        if not is_label(PurePosixPath(name).name):
            raise no_label(name, again)
    return rows.select("digest", pl.col("folder").str.extract(r"([^/]*)$").alias("label"), "path")


def no_label(folder: str, again: str) -> DataError:
    """That a folder of images has a name that cannot be a label; `again` as in `of_folders`."""
    return DataError(
        f"{folder!r}: not a label; expected 1 to {MAX_LABEL} letters, digits, spaces or any of _.+-, starting "
        f"with a letter, digit or _, as the name of a folder of images; rename the folder and {again}"
    )


def of_csv(
    files: "pl.DataFrame", batch: str, content: bytes, again: str = "`dvc add` the batch again"
) -> "tuple[pl.DataFrame, list[str]]":
    """Label images by the batch's labels.csv.

    Args:
        files: columns path and digest, labels.csv itself not among them.
        batch: the batch's folder, as the paths begin.
        content: of labels.csv.
        again: what an error says to do once the file is mended.

    Returns:
        Columns digest, label, path, where the label of an image that labels.csv does not name is
        empty; and the files that it names and that are not in the batch.

    Raises:
        DataError: labels.csv cannot be read, or gives a file two labels; names the line.
    """
    import polars as pl

    lines = lines_of_csv(f"{batch}/{CSV}", content, again)
    named = pl.DataFrame(
        {"path": [f"{batch}/{file}" for file in lines], "label": [line.label for line in lines.values()]},
        schema={"path": pl.String, "label": pl.String},
    )
    rows = files.join(named, on="path", how="left", maintain_order="left").with_columns(pl.col("label").fill_null(""))
    missing = named.join(files, on="path", how="anti", maintain_order="left")["path"].to_list()
    return rows.select("digest", "label", "path"), missing


def to_csv(lines: Mapping[str, Line]) -> bytes:
    """A labels.csv, by file relative to the batch; columns that would be empty are left out."""
    has_splits = any(line.split for line in lines.values())
    has_groups = any(line.group for line in lines.values())
    slices = list(dict.fromkeys(name for line in lines.values() for name, _ in line.slices))
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow([*HEADERS[has_splits], *(["group"] if has_groups else []), *slices])
    for file, line in lines.items():
        values = dict(line.slices)
        cells = [*([line.split or ""] if has_splits else []), *([line.group] if has_groups else [])]
        writer.writerow([file, line.label, *cells, *(values.get(name, "") for name in slices)])
    return sink.getvalue().encode()


def is_own(content: bytes) -> bool:
    """Whether a file begins as a labels.csv without groups and slices does."""
    first = content.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
    return [cell.strip().lower() for cell in first.decode(errors="replace").split(",")] in HEADERS


def lines_of_csv(name: str, content: bytes, again: str) -> dict[str, Line]:
    """What a labels.csv says of each file that it names.

    Args:
        name: of it, for people.
        content: of it.
        again: what an error says to do once the file is mended.

    Raises:
        DataError: it cannot be read, or says two things of a file; names the line.
    """
    try:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV file in UTF-8 ({error}); save it as that and {again}") from None
    remedy = f"mend it and {again}"
    header = _header(name, rows[0] if rows else [], remedy)
    lines: dict[str, Line] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(f"{name}: line {number} has {len(row)} cells; expected {_expected_cells(header)}; {remedy}")
        line = _line(f"{name}: line {number}", dict(zip(header, row, strict=True)), remedy)
        file = row[0].strip()
        if lines.setdefault(file, line) != line:
            what = _differing(lines[file], line)
            raise DataError(f"{name}: line {number}: {file!r} has another {what} above; expected one; {remedy}")
    return lines


def _header(name: str, cells: Sequence[str], remedy: str) -> list[str]:
    """The columns that a first line names."""
    header = [column(cell) for cell in cells]
    if header[:2] != HEADERS[0]:
        found = ",".join(cells)[:80] if cells else "nothing"
        raise DataError(f"{name}: line 1 is {found!r}; expected `file,label`; {remedy}")
    slices = [one for one in header if one not in RESERVED]
    if len(slices) > MAX_SLICES:
        raise DataError(
            f"{name}: line 1 has {len(slices)} columns besides {', '.join(RESERVED)}; expected {MAX_SLICES} at most, "
            f"each of which is a slice; take columns out and {remedy.removeprefix('mend it and ')}"
        )
    for place, one in enumerate(header):
        if not is_label(one):
            raise DataError(
                f"{name}: line 1: {cells[place][:80]!r} cannot name a column; expected 1 to {MAX_LABEL} letters, "
                f"digits, spaces or any of _.+-, starting with a letter, digit or _; {remedy}"
            )
        if one in header[:place]:
            raise DataError(f"{name}: line 1 has the column {one!r} twice; expected each once; {remedy}")
    return header


def _expected_cells(header: Sequence[str]) -> str:
    if header == HEADERS[0]:
        return "a file and its label"
    if header == HEADERS[1]:
        return "a file, its label and its split"
    return f"{len(header)}, as line 1 has"


def _line(place: str, cells: Mapping[str, str], remedy: str) -> Line:
    """What a line says; `cells` by column."""
    # Editors write an accent in one way or another; both are one label.
    label = unicodedata.normalize("NFC", cells["label"].strip())
    if not is_label(label):
        raise DataError(
            f"{place}: {label!r} is not a label; expected 1 to {MAX_LABEL} letters, digits, spaces "
            f"or any of _.+-, starting with a letter, digit or _; {remedy}"
        )
    split = cells.get("split", "").strip()
    if split and split not in SPLITS:
        raise DataError(f"{place}: {split!r} is not a split; expected {', '.join(SPLITS)} or nothing; {remedy}")
    said = {name: value(cell) for name, cell in cells.items() if name not in ("file", "label", "split")}
    for name, one in said.items():
        if not is_value(one):
            raise DataError(
                f"{place}: {one[:80]!r} cannot be a {name}; expected at most {MAX_VALUE} characters, all of which can "
                f"be seen, or nothing; {remedy}"
            )
    group = said.pop("group", "")
    slices = tuple((name, one) for name, one in said.items() if one)
    return Line(label, next((one for one in SPLITS if one == split), None), group, slices)


def _differing(one: Line, other: Line) -> str:
    """In what two lines differ first: the name of the column."""
    first, second = dict(one.slices), dict(other.slices)
    for what in ("label", "split", "group"):
        if getattr(one, what) != getattr(other, what):
            return what
    return next(name for name in {**first, **second} if first.get(name) != second.get(name))
