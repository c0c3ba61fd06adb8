"""Two branches are merged: what nobody writes by hand is no conflict, or one command ends it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures, pipeline

from benchmarks import workspace

POINTER = "data/images/first.dvc"


@pytest.fixture
def branched(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """On main and on `other`, which is checked out, the same batch was changed, and a batch was added to each."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(4), "cat", "dog"))
        project.space.git("branch", "other")
        for branch, numbers in (("main", range(10, 13)), ("other", range(20, 22))):
            project.space.git("switch", "--quiet", branch)
            shutil.rmtree(project.root / "data/images/first")
            project.space.put("first", pictures([*range(4 if branch == "main" else 3), *numbers], "cat"))
            project.space.put("first", pictures(range(4), "dog"))
            (project.root / "dvc.lock").write_text(f"schema: '2.0'\nstages: {{{branch}: {{cmd: a}}}}\n")
            project.track("first")
            project.add(branch, pictures(range(30, 32), "cat"))
            shutil.rmtree(project.root / "data/images" / branch)

    return made_once("merging", make).copy(tmp_path / "clone")


def merge(project: Project, branch: str = "main") -> tuple[int, set[str]]:
    """The exit code of `git merge`, and what it left in conflict."""
    done = subprocess.run(["git", "merge", "--no-edit", branch], cwd=project.root, capture_output=True, check=False)
    return done.returncode, set(project.space.git("diff", "--name-only", "--diff-filter=U").split())


def names(project: Project) -> set[str]:
    (listing,) = project.root.glob(f".dvc/cache/files/md5/*/{digest(project)[2:]}")
    return {part.split('"')[0] for part in listing.read_text().split('"relpath": "')[1:]}


def digest(project: Project) -> str:
    return (project.root / POINTER).read_text().partition("md5: ")[2].split()[0]


BOTH = {f"dog/{n}.png" for n in range(4)} | {f"cat/{n}.png" for n in (0, 1, 2, 10, 11, 12, 20, 21)}
"""What one side removed is gone, what both added is there."""


def test_a_batch_that_both_sides_changed_is_joined(branched: Project) -> None:
    assert merge(branched) == (1, {POINTER, "dvc.lock"})
    message = (
        f"error: {POINTER}: not a DVC pointer with one output; run `python -m pipeline merge` if a merge left it in "
        f"conflict, else restore it with `git checkout HEAD -- {POINTER}`, or delete it and run `dvc add "
        f"{POINTER[:-4]}`"
    )
    assert pipeline(branched, "run").error == f"run: {message}"
    assert branched.run("resolve").error == f"resolve: {message}"
    done = branched.call("merge")
    assert done.code == 0, done.err
    assert f"merge: {POINTER}: 12 files, what both sides did is done" in done.out
    assert names(branched) == BOTH
    assert "  nfiles: 12\n" in (branched.root / POINTER).read_text()
    assert (branched.root / "dvc.lock").read_text() == "schema: '2.0'\nstages: {other: {cmd: a}}\n"
    branched.space.git("commit", "--no-edit")
    assert branched.call("merge").out == "merge: nothing of DVC's is in conflict\n"
    assert (branched.root / "data/images/.gitignore").read_text().splitlines() == ["/first", "/other", "/main"]
    branched.space.dvc("checkout", POINTER)
    assert {path.relative_to(branched.root / "data/images/first").as_posix() for path in images(branched)} == BOTH
    resolved = branched.run("resolve")
    assert (resolved.code, "warning" in resolved.out) == (0, False), resolved
    assert "resolve: 3 batches, 16 files" in resolved.out


def images(project: Project) -> list[Path]:
    return [*(project.root / "data/images/first").rglob("*.png")]


def test_dvc_itself_would_have_listed_the_joined_batch_in_the_same_way(branched: Project) -> None:
    merge(branched)
    branched.call("merge")
    joined = digest(branched)
    branched.space.dvc("checkout", POINTER)
    (branched.root / POINTER).unlink()
    branched.space.dvc("add", "--quiet", "data/images/first")
    assert digest(branched) == joined


def test_listings_that_are_not_here_are_fetched_and_images_are_not(branched: Project, tmp_path: Path) -> None:
    for commit in ("main~2", "main", "other"):
        branched.space.git("switch", "--quiet", "--detach", commit)
        branched.space.dvc("push", "--quiet", POINTER)
    shutil.rmtree(branched.root / ".dvc/cache")
    merge(branched)
    (branched.root / "store/remote").rename(tmp_path / "away")
    assert "not in the workspace, the DVC cache or the DVC remote" in branched.call("merge").error
    (tmp_path / "away").rename(branched.root / "store/remote")
    assert branched.call("merge").code == 0
    assert names(branched) == BOTH


def test_a_rebase_is_joined_too(branched: Project) -> None:
    branched.space.git("config", "core.editor", "true")
    subprocess.run(["git", "rebase", "main"], cwd=branched.root, capture_output=True, check=False)
    assert branched.call("merge").code == 0
    assert names(branched) == BOTH
    branched.space.git("rebase", "--continue")
    assert branched.space.git("status", "--porcelain", "-uno") == ""


def test_a_file_that_both_sides_changed_is_for_a_person_to_decide(branched: Project) -> None:
    for branch in ("main", "other"):
        branched.space.git("switch", "--quiet", branch)
        branched.space.dvc("checkout", POINTER)
        branched.write("first/dog/0.png", branch.encode())
        branched.track("first")
    merge(branched)
    assert branched.call("merge").error == (
        f"merge: error: {POINTER}: cannot be joined: 1 files in it were changed on both sides, e.g. 'dog/0.png'; "
        f"take one side, `git checkout --ours {POINTER}` or `git checkout --theirs {POINTER}`, then `git add "
        f"{POINTER}`, and add what the other side had after the merge"
    )
    branched.space.git("checkout", "--theirs", POINTER)
    branched.space.git("add", POINTER)
    assert "dvc.lock: this side's" in branched.call("merge").out
    branched.space.git("commit", "--no-edit")


