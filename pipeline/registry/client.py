"""The model registry: versions, their aliases, and what each was made from."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.features import FeatureIndex
from pipeline.artifacts.lineage import FEATURES, LEDGER, Lineage
from pipeline.artifacts.parent import Champion, Parent, Pin
from pipeline.base import files
from pipeline.base.errors import LostError, RegistryError, UnreadableError
from pipeline.data import ledger
from pipeline.registry import limits
from pipeline.registry.connection import GONE, Connection, repeat, tracking_uri
from pipeline.registry.faults import Cause
from pipeline.registry.memory import Memory
from pipeline.registry.run import WHOLE, Run
from pipeline.registry.runs import Runs, model_id
from pipeline.registry.settings import RegisteredModel
from pipeline.registry.version import MADE, Version, changed, condition, created

if TYPE_CHECKING:
    import polars as pl

EVERY = 100_000
"""Versions that are asked for at once, at most: MLflow gives up to 200,000."""

LINEAGE = "lineage/lineage.json"
"""Run artifact, uploaded last: a run that has one is whole."""


def again(artifact: str, sha256: str) -> str:
    """Where a run keeps an artifact that a later judgement of its version changed: the first one stays what it was."""
    return f"judged-again/{sha256}/{PurePosixPath(artifact).name}"


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
        self.challenger_alias = resolve.challenger_alias
        self.uri = tracking_uri()
        self.connection = Connection(self.uri)
        self._memory = Memory(memory, self.uri) if memory else None

    @classmethod
    def existing(cls, resolve: RegisteredModel) -> "Registry":
        """The registry, for a command that makes none.

        Raises:
            RegistryError: it is a file, and that is not there; MLflow would make an empty one.
        """
        registry = cls(resolve)
        if (database := registry.connection.database) and not database.is_file():
            raise RegistryError(
                f"there is no registry at {database}; expected the file that cycles made; set MLFLOW_TRACKING_URI to "
                "where it is, or let `dvc repro` make the first one"
            )
        return registry

    @property
    def _client(self) -> Any:
        return self.connection.client

    def champion(self) -> Version | None:
        """The version under the alias; None if the registry answers that there is none."""
        return self._under(self.alias)

    def anchor(self) -> Version | None:
        """The version under the anchor's alias; None if the registry answers that there is none."""
        return self._under(self.anchor_alias)

    def _under(self, alias: str) -> Version | None:
        number = self.aliases().get(alias)
        return self.version(number) if number else None

    def aliases(self) -> dict[str, int]:
        """All aliases, each with the number of its version."""
        return self.described()[0]

    def described(self) -> tuple[dict[str, int], dict[str, str]]:
        """Aliases and tags of the registered model; none of both if the registry answers that there is no such model.

        Raises:
            RegistryError: it does not answer, or this user may not see the model, which is not 'no model'.
        """

        def ask() -> list[dict[str, Any]]:
            # A list that is empty is an answer; 'not found' may come from any web server.
            models = self._client.search_registered_models(f"name='{self.name}'")
            if models:
                return [dict(models[0].aliases), dict(models[0].tags or {})]
            if self.connection.is_server:
                self._refuse_hidden()
            return [{}, {}]

        # MLflow gives numbers from its databases, texts from its servers.
        aliases, tags = self.remembered(["described", self.name], ask)
        return {alias: int(number) for alias, number in aliases.items()}, tags

    def _refuse_hidden(self) -> None:
        """A server lists only what its user may see, and says so only to who asks for it by name."""
        with self.connection.unless(GONE):
            self._client.get_registered_model(self.name)

    def created(self) -> dict[int, float]:
        """When each version was made, in seconds since 1970."""
        with self.connection.reach():
            versions = self._client.search_model_versions(
                f"name='{self.name}'", order_by=["version_number DESC"], max_results=EVERY
            )
            return {int(version.version): version.creation_timestamp / 1000 for version in versions}

    def of_key(self, run_key: str) -> Version | None:
        """The version of a run key; None if there is none.

        Two machines may make two of them. The first counts: numbers are given one after the other. Versions of before
        that was so may be two with a verdict; then the newest counts.
        """
        versions = self.all(run_key=run_key)
        judged = [version for version in versions if version.verdict]
        return next(iter(judged or reversed(versions)), None)

    def version(self, number: int) -> Version:
        """A version by its number."""

        def ask() -> list[Any]:
            return _plain(self._client.get_model_version(self.name, str(number)))

        return Version(*self.remembered(["version", self.name, number], ask))

    def find(self, number: int) -> Version | None:
        """A version by its number; None if the registry answers that there is none: people delete versions."""
        return next(iter(self._listed([f"version_number={number}"], 1)), None)

    def remembered(self, question: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer as a JSON value."""

        def reach() -> Any:
            with self.connection.reach():
                return ask()

        return self._memory.recall(question, reach) if self._memory else reach()

    def newest(self, **tags: str) -> Version | None:
        """The newest version that carries all these tags (without their prefix)."""
        return next(iter(self.all(at_most=1, **tags)), None)

    def newest_whole(self) -> Version | None:
        """The newest version that Evergreen registered to the end (`Version.is_whole`)."""
        return next(iter(self._tagged({"sources": None}, 1)), None)

    def reviewed(self) -> list[Version]:
        """Versions on which a person said something by a tag in MLflow, newest first."""
        return self._tagged({"review": None}, EVERY)

    def all(self, at_most: int = EVERY, **tags: str) -> list[Version]:
        """Versions that carry all these tags (without their prefix), newest first."""
        return self._tagged(tags, at_most)

    def _tagged(self, tags: Mapping[str, str | None], at_most: int) -> list[Version]:
        """Versions that carry all these tags (without their prefix), newest first; None stands for any value.

        MLflow's search knows no `or`: where a tag once had another name, it is asked for both.
        """
        asked = [condition(name, value) for name, value in tags.items()]
        found: dict[int, Version] = {}
        for conditions in dict.fromkeys(zip(*asked, strict=True)) if asked else [()]:
            found |= {version.number: version for version in self._listed([*conditions], at_most)}
        return [found[number] for number in sorted(found, reverse=True)][:at_most]

    def _listed(self, conditions: list[str], at_most: int) -> list[Version]:
        """Versions that meet all these conditions, newest first."""
        conditions = [f"name='{self.name}'", *conditions]

        def ask() -> list[list[Any]]:
            versions = self._client.search_model_versions(
                " and ".join(conditions), order_by=["version_number DESC"], max_results=at_most
            )
            return [_plain(version) for version in versions]

        return [Version(*fields) for fields in self.remembered(["all", conditions, at_most], ask)]

    def lineage(self, version: Version, objects: Path) -> Lineage:
        """What a version was made from.

        Raises:
            LostError: Evergreen did not register it, or another version of Evergreen did, in a way of its own.
        """
        if version.lineage_digest is None:
            raise LostError(
                f"{self.name} v{version.number} was not registered by Evergreen (no tag {MADE})",
                f"move the alias {self.alias} to a version that was, or choose another resolve.registered_model",
            )
        path = self.download(version.run_id, LINEAGE, version.lineage_digest, objects)
        try:
            lineage = Lineage.read(path)
        except UnreadableError as error:
            what = error.what.removeprefix(f"{path}: ")
            raise LostError(
                f"the lineage of {self.name} v{version.number} is {what}",
                "use the version of Evergreen that registered it, or a newer one, or move the alias "
                f"{self.alias} to a version that this one registered",
            ) from None
        if lineage.model.has_a_label_twice:
            raise LostError(
                f"the lineage of {self.name} v{version.number} has a label twice, so it is damaged",
                f"move the alias {self.alias} to another version, or restore it from a backup",
            )
        return lineage

    def download(self, run_id: str, artifact: str, sha256: str, objects: Path) -> Path:
        """A run's artifact as a local file, checked; kept in `objects` under its SHA-256.

        Raises:
            LostError: it is not there, or its bytes are not those that were registered.
        """
        kept = objects / sha256
        if kept.is_file() and files.sha256_file(kept) == sha256:
            return kept
        found = [self._fetched(run_id, artifact)]
        if found[0] is None or files.sha256(found[0]) != sha256:  # a later judgement's stand beside the first one's
            found.append(self._fetched(run_id, again(artifact, sha256)))
        content = next((one for one in found if one is not None and files.sha256(one) == sha256), None)
        if content is None and found[0] is None:
            raise LostError(f"{artifact} of run {run_id} is not there any more", RESTORE)
        if content is None:
            damaged = files.sha256(found[0] or b"")
            raise LostError(
                f"{artifact} of run {run_id} is damaged: SHA-256 {damaged}, registered as {sha256}", RESTORE
            )
        files.write(kept, content)
        return kept

    def place(self, run_id: str, artifact: str, sha256: str) -> str:
        """Where a run has an artifact: a later judgement of its version may have put its own beside the first one."""
        content = self._fetched(run_id, artifact)
        return artifact if content is not None and files.sha256(content) == sha256 else again(artifact, sha256)

    def _fetched(self, run_id: str, artifact: str) -> bytes | None:
        """A run's artifact; None if the registry says that there is none."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                with self.connection.reach():
                    path = self.connection.fluent.artifacts.download_artifacts(
                        run_id=run_id, artifact_path=artifact, dst_path=folder, tracking_uri=self.uri
                    )
                    return Path(path).read_bytes()
            except RegistryError as error:
                # MLflow says of some outages, too, that there is no such file; to list what there is fails then.
                if error.cause not in (Cause.GONE, Cause.UNFIT, Cause.UNKNOWN) or self._is_listed(run_id, artifact):
                    raise
                return None

    def _is_listed(self, run_id: str, artifact: str) -> bool:
        """Whether the registry says that a run has an artifact."""
        with self.connection.reach():
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

    @cached_property
    def runs(self) -> Runs:
        """The runs of its cycles."""
        return Runs(self.connection, self.name, self.of_key)

    def drop_seconds(self, version: Version) -> None:
        """Delete versions of the same run key that came second, with their models; others may do the same."""
        seconds = [one.number for one in self.all(run_key=version.run_key) if not one.verdict]
        for number in (str(one) for one in seconds if one > version.number):
            with self.connection.reach(), self.connection.unless(GONE):
                model = model_id(self._client.get_model_version(self.name, number))
                self._client.delete_model_version(self.name, number)
                if model:
                    self._client.delete_logged_model(model)

    def create_version(
        self, run: Run, source: str, model_id: str | None, tags: Mapping[str, str], describe: str
    ) -> Version:
        """Make a version, whole from its first moment; if another one of this run key came first, give that one.

        Args:
            run: whose model it is.
            source: URI of the model.
            model_id: of the logged model.
            tags: without their prefix; must hold run_key.
            describe: Markdown shown beside the version.
        """
        if found := self.of_key(tags["run_key"]):
            return found
        with self.connection.reach():
            self.connection.make_model(self.name, "Kept up to date by Evergreen; see each version's description.")
            repeat(
                partial(
                    self._client.create_model_version,
                    self.name,
                    source,
                    run.run_id,
                    tags=limits.tags(created(tags), limits.VERSION_TAG),
                    description=limits.cut(describe, limits.DESCRIPTION, WHOLE),
                    model_id=model_id,
                )
            )
        # Not what MLflow gave: another one may have been first, and a lost answer may have made two.
        version = self.of_key(tags["run_key"])
        if version is None:
            raise RegistryError(
                f"the version of run {run.run_id} was made and is not there; expected it in {self.name}; somebody "
                "deleted it at once; run the same again"
            )
        return version

    def annotate(self, number: int, tags: Mapping[str, str], describe: str | None = None) -> None:
        """Describe a version, then set tags (without their prefix), in this order."""
        version = str(number)
        with self.connection.reach():
            if describe is not None:
                shown = limits.cut(describe, limits.DESCRIPTION, WHOLE)
                repeat(partial(self._client.update_model_version, self.name, version, shown))
            before = self._client.get_model_version(self.name, version).tags
            for key, value in limits.tags(changed(tags, before), limits.VERSION_TAG).items():
                repeat(partial(self._client.set_model_version_tag, self.name, version, key, value))

    def description(self, number: int) -> str:
        """The card that is shown beside a version."""
        with self.connection.reach():
            return self._client.get_model_version(self.name, str(number)).description or ""

    def move_anchor(self, number: int) -> None:
        """Set the anchor's alias."""
        with self.connection.reach():
            repeat(partial(self._client.set_registered_model_alias, self.name, self.anchor_alias, str(number)))


def _ledger(path: Path, columns: Sequence[str]) -> "pl.DataFrame":
    """These columns of a ledger, as it is written today."""
    return ledger.completed(files.read_table(path, [name for name in columns if name in files.columns(path)]), columns)


def _plain(version: Any) -> list[Any]:
    """What `Version` is made of."""
    return [int(version.version), version.run_id, dict(version.tags)]
