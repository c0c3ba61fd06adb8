import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from examples import examples
from hypothesis import strategies as st

from pipeline.artifacts.sources import Source
from pipeline.base.errors import DataError
from pipeline.base.words import are
from pipeline.data import scan, worktree
from pipeline.data.store import Store

IMAGES = Path("data/images")
MONDAY = "data/images/monday"
IGNORE = (".DS_Store", "__MACOSX", "*.txt")
SECRET = b"the canary"


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def keep(content: bytes, suffix: str = "") -> Path:
    """An object in the cache, as DVC keeps it."""
    digest = md5(content)
    path = Path(".dvc/cache/files/md5", digest[:2], digest[2:] + suffix)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
    return path


def add(batch: str, link: str = "copy") -> Source:
    """What `dvc add` does with a batch, without the second that it takes."""
    entries = []
    for path in sorted(Path(batch).rglob("*")):
        if path.is_file():
            entries.append({"md5": md5(path.read_bytes()), "relpath": path.relative_to(batch).as_posix()})
            place(path, link)
    listing = keep(json.dumps(entries).encode(), ".dir")
    time.sleep(0.02)  # the kernel's clock for files ticks some hundred times a second
    Path(f"{batch}.dvc").write_text("a pointer")
    return Source(batch, listing.parent.name + listing.name, len(entries))


def place(path: Path, link: str) -> None:
    """Put what the cache has for a file in its place."""
    cached = keep(path.read_bytes())
    if link != "copy":
        path.unlink()
        path.hardlink_to(cached) if link == "hardlink" else path.symlink_to(cached.resolve())


def check(*batches: Source) -> list[str]:
    time.sleep(0.02)
    return worktree.check(IMAGES, batches, Store(Path()), IGNORE, Path("data/scratch/tree.json"))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test cannot wait two seconds for each step; the clock for files lags by a tick, the sleeps in here by more."""
    monkeypatch.setattr(worktree, "SETTLED", 10_000_000)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC project with images that nobody has added yet; beside it, a file that is none of its business."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    for name in ("DVC_SITE_CACHE_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR"):
        monkeypatch.setenv(name, str(root / "dvc"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    draw()
    return root


def draw() -> None:
    Path("../secret").write_bytes(SECRET)
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n")
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        path = Path(MONDAY, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


@pytest.fixture
def monday() -> Source:
    return add(MONDAY)


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Batches whose listing was read."""
    read: list[str] = []
    original = Store.listing

    def listing(self: Store, source: Source) -> object:
        read.append(source.path)
        return original(self, source)

    monkeypatch.setattr(Store, "listing", listing)
    return read


def test_a_clone_without_images_is_fine(monday):
    shutil.rmtree(IMAGES)
    assert check(monday) == []


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_what_dvc_added_is_fine_whatever_links_it_makes(link):
    monday = add(MONDAY, link)
    assert check(monday) == check(monday) == []


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_what_dvc_itself_adds_is_fine(link):
    dvc = Path(sys.executable).with_name("dvc")
    for command in (f"config cache.type {link}", f"add {MONDAY}"):
        subprocess.run([dvc, *command.split(), "--quiet"], check=True)
    path = Path(MONDAY, "cat/1.png")
    assert path.is_symlink() == (link == "symlink")
    assert (path.stat().st_nlink == 2) == (link == "hardlink")
    digest = Path(f"{MONDAY}.dvc").read_text().split("md5: ")[1].split()[0]
    monday = Source(MONDAY, digest, 4)
    assert check(monday) == check(monday) == []
    path.unlink()
    path.write_bytes(b"changed")
    with pytest.raises(DataError, match=r"^1 file below data/images was changed after `dvc add`"):
        check(monday)


def test_a_second_look_reads_no_listing_and_writes_nothing(monday, listings):
    check(monday)
    before = Path("data/scratch/tree.json").stat().st_ino
    assert listings == [MONDAY]
    check(monday)
    assert listings == [MONDAY]
    assert Path("data/scratch/tree.json").stat().st_ino == before


def test_a_folder_that_was_changed_just_now_is_looked_at_again(monday, listings, monkeypatch):
    monkeypatch.setattr(worktree, "SETTLED", 2_000_000_000)
    check(monday)
    check(monday)
    assert listings == [MONDAY, MONDAY]


