"""What Git says, on real repositories; what it does not know is None or empty, and that it refuses is an error."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipeline.base import git
from pipeline.base.errors import GitError

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


def test_outside_of_git_none_has_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("PATH", "/nowhere")
    git.check()
    assert (git.says("status"), git.commit(), git.patches("a.dvc", 3)) == (None, "", "")


@pytest.mark.usefixtures("repository")
def test_before_the_first_commit_it_knows_nothing() -> None:
    run("switch", "--quiet", "--orphan", "empty")
    git.check()
    nothing = (git.commit(), git.first_commit_with("md5", "a.dvc"), git.patches("a.dvc", 3), git.versions("a.dvc", 3))
    assert nothing == ("", None, "", [])
    assert git.oldest_change(["a.dvc"], since="") is None


@pytest.mark.usefixtures("repository")
def test_versions_of_a_file_begin_with_the_newest() -> None:
    commit("[a].dvc", "md5: nine\n", 4000)
    run("rm", "--quiet", "a.dvc")
    run("commit", "--quiet", "--message", "gone")
    assert git.versions("[a].dvc", at_most=9) == ["md5: nine\n"]
    assert git.versions("a.dvc", at_most=9) == ["md5: three\n", "md5: one\n"]
    assert git.versions("a.dvc", at_most=2) == ["md5: three\n", "md5: one\n"]
    assert git.versions("c.dvc", at_most=9) == []


@pytest.mark.usefixtures("repository")
def test_a_name_with_a_star_is_that_name() -> None:
    assert git.patches("*.dvc", at_most=1) == ""
    assert git.oldest_change(["?.dvc"], since="") is None


ASKED: dict[str, Callable[[], object]] = {
    "says": lambda: git.says("status"),
    "check": git.check,
    "commit": git.commit,
    "first_commit_with": lambda: git.first_commit_with("md5: one", "a.dvc"),
    "patches": lambda: git.patches("a.dvc", at_most=3),
    "versions": lambda: git.versions("a.dvc", at_most=3),
    "oldest_change": lambda: git.oldest_change(["a.dvc"], since=""),
    "knows": lambda: git.knows("HEAD"),
    "is_shallow": git.is_shallow,
}
"""Every question."""


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_a_repository_of_another_user_is_an_error_that_passes_on_what_git_says(
    ask: Callable[[], object], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    with pytest.raises(GitError, match=f"fails: .*git config --global --add safe.directory {repository}; .*do what it"):
        ask()


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.usefixtures("repository")
def test_a_git_that_is_not_installed_is_an_error_in_a_repository(
    ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(GitError, match=r"`git` does not run \(No such file.*\), .*; install Git, or put it on PATH"):
        ask()


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("content", ["", "garbage"])
@pytest.mark.usefixtures("repository")
def test_a_damaged_head_is_an_error(ask: Callable[[], object], content: str) -> None:
    Path(".git/HEAD").write_text(content)
    with pytest.raises(GitError, match=r"`git .*` fails: .*; expected an answer; do what it says, or mend"):
        ask()


@pytest.mark.parametrize("content", ["", "garbage\n", f"{'1' * 40}\n"])
@pytest.mark.parametrize("ask", [git.check, git.commit])
def test_a_damaged_branch_is_an_error(ask: Callable[[], object], content: str, repository: Path) -> None:
    (branch,) = (repository / ".git/refs/heads").iterdir()
    branch.write_text(content)
    with pytest.raises(GitError, match="expected an answer"):
        ask()


@pytest.mark.parametrize("ask", [git.check, git.commit])
@pytest.mark.usefixtures("repository")
def test_a_damaged_index_is_an_error_whose_remedy_helps(ask: Callable[[], object]) -> None:
    Path(".git/index").write_text("garbage")
    with pytest.raises(GitError, match=r"if its index is damaged, delete that file and run `git reset`"):
        ask()
    Path(".git/index").unlink()
    run("reset")
    ask()


def test_a_repository_is_found_from_a_folder_in_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "below").mkdir()
    (repository / ".git/HEAD").write_text("garbage")
    monkeypatch.chdir(repository / "below")
    with pytest.raises(GitError, match="expected an answer"):
        git.commit()


@pytest.mark.usefixtures("repository")
def test_what_git_says_is_one_line_that_hides_nothing() -> None:
    with pytest.raises(GitError, match=r"^`git cat-file` fails: \S.*\\u202e") as error:
        git.says("cat-file", "blob", "HEAD:./\u202e")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("repository")
def test_a_shallow_clone_says_what_it_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("rev-list", "--max-parents=0", "HEAD")
    run("rm", "--quiet", "b.dvc")
    run("commit", "--quiet", "--message", "gone")
    run("clone", "--quiet", "--depth", "1", f"file://{tmp_path}", "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    assert git.is_shallow()
    assert not git.knows(first)
    assert git.oldest_change(["a.dvc"], since=first) is not None
    assert git.patches("b.dvc", at_most=3) == ""
    run("fetch", "--quiet", "--unshallow")
    assert git.knows(first)
    assert git.patches("b.dvc", at_most=3)


def texts(names: Mapping[str, str]) -> set[tuple[str, str]]:
    """Path and content."""
    return {(names[name], text.decode()) for name, text in git.contents(names).items()}


NOW = {("a.dvc", "md5: three\n"), ("b.dvc", "md5: two\n")}


def test_pointers_are_found_at_all_that_one_can_go_back_to_and_ever(repository: Path) -> None:
    assert texts(git.pointers_at_tips()) == NOW
    assert texts(git.pointers_at("HEAD~2")) == {("a.dvc", "md5: one\n")}
    assert git.pointers_at("0" * 40) == {}
    assert texts(git.pointers_ever()) == NOW | {("a.dvc", "md5: one\n")}
    run("tag", "first", "HEAD~2")
    assert texts(git.pointers_at_tips()) == NOW | {("a.dvc", "md5: one\n")}
    (repository / "below").mkdir()
    Path("below/dvc.lock").write_text("in the index")
    run("add", "below/dvc.lock")
    assert ("below/dvc.lock", "in the index") in texts(git.pointers_at_tips())
    run("reset", "--quiet", "--hard", "HEAD~1")
    assert ("a.dvc", "md5: three\n") in texts(git.pointers_ever()), "left behind"


def test_paths_of_pointers_that_ever_were_are_of_this_folder(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "project").mkdir()
    commit("project/a file.dvc", "md5: four\n", 4000)
    monkeypatch.chdir(repository / "project")
    assert texts(git.pointers_ever()) == {("a file.dvc", "md5: four\n")}
    assert len(git.pointers_at_tips()) == 3, "of the whole repository"


def test_outside_of_git_and_before_the_first_commit_no_pointer_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for _ in range(2):
        assert git.pointers_at_tips() == git.pointers_ever() == git.pointers_at("HEAD") == git.contents([]) == {}
        assert git.not_fetched() == []
        run("init", "--quiet")
    Path("a.dvc").write_text("x")
    run("add", "a.dvc")
    assert texts(git.pointers_at_tips()) == {("a.dvc", "x")}


@pytest.mark.usefixtures("repository")
def test_of_what_is_not_here_there_is_no_content() -> None:
    name = run("rev-parse", "HEAD:a.dvc")
    assert git.contents(["0" * 40, name]) == {name: b"md5: three\n"}
