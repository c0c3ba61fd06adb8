"""Users, a bucket, files of limited size: what tests of real registries need besides."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

ADMIN, READER = ("admin", "password-of-admin"), ("reader", "password-of-reader")


def log_in(monkeypatch: pytest.MonkeyPatch, user: str, password: str) -> None:
    """Be this user of an MLflow server from now on."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)


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
