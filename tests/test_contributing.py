"""The map of the code: one line per file, which says what the file itself says first."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks.workspace import CHECKOUT

TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text()
LINES = dict(re.findall(r"^- `([\w/]+\.py)`: (.*)$", TEXT, re.M))
FILES = sorted(
    path.relative_to(CHECKOUT).as_posix()
    for path in (CHECKOUT / "pipeline").rglob("*.py")
    if path.parent == CHECKOUT / "pipeline" or path.name != "__init__.py"
)


def said(name: str) -> str:
    """The first sentence of a file's docstring."""
    text = " ".join((ast.get_docstring(ast.parse((CHECKOUT / name).read_bytes())) or "").split())
    return re.split(r"(?<=[^.]\.) ", text, maxsplit=1)[0]


def test_each_file_has_a_line_and_each_line_a_file() -> None:
    assert sorted(LINES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_line_says_what_its_file_says(name: str) -> None:
    assert LINES[name] == said(name)


def test_each_room_has_a_heading_with_its_own_words() -> None:
    headings = dict(re.findall(r"^### `pipeline/(\w+)/`\n\n(.*)$", TEXT, re.M))
    rooms = {
        path.parent.name: said(path.relative_to(CHECKOUT).as_posix())
        for path in Path(CHECKOUT / "pipeline").glob("*/__init__.py")
    }
    assert headings == rooms
