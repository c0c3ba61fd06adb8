"""What Git says, on real repositories; what it does not know is None or empty, never an error."""

import subprocess
from pathlib import Path

import pytest

from pipeline.base import git

EPOCH = 1_700_000_000


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two commits of `a.dvc`, one of `b.dvc`."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    run("init", "--quiet")
    commit("a.dvc", "md5: one\n", 1000)
    commit("b.dvc", "md5: two\n", 2000)
    commit("a.dvc", "md5: three\n", 3000)
    return tmp_path


def run(*words: str, **env: str) -> str:
    import os

    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, env={**os.environ, **env})
    return done.stdout.strip()


def commit(name: str, text: str, seconds: int) -> None:
    Path(name).write_text(text)
    run("add", name)
    run("commit", "--quiet", "--message", name, GIT_COMMITTER_DATE=f"{EPOCH + seconds} +0000")


@pytest.mark.usefixtures("repository")
def test_a_commit_has_a_plus_if_anything_but_the_lock_was_changed() -> None:
    head = run("rev-parse", "HEAD")
    assert git.commit() == head
    Path("untracked").write_text("no change of the commit")
    assert git.commit() == head
    commit("dvc.lock", "old", 4000)
    Path("dvc.lock").write_text("new")
    assert git.commit() == run("rev-parse", "HEAD")
    Path("a.dvc").write_text("changed")
    assert git.commit() == run("rev-parse", "HEAD") + "+"


@pytest.mark.usefixtures("repository")
def test_of_a_file_it_tells_commits_and_patches() -> None:
    first = run("rev-list", "--max-parents=0", "HEAD")
    one = git.first_commit_with("md5: one", "a.dvc")
    assert one is not None
    assert first.startswith(one)
    assert git.first_commit_with("md5: nine", "a.dvc") is None
    assert git.patches("c.dvc", at_most=1) == ""
    run("rm", "--quiet", "b.dvc")
    run("commit", "--quiet", "--message", "gone")
    assert "-md5: two" in git.patches("b.dvc", at_most=1)
    assert "-md5: one\n+md5: three" in git.patches("a.dvc", at_most=1)
    assert git.patches("a.dvc", at_most=2).count("md5: one") == 2


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "commands",
    [
        ["commit --quiet --message c", "branch other", "reset --quiet --hard HEAD~1"],
        ["commit --quiet --message c", "reset --quiet --hard HEAD~1"],
        ["stash --quiet"],
        ["rm --cached --quiet c.dvc", "stash --quiet --include-untracked"],
        [],
    ],
    ids=["another branch", "a reset", "a stash", "a stash of what is untracked", "the index"],
)
def test_patches_come_from_wherever_git_has_a_file(commands: list[str]) -> None:
    Path("c.dvc").write_text("md5: four\n")
    run("add", "c.dvc")
    for command in commands:
        run(*command.split())
    assert "+md5: four" in git.patches("c.dvc", at_most=2)


@pytest.mark.usefixtures("repository")
def test_it_tells_what_git_add_would_take_in() -> None:
    Path(".gitignore").write_text("/ignored\n")
    for name in ("ignored", "new"):
        Path(name).mkdir()
        Path(name, "1.png").touch()
    assert git.would_add("new/1.png") == ["new/1.png"]
    assert git.would_add("new", "ignored", "ignored/1.png", "a.dvc") == ["new/"]


@pytest.mark.usefixtures("repository")
def test_the_oldest_change_after_a_commit_counts() -> None:
    first = run("rev-list", "--max-parents=0", "HEAD")
    assert git.oldest_change(["a.dvc", "b.dvc"], since=first) == EPOCH + 2000
    assert git.oldest_change(["a.dvc"], since=first) == EPOCH + 3000
    for since in ("", "0" * 40, run("rev-parse", "HEAD")):
        assert git.oldest_change(["a.dvc", "b.dvc"], since=since) == EPOCH + 3000
    assert git.oldest_change(["c.dvc"], since=first) is None


def test_outside_of_git_it_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    nothing = (git.says("status"), git.commit(), git.first_commit_with("x", "y"), git.patches("y", 3))
    assert nothing == (None, "", None, "")
    assert not git.would_add("y")
    assert git.oldest_change(["y"], since="") is None


def test_without_git_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.says("status") is None
    assert git.commit() == ""
