"""What the tests of the registry share: web servers, an S3, an MLflow server with users."""

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peers import Bucket, forget_s3, guarded_server

from benchmarks import servers


@pytest.fixture
def web() -> Iterator[Callable[[int], str]]:
    """Web servers that are no MLflow: each answers everything with one status and a page."""
    running = []

    def made(status: int) -> str:
        class Page(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"<html>a page</html>")

            do_GET = do_POST = answer  # noqa: N815 - the name that the library calls

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield made
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """A real MLflow server with basic auth: an admin, and a reader who may read all; its address."""
    folder = tmp_path_factory.mktemp("guarded")
    database = folder / "mlflow.db"
    database.write_bytes(empty_database.read_bytes())
    with guarded_server(f"sqlite:///{database}", folder) as address:
        yield address


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """An S3 with an empty bucket, and the environment that MLflow needs for it."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=servers.free_port(), verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server._port}"
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_s3()
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="images")
    yield Bucket("s3://images/mlflow", endpoint, server.stop)
    forget_s3()
    server.stop()
