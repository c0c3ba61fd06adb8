"""What `python -m pipeline add` says of settings that suit the images, and what --set writes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project import Project, encoded

from benchmarks import workspace
from pipeline.base import params
from pipeline.settings import Params

pytestmark = pytest.mark.project

WEIGHTS = "data/weights/EfficientNetLite0.safetensors"


def photographs(folder: Path, num_each: int = 55, size: tuple[int, int] = (96, 72)) -> Path:
    """Of two labels; smooth noise, no two alike."""
    rng = np.random.default_rng(num_each)
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(num_each):
            coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
            picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
            (folder / label / f"{number}.jpg").write_bytes(encoded(picture, "JPEG"))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photographs(tmp_path_factory.mktemp("given") / "photos")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """With the settings of this repository; `add` needs no registry."""
    return Project(workspace.create(tmp_path_factory.mktemp("advice") / "clone"))


@pytest.fixture
def new(shared: Project) -> Iterator[Project]:
    """The shared project without images, put back as it was."""
    head = shared.space.git("rev-parse", "HEAD").strip()
    yield shared
    shared.space.git("reset", "--hard", "--quiet", head)
    shared.space.git("clean", "-fdqx", "data", "dvc.lock")


def advice(out: str) -> list[str]:
    return [line for line in out.splitlines() if "suit" in line or "--set" in line]


def changes(project: Project) -> set[str]:
    """Lines of params.yaml that changed, as they are now, without comments."""
    lines = project.space.git("diff", "--unified=0", "HEAD", "params.yaml").splitlines()
    return {line[1:].partition("#")[0].strip() for line in lines if line.startswith("+ ")}


def bring_weights(project: Project, name: str = WEIGHTS, content: str = "weights") -> None:
    path = project.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)


POINTER = f"outs:\n- md5: {'a' * 32}\n  size: 7\n  hash: md5\n  path: EfficientNetLite0.safetensors\n"


MIRRORED = "training mirrors them at random: set train.flip: false if left and right differ"
SEEN = "photographs of about 96 x 72 pixels, 2 labels with 55 images each"


def test_what_suits_is_one_line_at_the_end_and_changes_nothing(new: Project, photos: Path) -> None:
    bring_weights(new, f"{WEIGHTS}.dvc", POINTER)  # DVC has the file
    done = new.call("add", str(photos))
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1:] == advice(done.out)
    assert done.out.splitlines()[-1] == (
        f"add: {SEEN}; these settings suit them: train.architecture: EfficientNetLite0 (with 96 pixels), "
        f"train.pretrained: {WEIGHTS}, train.tune: head (for 110 images), prepare.image_size: 96; the same command "
        f"with --set writes that into params.yaml; {MIRRORED}"
    )
    assert changes(new) == set()


def test_set_writes_them_and_says_what_there_was(new: Project, photos: Path) -> None:
    bring_weights(new)
    done = new.call("add", str(photos), "--set")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == (
        f"add: {SEEN}; params.yaml now says what suits them: train.architecture: small_cnn -> EfficientNetLite0 (with "
        f"96 pixels), train.pretrained: null -> {WEIGHTS}, train.tune: all -> head (for 110 images), "
        f"prepare.image_size: auto -> 96; {MIRRORED}"
    )
    wanted = {"architecture: EfficientNetLite0", f"pretrained: {WEIGHTS}", "tune: head", "image_size: 96"}
    assert changes(new) == wanted
    assert params.load(new.root / "params.yaml", Params).prepare.image_size == 96
    assert (new.root / "data/images/photos.dvc").is_file()


def test_the_remedy_works_to_the_letter_once_the_weights_are_there(new: Project, photos: Path) -> None:
    done = new.call("add", str(photos))
    assert advice(done.out)[-1].endswith(
        "photographs do better with a network that has seen others: `python -m pipeline weights EfficientNetLite0`, "
        "then the same command with --set"
    )
    bring_weights(new)
    again = new.call("add", str(photos), "--set")
    assert again.code == 0, again.err
    assert "add: nothing to add" in again.out
    assert "architecture: EfficientNetLite0" in changes(new)
    once_more = new.call("add", str(photos), "--set")
    assert advice(once_more.out) == [f"add: {SEEN}; params.yaml suits them as it is; {MIRRORED}"]


def test_set_does_not_add_to_a_batch_that_is_there(new: Project, photos: Path, tmp_path: Path) -> None:
    assert new.call("add", str(photos)).code == 0
    more = photographs(tmp_path / "photos", 11)
    error = new.call("add", str(more), "--set").error
    assert error == "add: error: data/images/photos exists; expected the name of a new batch; give another with --batch"
    assert changes(new) == set()


def test_a_dry_run_with_set_says_what_suits_and_writes_nothing(new: Project, photos: Path) -> None:
    done = new.call("add", str(photos), "--set", "--dry-run")
    assert "these settings suit them: train.architecture: photo_cnn, prepare.image_size: 64" in advice(done.out)[0]
    assert new.space.git("status", "--short") == ""


def test_after_a_first_cycle_nobody_is_advised_who_did_not_ask(new: Project, photos: Path, tmp_path: Path) -> None:
    (new.root / "dvc.lock").write_text("schema: '2.0'\n")
    assert advice(new.call("add", str(photos)).out) == []
    large = photographs(tmp_path / "large", 12, (171, 128))
    (line,) = advice(new.call("add", str(large)).out)
    assert "these settings suit them: train.architecture: photo_cnn; the same command with --set" in line
    assert line.endswith(
        "if there is a champion, it cannot go on with these: set train.start: cold for one cycle, and back with the "
        "next batch"
    )
    assert "architecture: photo_cnn" not in changes(new)
    new.call("add", str(large), "--set")
    assert changes(new) == {"architecture: photo_cnn"}


def test_set_is_refused_before_anything_is_added_where_params_yaml_cannot_be_written(
    new: Project, photos: Path
) -> None:
    path = new.root / "params.yaml"
    text = path.read_text().replace("image_size: auto", "image_size: &usual auto")
    path.write_text(text.replace("shift: auto", "shift: *usual"))
    done = new.call("add", str(photos), "--set")
    assert done.error == (
        "add: error: params.yaml: expected each setting as a plain `name: value`; set train.architecture: photo_cnn, "
        "prepare.image_size: 64 there yourself"
    )
    path.write_text(path.read_text() + "\n<<<<<<< HEAD\n")
    assert "params.yaml: not valid YAML" in new.call("add", str(photos), "--set").error
    assert not (new.root / "data/images/photos.dvc").exists()


def test_set_is_refused_while_params_yaml_is_in_conflict_and_the_remedy_works(new: Project, photos: Path) -> None:
    path = new.root / "params.yaml"
    text = path.read_text()
    new.space.git("switch", "--quiet", "--create", "other")
    path.write_text(text.replace("batch_size: 32", "batch_size: 16"))
    new.space.commit("Other")
    new.space.git("switch", "--quiet", "main")
    path.write_text(text.replace("batch_size: 32", "batch_size: 64"))
    new.space.commit("This")
    subprocess.run(["git", "merge", "--quiet", "other"], cwd=new.root, check=False, capture_output=True)
    path.write_text(text)  # put right by hand, and not committed
    assert new.call("add", str(photos), "--set").error == (
        "add: error: params.yaml: a merge left it in conflict; end that with `git add params.yaml && git commit`, then "
        "run this again"
    )
    new.space.git("add", "params.yaml")
    new.space.git("commit", "--quiet", "--no-edit")
    assert new.call("add", str(photos), "--set").code == 0
    assert changes(new) == {"architecture: photo_cnn", "image_size: 64"}
