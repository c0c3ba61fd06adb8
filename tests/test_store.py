import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline import sources
from pipeline.errors import DataError
from pipeline.sources import Source
from pipeline.store import Store

CONTENT = {"data/images/monday/cat/1.png": b"one", "data/images/monday/dog/2.png": b"two"}
DIGEST = {path: hashlib.md5(content, usedforsecurity=False).hexdigest() for path, content in CONTENT.items()}
CAT = "data/images/monday/cat/1.png"


def alone(top: Path) -> dict[str, str]:
    """The environment of a DVC that neither reports nor reads what this machine has set for all projects."""
    folders = ("DVC_SITE_CACHE_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR")
    return {"DVC_NO_ANALYTICS": "1"} | {name: str(top / name) for name in folders}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one batch, added and pushed by DVC itself; beside it, its remote."""
    top = tmp_path_factory.mktemp("dvc")
    root = top / "project"
    for path, content in CONTENT.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(content)
    environment = os.environ | alone(top)
    for command in (
        "init --no-scm",
        "remote add --default store ../remote",
        "config cache.type copy",
        "add data/images/monday",
        "push",
    ):
        dvc = [Path(sys.executable).with_name("dvc"), *command.split(), "--quiet"]
        subprocess.run(dvc, cwd=root, env=environment, check=True)
    return top


@pytest.fixture
def project(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project to break; images live in workspace, cache and remote."""
    for name, value in alone(tmp_path).items():
        monkeypatch.setenv(name, value)
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def batch() -> Source:
    (source,) = sources.find(Path("data/images"))
    return source


def kept(where: Path, digest: str) -> Path:
    """The file of an object in a cache or a remote."""
    (path,) = where.rglob(f"{digest[:2]}/{digest[2:]}")
    return path


def damage(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"?")


def test_a_batch_lists_the_path_and_digest_of_each_file(project):
    assert Store(project).listing(batch()) == DIGEST


@pytest.mark.usefixtures("project")
def test_a_root_may_be_relative():
    assert Store(Path()).read(DIGEST[CAT], CAT) == b"one"


def test_an_image_is_read_from_the_workspace_without_opening_dvc(project):
    shutil.rmtree(project / ".dvc")
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"


def test_an_image_that_left_the_workspace_is_read_from_the_cache(project):
    shutil.rmtree(project / "data/images/monday")
    shutil.rmtree(project.with_name("remote"))
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"


def test_an_image_changed_since_dvc_add_is_read_as_the_pointer_names_it(project):
    (project / CAT).write_bytes(b"changed")
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"


def test_an_image_is_found_by_digest_wherever_it_lies_now(project):
    assert Store(project).read(DIGEST[CAT], "data/images/moved/cat/9.png") == b"one"


def test_images_and_listings_that_left_the_cache_are_read_from_the_remote(project):
    shutil.rmtree(project / "data/images/monday")
    shutil.rmtree(project / ".dvc/cache")
    store = Store(project)
    assert store.listing(batch()) == DIGEST
    assert store.read(DIGEST[CAT], CAT) == b"one"


def test_threads_share_a_store(project):
    shutil.rmtree(project / "data/images/monday")
    shutil.rmtree(project / ".dvc/cache")
    store = Store(project)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: store.read(DIGEST[path], path), [*CONTENT] * 20))
    assert found == [*CONTENT.values()] * 20


def test_an_image_that_is_nowhere_names_the_remedy(project):
    shutil.rmtree(project / "data/images/monday")
    shutil.rmtree(project / ".dvc/cache")
    kept(project.with_name("remote"), DIGEST[CAT]).unlink()
    message = (
        rf"^{CAT}: not in the workspace, the DVC cache or the DVC remote \({DIGEST[CAT]} is not in the remote\); "
        "run `dvc push` where it was added, or set the remote with `dvc remote modify`"
    )
    with pytest.raises(DataError, match=message):
        Store(project).read(DIGEST[CAT], CAT)


def test_a_listing_that_is_nowhere_names_its_batch(project):
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project.with_name("remote"))
    with pytest.raises(DataError, match=r"^the listing of data/images/monday: not in the workspace, .*`dvc push`"):
        Store(project).listing(batch())


def test_a_project_without_a_remote_is_told_so(project):
    (project / CAT).unlink()
    shutil.rmtree(project / ".dvc/cache")
    (project / ".dvc/config").write_text("[core]\n    no_scm = True\n")
    with pytest.raises(DataError, match=rf"^{CAT}: not in .* \(.*no remote .*\); run `dvc push`"):
        Store(project).read(DIGEST[CAT], CAT)


def test_a_remote_that_fails_in_a_way_of_its_own_is_reported_in_one_line(project, monkeypatch):
    (project / CAT).unlink()
    kept(project / ".dvc/cache", DIGEST[CAT]).unlink()
    store = Store(project)
    assert store.listing(batch())

    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError("peer\nhung up")

    monkeypatch.setattr("dvc.fs.LocalFileSystem.open", fail)
    with pytest.raises(DataError, match=r"\(the remote does not answer: peer hung up\)"):
        store.read(DIGEST[CAT], CAT)


def test_a_damaged_image_in_the_cache_is_never_returned(project):
    (project / CAT).unlink()
    damage(kept(project / ".dvc/cache", DIGEST[CAT]))
    with pytest.raises(DataError, match=rf"cache.*: damaged, .* hash {DIGEST[CAT]}; delete it and run `dvc fetch`"):
        Store(project).read(DIGEST[CAT], CAT)


def test_a_damaged_listing_in_the_cache_is_never_used(project):
    damage(kept(project / ".dvc/cache", batch().digest))
    with pytest.raises(DataError, match=rf"damaged, .* hash {batch().digest}"):
        Store(project).listing(batch())


def test_a_damaged_image_in_the_remote_is_never_returned(project):
    (project / CAT).unlink()
    shutil.rmtree(project / ".dvc/cache")
    damage(kept(project.with_name("remote"), DIGEST[CAT]))
    with pytest.raises(DataError, match=r"remote.*damaged|damaged.*remote"):
        Store(project).read(DIGEST[CAT], CAT)


def test_a_folder_that_is_no_dvc_project_is_told_so(tmp_path):
    with pytest.raises(DataError, match=r"not a DVC project \(.*\); run this where dvc\.yaml is"):
        Store(tmp_path).read(DIGEST[CAT], CAT)
