import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.remote import CountingRemote
from pipeline.artifacts.sources import Source
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.data import sources, store
from pipeline.data.store import Fetched, Store


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


CONTENT = {"data/images/monday/cat/1.png": b"one", "data/images/monday/dog/2.png": b"two, two"}
DIGEST = {path: md5(content) for path, content in CONTENT.items()}
CAT, DOG = CONTENT
WANTED = [(digest, path) for path, digest in DIGEST.items()]


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


def listed(project: Path, source: Source) -> dict[str, str]:
    table = Store(project).listing(source)
    assert table.columns == ["path", "digest"]
    return dict(table.iter_rows())


def leave_only_the_remote(project: Path) -> None:
    shutil.rmtree(project / "data/images/monday")
    shutil.rmtree(project / ".dvc/cache")


def cached(project: Path) -> set[str]:
    """Hashes of what the cache holds, whatever its name; none but whole objects may be there."""
    return {md5(path.read_bytes()) for path in (project / ".dvc/cache/files/md5").rglob("*") if path.is_file()}


@pytest.fixture
def http(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingRemote]:
    """The project's remote, over HTTP; images are only there. DVC's own client tries once, so that ours is seen."""
    monkeypatch.setattr("dvc_http.HTTPFileSystem.SESSION_RETRIES", 1)
    monkeypatch.setattr(store, "WAITS", (0.0,) * len(store.WAITS))
    leave_only_the_remote(project)
    with CountingRemote(project.with_name("remote")) as remote:
        use_remote(project, remote.url)
        yield remote


def use_remote(project: Path, url: str, more: str = "") -> None:
    (project / ".dvc/config").write_text(
        f"[core]\n    no_scm = True\n    remote = store\n['remote \"store\"']\n    url = {url}\n{more}"
    )


def craft(project: Path, content: bytes) -> Source:
    """A batch whose listing is made by hand; its hash is right."""
    digest = f"{md5(content)}.dir"
    path = project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Source("data/images/crafted", digest, 1)


def test_a_batch_lists_the_path_and_digest_of_each_file(project):
    assert listed(project, batch()) == DIGEST


def test_a_listing_in_the_cache_is_read_without_importing_dvc(project):
    script = (
        "import sys; from pathlib import Path; from pipeline.data import sources;"
        "from pipeline.data.store import Store;"
        "print(*map(Store(Path()).listing, sources.find(Path('data/images'))), {'dvc', 'pandas'} & {*sys.modules})"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(store.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], cwd=project, env=environment, capture_output=True, text=True)
    assert CAT in done.stdout, done.stderr
    assert done.stdout.endswith("set()\n")


def test_an_empty_batch_lists_nothing(project):
    assert listed(project, craft(project, b"[]")) == {}


def test_a_single_tracked_file_lists_itself(project):
    assert listed(project, Source("data/images/1.png", DIGEST[CAT], 1)) == {"data/images/1.png": DIGEST[CAT]}


def test_a_listing_may_hold_any_name_that_a_folder_can_hold(project):
    names = ["a b.png", "é/日本.png", "-rf", "$(id)", "a\nb", "a\\b", "...", ".hidden", "..x/y..", '"}, {"', "c:/d"]
    content = json.dumps([{"md5": DIGEST[CAT], "relpath": name, "size": 3} for name in names]).encode()
    assert [*listed(project, craft(project, content))] == [f"data/images/crafted/{name}" for name in names]


