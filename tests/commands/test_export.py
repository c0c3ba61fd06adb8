"""`python -m pipeline export`: a version as one file of another format, checked against the version."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from project import MadeOnce, Project, encoded, two_versions

from pipeline.base.errors import ModelError
from pipeline.learning import exporting

pytestmark = pytest.mark.project  # loads MLflow and TensorFlow


@pytest.fixture(scope="module")
def shared(made_once: MadeOnce, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two versions, the second one the champion; no test changes it."""
    project = two_versions(made_once, empty_database).copy(tmp_path_factory.mktemp("export") / "clone")
    project.promote(2)
    return project


@pytest.mark.parametrize(
    ("kind", "file"), [("saved_model", "saved_model"), ("litert", "model.tflite"), ("onnx", "model.onnx")]
)
def test_the_readme_beside_the_file_has_code_that_answers_as_the_version_does(
    shared: Project, tmp_path: Path, kind: str, file: str
) -> None:
    """In a process and a folder that know nothing of the project."""
    done = shared.call("export", "--format", kind, "--out", str(tmp_path / "out"), "--version", "1")
    assert done.code == 0, done.err
    assert re.search(
        r"on \d+ holdout images and \d+ images of noise the labels are the same, probabilities differ by \S+ at most "
        r"\(0\.001 is tolerated\)",
        done.out,
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {file, "model.json", "README.md"}
    said = json.loads((tmp_path / "out/model.json").read_text())
    assert (said["version"], said["labels"], said["image_shape"], said["fit"]) == (1, ["cat", "dog"], [8, 8, 3], "crop")
    assert said["checked"]["holdout"] + said["checked"]["noise"] == 100
    photo = encoded(Image.effect_noise((90, 50), 90).convert("RGB"), "JPEG", quality=90)
    (tmp_path / "out/photo.jpg").write_bytes(photo)
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(), re.DOTALL)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "out", env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    label, probability = ran.stdout.split()
    answer = shared.call("predict", str(tmp_path / "out/photo.jpg"), "--version", "1").out.split()
    assert label == answer[0]
    assert float(probability) == pytest.approx(float(answer[1]), abs=2e-4)


def test_the_champion_is_exported_unless_a_version_is_named(shared: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = shared.call("export", "--format", "litert", "--out", "empty", EVERGREEN_CALLED_FROM=str(tmp_path))
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "empty/model.json").read_text())["version"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"empty"}
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["taken", "file"])
def test_a_folder_that_is_taken_is_left_alone(shared: Project, tmp_path: Path, name: str) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/own").touch()
    (tmp_path / "file").touch()
    done = shared.call("export", "--format", "litert", "--out", str(tmp_path / name))
    assert done.code == 4
    remedy = "expected a new folder; name another, or delete it"
    assert done.error == f"export: error: --out '{tmp_path / name}': is there already; {remedy}"
    assert (tmp_path / "taken/own").exists()


def test_of_a_file_that_answers_otherwise_nothing_is_left(
    shared: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*arguments: object) -> float:
        assert any(isinstance(one, Path) and one.exists() for one in arguments)
        raise ModelError("it answers otherwise; nothing is kept of it")

    monkeypatch.setattr(exporting, "difference", other)
    done = shared.call("export", "--format", "litert", "--out", str(tmp_path / "out"))
    assert (done.code, done.error) == (6, "export: error: it answers otherwise; nothing is kept of it")
    assert not list(tmp_path.iterdir())


def test_without_holdout_images_noise_is_shown_and_that_is_said(shared: Project, tmp_path: Path) -> None:
    own = shared.copy(tmp_path / "own")
    for folder in (".dvc/cache", "store/remote", "data/images/first", "data/images/second"):
        shutil.rmtree(own.root / folder, ignore_errors=True)
    done = own.call("export", "--format", "litert", "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err
    assert "export: warning: the holdout images of v2 are not to be had: " in done.out
    assert "on 100 images of noise the labels are the same" in done.out
    assert "On 100 images of noise its labels are those of v2" in (tmp_path / "out/README.md").read_text()


@pytest.mark.parametrize("words", [("--format", "h5", "--out", "x"), ("--format", "onnx"), ("--out", "x")])
def test_a_format_and_a_folder_have_to_be_named(shared: Project, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        shared.call("export", *words)
