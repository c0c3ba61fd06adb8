"""Matching: lists of labels held against the files that are there; which list counts, and for which file. Pure."""

import re
from collections.abc import Mapping, Sequence, Set
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.base.errors import DataError
from pipeline.data import exports, labels
from pipeline.data.exports import LabelList, Row

_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")
"""Label Studio puts this before the names of files that were uploaded."""


class Matched(NamedTuple):
    """A list, and the file here that each of its rows names."""

    of: LabelList
    rows: Mapping[str, Row]
    """By path."""
    missing: Sequence[str]
    """Files that are not here, as the list names them."""


def chosen(folder: str, here: Set[str], lists: Mapping[str, bytes], again: str) -> Matched | None:
    """The list that says the labels; None if folders do.

    Args:
        folder: as people call it.
        here: paths below it of the files that it holds.
        lists: content of the files that may be lists of labels, by name.
        again: what an error says to do once the folder is mended.

    Raises:
        DataError: it is not clear which list counts, which file it means, or whether folders say something else.
    """
    found = [exports.read(name, content) for name, content in sorted(lists.items())]
    if labels.CSV in lists and not any(one and one.name == labels.CSV for one in found):
        header = lists[labels.CSV].split(b"\n", 1)[0][:80].decode(errors="replace").strip()
        raise DataError(
            f"{folder}/{labels.CSV}: line 1 is {header!r}; expected `file,label`, or columns of such names; mend it "
            f"and {again}"
        )
    matched = [_matched(folder, here, one, again) for one in found if one]
    own = [one for one in matched if one.of.name == labels.CSV]
    telling = own or [one for one in matched if one.rows and not _agrees(one)]
    if not telling:
        return None
    if len(telling) > 1:
        names = " and ".join(f"{one.of.name!r}" for one in telling)
        raise DataError(
            f"{folder}: {names} both say labels; expected one list; make one of them, with a column `split` if they "
            f"are splits, move the others away, and {again}"
        )
    (one,) = telling
    if not own:
        _refuse_contradiction(folder, one, again)
    return one


def _agrees(matched: Matched) -> bool:
    """Whether a list says what the folders say, and so nothing new."""
    rows = matched.rows.items()
    return all(row.label == PurePosixPath(path).parent.name and not row.group for path, row in rows)


def _refuse_contradiction(folder: str, matched: Matched, again: str) -> None:
    """Labels that are those of the list for some images, and those of the folders for others, are nobody's."""
    said = {row.label for row in matched.rows.values()}
    for path, row in matched.rows.items():
        parent = PurePosixPath(path).parent.name
        if parent in said and parent != row.label:
            take = "save it as CSV by the name" if matched.of.name.lower().endswith(".json") else "name it"
            raise DataError(
                f"{folder}: {matched.of.name} line {row.line} says that {path!r} is {row.label!r}, its folder says "
                f"{parent!r}; expected one of them to say the labels; to take the list, {take} {labels.CSV}; to take "
                f"the folders, move it away; then {again}"
            )


def _matched(folder: str, here: Set[str], listed: LabelList, again: str) -> Matched:
    """Find the file that each row means: by its path, else by the longest end of it that only one file has.

    Kaggle's ids are names without the ending.
    """
    by_name: dict[str, list[str]] = {}
    for path in here:
        for name in {PurePosixPath(path).name, PurePosixPath(path).stem}:
            by_name.setdefault(name, []).append(path)
    rows: dict[str, Row] = {}
    missing: list[str] = []
    for row in listed.rows:
        path = _meant(folder, row, listed, here, by_name, again)
        if not labels.is_value(row.group):
            raise DataError(
                f"{folder}/{listed.name}: line {row.line}: {row.group[:80]!r} cannot be a group; expected at most "
                f"{labels.MAX_VALUE} characters, all of which can be seen, or nothing; mend it and {again}"
            )
        if not path:
            missing.append(row.file)
        elif path in rows and (rows[path].label, rows[path].split) != (row.label, row.split):
            raise DataError(
                f"{folder}/{listed.name}: line {row.line}: {row.file!r} has another label or split above; expected "
                f"one; mend it and {again}"
            )
        elif path in rows and rows[path].group != row.group:
            raise DataError(
                f"{folder}/{listed.name}: line {row.line}: {row.file!r} has another group above; expected one; mend it "
                f"and {again}"
            )
        else:
            rows[path] = row
    return Matched(listed, rows, missing)


def _meant(
    folder: str, row: Row, listed: LabelList, here: Set[str], by_name: Mapping[str, Sequence[str]], again: str
) -> str:
    """The path of the file that a row means; empty if it is not here."""
    name = exports.bare(row.file)
    if name in here:
        return name
    parts = PurePosixPath(name).parts
    if not parts:
        return ""
    uploaded = _UPLOADED.fullmatch(parts[-1])
    alike = by_name.get(parts[-1], ()) or (by_name.get(uploaded[1], ()) if uploaded else ())
    shared = {path: _shared_end(parts, PurePosixPath(path).parts) for path in alike}
    best = [path for path, count in shared.items() if count == max(shared.values())]
    if len(best) > 1:
        raise DataError(
            f"{folder}/{listed.name}: line {row.line}: {row.file!r} may be {min(best)!r} or {max(best)!r}; expected "
            f"paths below {folder}; mend it and {again}"
        )
    return best[0] if best else ""


def _shared_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
