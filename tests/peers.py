"""Users, a bucket, files of limited size: what tests of real registries need besides."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from benchmarks import servers

ADMIN, READER = ("admin", "password-of-admin"), ("reader", "password-of-reader")


@contextlib.contextmanager
def guarded_server(uri: str, folder: Path) -> Iterator[str]:
    """A real MLflow server with basic auth: an admin, and a reader who may read all; its address.

    Args:
        uri: of its database.
        folder: for all else that it keeps.
    """
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    env = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test"}
    with servers.mlflow_server(uri, folder / "artifacts", "--app-name", "basic-auth", env=env) as address:
        user = dict(zip(("username", "password"), READER, strict=True))
        requests.post(f"{address}/api/2.0/mlflow/users/create", json=user, auth=ADMIN, timeout=60).raise_for_status()
        yield address


def log_in(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    """Be this user of an MLflow server from now on."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


def grant(address: str, kind: str, name: str, permission: str) -> None:
    """Let the reader do more, as an admin does it over HTTP."""
    body = {"username": READER[0], "resource_type": kind, "resource_id": name, "permission": permission}
    url = f"{address}/api/3.0/mlflow/users/permissions/grant"
    requests.post(url, json=body, auth=ADMIN, timeout=60).raise_for_status()


@dataclass
class Bucket:
    """A bucket of an S3 of this machine."""

    uri: str
    endpoint: str
    stop: Callable[[], None]


def forget_s3() -> None:
    """Let boto and MLflow ask again who we are: both remember it."""
    import boto3
    from mlflow.store.artifact import s3_artifact_repo

    boto3.DEFAULT_SESSION = None
    s3_artifact_repo._cached_get_s3_client.cache_clear()
