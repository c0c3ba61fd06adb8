"""What the tests of the registry share: a version that is made once, web servers, an S3, a server with users."""

import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import samples
from peers import Bucket, forget_s3, guarded_server
from shelves import Shelf, asked
from versions import register

from benchmarks import servers
from pipeline.artifacts.lineage import DESCRIPTION, WEIGHTS
from pipeline.base import files
from pipeline.registry import answering, packaging, proof, transitions
from pipeline.registry.client import Registry
from pipeline.settings import Params


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


@pytest.fixture(scope="session")
def shelf(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, settings: Params, draw: Callable[..., bytes]
) -> Shelf:
    from pipeline.learning import model as networks

    root = tmp_path_factory.mktemp("shelf")
    shutil.copy(empty_database, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        registry = Registry(settings.resolve)
    model = root / "model"
    description = samples.description("cat", "dog", image_shape=(16, 16, 3))
    description.write(model / "model.json")
    network = networks.build(description)
    network.get_layer("logits").bias.assign([0.0, 1.0])
    files.write_arrays(model / "weights.npz", networks.arrays(network.weights))
    served = packaging.pack(model, "key", root / "scratch")
    tags = {"run_key": "key", "sources": "s"}
    run = registry.runs.begin("key", "cycle", root / "scratch")
    source, model_id = run.log_model(served, ["keras"], {"min_probability": 0.9})
    tags |= {"served": served.digest, "min_probability": "0.9"}
    version = registry.create_version(run, source, model_id, tags, "card")
    judged = {name: files.sha256_file(model / Path(name).name) for name in (DESCRIPTION, WEIGHTS)}
    lineage = samples.lineage(model=description, files=judged)
    (download := root / "download").mkdir()
    folder, _ = answering.fetch(registry.uri, registry.name, version.number, str(download))
    pictures = [draw("PNG"), draw("JPEG", size=(30, 20)), draw("PNG", mode="L", size=(9, 40))]
    return Shelf(registry, version, lineage, asked(model, pictures), model, folder)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are asked by the same program, in this process: to load TensorFlow again takes seconds."""
    monkeypatch.setattr(proof, "in_fresh_process", answering.said)


@pytest.fixture
def fresh(
    registry_uri: str, settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Registry]:
    """Gives the same registry as another process would see it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry_uri)
    monkeypatch.setattr(transitions, "CONFIRM", 0.0)
    return lambda: Registry(settings.resolve)


@pytest.fixture
def reg(fresh: Callable[[], Registry]) -> Registry:
    """A registry with three versions."""
    made = fresh()
    for key in "abc":
        register(made, key, sources=f"data-{key}", lineage=f"lineage-{key}")
    return made


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """What code of a hostile file would make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code of a hostile file was run"
