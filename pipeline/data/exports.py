"""Lists of labels as other tools write them, CSV or JSON, read as rows of file, label and split. Pure.

Label Studio's JSON, JSON-MIN and CSV are among them (its documentation, "Export annotations and data").
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pipeline.base.errors import DataError

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

DELIMITERS = ",;\t"


class Row(NamedTuple):
    """A line of a list."""

    file: str
    label: str
    split: str
    """As the list calls it; empty if it does not say."""
    line: int
    """Where it stands, from 1 on; of JSON the number of the entry."""


@dataclass(frozen=True)
class LabelList:
    """What a file says of images."""

    name: str
    columns: tuple[str, ...]
    """The headers that were taken, of file, label and, where there is one, split."""
    rows: tuple[Row, ...]

    @property
    def words(self) -> str:
        """Which columns were taken."""
        what = ("the file", "its label", "its split")
        return ", ".join(f"{column!r} is {meaning}" for column, meaning in zip(self.columns, what, strict=False))


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
    rows = tuple(
        Row(row[file].strip(), row[label].strip(), row[split].strip() if split is not None else "", line)
        for line, row in table[1:]
        if any(row)
    )
    return LabelList(name, tuple(header[place] for place in places if place is not None), rows)


def bare(file: str) -> str:
    """The path in what a list calls a file: of an address its path, or where Label Studio names a local file that."""
    address = urlsplit(file.replace("\\", "/")) if "://" in file or "?d=" in file else None
    if address is None:
        return file.replace("\\", "/").removeprefix("./").lstrip("/")
    local = parse_qs(address.query).get("d")
    return (local[0] if local else address.path).lstrip("/")


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    plain = [cell.strip().casefold().replace(" ", "_").replace("-", "_") for cell in header]
    return next((plain.index(name) for name in names if name in plain), None)


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