@pytest.mark.parametrize("command", ["git add", "git rm"])
def test_a_batch_that_one_side_removed_is_for_a_person_to_decide(branched: Project, command: str) -> None:
    branched.space.git("switch", "--quiet", "main")
    branched.space.git("rm", "--quiet", POINTER)
    branched.space.git("commit", "--quiet", "--message", "Without the first")
    branched.space.git("switch", "--quiet", "other")
    merge(branched)
    assert branched.call("merge").error == (
        f"merge: error: {POINTER}: one side of the merge changed it and the other removed it; `git add {POINTER}` "
        f"keeps the batch, `git rm {POINTER}` removes it; then run this again"
    )
    branched.space.git(*command.split()[1:], POINTER)
    assert (branched.root / POINTER).exists() is (command == "git add")
    assert branched.call("merge").code == 0
    branched.space.git("commit", "--no-edit")


def test_a_single_image_that_both_sides_changed_is_for_a_person_to_decide(project: Project) -> None:
    project.add("first", pictures(range(2), "cat"))
    for branch in ("a", "b"):
        project.space.git("switch", "--quiet", "--create", branch, "main")
        project.write("alone/cat/1.png", branch.encode())
        project.track("alone/cat/1.png")
    merge(project, "a")
    assert "alone/cat/1.png.dvc: cannot be joined: it tracks a single file, which both sides changed" in (
        project.call("merge").error
    )


def test_batches_that_are_only_beside_each_other_leave_one_file_that_the_next_cycle_makes_anew(
    branched: Project,
) -> None:
    branched.space.git("checkout", "main~2", "--", POINTER)
    branched.space.git("commit", "--quiet", "--message", "As it was")
    assert merge(branched) == (1, {"dvc.lock"})
    assert (branched.root / "dvc.lock").read_text() == "schema: '2.0'\nstages: {other: {cmd: a}}\n"
    done = branched.run("resolve")
    assert done.code == 0, done.err
    assert (
        "resolve: warning: a merge left dvc.lock in conflict; this cycle makes it anew, then `git add dvc.lock && git "
        "commit` ends it" in done.out
    )
    branched.space.git("add", "dvc.lock")
    branched.space.git("commit", "--no-edit")
    assert "in conflict" not in branched.run("resolve").out


def test_after_make_setup_batches_that_are_only_beside_each_other_are_no_conflict(branched: Project) -> None:
    _, _, recipe = (branched.root / "Makefile").read_text().partition("\n\t@if file=")
    commands = f"if file={recipe.partition(chr(10) * 2)[0]}".replace("$$", "$")
    for _ in range(2):
        subprocess.run(["sh", "-euc", commands], cwd=branched.root, check=True)
    subprocess.run(["sh", "-euc", commands], cwd=branched.root.parent, check=True)  # where Git is not, it is no fault
    assert (branched.root / ".git/info/attributes").read_text() == "/dvc.lock merge=made-anew\n"
    branched.space.git("checkout", "main~2", "--", POINTER)
    branched.space.git("commit", "--quiet", "--message", "As it was")
    assert merge(branched) == (0, set())
    assert (branched.root / "dvc.lock").read_text() == "schema: '2.0'\nstages: {other: {cmd: a}}\n"
    done = branched.run("resolve")
    assert (done.code, "in conflict" in done.out) == (0, False)
    assert "resolve: 3 batches" in done.out


def test_a_lock_with_the_marks_of_a_conflict_is_refused_and_made_anew(branched: Project) -> None:
    lock = branched.root / "dvc.lock"
    lock.write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\nschema: '2.0'\n>>>>>>> main\n")
    message = (
        "error: dvc.lock: not valid YAML (a merge conflict?); delete it with `rm dvc.lock`, for the next cycle makes "
        "it anew and trains nothing twice"
    )
    assert pipeline(branched, "run").error == f"run: {message}"
    assert branched.run("resolve").error == f"resolve: {message}"
    lock.unlink()
    assert branched.run("resolve").code == 0


@pytest.mark.parametrize(
    ("path", "attributes"),
    [
        ("params.yaml", {"text": "auto", "eol": "lf"}),
        ("data/images/june.dvc", {"eol": "lf", "merge": "unspecified"}),
        (".github/scripts/record.sh", {"eol": "lf"}),
        ("data/.gitignore", {"merge": "union"}),
        ("data/images/.gitignore", {"merge": "union"}),
        ("data/images/2026/.gitignore", {"merge": "union"}),
        (".gitignore", {"merge": "unspecified"}),
        ("dvc.lock", {"merge": "unset"}),
        ("requirements.lock", {"merge": "unset"}),
        ("requirements-gpu.lock", {"merge": "unset"}),
        ("benchmarks/results/learning.json", {"merge": "unset"}),
    ],
)
def test_git_knows_how_to_merge_what_nobody_writes_by_hand(path: str, attributes: dict[str, str]) -> None:
    """A pointer keeps its marks: without them the other side's images would be lost to a hasty `git commit -a`."""
    words = ["git", "check-attr", *attributes, "--", path]
    said = subprocess.run(words, cwd=workspace.CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"{path}: {name}: {value}" for name, value in attributes.items()]
