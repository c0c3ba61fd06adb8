"""Each cause for which a registry does not do what it is asked, for real: its own words and its own way on."""

import contextlib
import os
import re
import resource
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import ADMIN, READER, Bucket, forget_s3, grant, log_in

from benchmarks import servers
from pipeline.base.errors import RegistryError
from pipeline.registry import connection, faults
from pipeline.registry.connection import Connection
from pipeline.registry.faults import Cause

pytestmark = pytest.mark.project  # loads MLflow

NOBODY = 65534


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried twice, and nothing waits long."""
    monkeypatch.setattr(connection, "ATTEMPTS", 1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


def models(client: Any) -> None:
    client.search_registered_models("name='evergreen'")


def model(client: Any) -> None:
    client.create_registered_model("evergreen")


def refused(uri: str, do: Callable[[Any], object] = models) -> RegistryError:
    """The error of a registry that is asked to do something."""
    reached = Connection(uri)
    with pytest.raises(RegistryError) as raised, reached.reach():
        do(reached.client)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    return raised.value


def check(error: RegistryError, cause: Cause, *parts: str) -> None:
    assert error.cause == cause, error
    assert re.search(".*".join(parts), str(error)), error


def test_a_server_that_does_not_run() -> None:
    error = refused(f"http://user:secret@127.0.0.1:{servers.free_port()}")
    check(
        error, Cause.UNREACHED, r"//\*\*\*@127.0.0.1:\d+ does not answer: .*Connection refused", "nothing was changed; "
    )
    check(error, Cause.UNREACHED, "check MLFLOW_TRACKING_URI and that the server runs, then run the same again$")


def test_a_server_that_nobody_knows() -> None:
    error = refused("http://no-such-server.invalid:5000")
    check(
        error, Cause.UNREACHED, "does not answer: no such server is known: ", "check the name of the server in MLFLOW_T"
    )


def test_a_server_that_hangs() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        check(
            refused(f"http://127.0.0.1:{silent.getsockname()[1]}"),
            Cause.UNREACHED,
            "does not answer in time: .*timed out",
        )


def test_a_server_without_tls(web: Callable[[int], str]) -> None:
    error = refused(web(200).replace("http:", "https:"))
    check(
        error, Cause.UNREACHED, "does not speak TLS, or has a certificate .*: ", "write http:// where there is no TLS"
    )


@pytest.mark.parametrize("status", [200, 404, 405])
def test_a_web_server_that_is_no_mlflow(web: Callable[[int], str], status: int) -> None:
    check(refused(web(status)), Cause.ADDRESS, "is a web server, but not MLflow", r"\(it answers OK at /health\)")


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_or_a_proxy_that_fails(web: Callable[[int], str], status: int) -> None:
    error = refused(web(status))
    check(
        error,
        Cause.FAILING,
        f"answers with an error of its own: .*{status}",
        "look at the log of that server, and of a pro",
    )


@pytest.mark.parametrize(("status", "said"), [(401, "does not know this user"), (403, "lets this user not do this")])
def test_a_proxy_that_refuses(web: Callable[[int], str], status: int, said: str) -> None:
    check(refused(web(status)), Cause.FORBIDDEN, said)


@pytest.mark.parametrize("uri", ["htp://server", "postgresql:/server", "somewhere", "oracle://server/database"])
def test_an_address_that_is_none(uri: str) -> None:
    check(
        refused(uri), Cause.ADDRESS, "is no address of a registry: ", r"set MLFLOW_TRACKING_URI to http\(s\)://SERVER, "
    )


@pytest.mark.parametrize(
    ("uri", "module", "remedy"),
    [
        ("mysql://user:secret@127.0.0.1:9/db", "MySQLdb", r"install pymysql`, and write mysql\+pymysql://"),
        ("postgresql://user:secret@127.0.0.1:9/db", "psycopg", r"install 'psycopg\[binary\]'` \(extra postgres"),
        (
            "postgresql+psycopg2://user:secret@127.0.0.1:9/db",
            "psycopg2",
            r"install 'psycopg\[binary\]'`, and write postgresql://",
        ),
    ],
)
def test_a_database_without_its_driver(monkeypatch: pytest.MonkeyPatch, uri: str, module: str, remedy: str) -> None:
    for loaded in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    error = refused(uri)
    check(error, Cause.DRIVER, f"needs a Python package that is not installed: .*{module}", f"python -m pip {remedy}")


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


def test_a_file_that_is_no_database(database: Path) -> None:
    database.write_bytes(b"not a database at all" * 500)
    check(
        refused(f"sqlite:///{database}"), Cause.DAMAGED, "is damaged: file is not a database", "from a backup, then run"
    )


def test_a_database_that_is_cut(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 3)
    check(refused(f"sqlite:///{database}"), Cause.DAMAGED, "is damaged: database disk image is malformed", "backup")


def test_a_database_of_another_mlflow(database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as opened:
        opened.execute("update alembic_version set version_num = 'abc'")
        opened.commit()
    error = refused(f"sqlite:///{database}")
    check(
        error, Cause.SCHEMA, "is a database that another version of MLflow made: ", "backup and run `mlflow db upgrade`"
    )


def test_a_database_that_somebody_else_writes(database: Path) -> None:
    uri = f"sqlite:///{database}?timeout=0.1"
    reached = Connection(uri)
    models(reached.client)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as opened:
        opened.execute("begin exclusive")
        error = refused(uri)
    check(
        error,
        Cause.LOCKED,
        "is locked by another process that writes: ",
        "nothing was changed; wait until that is done",
    )


def test_a_folder_in_place_of_a_database(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").mkdir()
    check(
        refused(f"sqlite:///{tmp_path}/mlflow.db"),
        Cause.ADDRESS,
        "cannot be opened: ",
        r"may read and write its folder",
    )


@contextlib.contextmanager
def as_somebody_else(folder: Path) -> Iterator[None]:
    """Be a user who may not write into a folder."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        folder.chmod(0o700)
        return
    for above in [folder, *folder.parents]:
        if above != above.parent and above.stat().st_uid == 0 and str(above).startswith("/tmp/"):  # noqa: S108
            above.chmod(above.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_database_that_this_user_may_only_read(database: Path) -> None:
    uri = f"sqlite:///{database}"
    models(Connection(uri).client)
    database.chmod(0o444)
    with as_somebody_else(database.parent):
        models(Connection(uri).client)
        error = refused(uri, model)
    check(
        error,
        Cause.FORBIDDEN,
        "may only be read by this user: attempt to write a readonly database",
        "nothing was chan",
    )
    check(error, Cause.FORBIDDEN, "ask for the right to write it, or run this as a user who has it, then")


def run_of(uri: str, place: str | None) -> tuple[Connection, str]:
    reached = Connection(uri)
    experiment = reached.client.create_experiment("evergreen", artifact_location=place)
    return reached, reached.client.create_run(experiment).info.run_id


def failed(reached: Connection, do: Callable[[Any], object]) -> RegistryError:
    with pytest.raises(RegistryError) as raised, reached.reach():
        do(reached.client)
    return raised.value


def test_artifacts_that_this_user_may_not_write(database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    reached, run = run_of(f"sqlite:///{database}", folder.as_uri())
    with as_somebody_else(folder):
        error = failed(reached, lambda client: client.log_artifact(run, str(database)))
    check(
        error,
        Cause.FORBIDDEN,
        "may only be read by this user: .*Permission denied: '/",
        "what was written before that stays",
    )


@contextlib.contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond this: what a full disk is to a program."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_for_the_database(database: Path, tmp_path: Path) -> None:
    reached, run = run_of(f"sqlite:///{database}", tmp_path.as_uri())

    def fill(client: Any) -> None:
        for number in range(500):
            client.set_tag(run, f"tag{number}", "x" * 7000)

    with small_files(database.stat().st_size + 10_000):
        error = failed(reached, fill)
    check(
        error, Cause.FULL, "has no room left, or its disk fails: ", "what was written before that stays", r"\(`df -h`\)"
    )


def test_a_disk_without_room_for_artifacts(database: Path, tmp_path: Path) -> None:
    reached, run = run_of(f"sqlite:///{database}", tmp_path.as_uri())
    large = tmp_path / "large"
    large.write_bytes(b"x" * 3_000_000)
    with small_files(2_000_000):
        error = failed(reached, lambda client: client.log_artifact(run, str(large)))
    check(error, Cause.FULL, "has no room left, or its disk fails: .*File too large")


def test_a_postgresql_without_room(postgres: servers.Postgres, postgres_uri: str) -> None:
    """The error that PostgreSQL raises then, from a trigger: a disk to fill is not at hand everywhere."""
    postgres.run(
        "create function full_disk() returns trigger language plpgsql as $$ begin raise exception "
        "'could not extend file \"base/1/2\": No space left on device' using errcode = 'disk_full'; end $$",
        postgres_uri.rpartition("/")[2],
    )
    postgres.run(
        "create trigger full_disk before insert on registered_models execute function full_disk()",
        postgres_uri.rpartition("/")[2],
    )
    check(refused(postgres_uri, model), Cause.FULL, "has no room left, or its disk fails: could not extend file")


def test_a_postgresql_that_does_not_run() -> None:
    error = refused(f"postgresql://user:secret@127.0.0.1:{servers.free_port()}/mlflow")
    check(
        error,
        Cause.UNREACHED,
        r"//\*\*\*@127.0.0.1:\d+/mlflow does not answer: .*Connection refused",
        "check MLFLOW_TR",
    )


def test_a_postgresql_that_does_not_have_the_database(postgres: servers.Postgres) -> None:
    error = refused(postgres.uri("nothing"))
    check(error, Cause.GONE, 'does not have the database: .*"nothing" does not exist', r"create it \(`createdb NAME`\)")


def test_a_postgresql_that_does_not_know_the_user(postgres: servers.Postgres, postgres_uri: str) -> None:
    name = postgres_uri.rpartition("/")[2]
    error = refused(postgres.uri(name, "stranger"))
    check(error, Cause.FORBIDDEN, "does not know this user, or not this password: ", "those in MLFLOW_TRACKING_URI")
    postgres.run(f"create role {servers.LOCKED} login password 'right'")
    error = refused(postgres.uri(name, servers.LOCKED, "secret"))
    check(error, Cause.FORBIDDEN, "does not know this user, or not this password: .*password authentication failed")


def test_a_postgresql_that_this_user_may_only_read(postgres: servers.Postgres, postgres_uri: str) -> None:
    name = postgres_uri.rpartition("/")[2]
    postgres.run("create role reading login")
    uri = postgres.uri(name, "reading")
    check(refused(uri), Cause.FORBIDDEN, "may only be read by this user: permission denied for table alembic_version")
    postgres.run("grant select on all tables in schema public to reading", name)
    models(Connection(uri).client)
    error = refused(uri, model)
    check(
        error, Cause.FORBIDDEN, "may only be read by this user: permission denied for table", "nothing was changed; ask"
    )


def test_what_somebody_deleted(registry_uri: str, tmp_path: Path) -> None:
    """An experiment, a run, a version, a model: on each kind of registry, with the way back that works."""
    reached, run = run_of(registry_uri, None if "http" in registry_uri else tmp_path.as_uri())
    client = reached.client
    experiment = client.get_run(run).info.experiment_id
    client.create_registered_model("evergreen")
    client.create_model_version("evergreen", f"{client.get_run(run).info.artifact_uri}/model", run)

    client.delete_experiment(experiment)
    error = failed(reached, lambda client: client.create_run(experiment))
    way = rf"`mlflow experiments restore --experiment-id {experiment}`"
    check(
        error,
        Cause.GONE,
        "has no experiment of that number any more: somebody deleted it; MLflow does not note who",
        way,
    )
    client.restore_experiment(experiment)

    client.delete_run(run)
    error = failed(reached, lambda client: client.set_tag(run, "a", "b"))
    check(error, Cause.GONE, "has not this run any more: somebody deleted it", rf"`mlflow runs restore --run-id {run}`")
    client.restore_run(run)

    client.delete_model_version("evergreen", "1")
    error = failed(reached, lambda client: client.get_model_version("evergreen", "1"))
    check(
        error,
        Cause.GONE,
        "does not have it any more: somebody deleted it; .*not found",
        "restore it from a backup, or mo",
    )
    client.delete_registered_model("evergreen")
    error = failed(reached, lambda client: client.set_registered_model_alias("evergreen", "champion", "1"))
    check(error, Cause.GONE, "does not have it any more: somebody deleted it; .*not found")


def test_a_server_whose_database_is_away(postgres: servers.Postgres, tmp_path: Path) -> None:
    with servers.mlflow_server(postgres.create("away", "empty"), tmp_path) as address:
        models(Connection(address).client)
        postgres.drop("away")
        assert refused(address).cause in (Cause.FAILING, Cause.GONE, Cause.UNREACHED)


def test_a_user_whom_the_server_does_not_know(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    error = refused(guarded)
    check(
        error, Cause.FORBIDDEN, "does not know this user", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )
    log_in(monkeypatch, READER[0], "secret")
    check(refused(guarded), Cause.FORBIDDEN, "does not know this user, or not this password")


def test_a_user_who_may_read_a_server(guarded: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reads all, downloads all, and is told which right is missing for the rest."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    note = tmp_path / "note.txt"
    note.write_text("hello")
    log_in(monkeypatch, *ADMIN)
    reached, run = run_of(guarded, None)
    reached.client.log_artifact(run, str(note))
    reached.client.create_registered_model("evergreen")
    log_in(monkeypatch, *READER)
    client = Connection(guarded).client
    assert [one.name for one in client.search_registered_models("name='evergreen'")] == ["evergreen"]
    assert [one.info.run_id for one in client.search_runs([client.get_run(run).info.experiment_id])] == [run]
    with Connection(guarded).reach():
        path = Connection(guarded).fluent.artifacts.download_artifacts(run_id=run, artifact_path="note.txt")
    assert Path(path).read_text() == "hello"
    way = "ask for the permission EDIT on the experiment and on the registered model"
    for do in (
        lambda client: client.set_tag(run, "a", "b"),
        lambda client: client.log_artifact(run, str(note)),
        lambda client: client.set_registered_model_alias("evergreen", "champion", "1"),
    ):
        error = refused(guarded, do)
        check(error, Cause.FORBIDDEN, "lets this user not do this: ", "nothing was changed; ", way)

    grant(guarded, "experiment", client.get_run(run).info.experiment_id, "EDIT")
    grant(guarded, "registered_model", "evergreen", "EDIT")
    client.log_artifact(run, str(note))
    client.create_model_version("evergreen", f"{client.get_run(run).info.artifact_uri}/model", run)
    client.set_registered_model_alias("evergreen", "champion", "1")


@pytest.fixture
def in_s3(s3: Bucket, database: Path) -> tuple[Connection, str]:
    return run_of(f"sqlite:///{database}", s3.uri)


def test_artifacts_in_s3(in_s3: tuple[Connection, str], database: Path, tmp_path: Path) -> None:
    reached, run = in_s3
    reached.client.log_artifact(run, str(database))
    copy = reached.fluent.artifacts.download_artifacts(
        run_id=run, artifact_path="mlflow.db", dst_path=str(tmp_path / "copy"), tracking_uri=reached.uri
    )
    assert Path(copy).stat().st_size > 100_000


def test_an_s3_that_does_not_run(in_s3: tuple[Connection, str], s3: Bucket, database: Path) -> None:
    s3.stop()
    error = failed(in_s3[0], lambda client: client.log_artifact(in_s3[1], str(database)))
    check(error, Cause.UNREACHED, "keeps artifacts in an S3 that does not answer: ", "check MLFLOW_S3_ENDPOINT_URL and")


def test_an_s3_that_does_not_know_this_user(
    in_s3: tuple[Connection, str], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, run = in_s3
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_s3()
    error = failed(reached, lambda client: client.log_artifact(run, str(database)))
    check(error, Cause.FORBIDDEN, "keeps artifacts in S3, which does not know this user: Unable to locate credentials")
    check(error, Cause.FORBIDDEN, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `aws configure`, then run")


def test_an_s3_that_refuses_this_user(
    in_s3: tuple[Connection, str], database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto import settings

    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    error = failed(in_s3[0], lambda client: client.log_artifact(in_s3[1], str(database)))
    check(error, Cause.FORBIDDEN, "keeps artifacts in S3, which does not know this user: .*InvalidAccessKeyId")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist(database: Path) -> None:
    reached, run = run_of(f"sqlite:///{database}", "s3://nowhere/mlflow")
    error = failed(reached, lambda client: client.log_artifact(run, str(database)))
    check(error, Cause.GONE, "keeps artifacts in a bucket that does not exist: ", "set MLFLOW_S3_ENDPOINT_URL")


def test_an_s3_without_its_driver(s3: Bucket, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, run = run_of(f"sqlite:///{database}", s3.uri)
    monkeypatch.setitem(sys.modules, "boto3", None)
    error = failed(reached, lambda client: client.log_artifact(run, str(database)))
    monkeypatch.undo()
    check(error, Cause.DRIVER, "not installed: .*boto3", r"install boto3` \(extra s3 of pyproject.toml\)")


def test_what_was_changed_is_told_only_if_it_was(database: Path) -> None:
    reached = Connection(f"sqlite:///{database}")
    assert "nothing was changed" in str(failed(reached, lambda client: client.get_run("0" * 32)))
    assert not reached.may_have_changed
    reached.client.create_registered_model("evergreen")
    assert reached.may_have_changed
    error = failed(reached, lambda client: client.get_run("0" * 32))
    assert "nothing was changed" not in str(error)
    assert "what was written before that stays, and is not done twice" in str(error)


def test_a_change_that_got_no_answer_may_have_been_made(web: Callable[[int], str]) -> None:
    reached = Connection(web(502))
    error = failed(reached, model)
    assert "nothing was changed" not in str(error)
    assert Connection(web(502)).may_have_changed is False


def test_texts_of_ours_are_no_cause() -> None:
    """The statement that failed holds them."""
    error = ValueError("value is odd [SQL: insert 'No space left on device, database is locked']")
    assert faults.of(error).cause == Cause.UNKNOWN
    assert faults.reason(error) == "value is odd"
