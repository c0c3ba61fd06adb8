"""`python -m pipeline ui`: a server that answers before its links are printed, and every reason why none does."""

import os
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from project import Project
from versions import register

from benchmarks.servers import free_port
from benchmarks.workspace import CHECKOUT
from pipeline import __main__ as command
from pipeline.base.errors import PipelineError, RegistryError
from pipeline.commands import ui
from pipeline.registry import pages
from pipeline.registry.client import Registry
from pipeline.registry.connection import SETTINGS
from pipeline.settings import Params

QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""A server that does not answer is not asked again."""


@contextmanager
def started(root: Path, *words: str, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own; ended with all that it started."""
    running = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "ui", *words], cwd=root, env={**os.environ, **env},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def listeners(port: int) -> set[str]:
    """Addresses that something listens on at this port."""
    return {
        connection.laddr.ip
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_once_the_server_answers_the_links_are_printed_and_it_ends_when_told(project: Project, number: int) -> None:
    port = free_port()
    with started(project.root, "--port", str(port), **project.space.env) as running:
        assert running.stdout is not None
        told = [running.stdout.readline() for _ in range(4)]
        assert told == [
            "ui: evergreen has no version yet and no run; `dvc repro` makes them\n",
            "ui: starting MLflow (some seconds)\n",
            f"ui: registry: http://127.0.0.1:{port}/#/models?workflowType=machine_learning\n",
            "ui: Ctrl-C ends it; what MLflow says is in data/scratch/ui.log\n",
        ]
        assert listeners(port) == {"127.0.0.1"}
        running.send_signal(number)
        assert running.wait(60) == 0
        assert running.stdout.read() == "", "no line of MLflow's, and no traceback"
    until = time.monotonic() + 10
    while listeners(port):
        assert time.monotonic() < until, "it lives on"
        time.sleep(0.1)
    assert "Uvicorn running" in (project.root / "data/scratch/ui.log").read_text()


def test_a_server_has_one_worker_and_the_settings_of_all_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Started:
        pid = 0

        def __init__(self, words: list[str], env: Mapping[str, str], **_: object) -> None:
            given.update(words=words, env=env)

        def wait(self) -> int:
            return 0

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", "/elsewhere")
    monkeypatch.setenv("MLFLOW_REGISTRY_STORE_URI", "sqlite:///another.db")
    monkeypatch.setattr(ui.subprocess, "Popen", Started)
    monkeypatch.setattr(ui.os, "killpg", lambda *_: None)
    with ui._serving("postgresql://user:secret@host/mlflow", 5001, tmp_path / "scratch/ui.log"):
        pass
    assert {key: given["env"][key] for key in SETTINGS} == {**SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT": "7"}
    assert given["env"]["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert given["env"]["MLFLOW_REGISTRY_STORE_URI"] == given["env"]["MLFLOW_BACKEND_STORE_URI"]
    assert "MLFLOW_STATIC_PREFIX" not in given["env"]
    assert given["words"][-6:] == ["--host", "127.0.0.1", "--port", "5001", "--workers", "1"]
    assert "secret" not in " ".join(given["words"]), "everybody on the machine can read the arguments"


def test_a_port_that_is_taken_is_refused_and_without_one_the_next_is_taken(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = project.call("ui", "--port", str(port))
        monkeypatch.setattr(ui, "FIRST_PORT", port)
        monkeypatch.setattr(ui, "LAST_PORT", port)
        with pytest.raises(PipelineError, match=r"ports \d+ to \d+ of 127.0.0.1 are all taken; .* --port PORT"):
            ui._free_port()
        monkeypatch.setattr(ui, "LAST_PORT", port + 50)
        assert port < ui._free_port() <= port + 50
    assert refused.code == 1
    assert f"port {port} of 127.0.0.1 cannot be used: it is taken; expected a free one; give another" in refused.error
    assert ui._checked(port) == port


def test_a_registry_that_is_not_there_or_of_a_newer_mlflow_is_refused(project: Project) -> None:
    database = project.root / "store/mlflow.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("update alembic_version set version_num = 'ffffffffffff'")
        connection.commit()
    newer = project.call("ui")
    assert newer.code == 5
    assert "is a database that another version of MLflow made" in newer.error
    database.unlink()
    none = project.call("ui")
    assert none.code == 5
    assert "there is no registry at" in none.error
    assert not database.exists(), "MLflow would make an empty one"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('INFO: begins'); print('ValueError: no such thing'); print('INFO: ends')", "ValueError: no such thing"),
        ("print('last word')", "last word"),
        ("pass", "without a word"),
    ],
    ids=["error", "last word", "nothing"],
)
def test_a_server_that_ends_by_itself_is_told_of_with_its_last_words(tmp_path: Path, program: str, said: str) -> None:
    log = tmp_path / "ui.log"
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-c", program], stdout=sink, start_new_session=True)
    server = ui._Server(process, log)
    assert not server.answers(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RegistryError, match=f"MLflow's server ended by itself: {said}; expected .*; see .*ui.log"):
        server.wait()
    server.end()
    assert server.wait() == 0, "whoever ended it knows why"


def test_a_server_that_does_not_answer_in_time_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "PATIENCE", 0.2)
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    server = ui._Server(process, tmp_path / "ui.log")
    with pytest.raises(RegistryError, match=r"does not answer within 0 s; expected it at http.*; see .*ui.log"):
        server.answers(f"http://127.0.0.1:{free_port()}")
    server.end()
    assert server.wait() == 0


def browser(folder: Path) -> tuple[str, Path]:
    """A browser, as BROWSER names it, and the file into which it writes what it opens."""
    script, opened = folder / "browser", folder / "opened"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {shlex.quote(str(opened))}\n')
    script.chmod(0o755)
    return f"{script} %s", opened


@pytest.mark.postgres
def test_a_server_has_the_ui_and_its_links_are_printed(
    mlflow_server: str, settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    name, opened = browser(tmp_path)
    address = mlflow_server.replace("http://", "http://user:secret@")
    env = {**os.environ, "MLFLOW_TRACKING_URI": address, "BROWSER": name, "PYTHONPATH": str(CHECKOUT)}

    def said(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "ui", *words], env=env, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return done.stdout.replace(f"{mlflow_server}/", "AT/")

    there = "ui: the registry is a server with a UI of its own: "
    assert said().splitlines()[1:] == [
        "ui: evergreen has no version yet and no run; `dvc repro` makes them",
        "ui: registry: AT/#/models?workflowType=machine_learning",
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    registry = Registry(settings.resolve)
    registry.runs.begin("key", "cycle", tmp_path)
    experiment = registry.runs.experiment()
    assert said().splitlines()[1:] == [
        "ui: evergreen has no version yet; its runs are there",
        f"ui: runs: AT/#/experiments/{experiment}/runs?workflowType=machine_learning",
    ]
    pages.finish(registry, register(registry, "key", tmp_path), "v1 promote 90.0 %")
    shown = said("--open")
    assert shown.splitlines()[1:] == [
        "ui: versions: AT/#/models/evergreen?workflowType=machine_learning",
        f"ui: runs: AT/#/experiments/{experiment}/runs?viewStateShareKey=evergreen&workflowType=machine_learning",
    ]
    assert shown.startswith(there)
    assert "secret" not in shown
    until = time.monotonic() + 10
    while not opened.is_file() or not opened.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert opened.read_text() == f"{mlflow_server}/#/models/evergreen?workflowType=machine_learning"


def test_the_link_to_a_server_that_does_not_answer_here_is_printed_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A browser may be let in where this process is not."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{free_port()}/mlflow")
    monkeypatch.setattr(ui.webbrowser, "open", lambda _: False)
    assert command.main(["ui", "--open"]) == 0
    shown, warned = capsys.readouterr()
    assert "/mlflow/#/models/evergreen?workflowType=machine_learning" in shown
    assert "warning: no browser was found to open; expected one" in shown
    assert "does not answer" in warned
    assert warned.count("\n") == 1
    assert "secret" not in shown + warned
