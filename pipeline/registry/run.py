"""An MLflow run, and every upload to it: curves, files, the model."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.registry import limits
from pipeline.registry.connection import Connection


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

WHOLE = "artifact card.md of this run"
"""Where a person finds a text that was cut: the card is the only one that is long."""


class Run:
    """A run of a registry."""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self.run_id = run_id
        self._connection = connection
        self._logged: dict[str, set[int]] = {}
        """Epochs that the run has, once asked, by prefix of the metrics' names."""

    def log_history(self, history: Sequence[Mapping[str, float]], prefix: str = "") -> None:
        """Log the rows that the run has not yet, as metrics by epoch.

        Args:
            history: metrics by epoch.
            prefix: of their names, where a run has more than one training.
        """
        with self._connection.reach():
            client, entities = self._connection.client, self._connection.mlflow.entities
            if prefix not in self._logged:
                logged = client.get_metric_history(self.run_id, f"{prefix}val_loss")
                self._logged[prefix] = {metric.step for metric in logged}
            new = [epoch for epoch in range(len(history)) if epoch not in self._logged[prefix]]
            now = _milliseconds()
            most = max(BATCH // max(map(len, history), default=1), 1)
            for start in range(0, len(new), most):
                epochs = new[start : start + most]  # whole ones: which are there is told by one of their metrics
                metrics = [
                    entities.Metric(limits.key(f"{prefix}{name}"), limits.number(value), now, epoch)
                    for epoch in epochs
                    for name, value in history[epoch].items()
                ]
                client.log_batch(self.run_id, metrics)
                self._logged[prefix] |= set(epochs)

    def log(self, metrics: Mapping[str, float], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Log final metrics, params (once; a value stands) and tags, each cut to what a database holds."""
        now, texts = _milliseconds(), limits.tags(tags, limits.RUN_TAG, WHOLE)
        with self._connection.reach():
            client, entities = self._connection.client, self._connection.mlflow.entities
            logged = client.get_run(self.run_id).data.params
            client.log_batch(
                self.run_id,
                [entities.Metric(limits.key(name), limits.number(value), now, 0) for name, value in metrics.items()],
                [entities.Param(name, value) for name, value in limits.params(params).items() if name not in logged],
                [entities.RunTag(name, value) for name, value in texts.items()],
            )

    def upload(self, path: Path, artifact: str) -> None:
        """Upload a file as this artifact; the file must have the artifact's name."""
        folder = Path(artifact).parent
        with self._connection.reach():
            self._connection.client.log_artifact(self.run_id, str(path), str(folder) if folder.name else None)

    def log_model(self, served: Served, requirements: Sequence[str], params: Mapping[str, float]) -> tuple[str, str]:
        """Log the model that `pipeline.serving` serves; gives its URI and its id.

        Args:
            served: its files.
            requirements: pip requirements of serving.
            params: what a request may give besides images, and what counts where it does not.
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

    def end(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._connection.reach():
            self._connection.client.set_terminated(self.run_id, status)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
