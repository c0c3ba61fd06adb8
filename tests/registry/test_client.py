"""The registry on a real SQLite file, on PostgreSQL and on a real MLflow server."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import samples
from versions import promote, register

from benchmarks.workspace import CHECKOUT
from pipeline.base import files, process
from pipeline.base.errors import RegistryError
from pipeline.data import ledger
from pipeline.learning import model
from pipeline.registry import client as registry
from pipeline.registry import connection, packaging, pages, view
from pipeline.registry.client import Registry
from pipeline.registry.connection import tracking_uri
from pipeline.registry.metrics import UsedImages
from pipeline.registry.run import Run
from pipeline.registry.version import DECIDED, JUDGED, MADE, Version
from pipeline.settings import Params

NUMBERS = itertools.count(1)


def begin(reg: Registry) -> Run:
    """The run of a key."""
    return reg.runs.begin("a", "cycle", Path("data/scratch"))


Draw = Callable[..., bytes]


@pytest.fixture(
    params=[
        "file",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("server", marks=pytest.mark.postgres),
    ]
)
def reg(
    request: pytest.FixtureRequest,
    settings: Params,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_database: Path,
) -> Registry:
    """An empty registry: the default SQLite file, PostgreSQL, and a model of its own on a server that has that."""
    monkeypatch.chdir(tmp_path)
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("mlflow_server"))
        return Registry(settings.resolve.model_copy(update={"registered_model": f"evergreen {next(NUMBERS)}"}))
    if request.param == "postgres":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("postgres_uri"))
        return Registry(settings.resolve)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return Registry(settings.resolve)


@pytest.mark.project
def test_the_default_is_an_sqlite_file_in_the_project(
    settings: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert Registry(settings.resolve).champion() is None
    assert (tmp_path / "store/mlflow.db").is_file()


def test_runs_that_were_killed_outright_are_marked_as_killed(reg: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of a process that is gone, of one that lives, of another machine; and one that is over."""
    import mlflow

    words = [sys.executable, "-c", "from pipeline.base import process; print(process.owner())"]
    gone = subprocess.run(words, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout.strip()
    here = process.owner()
    reused = here.rpartition(":")[0] + ":1.00"  # the same number, started at another time
    owners = {"gone": gone, "reused": reused, "here": here, "elsewhere": "other-host:1:1:2.00", "over": gone}
    for key, owner in owners.items():
        monkeypatch.setattr(process, "owner", lambda owner=owner: owner)
        run = reg.runs.begin(key, "cycle", Path("data/scratch"))
    run.end()
    assert reg.runs.reap() == 2
    assert reg.runs.reap() == 0
    client = mlflow.MlflowClient(reg.uri)
    experiment = client.get_experiment_by_name(reg.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    status = {run.data.tags["mlflow.evergreen.run_key"]: run.info.status for run in runs}
    assert status == {
        "gone": "KILLED", "reused": "KILLED", "here": "RUNNING", "elsewhere": "RUNNING", "over": "FINISHED",
    }  # fmt: skip


def test_the_environment_names_another_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    assert tracking_uri() == "http://elsewhere:5000"


def test_promotion_moves_the_alias_and_reads_it_back(reg: Registry) -> None:
    first, second = register(reg, "a"), register(reg, "b")
    for version in (first, second, first):
        promote(reg, version.number)
        champion = reg.champion()
        assert champion is not None
        assert champion.number == version.number


def test_the_same_inputs_never_make_two_runs_or_versions(reg: Registry) -> None:
    assert begin(reg).run_id == begin(reg).run_id
    assert register(reg, "a").number == register(reg, "a").number
    assert register(reg, "b").number == 2


def test_a_registered_model_can_be_loaded_and_classifies(reg: Registry, tmp_path: Path, draw: Draw) -> None:
    """Through the real upload, so that the server's own checks are passed."""
    import mlflow
    import pandas as pd

    description = samples.description("cat", "dog", image_shape=(16, 16, 3), temperature=10.0)
    network = model.build(description)
    network.get_layer("logits").bias.assign([0.0, 50.0])
    files.write_json(tmp_path / "model/model.json", description.to_json())
    files.write_arrays(tmp_path / "model/weights.npz", model.arrays(network.weights))
    served = packaging.pack(tmp_path / "model", "a", tmp_path / "scratch")
    tags = {"run_key": "a", "sources": "s"}
    threshold = {"min_probability": 0.999}
    run = begin(reg)
    source, model_id = run.log_model(served, ["keras"], threshold)
    tags |= {name: f"{value:g}" for name, value in threshold.items()}
    version = reg.create_version(run, source, model_id, tags, "card")
    promote(reg, version.number)
    mlflow.set_tracking_uri(reg.uri)
    try:
        champion = mlflow.pyfunc.load_model(f"models:/{reg.name}@champion")
        image = draw("JPEG")
        sure = {"min_probability": 0.5}
        found = champion.predict(pd.DataFrame({"image": [image, draw("PNG", mode="L")]}), params=sure)
        again = champion.predict(pd.DataFrame({"image": [base64.b64encode(image).decode()]}), params=sure)
        unsure = champion.predict(pd.DataFrame({"image": [image]}))
        with pytest.raises(Exception, match=r"1 of 2 images cannot be decoded: row 1: no base64; expected a file"):
            champion.predict(pd.DataFrame({"image": [image, b"no image"]}))
    finally:
        mlflow.set_tracking_uri(None)
    assert list(found["label"]) == ["dog", "dog"]
    assert found["probability"].min() > 0.9
    assert found["probability"].max() < 0.999
    assert list(again["label"]) == ["dog"]
    assert unsure["label"].tolist() == [None], "the threshold that was kept with the version"
    assert unsure["probability"][0] == pytest.approx(found["probability"][0])


def test_the_newest_version_with_all_the_tags_is_found(reg: Registry) -> None:
    assert reg.newest(sources="s") is None
    for key, recipe in (("a", "r"), ("b", "q"), ("c", "q")):
        register(reg, key, sources="s", recipe=recipe, parent="" if key == "a" else "1")
    found = reg.newest(sources="s", recipe="q")
    assert found is not None
    assert (found.number, found.run_key, found.parent) == (3, "c", 1)
    oldest = reg.newest(sources="s", recipe="r")
    assert oldest is not None
    assert (oldest.number, oldest.parent, oldest.champion) == (1, None, None)
    assert reg.newest(sources="other") is None


def test_versions_and_runs_of_when_all_tags_were_shown_are_found_beside_those_of_today(reg: Registry) -> None:
    import mlflow

    client = mlflow.MlflowClient(reg.uri)
    register(reg, "a", sources="s", recipe="r", verdict="promote")
    run = begin(reg)
    for key in "bc":
        former = {"run_key": key, "sources": "s", "recipe": "r", "parent": "1", "lineage": f"of {key}"}
        tags = {f"evergreen.{name}": value for name, value in former.items()}
        client.create_model_version(reg.name, f"runs:/{run.run_id}/model", run.run_id, tags=tags)
    register(reg, "d", sources="t")
    assert [one.number for one in reg.all(sources="s", recipe="r")] == [3, 2, 1]
    assert [one.number for one in reg.all(sources="s", at_most=2)] == [3, 2]
    assert [one.number for one in reg.all()] == [4, 3, 2, 1]
    found = reg.newest(sources="s")
    assert found
    assert (found.number, found.run_key, found.parent, found.lineage_digest) == (3, "c", 1, "of c")
    newest = reg.newest_whole()
    assert newest
    assert newest.number == 4
    second = reg.of_key("b")
    assert second
    assert second.number == 2
    reg.annotate(2, {"lineage": "another", "verdict": "reject", "standing": ""})
    assert (reg.version(2).lineage_digest, reg.version(2).verdict) == ("another", "reject"), "what is newer counts"
    assert (reg.version(2).run_key, reg.version(2).parent) == ("b", 1), "and the rest stays"
    assert [one.number for one in reg.all(verdict="reject")] == [2]


def test_a_version_has_few_tags_for_lists_show_them_all(reg: Registry) -> None:
    register(reg, "a", sources="s", lineage="l", parent="1", rival="1")
    reg.annotate(1, {"proof": "p"})
    reg.annotate(1, {"verdict": "promote", "standing": "champion", "verdict_digest": "d", "is_best": "true"})
    assert set(reg.version(1).tags) == {"evergreen.verdict", "evergreen.standing", MADE, DECIDED}
    found = reg.version(1)
    assert (found.parent, found.champion, found.proof_digest, found.verdict_digest) == (1, 1, "p", "d")
    assert found.is_best
    register(reg, "b", sources="s")
    reg.annotate(2, {"verdict": "reject", "standing": "", "verdict_digest": "d"})
    assert "evergreen.standing" not in reg.version(2).tags, "one of no value says nothing"
    reg.annotate(1, {"standing": ""})
    assert reg.version(1).standing == "", "but it takes the place of another one"
    reg.annotate(1, {"lineage": "m", "rival": "2", "parent": "1"})
    assert set(reg.version(1).tags) == {"evergreen.verdict", "evergreen.standing", MADE, JUDGED, DECIDED}
    assert (reg.version(1).lineage_digest, reg.version(1).champion, reg.version(1).run_key) == ("m", 2, "a")
    assert [one.number for one in reg.all(run_key="a")] == [1]


def test_a_run_of_a_process_that_is_gone_is_reaped_under_either_name_of_its_tag(reg: Registry) -> None:
    import mlflow

    client, run = mlflow.MlflowClient(reg.uri), begin(reg)
    experiment = client.get_run(run.run_id).info.experiment_id
    gone = process.owner().replace(str(os.getpid()), "999999999", 1)
    former = client.create_run(experiment, tags={"evergreen.owner": gone, "evergreen.run_key": "z"}).info.run_id
    taken = client.create_run(experiment, tags={"evergreen.owner": gone, "mlflow.evergreen.owner": process.owner()})
    assert reg.runs.reap() == 1
    assert client.get_run(former).info.status == "KILLED"
    assert client.get_run(taken.info.run_id).info.status == "RUNNING"
    client.set_terminated(former)
    assert reg.runs.without_version([]) == [former]


def test_history_is_logged_once_per_epoch(reg: Registry) -> None:
    run = begin(reg)
    history = [{"val_loss": 2.0}, {"val_loss": 1.0, "loss": 1.5}]
    run.log_history(history[:1])
    run.log_history(history)
    run.log_history(history)
    import mlflow

    logged = mlflow.MlflowClient(reg.uri).get_metric_history(run.run_id, "val/loss")
    assert [(metric.step, metric.value) for metric in logged] == [(0, 2.0), (1, 1.0)]


def test_two_trainings_of_a_run_keep_their_histories_apart(reg: Registry) -> None:
    import mlflow

    run = begin(reg)
    run.log_history([{"val_loss": 2.0}, {"val_loss": 1.0}])
    for _ in range(2):
        run.log_history([{"val_loss": 3.0}], "audit_")
        run = begin(reg)  # found again, after an interruption
    client = mlflow.MlflowClient(reg.uri)
    found = {name: client.get_metric_history(run.run_id, name) for name in ("val/loss", "audit/val_loss")}
    assert {name: [metric.value for metric in rows] for name, rows in found.items()} == {
        "val/loss": [2.0, 1.0],
        "audit/val_loss": [3.0],
    }


@pytest.mark.parametrize("prefix", ["", "head_"])
def test_a_run_goes_on_under_the_names_that_it_began_with(reg: Registry, prefix: str) -> None:
    """A training that was interrupted before metrics had groups, and is resumed after it."""
    import mlflow

    client, run = mlflow.MlflowClient(reg.uri), begin(reg)
    for name in ("val_loss", "loss"):
        client.log_metric(run.run_id, f"{prefix}{name}", 2.0, step=0)
    history = [{"val_loss": 2.0, "loss": 2.0}, {"val_loss": 1.0, "loss": 1.5}]
    for again in (run, begin(reg)):
        again.log_history(history, prefix)
    found = client.get_metric_history(run.run_id, f"{prefix}loss")
    assert [(metric.step, metric.value) for metric in found] == [(0, 2.0), (1, 1.5)]
    assert set(client.get_run(run.run_id).data.metrics) == {f"{prefix}val_loss", f"{prefix}loss"}


def test_final_metrics_are_those_of_the_logged_model_too(reg: Registry) -> None:
    import mlflow

    client, run = mlflow.MlflowClient(reg.uri), begin(reg)
    run.log_history([{"val_loss": 2.0}])
    experiment = client.get_run(run.run_id).info.experiment_id
    model = client.create_logged_model(experiment, name="model", source_run_id=run.run_id).model_id
    holdout = UsedImages("holdout", "d" * 36, "holdout", {"commit": "c"}, 20)
    run.use([holdout])
    for change in (0.25, 0.25, 0.5):
        run.log({"holdout/accuracy": 0.5, "holdout/change": change, "data/images": 3}, {}, {}, model, holdout)
    shown = client.get_logged_model(model).metrics
    assert {(one.key, one.value, one.dataset_name) for one in shown} == {
        ("holdout/accuracy", 0.5, "holdout"),
        ("data/images", 3.0, None),
    }
    history = {name: client.get_metric_history(run.run_id, f"holdout/{name}") for name in ("accuracy", "change")}
    assert {name: [one.value for one in found] for name, found in history.items()} == {
        "accuracy": [0.5],
        "change": [0.25, 0.5],
    }, "the same number is no second point of a chart"


def test_a_run_lists_the_images_that_it_used_once(reg: Registry) -> None:
    import mlflow

    run = begin(reg)
    batch = UsedImages("data/images/ü b", "0" * 32 + ".dir", "batch", {"pointer": "data/images/ü b.dvc"}, 7)
    for _ in range(2):
        run.use([UsedImages("holdout", "h", "holdout", {}, 3), batch])
        run.use([])
    found = mlflow.MlflowClient(reg.uri).get_run(run.run_id).inputs.dataset_inputs
    assert {(one.dataset.name, one.dataset.digest, one.tags[0].value, one.dataset.profile) for one in found} == {
        ("holdout", "h", "holdout", '{"num_rows": 3}'),
        ("data/images/ü b", "0" * 32 + ".dir", "batch", '{"num_rows": 7}'),
    }
    assert len(found) == 2


def test_more_params_than_mlflow_takes_at_once_are_logged(reg: Registry) -> None:
    import mlflow

    run = begin(reg)
    run.log({f"m{n}": n for n in range(1100)}, {f"p{n}": n for n in range(150)}, {})
    data = mlflow.MlflowClient(reg.uri).get_run(run.run_id).data
    assert (len(data.metrics), len(data.params)) == (1100, 150)


def test_pages_of_run_and_logged_model_say_which_version_they_are_of(reg: Registry) -> None:
    import mlflow

    client = mlflow.MlflowClient(reg.uri)
    register(reg, "a", sources="s")
    version = reg.version(1)
    experiment = reg.runs.experiment()
    assert experiment
    model = client.create_logged_model(experiment, name="model", source_run_id=version.run_id).model_id
    client.create_model_version(reg.name, f"models:/{model}", version.run_id, model_id=model)
    assert not pages.has_view(reg)
    pages.finish(reg, reg.version(2), "v2 promote 59.6 %")
    assert client.get_run(version.run_id).info.run_name == "v2 promote 59.6 %"
    said = json.loads(client.get_logged_model(model).tags["mlflow.modelVersions"])
    assert said == [{"name": reg.name, "version": "2"}]
    assert pages.has_view(reg)
    client.set_experiment_tag(experiment, view.TAG, "a person's")
    pages.finish(reg, version, "v1 reject 50.0 %")  # of which nobody noted a logged model
    assert client.get_experiment(experiment).tags[view.TAG] == "a person's"


def test_there_is_no_experiment_before_the_first_run(reg: Registry) -> None:
    assert reg.runs.experiment() is None
    assert not pages.has_view(reg)
    begin(reg)
    assert reg.runs.experiment()


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_as_it_is_told_and_goes_on_when_found_again(reg: Registry, status: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(reg.uri)
    run = begin(reg)
    run.end(status)
    assert client.get_run(run.run_id).info.status == status
    assert client.get_run(begin(reg).run_id).info.status == "RUNNING"


def test_params_of_a_run_are_logged_once(reg: Registry) -> None:
    run = begin(reg)
    run.log({"best_val_loss": 1.0}, {"train.seed": 7}, {"kind": "x"})
    run.log({"best_val_loss": 2.0}, {"train.seed": 7, "train.threads": 2}, {"kind": "y"})


def test_artifacts_come_back_checked_and_are_kept(reg: Registry, tmp_path: Path) -> None:
    source, objects = tmp_path / "weights.npz", tmp_path / "objects"
    source.write_bytes(b"weights")
    run, digest = begin(reg), files.sha256(b"weights")
    run.upload(source, "model/weights.npz")
    assert reg.download(run.run_id, "model/weights.npz", digest, objects).read_bytes() == b"weights"
    source.write_bytes(b"tampered")
    run.upload(source, "model/weights.npz")
    assert reg.download(run.run_id, "model/weights.npz", digest, objects).read_bytes() == b"weights"
    (objects / digest).write_bytes(b"bit rot")
    with pytest.raises(RegistryError, match=r"model/weights.npz of run \w+ is damaged: .*restore it from a backup"):
        reg.download(run.run_id, "model/weights.npz", digest, objects)


def test_a_missing_artifact_is_a_registry_error(reg: Registry, tmp_path: Path) -> None:
    run = begin(reg)
    gone = r"model/weights.npz of run \w+ is not there any more; restore it from a backup, or move the alias that names"
    with pytest.raises(RegistryError, match=gone):
        reg.download(run.run_id, "model/weights.npz", "0" * 64, tmp_path / "objects")


def test_a_version_of_other_origin_has_no_lineage(reg: Registry, tmp_path: Path) -> None:
    stranger = Version(3, "run", {})
    with pytest.raises(RegistryError, match=r"evergreen.* v3 was not registered by Evergreen.*move the alias champion"):
        reg.lineage(stranger, tmp_path)


@pytest.mark.project  # loads MLflow
@pytest.mark.parametrize(
    "uri", ["http://user:secret@127.0.0.1:9", "postgresql://user:secret@127.0.0.1:9/db"], ids=["server", "database"]
)
def test_no_answer_is_an_error_without_the_password(
    settings: Params, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(connection, "ATTEMPTS", 1)
    with pytest.raises(
        RegistryError, match=r"does not answer.*nothing was changed; check MLFLOW_TRACKING_URI"
    ) as raised:
        Registry(settings.resolve).champion()
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_lineage_of_another_version_of_evergreen_is_refused_by_name(reg: Registry, tmp_path: Path) -> None:
    record = tmp_path / "lineage.json"
    files.write_json(record, samples.lineage().to_json() | {"color": "green"})
    run = begin(reg)
    run.upload(record, registry.LINEAGE)
    version = Version(5, run.run_id, {"evergreen.lineage": files.sha256_file(record)})
    expected = (
        rf"the lineage of {reg.name} v5 is of another version of Evergreen, or damaged: it has color, which is unknown "
        r"here; use the version of Evergreen that registered it, or a newer one, or move the alias champion to a "
        r"version that this one registered"
    )
    with pytest.raises(RegistryError, match=expected):
        reg.lineage(version, tmp_path / "objects")


def test_what_is_not_there_is_not_called_silence(reg: Registry) -> None:
    with pytest.raises(RegistryError, match=r"the MLflow registry at .* does not have it any more: .*not found"):
        reg.version(99)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """A project with the default registry, empty; a folder for downloads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "store").mkdir()
    shutil.copy(empty_database, tmp_path / "store/mlflow.db")
    return tmp_path / "objects"


def test_the_pinned_ledger_is_empty_without_a_parent_and_has_the_columns_that_are_asked_for(settings, place):
    reg = Registry(settings.resolve)
    assert reg.pinned_ledger(None, place).columns == [*ledger.COLUMNS]
    assert reg.pinned_ledger(None, place, ["digest"]).columns == ["digest"]


@pytest.mark.usefixtures("place")
def test_the_pinned_ledger_is_that_of_its_run(settings, tmp_path):
    reg, table = Registry(settings.resolve), tmp_path / "ledger.parquet"
    files.write_table(table, ledger.empty())
    run = begin(reg)
    run.upload(table, registry.LEDGER)
    pin = samples.pin(1, files={registry.LEDGER: files.sha256_file(table)}).model_copy(update={"run_id": run.run_id})
    pinned = samples.parent(None).model_copy(update={"pin": pin})
    assert reg.pinned_ledger(pinned.pin, tmp_path / "objects").schema == ledger.empty().schema
    assert reg.pinned_ledger(pinned.pin, tmp_path / "objects", ["rank", "digest"]).columns == ["rank", "digest"]
