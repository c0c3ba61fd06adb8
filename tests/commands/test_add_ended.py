"""`python -m pipeline add` is ended, or meets a disk that does not do what it should: all of the batch or nothing."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures

from pipeline.base import errors
from pipeline.data import sources

LINE = "add: interrupted; run it again\n"

AT = {
    "importing": "import polars",
    "reading": "pipeline.base.files:md5_file",
    "checking": "pipeline.images.workers:_work",
    "judging": "pipeline.checking.inspection:inspect",
    "copying": "shutil:copyfile",
    "moving": "pipeline.data.placing:Placing.move",
    "at dvc add": "pipeline.data.tracking:track",
    "in dvc add": "dvc.repo.add:_add",
    "as dvc add ends": "after dvc.repo.add:_add",
    "unpacking": "pipeline.data.archives:_take",
}
"""A function that is about to be called, by the moment that it stands for."""

SCRIPT = """
import importlib, os, signal, sys
from pipeline import __main__ as command

place, numbers, words = sys.argv[1], [int(n) for n in sys.argv[2].split(",")], sys.argv[3:]

def end():
    for number in numbers:
        os.kill(os.getpid(), number)

if place.startswith("import "):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == place.removeprefix("import "):
                end()
    sys.meta_path.insert(0, Finder())
else:
    is_after = place.startswith("after ")
    module, name = place.removeprefix("after ").split(":")
    owner = importlib.import_module(module)
    *outer, name = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real = getattr(owner, name)
    def ended(*arguments, **options):
        if not is_after:
            end()
        result = real(*arguments, **options)
        if is_after:
            end()
        return result
    setattr(owner, name, ended)
command._leave(command.main(words))
"""


def everything(root: Path) -> dict[str, bytes]:
    """Each file that is no cache and no scratch, and what is in the scratch folder but locks."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not {"__pycache__", ".git", "tmp", "cache"} & {*path.parts[len(root.parts) :]}
        and not path.name.endswith(".lock")
    }  # fmt: skip


