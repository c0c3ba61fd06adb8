"""A version is fetched from a real registry and answers as it was judged, or is not promoted."""

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from shelves import Shelf

from pipeline.artifacts.lineage import LEDGER, PREDICTIONS
from pipeline.artifacts.proof import PROOF
from pipeline.base import files
from pipeline.base.errors import GateError, LostError, RegistryError
from pipeline.data.store import Store
from pipeline.registry import proof
from pipeline.registry.version import changed

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow


def test_a_version_answers_in_a_fresh_process_as_it_was_judged(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not by code of the project, which is hidden there: else a module of the checkout would be named."""
    made = proof.prove(shelf.registry, shelf.version, shelf.lineage, shelf.questions)
    assert (made.version, made.served, made.num_images) == (1, shelf.version.served_digest, 3)
    assert made.largest_difference < 1e-6
    assert made.libraries.keys() == {"tensorflow", "keras", "mlflow", "numpy", "pillow", "python"}
    assert {"MLmodel", "serve.py", "artifacts/served/weights.npz", "artifacts/served/record.json"} <= made.files.keys()
    assert made.files["serve.py"] == made.served
    said = "proof: asking v1, fetched from the registry into a fresh process, for 3 holdout images\n"
    assert capsys.readouterr().out == said


@pytest.mark.usefixtures("in_this_process")
def test_a_proof_is_kept_with_the_version_and_tells_what_changed_since(shelf: Shelf, tmp_path: Path) -> None:
    registry, objects = shelf.registry, tmp_path / "objects"
    assert proof.kept(registry, shelf.version, objects) is None
    made = proof.prove(registry, shelf.version, shelf.lineage, shelf.questions)
    proof.keep(registry, shelf.version, made)
    version = registry.version(1)
    assert version.proof_digest is not None
    assert proof.kept(registry, version, objects) == made
    assert (
        proof.kept(registry, replace(version, tags=version.tags | changed({"served": "0" * 64}, version.tags)), objects)
        is None
    )
    assert (
        proof.kept(registry, replace(version, tags=version.tags | changed({"proof": "0" * 64}, version.tags)), objects)
        is None
    )
    assert proof.changed(registry, version, made) == ()
    other = made.model_copy(update={"files": {**made.files, "serve.py": "0" * 64, "gone": "0" * 64}})
    assert proof.changed(registry, version, other) == ("gone", "serve.py")
    assert PROOF in {one.path for one in registry._client.list_artifacts(version.run_id, "proof")}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("change", "heard"),
    [
        ({"label": "cat"}, r"cat with 0\.\d{4}"),
        ({"probability": 0.95}, r"dog with 0\.9500"),
        ({"probability": float("nan")}, "dog with nan"),
    ],
    ids=["label", "probability", "no number"],
)
def test_another_answer_than_evaluate_heard_is_no_promotion(shelf: Shelf, change: dict[str, Any], heard: str) -> None:
    asked = [*shelf.questions[:2], replace(shelf.questions[2], **change)]
    expected = (
        rf"^v1 does not answer as it was judged: to image {asked[2].digest} it says dog with 0\.\d{{4}}, evaluate "
        rf"heard {heard}; expected the same label, and the same probability up to 0\.001; it was not promoted; if "
        r"evaluate ran on another machine or with other libraries, let it judge here: `dvc repro --force "
        r"--single-item evaluate`, then `dvc repro`; else report this$"
    )
    with pytest.raises(GateError, match=expected):
        proof.prove(shelf.registry, shelf.version, shelf.lineage, asked)


@pytest.mark.parametrize(("probability", "is_same"), [(0.5004, True), (0.52, False)])
def test_of_two_labels_as_likely_either_may_come_first(shelf: Shelf, probability: float, is_same: bool) -> None:
    one = replace(shelf.questions[0], label="cat", probability=probability)
    said = {"labels": ["dog"], "probabilities": [probability + 1e-4], "files": {}, "libraries": {}}
    if is_same:
        assert proof.prove(shelf.registry, shelf.version, shelf.lineage, [one], lambda _: said).num_images == 1
        return
    with pytest.raises(GateError, match="expected the same label"):
        proof.prove(shelf.registry, shelf.version, shelf.lineage, [one], lambda _: said)


@pytest.mark.usefixtures("in_this_process")
def test_without_an_image_it_is_loaded_and_that_is_said(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    made = proof.prove(shelf.registry, shelf.version, shelf.lineage, [])
    assert (made.num_images, made.largest_difference) == (0, 0)
    assert "in a fresh process: no holdout image is left to ask it for\n" in capsys.readouterr().out


def test_a_version_that_does_not_load_says_why(shelf: Shelf) -> None:
    expected = (
        r"^v1, fetched from the registry at sqlite:////\S+, cannot be loaded: ImportError: no module named x; it was "
        r"not promoted; install the libraries that its requirements.txt names, look in the MLflow UI whether "
        r"its files are there, and run the same again$"
    )
    with pytest.raises(RegistryError, match=expected):
        proof.prove(
            shelf.registry,
            shelf.version,
            shelf.lineage,
            [],
            lambda _: {"error": "ImportError: no module named x"},
        )


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("MlflowException: API request failed (too many 503 error responses)", "answers with an error of its own"),
        ("MlflowException: HTTPConnectionPool: Connection refused", "does not answer"),
        ("MlflowException: error code 403", "lets this user not do this"),
    ],
)
def test_a_registry_that_goes_away_meanwhile_is_no_fault_of_the_version(shelf: Shelf, fault: str, said: str) -> None:
    with pytest.raises(RegistryError) as told:
        proof.prove(shelf.registry, shelf.version, shelf.lineage, [], lambda _: {"unfetched": fault})
    assert f"{said}: {fault}; v1 could not be fetched to ask it, and the alias was not moved; " in str(told.value)
    assert "install" not in str(told.value)


def test_a_version_that_is_not_there_is_an_error_of_one_line(shelf: Shelf) -> None:
    with pytest.raises(
        RegistryError, match=r"^v99, fetched from .* cannot be loaded: MlflowException: .*not found"
    ) as told:
        proof.prove(shelf.registry, replace(shelf.version, number=99), shelf.lineage, [])
    assert "\n" not in str(told.value)


def test_a_process_that_never_answers_is_ended(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(proof, "PROGRAM", tmp_path / "sleeps.py")
    monkeypatch.setattr(proof, "SECONDS", 0.5)
    with pytest.raises(RegistryError, match=r"^v1 did not answer within 0\.5 s .*; look whether the registry answers"):
        proof.prove(shelf.registry, shelf.version, shelf.lineage, [])


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("raise SystemExit('no room')", "its process ended with 1 no room"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "its process ended with -9 .killed; look whether this machine has",
        ),
    ],
)
def test_a_process_that_dies_is_told(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, reason: str
) -> None:
    (tmp_path / "dies.py").write_text(program)
    monkeypatch.setattr(proof, "PROGRAM", tmp_path / "dies.py")
    with pytest.raises(RegistryError, match=reason):
        proof.prove(shelf.registry, shelf.version, shelf.lineage, [])


@pytest.mark.usefixtures("in_this_process")
def test_weights_that_were_not_judged_are_refused_even_if_they_are_what_was_packed(shelf: Shelf) -> None:
    judged = {**shelf.lineage.files, "model/weights.npz": "0" * 64}
    with pytest.raises(LostError, match=r"^v1 is damaged in the registry: artifacts/served/weights.npz is not what"):
        proof.prove(shelf.registry, shelf.version, shelf.lineage.model_copy(update={"files": judged}), [])


def test_an_interrupt_ends_the_process_too(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    process = subprocess.Popen

    class Interrupted(process):  # type: ignore[type-arg,misc]
        def communicate(self, *_: Any) -> Any:
            raise KeyboardInterrupt

        def kill(self) -> None:
            super().kill()
            ended.append(True)

    monkeypatch.setattr(proof.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        proof.prove(shelf.registry, shelf.version, shelf.lineage, [])
    assert ended == [True]


def stocked(images: dict[str, bytes]) -> Any:
    """A store with these images."""
    return SimpleNamespace(
        lost=lambda wanted, _: {digest for digest, _ in wanted if digest not in images},
        read=lambda digest, _: images[digest],
    )


def tables(labels: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What evaluate heard of images, and their ledger."""
    said = pl.DataFrame({"digest": [*labels], "challenger": [*labels.values()]})
    said = said.with_columns(label=pl.lit("?"), challenger_probability=pl.lit(0.75, pl.Float32))
    return said, pl.DataFrame({"digest": [*labels], "path": [f"data/images/{digest}.png" for digest in labels]})


def test_images_of_each_label_are_asked_for_and_lost_ones_are_replaced() -> None:
    labels = {f"{number:02}": "cat" if number < 20 else "dog" for number in range(24)}
    store = stocked({digest: b"x" for digest in labels if digest not in ("00", "20", "21")})
    found = proof.questions(*tables(labels), store, 6)
    assert [(one.digest, one.label) for one in found] == [
        ("01", "cat"), ("02", "cat"), ("22", "dog"), ("03", "cat"), ("23", "dog"), ("04", "cat"),
    ]  # fmt: skip
    assert found[0].probability == 0.75
    assert proof.questions(*tables(labels), stocked({}), 6) == ()
    everything = proof.questions(*tables(labels), stocked(dict.fromkeys(labels, b"x")), 100)
    assert len(everything) == 24


def test_large_images_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "MAX_BYTES", 25)
    labels = {f"{number}": "cat" for number in range(9)}
    assert len(proof.questions(*tables(labels), stocked(dict.fromkeys(labels, b"x" * 10)))) == 2
    assert len(proof.questions(*tables(labels), stocked(dict.fromkeys(labels, b"x" * 99)))) == 1


