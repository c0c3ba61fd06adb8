"""The model registry: runs, versions and the champion's alias. Home of MLflow."""

import contextlib
import functools
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base import files, process
from pipeline.base.errors import PipelineError, RegistryError
from pipeline.data import ledger
from pipeline.registry.settings import RegisteredModel

if TYPE_CHECKING:
    import polars as pl

LOCAL_STORE = Path("store")
"""Default registry beside the project: an SQLite file and a folder of artifacts; never in Git."""

LEDGER = "ledger/ledger.parquet"
"""Run artifact: see `pipeline.data.ledger`."""

LINEAGE = "lineage/lineage.json"
"""Run artifact, uploaded last: a run that has one is whole."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model, as far as a cycle needs to know it."""

    number: int
    run_id: str
    tags: Mapping[str, str]

    @property
    def run_key(self) -> str:
        """Hash of everything that determines the model: dataset, parent, params, code."""
        return self.tags.get("evergreen.run_key", "")

    @property
    def parent(self) -> int | None:
        """Number of the version that it was trained from."""
        return int(self.tags["evergreen.parent"]) if self.tags.get("evergreen.parent") else None

    @property
    def rival(self) -> int | None:
        """Number of the champion that it was judged against."""
        return int(self.tags["evergreen.rival"]) if self.tags.get("evergreen.rival") else None