@pytest.mark.parametrize(
    "entries",
    [
        *([{"md5": DIGEST[CAT], "relpath": path}] for path in ("../x", "..", "a/../../b", "/etc/passwd", "", "a//b")),
        *([{"md5": DIGEST[CAT], "relpath": path}] for path in (".", "a/./b", "a/", "a\0b", "\udcff", 7, None, ["a"])),
        *([{"md5": digest, "relpath": "a"}] for digest in ("", "../../../../etc/passwd", DIGEST[CAT].upper(), None, 7)),
        [{"md5": f"{DIGEST[CAT]}\n", "relpath": "a"}],
        [{"md5": DIGEST[CAT], "relpath": "a"}, {"md5": DIGEST[DOG], "relpath": "a"}],
        [{"relpath": "a"}],
        [{"md5": DIGEST[CAT]}],
        [7],
        {"md5": DIGEST[CAT], "relpath": "a"},
        7,
        None,
    ],
    ids=ascii,
)
def test_a_listing_that_dvc_cannot_have_written_is_refused(project, entries):
    source = craft(project, json.dumps(entries).encode())
    with pytest.raises(DataError, match=r"^the listing of data/images/crafted: .*; run `dvc add data/images/crafted`"):
        Store(project).listing(source)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[" * 100_000], ids=["empty", "torn", "binary", "deep"])
def test_a_listing_that_is_not_json_is_refused(project, content):
    with pytest.raises(DataError, match=r"^the listing of data/images/crafted: not a list of paths and MD5 hashes"):
        Store(project).listing(craft(project, content))


@pytest.mark.parametrize(
    "digest", ["", "../../../../etc/passwd", "0" * 31, "g" * 32, f"{'0' * 32}.dir/../x", "0" * 32 + "\n"]
)
def test_what_is_no_hash_is_never_looked_up(project, digest):
    with pytest.raises(DataError, match="not an MD5 hash"):
        Store(project).places(digest, CAT)


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
    leave_only_the_remote(project)
    assert listed(project, batch()) == DIGEST
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"


def test_threads_share_a_store(project):
    leave_only_the_remote(project)
    shared = Store(project)
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda path: shared.read(DIGEST[path], path), [*CONTENT] * 20))
    assert contents == [*CONTENT.values()] * 20