@pytest.mark.usefixtures("in_this_process")
def test_any_version_is_proven_by_the_images_of_its_own_cycle(shelf: Shelf, tmp_path: Path) -> None:
    said, ledger = tables({one.digest: one.label for one in shelf.questions})
    said = said.with_columns(
        challenger_probability=pl.Series([one.probability for one in shelf.questions], dtype=pl.Float32)
    )
    run, listed = shelf.registry.runs.of(shelf.version), dict(shelf.lineage.files)
    for name, table in ((PREDICTIONS, said), (LEDGER, ledger)):
        path = tmp_path / Path(name).name
        files.write_table(path, table)
        run.upload(path, name)
        listed[name] = files.sha256_file(path)
    lineage = shelf.lineage.model_copy(update={"files": listed})
    store = stocked({one.digest: one.content for one in shelf.questions})
    assert proof.of_version(shelf.registry, shelf.version, lineage, tmp_path / "objects", store).num_images == 3


def test_a_version_of_before_there_were_predictions_is_refused_by_name(shelf: Shelf, tmp_path: Path) -> None:
    expected = (
        r"^v1 was registered before evaluate kept its predictions, so that there is nothing to hold its answers "
        r"against; choose a newer version, or set the alias champion to it in the MLflow UI, unproven$"
    )
    with pytest.raises(LostError, match=expected):
        proof.of_version(shelf.registry, shelf.version, shelf.lineage, tmp_path, Store(tmp_path))
