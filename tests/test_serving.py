"""The model that is served; that MLflow serves it is told in `registry/test_packaging.py`."""

import json
from collections.abc import Callable
from pathlib import Path
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

    return Classifier(package / "model.json", package / "weights.npz")


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
    found = loaded(package).predict(pd.DataFrame({"image": pictures}))
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-5)


def described(package: Path, temperature: float | None = None, bias: tuple[float, float] = (0.0, 2.0)) -> None:
    """A model that gives every image the same logits."""
    from pipeline.learning import model

    changes = {"temperature": temperature} if temperature else {}
    description = samples.description("cat", "dog", image_shape=(16, 16, 3), **changes)
    description.write(package / "model.json")
    network = model.build(description)
    for variable in network.get_layer("logits").weights:
        variable.assign(np.zeros(variable.shape))
    network.get_layer("logits").bias.assign(bias)
    files.write_arrays(package / "weights.npz", model.arrays(network.weights))


@pytest.mark.parametrize(
    ("temperature", "expected"), [(None, 0.8808), (1.0, 0.8808), (2.0, 0.7311), (0.5, 0.9820)], ids=str
)
def test_probabilities_are_those_of_the_versions_temperature(
    package: Path, draw: Callable[..., bytes], temperature: float | None, expected: float
) -> None:
    """An earlier version has none: its probabilities are those of its logits."""
    import pandas as pd

    described(package, temperature)
    assert ("temperature" in json.loads((package / "model.json").read_text())) is (temperature is not None)
    found = loaded(package).predict(pd.DataFrame({"image": [draw()]}))
    assert list(found["label"]) == ["dog"]
    assert found["probability"][0] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("params", "label"),
    [
        (None, "dog"),
        ({}, "dog"),
        ({"min_probability": 0.0}, "dog"),
        ({"min_probability": 0.73}, "dog"),
        ({"min_probability": 0.74}, None),
        ({"min_probability": 1.0}, None),
    ],
    ids=str,
)
def test_an_image_below_the_threshold_gets_no_label(
    package: Path, draw: Callable[..., bytes], params: dict[str, float] | None, label: str | None
) -> None:
    """The probability that counts is the calibrated one."""
    import pandas as pd

    described(package, 2.0)
    found = loaded(package).predict(pd.DataFrame({"image": [draw()]}), params)
    assert list(found.columns) == ["label", "probability"]
    assert found["label"].tolist() == [label]
    assert found["probability"][0] == pytest.approx(0.7311, abs=1e-4)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")], ids=str)
def test_a_threshold_that_is_no_probability_is_refused(
    package: Path, draw: Callable[..., bytes], threshold: float
) -> None:
    import pandas as pd

    remedy = "expected 0 to 1; leave it out for that of the version"
    with pytest.raises(ValueError, match=rf"^min_probability is {threshold}; {remedy}$"):
        loaded(package).predict(pd.DataFrame({"image": [draw()]}), {"min_probability": threshold})


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


@pytest.mark.parametrize("line", [76, None], ids=["lines", "one line"])
@pytest.mark.parametrize("kind", [str, bytes])
def test_base64_is_taken_as_text_and_as_the_bytes_that_mlflow_makes_of_it(
    package: Path, draw: Callable[..., bytes], kind: type, line: int | None
) -> None:
    import base64

    import pandas as pd

    described(package)
    coded = base64.encodebytes(draw()) if line else base64.b64encode(draw())
    value = coded.decode() if kind is str else coded
    found = loaded(package).predict(pd.DataFrame({"image": [value, draw()]}, dtype=object))
    assert found["probability"].nunique() == 1
    assert list(found["label"]) == ["dog", "dog"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("=====", "no base64; expected a file's bytes in base64, with nothing before them"),
        ("data:image/png;base64,AAAA", "no base64; expected a file's bytes in base64, with nothing before them"),
        ("\ud800", "no base64; expected a file's bytes in base64, with nothing before them"),
        (b"no?image", "a text file; expected JPEG, PNG, WEBP or BMP"),
        ("", "empty file"),
        (None, "expected a file's bytes, or base64 text, and this is NoneType"),
        (3.5, "expected a file's bytes, or base64 text, and this is float"),
    ],
    ids=repr,
)
def test_what_is_no_image_is_refused_by_row(package: Path, draw: Callable[..., bytes], value: Any, reason: str) -> None:
    import re

    import pandas as pd

    frame = pd.DataFrame({"image": pd.Series([draw(), value], dtype=object)})
    with pytest.raises(ValueError, match=f"^1 of 2 images cannot be decoded: row 1: {re.escape(reason)}$"):
        loaded(package).predict(frame)


def test_no_images_are_no_answers(package: Path) -> None:
    import pandas as pd

    found = loaded(package).predict(pd.DataFrame({"image": []}))
    assert list(found.columns) == ["label", "probability"]
    assert found.empty


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": "subprocess:call"}, "train.architecture subprocess:call: there is no subprocess.py in "),
        ({"architecture": "photo_cnn"}, "registered model: 17 arrays for 22 variables"),
    ],
    ids=["a function", "another network"],
)
def test_a_model_that_cannot_be_made_is_one_line(package: Path, changes: dict[str, Any], reason: str) -> None:
    samples.description("cat", "dog", image_shape=(16, 16, 3), **changes).write(package / "model.json")
    expected = rf"^no model can be made of the files of this version: {reason}.*; serve another one$"
    with pytest.raises(ValueError, match=expected):
        loaded(package)
