"""After `git pull` without `dvc checkout`, and after a push that left listings behind: what helps is said."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from project import Done, Project, pictures

from pipeline.base import files


@pytest.fixture
def grown(project: Project) -> Project:
    """Two commits of one batch; on disk lies what the first one says."""
    project.add("first", pictures(range(30), "cat", "dog"))
    return project


def keep(project: Project) -> None:
    shutil.copytree(project.root / "data/images/first", project.root.parent / "kept")


def pulled(project: Project) -> Done:
    """The disk as it was when it was kept, the pointer as it is now; what resolve says of that, twice."""
    shutil.rmtree(project.root / "data/images/first")
    shutil.copytree(project.root.parent / "kept", project.root / "data/images/first")
    first, second = project.run("resolve"), project.run("resolve")
    assert (first.code, second.code) == (0, 0), first.err
    assert first.out == second.out
    return first


ANOTHER = "of another version of 'data/images/first', e.g. 'data/images/first/cat/3.png'; the data is"
REMEDY = (
    "`dvc checkout 'data/images/first.dvc'` brings the disk up to date, `dvc add 'data/images/first'` takes them back"
)


def test_images_that_a_colleague_removed_are_not_to_be_added_again(grown: Project) -> None:
    keep(grown)
    grown.remove("first/cat/3.png", "first/dog/4.png")
    grown.track("first")
    said = pulled(grown).out
    assert f"resolve: warning: 2 files on disk are {ANOTHER}" in said
    assert REMEDY in said
    grown.space.dvc("checkout", "data/images/first.dvc")
    assert "warning" not in grown.run("resolve").out
    assert not (grown.root / "data/images/first/cat/3.png").exists()


def test_images_that_a_colleague_changed_are_not_to_be_changed_back(grown: Project) -> None:
    keep(grown)
    grown.write("first/cat/3.png", b"mended")
    grown.track("first")
    said = pulled(grown).out
    assert f"resolve: warning: 1 file on disk is {ANOTHER}" in said
    assert REMEDY in said
    grown.space.dvc("checkout", "data/images/first.dvc")
    assert "warning" not in grown.run("resolve").out


def test_what_no_version_had_is_a_change_of_this_disk(grown: Project) -> None:
    grown.write("first/cat/3.png", b"changed here")
    done = grown.run("resolve")
    assert "changed after `dvc add`" in done.error
    grown.write("first/cat/99.png", b"new here")
    done = grown.run("resolve")
    assert "is not tracked by DVC" in done.error


def test_a_change_in_place_that_changed_dvcs_own_copy_too_is_undone(grown: Project) -> None:
    grown.space.dvc("push", "--quiet", "data/images/first.dvc")
    path = grown.root / "data/images/first/cat/3.png"
    content = path.read_bytes()
    cached = grown.root / ".dvc/cache/files/md5" / files.md5(content)[:2] / files.md5(content)[2:]
    path.unlink()
    path.hardlink_to(cached)  # as DVC does it where the file system cannot share bytes in a better way
    path.chmod(0o644)
    with path.open("ab") as file:
        file.write(b"more")
    path.chmod(0o444)
    remedy = grown.run("resolve").error.partition("take the change up, or ")[2]
    for command in re.findall("`(.*?)`", remedy):
        subprocess.run(command, shell=True, cwd=grown.root, env=dict(grown.space.env), check=True)  # noqa: S602
    assert "warning" not in grown.run("resolve").out
    assert path.read_bytes() == content


def test_images_that_were_moved_to_another_label_are_added_with_their_batch(grown: Project) -> None:
    for name in ("3.png", "4.png"):
        (grown.root / "data/images/first/cat" / name).rename(grown.root / f"data/images/first/dog/moved-{name}")
    done = grown.run("resolve")
    assert "run `dvc add 'data/images/first'`, or delete them" in done.error
    grown.track("first")
    assert grown.run("resolve").code == 0


def test_a_listing_that_was_never_pushed_is_named_with_its_commit_unless_the_ledger_knows_what_it_held(
    grown: Project,
) -> None:
    """The version of the champion is two pushes old, and only the last was pushed; then not even that."""
    grown.cycle()
    unlisted(grown)
    grown.write("first/cat/50.png", pictures([50], "cat")["cat"]["50.png"])
    grown.track("first")
    done = grown.upto("detect")
    assert done.code == 0, done.err
    assert grown.delta("added", "removed", "relabelled", "renamed") == {"first/cat/50.png"}

    commit = grown.space.git("log", "-1", "--format=%h", "--", "data/images/first.dvc").strip()
    digest = unlisted(grown)
    shutil.rmtree(grown.root / "data/scratch")
    done = grown.upto("detect")
    assert done.code == 4
    assert (
        f"the listing of data/images/first: not in the workspace, the DVC cache or the DVC remote ({digest}.dir"
        in done.error
    )
    assert done.error.endswith(f"; its pointer is of commit {commit}: `git checkout {commit}`, then `dvc push` there")


def unlisted(project: Project) -> str:
    """Lose the listing that the pointer names, as in a clone; its hash."""
    (digest,) = re.findall(r"md5: (\w+)", (project.root / "data/images/first.dvc").read_text())
    (project.root / f".dvc/cache/files/md5/{digest[:2]}/{digest[2:]}.dir").unlink()
    return str(digest)


def test_no_database_of_mlflows_own_is_left_behind(grown: Project) -> None:
    grown.cycle()
    shutil.rmtree(grown.root / "data/scratch")
    words = ["python", "-m", "pipeline", "trace", "0" * 32]
    env = {name: value for name, value in grown.space.env.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(words, cwd=grown.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    link = grown.root / "mlflow.db"
    assert link.is_symlink(), "a way to the registry, and no other database"
    assert link.readlink() == Path("store/mlflow.db")
