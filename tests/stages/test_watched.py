"""The content of new images, told by features that are computed once for each image."""

from pathlib import Path

import numpy as np
import pytest
from backbones import write_weights
from PIL import Image
from project import MadeOnce, Project, encoded, pictures

from pipeline.base import files
from pipeline.features import content
from pipeline.images import pictures as small

NETWORK = """
import keras

def network(image_shape, num_labels):
    layers, fixed = keras.layers, keras.initializers.GlorotUniform(seed=1)
    pixels = layers.Input(image_shape)
    x = layers.Conv2D(24, 3, kernel_initializer=fixed, use_bias=False, name="conv")(layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, layers.Dense(num_labels)(layers.GlobalAveragePooling2D()(layers.ReLU()(x))), name="mine")
"""
"""Its backbone is the same each time it is built."""

COLOURS = {"cat": (90, 140, 40), "dog": (40, 90, 140), "red": (250, 10, 10)}


def drawn(kind: str, *numbers: int) -> dict[str, bytes]:
    """Pictures of one colour with noise, by name of file."""
    shown = {}
    for number in numbers:
        random = np.random.default_rng([number, *kind.encode()])
        pixels = np.clip(COLOURS[kind] + random.normal(0, 60, (12, 12, 3)), 0, 255).astype(np.uint8)
        shown[f"{kind}{number}.png"] = encoded(Image.fromarray(pixels))
    return shown


def make(root: Path, database: Path) -> None:
    project = Project.create(root, database)
    (project.root / "watching.py").write_text(NETWORK)
    write_weights(project.root / "weights.safetensors", NETWORK, "network")
    project.space.params(
        train={
            "architecture": "watching:network",
            "pretrained": "weights.safetensors",
            "tune": "head",
            "head_epochs": 1,
        }
    )
    project.add("first", {kind: drawn(kind, *range(40)) for kind in ("cat", "dog")})
    done = project.upto("promote")
    assert done.code == 0, done.err
    project.promote()


@pytest.fixture
def watched(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """After a first cycle."""
    return made_once("watched", lambda root: make(root, empty_database)).copy(tmp_path / "copy")


def left(project: Project) -> content.Moments:
    with np.load(project.root / "data/cycle/features/statistics.npz", allow_pickle=False) as archive:
        some = content.of_arrays(dict(archive))
    assert some
    return some


def test_new_images_are_compared_with_those_of_the_parent_and_the_unusual_ones_are_shown(watched: Project) -> None:
    first = left(watched)
    assert first.counts == {"cat": 40, "dog": 40}
    assert not (watched.root / "data/cycle/features/content.json").exists()

    new = {kind: drawn(kind, *range(100, 130)) for kind in ("cat", "dog")}
    new["cat"] |= drawn("red", 1, 2) | drawn("dog", 200, 201)
    watched.add("second", new)
    done = watched.upto("promote")
    assert done.code == 0, done.err
    told = watched.space.read("features/content.json")
    assert (told["num_new"], told["num_before"]) == (64, 80)
    assert told["distance"] < told["max_distance"] == 0.1
    assert f"prepare: content: 64 new images are {told['distance']:.2f} away from 80 of before" in done.out
    unusual = watched.space.read("features/unusual.json")
    strange, astray = ([one for one in unusual if one["kind"] == kind] for kind in ("strange", "astray"))
    assert {Path(one["path"]).name for one in strange[:2]} == {"red1.png", "red2.png"}
    assert {Path(one["path"]).name for one in astray} >= {"dog200.png", "dog201.png"}
    assert {(one["label"], one["nearest"]) for one in astray if "dog20" in one["path"]} == {("cat", "dog")}
    assert "prepare: unusual: 'data/images/second/cat/red" in done.out
    assert left(watched).counts == {"cat": 74, "dog": 70}
    assert "prepare: unusual: the cycle's report shows them all" in done.out
    shown = small.read(watched.root / "data/cycle/features/pictures.parquet")
    assert set(shown) == {watched.ledger()[one["path"].removeprefix("data/images/")]["digest"] for one in unusual}

    card = (watched.root / "data/cycle/report.md").read_text()
    assert "by what is in them the new images are " in card
    assert f"**{len(unusual)} unusual**: data/images/second/cat/red" in card
    (version,) = watched.mlflow.search_model_versions("name='evergreen' and version_number=2")
    kept = {file.path for folder in ("data", "features") for file in watched.mlflow.list_artifacts(version.run_id, folder)}  # fmt: skip # noqa: E501
    assert kept >= {"data/content.json", "data/unusual.json", "features/statistics.npz"}

    again = watched.run("prepare")
    assert "go through" not in again.out
    assert watched.space.read("features/unusual.json") == unusual


def test_other_content_is_warned_of_also_where_it_begins_anew_with_old_images_at_hand(watched: Project) -> None:
    """Another network has other features. Old images go through it too, and these are compared with."""
    narrow = NETWORK.replace("24", "16")
    (watched.root / "narrow.py").write_text(narrow)
    write_weights(watched.root / "narrow.safetensors", narrow, "network")
    watched.space.params(
        resolve={"networks": ["watching:network"]},
        train={"architecture": "narrow:network", "pretrained": "narrow.safetensors", "start": "cold"},
    )
    watched.add("second", {"dog": drawn("red", *range(60))})
    done = watched.upto("prepare")
    assert done.code == 0, done.err
    told = watched.space.read("features/content.json")
    assert told["num_before"] == 80
    assert told["distance"] > 0.2
    assert f"prepare: warning: content: 60 new images are {told['distance']:.2f} away from 80 of before" in done.out
    assert "it warns above 0.1 (validate.max_content_drift)" in done.out
    assert left(watched).squares.shape == (16,)
    assert left(watched).counts == {"cat": 40, "dog": 100}


def test_where_all_is_tuned_new_images_alone_pass_the_pretrained_network(watched: Project) -> None:
    write_weights(watched.root / "others.safetensors", NETWORK, "network", seed=4)
    watched.space.params(train={"tune": "all", "pretrained": "others.safetensors"})
    watched.add("second", {kind: drawn(kind, *range(100, 130)) for kind in ("cat", "dog")})
    done = watched.upto("prepare")
    assert done.code == 0, done.err
    assert "prepare: features: 60 images to go through watching:network\n" in done.out
    assert not (watched.root / "data/cycle/features/content.json").exists()
    assert left(watched).counts == {"cat": 30, "dog": 30}
    index = watched.table("features/index.parquet")
    assert len(index.filter(index["key"] == left(watched).key)) == 60
    of_it = files.md5_file(watched.root / "others.safetensors")[:12]
    assert not list((watched.root / "data/cycle/dataset").glob(f"*{of_it}*"))


def test_a_network_that_ends_in_another_layer_cannot_be_pretrained(project: Project) -> None:
    end = "layers.Activation('linear')(layers.Dense(num_labels)(layers.GlobalAveragePooling2D()(layers.ReLU()(x))))"
    network = NETWORK.replace("layers.Dense(num_labels)(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))", end)
    (project.root / "uncut.py").write_text(network)
    write_weights(project.root / "weights.safetensors", NETWORK, "network")
    project.space.params(train={"architecture": "uncut:network", "tune": "all", "pretrained": "weights.safetensors"})
    project.add("first", pictures(range(30), "cat", "dog"))
    assert "resolve: error: train.architecture: mine ends in Activation; expected a keras.layers.Dense" in (
        project.run("resolve").error
    )
