"""The connection to MLflow, and the one way to it: which server or database, settings, client, errors in one line."""

import contextlib
import functools
import os
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.base.errors import PipelineError, RegistryError
from pipeline.registry import faults
from pipeline.registry.faults import Cause

LOCAL_STORE = Path("store")
"""Default registry beside the project: an SQLite file and a folder of artifacts; never in Git."""

MLFLOWS_OWN = Path("mlflow.db")
"""Where MLflow's own commands look in the folder where they run, if nobody names a registry."""

SQLITE = "sqlite:///"

REPEATS = 6
"""Times that a write is tried."""

EXISTS = "RESOURCE_ALREADY_EXISTS"
GONE = "RESOURCE_DOES_NOT_EXIST"

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # its 7 take four minutes to say no
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "AWS_MAX_ATTEMPTS": "3",  # of S3
    "PGCONNECT_TIMEOUT": "10",  # of PostgreSQL, which else waits as long as the network does
}
"""What MLflow and its drivers take from the environment, unless a person set it there."""

ATTEMPTS = 6
"""How often MLflow tries to open a database, five seconds in all; its 10 take two minutes, also of a damaged file."""

READING = ("get_", "search_", "list_", "download_", "load_")
"""How the names begin of what a client can do without changing anything."""

SURELY_NOT = (Cause.FORBIDDEN, Cause.GONE, Cause.DRIVER, Cause.SCHEMA, Cause.ADDRESS, Cause.UNFIT, Cause.LOCKED)
"""Causes with which a call that should have changed something changed nothing."""


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


TAKEN = ("IntegrityError", "UniqueViolation", "UNIQUE constraint")
"""What MLflow says where another process made the same row first."""

CONFLICTS = (*TAKEN, "database is locked", "deadlock", "serialize", "Giving up after")
"""What MLflow says where two processes wrote the same at the same moment, and one of them has to do it again."""


def repeat(write: Callable[[], None]) -> None:
    """Write something that is the same however often it is written; again if another process wrote meanwhile."""
    for attempt in range(REPEATS):
        try:
            write()
            return
        except Exception as error:  # MLflow passes on what its database raised
            if attempt == REPEATS - 1 or not _says(error, CONFLICTS):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - so that two do not meet again


def _says(error: Exception, words: Sequence[str]) -> bool:
    return any(word in str(error) for word in words)


def environment() -> dict[str, str]:
    """The environment with MLflow's settings in it: of this process, and for one of MLflow's own commands."""
    return {**SETTINGS, **os.environ}


class Connection:
    """An MLflow server or database, and the one way to it. To make one costs nothing; MLflow is imported when it is
    first asked.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.may_have_changed = False
        """Whether anything was changed through this connection, as far as one can know."""

    @functools.cached_property
    def mlflow(self) -> Any:
        """The module, set up; importing it takes a second."""
        os.environ.update(environment())
        if database := self.database:
            database.parent.mkdir(parents=True, exist_ok=True)
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            link_local()
        import logging

        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if not self.is_server:
            import mlflow.store.db.utils

            mlflow.store.db.utils.MAX_RETRY_COUNT = ATTEMPTS  # there is no setting for it
        return mlflow

    @functools.cached_property
    def client(self) -> Any:
        """An `mlflow.MlflowClient`; what it is asked to change is noted."""
        # Of versions too, whatever MLFLOW_REGISTRY_URI says.
        return _Noting(self.mlflow.MlflowClient(self.uri, self.uri), self)

    @property
    def fluent(self) -> Any:
        """The module, to be used without a client: all of it works on this registry. It may change something."""
        # Else MLflow makes an empty database of its own where it stands, whatever single calls are told.
        self.mlflow.set_tracking_uri(self.uri)
        return self.mlflow

    @property
    def is_server(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def database(self) -> Path | None:
        """The SQLite file that it is; None for anything else."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    @property
    def artifact_root(self) -> str | None:
        """Where a new experiment is to keep artifacts; None for a server, which knows that.

        A database does not know it; MLflow would take the folder that it runs in.
        """
        if self.is_server:
            return None
        database = self.database
        folder = (database.resolve().parent if database else LOCAL_STORE.resolve()) / "artifacts"
        return os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT") or folder.as_uri()

    @contextlib.contextmanager
    def unless(self, code: str) -> Iterator[None]:
        """Pass over MLflow's answer of this error code: another process made or deleted the same first."""
        try:
            yield
        except self.mlflow.exceptions.MlflowException as error:
            if error.error_code != code:
                raise

    def make_model(self, name: str, description: str) -> None:
        """Make a registered model, unless it is there."""
        if not self.client.search_registered_models(f"name='{name}'"):
            with self.unless(EXISTS):
                self.client.create_registered_model(name, description=description)

    def move_alias(self, name: str, alias: str, source: int | None, target: int) -> bool:
        """Move an alias if it is where it was seen; whether it was.

        On a database it is a conditional update, or a row that nobody else can make too: nobody's move is overwritten.
        A server has no such call: there it is a look and a move, and between the two lies a moment.

        Args:
            name: of the registered model.
            alias: of one of its versions.
            source: number of the version where it was seen; None if it was nowhere.
            target: number of the version to which it moves.
        """
        try:
            if not self.is_server:
                return self._move_row(name, alias, source, target)
            models = self.client.search_registered_models(f"name='{name}'")
            if str(dict(models[0].aliases).get(alias)) != str(source):
                return False
            self.client.set_registered_model_alias(name, alias, str(target))
        except Exception as error:  # MLflow passes on what its database raised
            if not _says(error, TAKEN):
                raise
            return False
        return True

    def _move_row(self, name: str, alias: str, source: int | None, target: int) -> bool:
        """Move an alias in MLflow's table, as `move_alias` says."""
        from mlflow.store.model_registry.dbmodels.models import SqlRegisteredModelAlias as Row

        store = self.client._get_registry_client().store
        self.may_have_changed = True
        with store.ManagedSessionMaker(read_only=False) as session:
            if source is None:
                session.add(store._with_workspace_field(Row(name=name, alias=alias, version=target)))
                return True
            seen = (Row.name == name, Row.alias == alias, Row.version == source, *store._get_workspace_clauses(Row))
            return bool(session.query(Row).filter(*seen).update({"version": target}))

    @contextlib.contextmanager
    def reach(self) -> Iterator[None]:
        """Do something with MLflow.

        Raises:
            RegistryError: it does not answer, or refuses; `cause` says why.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - MLflow, SQLAlchemy, requests, boto, a missing driver
            fault = faults.of(error)
            changed = (
                "what was written before that stays, and is not done twice"
                if self.may_have_changed
                else "nothing was changed"
            )
            raise RegistryError(
                f"the MLflow registry at {shown(self.uri)} {fault.said}: {shown(faults.reason(error))}; {changed}; "
                f"{fault.remedy}, then run the same again",
                fault.cause,
            ) from None


class _Noting:
    """A client that notes in its connection whether it may have changed something."""

    def __init__(self, client: Any, connection: Connection) -> None:
        self._client, self._connection = client, connection

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name.startswith(READING) or not callable(found):
            return found

        @functools.wraps(found)
        def changing(*arguments: Any, **options: Any) -> Any:
            try:
                answer = found(*arguments, **options)
            except Exception as error:
                if faults.of(error).cause not in SURELY_NOT:
                    self._connection.may_have_changed = True
                raise
            self._connection.may_have_changed = True
            return answer

        return changing
