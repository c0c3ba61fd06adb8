"""Git refuses while DVC works: never taken for a no, by which a cycle would wait or a batch count as untracked."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project, pictures

OTHER_OWNER = {
    "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def ago(hours: float) -> str:
    """A commit date."""
    return f"{int(time.time() - hours * 3600)} +0000"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    """A first cycle, and a change that is due by its age."""
    made = Project.create(tmp_path_factory.mktemp("refuses") / "clone", empty_database)
    made.add("first", pictures(range(60), "cat", "dog"), date=ago(1000))
    made.space.params(resolve={"start_at": 20, "start_after_hours": 24})
    made.cycle()
    made.space.commit("First cycle")
    made.add("few", pictures(range(100, 103), "cat", "dog"), date=ago(30))
    assert "a cycle is due: the oldest change is 30 hours old" in made.run("resolve").out
    return made


def damage(name: str) -> Callable[[Project], dict[str, str]]:
    """What damages a file of Git's; gives no environment."""

    def write(project: Project) -> dict[str, str]:
        (project.root / ".git" / name).write_text("damaged")
        return {}

    return write


FAULTS: dict[str, Callable[[Project], dict[str, str]]] = {
    "another owner": lambda _: OTHER_OWNER,
    "index": damage("index"),
    "HEAD": damage("HEAD"),
    "branch": damage("refs/heads/main"),
    "not installed": lambda _: {"PATH": "/nowhere"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_due_cycle_is_an_error_and_does_not_wait(
    fault: Callable[[Project], dict[str, str]], shared: Project, tmp_path: Path
) -> None:
    project = shared.copy(tmp_path / "clone")
    done = project.run("resolve", **fault(project))
    assert done.code == 7
    assert "resolve: error: `git" in done.error


def test_what_git_says_to_run_helps(shared: Project, tmp_path: Path) -> None:
    project = shared.copy(tmp_path / "clone")
    home = {**OTHER_OWNER, "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    error = project.run("resolve", **home).error
    command = error.partition("call: ")[2].partition(";")[0]
    assert command == f"git config --global --add safe.directory {project.root}"
    subprocess.run(command.split(), env=project.space.env | home, check=True)
    assert "a cycle is due" in project.run("resolve", **home).out


def test_a_reverted_batch_is_not_called_untracked(shared: Project, tmp_path: Path) -> None:
    project = shared.copy(tmp_path / "clone")
    project.space.git("revert", "--no-edit", "HEAD")
    refused = project.run("resolve", **OTHER_OWNER)
    assert refused.code == 7
    assert "dvc add" not in refused.error
    assert "6 files in 'data/images/few' are left over" in project.run("resolve").out


def test_a_shallow_clone_says_that_a_change_may_be_older_and_what_to_do(shared: Project, tmp_path: Path) -> None:
    project = shared.copy(tmp_path / "clone")
    (tmp_path / "clone/.git").rename(tmp_path / "whole.git")
    project.space.git("clone", "--quiet", "--bare", "--depth=1", f"file://{tmp_path}/whole.git", ".git")
    project.space.git("config", "core.bare", "false")
    project.space.git("reset", "--quiet")
    words = "resolve: warning: this shallow clone does not have the last cycle's commit"
    assert words in project.run("resolve").out
    project.space.git("fetch", "--quiet", "--unshallow")
    assert words not in project.run("resolve").out


def test_add_refuses_before_it_copies(shared: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "cat").mkdir(parents=True)
    for name, content in pictures(range(200, 220), "cat")["cat"].items():
        (photos / "cat" / name).write_bytes(content)
    project = shared.copy(tmp_path / "clone")
    refused = project.call("add", str(photos), **OTHER_OWNER)
    assert refused.code == 7
    assert "safe.directory" in refused.error
    assert not (project.root / "data/images/photos").exists()


def test_add_says_if_git_does_not_stage_the_pointer(shared: Project, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "cat").mkdir(parents=True)
    for name, content in pictures(range(200, 220), "cat")["cat"].items():
        (photos / "cat" / name).write_bytes(content)
    project = shared.copy(tmp_path / "clone")
    project.space.dvc("config", "--local", "core.autostage", "false")
    (project.root / ".git/info/attributes").write_text("photos.dvc filter=refuse")
    project.space.git("config", "filter.refuse.required", "true")
    project.space.git("config", "filter.refuse.clean", "false")
    done = project.call("add", str(photos))
    assert done.code == 7
    assert "data/images/photos is added, and its pointer data/images/photos.dvc is not staged: `git add`" in done.error
    assert done.error.endswith("; then `git add data/images/photos.dvc data/images/.gitignore`")
    assert "staged data" not in done.out
    (project.root / ".git/info/attributes").unlink()
    project.space.git("add", "data/images/photos.dvc", "data/images/.gitignore")
    assert project.run("resolve").code == 0