def test_another_listing_is_compared_anew(monday):
    check(monday)
    without = Source(MONDAY, keep(b"[]", ".dir").parent.name + keep(b"[]", ".dir").name, 0)
    with pytest.raises(DataError, match=r"^4 files below data/images are not tracked"):
        check(without)


def test_other_patterns_are_compared_anew(monday):
    Path(MONDAY, "cat/note.txt").touch()
    assert check(monday) == []
    with pytest.raises(DataError, match=r"^1 file .* e\.g\. 'data/images/monday/cat/note\.txt'"):
        worktree.check(IMAGES, (monday,), Store(Path()), [], Path("data/scratch/tree.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b'{"folders": 7}', b'{"folders": {"a": [1]}}', b"\xff"])
def test_a_memory_that_is_none_is_forgotten(monday, content):
    Path("data/scratch").mkdir()
    Path("data/scratch/tree.json").write_bytes(content)
    Path(MONDAY, "cat/3.png").touch()
    with pytest.raises(DataError, match=r"^1 file below data/images is not tracked"):
        check(monday)


@pytest.mark.parametrize("where", ["monday/cat/new.png", "monday/fox/1.png", "tuesday/cat/1.png"])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_new_image_is_never_silently_ignored(monday, where, is_known):
    if is_known:
        check(monday)
    path = IMAGES / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with pytest.raises(DataError) as error:
        check(monday)
    batch = "data/images/" + where.partition("/")[0]
    assert str(error.value) == (
        f"1 file below data/images is not tracked by DVC, e.g. '{path}'; expected every image in a batch; run "
        f"`dvc add '{batch}'`, or delete them, or name them in detect.ignore"
    )


def test_a_file_that_lies_directly_in_images_is_told_where_to_go(monday):
    (IMAGES / "loose.png").touch()
    with pytest.raises(
        DataError, match=r"^1 file lies directly in data/images, e\.g\. 'data/images/loose\.png'; .*move"
    ):
        check(monday)


@pytest.mark.parametrize(
    "name", [".DS_Store", "monday/notes.txt", "monday/cat/.DS_Store", "__MACOSX/1.png", "monday/__MACOSX/cat/1.png"]
)
def test_what_is_to_be_ignored_is_ignored_with_all_that_it_holds(monday, name):
    (IMAGES / name).parent.mkdir(parents=True, exist_ok=True)
    (IMAGES / name).touch()
    assert check(monday) == check(monday) == []


def test_the_files_of_dvc_and_git_are_no_images(monday):
    for name in (".gitignore", ".gitkeep", ".dvcignore", "other.dvc"):
        (IMAGES / name).touch()
    assert check(monday) == []


def test_an_image_that_was_deleted_from_disk_only_is_told(monday):
    check(monday)
    Path(MONDAY, "cat/1.png").unlink()
    (warning,) = check(monday)
    assert warning == (
        f"1 of 4 files of '{MONDAY}' are not on this disk, e.g. '{MONDAY}/cat/1.png'; they are in the data until "
        f"`dvc add '{MONDAY}'` takes them out; `dvc pull '{MONDAY}.dvc'` brings them back"
    )


def test_a_folder_that_was_deleted_from_disk_only_is_told_too(monday):
    check(monday)
    shutil.rmtree(Path(MONDAY, "cat"))
    (warning,) = check(monday)
    assert warning.startswith(f"2 of 4 files of '{MONDAY}' are not on this disk, e.g. '{MONDAY}/cat/1.png'")


def test_a_batch_of_which_nothing_is_here_is_no_news(monday):
    shutil.rmtree(MONDAY)
    assert check(monday) == []


def test_a_new_file_in_a_batch_that_is_only_partly_here_is_to_be_added_alone(monday):
    Path(MONDAY, "cat/1.png").unlink()
    Path(MONDAY, "cat/new.png").touch()
    with pytest.raises(DataError) as caught:
        check(monday)
    assert str(caught.value).endswith(
        f"run `dvc add '{MONDAY}/cat/new.png'`, not `dvc add '{MONDAY}'`: 1 file of it is not on this disk and would "
        "count as removed, unless you moved or deleted them yourself and mean that"
    )


def test_one_tracked_directory_of_labels_is_a_batch_too():
    everything = add("data/images")
    assert check(everything) == []
    (IMAGES / "monday/cat/3.png").touch()
    with pytest.raises(DataError, match="`dvc add 'data/images'`"):
        check(everything)


def test_a_single_tracked_file_is_a_batch_too():
    (IMAGES / "lone.png").write_bytes(b"lone")
    lone = Source("data/images/lone.png", md5(b"lone"), 1)
    monday = add(MONDAY)
    Path("data/images/lone.png.dvc").touch()
    assert check(lone, monday) == check(lone, monday) == []
    (IMAGES / "lone.png").write_bytes(b"changed")
    with pytest.raises(DataError, match=r"^1 file .* was changed .* run `dvc add 'data/images/lone\.png'`"):
        check(lone, monday)


def in_place(path: Path) -> None:
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.write(b"X")


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another")


def swapped(path: Path) -> None:
    path.unlink()
    path.hardlink_to(keep(b"another"))


def relinked(path: Path) -> None:
    path.unlink()
    path.symlink_to(keep(b"another").resolve())


@pytest.mark.parametrize("link", ["copy", "hardlink"])
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("change", [in_place, replaced, swapped, relinked])
def test_an_image_that_was_changed_after_dvc_add_is_named(link, is_known, change):
    monday = add(MONDAY, link)
    if is_known:
        check(monday)
        time.sleep(0.02)
    change(Path(MONDAY, "cat/1.png"))
    undo = "`dvc checkout --force 'data/images/monday.dvc'`"
    if link == "hardlink" and change is in_place:
        undo = (
            "`rm 'data/images/monday/cat/1.png'`, then `dvc pull 'data/images/monday.dvc'`, for DVC's cache does not "
            "have what was there,"
        )
    for _ in range(2):
        with pytest.raises(DataError) as error:
            check(monday)
        assert str(error.value) == (
            "1 file below data/images was changed after `dvc add`, e.g. 'data/images/monday/cat/1.png'; expected "
            f"what their pointer says; run `dvc add 'data/images/monday'` to take the change up, or {undo} to undo it"
        )


def test_a_change_is_found_though_its_time_was_set_back(monday):
    check(monday)
    in_place(Path(MONDAY, "cat/1.png"))
    os.utime(Path(MONDAY, "cat/1.png"), (0, 0))
    with pytest.raises(DataError, match=r"^1 file below data/images was changed"):
        check(monday)


def touched(path: Path) -> None:
    os.utime(path)


def rewritten(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def linked_again(path: Path) -> None:
    Path(tempfile.mkdtemp(dir="."), "again").hardlink_to(keep(path.read_bytes()))


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
@pytest.mark.parametrize("change", [touched, rewritten, linked_again])
def test_an_image_with_the_same_bytes_is_unchanged(link, change):
    monday = add(MONDAY, link)
    check(monday)
    change(Path(MONDAY, "cat/1.png"))
    assert check(monday) == []


def test_links_into_the_cache_are_told_without_reading_them(monkeypatch):
    monday = add(MONDAY, "hardlink")
    check(monday)
    linked_again(Path(MONDAY, "cat/1.png"))
    monkeypatch.setattr(worktree, "_digest_on_disk", lambda path: pytest.fail(path))
    assert check(monday) == []


def test_what_was_hashed_is_not_hashed_again(monday, monkeypatch):
    touched(Path(MONDAY, "cat/1.png"))
    check(monday)
    monkeypatch.setattr(worktree, "_digest_on_disk", lambda path: pytest.fail(path))
    check(monday)


def test_a_change_is_found_though_the_pointer_was_written_after_it(monday):
    """As by `git checkout` of another branch and back."""
    check(monday)
    time.sleep(0.02)
    in_place(Path(MONDAY, "cat/1.png"))
    time.sleep(0.02)
    os.utime(f"{MONDAY}.dvc")
    with pytest.raises(DataError, match=r"^1 file below data/images was changed"):
        check(monday)


def test_a_change_is_found_though_the_file_systems_clock_is_late(monday, monkeypatch):
    """As on a network drive."""
    late = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(worktree.time, "time_ns", lambda: late)
    touched(Path(MONDAY, "cat/1.png"))
    check(monday)
    in_place(Path(MONDAY, "cat/1.png"))
    with pytest.raises(DataError, match=r"^1 file below data/images was changed"):
        check(monday)


def test_a_change_during_the_walk_is_found_the_next_time(monday, monkeypatch):
    check(monday)
    touched(Path(MONDAY, "cat/1.png"))
    touched(Path(MONDAY, "dog/1.png"))
    original = os.open
    walked: list[str] = []

    def interfere(path: str, *arguments: int) -> int:
        if path in (f"{MONDAY}/cat", f"{MONDAY}/dog"):
            walked.append(path)
            if len(walked) == 2:
                in_place(Path(walked[0], "1.png"))
                time.sleep(0.02)
                touched(Path(walked[1], "1.png"))
        return original(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", interfere)
        patch.setattr(worktree, "_digest_on_disk", lambda path: md5(path.removeprefix(f"{MONDAY}/").encode()))
        assert check(monday) == []
    with pytest.raises(DataError, match=r"^1 file below data/images was changed"):
        check(monday)


def test_a_batch_is_not_hashed_because_another_changed(monday, monkeypatch):
    shutil.copytree(MONDAY, "data/images/tuesday")
    tuesday = add("data/images/tuesday")
    os.utime(f"{MONDAY}.dvc", (0, 0))
    check(monday, tuesday)
    monkeypatch.setattr(worktree, "_digest_on_disk", lambda path: pytest.fail(path))
    check(monday, tuesday)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(path.parent):
        end.bind(path.name)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "FIFO": (os.mkfifo, "a FIFO"),
    "socket": (make_socket, "a socket"),
    "link to a file": (lambda path: path.symlink_to(Path("../secret").resolve()), "a symbolic link"),
    "relative link": (lambda path: path.symlink_to("../../../../../secret"), "a symbolic link"),
    "link to a folder": (lambda path: path.symlink_to("/etc"), "a symbolic link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "a symbolic link"),
    "link above": (lambda path: path.symlink_to("../.."), "a symbolic link"),
    "link to an image": (lambda path: path.symlink_to("1.png"), "a symbolic link"),
    "link to the cache's folder": (lambda path: path.symlink_to(Path(".dvc/cache").resolve()), "a symbolic link"),
    "link through the cache": (
        lambda path: path.symlink_to(f"{Path('.dvc/cache/files/md5').resolve()}/../../../../ab/{'c' * 30}"),
        "a symbolic link",
    ),
    "hard link": (lambda path: path.hardlink_to("../secret"), "a hard link to a file that lies elsewhere too"),
    "no UTF-8": (lambda path: Path(f"{path}\udcff").touch(), "a name that is not UTF-8"),
    "folder, no UTF-8": (lambda path: Path(f"{path}\udcff").mkdir(), "a name that is not UTF-8"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_dvc_command_should_meet_is_refused(monday, name, is_known):
    make, kind = HOSTILE[name]
    if is_known:
        check(monday)
    make(Path(MONDAY, "cat/x.png"))
    for _ in range(2):
        with opened() as paths, pytest.raises(DataError) as error:
            check(monday)
        line = str(error.value)
        assert line.startswith("1 entries below data/images are no plain files, e.g. 'data/images/monday/cat/x.png")
        assert kind in line
        assert line.isascii()
        assert "\n" not in line
        assert not outside(paths)


@pytest.mark.parametrize("name", ["FIFO", "link to a file"])
def test_names_to_be_ignored_excuse_nothing(monday, name):
    """`dvc add` looks at them all the same."""
    HOSTILE[name][0](Path(MONDAY, "cat/.DS_Store"))
    with pytest.raises(DataError, match="no plain files"):
        check(monday)


def test_a_tracked_image_that_became_a_link_is_refused(monday):
    check(monday)
    Path(MONDAY, "cat/1.png").unlink()
    Path(MONDAY, "cat/1.png").symlink_to("../../../../../secret")
    with pytest.raises(DataError, match="no plain files"):
        check(monday)


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_an_image_of_dvc_that_was_moved_is_untracked_not_hostile(link):
    monday = add(MONDAY, link)
    Path(MONDAY, "cat/1.png").rename(Path(MONDAY, "dog/3.png"))
    with pytest.raises(DataError, match=r"^1 file below data/images is not tracked"):
        check(monday)


def test_a_relative_link_into_the_cache_is_one_of_dvcs_too(monkeypatch):
    monday = add(MONDAY, "symlink")
    path = Path(MONDAY, "cat/1.png")
    target = os.path.relpath(path.resolve(), path.parent)
    path.unlink()
    path.symlink_to(target)
    monkeypatch.setattr(Store, "_open", lambda _: pytest.fail("DVC is opened, which takes a quarter of a second"))
    assert check(monday) == []


def test_two_names_of_one_new_file_are_untracked_not_hostile(monday):
    Path(MONDAY, "cat/3.png").touch()
    Path(MONDAY, "cat/4.png").hardlink_to(Path(MONDAY, "cat/3.png"))
    with pytest.raises(DataError, match=r"^2 files below data/images are not tracked"):
        check(monday)


def test_names_are_shown_so_that_no_terminal_minds(monday):
    path = IMAGES / "\x1b[31m\n'x" / "cat" / "1.png"
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(DataError) as error:
        check(monday)
    assert str(error.value).isprintable()


def test_a_folder_that_cannot_be_read_is_an_error(monday, monkeypatch):
    original = os.open

    def refuse(path: str, *arguments: int) -> int:
        if path == f"{MONDAY}/cat":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DataError, match=r"^'data/images/monday/cat': cannot be read \(Permission denied\)"):
        check(monday)


def test_an_image_that_is_deleted_during_the_walk_is_fine(monday, monkeypatch):
    original = os.scandir

    def vanish(descriptor: int) -> contextlib.AbstractContextManager[list[os.DirEntry[str]]]:
        entries = list(original(descriptor))
        if "2.png" in [entry.name for entry in entries]:
            Path(MONDAY, "cat/1.png").unlink(missing_ok=True)
        return contextlib.nullcontext(entries)

    monkeypatch.setattr(os, "scandir", vanish)
    assert scan.walk(IMAGES).names[f"{MONDAY}/cat"] == ["2.png"]
    (warning,) = check(monday)
    assert warning.startswith("1 of 4 files")


def test_a_folder_that_is_deleted_during_the_walk_is_fine(monday, monkeypatch):
    original = os.open

    def vanish(path: str, *arguments: int) -> int:
        if path == f"{MONDAY}/dog" and Path(path).exists():
            Path(path).rename("dog")
        return original(path, *arguments)

    monkeypatch.setattr(os, "open", vanish)
    (warning,) = check(monday)
    assert warning.startswith("2 of 4 files")
    assert sorted(scan.walk(IMAGES).marks) == ["data/images", MONDAY, f"{MONDAY}/cat"]


def test_a_folder_that_becomes_a_link_during_the_walk_is_not_followed(monday, monkeypatch):
    Path("../elsewhere").mkdir()
    Path("../elsewhere/new.png").touch()
    original = os.open

    def swap(path: str, *arguments: int) -> int:
        if path == f"{MONDAY}/dog":
            Path(MONDAY, "dog").rename("dog")
            Path(MONDAY, "dog").symlink_to(Path("../elsewhere").resolve())
        return original(path, *arguments)

    monkeypatch.setattr(os, "open", swap)
    with pytest.raises(DataError, match=r"^'data/images/monday/dog': cannot be read"):
        check(monday)


RECORDING: list[list[str]] = []


def _record(event: str, arguments: tuple[object, ...]) -> None:
    if RECORDING and event in ("open", "os.scandir", "os.listdir") and isinstance(arguments[0], str | bytes):
        RECORDING[-1].append(os.path.abspath(os.fsdecode(arguments[0])))  # noqa: PTH100


@contextlib.contextmanager
def opened() -> Iterator[list[str]]:
    """Every path that this process opens in the block; an audit hook sees each open() of Python's."""
    if not hasattr(_record, "added"):
        sys.addaudithook(_record)
        _record.added = True  # type: ignore[attr-defined]
    RECORDING.append([])
    try:
        yield RECORDING[-1]
    finally:
        RECORDING.pop()


def outside(paths: list[str]) -> list[str]:
    """Of these, what lies neither in the project nor where Python, DVC's settings and the figures of the kernel are."""
    own = (os.environ["DVC_SITE_CACHE_DIR"], sys.prefix, sys.base_prefix, *filter(None, sys.path), "/proc")
    allowed = tuple(f"{folder}/" for folder in (str(Path.cwd()), *own))
    return [path for path in paths if not f"{path}/".startswith(allowed)]


FOLDERS = ("monday/cat", "monday/dog", "monday/__MACOSX", "tuesday/cat")
NAMES = ("1.png", "2.png", "a b.png", "-rf.png", "$(id).png", "é.png", "x\ny.png", "\udcff.png", ".DS_Store")
ACTS = ("write", "rewrite", "change", "delete", "fifo", "link out", "link in", "hard link out", "hard link in")


class Model:
    """What a tree must be found to be, by the simplest means: the kind of what lies at each path."""

    def __init__(self) -> None:
        self.tracked = {
            f"monday/{name}": name.encode() for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
        }
        self.files = dict(self.tracked)
        self.hostile: set[str] = set()
        self.linked_out: set[str] = set()

    def act(self, act: str, where: str) -> None:
        path = IMAGES / where
        if act == "change" and path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
            self.files[where] = b"C" + self.files[where][1:]
            path.write_bytes(self.files[where])
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.files.pop(where, None)
        self.hostile.discard(where)
        self.linked_out.discard(where)
        if act == "write":
            self.files[where] = b"new " + where.encode(errors="surrogateescape")
            path.write_bytes(self.files[where])
        elif act in ("rewrite", "change"):
            self.files[where] = self.tracked.get(where, b"?")
            path.write_bytes(self.files[where])
        elif act == "link in":
            self.files[where] = b"cat/1.png"
            path.symlink_to(keep(b"cat/1.png").resolve())
        elif act == "hard link in":
            self.files[where] = b"cat/2.png"
            path.hardlink_to(keep(b"cat/2.png"))
        elif act == "hard link out":
            self.files[where] = SECRET
            self.linked_out.add(where)
            path.hardlink_to("../secret")
        elif act == "fifo":
            self.hostile.add(where)
            os.mkfifo(path)
        elif act == "link out":
            self.hostile.add(where)
            path.symlink_to("/etc/passwd")

    def verdict(self) -> str:
        hostile = self.hostile | {path for path in self.files if "\udcff" in path}
        if hostile:
            return f"{len(hostile)} entries below"
        new = {
            path
            for path in self.files
            if path not in self.tracked and not {*path.split("/")} & {".DS_Store", "__MACOSX"}
        }
        if new & self.linked_out:
            return f"{len(new & self.linked_out)} entries below"
        if new:
            return f"{are(len(new), 'file', where='below data/images')} not tracked"
        changed = [path for path, content in self.files.items() if self.tracked.get(path, content) != content]
        return f"{are(len(changed), 'file', 'was', 'were', 'below data/images')} changed" if changed else ""


def verdict(source: Source, missing: int) -> str:
    try:
        assert all(warning.startswith(f"{missing} of 4 files") for warning in check(source))
    except DataError as error:
        return str(error)
    return ""


@pytest.mark.timeout(300)
@examples(100)
@hypothesis.given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from(FOLDERS), st.sampled_from(NAMES)), max_size=4),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(["copy", "hardlink", "symlink"]),
)
def test_any_tree_is_judged_as_by_the_simplest_means_and_nothing_outside_is_opened(steps, link):
    """Also with the memory of what it was before."""
    with tempfile.TemporaryDirectory() as top, contextlib.chdir(top):
        Path("project").mkdir()
        with contextlib.chdir("project"):
            draw()
            monday, model = add(MONDAY, link), Model()
            check(monday)
            for step in steps:
                for act, folder, name in step:
                    model.act(act, f"{folder}/{name}")
                with opened() as paths:
                    said = verdict(monday, len(model.tracked.keys() - model.files.keys()))
                expected = model.verdict()
                assert said.startswith(expected)
                assert bool(said) == bool(expected)
                assert said == "" or said.isprintable()
                assert not outside(paths)
