"""What Git takes away is still on disk: a switch, a stash, a revert, a reset, a merge. The remedy given works."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures

JUNE = "data/images/june"


@pytest.fixture
def branched(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A batch on main, and another one on the branch `june`, which is checked out."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(4), "cat", "dog"))
        project.space.git("switch", "--quiet", "--create", "june")
        project.add("june", pictures(range(10, 14), "cat", "dog"))

    return made_once("branched", make).copy(tmp_path / "clone")


def switch(project: Project) -> None:
    project.space.git("switch", "--quiet", "main")


def stash(project: Project) -> None:
    project.space.git("reset", "--quiet", "--soft", "main")
    project.space.git("stash", "--quiet")


def stash_of_the_untracked(project: Project) -> None:
    project.space.git("reset", "--quiet", "main")
    project.space.git("stash", "--quiet", "--include-untracked")


def revert(project: Project) -> None:
    project.space.git("revert", "--no-edit", "HEAD")


def reset(project: Project) -> None:
    project.space.git("reset", "--quiet", "--hard", "main")


def a_branch_that_is_deleted(project: Project) -> None:
    project.space.git("switch", "--quiet", "main")
    project.space.git("branch", "--quiet", "-D", "june")


def an_aborted_merge(project: Project) -> None:
    project.space.git("switch", "--quiet", "main")
    project.space.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    project.space.git("merge", "--quiet", "--no-commit", "june")
    project.space.git("merge", "--abort")


def a_pointer_that_is_only_staged(project: Project) -> None:
    project.space.git("reset", "--quiet", "--soft", "main")
    (project.root / f"{JUNE}.dvc").unlink()


def a_pointer_that_is_removed(project: Project) -> None:
    project.space.dvc("remove", f"{JUNE}.dvc")


WAYS = (
    switch,
    stash,
    stash_of_the_untracked,
    revert,
    reset,
    a_branch_that_is_deleted,
    an_aborted_merge,
    a_pointer_that_is_only_staged,
    a_pointer_that_is_removed,
)


def warned(project: Project) -> str:
    done = project.run("resolve")
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if "warning" in line]
    return line


def follow(project: Project, line: str, start: str) -> None:
    """Do what a line says, as it says it."""
    command = start + line.partition(f"`{start}")[2].partition("`")[0]
    subprocess.run(command, shell=True, cwd=project.root, env=dict(project.space.env), check=False)  # noqa: S602


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_that_git_took_away_is_left_over_and_the_remedy_deletes_it(
    branched: Project, way: Callable[[Project], None]
) -> None:
    way(branched)
    line = warned(branched)
    assert line.startswith(
        f"resolve: warning: 8 files in '{JUNE}' are left over from a batch whose pointer is not in this checkout, and "
        f"take no part; `rm -r '{JUNE}'` deletes them and loses nothing, for DVC's cache has them all (`dvc checkout` "
        f"does it where DVC knows that it put them there); `dvc add '{JUNE}'` takes them in"
    )
    is_ignored = way is a_pointer_that_is_only_staged
    assert line.endswith("Git does not ignore them here: do one of these before `git add`") != is_ignored
    follow(branched, line, "rm")
    assert not (branched.root / JUNE).exists()
    assert "warning" not in branched.run("resolve").out


def test_dvc_checkout_deletes_what_it_put_there_and_brings_it_back(project: Project) -> None:
    project.add("first", pictures(range(4), "cat", "dog"))
    project.space.git("switch", "--quiet", "--create", "june")
    project.add("june", pictures(range(10, 14), "cat", "dog"))
    switch(project)
    follow(project, warned(project), "dvc checkout")
    assert not (project.root / JUNE).exists()
    assert "warning" not in project.run("resolve").out
    project.space.git("switch", "--quiet", "june")
    project.space.dvc("checkout", f"{JUNE}.dvc")
    assert len([*(project.root / JUNE).rglob("*.png")]) == 8


def test_new_images_beside_what_is_left_over_are_not_lost_and_pull_nothing_in(branched: Project) -> None:
    switch(branched)
    branched.write("june/cat/mine.png", pictures([20], "cat")["cat"]["20.png"])
    assert branched.run("resolve").error == (
        "resolve: error: 1 file below data/images is not tracked by DVC, e.g. 'data/images/june/cat/mine.png'; "
        "expected every image in a batch; move them to a folder of another name, not `dvc add 'data/images/june'`: 8 "
        "files beside them are of another version of it and would come in too"
    )
    (branched.root / "data/images/mine/cat").mkdir(parents=True)
    (branched.root / JUNE / "cat/mine.png").rename(branched.root / "data/images/mine/cat/mine.png")
    assert "run `dvc add 'data/images/mine'`, or delete them" in branched.run("resolve").error
    branched.track("mine")
    assert "8 files in 'data/images/june' are left over" in warned(branched)


def test_a_new_batch_that_has_the_name_of_one_on_another_branch_is_added(branched: Project) -> None:
    switch(branched)
    shutil.rmtree(branched.root / JUNE)
    branched.space.put("june", pictures([20], "cat"))
    assert "run `dvc add 'data/images/june'`, or delete them" in branched.run("resolve").error
    branched.track("june")
    assert branched.run("resolve").code == 0


def test_images_that_another_branch_put_into_a_batch_of_both_are_left_over_too(branched: Project) -> None:
    branched.write("first/cat/more.png", pictures([30], "cat")["cat"]["30.png"])
    branched.track("first")
    switch(branched)
    shutil.rmtree(branched.root / JUNE)
    assert "1 file on disk is of another version of 'data/images/first'" in warned(branched)
    branched.write("first/cat/mine.png", pictures([31], "cat")["cat"]["31.png"])
    assert branched.run("resolve").error.endswith(
        "run `dvc add 'data/images/first/cat/mine.png'`, not `dvc add 'data/images/first'`: 1 file beside them is of "
        "another version of it and would come in too"
    )
    branched.track("first/cat/mine.png")
    assert "1 file on disk is of another version of 'data/images/first'" in warned(branched)
    branched.space.dvc("checkout", "data/images/first.dvc")
    assert "warning" not in branched.run("resolve").out
    assert (branched.root / "data/images/first/cat/mine.png").exists()


def test_pointers_with_the_line_ends_of_windows_are_versions_too(branched: Project) -> None:
    pointer = branched.root / f"{JUNE}.dvc"
    pointer.write_bytes(pointer.read_bytes().replace(b"\n", b"\r\n"))
    branched.space.commit("As an editor on Windows saves it")
    assert branched.run("resolve").code == 0
    branched.space.git("switch", "--quiet", "main")
    branched.space.git("branch", "--quiet", "-D", "june")
    assert "8 files in 'data/images/june' are left over" in warned(branched)


@pytest.mark.parametrize("ignored", ["/first\n", ""])
def test_images_that_git_would_take_in_are_told_and_the_remedy_keeps_them_out(branched: Project, ignored: str) -> None:
    """As after `git checkout HEAD -- data`, or a merge whose conflict in .gitignore was ended by hand."""
    (branched.root / "data/images/.gitignore").write_text(ignored)
    done = branched.run("resolve")
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if "warning" in line]
    assert lines[-1] == (
        "resolve: warning: Git does not ignore 'data/images/june': `git add --all` would take its images in; `echo "
        "/june >> data/images/.gitignore` mends that"
    )
    for line in lines:
        follow(branched, line, "echo")
    assert "warning" not in branched.run("resolve").out
    branched.space.git("add", "--all")
    assert ".png" not in branched.space.git("ls-files", "data")