def test_an_image_that_is_nowhere_names_the_remedy(project):
    leave_only_the_remote(project)
    kept(project.with_name("remote"), DIGEST[CAT]).unlink()
    message = (
        rf"^{CAT}: not in the workspace, the DVC cache or the DVC remote \({DIGEST[CAT]} is not in the remote\); "
        "run `dvc push` where it was added, or set the remote with `dvc remote modify --local store url URL`"
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


@pytest.fixture
def hung_up(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A remote that breaks off in a way of its own; what was asked of it."""
    asked: list[object] = []

    def fail(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise ConnectionResetError("peer\nhung up")

    monkeypatch.setattr("dvc.fs.LocalFileSystem.get_file", fail)
    monkeypatch.setattr(store, "WAITS", (0.0,) * len(store.WAITS))
    return asked


def test_a_remote_that_does_not_answer_is_reported_in_one_line_after_three_attempts(project, hung_up):
    leave_only_the_remote(project)
    with pytest.raises(DataError) as error:
        Store(project).read(DIGEST[CAT], CAT)
    assert str(error.value) == (
        f"{CAT}: the DVC remote does not answer, tried 3 times (peer hung up); check the network and the remote's "
        "address and credentials (`dvc remote list`), then run the same again"
    )
    assert len(hung_up) == 3


def test_a_remote_that_does_not_answer_is_not_asked_for_every_image(project, hung_up):
    wanted = [(f"{number:032x}", f"data/images/tuesday/cat/{number}.png") for number in range(1000)]
    with pytest.raises(
        DataError, match=r"cat/0\.png, \S+/1\.png, \S+/2\.png and 997 more: the DVC remote does not answer"
    ):
        Store(project).fetch(wanted, "test")
    assert 3 * store.GIVE_UP <= len(hung_up) < 300


def test_a_full_disk_is_not_blamed_on_the_remote(project, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dvc.fs.LocalFileSystem.get_file", fail)
    monkeypatch.setattr(store, "WAITS", (0.0,))
    leave_only_the_remote(project)
    with pytest.raises(DataError, match=r"the DVC cache cannot take it \(.*No space left on device\); make room"):
        Store(project).read(DIGEST[CAT], CAT)


def test_a_damaged_image_in_the_cache_is_replaced_from_the_remote(project):
    (project / CAT).unlink()
    damage(kept(project / ".dvc/cache", DIGEST[CAT]))
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"
    assert kept(project / ".dvc/cache", DIGEST[CAT]).read_bytes() == b"one"


def test_a_damaged_image_in_the_cache_that_the_remote_cannot_replace_is_never_returned(project):
    (project / CAT).unlink()
    damage(kept(project / ".dvc/cache", DIGEST[CAT]))
    shutil.rmtree(project.with_name("remote"))
    with pytest.raises(DataError, match=rf"^{CAT}: not in .* \({DIGEST[CAT]} is not in the remote\); run `dvc push`"):
        Store(project).read(DIGEST[CAT], CAT)
    assert md5(b"one?") not in cached(project)


def test_a_damaged_listing_in_the_cache_is_never_used(project):
    damage(kept(project / ".dvc/cache", batch().digest))
    assert listed(project, batch()) == DIGEST


def test_healing_replaces_what_is_damaged_and_nothing_else(project):
    damage(kept(project / ".dvc/cache", DIGEST[CAT]))
    assert Store(project).heal(WANTED) == Fetched(1, 3)
    assert cached(project) == {*DIGEST.values(), batch().digest.removesuffix(".dir")}


def test_healing_what_the_remote_does_not_have_names_the_image_and_the_remedy(project):
    damage(kept(project / ".dvc/cache", DIGEST[CAT]))
    shutil.rmtree(project.with_name("remote"))
    with pytest.raises(DataError, match=rf"^{CAT}: not in the workspace, .*; run `dvc push` where it was added"):
        Store(project).heal(WANTED)


def test_a_damaged_image_in_the_remote_is_never_returned(project, monkeypatch):
    monkeypatch.setattr(store, "WAITS", (0.0,))
    leave_only_the_remote(project)
    damage(kept(project.with_name("remote"), DIGEST[CAT]))
    with pytest.raises(
        DataError,
        match=rf"^{CAT}: damaged in the DVC remote, .*; delete that object there and run `dvc push` "
        r"where it was added; if that finds nothing to push, delete the listing of the batch from the remote, and push",
    ):
        Store(project).read(DIGEST[CAT], CAT)
    assert cached(project) == set()


@pytest.mark.project
def test_a_folder_that_is_no_dvc_project_is_told_so(tmp_path):
    with pytest.raises(DataError, match=r"not a DVC project \(.*\); .*`git checkout HEAD -- \.dvc`, or run this"):
        Store(tmp_path).read(DIGEST[CAT], CAT)


def test_fetching_transfers_what_is_nowhere_on_this_machine_and_counts_it(project, http):
    tracked = Store(project)
    assert tracked.fetch([*WANTED, (DIGEST[CAT], "data/images/again/cat/1.png")], "test") == Fetched(2, 11)
    assert (http.gets, http.bytes) == (2, 11)
    assert cached(project) == {*DIGEST.values()}
    assert [Path(tracked.places(*one)[1]).stat().st_mode & 0o777 for one in WANTED] == [0o444, 0o444]
    assert tracked.fetch(WANTED, "test") == Fetched(0, 0)
    assert (http.gets, tracked.fetched) == (2, Fetched(2, 11))
    assert str(tracked.fetched) == "fetched 2 files (0.0 MB) from the DVC remote"


def test_an_image_in_the_workspace_or_the_cache_is_not_fetched(project, http):
    (project / CAT).parent.mkdir(parents=True)
    (project / CAT).write_bytes(b"changed, but there")
    Store(project).fetch([(DIGEST[DOG], DOG)], "test")
    http.forget()
    assert Store(project).fetch(WANTED, "test") == Fetched(0, 0)
    assert http.gets == 0


def test_each_call_says_what_it_fetched_and_the_store_what_all_did(project, http):
    tracked = Store(project)
    assert [tracked.fetch([one], "test") for one in WANTED] == [Fetched(1, 3), Fetched(1, 8)]
    assert (tracked.fetched, http.bytes) == (Fetched(2, 11), 11)


def test_fetching_nothing_does_not_open_dvc(tmp_path):
    assert Store(tmp_path).fetch([], "test") == Fetched(0, 0)


def test_images_are_fetched_in_parallel(project):
    content = {md5(bytes([number])): bytes([number]) for number in range(64)}
    with CountingRemote(content.get) as many:
        many.delay = 0.05
        use_remote(project, many.url)
        fetched = Store(project).fetch([(digest, f"{digest}.png") for digest in content], "test")
        assert (fetched, many.gets, many.bytes) == (Fetched(64, 64), 64, 64)
        assert many.busiest >= 4


def test_a_transfer_that_breaks_is_tried_again(project, http):
    http.refuse = 2
    assert Store(project).fetch([(DIGEST[CAT], CAT)], "test") == Fetched(1, 3)
    assert http.asked == {DIGEST[CAT]: 3}


def test_a_transfer_that_keeps_breaking_is_an_error_that_counts_the_attempts(project, http):
    http.refuse = 100
    with pytest.raises(DataError, match=r"the DVC remote does not answer, tried 3 times \(.*500"):
        Store(project).fetch([(DIGEST[CAT], CAT)], "test")
    assert http.asked == {DIGEST[CAT]: 3}


def test_what_the_remote_does_not_have_is_not_asked_for_again(project, http):
    gone = [(f"{number:032x}", f"data/images/gone/cat/{number}.png") for number in range(5)]
    with pytest.raises(DataError) as error:
        Store(project).fetch([*gone, *WANTED], "test")
    assert str(error.value) == (
        "data/images/gone/cat/0.png, data/images/gone/cat/1.png, data/images/gone/cat/2.png and 2 more: not in the "
        f"workspace, the DVC cache or the DVC remote ({gone[0][0]} is not in the remote); run `dvc push` where it was "
        "added, or set the remote with `dvc remote modify --local store url URL`; if that finds nothing to push, "
        "delete the listing of the batch from the remote, and push again"
    )
    assert set(http.asked.values()) == {1}
    assert cached(project) == {*DIGEST.values()}


@pytest.mark.timeout(30)
def test_a_remote_that_stalls_is_not_waited_for_for_ever(project, http, monkeypatch):
    monkeypatch.setattr(store, "WAITS", (0.0,))
    use_remote(project, f"{http.url}\n    read_timeout = 1")
    http.stall.add(DIGEST[CAT])
    with pytest.raises(DataError, match=rf"^{CAT}: the DVC remote does not answer, tried 1 times"):
        Store(project).fetch(WANTED, "test")
    assert cached(project) == {DIGEST[DOG]}


@pytest.mark.parametrize(
    ("fault", "message"),
    [("cut", "the DVC remote does not answer, tried 3 times"), ("flip", "damaged in the DVC remote")],
)
def test_half_an_image_or_a_wrong_bit_is_named_and_never_left_in_the_cache(project, http, fault, message):
    getattr(http, fault).add(DIGEST[CAT])
    with pytest.raises(DataError, match=rf"^{CAT}: {message}"):
        Store(project).fetch(WANTED, "test")
    assert http.asked == {DIGEST[CAT]: 3, DIGEST[DOG]: 1}
    assert cached(project) == {DIGEST[DOG]}


@pytest.mark.usefixtures("http")
def test_a_name_that_would_upset_a_terminal_is_shown_in_ascii(project):
    with pytest.raises(DataError, match=r"^'data/\\x1b\[31m\.png': not in the workspace"):
        Store(project).fetch([("0" * 32, "data/\x1b[31m.png")], "test")


@pytest.mark.timeout(20)
def test_a_fifo_in_the_place_of_an_image_does_not_hang(project):
    (project / CAT).unlink()
    os.mkfifo(project / CAT)
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"
    kept(project / ".dvc/cache", DIGEST[CAT]).unlink()
    assert Store(project).fetch([(DIGEST[CAT], CAT)], "test") == Fetched(1, 3)


def test_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    both_ends = os.open(tmp_path / "fifo", os.O_RDWR)
    try:
        os.write(both_ends, b"one")
        assert files.read_regular(tmp_path / "fifo") is None
    finally:
        os.close(both_ends)


def test_a_folder_in_the_place_of_an_image_is_no_image(project):
    (project / CAT).unlink()
    (project / CAT).mkdir()
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"


def test_a_cache_that_is_configured_elsewhere_is_used(project, tmp_path):
    shutil.move(project / ".dvc/cache", tmp_path / "elsewhere")
    use_remote(project, str(project.with_name("remote")), f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n")
    shutil.rmtree(project.with_name("remote"))
    shutil.rmtree(project / "data/images/monday")
    assert listed(project, batch()) == DIGEST
    assert Store(project).read(DIGEST[CAT], CAT) == b"one"
    assert Store(project).is_cache(str(kept(tmp_path / "elsewhere", DIGEST[CAT])))


def test_a_path_is_one_of_the_caches_or_not(project):
    tracked = Store(project)
    assert tracked.is_cache(tracked.places(DIGEST[CAT], CAT)[1])
    for other in ("/etc/passwd", "", "x", str(project / CAT), f"/etc/{DIGEST[CAT][:2]}/{DIGEST[CAT][2:]}"):
        assert not tracked.is_cache(other)


@pytest.mark.usefixtures("http")
def test_a_store_that_is_shared_counts_every_transfer(project):
    tracked = Store(project)
    threads = [threading.Thread(target=tracked.fetch, args=([one], "test")) for one in WANTED]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tracked.fetched == Fetched(2, 11)


def test_dvc_pushes_to_the_counting_remote(project, tmp_path):
    with CountingRemote(tmp_path / "pushed") as remote:
        use_remote(project, remote.url)
        dvc = [Path(sys.executable).with_name("dvc"), "push", "--quiet"]
        subprocess.run(dvc, cwd=project, env=os.environ | alone(tmp_path), check=True)
    assert kept(tmp_path / "pushed", DIGEST[CAT]).read_bytes() == b"one"
    assert kept(tmp_path / "pushed", batch().digest).is_file()
