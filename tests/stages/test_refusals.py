"""What stops a cycle at once: entries that no DVC command should meet, labels.csv that cannot be read."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from project import Project, picture, pictures


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    made = Project.create(tmp_path_factory.mktemp("refusals") / "clone", empty_database)
    made.add("first", pictures(range(30), "cat", "dog"))
    return made


@pytest.fixture
def clean(shared: Project) -> Iterator[Project]:
    """The shared project, put back as it was."""
    head = shared.space.git("rev-parse", "HEAD").strip()
    yield shared
    shared.space.git("reset", "--hard", "--quiet", head)
    for entry in (shared.root / "data/images").iterdir():
        if entry.name not in ("first", "first.dvc", ".gitignore"):
            shared.remove(entry.name)
    assert shared.run("resolve").code == 0


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link_outside(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def link_nowhere(path: Path) -> None:
    path.symlink_to("nowhere.png")


def link_to_a_folder(path: Path) -> None:
    path.symlink_to("/etc")


def link_within(path: Path) -> None:
    path.symlink_to("../cat/1.png")


def hard_link_outside(path: Path) -> None:
    outside = path.parents[4] / "secret.png"
    outside.write_bytes(picture(900))
    path.hardlink_to(outside)


def socket_file(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


HOSTILE = {
    fifo: "a FIFO",
    link_outside: "a symbolic link to something other than the DVC cache",
    link_nowhere: "a symbolic link to something other than the DVC cache",
    link_to_a_folder: "a symbolic link to something other than the DVC cache",
    link_within: "a symbolic link to something other than the DVC cache",
    hard_link_outside: "a hard link to a file that lies elsewhere too",
    socket_file: "a socket",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("where", ["first/cat", "next/cat"], ids=["in a batch", "in a new folder"])
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_what_no_dvc_command_should_meet_is_refused_by_the_first_stage(
    clean: Project, make: Callable[[Path], None], where: str
) -> None:
    path = clean.root / "data/images" / where / "x.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    make(path)
    before = sorted((clean.root / ".dvc/cache").rglob("*"))
    try:
        done = clean.run("resolve")
    finally:
        path.unlink()
        (clean.root / "secret.png").unlink(missing_ok=True)
    assert done.code == 4
    assert (
        f"1 entries below data/images are no plain files, e.g. 'data/images/{where}/x.png': {HOSTILE[make]}"
        in done.error
    )
    assert "delete, copy or rename them" in done.error
    assert sorted((clean.root / ".dvc/cache").rglob("*")) == before


def test_a_name_that_is_not_utf_8_is_refused_by_the_first_stage(clean: Project) -> None:
    path = os.fsencode(clean.root / "data/images/first/cat") + b"/\xff.png"
    Path(os.fsdecode(path)).write_bytes(picture(901))
    try:
        done = clean.run("resolve")
    finally:
        Path(os.fsdecode(path)).unlink()
    assert done.code == 4
    assert r"'data/images/first/cat/\udcff.png': a name that is not UTF-8" in done.error


NO_LABELS = ["-rf", "a\u202eb", "<b>", "two\nlines", "x" * 65, "cat\u200b", " cat", "a:b"]


@pytest.mark.parametrize("name", NO_LABELS, ids=ascii)
def test_a_folder_whose_name_cannot_be_a_label_stops_the_cycle(clean: Project, name: str) -> None:
    clean.add("next", {name: {"1.png": picture(902)}})
    done = clean.run("resolve", "detect")
    assert done.code == 4
    assert f"{f'data/images/next/{name}'!a}: not a label; expected 1 to 64 letters, digits" in done.error
    assert "rename the folder and `dvc add` again" in done.error


CSV = {
    b"": "line 1 is 'nothing'; expected `file,label`",
    b"name,label\n1.png,cat\n": "line 1 is 'name,label'; expected `file,label`",
    b"file,label\n1.png\n": "line 2 has 1 cells; expected a file and its label",
    b"file,label\n1.png,cat,dog\n": "line 2 has 3 cells",
    b"file,label\n1.png,<b>\n": "line 2: '<b>' is not a label",
    b"file,label\n1.png,\n": "line 2: '' is not a label",
    b"file,label\n1.png,cat\n1.png,dog\n": "line 3: '1.png' has another label above; expected one",
    b"file,label\n\xff.png,cat\n": "not a CSV file in UTF-8",
    b'file,label\n"1.png,cat\n': "not a CSV file in UTF-8",
    b"\0\0\0\0": "line 1 is",
}


@pytest.mark.parametrize("content", CSV, ids=ascii)
def test_labels_csv_that_cannot_be_meant_stops_the_cycle_and_names_the_line(clean: Project, content: bytes) -> None:
    clean.write("next/1.png", picture(903))
    clean.write("next/labels.csv", content)
    clean.track("next")
    done = clean.run("resolve", "detect")
    assert done.code == 4
    assert f"data/images/next/labels.csv: {CSV[content]}" in done.error
    assert "`dvc add` the batch" in done.error


def test_all_images_may_be_one_batch(project: Project) -> None:
    project.space.put(".", pictures(range(30), "cat", "dog"))
    project.write("more/cat/30.png", picture(30))
    project.space.dvc("add", "--quiet", "data/images")
    project.space.commit("All in one")
    assert project.upto("prepare").code == 0
    project.check_pixels()
    assert {row["label"] for row in project.ledger().values()} == {"cat", "dog"}
    assert project.ledger()["more/cat/30.png"]["label"] == "cat"
    project.write("dog/new.png", picture(31, "dog"))
    done = project.run("resolve")
    assert done.code == 4
    assert "run `dvc add 'data/images'`" in done.error
    project.space.dvc("add", "--quiet", "data/images/dog/new.png")
    project.space.commit("One more")
    assert project.upto("prepare").code == 0
    assert "dog/new.png" in project.ledger()


def test_one_batch_may_have_a_labels_csv(project: Project) -> None:
    rows = [(f"{number}.png", "cat" if number % 2 else "dog") for number in range(60)]
    for name, label in rows:
        project.write(name, picture(int(name[:-4]), label))
    project.write("labels.csv", "".join(f"{name},{label}\n" for name, label in [("file", "label"), *rows]).encode())
    project.space.dvc("add", "--quiet", "data/images")
    project.space.commit("All in one")
    done = project.upto("prepare")
    assert done.code == 0, done.err
    assert {name: row["label"] for name, row in project.ledger().items()} == dict(rows)


def test_a_validation_that_was_cut_off_leaves_no_wrong_pixels(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels are kept under two names; what is decoded next must not change those of the data before."""
    from pipeline.images import pixels

    project.add("first", pictures(range(60), "cat", "dog"))
    assert project.upto("validate").code == 0
    project.add("before", pictures(range(60, 120), "cat", "dog"))  # takes the first rows

    class KilledError(Exception):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(pixels.Kept, "commit", killed)
    with pytest.raises(KilledError):
        project.run("resolve", "detect", "validate")
    monkeypatch.undo()
    project.space.git("reset", "--hard", "--quiet", "HEAD~1")
    project.remove("before")
    assert project.run("resolve", "detect", "prepare").code == 0
    project.check_pixels()
    assert project.run("prepare").code == 0, "again, over what the first left behind"
    project.check_pixels()
