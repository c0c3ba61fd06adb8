"""The server of a team, as `make server` starts it: PostgreSQL, S3, users; by plain commands for real."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from peers import Bucket, log_in

from benchmarks import servers
from benchmarks.workspace import CHECKOUT
from pipeline.base.errors import RegistryError
from pipeline.registry.connection import Connection
from pipeline.registry.faults import Cause

SERVER = CHECKOUT / "server"


def test_the_compose_file_is_one_and_commits_no_password() -> None:
    subprocess.run(
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", SERVER / "compose.yaml"],
        check=True,
        capture_output=True,
    )
    text = (SERVER / "compose.yaml").read_text()
    services = yaml.safe_load(text)["services"]
    assert re.fullmatch(r"postgres:\d+\.\d+", services["postgres"]["image"]), "pinned"
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-slim", (SERVER / "Dockerfile").read_text(), re.M)
    assert all("healthcheck" in service for service in services.values())
    for name in ("POSTGRES_PASSWORD", "ADMIN_PASSWORD", "SECRET_KEY"):
        assert f"${{{name}:?" in text, "without one it does not start"
    tracked = subprocess.run(["git", "ls-files", "server"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert "server/.env" not in tracked.stdout.split()
    assert subprocess.run(["git", "check-ignore", "-q", "server/.env"], cwd=CHECKOUT, check=False).returncode == 0


def test_the_image_has_what_the_lock_file_pins() -> None:
    lock = dict(re.findall(r"^([\w-]+)==([^ ;\\]+)", (CHECKOUT / "requirements.lock").read_text(), re.M))
    pins = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==(.+)$", (SERVER / "requirements.txt").read_text(), re.M))
    assert pins.keys() == {"boto3", "flask-wtf", "mlflow", "psycopg"}
    assert pins == {name: lock[name] for name in pins}


def copied(folder: Path) -> Path:
    folder.mkdir()
    for path in SERVER.iterdir():
        if path.name != ".env":
            shutil.copy(path, folder / path.name)
    return folder


def test_without_postgresql_or_docker_it_says_what_to_do(tmp_path: Path) -> None:
    folder = copied(tmp_path / "server")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "readlink", "tail", "ls", "od", "tr", "cat", "id", "mkdir", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))
    script = folder / "run"
    script.write_text(script.read_text().replace("/usr/lib/postgresql", str(tmp_path / "none")))
    for way, said in (
        (
            "--plain",
            r"server: error: no PostgreSQL on this machine; install it \(Debian and Ubuntu: sudo apt-get install",
        ),
        ("--docker", r"server: error: no Docker engine answers; start it, or use plain commands: server/run --plain"),
    ):
        done = subprocess.run(
            [script, way], env={"PATH": str(tools)}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert re.search(said, done.stderr), done
    help_ = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert "example: PORT=5001 server/run --plain" in help_.stdout
    assert subprocess.run([script, "--dokcer"], capture_output=True, check=False).returncode == 2


@pytest.fixture
def team(tmp_path: Path, s3: Bucket) -> Iterator[tuple[str, str]]:
    """A server by plain commands, artifacts in S3; its address and the admin's password."""
    folder, port = copied(tmp_path / "server"), servers.free_port()
    data = servers.short_folder()
    env = {
        **os.environ, "SERVER_DATA": str(data), "PORT": str(port), "POSTGRES_PORT": str(servers.free_port()),
        "ARTIFACTS": s3.uri,
    }  # fmt: skip
    with open(tmp_path / "log", "wb") as log:
        running = subprocess.Popen([folder / "run", "--plain"], env=env, stdout=log, stderr=log, start_new_session=True)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
    try:
        while True:
            try:
                requests.get(f"{address}/health", timeout=5)
                break
            except requests.ConnectionError:
                assert running.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.3)
        assert (folder / ".env").stat().st_mode & 0o777 == 0o600
        yield address, re.findall(r"^ADMIN_PASSWORD=(\w{48})$", (folder / ".env").read_text(), re.M)[0]
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, (tmp_path / "log").read_text()
        left = subprocess.run(["pgrep", "-f", str(data)], capture_output=True, text=True, check=False).stdout
        shutil.rmtree(data)
        assert left == "", "nothing outlives it"


@pytest.mark.project
@pytest.mark.postgres
def test_a_team_works_with_it(team: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    address, password = team
    create = f"{address}/api/2.0/mlflow/users/create"
    for user in ("ci", "reader"):
        body = {"username": user, "password": f"password-of-{user}"}
        requests.post(create, json=body, auth=("admin", password), timeout=60).raise_for_status()

    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_S3"))]:
        monkeypatch.delenv(name)  # only the server knows of S3
    log_in(monkeypatch, "ci", "password-of-ci")
    client = Connection(address).client
    run = client.create_run(client.create_experiment("evergreen"))
    note = tmp_path / "note.txt"
    note.write_text("hello")
    client.log_artifact(run.info.run_id, str(note))
    client.create_registered_model("evergreen")
    client.create_model_version("evergreen", f"{run.info.artifact_uri}/model", run.info.run_id)
    client.set_registered_model_alias("evergreen", "champion", "1")

    log_in(monkeypatch, "reader", "password-of-reader")
    reached = Connection(address)
    assert reached.client.get_model_version_by_alias("evergreen", "champion").version == "1"
    path = reached.fluent.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="note.txt")
    assert Path(path).read_text() == "hello"
    with pytest.raises(RegistryError, match="lets this user not do this") as raised, reached.reach():
        reached.client.set_registered_model_alias("evergreen", "champion", "1")
    assert raised.value.cause == Cause.FORBIDDEN
