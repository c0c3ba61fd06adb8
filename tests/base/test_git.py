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
    assert git.has_known("a.dvc")
    assert not git.has_known("c.dvc")
    run("rm", "--quiet", "b.dvc")
    run("commit", "--quiet", "--message", "gone")
    assert git.has_known("b.dvc")
    assert "-md5: one\n+md5: three" in git.patches("a.dvc", at_most=1)
    assert git.patches("a.dvc", at_most=2).count("md5: one") == 2


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
    assert not git.has_known("y")
    assert git.oldest_change(["y"], since="") is None


def test_without_git_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.says("status") is None
    assert git.commit() == ""
