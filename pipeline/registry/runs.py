"""The runs of a registered model's cycles: which is whose, which one remains, and which nobody needs."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.base import files, process
from pipeline.registry.connection import EXISTS, GONE, Connection
from pipeline.registry.run import Run
from pipeline.registry.version import HIDDEN, Version, former

OWNER = f"{HIDDEN}owner"
"""Tag of a run: the process that works on it."""

RUN_KEY = f"{HIDDEN}run_key"

FORMER = {OWNER: former("owner"), RUN_KEY: former("run_key")}
"""How they were called when all tags were shown: runs of then have them under these names."""

START = "evergreen.start"
"""Tag of a run: how its training started, and why."""


class Runs:
    """The MLflow runs in the experiment that has the name of the registered model."""

    def __init__(self, connection: Connection, name: str, of_key: Callable[[str], Version | None]) -> None:
        """See the module.

        Args:
            connection: to MLflow.
            name: of the registered model.
            of_key: gives the version of a run key, if there is one.
        """
        self._connection = connection
        self._name = name
        self._of_key = of_key

    @property
    def _client(self) -> Any:
        return self._connection.client

    def begin(self, run_key: str, title: str, scratch: Path) -> Run:
        """The run of this key: of its version, else the one that this workspace began, else a new one.

        Two workspaces may begin the same cycle; each has a run of its own, so that their files do not mix. The run of
        the version remains (`tidy`).

        Args:
            run_key: of the cycle.
            title: of a new run.
            scratch: remembers which run is this workspace's.
        """
        note = scratch / "runs" / run_key
        version = self._of_key(run_key)
        mine = version.run_id if version else note.read_text() if note.is_file() else ""
        with self._connection.reach():
            if mine and self._is_active(mine):
                self._client.update_run(mine, status="RUNNING")
                self._client.set_tag(mine, OWNER, process.owner())
                return Run(self._connection, mine)
            tags = {
                RUN_KEY: run_key,
                OWNER: process.owner(),
                "mlflow.source.name": "dvc repro",
                "mlflow.source.type": "PROJECT",
            }
            created = self._client.create_run(self._experiment(), tags=tags, run_name=title)
        files.write(note, created.info.run_id.encode())
        return Run(self._connection, created.info.run_id)

    def experiment(self) -> str | None:
        """The id of their experiment; None if there is none yet."""
        with self._connection.reach():
            found = self._client.get_experiment_by_name(self._name)
        return str(found.experiment_id) if found else None

    def of(self, version: Version) -> Run:
        """The run that a version was registered from."""
        return Run(self._connection, version.run_id)

    def model_of(self, version: Version) -> str | None:
        """Id of the logged model that a version was made of."""
        with self._connection.reach():
            return model_id(self._client.get_model_version(self._name, str(version.number)))

    def told(self) -> dict[str, tuple[dict[str, float], str]]:
        """Of each run, by its id: its metrics, and how its training started (warm, shrink or cold)."""
        with self._connection.reach():
            return {
                run.info.run_id: (dict(run.data.metrics), run.data.tags.get(START, "").partition(":")[0])
                for run in self._search("")
            }

    def _is_active(self, run_id: str) -> bool:
        """Whether a run is there and was not deleted."""
        stage = None
        with self._connection.unless(GONE):
            stage = self._client.get_run(run_id).info.lifecycle_stage
        return bool(stage == "active")

    def reap(self) -> int:
        """Mark runs as killed whose process on this machine is gone without a word (SIGKILL); how many."""
        with self._connection.reach():
            running = "attributes.status = 'RUNNING' and tags.`{}` LIKE '%'"
            found = self._tagged(running, OWNER)
            gone = [run.info.run_id for run in found if process.is_gone(_tag(run, OWNER))]
            for run_id in gone:
                self._client.set_terminated(run_id, "KILLED")
        return len(gone)

    def tidy(self, version: Version) -> None:
        """Delete what the way to a version left: other runs of its run key, models of its run that no version names.

        What another process may still work on stays: that one deletes it when it comes here.
        """
        with self._connection.reach():
            for run in self._tagged(f"tags.`{{}}` = '{version.run_key}'", RUN_KEY):
                owner = _tag(run, OWNER)
                is_over = run.info.status != "RUNNING" or owner in ("", process.owner()) or process.is_gone(owner)
                if run.info.run_id != version.run_id and is_over:
                    self._client.delete_run(run.info.run_id)
            mine = model_id(self._client.get_model_version(self._name, str(version.number)))
            found = f"source_run_id = '{version.run_id}'"
            for model in self._client.search_logged_models([self._experiment()], found) if mine else []:
                if model.model_id != mine:
                    self._client.delete_logged_model(model.model_id)

    def without_version(self, versions: Sequence[Version]) -> list[str]:
        """Ids of runs that were uploaded to the end, and that no version names."""
        named = {version.run_id for version in versions}
        with self._connection.reach():
            over = [run for run in self._search("attributes.status = 'FINISHED'") if run.info.run_id not in named]
            return [run.info.run_id for run in over if _tag(run, RUN_KEY)]

    def _tagged(self, condition: str, name: str) -> list[Any]:
        """Active runs that meet a condition on a tag, `{}` in it, under the name of today or the former one."""
        found = [run for called in (name, FORMER[name]) for run in self._search(condition.format(called))]
        return list({run.info.run_id: run for run in found}.values())

    def _search(self, condition: str) -> list[Any]:
        """Active runs that meet a condition."""
        experiment = self._client.get_experiment_by_name(self._name)
        return list(self._client.search_runs([experiment.experiment_id], condition)) if experiment else []

    def _experiment(self) -> str:
        """The id of the experiment, which is made when it is first needed."""
        if found := self._client.get_experiment_by_name(self._name):
            return str(found.experiment_id)
        with self._connection.unless(EXISTS):
            self._client.create_experiment(self._name, self._connection.artifact_root)
        return str(self._client.get_experiment_by_name(self._name).experiment_id)


def _tag(run: Any, name: str) -> str:
    """The value of a tag, under the name of today or the former one; empty if there is none."""
    return str(run.data.tags.get(name, run.data.tags.get(FORMER[name], "")))


def model_id(version: Any) -> str | None:
    """Id of the logged model that a version of MLflow's was made of; its databases keep it in the source alone."""
    return version.model_id or (source[1] if (source := re.fullmatch(r"models:/(m-\w+)", version.source)) else None)
