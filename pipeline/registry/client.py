"""The model registry: runs, versions and the champion's alias. Home of MLflow, with the modules beside it."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import FEATURES, LEDGER, Lineage
from pipeline.artifacts.parent import Champion, Parent, Pin
from pipeline.base import files, process
from pipeline.base.errors import LostError, RegistryError, UnreadableError
from pipeline.data import ledger
from pipeline.registry.connection import Connection, tracking_uri
from pipeline.registry.memory import Memory
from pipeline.registry.run import Run, Served
from pipeline.registry.settings import RegisteredModel
from pipeline.registry.version import PREFIX, Version, name

if TYPE_CHECKING:
    import polars as pl

LINEAGE = "lineage/lineage.json"
"""Run artifact, uploaded last: a run that has one is whole."""

RESTORE = "restore it from a backup, or move the alias that names its version to another one"


class Registry:
    """One registered model in one MLflow server or database.

    Every method raises RegistryError where MLflow does not answer; no answer is never 'no champion'.
    """

    def __init__(self, resolve: RegisteredModel, memory: Path | None = None) -> None:
        """The registry that `MLFLOW_TRACKING_URI` names.

        Args:
            resolve: of that section of params.yaml.
            memory: file for answers that hold as long as the database file is what it was; only for
                a caller that changes nothing. Importing MLflow takes longer than all else in a no-op.
        """
        self.name = resolve.registered_model
        self.alias = resolve.alias
        self.anchor_alias = resolve.anchor_alias
        self.uri = tracking_uri()
        self._connection = Connection(self.uri)
        self._memory = Memory(memory, self.uri) if memory else None

    @property
    def _client(self) -> Any:
        return self._connection.client

    def champion(self) -> Version | None:
        """The version under the alias; None if the registry answers that there is none."""
        return self._under(self.alias)

    def anchor(self) -> Version | None:
        """The version under the anchor's alias; None if the registry answers that there is none."""
        return self._under(self.anchor_alias)

    def _under(self, alias: str) -> Version | None:
        def ask() -> dict[str, str]:
            # A list that is empty is an answer; 'not found' may come from any web server.
            models = self._client.search_registered_models(f"name='{self.name}'")
            return dict(models[0].aliases) if models else {}

        number = self._remembered(["aliases", self.name], ask).get(alias)
        return self.version(int(number)) if number else None

    def version(self, number: int) -> Version:
        """A version by its number."""

        def ask() -> list[Any]:
            return _plain(self._client.get_model_version(self.name, str(number)))

        return Version(*self._remembered(["version", self.name, number], ask))

    def find(self, number: int) -> Version | None:
        """A version by its number; None if the registry answers that there is none: people delete versions."""
        return next(iter(self._listed([f"version_number={number}"], 1)), None)

    def _remembered(self, question: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer as a JSON value."""

        def reach() -> Any:
            with self._connection.reach():
                return ask()

        return self._memory.recall(question, reach) if self._memory else reach()

    def newest(self, **tags: str) -> Version | None:
        """The newest version that carries all these tags (without their prefix)."""
        return next(iter(self.all(at_most=1, **tags)), None)

    def newest_whole(self) -> Version | None:
        """The newest version that Evergreen registered to the end (`Version.is_whole`)."""
        return next(iter(self._listed([f"tag.`{PREFIX}sources` LIKE '%'"], 1)), None)

    def all(self, at_most: int = 1000, **tags: str) -> list[Version]:
        """Versions that carry all these tags (without their prefix), newest first."""
        return self._listed([f"tag.`{PREFIX}{key}`='{value}'" for key, value in tags.items()], at_most)

    def _listed(self, conditions: list[str], at_most: int) -> list[Version]:
        """Versions that meet all these conditions, newest first."""
        conditions = [f"name='{self.name}'", *conditions]

        def ask() -> list[list[Any]]:
            versions = self._client.search_model_versions(
                " and ".join(conditions), order_by=["version_number DESC"], max_results=at_most
            )
            return [_plain(version) for version in versions]

        return [Version(*fields) for fields in self._remembered(["all", conditions, at_most], ask)]

    def lineage(self, version: Version, objects: Path) -> Lineage:
        """What a version was made from.

        Raises:
            LostError: Evergreen did not register it, or another version of Evergreen did, in a way of its own.
        """
        if version.lineage_digest is None:
            raise LostError(
                f"{self.name} v{version.number} was not registered by Evergreen (no tag evergreen.lineage)",
                f"move the alias {self.alias} to a version that was, or choose another resolve.registered_model",
            )
        path = self.download(version.run_id, LINEAGE, version.lineage_digest, objects)
        try:
            return Lineage.read(path)
        except UnreadableError as error:
            what = error.what.removeprefix(f"{path}: ")
            raise LostError(
                f"the lineage of {self.name} v{version.number} is {what}",
                "use the version of Evergreen that registered it, or a newer one, or move the alias "
                f"{self.alias} to a version that this one registered",
            ) from None

    def download(self, run_id: str, artifact: str, sha256: str, objects: Path) -> Path:
        """A run's artifact as a local file, checked; kept in `objects` under its SHA-256.

        Raises:
            LostError: it is not there, or its bytes are not those that were registered.
        """
        kept = objects / sha256
        if kept.is_file() and files.sha256_file(kept) == sha256:
            return kept
        import mlflow

        # Else MLflow makes an empty database of its own where it stands, whatever it is told below.
        mlflow.set_tracking_uri(self.uri)
        with tempfile.TemporaryDirectory() as folder:
            try:
                with self._connection.reach():
                    path = mlflow.artifacts.download_artifacts(
                        run_id=run_id, artifact_path=artifact, dst_path=folder, tracking_uri=self.uri
                    )
                    content = Path(path).read_bytes()
            except RegistryError:
                if self._is_listed(run_id, artifact):
                    raise
                raise LostError(f"{artifact} of run {run_id} is not there any more", RESTORE) from None
        if files.sha256(content) != sha256:
            found = files.sha256(content)
            raise LostError(f"{artifact} of run {run_id} is damaged: SHA-256 {found}, registered as {sha256}", RESTORE)
        files.write(kept, content)
        return kept

    def _is_listed(self, run_id: str, artifact: str) -> bool:
        """Whether the registry says that a run has an artifact."""
        with self._connection.reach():
            listed = self._client.list_artifacts(run_id, str(PurePosixPath(artifact).parent))
        return artifact in {one.path for one in listed}

    def pinned_ledger(self, pin: Pin | None, objects: Path, columns: Sequence[str] = ledger.COLUMNS) -> "pl.DataFrame":
        """The ledger that the cycle of a version left, or some columns of it; empty without one."""
        if pin is None:
            return ledger.empty().select(columns)
        return _ledger(self.download(pin.run_id, LEDGER, pin.lineage.files[LEDGER], objects), columns)

    def elders_ledger(self, parent: Parent, objects: Path) -> "pl.DataFrame":
        """The ledger of the version that the parent names as its elder; empty without one."""
        if parent.elder is None:
            return ledger.empty()
        return _ledger(self.download(parent.elder.run_id, LEDGER, parent.elder.ledger, objects), ledger.COLUMNS)

    def feature_index(self, parent: Parent, champion: Champion, objects: Path) -> FeatureIndex:
        """Where features of images are, as far as the versions know it that a cycle has to do with."""
        pins = [pin for pin in (parent.pin, champion.pin, champion.anchor) if pin]
        listed = {pin.run_id: pin.lineage.files.get(FEATURES) for pin in pins}
        if parent.elder:
            listed[parent.elder.run_id] = parent.elder.features
        paths = [self.download(run_id, FEATURES, sha256, objects) for run_id, sha256 in listed.items() if sha256]
        return FeatureIndex.of([FeatureIndex.read(path) for path in paths])

    def run(self, run_key: str, title: str) -> Run:
        """The run of this key, or a new one of this title: the same inputs never make two."""
        with self._connection.reach():
            experiment = self._client.get_experiment_by_name(self.name)
            experiment_id = experiment.experiment_id if experiment else self._create_experiment()
            runs = self._client.search_runs([experiment_id], f"tags.`{PREFIX}run_key` = '{run_key}'", max_results=1)
            if runs:
                run_id = runs[0].info.run_id
                self._client.update_run(run_id, status="RUNNING")
                self._client.set_tag(run_id, f"{PREFIX}owner", process.owner())
                return Run(self._connection, run_id)
            tags = {
                f"{PREFIX}run_key": run_key,
                f"{PREFIX}owner": process.owner(),
                "mlflow.source.name": "dvc repro",
                "mlflow.source.type": "PROJECT",
            }
            created = self._client.create_run(experiment_id, tags=tags, run_name=title)
            return Run(self._connection, created.info.run_id)

    def run_of(self, version: Version) -> Run:
        """The run that a version is of."""
        return Run(self._connection, version.run_id)

    def reach(self) -> AbstractContextManager[None]:
        """Do something else with MLflow; see `Connection.reach`."""
        return self._connection.reach()

    def reap(self) -> int:
        """Mark runs as killed whose process on this machine is gone without a word (SIGKILL); how many."""
        with self._connection.reach():
            experiment = self._client.get_experiment_by_name(self.name)
            running = f"attributes.status = 'RUNNING' and tags.`{PREFIX}owner` LIKE '%'"
            runs = self._client.search_runs([experiment.experiment_id], running) if experiment else []
            gone = [run.info.run_id for run in runs if process.is_gone(run.data.tags[f"{PREFIX}owner"])]
            for run_id in gone:
                self._client.set_terminated(run_id, "KILLED")
        return len(gone)

    def _create_experiment(self) -> str:
        # A server knows where its artifacts go; a local database would use the folder it runs in.
        database = self._connection.database
        place = (database.resolve().parent / "artifacts").as_uri() if database else None
        return str(self._client.create_experiment(self.name, artifact_location=place))

    def register(
        self,
        run: Run,
        served: Served,
        tags: Mapping[str, str],
        requirements: Sequence[str],
        describe: str,
        params: Mapping[str, float] | None = None,
    ) -> Version:
        """Make a version of a run's model; a run key that has one already keeps it.

        Args:
            run: which.
            served: what MLflow serves.
            tags: without their prefix; must hold run_key.
            requirements: pip requirements for serving.
            describe: Markdown shown beside the version.
            params: see `Run.log_model`; they become tags of the version, too.
        """
        version = self.newest(run_key=tags["run_key"])
        if version is None:
            with self._connection.reach():
                if not self._client.search_registered_models(f"name='{self.name}'"):
                    self._client.create_registered_model(
                        self.name,
                        description="Kept up to date by Evergreen; see each version's description.",
                    )
                source, model_id = run.log_model(served, requirements, params or {})
                # What is never changed: a version that is there already keeps what it was made with.
                fixed = {"run_key": tags["run_key"], "served": served.digest}
                fixed |= {name: f"{value:g}" for name, value in (params or {}).items()}
                created = self._client.create_model_version(
                    self.name,
                    source,
                    run.run_id,
                    tags={f"{PREFIX}{name}": value for name, value in fixed.items()},
                    model_id=model_id,
                )
            version = Version(int(created.version), run.run_id, {})
        self.annotate(version.number, tags, describe)
        return self.version(version.number)

    def annotate(self, number: int, tags: Mapping[str, str], describe: str | None = None) -> None:
        """Set tags (without their prefix), sources last: a version that has them is whole."""
        with self._connection.reach():
            for key, value in sorted(tags.items(), key=lambda item: item[0] == "sources"):
                self._client.set_model_version_tag(self.name, str(number), f"{PREFIX}{key}", value)
            if describe is not None:
                self._client.update_model_version(self.name, str(number), describe)

    def move_anchor(self, number: int) -> None:
        """Set the anchor's alias."""
        with self._connection.reach():
            self._client.set_registered_model_alias(self.name, self.anchor_alias, str(number))

    def promote(self, number: int, judged_against: int | None) -> bool:
        """Move the alias to a version, if it is where the verdict saw it; whether it was moved.

        The alias is read immediately before the move and after it: a person may have moved it while the version was
        uploaded. MLflow has no compare-and-set, so a move between the two calls is only noticed, by the reading after.

        Args:
            number: of the version.
            judged_against: number of the version that it was judged against; None if there was none.

        Raises:
            RegistryError: someone else moved the alias at the same moment.
        """
        before = self.champion()
        if (before.number if before else None) != judged_against:
            return False
        with self._connection.reach():
            self._client.set_registered_model_alias(self.name, self.alias, str(number))
        now = self.champion()
        if now is None or now.number != number:
            raise RegistryError(
                f"alias {self.alias} was set to v{number} and reads {name(now)}; someone else "
                "moved it at the same moment; look in the MLflow UI and run `dvc repro` again"
            )
        return True


def _ledger(path: Path, columns: Sequence[str]) -> "pl.DataFrame":
    """These columns of a ledger, as it is written today."""
    return ledger.completed(files.read_table(path, [name for name in columns if name in files.columns(path)]), columns)


def _plain(version: Any) -> list[Any]:
    """What `Version` is made of."""
    return [int(version.version), version.run_id, dict(version.tags)]