class Registry:
    """One registered model in one MLflow server or database.

    Every method raises RegistryError where MLflow does not answer; no answer is never 'no champion'.
    """

    def __init__(self, settings: RegisteredModel, memory: Path | None = None) -> None:
        """The registry that `MLFLOW_TRACKING_URI` names.

        Args:
            settings: section `resolve` of params.yaml.
            memory: file for answers that hold as long as the database file is what it was; only for
                a caller that changes nothing. Importing MLflow takes longer than all else in a no-op.
        """
        self.name = settings.registered_model
        self.alias = settings.alias
        self.uri = tracking_uri()
        self._memory = Memory(memory, self.uri) if memory else None

    @functools.cached_property
    def _client(self) -> Any:
        """MLflow takes a second to import: only where the registry is really asked."""
        return _client(self.uri)

    def champion(self) -> Version | None:
        """The version under the alias; None if the registry answers that there is none."""

        def ask() -> str | None:
            # A list that is empty is an answer; 'not found' may come from any web server.
            found = self._client.search_registered_models(f"name='{self.name}'")
            return found[0].aliases.get(self.alias) if found else None

        number = self._remembered(["champion", self.name, self.alias], ask)
        return self.version(int(number)) if number else None

    def version(self, number: int) -> Version:
        """A version by its number."""

        def ask() -> list[Any]:
            return _plain(self._client.get_model_version(self.name, str(number)))

        return Version(*self._remembered(["version", self.name, number], ask))

    def _remembered(self, question: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer as a JSON value."""
        if self._memory is None:
            with self._reach():
                return ask()

        def reach() -> Any:
            with self._reach():
                return ask()

        return self._memory.recall(question, reach)

    def newest(self, **tags: str) -> Version | None:
        """The newest version that carries all these tags (without their prefix)."""
        return next(iter(self.all(at_most=1, **tags)), None)

    def newest_whole(self) -> Version | None:
        """The newest version that Evergreen registered to the end: `annotate` sets the tag sources last."""
        return next(iter(self._listed(["tag.`evergreen.sources` LIKE '%'"], 1)), None)

    def all(self, at_most: int = 1000, **tags: str) -> list[Version]:
        """Versions that carry all these tags (without their prefix), newest first."""
        return self._listed([f"tag.`evergreen.{key}`='{value}'" for key, value in tags.items()], at_most)

    def _listed(self, conditions: list[str], at_most: int) -> list[Version]:
        """Versions that meet all these conditions, newest first."""
        conditions = [f"name='{self.name}'", *conditions]

        def ask() -> list[list[Any]]:
            found = self._client.search_model_versions(
                " and ".join(conditions), order_by=["version_number DESC"], max_results=at_most
            )
            return [_plain(version) for version in found]

        return [Version(*fields) for fields in self._remembered(["all", conditions, at_most], ask)]

    def lineage(self, version: Version, objects: Path) -> dict[str, Any]:
        """What a version was made from; `files` lists its artifacts with their SHA-256."""
        if "evergreen.lineage" not in version.tags:
            raise RegistryError(
                f"{self.name} v{version.number} was not registered by Evergreen (no tag evergreen.lineage); move the "
                f"alias {self.alias} to a version that was, or choose another resolve.registered_model"
            )
        content: dict[str, Any] = files.read_json(
            self.download(version.run_id, LINEAGE, version.tags["evergreen.lineage"], objects)
        )
        return content

    def download(self, run_id: str, artifact: str, sha256: str, objects: Path) -> Path:
        """A run's artifact as a local file, checked; kept in `objects` under its SHA-256.

        Raises:
            RegistryError: it is not there, or its bytes are not those that were registered.
        """
        kept = objects / sha256
        if kept.is_file() and files.sha256_file(kept) == sha256:
            return kept
        import tempfile

        import mlflow

        # Else MLflow makes an empty database of its own where it stands, whatever it is told below.
        mlflow.set_tracking_uri(self.uri)
        with tempfile.TemporaryDirectory() as folder, self._reach():
            path = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=artifact, dst_path=folder, tracking_uri=self.uri
            )
            content = Path(path).read_bytes()
        if files.sha256(content) != sha256:
            raise RegistryError(
                f"{artifact} of run {run_id} is damaged: SHA-256 {files.sha256(content)}, registered as {sha256}; "
                "restore it from a backup, or move the alias to another version"
            )
        files.write(kept, content)
        return kept

    def parents_ledger(
        self, pinned: Mapping[str, Any], objects: Path, columns: Sequence[str] = ledger.COLUMNS
    ) -> "pl.DataFrame":
        """The ledger that the pinned parent's cycle left, or some columns of it; empty without a parent."""
        if not pinned["version"]:
            return ledger.empty().select(columns)
        sha256 = pinned["lineage"]["files"][LEDGER]
        return files.read_table(self.download(pinned["run_id"], LEDGER, sha256, objects), columns)

    def elders_ledger(self, pinned: Mapping[str, Any], objects: Path) -> "pl.DataFrame":
        """The ledger of the version that the pinned parent names as its elder; empty without one."""
        elder = pinned.get("elder")
        if not elder:
            return ledger.empty()
        return files.read_table(self.download(elder["run_id"], LEDGER, elder["ledger"], objects))

    def run(self, run_key: str, name: str) -> "Run":
        """The run of this key, or a new one: the same inputs never make two."""
        with self._reach():
            experiment = self._client.get_experiment_by_name(self.name)
            experiment_id = experiment.experiment_id if experiment else self._create_experiment()
            found = self._client.search_runs([experiment_id], f"tags.`evergreen.run_key` = '{run_key}'", max_results=1)
            if found:
                self._client.update_run(found[0].info.run_id, status="RUNNING")
                self._client.set_tag(found[0].info.run_id, "evergreen.owner", process.owner())
                return Run(self, found[0].info.run_id)
            tags = {
                "evergreen.run_key": run_key,
                "evergreen.owner": process.owner(),
                "mlflow.source.name": "dvc repro",
                "mlflow.source.type": "PROJECT",
            }
            created = self._client.create_run(experiment_id, tags=tags, run_name=name)
            return Run(self, created.info.run_id)

    def reap(self) -> int:
        """Mark runs as killed whose process on this machine is gone without a word (SIGKILL); how many."""
        with self._reach():
            experiment = self._client.get_experiment_by_name(self.name)
            running = "attributes.status = 'RUNNING' and tags.`evergreen.owner` LIKE '%'"
            found = self._client.search_runs([experiment.experiment_id], running) if experiment else []
            gone = [run.info.run_id for run in found if process.is_gone(run.data.tags["evergreen.owner"])]
            for run_id in gone:
                self._client.set_terminated(run_id, "KILLED")
        return len(gone)

    def _create_experiment(self) -> str:
        # A server knows where its artifacts go; a local database would use the folder it runs in.
        database = self.uri.removeprefix("sqlite:///") if self.uri.startswith("sqlite:///") else None
        place = (Path(database).resolve().parent / "artifacts").as_uri() if database else None
        return str(self._client.create_experiment(self.name, artifact_location=place))

    def register(
        self,
        run: "Run",
        package: Path,
        tags: Mapping[str, str],
        requirements: Sequence[str],
        describe: str,
    ) -> Version:
        """Make a version of a run's model; a run key that has one already keeps it.

        Args:
            run: which.
            package: folder with what `pipeline.serving` loads.
            tags: without their prefix; must hold run_key.
            requirements: pip requirements for serving.
            describe: Markdown shown beside the version.
        """
        version = self.newest(run_key=tags["run_key"])
        if version is None:
            with self._reach():
                if not self._client.search_registered_models(f"name='{self.name}'"):
                    self._client.create_registered_model(
                        self.name,
                        description="Kept up to date by Evergreen; see each version's description.",
                    )
                source, model_id = run.log_model(package, requirements)
                key = {"evergreen.run_key": tags["run_key"]}
                created = self._client.create_model_version(self.name, source, run.run_id, tags=key, model_id=model_id)
            version = Version(int(created.version), run.run_id, {})
        self.annotate(version.number, tags, describe)
        return self.version(version.number)

    def annotate(self, number: int, tags: Mapping[str, str], describe: str | None = None) -> None:
        """Set tags (without their prefix), sources last: a version that has them is whole."""
        with self._reach():
            for key, value in sorted(tags.items(), key=lambda item: item[0] == "sources"):
                self._client.set_model_version_tag(self.name, str(number), f"evergreen.{key}", value)
            if describe is not None:
                self._client.update_model_version(self.name, str(number), describe)

    def promote(self, number: int) -> None:
        """Move the alias, then read it back."""
        with self._reach():
            self._client.set_registered_model_alias(self.name, self.alias, str(number))
        now = self.champion()
        if now is None or now.number != number:
            raise RegistryError(
                f"alias {self.alias} was set to v{number} and reads v{now.number if now else None}; someone else "
                "moved it at the same moment; look in the MLflow UI and run `dvc repro` again"
            )

    @contextlib.contextmanager
    def _reach(self) -> Iterator[None]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001 - MLflow, SQLAlchemy, requests, a missing driver
            reason = shown(" ".join(str(error).split()))[:300]
            # What MLflow has an error code for, it has understood; the rest is a connection, a disk or a driver.
            code = getattr(error, "error_code", "INTERNAL_ERROR")
            silent = code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "ENDPOINT_NOT_FOUND")
            raise RegistryError(
                f"the MLflow registry at {shown(self.uri)} {'does not answer' if silent else 'refused'}: {reason}; "
                "nothing was changed; check MLFLOW_TRACKING_URI and that the server runs, then run `dvc repro` again"
            ) from None


