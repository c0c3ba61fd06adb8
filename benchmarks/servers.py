"""Servers for tests and benchmarks: a throw-away PostgreSQL, a real MLflow server; each ends after its use."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

INSTALL = "install it (Debian and Ubuntu: `sudo apt-get install postgresql`)"
"""What to do on a machine without PostgreSQL."""

USER = "evergreen"

LOCKED = "locked"
"""A role that needs its password, if somebody makes it."""


def free_port() -> int:
    """A TCP port of this machine that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def programs() -> Path | None:
    """The folder with PostgreSQL's programs, the newest that is installed; Debian has it off PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    return versions[-1].parent if versions else None


def short_folder() -> Path:
    """A new folder whose path is short, and which PostgreSQL may enter whoever runs this: it does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL that trusts everybody on this machine."""

    port: int
    process: "subprocess.Popen[bytes]"

    def uri(self, database: str = "postgres", user: str = USER, password: str = "secret") -> str:  # noqa: S107
        """Where MLflow finds a database; the password is looked at for the role `LOCKED` only."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """A new database, a copy of another one to which nobody is connected; its URI."""
        self.run(f'CREATE DATABASE "{database}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        return self.uri(database)

    def drop(self, database: str) -> None:
        """Take a database away, whoever is connected to it."""
        self.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement by itself; its rows."""
        import psycopg

        with psycopg.connect(self.uri(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A throw-away PostgreSQL: a folder of its own below /tmp, a free port, nothing waits for the disk.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    bin_folder = programs()
    if bin_folder is None:
        raise FileNotFoundError(f"no PostgreSQL on this machine; {INSTALL}")
    # PostgreSQL refuses to run as root, and its socket's path must be short.
    user = "postgres" if os.getuid() == 0 else None
    folder, port = short_folder(), free_port()
    try:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        subprocess.run(
            [bin_folder / "initdb", "--pgdata", data, "--username", USER, "--auth=trust", "--no-sync",
             "--encoding=UTF8", "--locale=C"],
            check=True, capture_output=True, user=user, cwd=folder,
        )  # fmt: skip
        # Nobody else needs a password; MLflow's errors about one are tried with this role.
        hba = data / "pg_hba.conf"
        hba.write_text(f"host all {LOCKED} 127.0.0.1/32 scram-sha-256\n{hba.read_text()}")
        options = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": 200,
        }
        words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, *words],
                stdout=log, stderr=log, user=user, cwd=folder, start_new_session=True,
            )  # fmt: skip
        try:
            _wait(process, lambda: socket.create_connection(("127.0.0.1", port), 1).close(), folder / "log")
            yield Postgres(port, process)
        finally:
            process.send_signal(signal.SIGINT)  # "fast": it does not wait for who is connected
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mlflow_server(
    uri: str, artifacts: Path | str, *arguments: str, env: Mapping[str, str] | None = None, workers: int = 1
) -> Iterator[str]:
    """A real `mlflow server`; its address.

    Args:
        uri: of its database.
        artifacts: folder or address where it keeps artifacts; clients get them through it.
        arguments: more of `mlflow server`.
        env: more of the environment.
        workers: processes that answer.
    """
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with tempfile.NamedTemporaryFile(prefix="mlflow-", suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
             "--workers", str(workers), "--backend-store-uri", uri, "--artifacts-destination", str(artifacts),
             *arguments],
            stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **quiet, **(env or {})},
        )  # fmt: skip
        _SERVERS[address] = process.pid
        try:
            health = f"{address}/health"
            _wait(process, lambda: urllib.request.urlopen(health, timeout=5).close(), Path(log.name))  # noqa: S310
            yield address
        finally:
            signal_group(address, signal.SIGTERM)
            process.wait(30)


_SERVERS: dict[str, int] = {}
"""Process groups of MLflow servers by address."""


def signal_group(address: str, number: signal.Signals) -> None:
    """Send a signal to an MLflow server of this process and to all its workers, if they are there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(_SERVERS[address], number)


def _wait(process: "subprocess.Popen[bytes]", ask: Callable[[], None], log: Path) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: it ended, or did not answer in two minutes.
    """
    deadline = time.monotonic() + 120
    while True:
        try:
            ask()
            return
        except urllib.error.HTTPError:  # it answers, if only to say who may ask
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not answer: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