@pytest.fixture
def first(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project with a batch."""

    def make(root: Path) -> None:
        Project.create(root, empty_database).add("first", pictures(range(30), "cat", "dog"))

    return made_once("one batch", make).copy(tmp_path / "clone")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return lay(tmp_path / "june", 20)


def lay(folder: Path, count: int) -> Path:
    for label, images in pictures(range(100, 100 + count), "cat", "dog").items():
        (folder / label).mkdir(parents=True)
        for name, content in images.items():
            (folder / label / name).write_bytes(content)
    return folder


def started(project: Project, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *words], cwd=project.root, env=dict(project.space.env), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def ended_at(project: Project, place: str, photos: Path, *numbers: int) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", SCRIPT, place, ",".join(map(str, numbers)), "add", str(photos)]
    env = {**project.space.env, "PYTHONPATH": str(project.root)}
    return subprocess.run(words, cwd=project.root, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("moment", AT)
def test_ended_at_any_moment_it_says_one_line_and_leaves_nothing(first: Project, photos: Path, moment: str) -> None:
    given = photos
    if moment == "unpacking":
        given = Path(shutil.make_archive(str(photos), "zip", photos))
    before = everything(first.root)
    numbers = (signal.SIGTERM,) if moment == "reading" else (signal.SIGINT, signal.SIGINT, signal.SIGTERM)
    done = ended_at(first, AT[moment], given, *numbers)
    assert (done.returncode, done.stderr) == (130, LINE), done.stdout
    assert everything(first.root) == before
    again = first.call("add", str(given))
    assert again.code == 0, again.err
    assert "takes 40 images" in again.out


def test_one_pointer_of_all_images_is_put_back(project: Project, photos: Path) -> None:
    project.space.put("first", pictures(range(30), "cat", "dog"))
    project.space.dvc("add", "--quiet", "data/images")
    project.space.commit("Images")
    before = everything(project.root)
    for place in ("after pipeline.data.tracking:track", AT["as dvc add ends"]):
        done = ended_at(project, place, photos, signal.SIGINT)
        assert (done.returncode, done.stderr) == (130, LINE), done.stdout
        assert everything(project.root) == before
    assert project.space.git("status", "--porcelain") == ""


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.8, 1.5, 2.5, 4.0])
def test_a_terminal_that_sends_ctrl_c_to_all_gets_one_line(first: Project, tmp_path: Path, delay: float) -> None:
    """The workers, which belong to the same group, say nothing of their own."""
    folder = lay(tmp_path / "many", 300)
    before = everything(first.root)
    process = started(first, "-m", "pipeline", "add", str(folder))
    assert process.stdout is not None
    assert process.stdout.readline() == "add: reading 600 files\n"
    time.sleep(delay)
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    _, err = process.communicate(timeout=120)
    if process.returncode:
        assert (process.returncode, err) == (130, LINE)
        assert everything(first.root) == before


@pytest.mark.parametrize("moment", ["copying", "at dvc add", "in dvc add", "unpacking"])
def test_after_a_kill_nobody_takes_the_rest_for_images_and_the_next_call_cleans_up(
    first: Project, photos: Path, moment: str
) -> None:
    given = Path(shutil.make_archive(str(photos), "zip", photos)) if moment == "unpacking" else photos
    first.space.commit("Nothing else")
    before = everything(first.root)
    done = ended_at(first, AT[moment], given, signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL
    assert everything(first.root) != before or moment == "unpacking"
    assert first.space.git("status", "--porcelain", "data/images") in ("", " M data/images/.gitignore\n") or (
        "dvc add" in moment
    )
    looked = first.run("resolve", "detect")
    if "dvc add" in moment:
        assert "run `dvc add 'data/images/june'`" in looked.error, "all of it is there"
    else:
        assert looked.code == 0, looked.err
        assert "60 images added" in looked.out
    again = first.call("add", str(given))
    assert again.code == 0, again.err
    assert "takes 40 images" in again.out
    assert ("took away data/images/june, which a call that was killed had left" in again.out) == ("dvc add" in moment)
    left = {path.name for path in (first.root / "data/images").iterdir()}
    assert left == {".gitignore", "first", "first.dvc", "june", "june.dvc"}
    assert {path.name for path in (first.root / "data/scratch").iterdir()} & {"adding", "adding.json"} == set()


def test_a_batch_that_was_tracked_or_changed_since_is_never_taken_away(first: Project, photos: Path) -> None:
    target = first.root / "data/images/june"
    for moment in ("at dvc add", "pipeline.data.placing:Placing.stage"):
        assert ended_at(first, AT.get(moment, moment), photos, signal.SIGKILL).returncode == -signal.SIGKILL
        if moment == "at dvc add":
            first.space.dvc("add", "--quiet", "data/images/june")
        done = first.call("add", str(photos), "--batch=july")
        assert (
            "data/images/june was added by a call that was killed before it could say so; see `git status`" in done.out
        )
        assert "40 of them there already" in done.out
        assert "june.dvc" in first.space.git("diff", "--cached", "--name-only")
        assert len(list(target.rglob("*.png"))) == 40
        first.space.dvc("remove", "--outs", "data/images/june.dvc")
        first.space.git("reset", "--quiet", "--hard")
        shutil.rmtree(target, ignore_errors=True)

    assert ended_at(first, AT["at dvc add"], photos, signal.SIGKILL).returncode == -signal.SIGKILL
    (target / "cat/of mine.png").write_bytes(b"mine")
    done = first.call("add", str(photos), "--batch=july")
    assert "data/images/june was left by a call that was killed, and was changed since; `dvc add` it or" in done.out
    assert done.code == 0
    assert (target / "cat/of mine.png").read_bytes() == b"mine"


def test_two_calls_at_once_are_told_of_each_other(first: Project, photos: Path) -> None:
    fifo = first.root / "wait"
    os.mkfifo(fifo)
    script = SCRIPT.replace("        os.kill(os.getpid(), number)", f"        open({str(fifo)!r}).read()")
    words = [sys.executable, "-c", script, AT["copying"], "0", "add", str(photos)]
    env = {**first.space.env, "PYTHONPATH": str(first.root)}
    process = subprocess.Popen(words, cwd=first.root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with open(fifo, "w"):
        done = first.call("add", str(photos), "--batch=july")
    assert done.code == 1
    assert f"`add` runs here already (process {process.pid}, data/scratch/adding.lock)" in done.error
    assert done.error.endswith(f"end it with `kill {process.pid}`: it leaves nothing behind")
    process.kill()
    process.communicate()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than that of the project, or on none where the machine has only one."""
    shared = Path("/dev/shm")  # noqa: S108 - every Linux has it
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def across(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same; where it is on the same file system after all, nothing can be renamed between the two."""
    if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        rename = os.rename

        def refused(source: Path, target: Path) -> None:
            if elsewhere in Path(source).parents:
                raise OSError(errno.EXDEV, "Invalid cross-device link", str(source), None, str(target))
            rename(source, target)

        monkeypatch.setattr(os, "rename", refused)
    return elsewhere


def test_a_scratch_folder_on_another_disk_changes_nothing(first: Project, photos: Path, across: Path) -> None:
    done = first.call("add", str(photos), "--scratch", str(across / "scratch"))
    assert done.code == 0, done.err
    assert (first.root / "data/images/june.dvc").is_file()
    archive = shutil.make_archive(str(photos), "zip", photos)
    for batch in ("again", "july"):
        shutil.rmtree(first.root / "data/images/june", ignore_errors=True)
        (first.root / "data/images/june.dvc").unlink(missing_ok=True)
        done = first.call("add", archive, "--scratch", str(across / "scratch"), "--batch", batch)
        assert done.code == 0, done.err


def test_a_full_disk_is_one_line_and_leaves_nothing(first: Project, photos: Path) -> None:
    before = everything(first.root)
    words = [sys.executable, "-m", "pipeline", "add", str(photos)]

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    # CPython takes a short write of its own bytecode for a whole one, and cannot import that later.
    env = {**first.space.env, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, cwd=first.root, env=env, capture_output=True, text=True, check=False, preexec_fn=small)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "File too large; expected a disk with room; make room on it (`df -h`) and run the same again" in done.stderr
    assert everything(first.root) == before


@pytest.mark.parametrize("place", ["images", "scratch"])
def test_a_folder_that_cannot_be_made_is_one_line(first: Project, photos: Path, place: str) -> None:
    (first.root / "plain").write_bytes(b"no folder")
    done = first.call("add", str(photos), f"--{place}", "plain/below")
    assert done.code == 1
    assert "Not a directory; expected files and folders of usual names" in done.error


@pytest.mark.parametrize(
    ("number", "words"),
    {
        errno.EROFS: "expected that this user may read and write there; see `ls -ld` and `mount`",
        errno.EACCES: "expected that this user may read and write there",
        errno.ENOSPC: "expected a disk with room; make room on it",
        errno.EDQUOT: "expected a disk with room",
        errno.EIO: "expected a disk that answers; look at it (`dmesg`, `mount`)",
        errno.EXDEV: "expected a disk that answers",
        errno.EMFILE: "expected to open one more file; raise the limit (`ulimit -n`)",
        errno.ENAMETOOLONG: "expected files and folders of usual names; move what is in the way",
    }.items(),
)
def test_what_the_machine_refuses_is_one_line(number: int, words: str) -> None:
    line = errors.of_system(OSError(number, os.strerror(number), "data/images/june", None, "to"))
    assert line.startswith(f"'data/images/june' to 'to': {os.strerror(number)}; {words}")
    assert line.endswith("run the same again")


def test_a_missing_file_may_be_a_fault_of_ours_and_keeps_its_traceback() -> None:
    assert errors.of_system(FileNotFoundError(errno.ENOENT, "No such file", "x")) == ""


def test_git_and_dvc_do_not_look_at_a_batch_that_is_being_made(first: Project) -> None:
    folder = first.root / "data/images" / sources.STAGED / "cat"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(b"half")
    assert first.space.git("status", "--porcelain") == ""
    (first.root / "data/images" / sources.STAGED / "x.dvc").write_text("no pointer")
    assert first.run("resolve", "detect").code == 0
