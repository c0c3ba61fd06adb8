"""The registry on a real SQLite file and on a real MLflow server."""

import base64
import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import pytest
import samples

from benchmarks.workspace import CHECKOUT
from pipeline.base import files, process
from pipeline.base.errors import RegistryError
from pipeline.data import ledger
from pipeline.learning import model
from pipeline.registry import client as registry
from pipeline.registry.client import Memory, Registry, Run
from pipeline.settings import Params

NUMBERS = itertools.count(1)

Draw = Callable[..., bytes]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on this machine; its address."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), *places],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310 - our own server
            break
        except OSError:
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    yield address
    os.killpg(running.pid, signal.SIGTERM)
    running.wait(30)


@pytest.fixture(params=["file", "server"])
def reg(
    request: pytest.FixtureRequest,
    settings: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
) -> Registry:
    """An empty registry: the default SQLite file, and a model of its own on a server."""
    monkeypatch.chdir(tmp_path)
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("server"))
        return Registry(settings.resolve.model_copy(update={"registered_model": f"evergreen {next(NUMBERS)}"}))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return Registry(settings.resolve)


def register(reg: Registry, key: str, monkeypatch: pytest.MonkeyPatch, **tags: str) -> registry.Version:
    """A version without uploading a model, which takes seconds and is tested with the pipeline."""
    monkeypatch.setattr(Run, "log_model", lambda run, *_: (f"runs:/{run.run_id}/model", None))
    return reg.register(reg.run(key, "cycle"), Path(), {"run_key": key, **tags}, [], "a card")


