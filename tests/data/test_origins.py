"""Where a batch's objects come from, in new clones of real projects: the same as `dvc pull` brings, one by one."""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import polars as pl
import pytest
import yaml

from pipeline.artifacts.sources import Source
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data import sources, store
from pipeline.data.objects import Listings
from pipeline.data.recovery import Recovery
from pipeline.data.store import Store

IMAGES = Path("data/images")
CONTENT = {f"{label}/{number}.png": f"{label} {number}".encode() for label in ("cat", "dog") for number in range(4)}
DIGESTS = {path: files.md5(content) for path, content in CONTENT.items()}

pytestmark = pytest.mark.project  # each calls DVC


def lay(folder: Path, content: dict[str, bytes]) -> None:
    for path, what in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(what)


class Here:
    """Projects below one folder, whose DVC and Git read nothing that this machine has set for all."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = top / "project"
        folders = ("DVC_SITE_CACHE_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR")
        who = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.env = {"DVC_NO_ANALYTICS": "1"} | {name: str(top / name) for name in folders} | who

    def run(self, *words: str, root: Path | None = None) -> None:
        """Run dvc or git."""
        root = root or self.root
        if words[0] == "dvc":  # in this process, for it takes a second to start
            from dvc.cli import main
            from dvc.repo.open_repo import clean_repos

            with contextlib.chdir(root), mock.patch.dict(os.environ, self.env):
                assert main([*words[1:]]) == 0
                clean_repos()
            return
        subprocess.run(words, cwd=root, env=os.environ | self.env, check=True)

    def create(self, name: str) -> Path:
        """A project with a remote beside it."""
        root = self.top / name
        root.mkdir()
        self.run("git", "init", "--quiet", "--initial-branch", "main", root=root)
        self.run("dvc", "init", "--quiet", root=root)
        self.run("dvc", "remote", "add", "--quiet", "--default", "store", str(self.top / f"{name}-remote"), root=root)
        self.commit(root)
        return root

    def commit(self, root: Path | None = None) -> None:
        self.run("git", "add", "--all", root=root)
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", "Data", root=root)

    def pointer(self, batch: str, **changes: object) -> None:
        """Change the out of a pointer."""
        path = self.root / f"data/images/{batch}.dvc"
        value = yaml.safe_load(path.read_text())
        value["outs"][0] |= changes
        path.write_text(yaml.safe_dump(value))

    def publish(self) -> None:
        """Commit, push, and make the project a new clone of itself that has fetched nothing."""
        self.commit()
        self.run("dvc", "push", "--quiet")
        self.clone()

    def clone(self) -> None:
        """Make the project a new clone of itself that has fetched nothing."""
        shutil.move(self.root, self.top / "origin")
        self.run("git", "clone", "--quiet", str(self.top / "origin"), str(self.root), root=self.top)
        os.chdir(self.root)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project, and another that has a batch and a folder that only Git tracks."""
    here = Here(tmp_path_factory.mktemp("origins"))
    here.create("project")
    other = here.create("other")
    lay(other / "pictures", CONTENT)
    lay(other / "in git", CONTENT)
    here.run("dvc", "add", "--quiet", "pictures", root=other)
    here.commit(other)
    here.run("dvc", "push", "--quiet", root=other)
    return here.top


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """Copies of both; the other one's name is the same from each clone."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True, symlinks=True)
    copied = Here(tmp_path)
    for name in ("project", "other"):
        copied.run("dvc", "remote", "modify", "store", "url", str(tmp_path / f"{name}-remote"), root=tmp_path / name)
        copied.commit(tmp_path / name)
    (copied.root / IMAGES).mkdir(parents=True)
    for name, value in copied.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "WAITS", (0.0,))
    monkeypatch.chdir(copied.root)
    return copied


@pytest.fixture
def site(here: Here) -> Iterator[str]:
    """The address of a server of the files in a folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    lay(here.top / "site", {"one.png": b"one"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(here.top / "site")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def bucket(here: Here, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of a bucket that keeps versions; each file has the version `v<its hash>`, and no other."""
    asked: list[str] = []

    class Bucket(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path, _, version = self.path.partition("?versionId=v")
            content = CONTENT.get(path.removeprefix("/bucket/top/data/images/monday/"), b"")
            is_there = files.md5(content) == version
            self.send_response(200 if is_there else 404)
            self.send_header("Content-Length", str(len(content) if is_there else 0))
            self.end_headers()
            self.wfile.write(content if is_there else b"")

        def log_message(self, *_: object) -> None:
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anybody")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here.run("dvc", "remote", "add", "--quiet", "bucket", "s3://bucket/top")
    here.run("dvc", "remote", "modify", "bucket", "version_aware", "true")
    here.run("dvc", "remote", "modify", "bucket", "endpointurl", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


def only() -> Source:
    (source,) = sources.find(IMAGES)
    return source


def cached() -> set[str]:
    """Hashes of what the cache holds."""
    objects = Path(".dvc/cache/files/md5").glob("??/*")
    return {files.md5(path.read_bytes()) for path in objects}


def check(content: dict[str, bytes] = CONTENT, source: Source | None = None) -> None:
    """The listing comes, and two images, one by one and with their hash; and nothing else."""
    source = source or only()
    tracked = Store(Path())
    listed = dict(tracked.listing(source).iter_rows())
    assert listed == {f"{source.path}/{path}": files.md5(what) for path, what in content.items()}
    wanted = [(digest, path) for path, digest in listed.items()][:2]
    assert tracked.fetch(wanted, "test").num_objects == 2
    assert cached() == {source.digest.removesuffix(".dir"), *(digest for digest, _ in wanted)}
    for digest, path in wanted:
        assert tracked.read(digest, path) == content[path.removeprefix(f"{source.path}/")]


@pytest.mark.parametrize("has_default", [True, False], ids=["beside the default", "no default"])
def test_the_remote_that_a_pointer_names(here: Here, has_default: bool) -> None:
    here.run("dvc", "remote", "add", "--quiet", "second", str(here.top / "second"))
    if not has_default:
        here.run("dvc", "config", "--unset", "core.remote")
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", remote="second")
    here.publish()
    assert not list((here.top / "project-remote").glob("files/md5/*"))
    check()


def test_what_the_named_remote_does_not_have_names_it(here: Here) -> None:
    here.run("dvc", "remote", "add", "--quiet", "second", str(here.top / "second"))
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", remote="second")
    here.commit()
    here.clone()
    with pytest.raises(
        DataError,
        match=r"^the listing of data/images/monday: not in the workspace, the DVC cache or the DVC remote second "
        r"\(\S+ is not in the remote\); run `dvc push` where it was added, or set the remote with `dvc remote modify "
        r"--local second url URL`; its pointer is of commit ",
    ):
        Store(Path()).listing(only())


def test_a_named_remote_that_is_not_configured_is_said(here: Here) -> None:
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", remote="second")
    here.commit()
    here.clone()
    with pytest.raises(
        DataError, match=r"the DVC remote second \(.*remote 'second' doesn't exist\); run `dvc remote add second URL`$"
    ):
        Store(Path()).listing(only())
    here.run("dvc", "remote", "add", "second", str(here.top / "second"), root=here.top / "origin")
    here.run("dvc", "push", "--quiet", root=here.top / "origin")
    here.run("dvc", "remote", "add", "second", str(here.top / "second"))
    check()


@pytest.mark.parametrize("what", ["pictures", "in git"])
def test_a_batch_that_is_imported_comes_from_its_project(here: Here, what: str) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), what, "--out", "data/images/monday")
    here.publish()
    check()


def test_an_imported_part_of_a_batch(here: Here) -> None:
    """No object anywhere is its listing."""
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures/cat", "--out", "data/images/monday")
    here.publish()
    check({f"{number}.png": f"cat {number}".encode() for number in range(4)})


def test_a_single_image_that_is_imported(here: Here) -> None:
    (here.root / IMAGES / "monday/cat").mkdir(parents=True)
    words = ("pictures/cat/1.png", "--out", "data/images/monday/cat/1.png")
    here.run("dvc", "import", "--quiet", str(here.top / "other"), *words)
    here.publish()
    assert Store(Path()).read(only().digest, "data/images/monday/cat/1.png") == b"cat 1"


def test_an_import_needs_no_remote_of_ones_own(here: Here) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures", "--out", "data/images/monday")
    here.run("dvc", "remote", "remove", "--quiet", "store")
    here.commit()
    here.clone()
    check()


def test_an_import_whose_project_was_not_pushed_names_it_and_the_remedy_helps(here: Here) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures", "--out", "data/images/monday")
    here.publish()
    shutil.rmtree(here.top / "other-remote")
    source = only()
    with pytest.raises(
        DataError,
        match=r"^data/images/monday/cat/1\.png: not in the workspace, the DVC cache or the project \S+/other at \w{7} "
        r"that data/images/monday\.dvc names \(\S+ is not there\); run `dvc push` in \S+/other at \w{7}, or `dvc "
        r"update data/images/monday\.dvc` to import what it has now$",
    ):
        Store(Path()).read(DIGESTS["cat/1.png"], f"{source.path}/cat/1.png")
    here.run("dvc", "push", "--quiet", root=here.top / "other")
    check()


def test_a_project_that_is_gone_does_not_answer(here: Here) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures", "--out", "data/images/monday")
    here.publish()
    shutil.rmtree(here.top / "other")
    with pytest.raises(
        DataError, match=r"the project \S+/other .* does not answer, .*check the network and the address"
    ):
        Store(Path()).listing(only())


def test_an_earlier_state_of_an_import_comes_from_the_commit_that_it_was_imported_at(here: Here) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures", "--out", "data/images/monday")
    here.commit()
    before = only()
    lay(here.top / "other/pictures", {"cat/1.png": b"another cat"})
    here.run("dvc", "add", "--quiet", "pictures", root=here.top / "other")
    here.commit(here.top / "other")
    here.run("dvc", "push", "--quiet", root=here.top / "other")
    here.run("dvc", "update", "--quiet", "data/images/monday.dvc")
    here.publish()
    assert only().digest != before.digest
    check(source=before)
    shutil.rmtree(".dvc/cache")
    check({**CONTENT, "cat/1.png": b"another cat"})


def test_a_batch_that_is_gone_comes_from_where_its_pointer_said(here: Here) -> None:
    here.run("dvc", "remote", "add", "--quiet", "second", str(here.top / "second"))
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", remote="second")
    here.commit()
    here.run("dvc", "push", "--quiet")
    before = only()
    here.run("dvc", "remove", "--outs", "data/images/monday.dvc")
    here.publish()
    assert sources.find(IMAGES, at_least=0) == ()
    check(source=before)


@pytest.mark.parametrize("is_pushed", [True, False])
def test_a_folder_from_an_address_comes_from_the_remote_or_from_there(here: Here, is_pushed: bool) -> None:
    lay(here.top / "photos", CONTENT)
    here.run("dvc", "import-url", "--quiet", str(here.top / "photos"), "data/images/monday")
    here.commit()
    if is_pushed:
        here.run("dvc", "push", "--quiet")
        shutil.rmtree(here.top / "photos")
    here.clone()
    check()


def test_an_address_that_has_something_else_now_is_never_taken_for_the_batch(here: Here) -> None:
    lay(here.top / "photos", CONTENT)
    here.run("dvc", "import-url", "--quiet", str(here.top / "photos"), "data/images/monday")
    here.commit()
    here.clone()
    lay(here.top / "photos", {"cat/1.png": b"another"})
    words = r"run `dvc push` where it was imported, or `dvc update data/images/monday\.dvc` to import it again$"
    with pytest.raises(
        DataError, match=rf"^the listing of data/images/monday: not in .* the DVC remote \(.*\); {words}"
    ):
        Store(Path()).listing(only())
    assert cached() == set()
    here.run("dvc", "update", "--quiet", "data/images/monday.dvc")
    assert Store(Path()).read(files.md5(b"another"), "data/images/monday/cat/1.png") == b"another"


def test_an_image_from_a_web_server(here: Here, site: str) -> None:
    (here.root / IMAGES / "monday/cat").mkdir(parents=True)
    here.run("dvc", "import-url", "--quiet", f"{site}/one.png", "data/images/monday/cat/one.png")
    here.commit()
    here.clone()
    assert Store(Path()).read(only().digest, "data/images/monday/cat/one.png") == b"one"


@pytest.mark.parametrize("words", [["import", "{top}/other", "pictures", "--out"], ["import-url", "{top}/photos"]])
def test_an_import_without_its_download_names_the_command_that_helps(here: Here, words: list[str]) -> None:
    lay(here.top / "photos", CONTENT)
    words = [word.format(top=here.top) for word in words]
    here.run("dvc", words[0], "--quiet", "--no-download", *words[1:], "data/images/monday")
    with pytest.raises(
        DataError, match=r"imported with --no-download, .*run `dvc update data/images/monday\.dvc`, which"
    ):
        sources.find(IMAGES)
    here.run("dvc", "update", "data/images/monday.dvc")
    here.publish()
    check()


def test_a_batch_that_is_never_pushed_says_so_and_the_remedy_helps(here: Here) -> None:
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", push=False)
    here.publish()
    with pytest.raises(
        DataError,
        match=r"it is not pushed \(`push: false` in data/images/monday\.dvc\); take that line out, then run `dvc push`",
    ):
        Store(Path()).listing(only())
    here.pointer("monday", push=True)
    shutil.copy("data/images/monday.dvc", here.top / "origin/data/images/monday.dvc")
    here.run("dvc", "push", "--quiet", root=here.top / "origin")
    check()


def test_a_batch_that_dvc_keeps_no_copy_of_is_refused_and_the_remedy_helps(here: Here) -> None:
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "--no-commit", "data/images/monday")
    here.pointer("monday", cache=False)
    with pytest.raises(
        DataError,
        match=r"says `cache: false`, .*take that line out, then run `dvc commit --force data/images/monday\.dvc` where",
    ):
        sources.find(IMAGES)
    path = here.root / "data/images/monday.dvc"
    path.write_text(path.read_text().replace("- cache: false\n  hash", "- hash"))
    here.run("dvc", "commit", "--force", "data/images/monday.dvc")
    here.publish()
    check()


@pytest.mark.parametrize("is_default", [True, False])
def test_a_remote_that_keeps_versions_gives_the_version_that_the_pointer_lists(
    here: Here, bucket: list[str], is_default: bool
) -> None:
    """As `dvc push` writes such a pointer: its files in place of the hash of a listing, which no object is."""
    cloud = {path: {"bucket": {"etag": "any", "version_id": f"v{digest}"}} for path, digest in DIGESTS.items()}
    listed = [{"relpath": path, "md5": DIGESTS[path], "cloud": cloud[path]} for path in CONTENT]
    out = {"path": "monday", "hash": "md5", "files": listed} | ({} if is_default else {"remote": "bucket"})
    Path("data/images/monday.dvc").write_text(yaml.safe_dump({"outs": [out]}))
    if is_default:
        here.run("dvc", "remote", "default", "--quiet", "bucket")
    here.commit()
    here.clone()
    lay(here.top / "other/same", CONTENT)
    here.run("dvc", "add", "--quiet", "same", root=here.top / "other")
    same = yaml.safe_load((here.top / "other/same.dvc").read_text())["outs"][0]
    assert only() == Source("data/images/monday", same["md5"], len(CONTENT))
    check()
    assert len(bucket) == 2
    with pytest.raises(
        DataError, match=r"9\.png: not in the workspace, .* \(\S+ is not in the remote\); run `dvc push`"
    ):
        Store(Path()).fetch([("9" * 32, "data/images/monday/cat/9.png")], "test")


def test_wdir_leads_elsewhere(here: Here) -> None:
    here.run("dvc", "remote", "add", "--quiet", "second", str(here.top / "second"))
    lay(IMAGES / "2026/monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/2026/monday")
    value = yaml.safe_load(Path("data/images/2026/monday.dvc").read_text())
    value["outs"][0]["remote"] = "second"
    Path("data/images/2026/monday.dvc").unlink()
    Path("data/images/first.dvc").write_text(yaml.safe_dump({"wdir": "2026", **value}))
    here.publish()
    assert only().path == "data/images/2026/monday"
    assert sources.pointers(IMAGES) == {"data/images/2026/monday": "data/images/first.dvc"}
    check()


def test_words_that_change_nothing(here: Here) -> None:
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", desc="what", type="images", labels=["x"], meta={"a": 1}, persist=True)
    here.publish()
    check()


def test_a_pointer_out_of_the_images_is_refused_and_the_remedy_helps(here: Here) -> None:
    lay(here.root / "elsewhere", CONTENT)
    here.run("dvc", "add", "--quiet", "elsewhere")
    value = yaml.safe_load(Path("elsewhere.dvc").read_text())
    Path("elsewhere.dvc").unlink()
    Path("data/images/monday.dvc").write_text(yaml.safe_dump({"wdir": "../..", **value}))
    with pytest.raises(
        DataError,
        match=r"monday\.dvc: tracks elsewhere; expected a folder or file below data/images; run `dvc remove "
        r"data/images/monday\.dvc`, then `python -m pipeline add elsewhere --batch NAME`",
    ):
        sources.find(IMAGES)
    here.run("dvc", "remove", "data/images/monday.dvc")
    assert (here.root / "elsewhere/cat/1.png").is_file()


def test_a_project_that_dvc_cannot_open_is_said(here: Here) -> None:
    (here.root / ".dvc/config").write_text("[core]\n    no_such_key = 1\n")
    with pytest.raises(DataError, match=r"DVC fails: .*no_such_key.*; mend that until `dvc status` works"):
        Store(Path()).read(DIGESTS["cat/1.png"], "data/images/monday/cat/1.png")


def gaps() -> list[str]:
    """What is nowhere of the batch, where neither cache nor default remote have any of it."""
    nothing = pl.DataFrame(schema={"place": pl.String, "digest": pl.String})
    found = Recovery(Store(Path()), Listings([], nothing), []).gaps([only()], set())
    return [str(gap) for gap in found]


def test_a_proof_asks_the_remote_that_a_pointer_names_and_names_what_that_lacks(here: Here) -> None:
    here.run("dvc", "remote", "add", "--quiet", "second", str(here.top / "second"))
    lay(IMAGES / "monday", CONTENT)
    here.run("dvc", "add", "--quiet", "data/images/monday")
    here.pointer("monday", remote="second")
    here.publish()
    assert gaps() == []
    for path in ("cat/0.png", "dog/3.png"):
        (here.top / "second/files/md5" / DIGESTS[path][:2] / DIGESTS[path][2:]).unlink()
    assert gaps() == ["data/images/monday/cat/0.png and 1 more of data/images/monday"]
    lay(IMAGES / "monday", {"cat/0.png": CONTENT["cat/0.png"], "dog/3.png": b"another"})
    assert gaps() == ["data/images/monday/dog/3.png of data/images/monday"], "the disk has it"
    digest = only().digest
    (here.top / "second/files/md5" / digest[:2] / digest[2:]).unlink()
    shutil.rmtree(".dvc/cache")
    assert gaps() == [f"the listing of data/images/monday ({digest})"]


def test_a_proof_asks_what_a_batch_was_imported_from(here: Here) -> None:
    here.run("dvc", "import", "--quiet", str(here.top / "other"), "pictures", "-o", "data/images/monday")
    here.commit()
    here.clone()
    assert gaps() == []
