"""A walk through a folder, told by `lstat` alone."""

import os
import socket
from collections.abc import Callable
from contextlib import chdir, closing
from pathlib import Path

import pytest

from pipeline.base.errors import DataError
from pipeline.data import scan


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with three files, two of them in a folder of their own."""
    for name in ("1.png", "cat/2.png", "cat/3.png"):
        (tmp_path / "top" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / name).write_bytes(name.encode())
    return tmp_path / "top"


def test_every_folder_has_a_mark_and_its_names(top: Path) -> None:
    tree = scan.walk(top)
    assert {folder: sorted(names) for folder, names in tree.names.items()} == {
        str(top): ["1.png"],
        f"{top}/cat": ["2.png", "3.png"],
    }
    assert [tree.marks[folder][2] for folder in (str(top), f"{top}/cat")] == [2, 2]
    assert (tree.recent, tree.hostile) == ([], [])


def test_a_mark_stays_while_the_names_do(top: Path) -> None:
    before = scan.walk(top).marks
    (top / "1.png").write_bytes(b"changed")
    assert scan.walk(top).marks == before
    (top / "cat/3.png").rename(top / "cat/4.png")
    after = scan.walk(top).marks
    assert after[str(top)] == before[str(top)]
    assert after[f"{top}/cat"] != before[f"{top}/cat"]


def test_the_names_in_a_known_folder_are_not_given(top: Path) -> None:
    marks = scan.walk(top).marks
    tree = scan.walk(top, is_known=lambda folder, mark: folder.endswith("cat") and marks[folder] == mark)
    assert [*tree.names] == [str(top)]
    assert tree.marks == marks


def test_what_changed_since_is_told_by_folder(top: Path) -> None:
    tree = scan.walk(top, since=lambda folder: 0 if folder.endswith("cat") else scan.NEVER)
    assert sorted(status.path for status in tree.recent) == [f"{top}/cat/2.png", f"{top}/cat/3.png"]
    (status,) = [status for status in tree.recent if status.path.endswith("2.png")]
    assert status == scan.look_at(f"{top}/cat/2.png")
    assert status.num_names == 1
    (top / "again.png").hardlink_to(top / "cat/2.png")
    again = scan.look_at(f"{top}/again.png")
    assert again is not None
    assert (again.identity, again.num_names) == (status.identity, 2)


def test_where_nothing_is_there_is_nothing_to_tell(top: Path) -> None:
    assert scan.look_at(f"{top}/gone.png") is None
    assert scan.walk(top / "gone") == scan.Tree()
    assert scan.walk(top / "1.png") == scan.Tree()


def make_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as end, chdir(path.parent):
        end.bind(path.name)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, "a FIFO"),
    "socket": (make_socket, "a socket"),
    "link": (lambda path: path.symlink_to("1.png"), "a symbolic link to something other than the DVC cache"),
    "link to a folder": (lambda path: path.symlink_to("/etc"), "a symbolic link to something other than the DVC cache"),
    "no UTF-8": (lambda path: Path(f"{path}\udcff").touch(), "a name that is not UTF-8"),
    "folder, no UTF-8": (lambda path: Path(f"{path}\udcff").mkdir(), "a name that is not UTF-8"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_plain_file_is_told_with_its_kind_and_not_followed(top: Path, name: str) -> None:
    make, kind = HOSTILE[name]
    make(top / "cat/x.png")
    ((path, told),) = scan.walk(top).hostile
    assert path.startswith(f"{top}/cat/x.png")
    assert told == kind


@pytest.mark.parametrize("relative", [True, False])
def test_a_link_into_the_cache_is_a_file(top: Path, tmp_path: Path, relative: bool) -> None:
    (top / "x.png").symlink_to("../cache/ab" if relative else tmp_path / "cache/ab")
    asked: list[str] = []
    tree = scan.walk(top, is_cache=lambda path: bool(asked.append(path)) or path.endswith("cache/ab"))
    assert (tree.hostile, sorted(tree.names[str(top)])) == ([], ["1.png", "x.png"])
    assert asked == [f"{top}/../cache/ab" if relative else f"{tmp_path}/cache/ab"]


def test_the_target_of_what_is_no_link_is_empty(top: Path) -> None:
    assert scan.target(f"{top}/1.png") == scan.target(f"{top}/gone.png") == ""


def test_the_top_itself_may_be_a_link(top: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(top)
    assert sorted(scan.walk(tmp_path / "link").names) == [f"{tmp_path}/link", f"{tmp_path}/link/cat"]


def test_a_folder_that_cannot_be_read_is_an_error(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.open

    def refuse(path: str, *arguments: int) -> int:
        if path == f"{top}/cat":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"cat': cannot be read \(Permission denied\); expected .* `ls -ld`"):
        scan.walk(top)
