"""After somebody's `dvc gc`: what it took of earlier states of the data, the ledger stands in for."""

import shutil

import pytest
from project import Done, Project, picture

from pipeline.base import files

TOLD = "detect: warning: what data/images/first held at the last version is listed nowhere any more (was it deleted by "


def grown(project: Project) -> None:
    """The batch of the last cycle has other images now: two more, one less, one under another label."""
    project.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
    project.space.dvc("push", "--quiet")
    project.write("first/cat/100.png", picture(100, "cat"))
    project.write("first/dog/101.png", picture(101, "dog"))
    project.remove("first/cat/3.png")
    (project.root / "data/images/first/cat/4.png").rename(project.root / "data/images/first/dog/c4.png")
    project.track("first")
    project.space.dvc("push", "--quiet", "data/images/first.dvc")


def is_right(project: Project, done: Done) -> None:
    assert done.code == 0, done.err
    assert project.delta("added") == {"first/cat/100.png", "first/dog/101.png"}
    assert project.delta("removed") == {"first/cat/3.png"}
    assert project.delta("relabelled") == {"first/dog/c4.png"}


def test_after_dvc_gc_of_workspace_and_remote_the_cycles_go_on(trained: Project) -> None:
    """At 8f20130 resolve ended: the listing of the parent's batch is in no commit that anybody has checked out."""
    before = trained.ledger()
    grown(trained)
    trained.space.dvc("gc", "--force", "--workspace", "--cloud")
    trained.forget()
    done = trained.cycle()
    is_right(trained, done)
    assert done.out.count(TOLD) == 1
    now = trained.ledger()
    assert now.keys() - before.keys() == {"first/cat/100.png", "first/dog/101.png", "first/dog/c4.png"}
    assert now["first/cat/3.png"]["removed"]
    assert not any(row["removed"] for path, row in now.items() if path != "first/cat/3.png")
    assert all(now[path]["split"] == row["split"] for path, row in before.items() if path in now)


@pytest.mark.parametrize("options", ["--workspace", "--all-commits --cloud"])
def test_while_a_listing_is_anywhere_it_is_what_tells(trained: Project, options: str) -> None:
    grown(trained)
    trained.space.dvc("gc", "--force", *options.split())
    done = trained.upto("detect")
    is_right(trained, done)
    assert TOLD not in done.out


def test_images_that_a_cycle_needs_and_nobody_has_are_named(trained: Project) -> None:
    grown(trained)
    trained.space.dvc("gc", "--force", "--workspace", "--cloud")
    digest = files.md5(picture(7, "dog"))
    for folder in (trained.root / ".dvc/cache/files/md5", trained.root / "store/remote/files/md5"):
        (folder / digest[:2] / digest[2:]).unlink()
    trained.remove("first/dog/7.png")
    shutil.rmtree(trained.root / "data/scratch/pixels")
    done = trained.upto("prepare")
    assert done.code == 4
    assert "prepare: error: data/images/first/dog/7.png: not in the workspace, the DVC cache or the DVC" in done.error
