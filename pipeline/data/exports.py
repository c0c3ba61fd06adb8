"""Lists of labels as other tools write them, CSV or JSON, read as rows of file, label, split, group and slices. Pure.

Label Studio's JSON, JSON-MIN and CSV are among them (its documentation, "Export annotations and data").
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pipeline.base.errors import DataError
from pipeline.data import labels
from pipeline.data.labels import Slices

ENDINGS = (".csv", ".tsv", ".json")

FILE = (
    "file",
    "path",
    "file_path",
    "filepath",
    "filepaths",
    "image_path",
    "img_path",
    "filename",
    "file_name",
    "image_name",
    "image",
    "img",
    "id",
    "image_id",
)
"""Headers of the column that names the files; the first that is there counts."""

LABEL = ("label", "labels", "class", "class_name", "category", "choice", "target")
"""Headers of the column of labels."""

SPLIT = ("split", "set", "data_set", "dataset", "subset", "partition")
"""Headers of the column that says which images are to train, to stop and to judge."""

GROUP = ("group",)
"""Header of the column of groups. Others mean one to people, and as something else to others: they are slices."""

MANY = 20
"""Images from which a column with another value for each is no slice: such are ids and times."""

DELIMITERS = ",;\t"


class Row(NamedTuple):
    """A line of a list."""

    file: str
    label: str
    split: str
    """As the list calls it; empty if it does not say."""
    line: int
    """Where it stands, from 1 on; of JSON the number of the entry."""
    group: str = ""
    """As the list has it; empty if it does not say."""
    slices: Slices = ()


@dataclass(frozen=True)
class LabelList:
    """What a file says of images."""

    name: str
    columns: tuple[str, ...]
    """The headers that were taken, of file, label and, where there is one, split."""
    rows: tuple[Row, ...]
    others: tuple[str, ...] = ()
    """Further columns that were taken, as group or as slices."""
    left_out: tuple[str, ...] = ()
    """Further columns that were not, each with the reason."""

    @property
    def words(self) -> str:
        """Which columns were taken, and what of."""
        what = ("the file", "its label", "its split")
        taken = ", ".join(f"{column!r} is {meaning}" for column, meaning in zip(self.columns, what, strict=False))
        others = ", ".join(repr(name) for name in self.others)
        return f"{taken}; {others} {'comes' if len(self.others) == 1 else 'come'} along" if others else taken


def read(name: str, content: bytes) -> LabelList | None:
    """Read a list; None if it has no columns of files and labels.

    Raises:
        DataError: it cannot be read.
    """
    table = _of_json(content) if name.lower().endswith(".json") else _of_csv(name, content)
    if not table:
        return None
    header = table[0][1]
    places = [_column(header, names) for names in (FILE, LABEL, SPLIT)]
    file, label, split = places
    if file is None or label is None:
        return None
    lines = [(line, row) for line, row in table[1:] if any(row)]
    group = _column(header, GROUP)
    slices, left_out = _slices(header, [row for _, row in lines], {*places, group})
    rows = tuple(
        Row(
            row[file].strip(),
            row[label].strip(),
            row[split].strip() if split is not None else "",
            line,
            labels.value(row[group]) if group is not None else "",
            tuple((one, labels.value(row[place])) for place, one in slices.items() if row[place].strip()),
        )
        for line, row in lines
    )
    taken = tuple(header[place] for place in places if place is not None)
    others = (*((header[group],) if group is not None else ()), *slices.values())
    return LabelList(name, taken, rows, others, left_out)


def _slices(
    header: Sequence[str], rows: Sequence[Sequence[str]], taken: Set[int | None]
) -> tuple[dict[int, str], tuple[str, ...]]:
    """The columns that can be slices, name by place; and the others, each with the reason."""
    slices: dict[int, str] = {}
    left_out = []
    for place, cell in enumerate(header):
        name = labels.column(cell)
        values = [labels.value(row[place]) for row in rows]
        if place in taken or _plain(cell) in FILE or not any(values):
            continue
        if name in slices.values() or name in GROUP:
            reason = "it is there twice"
        elif not labels.is_label(name) or name in labels.RESERVED:
            reason = "its name cannot be that of a slice"
        elif len(values) >= MANY and len(set(values)) == len(values):
            reason = "it has another value for each image"
        elif len(slices) == labels.MAX_SLICES:
            reason = f"there are {labels.MAX_SLICES} before it"
        elif not all(map(labels.is_value, values)):
            reason = f"it has a value of more than {labels.MAX_VALUE} characters, or one that hides something"
        else:
            slices[place] = name
            continue
        left_out.append(f"{cell[:40]!r} ({reason})")
    return slices, tuple(left_out)


def bare(file: str) -> str:
    """The path in what a list calls a file: of an address its path, or where Label Studio names a local file that."""
    address = urlsplit(file.replace("\\", "/")) if "://" in file or "?d=" in file else None
    if address is None:
        return file.replace("\\", "/").removeprefix("./").lstrip("/")
    local = parse_qs(address.query).get("d")
    return (local[0] if local else address.path).lstrip("/")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    plain = [_plain(cell) for cell in header]
    return next((plain.index(name) for name in names if name in plain), None)


def _plain(cell: str) -> str:
    return cell.strip().casefold().replace(" ", "_").replace("-", "_")


def _of_csv(name: str, content: bytes) -> list[tuple[int, list[str]]]:
    """Lines with their numbers, each as long as the first."""
    try:
        text = content.decode("utf-8-sig")
        first = text.split("\n", 1)[0]
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name}: not a CSV file in UTF-8 ({error}); save it as that and run this again") from None
    width = len(rows[0][1]) if rows else 0
    return [(line, [*row, *[""] * (width - len(row))]) for line, row in rows]


def _of_json(content: bytes) -> list[tuple[int, list[str]]]:
    """The same of a list of objects; nothing of what is none."""
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError):
        return []
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        return []
    flat = [_flat(entry) for entry in entries]
    header = [*dict.fromkeys(key for entry in flat for key in entry)]
    lines = [(number, [entry.get(key, "") for key in header]) for number, entry in enumerate(flat, start=1)]
    return [(0, header), *lines]


def _flat(entry: Mapping[str, Any]) -> dict[str, str]:
    """An object as a row: the data of a task of Label Studio, and the choice of its annotation."""
    data = entry.get("data")
    values = {**data} if isinstance(data, dict) else {**entry}
    choices = _choices(entry.get("annotations"))
    if choices:
        values = {key: value for key, value in values.items() if key.casefold() not in LABEL}
        values["choice"] = choices
    return {key: _cell(value) for key, value in values.items()}


def _choices(annotations: Any) -> list[str]:
    """What the annotations of a task chose, each once."""
    chosen: dict[str, None] = {}
    for annotation in annotations if isinstance(annotations, list) else ():
        results = annotation.get("result") if isinstance(annotation, dict) else None
        for result in results if isinstance(results, list) else ():
            value = result.get("value") if isinstance(result, dict) else None
            if isinstance(value, dict) and isinstance(value.get("choices"), list):
                chosen |= dict.fromkeys(str(choice) for choice in value["choices"])
    return [*chosen]


def _cell(value: Any) -> str:
    """A value as text; several choices stay several, and are no label."""
    if isinstance(value, dict) and isinstance(value.get("choices"), list):
        value = value["choices"]
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
