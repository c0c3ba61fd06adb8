"""After somebody's `dvc gc`: what it took of earlier states of the data, the ledger stands in for."""

from project import Done, Project, picture


def collect(project: Project, *options: str) -> None:
    project.space.dvc("gc", "--force", *options)


def grown(project: Project) -> None:
    """The batch of the last cycle has other images now: two more, one less, one under another label."""
    project.space.dvc("push", "--quiet")
    project.write("first/cat/100.png", picture(100, "cat"))
    project.write("first/dog/101.png", picture(101, "dog"))
    project.remove("first/cat/3.png")
    (project.root / "data/images/first/cat/4.png").rename(project.root / "data/images/first/dog/c4.png")
    project.track("first")
    project.space.dvc("push", "--quiet", "data/images/first.dvc")


def detected(project: Project) -> Done:
    done = project.upto("detect")
    assert done.code == 0, done.err
    return done


def test_after_dvc_gc_of_workspace_and_remote_the_cycles_go_on(trained: Project) -> None:
    grown(trained)
    collect(trained, "--workspace", "--cloud")
    done = detected(trained)
    print(done.out)
    assert trained.delta("added") == {"first/cat/100.png", "first/dog/101.png"}
    assert trained.delta("removed") == {"first/cat/3.png"}
    assert trained.delta("relabelled") == {"first/dog/c4.png"}
    assert done.out.count("detect: warning: what data/images/first held at the last version is listed nowhere") == 1