class Run:
    """An MLflow run that is written to in several steps."""

    def __init__(self, registry: Registry, run_id: str) -> None:
        self.run_id = run_id
        self._registry = registry
        self._client = registry._client
        self._logged: dict[str, set[int]] = {}
        """Epochs that the run has, once asked, by prefix of the metrics' names."""

    def log_history(self, history: Sequence[Mapping[str, float]], prefix: str = "") -> None:
        """Log the rows that the run has not yet, as metrics by epoch.

        Args:
            history: metrics by epoch.
            prefix: of their names, where a run has more than one training.
        """
        from mlflow.entities import Metric

        with self._registry._reach():
            if prefix not in self._logged:
                found = self._client.get_metric_history(self.run_id, f"{prefix}val_loss")
                self._logged[prefix] = {metric.step for metric in found}
            new = [epoch for epoch in range(len(history)) if epoch not in self._logged[prefix]]
            now = _milliseconds()
            metrics = [
                Metric(f"{prefix}{name}", value, now, epoch) for epoch in new for name, value in history[epoch].items()
            ]
            for start in range(0, len(metrics), 1000):
                self._client.log_batch(self.run_id, metrics[start : start + 1000])
            self._logged[prefix] |= set(new)

    def log(self, metrics: Mapping[str, float], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Log final metrics, params (once; a value stands) and tags."""
        from mlflow.entities import Metric, Param, RunTag

        with self._registry._reach():
            known = self._client.get_run(self.run_id).data.params
            self._client.log_batch(
                self.run_id,
                [Metric(name, value, _milliseconds(), 0) for name, value in metrics.items()],
                [Param(name, str(value)) for name, value in params.items() if name not in known],
                [RunTag(name, value) for name, value in tags.items()],
            )

    def upload(self, path: Path, artifact: str) -> None:
        """Upload a file as this artifact; the file must have the artifact's name."""
        with self._registry._reach():
            self._client.log_artifact(self.run_id, str(path), str(Path(artifact).parent))

    def log_model(self, package: Path, requirements: Sequence[str]) -> tuple[str, str]:
        """Log the model that `pipeline.serving` serves; gives its URI and its id."""
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        code = Path(__file__).parents[1]
        mlflow.set_tracking_uri(self._registry.uri)
        with mlflow.start_run(run_id=self.run_id):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(code / "serving.py"),
                artifacts={path.stem: str(path) for path in sorted(package.iterdir())},
                code_paths=[str(code)],
                pip_requirements=list(requirements),
                signature=ModelSignature(
                    inputs=Schema([ColSpec("binary", "image")]),
                    outputs=Schema([ColSpec("string", "label"), ColSpec("double", "probability")]),
                ),
            )
        return info.model_uri, info.model_id

    def end(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._registry._reach():
            self._client.set_terminated(self.run_id, status)


class Memory:
    """Answers of a registry in an SQLite file, kept while the file is what it was when they were given."""

    def __init__(self, path: Path, uri: str) -> None:
        self._path = path
        self._uri = uri
        self._at: list[Any] | None = None
        """The state that the answers are of."""
        self._answers: dict[str, Any] = {}

    def recall(self, question: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer from memory, else a fresh one."""
        state, key = self._state(), json.dumps(question)
        if state is None:
            return ask()
        if self._at != state:
            self._at, self._answers = state, self._read(state)
        if key not in self._answers:
            answer = ask()
            if self._state() != state:  # written to meanwhile, or made just now
                return answer
            self._answers[key] = answer
            files.write_json(self._path, {"state": state, "answers": self._answers})
        return self._answers[key]

    def _read(self, state: list[Any]) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_bytes())
            return dict(kept["answers"]) if kept["state"] == state else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _state(self) -> list[Any] | None:
        """What changes with every transaction; None where that cannot be told.

        SQLite counts transactions in bytes 24 to 27 of the file (sqlite.org/fileformat2.html, 1.3.7), unless it
        writes ahead to another file.
        """
        path = Path(self._uri.removeprefix("sqlite:///"))
        beside = any(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-journal"))
        if not self._uri.startswith("sqlite:///") or beside:
            return None
        try:
            with open(path, "rb") as file:
                header, status = file.read(100), os.fstat(file.fileno())
        except OSError:
            return None
        return [self._uri, header.hex(), status.st_ino, status.st_size, status.st_mtime_ns]


def _plain(version: Any) -> list[Any]:
    """What `Version` is made of."""
    return [int(version.version), version.run_id, dict(version.tags)]


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or an SQLite file in `store/`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(LOCAL_STORE / 'mlflow.db').resolve()}"


def _client(uri: str) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its 7 take minutes to say no
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    import logging

    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return mlflow.MlflowClient(uri)


def _milliseconds() -> int:
    import time

    return time.time_ns() // 1_000_000


def shown(uri: str) -> str:
    """A URI, or a text with one, without the password that it may carry."""
    return re.sub(r"//[^/@\s]+@", "//***@", uri)
