"""`python -m pipeline gc`: what nothing needs goes, what anything needs stays, and that is proven."""

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import polars as pl
import pytest
import yaml
from dvc.repo import Repo
from moto.server import ThreadedMotoServer
from project import Done, MadeOnce, Project, picture, pictures

from pipeline.base import files
from pipeline.data.objects import Objects
from pipeline.data.recovery import Recovery

NOW = ("--min-age", "0")

AWS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def lived(made_once: MadeOnce, empty_database: Path) -> Project:
    """Three versions; nothing needs the data of v1 but v1: five images of `first`, and its listing. All is pushed."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.space.dvc("push", "--quiet")
        project.remove(*(f"first/cat/{number}.png" for number in range(5)))
        project.track("first")
        project.add("second", pictures(range(100, 106), "cat", "dog"))
        project.cycle()
        project.space.dvc("push", "--quiet")
        project.promote(2)
        project.add("third", pictures(range(200, 206), "cat", "dog"))
        project.cycle()
        project.space.dvc("push", "--quiet")
        project.promote(3)
        project.mlflow.set_registered_model_alias("evergreen", "champion-anchor", "3")
        shutil.rmtree(root / "data/cycle")  # which says that v1 judged v3, too

    return made_once("collected", make)


@pytest.fixture
def project(lived: Project, tmp_path: Path) -> Project:
    return lived.copy(tmp_path / "clone")


def gc(project: Project, *words: str) -> Done:
    done = project.call("gc", *words)
    assert done.code == 0, done.err
    return done


def cache(project: Project) -> set[str]:
    return objects(project.root / ".dvc/cache/files/md5")


def remote(project: Project) -> set[str]:
    return objects(project.root / "store/remote/files/md5")


def objects(folder: Path) -> set[str]:
    return {path.parent.name + path.name for path in folder.glob("??/*")}


REMOVED = {files.md5(picture(number, "cat")) for number in range(5)}


def listing(project: Project, version: int) -> str:
    """Of batch first, as a version had it."""
    lineage = files.read_json(project.artifact(version, "lineage/lineage.json"))
    return next(source["digest"] for source in lineage["sources"] if source["path"] == "data/images/first")


def test_without_yes_it_says_what_would_go_and_deletes_nothing(project: Project) -> None:
    before = cache(project), remote(project)
    said = gc(project, "--keep", "champion", *NOW).out
    assert (cache(project), remote(project)) == before
    assert "gc: 2 versions kept: v3 (champion), v2 (parent of v3); 1 others\n" in said
    assert "  images                      6 objects        0.0 MB  the DVC cache\n" in said
    assert "  images                      6 objects        0.0 MB  the DVC remote local\n" in said
    assert "gc: v1 would lose data; models, ledgers and cards stay in the registry\n" in said
    assert "gc: proven: this checkout and 2 versions have all of their files; 79 of them were read\n" in said
    assert said.endswith("gc: nothing was deleted; the same with --yes deletes\n")


def test_with_yes_exactly_that_goes_from_cache_and_remote(project: Project) -> None:
    before, going = (cache(project), remote(project)), REMOVED | {listing(project, 1)}
    said = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert (before[0] - cache(project), before[1] - remote(project)) == (going, going)
    assert said.count("gc: proven: ") == 2
    again = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert "gc: nothing needs 0 objects (0.0 MB)" in again


def test_what_is_kept_can_be_pulled_and_the_next_cycle_runs(project: Project) -> None:
    gc(project, "--keep", "champion", *NOW, "--yes")
    shutil.rmtree(project.root / ".dvc/cache")
    shutil.rmtree(project.root / "data/images/first")
    project.space.dvc("pull", "--quiet", "data/images/first.dvc")
    project.write("first/cat/300.png", picture(300, "cat"))
    project.track("first")
    project.cycle()


def test_the_rule_says_whose_data_stays(project: Project) -> None:
    for rule in ("last=3", "days=1", "champion, last=3"):
        assert "; 0 others\n" in gc(project, "--keep", rule, *NOW).out
    project.retag(1, promoted="true")
    assert "v1 (once champion)" in gc(project, "--keep", "champions", *NOW).out
    assert "v1" not in gc(project, "--keep", "days=0", *NOW).out.splitlines()[0]


def test_a_rule_that_is_none_is_refused(project: Project) -> None:
    done = project.call("gc", "--keep", "champoin")
    assert done.code == 1
    assert done.error.startswith("gc: error: --keep champoin: 'champoin' is no rule; expected some of champion, ")


def by_branch(project: Project) -> None:
    project.space.git("branch", "old", "HEAD~3")


def by_tag(project: Project) -> None:
    project.space.git("tag", "--annotate", "--message", "as it was", "old", "HEAD~3")


def by_stash(project: Project) -> None:
    project.space.git("checkout", "--quiet", "HEAD~3", "--", "data/images/first.dvc")
    project.space.git("stash", "push", "--quiet")
    (project.root / "params.yaml").write_text((project.root / "params.yaml").read_text() + "\n")
    project.space.git("stash", "push", "--quiet")


def by_index(project: Project) -> None:
    now = (project.root / "data/images/first.dvc").read_bytes()
    project.space.git("checkout", "--quiet", "HEAD~3", "--", "data/images/first.dvc")
    (project.root / "data/images/first.dvc").write_bytes(now)


def by_pointer(project: Project) -> None:
    """In conflict, as a merge leaves it."""
    old = project.space.git("show", "HEAD~3:data/images/first.dvc")
    (project.root / "data/images/old.dvc").write_text(f"<<<<<<< ours\n{old}=======\nouts: []\n>>>>>>> theirs\n")
    shutil.move(project.root / "data/images/old.dvc", project.root / "old.dvc")


def by_a_cycle(project: Project) -> None:
    """That began when v1 was the best so far."""
    assert project.run("resolve").code == 0


def by_worktree(project: Project) -> None:
    project.space.git("worktree", "add", "--quiet", "--detach", str(project.root.parent / "other"), "HEAD~3")


@pytest.mark.parametrize("named", [by_branch, by_tag, by_stash, by_index, by_pointer, by_a_cycle, by_worktree])
def test_what_a_person_can_go_back_to_stays(project: Project, named: Callable[[Project], None]) -> None:
    named(project)
    before = cache(project), remote(project)
    said = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert (cache(project), remote(project)) == before
    assert "would lose data" not in said


def test_what_is_lost_already_is_an_error_that_names_it_until_it_is_said_to_be_known(project: Project) -> None:
    drop(project, files.md5(picture(1, "cat")))
    done = project.call("gc", "--keep", "last=3", *NOW, "--yes")
    assert done.code == 4
    assert done.error == (
        "gc: error: v1 cannot be brought back: data/images/first/cat/1.png of data/images/first is neither in the DVC "
        "cache nor in the DVC remote with the bytes of its hash; nothing was deleted; run `dvc push` where it was "
        "added, or, if that data is lost for good, say so with `--lost 1`"
    )
    said = gc(project, "--keep", "last=3", *NOW, "--lost", "v1").out
    assert "gc: nothing needs 0 objects" in said
    assert "gc: proven: this checkout and 2 versions " in said


def test_of_a_version_whose_listing_is_lost_the_images_stay(project: Project) -> None:
    drop(project, listing(project, 1))
    done = project.call("gc", "--keep", "last=3", *NOW)
    assert f"v1 cannot be brought back: the listing of data/images/first ({listing(project, 1)}) is" in done.error
    gc(project, "--keep", "last=3", *NOW, "--lost", "1", "--yes")
    assert cache(project) >= REMOVED
    assert "gc: v1 would" not in gc(project, "--keep", "champion", *NOW, "--yes").out
    assert not cache(project) & REMOVED, "the ledger knows that they are this project's"


def test_of_a_version_whose_record_is_lost_nobody_knows_what_it_needs(project: Project) -> None:
    project.artifact(1, "lineage/lineage.json").unlink()
    project.forget()
    done = project.call("gc", "--keep", "last=3", *NOW)
    assert done.code == 5
    assert re.fullmatch(
        r"gc: error: lineage/lineage\.json of run \w+ is not there any more, so what v1 \(last=3\) needs cannot be "
        "told, and nothing was deleted; restore it from a backup, or, if it is lost for good, say so with `--lost 1`",
        done.error,
    )
    assert cache(project) >= REMOVED
    gc(project, "--keep", "last=3", *NOW, "--lost", "1", "--yes")
    assert not cache(project) & REMOVED, "Git and the ledger know them"
    said = gc(project, "--keep", "champion", *NOW).out
    assert "is not there any more; what only v1 names counts as unknown, and stays\n" in said


def test_a_registry_without_versions_is_another_one(project: Project, empty_database: Path) -> None:
    """As where MLFLOW_TRACKING_URI was forgotten: then all data would be garbage."""
    before = cache(project), remote(project)
    done = project.call("gc", *NOW, "--yes", MLFLOW_TRACKING_URI=f"sqlite:///{empty_database}")
    assert done.code == 5
    assert "has no version of evergreen, so what is needed cannot be told, and nothing was deleted; set" in done.error
    assert (cache(project), remote(project)) == before


def test_damaged_copies_are_found_by_reading_all(project: Project) -> None:
    digest = files.md5(picture(20, "dog"))
    for folder in (project.root / ".dvc/cache/files/md5", project.root / "store/remote/files/md5"):
        path = folder / digest[:2] / digest[2:]
        path.unlink()
        path.write_bytes(b"damaged")
        done = project.call("gc", "--keep", "champion", *NOW, "--check")
        assert done.code == (0 if ".dvc" in folder.parts else 4), "one whole copy is enough"
    assert "this checkout, v3, v2 cannot be brought back: data/images/first/dog/20.png of" in done.error


def drop(project: Project, digest: str) -> None:
    for folder in (project.root / ".dvc/cache/files/md5", project.root / "store/remote/files/md5"):
        (folder / digest[:2] / digest[2:]).unlink()


def keep(project: Project, content: bytes, end: str = "", at: str = ".dvc/cache") -> str:
    """Put an object into the cache or the remote; its hash."""
    digest = f"{files.md5(content)}{end}"
    files.write(project.root / at / "files/md5" / digest[:2] / digest[2:], content)
    return digest


def test_objects_that_this_project_never_named_stay_and_so_does_what_their_listings_name(project: Project) -> None:
    shared = files.md5(picture(2, "cat"))
    alien = keep(project, b"of another project", at="store/remote")
    theirs = [{"md5": alien, "relpath": "a"}, {"md5": shared, "relpath": "b"}]
    theirs_listing = keep(project, json.dumps(theirs).encode(), ".dir", at="store/remote")
    said = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert "gc: 2 objects (0.0 MB) stay: not named by this project\n" in said
    assert remote(project) >= {alien, theirs_listing, shared}
    assert not remote(project) & (REMOVED - {shared})


def test_what_is_young_stays_with_all_that_it_names(project: Project) -> None:
    before = cache(project), remote(project)
    said = gc(project, "--keep", "champion", "--yes").out
    assert "gc: 12 objects (0.0 MB) stay: younger than 24 hours\n" in said
    assert (cache(project), remote(project)) == before


def test_outputs_of_stages_and_features_and_downloads_that_nothing_needs_go_too(project: Project) -> None:
    old, now, shard, run = (keep(project, content) for content in (b"old", b"now", b"features", b"of a run"))
    for digest in (old, now):
        outs = [{"path": "data/cycle/curves.csv", "hash": "md5", "md5": digest}]
        lock = {"schema": "2.0", "stages": {"train": {"cmd": "x", "outs": outs}}}
        (project.root / "dvc.lock").write_text(yaml.safe_dump(lock))
        project.space.commit("A cycle")
    entry = {"cmd": "x", "outs": [{"path": "data/cycle/curves.csv", "hash": "md5", "md5": run}]}
    files.write(project.root / ".dvc/cache/runs/ab/abc/def", yaml.safe_dump(entry).encode())
    index = pl.DataFrame({"digest": [next(iter(REMOVED))], "key": ["k"], "shard": [shard], "place": [0]})
    sink = io.BytesIO()
    index.write_parquet(sink)
    project.replace(1, "features/index.parquet", sink.getvalue())
    download = project.root / "data/scratch/objects" / ("0" * 64)
    files.write(download, b"of v1")
    said = gc(project, "--keep", "last=3", *NOW).out
    assert "features" not in said
    assert "  outputs of stages           2 objects        0.0 MB  the DVC cache\n" in said
    said = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert "  features                    1 objects        0.0 MB  the DVC cache\n" in said
    assert "MB  data/scratch\n" in said
    assert not cache(project) & {old, shard, run}
    assert now in cache(project)
    assert not download.exists()


def test_wherever_it_is_ended_what_is_kept_stays_whole_and_the_next_call_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, going = (cache(project), remote(project)), REMOVED | {listing(project, 1)}
    remove = Objects._remove

    def once(place: Objects, paths: list[str]) -> None:
        remove(place, paths[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Objects, "_remove", once)
    calls = 0
    while project.call("gc", "--keep", "champion", *NOW, "--yes").code:
        calls += 1
        assert before[0] - cache(project) <= going
        assert before[1] - remote(project) <= going
        assert remote(project) >= REMOVED or listing(project, 1) not in remote(project), "a listing names what is gone"
    assert calls == 2 * len(going)
    assert (before[0] - cache(project), before[1] - remote(project)) == (going, going)


def test_what_somebody_pushes_a_listing_of_meanwhile_is_put_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = files.md5(picture(2, "cat"))
    delete = Objects.delete

    def meanwhile(place: Objects, digests: list[str]) -> Iterator[int]:
        keep(project, json.dumps([{"md5": shared, "relpath": "b"}]).encode(), ".dir", at="store/remote")
        yield from delete(place, digests)

    monkeypatch.setattr(Objects, "delete", meanwhile)
    said = gc(project, "--keep", "champion", *NOW, "--yes").out
    assert "gc: 1 object that somebody pushed a listing of meanwhile is put back\n" in said
    assert shared in remote(project)
    assert shared in cache(project)
    assert not remote(project) & (REMOVED - {shared})


def test_what_is_pushed_meanwhile_and_cannot_be_put_back_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = files.md5(picture(2, "cat"))
    (project.root / ".dvc/cache/files/md5" / shared[:2] / shared[2:]).unlink()
    content = json.dumps([{"md5": shared, "relpath": "b"}]).encode()
    delete = Objects.delete

    def meanwhile(place: Objects, digests: list[str]) -> Iterator[int]:
        keep(project, content, ".dir", at="store/remote")
        yield from delete(place, digests)

    monkeypatch.setattr(Objects, "delete", meanwhile)
    done = project.call("gc", "--keep", "champion", *NOW, "--yes")
    assert done.code == 4
    assert done.error.startswith(
        f"gc: error: somebody pushed {files.md5(content)}.dir meanwhile, and 1 object that this names were deleted and "
    )


def test_a_cycle_that_ends_meanwhile_may_need_what_would_go(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache(project), remote(project)
    damaged = Recovery.damaged

    def meanwhile(prover: Recovery, *arguments: Any) -> Any:
        project.promote(1)
        return damaged(prover, *arguments)

    monkeypatch.setattr(Recovery, "damaged", meanwhile)
    done = project.call("gc", "--keep", "champion", *NOW, "--yes")
    assert done.code == 5
    assert "an alias moved meanwhile, and nothing was deleted; expected a registry at rest; run the same" in done.error
    assert (cache(project), remote(project)) == before


def test_a_branch_that_was_not_fetched_stops_it_for_it_may_need_anything(project: Project, tmp_path: Path) -> None:
    project.space.git("clone", "--quiet", ".", str(tmp_path / "theirs"))
    theirs = replace(project.space, root=tmp_path / "theirs")
    theirs.git("switch", "--quiet", "--create", "experiment")
    theirs.git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--allow-empty", "-m", "x")
    project.space.git("remote", "add", "origin", str(tmp_path / "theirs"))
    done = project.call("gc", "--keep", "champion", *NOW, "--yes")
    assert done.code == 7
    assert "gc: error: origin/experiment is not here as there; run `git fetch --all --tags`, in a clone" in done.error
    assert "gc: warning: origin/experiment is not here" in gc(project, "--keep", "champion", *NOW).out
    project.space.git("fetch", "--quiet", "--all", "--tags")
    gc(project, "--keep", "champion", *NOW, "--yes")
    shutil.rmtree(tmp_path / "theirs")
    done = project.call("gc", "--keep", "champion", *NOW, "--yes")
    assert done.code == 7
    assert "nothing was deleted; run this where it answers, or take a remote that is no more out with" in done.error
    project.space.git("remote", "remove", "origin")
    gc(project, "--keep", "champion", *NOW, "--yes")


def test_while_dvc_is_at_work_nothing_is_deleted(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.1)
    with contextlib.chdir(project.root), Repo() as repo, repo.lock:
        done = project.call("gc", "--keep", "champion", *NOW, "--yes")
    assert done.code == 4
    assert "gc: error: DVC is at work here (" in done.error
    assert "; wait until it ends, then run this again" in done.error
    gc(project, "--keep", "champion", *NOW, "--yes")


def test_a_remote_that_is_not_there_is_an_error_or_only_the_cache_is_looked_at(project: Project) -> None:
    project.space.keep_images_in("http://127.0.0.1:1/")
    done = project.call("gc", *NOW)
    assert done.code == 4
    assert "gc: error: the DVC remote local cannot be listed (" in done.error
    assert "); nothing was deleted; check its address and credentials (`dvc remote list`), then run the" in done.error
    config = project.root / ".dvc/config"
    config.write_text(config.read_text().replace("remote = local", ""))
    said = gc(project, "--keep", "champion", *NOW).out
    assert "gc: warning: no DVC remote with objects by their hash is set, so only the cache is looked at\n" in said


@pytest.mark.parametrize("text", ["x", "1;2", "-1"])
def test_versions_that_are_none_are_refused(project: Project, text: str) -> None:
    assert "expected numbers of versions with commas" in project.call("gc", f"--lost={text}").error


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket of an S3 server."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield boto3.resource("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bucket")
    server.stop()


def test_a_bucket_is_listed_once_and_only_garbage_goes_from_it(project: Project, bucket: Any) -> None:
    keys = {digest: f"top/files/md5/{digest[:2]}/{digest[2:]}" for digest in remote(project)}
    for digest, key in keys.items():
        bucket.upload_file(str(project.root / "store/remote/files/md5" / digest[:2] / digest[2:]), key)
    end = bucket.meta.client.meta.endpoint_url
    project.space.keep_images_in(f"s3://bucket/top\n    endpointurl = {end}")
    done = project.call("gc", "--keep", "champion", *NOW, "--yes", **AWS)
    assert done.code == 0, done.err
    assert {one.key for one in bucket.objects.all()} == {
        key for digest, key in keys.items() if digest not in REMOVED | {listing(project, 1)}
    }
    shutil.rmtree(project.root / ".dvc/cache")
    assert "gc: proven: this checkout and 2 versions" in project.call("gc", "--keep", "champion", **AWS).out
