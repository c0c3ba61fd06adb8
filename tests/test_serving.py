"""The model as MLflow serves it; that it classifies is told in `registry/test_client.py`."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import samples

from pipeline.base import files

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What MLflow has fetched: the description of a model and its weights."""
    from pipeline.learning import model

    description = samples.description("cat", "dog", image_shape=(16, 16, 3))
    description.write(tmp_path / "model.json")
    files.write_arrays(tmp_path / "weights.npz", model.arrays(model.build(description).weights))
    return tmp_path


def load(package: Path) -> None:
    from pipeline.serving import Classifier

    places = {"model": str(package / "model.json"), "weights": str(package / "weights.npz")}
    Classifier().load_context(SimpleNamespace(artifacts=places))


def test_a_whole_package_is_loaded(package: Path) -> None:
    load(package)


@pytest.mark.parametrize("name", ["model.json", "weights.npz"])
def test_a_damaged_file_is_named_and_nobody_is_told_to_run_a_cycle_for_it(package: Path, name: str) -> None:
    path = package / name
    path.write_bytes(path.read_bytes()[:40])
    remedy = "fetch it again, and if it still is, restore the files of its run from a backup or serve another version"
    with pytest.raises(
        ValueError, match=rf"^a file of this model version is damaged: \S+{name}: .*; {remedy}$"
    ) as told:
        load(package)
    assert "dvc repro" not in str(told.value)
