"""A network that cannot be trained is refused before a cycle begins, while the last model is still there."""

from pathlib import Path

import pytest
from project import MadeOnce, Project, pictures

from pipeline.base import code

MODEL = "data/cycle/model/weights.npz"

OWN = """
import keras

def net(image_shape, num_labels):
    inputs = keras.Input(image_shape)
    return keras.Model(inputs, keras.layers.Dense(num_labels{end})(keras.layers.Flatten()(inputs)))
"""


@pytest.fixture
def trained(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project with one cycle behind it and more images."""

    def make(folder: Path) -> None:
        project = Project.create(folder, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.add("second", pictures(range(100, 120), "cat", "dog"))

    return made_once("trained and to go on", make).copy(tmp_path / "trained")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"train": {"architecture": "mobilenetv3small", "start": "cold"}},
            "train.architecture mobilenetv3small is unknown; expected small_cnn, photo_cnn, EfficientNetLite0, a "
            "keras.applications name (did you mean MobileNetV3Small?) or module:function",
        ),
        ({"prepare": {"image_size": 16}}, "cannot start from v1: it sees images of shape (8, 8, 3), params.yaml asks"),
        (
            {"prepare": {"fit": "pad"}},
            "cannot start from v1: it sees images by prepare.fit: crop, params.yaml asks for pad; set params.yaml "
            "back, or set train.start: cold to train afresh",
        ),
        ({"train": {"architecture": "MobileNetV2"}}, "cannot start from v1: it is a small_cnn, params.yaml asks for a"),
        (
            {"train": {"architecture": "InceptionV3", "start": "cold"}},
            "train.architecture InceptionV3 cannot be built for images of shape (8, 8, 3)",
        ),
        ({"train": {"architecture": "nets:net", "start": "cold"}}, "train.architecture nets:net ends in a softmax"),
        (
            {"train": {"architecture": "net:net", "start": "cold"}},
            "train.architecture net:net: there is no net.py in",
        ),
    ],
    ids=["misspelt", "size", "fit", "other than the parent's", "too small images", "own, with softmax", "own, absent"],
)
def test_it_is_refused_by_resolve(trained: Project, settings: dict[str, dict[str, object]], message: str) -> None:
    (trained.root / "nets.py").write_text(OWN.replace("{end}", ", activation='softmax'"))
    trained.space.params(**settings)
    assert trained.run("resolve").error.startswith(f"resolve: error: {message}")


def test_the_last_model_is_still_there_then(trained: Project) -> None:
    before = (trained.root / MODEL).read_bytes()
    trained.space.params(prepare={"image_size": 16})
    repro = trained.space.repro(quiet=True)
    assert "resolve: error: cannot start from v1" in repro.output
    assert "Running stage 'detect'" not in repro.output
    assert (trained.root / MODEL).read_bytes() == before
    trained.space.params(train={"start": "cold"})  # as the error says
    assert trained.run("resolve").code == 0


def test_a_network_of_ones_own_is_tried_once_and_again_when_its_code_changes(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "ROOT", trained.root)
    (trained.root / "mine.py").write_text(OWN.replace("{end}", ""))
    trained.space.params(train={"architecture": "mine:net", "start": "cold"})
    tries = "resolve: trying to build mine:net"
    assert tries in trained.run("resolve").out
    assert tries not in trained.run("resolve").out
    (trained.root / "mine.py").write_text(OWN.replace("{end}", ", use_bias=False"))
    assert tries in trained.run("resolve").out


def test_what_auto_stands_for_is_said_once_where_it_is_not_the_default(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the network that is tried, and the pixels that are made, are of that size."""
    monkeypatch.setattr(code, "ROOT", trained.root)
    (trained.root / "mine.py").write_text(OWN.replace("{end}", ""))
    trained.space.params(prepare={"image_size": "auto"}, train={"architecture": "mine:net", "start": "cold"})
    done = trained.run("resolve", "detect", "validate", "prepare")
    assert done.code == 0, done.err
    assert done.out.count("auto stands for") == 1
    assert "resolve: auto stands for what suits mine:net: prepare.image_size 96\n" in done.out
    assert trained.space.read("dataset/dataset.json")["image_shape"] == [96, 96, 3]
    trained.space.params(train={"architecture": "small_cnn"})
    assert "auto stands for" not in trained.run("resolve").out


def test_auto_and_the_same_number_written_out_make_no_other_model(trained: Project) -> None:
    """DVC runs the stages again, for params.yaml has another text; the registry knows what they make."""
    trained.space.params(prepare={"image_size": 32}, train={"start": "cold"})
    first = trained.cycle()
    assert "registered" in first.out
    trained.space.params(prepare={"image_size": "auto"}, train={"learning_rate": 0.002})
    again = trained.cycle()
    assert "this data is known, v2 was trained on it" in again.out
    assert "promote: nothing to do: v2" in again.out or "promote: nothing to do: this is v2" in again.out
    assert len(trained.mlflow.search_model_versions("name='evergreen'")) == 2
    (version,) = [one for one in trained.mlflow.search_model_versions("name='evergreen'") if one.version == 2]
    assert trained.mlflow.get_run(version.run_id).data.params["prepare.image_size"] == "32"
