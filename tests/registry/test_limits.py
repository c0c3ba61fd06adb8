"""Texts are cut to what the narrowest database takes, and a registry of each kind takes them then."""

import math
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from pipeline.registry import limits
from pipeline.registry.connection import Connection
from pipeline.registry.run import Run

ODD = "a\0b \ud800 \U0001f600 \u202e ü"
"""What databases do not hold, and what they do."""


def test_a_short_text_stays_as_it_is() -> None:
    assert limits.cut("# A card\n\nwith 🦊", 16, "elsewhere") == "# A card\n\nwith 🦊"


def test_a_long_text_is_cut_at_a_boundary_and_says_where_the_whole_is() -> None:
    card = "# Verdict\n\npromoted\n\n" + "\n".join(f"- label {number}: 0.97" for number in range(1000))
    short = limits.cut(card, limits.DESCRIPTION, "artifact card.md of the run")
    assert len(short) <= limits.DESCRIPTION
    kept, _, end = short.partition("\n\n… ")
    assert end == "(cut here: the whole is artifact card.md of the run)"
    assert card.startswith(kept + "\n")
    assert len(kept) > 4800


def test_a_block_of_code_is_not_left_open() -> None:
    card = "words\n\n" * 500 + "```\n" + "line\n" * 2000
    assert "```" not in limits.cut(card, limits.DESCRIPTION, "there")


def test_a_name_has_only_what_mlflow_allows() -> None:
    assert limits.key("holdout (new), ünd 50%") == "holdout _new__ _nd 50_"
    assert len(limits.key("x" * 300)) == limits.KEY


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.5, 0.5),
        (math.inf, 1.7976931348623157e308),
        (-math.inf, -1.7976931348623157e308),
        (10**400, 1.7976931348623157e308),
    ],
)
def test_a_number_is_one_that_all_databases_hold(value: float, written: float) -> None:
    assert limits.number(value) == written
    assert math.isnan(limits.number(math.nan))


@hypothesis.given(strategies.text(), strategies.integers(60, 300), strategies.text(max_size=20))
def test_no_text_is_longer_than_its_limit(text: str, limit: int, pointer: str) -> None:
    cut = limits.cut(text, limit, pointer)
    assert len(cut) <= limit
    assert "\0" not in cut
    cut.encode()


@pytest.mark.project
def test_limits_are_not_wider_than_the_columns_of_mlflow() -> None:
    """MLflow's own models and checks: a new release that takes less fails here."""
    from mlflow.store.model_registry.dbmodels import models as registry
    from mlflow.store.tracking.dbmodels import models as tracking
    from mlflow.utils import validation

    def width(model: type, column: str) -> int:
        return int(model.__table__.c[column].type.length)  # type: ignore[attr-defined]

    assert width(registry.SqlModelVersion, "description") >= limits.DESCRIPTION
    assert width(registry.SqlRegisteredModel, "description") >= limits.DESCRIPTION
    assert width(registry.SqlModelVersion, "source") >= limits.SOURCE
    assert width(registry.SqlRegisteredModelTag, "value") >= limits.MODEL_TAG
    assert validation.MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH >= limits.VERSION_TAG
    assert min(width(tracking.SqlTag, "value"), validation.MAX_TAG_VAL_LENGTH) >= limits.RUN_TAG
    assert min(width(tracking.SqlParam, "value"), validation.MAX_PARAM_VAL_LENGTH) >= limits.PARAM
    for model in (tracking.SqlTag, tracking.SqlParam, tracking.SqlMetric, registry.SqlModelVersionTag):
        assert width(model, "key") >= limits.KEY
    assert width(tracking.SqlRun, "name") >= limits.NAME
    assert width(tracking.SqlRun, "artifact_uri") >= limits.ARTIFACTS
    assert min(width(registry.SqlRegisteredModel, "name"), width(tracking.SqlExperiment, "name")) >= limits.MODEL
    assert validation.MAX_REGISTERED_MODEL_ALIAS_LENGTH >= limits.ALIAS


@pytest.mark.project
def test_every_registry_takes_texts_at_their_limits(registry_uri: str, tmp_path: Path) -> None:
    """On SQLite alone nobody would notice that one is too long."""
    reached = Connection(registry_uri)
    client = reached.client
    place = None if reached.is_server else tmp_path.as_uri()
    experiment = client.create_experiment("e" * 100, artifact_location=place)
    created = client.create_run(experiment, run_name=limits.cut(ODD * 100, limits.NAME))
    run = Run(reached, created.info.run_id)
    run.log(
        {"holdout (new)": math.inf, "nan": math.nan, "large": 10**400},
        {"labels": "x" * 9000, "odd (one)": ODD, "empty": "", "k" * 300: 1},
        {"mlflow.note.content": f"{ODD}\n\n" + "card " * 9000},
    )
    logged = client.get_run(run.run_id).data
    assert logged.metrics["holdout _new_"] == limits.number(math.inf)
    assert math.isnan(logged.metrics["nan"])
    assert len(logged.params["labels"]) <= limits.PARAM
    assert logged.params["empty"] == ""
    assert "\U0001f600" in logged.params["odd _one_"]
    assert logged.tags["mlflow.note.content"].endswith("(cut here: the whole is artifact card.md of this run)")

    client.create_registered_model("evergreen", description=limits.cut("ü" * 9000, limits.DESCRIPTION))
    client.create_model_version("evergreen", created.info.artifact_uri, run.run_id)
    client.set_registered_model_tag("evergreen", "k", limits.cut("x" * 9000, limits.MODEL_TAG))
    client.set_model_version_tag("evergreen", "1", "k", limits.cut("x " * 90_000, limits.VERSION_TAG))
    client.set_registered_model_alias("evergreen", "a" * 57, "1")
    card = limits.cut(f"{ODD}\n" + "🦊 line\n" * 3000, limits.DESCRIPTION, "artifact card.md of its run")
    client.update_model_version("evergreen", "1", card)
    assert client.get_model_version("evergreen", "1").description == card


@pytest.mark.project
def test_a_history_of_many_metrics_is_logged_by_whole_epochs(registry_uri: str, tmp_path: Path) -> None:
    reached = Connection(registry_uri)
    client = reached.client
    place = None if reached.is_server else tmp_path.as_uri()
    run = Run(reached, client.create_run(client.create_experiment("many", artifact_location=place)).info.run_id)
    history = [{"val_loss": float(epoch), **{f"recall {label}": 0.5 for label in range(90)}} for epoch in range(40)]
    written, log_batch = [], client.log_batch

    def logged(run_id: str, metrics: list[Any]) -> None:
        written.append([metric.step for metric in metrics])
        log_batch(run_id, metrics)

    client.log_batch = logged
    run.log_history(history)
    assert [one.step for one in client.get_metric_history(run.run_id, "recall 89")] == list(range(40))
    assert max(map(len, written)) <= 1000
    assert sum(len(set(steps)) for steps in written) == 40, "no epoch is in two batches, of which one may fail"
