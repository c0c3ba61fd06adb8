"""The model as MLflow serves it; that it classifies is told in `registry/test_client.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
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


def loaded(package: Path) -> Any:
    from pipeline.serving import Classifier

    places = {"model": str(package / "model.json"), "weights": str(package / "weights.npz")}
    served = Classifier()
    served.load_context(SimpleNamespace(artifacts=places))
    return served


def test_a_whole_package_is_loaded(package: Path) -> None:
    assert loaded(package)


@pytest.mark.parametrize("fit", [None, "crop", "pad", "stretch"])
def test_pictures_are_fitted_as_the_version_was_trained(package: Path, draw: Callable[..., bytes], fit: str) -> None:
    """An earlier version does not say how: it saw the centre."""
    import pandas as pd

    from pipeline.images import decoding
    from pipeline.judging import metrics
    from pipeline.learning import model

    changes = {"fit": fit} if fit else {}
    description = samples.description("cat", "dog", image_shape=(16, 16, 3), **changes)
    description.write(package / "model.json")
    assert ("fit" in json.loads((package / "model.json").read_text())) is (fit is not None)
    pictures = [draw(size=(160, 16)), draw(size=(30, 40))]
    seen = np.stack([decoding.decode(picture, 16, 3, description.fit) for picture in pictures])
    with model.standard():
        network = model.load(description, package / "weights.npz", "test")
    expected = metrics.probabilities(model.logits(network, seen, 2)).max(axis=1)
    found = loaded(package).predict(None, pd.DataFrame({"image": pictures}))
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["model.json", "weights.npz"])
def test_a_damaged_file_is_named_and_nobody_is_told_to_run_a_cycle_for_it(package: Path, name: str) -> None:
    path = package / name
    path.write_bytes(path.read_bytes()[:40])
    remedy = "fetch it again, and if it still is, restore the files of its run from a backup or serve another version"
    with pytest.raises(
        ValueError, match=rf"^a file of this model version is damaged: \S+{name}: .*; {remedy}$"
    ) as told:
        loaded(package)
    assert "dvc repro" not in str(told.value)
