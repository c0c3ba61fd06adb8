"""The one way to MLflow: its settings are the same whoever is first to go it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.registry.connection import SETTINGS, Connection

FIRST = {
    "client": "Connection(URI).client",
    "download": "Registry(params.load(ROOT / 'params.yaml', Params).resolve).download('0' * 32, 'x', '0' * 64, ROOT)",
    "fluent": "Connection(URI).fluent",
}

PROGRAM = """
import json, os, sys
from pathlib import Path
from pipeline.base import params
from pipeline.base.errors import RegistryError
from pipeline.registry.client import Registry
from pipeline.registry.connection import Connection, SETTINGS
from pipeline.settings import Params
ROOT, URI = Path(sys.argv[1]), os.environ["MLFLOW_TRACKING_URI"]
seen = {}
class Watch:
    def find_spec(self, name, *_):
        if name == "mlflow" and not seen:
            seen.update({key: os.environ.get(key) for key in SETTINGS})
sys.meta_path.insert(0, Watch())
try:
    DO
except RegistryError as error:
    print(error, file=sys.stderr)
print(json.dumps(seen))
"""


@pytest.mark.project
@pytest.mark.parametrize("way", FIRST)
def test_mlflow_is_set_up_before_it_is_imported(way: str, tmp_path: Path) -> None:
    """It reads some settings once and for all, such as that of telemetry."""
    env = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    env |= {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("DO", FIRST[way]), CHECKOUT],
        env={**env, "PYTHONPATH": str(CHECKOUT)}, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == {**SETTINGS, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}, (
        "a person's"
    )
    assert "Downloading" not in done.stderr
    assert not list(tmp_path.glob("*.db")), "MLflow made no database of its own"


def test_artifacts_lie_beside_a_database_or_where_a_person_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database does not know where, and MLflow would take the folder that it runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", raising=False)
    here = (tmp_path / "store/artifacts").as_uri()
    assert Connection(f"sqlite:///{tmp_path}/store/mlflow.db").artifact_root == here
    assert Connection("postgresql://server/mlflow").artifact_root == here
    assert Connection("https://server").artifact_root is None
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "s3://bucket/mlflow")
    assert Connection("postgresql://server/mlflow").artifact_root == "s3://bucket/mlflow"


@pytest.mark.project
def test_a_database_that_cannot_be_opened_is_not_tried_for_minutes(tmp_path: Path) -> None:
    import mlflow.store.db.utils

    assert Connection(f"sqlite:///{tmp_path}/mlflow.db").client is not None
    waits = [0.1 * (2**attempt - 1) for attempt in range(1, mlflow.store.db.utils.MAX_RETRY_COUNT)]
    assert sum(waits) < 10
