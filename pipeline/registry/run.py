"""An MLflow run, and every upload to it: curves, files, the model."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        from mlflow.entities import Metric

        client = self._connection.client
        with self._connection.reach():
            if prefix not in self._logged:
                logged = client.get_metric_history(self.run_id, f"{prefix}val_loss")
                self._logged[prefix] = {metric.step for metric in logged}
            new = [epoch for epoch in range(len(history)) if epoch not in self._logged[prefix]]
            now = _milliseconds()
            metrics = [
                Metric(f"{prefix}{name}", value, now, epoch) for epoch in new for name, value in history[epoch].items()
            ]
            for start in range(0, len(metrics), 1000):
                client.log_batch(self.run_id, metrics[start : start + 1000])
            self._logged[prefix] |= set(new)

    def log(self, metrics: Mapping[str, float], params: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Log final metrics, params (once; a value stands) and tags."""
        from mlflow.entities import Metric, Param, RunTag

        client = self._connection.client
        with self._connection.reach():
            logged = client.get_run(self.run_id).data.params
            client.log_batch(
                self.run_id,
                [Metric(name, value, _milliseconds(), 0) for name, value in metrics.items()],
                [Param(name, str(value)) for name, value in params.items() if name not in logged],
                [RunTag(name, value) for name, value in tags.items()],
            )

    def upload(self, path: Path, artifact: str) -> None:
        """Upload a file as this artifact; the file must have the artifact's name."""
        with self._connection.reach():
            self._connection.client.log_artifact(self.run_id, str(path), str(Path(artifact).parent))

    def log_model(self, served: Served, requirements: Sequence[str], params: Mapping[str, float]) -> tuple[str, str]:
        """Log the model that `pipeline.serving` serves; gives its URI and its id.

        Args:
            served: its files.
            requirements: pip requirements of serving.
            params: what a request may give besides images, and what counts where it does not.
        """
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

        mlflow.set_tracking_uri(self._connection.uri)
        with mlflow.start_run(run_id=self.run_id):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(served.entry),
                artifacts={served.folder.name: str(served.folder)},
                pip_requirements=list(requirements),
                signature=ModelSignature(
                    inputs=Schema([ColSpec("binary", "image")]),
                    outputs=Schema([ColSpec("string", "label", required=False), ColSpec("double", "probability")]),
                    params=ParamSchema([ParamSpec(name, "double", float(value)) for name, value in params.items()]),
                ),
            )
        return info.model_uri, info.model_id

    def end(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        with self._connection.reach():
            self._connection.client.set_terminated(self.run_id, status)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
