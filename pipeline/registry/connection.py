"""The connection to MLflow: which server or database, its client, and its errors in one line."""

import contextlib
import functools
import os
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline.base.errors import PipelineError, RegistryError, one_line

LOCAL_STORE = Path("store")
"""Default registry beside the project: an SQLite file and a folder of artifacts; never in Git."""

MLFLOWS_OWN = Path("mlflow.db")
"""Where MLflow's own commands look in the folder where they run, if nobody names a registry."""

SQLITE = "sqlite:///"

REPEATS = 6
"""Times that a write is tried."""

SILENT = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "ENDPOINT_NOT_FOUND")
"""What MLflow has an error code for, it has understood; these are a connection, a disk or a driver."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or an SQLite file in `store/`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{(LOCAL_STORE / 'mlflow.db').resolve()}"


def link_local() -> None:
    """Let MLflow's own commands find the default registry: `mlflow models serve` in the project's folder."""
    LOCAL_STORE.mkdir(exist_ok=True)
    # Where no link can be made, a cycle needs none; what is there already is looked at below.
    with contextlib.suppress(FileExistsError, PermissionError, NotImplementedError):
        MLFLOWS_OWN.symlink_to(LOCAL_STORE / "mlflow.db")
    if not MLFLOWS_OWN.is_symlink() and MLFLOWS_OWN.exists():
        print(
            f"warning: {MLFLOWS_OWN} is not the registry, which is {LOCAL_STORE}/mlflow.db, and MLflow's own commands "
            f"take it for that; if nothing in it is of use, `rm {MLFLOWS_OWN}` once, and they find the registry"
        )


def shown(text: str) -> str:
    """A URI, or a text with one, without the password that it may carry."""
    return re.sub(r"//[^/@\s]+@", "//***@", text)


CONFLICTS = ("IntegrityError", "UniqueViolation", "UNIQUE constraint", "database is locked", "deadlock", "serialize")
"""What MLflow says where two processes wrote the same at the same moment, and one of them has to do it again."""


def repeat(write: Callable[[], None]) -> None:
    """Write something that is the same however often it is written; again if another process wrote meanwhile."""
    for attempt in range(REPEATS):
        try:
            write()
            return
        except Exception as error:  # MLflow passes on what its database raised
            if attempt == REPEATS - 1 or not any(word in str(error) for word in CONFLICTS):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - so that two do not meet again


class Connection:
    """An MLflow server or database. To make one costs nothing; MLflow is imported when it is first asked."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @functools.cached_property
    def client(self) -> Any:
        """An `mlflow.MlflowClient`; importing MLflow takes a second."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its 7 take minutes to say no
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        if database := self.database:
            database.parent.mkdir(parents=True, exist_ok=True)
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            link_local()
        import logging

        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        return mlflow.MlflowClient(self.uri, self.uri)  # of versions too, whatever MLFLOW_REGISTRY_URI says

    @property
    def database(self) -> Path | None:
        """The SQLite file that it is; None for anything else."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    @contextlib.contextmanager
    def reach(self) -> Iterator[None]:
        """Do something with MLflow.

        Raises:
            RegistryError: it does not answer, or refuses.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - MLflow, SQLAlchemy, requests, a missing driver
            reason = shown(one_line(error))[:300]
            is_silent = getattr(error, "error_code", SILENT[0]) in SILENT
            raise RegistryError(
                f"the MLflow registry at {shown(self.uri)} {'does not answer' if is_silent else 'refused'}: {reason}; "
                "nothing was changed; check MLFLOW_TRACKING_URI and that the server runs, then run the same again"
            ) from None