def test_the_default_is_an_sqlite_file_in_the_project(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Registry(settings.resolve).champion() is None
    assert (tmp_path / "store/mlflow.db").is_file()


def test_runs_that_were_killed_outright_are_marked_as_killed(reg: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a process that is gone, of one that lives, of another machine; and one that is over."""
    words = [sys.executable, "-c", "from pipeline.base import process; print(process.owner())"]
    gone = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout.strip()
    here = process.owner()
    reused = here.rpartition(":")[0] + ":1.00"  # the same number, started at another time
    owners = {"gone": gone, "reused": reused, "here": here, "elsewhere": "other-host:1:1:2.00", "over": gone}
    for key, owner in owners.items():
        monkeypatch.setattr(process, "owner", lambda owner=owner: owner)
        run = reg.run(key, "cycle")
    run.end()
    assert reg.reap() == 2
    assert reg.reap() == 0
    client = mlflow.MlflowClient(reg.uri)
    experiment = client.get_experiment_by_name(reg.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    status = {run.data.tags["evergreen.run_key"]: run.info.status for run in runs}
    assert status == {
        "gone": "KILLED", "reused": "KILLED", "here": "RUNNING", "elsewhere": "RUNNING", "over": "FINISHED",
    }  # fmt: skip


def test_the_environment_names_another_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert registry.tracking_uri() == "http://elsewhere:5000"


def test_promotion_moves_the_alias_and_reads_it_back(reg: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = register(reg, "a", monkeypatch), register(reg, "b", monkeypatch)
    for version in (first, second, first):
        reg.promote(version.number)
        champion = reg.champion()
        assert champion is not None
        assert champion.number == version.number


def test_the_same_inputs_never_make_two_runs_or_versions(reg: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reg.run("a", "cycle").run_id == reg.run("a", "cycle").run_id
    assert register(reg, "a", monkeypatch).number == register(reg, "a", monkeypatch).number
    assert register(reg, "b", monkeypatch).number == 2


def test_a_registered_model_can_be_loaded_and_classifies(reg: Registry, tmp_path: Path, draw: Draw) -> None:
    """Through the real upload, so that the server's own checks are passed."""
    import mlflow
    import pandas as pd

    description = samples.description("cat", "dog", image_shape=(16, 16, 3))
    network = model.build(description)
    network.get_layer("logits").bias.assign([0.0, 50.0])
    files.write_json(tmp_path / "package/model.json", description.to_json())
    files.write_arrays(tmp_path / "package/weights.npz", model.arrays(network.weights))
    version = reg.register(
        reg.run("a", "cycle"), tmp_path / "package", {"run_key": "a", "sources": "s"}, ["keras"], "card"
    )
    reg.promote(version.number)
    mlflow.set_tracking_uri(reg.uri)
    try:
        served = mlflow.pyfunc.load_model(f"models:/{reg.name}@champion")
        image = draw("JPEG")
        found = served.predict(pd.DataFrame({"image": [image, draw("PNG", mode="L")]}))
        again = served.predict(pd.DataFrame({"image": [base64.b64encode(image).decode()]}))
        with pytest.raises(
            Exception, match=r"1 of 2 images cannot be decoded: row 1: a text file; expected JPEG, PNG, WEBP or BMP"
        ):
            served.predict(pd.DataFrame({"image": [image, b"no image"]}))
    finally:
        mlflow.set_tracking_uri(None)
    assert list(found["label"]) == ["dog", "dog"]
    assert found["probability"].min() > 0.99
    assert list(again["label"]) == ["dog"]


def test_the_newest_version_with_all_the_tags_is_found(reg: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reg.newest(sources="s") is None
    for key, recipe in (("a", "r"), ("b", "q"), ("c", "q")):
        register(reg, key, monkeypatch, sources="s", recipe=recipe, parent="" if key == "a" else "1")
    found = reg.newest(sources="s", recipe="q")
    assert found is not None
    assert (found.number, found.run_key, found.parent) == (3, "c", 1)
    oldest = reg.newest(sources="s", recipe="r")
    assert oldest is not None
    assert (oldest.number, oldest.parent, oldest.rival) == (1, None, None)
    assert reg.newest(sources="other") is None


def test_history_is_logged_once_per_epoch(reg: Registry) -> None:
    run = reg.run("a", "cycle")
    history = [{"val_loss": 2.0}, {"val_loss": 1.0, "loss": 1.5}]
    run.log_history(history[:1])
    run.log_history(history)
    run.log_history(history)
    import mlflow

    logged = mlflow.MlflowClient(reg.uri).get_metric_history(run.run_id, "val_loss")
    assert [(metric.step, metric.value) for metric in logged] == [(0, 2.0), (1, 1.0)]


def test_two_trainings_of_a_run_keep_their_histories_apart(reg: Registry) -> None:
    import mlflow

    run = reg.run("a", "cycle")
    run.log_history([{"val_loss": 2.0}, {"val_loss": 1.0}])
    for _ in range(2):
        run.log_history([{"val_loss": 3.0}], "audit_")
        run = reg.run("a", "cycle")  # found again, after an interruption
    client = mlflow.MlflowClient(reg.uri)
    found = {name: client.get_metric_history(run.run_id, name) for name in ("val_loss", "audit_val_loss")}
    assert {name: [metric.value for metric in rows] for name, rows in found.items()} == {
        "val_loss": [2.0, 1.0],
        "audit_val_loss": [3.0],
    }


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_it_is_told_and_goes_on_when_found_again(reg: Registry, status: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(reg.uri)
    run = reg.run("a", "cycle")
    run.end(status)
    assert client.get_run(run.run_id).info.status == status
    assert client.get_run(reg.run("a", "cycle").run_id).info.status == "RUNNING"


def test_params_of_a_run_are_logged_once(reg: Registry) -> None:
    run = reg.run("a", "cycle")
    run.log({"best_val_loss": 1.0}, {"train.seed": 7}, {"kind": "x"})
    run.log({"best_val_loss": 2.0}, {"train.seed": 7, "train.threads": 2}, {"kind": "y"})


def test_artifacts_come_back_checked_and_are_kept(reg: Registry, tmp_path: Path) -> None:
    source, objects = tmp_path / "weights.npz", tmp_path / "objects"
    source.write_bytes(b"weights")
    run, digest = reg.run("a", "cycle"), files.sha256(b"weights")
    run.upload(source, "model/weights.npz")
    assert reg.download(run.run_id, "model/weights.npz", digest, objects).read_bytes() == b"weights"
    source.write_bytes(b"tampered")
    run.upload(source, "model/weights.npz")
    assert reg.download(run.run_id, "model/weights.npz", digest, objects).read_bytes() == b"weights"
    (objects / digest).write_bytes(b"bit rot")
    with pytest.raises(RegistryError, match=r"model/weights.npz of run \w+ is damaged: .*restore it from a backup"):
        reg.download(run.run_id, "model/weights.npz", digest, objects)


def test_a_missing_artifact_is_a_registry_error(reg: Registry, tmp_path: Path) -> None:
    run = reg.run("a", "cycle")
    with pytest.raises(RegistryError, match=r"refused: Failed to download artifacts from path 'weights.npz'"):
        reg.download(run.run_id, "model/weights.npz", "0" * 64, tmp_path / "objects")


def test_a_version_of_other_origin_has_no_lineage(reg: Registry, tmp_path: Path) -> None:
    stranger = registry.Version(3, "run", {})
    with pytest.raises(RegistryError, match=r"evergreen.* v3 was not registered by Evergreen.*move the alias champion"):
        reg.lineage(stranger, tmp_path)


@pytest.mark.parametrize(
    "uri", ["http://user:secret@127.0.0.1:9", "postgresql://user:secret@127.0.0.1:9/db"], ids=["server", "database"]
)
def test_no_answer_is_an_error_without_the_password(
    settings: Params, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(
        RegistryError, match=r"does not answer.*nothing was changed; check MLFLOW_TRACKING_URI"
    ) as raised:
        Registry(settings.resolve).champion()
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_alias_that_someone_else_moves_at_the_same_moment_is_noticed(
    reg: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = register(reg, "a", monkeypatch), register(reg, "b", monkeypatch)
    client = reg._client
    move = client.set_registered_model_alias

    def race(name: str, alias: str, _: str) -> None:
        move(name, alias, str(first.number))

    monkeypatch.setattr(client, "set_registered_model_alias", race)
    with pytest.raises(RegistryError, match=r"was set to v2 and reads v1; someone else moved it"):
        reg.promote(second.number)


def test_what_the_registry_refuses_is_not_called_silence(reg: Registry) -> None:
    with pytest.raises(RegistryError, match=r"the MLflow registry at .* refused: .*not found"):
        reg.version(99)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A project with the default registry, empty; the file for what is remembered of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return tmp_path / "scratch/registry.json"


def answers(reg: Registry) -> list[object]:
    """All questions that are remembered."""
    newest = reg.newest(sources="s")
    return [reg.champion(), newest, reg.all(), reg.newest(sources="none"), newest and reg.version(newest.number)]


def unreachable(uri: str) -> None:
    raise AssertionError(f"{uri} was asked")


@pytest.mark.parametrize("promoted", [True, False], ids=["champion", "no champion"])
def test_answers_are_remembered_as_long_as_nothing_is_written(settings, place, monkeypatch, promoted):
    writer = Registry(settings.resolve)
    version = register(writer, "a", monkeypatch, sources="s", parent="")
    if promoted:
        writer.promote(version.number)
    first = answers(Registry(settings.resolve, place))
    assert first == answers(writer)
    assert (first[0] is not None) is promoted
    monkeypatch.setattr(registry, "_client", unreachable)
    again = Registry(settings.resolve, place)
    assert answers(again) == answers(again) == first


def test_a_remembered_answer_needs_no_import_of_mlflow(settings, place, monkeypatch):
    register(Registry(settings.resolve), "a", monkeypatch, sources="s")
    first = answers(Registry(settings.resolve, place))
    script = (
        "import sys; from pathlib import Path; from pipeline.base import params; from pipeline.settings import Params; "
        "from pipeline.registry.client import Registry;"
        f"path = Path({str(Path(registry.__file__).parents[2] / 'params.yaml')!r}); "
        f"reg = Registry(params.load(path, Params).resolve,"
        f"Path({str(place)!r})); print(reg.newest(sources='s').number, 'mlflow' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(registry.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == [str(first[1].number), "False"], done.stderr


def test_what_another_client_writes_is_seen_at_once(settings, place, monkeypatch):
    writer, reader = Registry(settings.resolve), Registry(settings.resolve, place)
    assert reader.champion() is None
    assert reader.all() == []
    for number, key in ((1, "a"), (2, "b")):
        register(writer, key, monkeypatch, sources="s")
        for one in (reader, Registry(settings.resolve, place)):
            newest = one.newest(sources="s")
            assert newest is not None
            assert newest.number == number
            assert len(one.all()) == number
        writer.promote(number)
        for one in (reader, Registry(settings.resolve, place)):
            champion = one.champion()
            assert champion is not None
            assert champion.number == number
    writer.annotate(2, {"verdict": "reject"})
    assert reader.version(2).tags["evergreen.verdict"] == "reject"
    writer._client.delete_registered_model_alias(writer.name, writer.alias)
    assert reader.champion() is None


def test_what_is_remembered_of_one_model_or_alias_is_not_said_of_another(settings, place, monkeypatch):
    writer = Registry(settings.resolve)
    writer.promote(register(writer, "a", monkeypatch).number)
    assert Registry(settings.resolve, place).champion() is not None
    for change in ({"registered_model": "other"}, {"alias": "other"}):
        assert Registry(settings.resolve.model_copy(update=change), place).champion() is None


@pytest.mark.parametrize("end", ["-wal", "-journal"])
def test_while_sqlite_writes_to_another_file_nothing_is_remembered(settings, place, end):
    beside = Path(f"store/mlflow.db{end}")
    beside.touch()
    counted = Memory(place, f"sqlite:///{Path('store/mlflow.db').absolute()}")
    asked: list[int] = []
    for _ in range(2):
        assert counted.recall(["q"], lambda: asked.append(1) or len(asked)) == len(asked)
    assert len(asked) == 2
    assert not place.exists()
    beside.unlink()
    assert Registry(settings.resolve, place).champion() is None
    assert place.is_file()
    beside.touch()
    assert counted.recall(["q"], lambda: "fresh") == "fresh"


@pytest.fixture
def memory(place: Path) -> Callable[[], Memory]:
    """What a new process remembers."""
    return lambda: Memory(place, f"sqlite:///{Path('store/mlflow.db').absolute()}")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"state": []}', b"\xff", b'{"state": null, "answers": 3}'], ids=repr
)
def test_a_torn_memory_is_ignored_and_written_anew(memory, place, content):
    assert memory().recall(["q"], lambda: 1) == 1
    place.write_bytes(content)
    assert memory().recall(["q"], lambda: 2) == 2
    assert memory().recall(["q"], lambda: 3) == 2


def test_a_memory_whose_answers_are_none_is_ignored(memory, place):
    memory().recall(["q"], lambda: 1)
    kept = files.read_json(place)
    files.write_json(place, kept | {"answers": 3})
    assert memory().recall(["q"], lambda: 2) == 2


def test_a_memory_of_another_registry_is_ignored(memory, place, tmp_path):
    memory().recall(["q"], lambda: 1)
    (tmp_path / "other").mkdir()
    shutil.copy2("store/mlflow.db", tmp_path / "other/mlflow.db")
    other = Memory(place, f"sqlite:///{tmp_path / 'other/mlflow.db'}")
    assert other.recall(["q"], lambda: 2) == 2


def test_a_database_put_in_the_place_of_another_is_asked(memory, tmp_path):
    memory().recall(["q"], lambda: 1)
    shutil.copy2("store/mlflow.db", tmp_path / "backup.db")
    (tmp_path / "backup.db").replace("store/mlflow.db")
    assert memory().recall(["q"], lambda: 2) == 2


def test_an_answer_that_fails_is_not_remembered(memory):
    def fail() -> None:
        raise RegistryError("no answer")

    with pytest.raises(RegistryError):
        memory().recall(["q"], fail)
    assert memory().recall(["q"], lambda: 2) == 2


def test_an_answer_during_which_something_was_written_is_not_remembered(memory):
    def write() -> int:
        with contextlib.closing(sqlite3.connect("store/mlflow.db")) as database:
            database.execute("create table written (x)")
            database.commit()
        return 1

    one = memory()
    assert one.recall(["q"], write) == 1
    assert one.recall(["q"], lambda: 2) == 2
    assert memory().recall(["q"], lambda: 3) == 2


def test_a_write_that_leaves_size_and_time_alone_is_seen_by_sqlites_counter(memory):
    """On a disk whose clock ticks in seconds, or restored by a backup."""
    path = Path("store/mlflow.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table written (x)")
        database.execute("insert into written values (1)")
        database.commit()
        before = path.stat()
        memory().recall(["q"], lambda: 1)
        database.execute("update written set x = 2")
        database.commit()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert memory().recall(["q"], lambda: 2) == 2


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://127.0.0.1/db", "sqlite:///none/mlflow.db"])
def test_of_any_other_registry_nothing_is_remembered(place, uri):
    for answer in (1, 2):
        assert Memory(place, uri).recall(["q"], lambda answer=answer: answer) == answer
    assert not place.exists()


def test_a_write_between_two_questions_forgets_the_answer_to_the_first(memory, tmp_path):
    one = memory()
    assert one.recall(["champion"], lambda: "old") == "old"
    shutil.copy2("store/mlflow.db", tmp_path / "next.db")
    (tmp_path / "next.db").replace("store/mlflow.db")
    assert one.recall(["newest"], lambda: "new") == "new"
    for later in (one, memory()):
        assert later.recall(["champion"], lambda: "new") == "new"


def test_each_question_has_its_own_answer(memory):
    for question in (["q"], ["q", 1], ["q", "1"], ["r"]):
        memory().recall(question, lambda question=question: question)
    assert memory().recall(["q", 1], list) == ["q", 1]
    assert memory().recall(["q", "1"], list) == ["q", "1"]


def test_an_empty_registry_made_by_the_question_is_not_taken_for_the_one_before(settings, place):
    Path("store/mlflow.db").unlink()
    assert Registry(settings.resolve, place).champion() is None
    assert Registry(settings.resolve, place).champion() is None


def test_the_parents_ledger_is_empty_without_a_parent_and_has_the_columns_that_are_asked_for(settings, place):
    reg = Registry(settings.resolve)
    assert reg.parents_ledger({"version": None}, place).columns == [*ledger.COLUMNS]
    assert reg.parents_ledger({"version": None}, place, ["digest"]).columns == ["digest"]


@pytest.mark.usefixtures("place")
def test_the_parents_ledger_is_that_of_its_run(settings, tmp_path):
    reg, table = Registry(settings.resolve), tmp_path / "ledger.parquet"
    files.write_table(table, ledger.empty())
    run = reg.run("a", "cycle")
    run.upload(table, registry.LEDGER)
    pinned = {
        "version": 1,
        "run_id": run.run_id,
        "lineage": {"files": {registry.LEDGER: files.sha256_file(table)}},
    }
    assert reg.parents_ledger(pinned, tmp_path / "objects").schema == ledger.empty().schema
    assert reg.parents_ledger(pinned, tmp_path / "objects", ["rank", "digest"]).columns == ["rank", "digest"]
