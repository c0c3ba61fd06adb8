"""Cycles with a pretrained backbone: features once per image, the head first, what is frozen when."""

import contextlib
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from backbones import write_weights
from PIL import Image
from project import MadeOnce, Project, encoded, pictures

from pipeline.artifacts.model import Description
from pipeline.base import files
from pipeline.data import dataset
from pipeline.learning import head, model, networks

OWN = """
import keras


def net(image_shape, num_labels):
    layers = keras.layers
    pixels = layers.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    for number, filters in enumerate((4, 8)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"block{number}_conv")(x)
        x = layers.BatchNormalization(name=f"block{number}_norm")(x)
        x = layers.ReLU(name=f"block{number}_relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(num_labels, name="logits")(x), name="net")
"""
"""A backbone with two blocks and 8 features."""

SETTINGS = {
    "architecture": "own_backbone:net", "pretrained": "weights.safetensors", "tune": "head", "head_epochs": 12,
    "head_rate": 0.05, "max_epochs": 2, "warm_epochs": 2, "learning_rate": 0.01, "warm_rate": 1.0, "batch_size": 16,
}  # fmt: skip


@pytest.fixture
def begun(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project whose champion is a head on features."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        (root / "own_backbone.py").write_text(OWN)
        write_weights(root / "weights.safetensors", OWN, "net")
        project.space.params(train=SETTINGS, validate={"new_labels": "allow", "min_images_per_label": 3})
        project.add("first", pictures(range(40), "cat", "dog"))
        project.cycle()
        project.promote()

    return made_once("backbone", make).copy(tmp_path / "clone")


def red(number: int) -> bytes:
    """A picture unlike all others."""
    pixels = np.random.default_rng([9, number]).integers(0, 60, (12, 12, 3)).astype(np.uint8)
    pixels[..., 0] += 190
    return encoded(Image.fromarray(pixels))


def images(project: Project) -> dataset.Dataset:
    return dataset.read(project.root / "data/cycle/dataset")


def arrays(project: Project, name: str = "weights.npz") -> dict[str, np.ndarray]:
    return files.read_arrays(project.root / "data/cycle/model" / name)


def described(project: Project) -> Description:
    return Description.read(project.root / "data/cycle/model/model.json")


def outcome(project: Project) -> dict[str, str]:
    """SHA-256 of every byte that training gave."""
    paths = sorted((project.root / "data/cycle/model").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def passing(out: str) -> list[str]:
    """What is said of the images that pass the backbone."""
    return [line.removeprefix("prepare: features: ") for line in out.splitlines() if "prepare: features: " in line]


def test_only_new_images_pass_the_backbone(begun: Project) -> None:
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    done = begun.cycle()
    assert passing(done.out) == ["20 images to go through own_backbone:net"]
    assert images(begun).contents.num_computed == 20
    again = begun.cycle()
    assert passing(again.out) == []
    assert images(begun).contents.num_computed == 0


def test_what_is_kept_and_what_is_computed_anew_is_the_same(begun: Project) -> None:
    """Logits to 1e-3, and the same labels, from 16 bits as from the whole network on pixels."""
    weights, description = arrays(begun), described(begun)
    with contextlib.chdir(begun.root), begun.own_modules():
        network = model.load(description, weights, "test")
    begun.space.params(train={"tune": "all", "start": "cold"})
    part = images(begun).part("val")
    by_features = head.logits(head.of(weights), part.inputs)
    assert begun.upto("prepare").code == 0
    pixels = images(begun).part("val")
    assert pixels.digests == part.digests
    assert pixels.inputs.dtype == np.uint8
    by_pixels = model.logits(network, pixels.inputs, 64)
    np.testing.assert_allclose(by_features, by_pixels, atol=1e-3)
    assert (by_features.argmax(axis=1) == by_pixels.argmax(axis=1)).all()


def test_a_fresh_clone_fetches_features_and_computes_the_new_ones_alone(begun: Project) -> None:
    shutil.rmtree(begun.root / "data/scratch")
    shutil.rmtree(begun.root / "data/cycle/features")
    begun.space.dvc("push")
    shutil.rmtree(begun.root / ".dvc/cache")
    begun.add("second", pictures(range(100, 105), "cat", "dog"))
    done = begun.cycle()
    assert passing(done.out) == ["10 images to go through own_backbone:net"]


def test_shards_that_are_nowhere_are_made_anew_and_it_is_said(begun: Project) -> None:
    before = images(begun).part("train").inputs.copy()
    begun.space.dvc("push")
    for place in (".dvc/cache", "store/remote", "data/cycle/features"):
        for path in (begun.root / place).rglob("*"):
            if path.is_file() and path.read_bytes()[:6] == b"\x93NUMPY":
                path.unlink()
    done = begun.upto("prepare")
    count = images(begun).contents.num_images
    assert passing(done.out) == [
        f"{count} images to go through own_backbone:net; {count} of them are known and go through it again: what was "
        "kept is nowhere any more"
    ]
    np.testing.assert_allclose(images(begun).part("train").inputs, before, atol=1e-3)


def test_a_damaged_shard_is_not_used(begun: Project) -> None:
    for place in (".dvc/cache", "store/remote", "data/cycle/features"):
        for path in (begun.root / place).rglob("*"):
            if path.is_file() and path.read_bytes()[:6] == b"\x93NUMPY":
                path.chmod(0o644)
                path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    assert "what was kept is nowhere any more" in passing(begun.upto("prepare").out)[0]


def test_a_changed_decoder_makes_features_anew(begun: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.images.pixels.decoder", lambda: "another")
    (said,) = passing(begun.upto("prepare").out)
    assert said.endswith("of them are known and go through it again: images are decoded otherwise now")


def test_the_frozen_part_of_a_warm_start_is_its_parents_whatever_the_file_is_now(begun: Project) -> None:
    before, frozen = arrays(begun), described(begun).frozen
    write_weights(begun.root / "weights.safetensors", OWN, "net", seed=4)
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    begun.cycle()
    after = arrays(begun)
    assert described(begun).frozen == frozen
    for name in sorted(before)[:-2]:
        np.testing.assert_array_equal(before[name], after[name])


def test_first_tunes_all_in_a_cold_start_and_freezes_that_in_the_cycles_after(begun: Project) -> None:
    begun.space.params(train={"tune": "first", "start": "cold", "seed": 8})
    done = begun.cycle()
    assert "train: the head first, on the features that the pretrained network gives" in done.out
    assert described(begun).frozen is None
    version, tuned = begun.promote(), arrays(begun)
    begun.space.params(train={"start": "warm"})
    begun.add("second", pictures(range(100, 110), "cat", "dog"))
    done = begun.cycle()
    new, known, *_ = passing(done.out)  # then what the best version so far, of another network, sees
    assert new == "20 images to go through own_backbone:net"
    assert known.endswith("go through it again: what is kept is of another network, size, fit, cut or other weights")
    frozen = described(begun).frozen
    weights = begun.root / "data/scratch/objects" / (frozen.weights if frozen else "")
    assert weights.is_file(), f"features are named by the weights of v{version}"
    for name in sorted(tuned)[:-2]:
        np.testing.assert_array_equal(tuned[name], arrays(begun)[name])
    begun.promote()
    begun.add("third", pictures(range(200, 205), "cat", "dog"))
    new, *best = passing(begun.cycle().out)
    assert new == "10 images to go through own_backbone:net"
    assert len(best) <= 1, "the best version so far, of another network, sees the new ones that judge"


@pytest.mark.parametrize("balance", [None, "drawing"])
def test_an_interrupted_training_with_the_head_first_gives_the_same_bytes(
    begun: Project, tmp_path: Path, balance: str | None
) -> None:
    other = begun.copy(tmp_path / "other")
    for project in (begun, other):
        project.space.params(
            train={"tune": "last 1 block", "start": "cold", "seed": 9, "head_epochs": 4, "balance": balance}
        )
        assert project.upto("prepare").code == 0
    assert begun.run("train").code == 0
    other.space.params(budget={"max_steps": 5})
    codes = []
    while not codes or codes[-1] == 75:
        codes.append(other.run("train").code)
    assert codes[-1] == 0
    assert len(codes) > 3, "it was paused while the head was trained, and later"
    assert outcome(other) == outcome(begun)


@pytest.mark.parametrize("balance", ["weights", "drawing", "adjusted"])
def test_a_head_is_trained_with_balance_too_and_paused_gives_the_same_bytes(
    begun: Project, tmp_path: Path, balance: str
) -> None:
    begun.add("second", pictures(range(100, 140), "cat") | pictures(range(100, 104), "dog"))
    other = begun.copy(tmp_path / "other")
    assert begun.upto("train").code == 0
    without = outcome(begun)
    for project in (begun, other):
        project.space.params(train={"balance": balance})
    assert begun.run("train").code == 0
    assert outcome(begun)["weights.npz"] != without["weights.npz"]
    other.space.params(budget={"max_steps": 17})
    code = other.upto("train").code
    assert code == 75
    while code == 75:
        code = other.run("train").code
    assert code == 0
    assert outcome(other) == outcome(begun)


def test_the_output_of_a_new_label_begins_with_the_mean_feature_of_its_images(begun: Project) -> None:
    begun.add("second", {"fox": {f"{number}.png": red(number) for number in range(30)}})
    begun.space.params(train={"head_rate": 1e-9, "head_epochs": 1, "blend": []})
    assert begun.upto("train").code == 0
    part = images(begun).part("train")
    fox = images(begun).labels.index("fox")
    predicted = head.logits(head.of(arrays(begun)), part.inputs).argmax(axis=1)
    is_fox = part.labels == fox
    assert is_fox.any()
    assert (predicted[is_fox] == fox).mean() > 0.6, "without a step of training"
    assert (predicted[~is_fox] != fox).mean() > 0.6


def test_a_head_needs_pretrained_weights(begun: Project) -> None:
    begun.space.params(train={"pretrained": None})
    assert begun.run("resolve").error.endswith(
        "train: tune: head with pretrained: null would freeze random weights; set train.pretrained to the file that "
        "`python -m pipeline weights NAME` makes, or tune: all"
    )


@pytest.mark.parametrize("architecture", ["small_cnn", "photo_cnn", "own_backbone:net"])
def test_a_network_that_imagenet_has_no_weights_for_is_refused(begun: Project, architecture: str) -> None:
    begun.space.params(train={"architecture": architecture, "pretrained": "imagenet", "tune": "all"})
    assert begun.run("resolve").error.endswith(
        "train: pretrained: imagenet is for EfficientNetLite0 and keras.applications names, and architecture is "
        f"{architecture}; set pretrained: null, or to a file of weights of that network"
    )
    begun.space.params(train={"pretrained": None, "start": "cold"})
    if architecture != "own_backbone:net":  # by which the champion is built still
        assert "add it: resolve.networks: [own_backbone:net]; " in begun.run("resolve").error
        begun.space.params(resolve={"networks": ["own_backbone:net"]})
    assert begun.run("resolve").code == 0


def test_a_file_of_weights_that_dvc_tracks_is_brought_here(begun: Project) -> None:
    (begun.root / "kept").mkdir()
    (begun.root / "weights.safetensors").rename(begun.root / "kept/weights.safetensors")
    begun.space.params(train={"pretrained": "kept/weights.safetensors"})
    begun.space.dvc("add", "--quiet", "kept/weights.safetensors")
    before = (begun.root / "kept/weights.safetensors").read_bytes()
    (begun.root / "kept/weights.safetensors").unlink()
    begun.add("second", pictures(range(100, 105), "cat", "dog"))
    assert "resolve: bringing kept/weights.safetensors\n" in begun.cycle().out
    assert (begun.root / "kept/weights.safetensors").read_bytes() == before


def test_a_file_of_weights_that_is_nowhere_is_refused_before_anything_is_lost(begun: Project) -> None:
    (begun.root / "weights.safetensors").unlink()
    model_before = outcome(begun)
    assert "weights.safetensors: no such file" in begun.run("resolve").error
    assert outcome(begun) == model_before


def test_the_head_is_the_last_layer_of_every_network_of_ours() -> None:
    for name in networks.OWN:
        description = Description(architecture=name, image_shape=(32, 32, 3), labels=("one", "two", "three"))
        network = model.build(description)
        last = head.of(model.arrays(network.weights))
        assert [value.shape[-1] for value in last.values()] == [3, 3]
