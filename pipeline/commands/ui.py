"""Open the MLflow UI on the registry."""

import argparse
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from pipeline.base import params as parameters
from pipeline.base import project
from pipeline.base.errors import PipelineError, RegistryError
from pipeline.base.paths import Paths
from pipeline.registry import links, pages, view
from pipeline.registry.client import Registry
from pipeline.registry.connection import environment, shown
from pipeline.settings import Params

EXAMPLE = "python -m pipeline ui --open"

HOST = "127.0.0.1"

FIRST_PORT, LAST_PORT = 5000, 5099
"""Of which the first free one is taken where nobody names a port."""

PATIENCE = 180.0
"""Seconds that the server has to answer: it takes some five, on a machine that does much else a minute."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--port",
        type=_port,
        metavar="PORT",
        help=f"TCP port on {HOST} (default: the first free one from {FIRST_PORT} on)",
    )
    parser.add_argument("--open", dest="is_opened", action="store_true", help="open the versions in the browser, too")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a number from 1 to 65535")
    return int(text)


def run(port: int | None, is_opened: bool, params: Path) -> int:
    """Open the MLflow UI on the registry: the links to its versions and runs, once it answers."""
    registry = Registry.existing(parameters.load(params, Params).resolve)
    if registry.connection.is_server:
        print(f"ui: the registry is a server with a UI of its own: {shown(registry.uri)}", flush=True)
        try:
            found = _pages(registry)
        except RegistryError as error:  # a browser may be let in where this process is not
            found = [("versions", links.model(registry.name))]
            print(f"ui: warning: {error}", file=sys.stderr, flush=True)
        _tell(registry.uri, found, is_opened)
        return 0
    found = _pages(registry)
    chosen = _free_port() if port is None else _checked(port)
    with _serving(registry.uri, chosen, Paths().scratch / "ui.log") as server:
        address = f"http://{HOST}:{chosen}"
        if server.answers(address):
            _tell(address, found, is_opened)
            print(f"ui: Ctrl-C ends it; what MLflow says is in {server.log}", flush=True)
        return server.wait()


def _pages(registry: Registry) -> list[tuple[str, str]]:
    """What there is to look at, the first thing first: what it is, and the link to it."""
    experiment = registry.runs.experiment()
    has_version = bool(registry.all(at_most=1))
    found = [("versions", links.model(registry.name))] if has_version else []
    if experiment:
        found.append(("runs", links.runs(experiment, view.KEY if pages.has_view(registry) else "")))
    if not has_version:
        told = "; its runs are there" if experiment else " and no run; `dvc repro` makes them"
        print(f"ui: {registry.name} has no version yet{told}", flush=True)
    return found or [("registry", "#/models")]


def _tell(server: str, found: list[tuple[str, str]], is_opened: bool) -> None:
    """Print the address of each page, and open the first."""
    for what, link in found:
        print(f"ui: {what}: {links.at(server, link)}", flush=True)
    address = links.at(server, found[0][1])
    if is_opened and not webbrowser.open(address):
        print("ui: warning: no browser was found to open; expected one (BROWSER names it); open the address above")


def _checked(port: int) -> int:
    """The port that a person asks for.

    Raises:
        PipelineError: something listens there, or this user may not.
    """
    if fault := _fault(port):
        raise PipelineError(
            f"port {port} of {HOST} cannot be used: {fault}; expected a free one; give another one, or leave it out: "
            f"then it is the first free one from {FIRST_PORT} on"
        )
    return port


def _free_port() -> int:
    """The first port that nobody listens on.

    Raises:
        PipelineError: there is none.
    """
    for port in range(FIRST_PORT, LAST_PORT + 1):
        if not _fault(port):
            return port
    raise PipelineError(
        f"ports {FIRST_PORT} to {LAST_PORT} of {HOST} are all taken; expected a free one; name one: --port PORT"
    )


def _fault(port: int) -> str:
    """Why nothing new can listen on a port; empty if it can."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a port just left is free
        try:
            tried.bind((HOST, port))
        except OSError as error:
            return "it is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ""


class _Server:
    """MLflow's server, in a group of processes of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.log = log
        self._process = process
        self._is_asked = False
        """Whether somebody ended it."""

    def end(self, *_: object) -> None:
        """End it with all that it started; nothing if it is over."""
        self._is_asked = True
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def answers(self, address: str) -> bool:
        """Wait until it answers; False if it is over before that.

        Raises:
            RegistryError: it does not answer in time.
        """
        until = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            with suppress(OSError, HTTPException), urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
            if time.monotonic() > until:
                raise RegistryError(
                    f"MLflow's server does not answer within {PATIENCE:.0f} s; expected it at {address}; see {self.log}"
                )
            time.sleep(0.1)
        return False

    def wait(self) -> int:
        """Wait for its end: 0.

        Raises:
            RegistryError: nobody asked for that.
        """
        self._process.wait()
        if self._is_asked:
            return 0
        raise RegistryError(
            f"MLflow's server ended by itself: {_last_words(self.log)}; expected it to go on until Ctrl-C; see "
            f"{self.log}, then run the same again"
        )


@contextmanager
def _serving(uri: str, port: int, log: Path) -> Iterator[_Server]:
    """MLflow's server on a database, which ends with this."""
    settings = {
        "MLFLOW_BACKEND_STORE_URI": uri,  # not among the arguments, which everybody on the machine can read
        "MLFLOW_REGISTRY_STORE_URI": uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # processes that a review does not need
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    env = {name: value for name, value in environment().items() if name != "MLFLOW_STATIC_PREFIX"} | settings
    log.parent.mkdir(parents=True, exist_ok=True)
    print("ui: starting MLflow (some seconds)", flush=True)
    with log.open("wb") as sink:  # its lines would bury the links
        process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    server = _Server(process, log)
    # A terminal tells only its own group of processes: the server hears of it here.
    before = {number: signal.signal(number, server.end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield server
    finally:
        server.end()
        process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _last_words(log: Path) -> str:
    """What a server said at its end, on one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\w*(Error|Exception)\b|error", line)]
    return shown(" ".join((told or lines or ["without a word"])[-1].split())[:300])
