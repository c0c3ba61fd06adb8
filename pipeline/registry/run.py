"""An MLflow run, and every upload to it: curves, files, the model."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.registry import limits
from pipeline.registry.connection import Connection
from pipeline.registry.metrics import UsedImages, is_models, of_epoch


@dataclass(frozen=True)
class Served:
    """What is uploaded of a model so that MLflow can serve it (`registry.packaging`)."""

    entry: Path
    """The file that MLflow runs; it has the SHA-256 of the record."""
    folder: Path
    """The files, with their record."""
    digest: str
    """SHA-256 of the entry: the one number that everything else hangs on."""


BATCH = 1000
"""Metrics that MLflow takes at once."""

FEW = 100
"""Params or tags that it takes at once."""

WHOLE = "artifact card.md of this run"
"""Where a person finds a text that was cut: the card is the only one that is long."""


class Run:
    """A run of a registry."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.run_id = run_id
        self._connection = connection
        self._logged: dict[str, set[int]] = {}
        """Epochs that the run has, once asked, by prefix of the metrics' names."""
        self._is_old: dict[str, bool] = {}
        """Whether it has them under the names of before there were groups, by prefix: then it goes on with these."""

    def log_history(self, history: Sequence[Mapping[str, float]], prefix: str = "") -> None:
        """Log the rows that the run has not yet, as metrics by epoch.

        Args:
            history: metrics by epoch.
            prefix: of their names, where a run has more than one training.
        """
        with self._connection.reach():
            client, entities = self._connection.client, self._connection.mlflow.entities
            if prefix not in self._logged:
                found = client.get_metric_history(self.run_id, of_epoch("val_loss", prefix))
                if not found:
                    found = client.get_metric_history(self.run_id, f"{prefix}val_loss")
                    self._is_old[prefix] = bool(found)
                self._logged[prefix] = {metric.step for metric in found}
            new = [epoch for epoch in range(len(history)) if epoch not in self._logged[prefix]]
            now = _milliseconds()
            most = max(BATCH // max(map(len, history), default=1), 1)
            for start in range(0, len(new), most):
                epochs = new[start : start + most]  # whole ones: which are there is told by one of their metrics
                metrics = [
                    entities.Metric(self._of_epoch(name, prefix), limits.number(value), now, epoch)
                    for epoch in epochs
                    for name, value in history[epoch].items()
                ]
                client.log_batch(self.run_id, metrics)
                self._logged[prefix] |= set(epochs)

    def _of_epoch(self, name: str, prefix: str) -> str:
        """Name of a metric by epoch, in this run."""
        return limits.key(f"{prefix}{name}") if self._is_old.get(prefix) else of_epoch(name, prefix)

    def log(
        self,
        metrics: Mapping[str, float],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        model_id: str | None = None,
        judged_on: UsedImages | None = None,
    ) -> None:
        """Log final metrics, params (once; a value stands) and tags, each cut to what a database holds.

        Args:
            metrics: by name; one that the run, or its model, has with this value is not logged again.
            params: by name.
            tags: by name.
            model_id: of the logged model whose numbers they are, too.
            judged_on: the images of the metrics of the groups holdout and recall.
        """
        now, texts = _milliseconds(), limits.tags(tags, limits.RUN_TAG, WHOLE)
        with self._connection.reach():
            client, entities = self._connection.client, self._connection.mlflow.entities
            before = client.get_run(self.run_id).data
            known = client.get_logged_model(model_id).metrics if model_id else None
            of_model = {one.key: one.value for one in sorted(known or (), key=lambda one: one.timestamp)}
            new_params = [
                entities.Param(name, value)
                for name, value in limits.params(params).items()
                if name not in before.params
            ]
            new_tags = [entities.RunTag(name, value) for name, value in texts.items()]
            values = {limits.key(name): limits.number(value) for name, value in metrics.items()}
            given = []
            for name, value in values.items():
                is_its = model_id is not None and is_models(name)
                if (of_model if is_its else before.metrics).get(name) == value:
                    continue
                about = {"model_id": model_id, "run_id": self.run_id} if is_its else {}
                given.append(entities.Metric(name, value, now, 0, **about, **_on(judged_on, name)))
            for start in range(0, len(given), BATCH):
                client.log_batch(self.run_id, given[start : start + BATCH])
            for start in range(0, len(new_params), FEW):
                client.log_batch(self.run_id, params=new_params[start : start + FEW])
            for start in range(0, len(new_tags), FEW):
                client.log_batch(self.run_id, tags=new_tags[start : start + FEW])

    def use(self, datasets: Sequence[UsedImages]) -> None:
        """List the images that the run used; one that it lists already stays as it is."""
        with self._connection.reach():
            client, entities = self._connection.client, self._connection.mlflow.entities
            inputs = [
                entities.DatasetInput(
                    entities.Dataset(one.name, one.digest, "dvc", one.source_json, profile=one.profile_json),
                    [entities.InputTag("mlflow.data.context", one.context)],
                )
                for one in datasets
            ]
            if inputs:
                client.log_inputs(self.run_id, inputs)

    def rename(self, name: str) -> None:
        """Give the run another name."""
        with self._connection.reach():
            self._connection.client.update_run(self.run_id, name=limits.cut(name, limits.NAME))

    def upload(self, path: Path, artifact: str) -> None:
        """Upload a file as this artifact; the file must have the artifact's name."""
        folder = Path(artifact).parent
        with self._connection.reach():
            self._connection.client.log_artifact(self.run_id, str(path), str(folder) if folder.name else None)

    def log_model(
        self, served: Served, requirements: Sequence[str], params: Mapping[str, float], epoch: int = 0
    ) -> tuple[str, str]:
        """Log the model that `pipeline.serving` serves; gives its URI and its id.

        Args:
            served: its files.
            requirements: pip requirements of serving.
            params: what a request may give besides images, and what counts where it does not.
            epoch: whose weights it has: MLflow takes that epoch's metrics for the model's.
        """
        mlflow = self._connection.fluent
        self._connection.may_have_changed = True
        types = mlflow.types
        with self._connection.reach(), mlflow.start_run(run_id=self.run_id):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(served.entry),
                artifacts={served.folder.name: str(served.folder)},
                pip_requirements=list(requirements),
                step=epoch,
                signature=mlflow.models.ModelSignature(
                    inputs=types.Schema([types.ColSpec("binary", "image")]),
                    outputs=types.Schema(
                        [types.ColSpec("string", "label", required=False), types.ColSpec("double", "probability")]
                    ),
                    params=types.ParamSchema(
                        [types.ParamSpec(name, "double", float(value)) for name, value in params.items()]
                    ),
                ),
            )
        return info.model_uri, info.model_id

    def describe(self, card: str) -> None:
        """Let the run's page show a card."""
        texts = limits.tags({"mlflow.note.content": card}, limits.RUN_TAG, WHOLE)
        with self._connection.reach():
            for name, value in texts.items():
                self._connection.client.set_tag(self.run_id, name, value)

    def end(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._connection.reach():
            self._connection.client.set_terminated(self.run_id, status)


def _on(judged_on: UsedImages | None, name: str) -> dict[str, str]:
    """What a metric says of the images that it is about."""
    if judged_on is None or name.partition("/")[0] not in ("holdout", "recall"):
        return {}
    return {"dataset_name": judged_on.name, "dataset_digest": judged_on.digest}


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
