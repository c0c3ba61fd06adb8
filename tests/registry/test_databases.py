"""The registries that the tests run on are real ones, and empty for each test."""

import pytest


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_an_empty_registry(registry_uri: str, turn: int) -> None:
    import mlflow

    client = mlflow.MlflowClient(registry_uri, registry_uri)
    assert client.search_registered_models() == []
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    client.create_registered_model("evergreen")
    run = client.create_run(client.create_experiment("evergreen"))
    client.log_batch(run.info.run_id, [mlflow.entities.Metric("val_loss", float(turn), 1, 0)])
    client.create_model_version("evergreen", f"{run.info.artifact_uri}/model", run.info.run_id)
