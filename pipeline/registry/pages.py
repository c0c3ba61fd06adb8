"""Pages of MLflow's UI that say more once a version is judged: its run's, its logged model's, the table of runs."""

import json
import time

from pipeline.registry import view
from pipeline.registry.client import Registry
from pipeline.registry.connection import GONE
from pipeline.registry.version import Version


def finish(registry: Registry, version: Version, title: str) -> None:
    """Let the pages of a version's run and of its logged model say which version it is; make the saved view.

    Args:
        registry: of the version.
        version: was judged.
        title: of its run.
    """
    registry.runs.of(version).rename(title)
    connection, mine = registry.connection, registry.runs.model_of(version)
    with connection.reach():
        if mine:
            listed = json.dumps([{"name": registry.name, "version": str(version.number)}])
            with connection.unless(GONE):
                connection.client.set_logged_model_tags(mine, {"mlflow.modelVersions": listed})
        experiment = connection.client.get_experiment_by_name(registry.name)
        key, value = view.tag(time.time_ns() // 1_000_000)
        if key not in experiment.tags:  # one that people changed is theirs
            connection.client.set_experiment_tag(experiment.experiment_id, key, value)


def has_view(registry: Registry) -> bool:
    """Whether the saved view is there (`registry.view`)."""
    with registry.connection.reach():
        found = registry.connection.client.get_experiment_by_name(registry.name)
    return bool(found) and view.TAG in found.tags
