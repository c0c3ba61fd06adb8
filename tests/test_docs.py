"""What is written for people is true: the README's commands, the help, the comments in params.yaml."""

import base64
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from project import Project, pictures

from benchmarks import workspace
from benchmarks.workspace import CHECKOUT, STAGES, Workspace
from pipeline.registry import connection

README = (CHECKOUT / "README.md").read_text()


def photograph(label: str, number: int) -> bytes:
    """A drawn JPEG of camera proportions: a sea or a forest under a sky, in varying light."""
    rng = np.random.default_rng([number, len(label)])
    height, width = 120, 160
    horizon = int(rng.integers(40, 80))
    pixels = np.empty((height, width, 3))
    pixels[:horizon] = np.array([150, 190, 240]) * rng.uniform(0.7, 1)
    pixels[horizon:] = np.array({"sea": [20, 70, 150], "forest": [30, 110, 40]}[label]) * rng.uniform(0.7, 1.2)
    pixels += rng.normal(0, 12, pixels.shape)
    sink = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sink, "JPEG", quality=85)
    return sink.getvalue()


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    """A clone with an origin, the virtual environment in place, and photographs in the home folder."""
    made = workspace.create(tmp_path / "clone")
    (made.root / ".venv").symlink_to(sys.prefix)
    for name in ("requirements.lock", "pyproject.toml"):
        os.utime(made.root / name, (0, 0))  # or make would take it for newer than .venv, and make that anew
    for label in ("sea", "forest"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(60):
            (tmp_path / "photos" / label / f"{number}.JPG").write_bytes(photograph(label, number))
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "origin"], check=True)
    made.git("remote", "add", "origin", str(tmp_path / "origin"))
    made.git("push", "--quiet", "--set-upstream", "origin", "main")
    return made


def test_the_walk_through_with_own_images_works_to_the_letter(space: Workspace, tmp_path: Path) -> None:
    (block,) = re.findall(r"## Your own images\n.*?```sh\n(.*?)```", README, re.S)
    others = ("make ui", "python -m pipeline weights")  # the one never ends, the other needs the internet
    commands = "\n".join(line for line in block.splitlines() if not line.startswith(others))
    space.params(evaluate={"suspicious": 0.9})  # as someone who reads params.yaml first
    env = {**space.env, "HOME": str(tmp_path), "MAKEFLAGS": ""}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=space.root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "120 images added" in output
    assert "v1 is the new champion" in output
    assert "uncommitted" not in (space.root / "data/cycle/report.md").read_text()
    assert space.read("evaluation.json")["challenger"]["accuracy"] > 0.8
    assert space.git("status", "--porcelain") == ""
    assert space.git("rev-parse", "HEAD") == space.git("rev-parse", "origin/main")
    shutil.rmtree(space.root / ".dvc/cache")
    shutil.rmtree(space.root / "data/images/first")
    space.dvc("pull", "--quiet", "data/images/first.dvc")
    assert len(list((space.root / "data/images/first").rglob("*.JPG"))) == 120, "dvc push sent the images"


def test_a_batch_is_removed_as_the_readme_says(project: Project) -> None:
    (command,) = re.findall(r"a whole batch: `(dvc remove .*?)`", README)
    for number, batch in enumerate(("first", "second")):
        project.add(batch, pictures(range(40 * number, 40 * number + 40), "cat", "dog"))
    done = subprocess.run(
        shlex.split(command.replace("<batch>", "second")),
        cwd=project.root, env=dict(project.space.env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    project.space.commit("Without the second batch")
    assert project.upto("detect").code == 0
    assert {path.partition("/")[0] for path in project.delta("added")} == {"first"}
    assert project.space.git("status", "--porcelain", "--", "data/images") == ""


def test_the_champion_is_used_as_the_readme_says(space: Workspace, tmp_path: Path) -> None:
    space.params(train={"max_epochs": 1}, evaluate={"min_accuracy": 0.0})
    shutil.copytree(tmp_path / "photos", space.root / "data/images/first")
    space.dvc("add", "--quiet", "data/images/first")
    assert space.repro(quiet=True).code == 0
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (space.root / "photo.jpg").write_bytes(photograph("sea", 1))
    script = code.replace("champion.predict", "found = champion.predict") + "print(found.to_dict('list'))"
    env = {key: value for key, value in space.env.items() if not key.startswith("MLFLOW_TRACKING")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=space.root, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"'label': \['(sea|forest)'\], 'probability': \[[01]\.", done.stdout)


def test_mlflows_own_commands_find_the_registry_of_the_project(space: Workspace, tmp_path: Path) -> None:
    """No variable names it; and nothing that Git would take in is left."""
    (command,) = re.findall(r"`(mlflow models serve .*?)`", README)
    env = {key: value for key, value in space.env.items() if key != "MLFLOW_TRACKING_URI"}
    space = Workspace(space.root, env)
    space.params(
        prepare={"image_size": 8}, train={"max_epochs": 1, "audit_every": None}, evaluate={"min_accuracy": 0.0}
    )
    shutil.copytree(tmp_path / "photos", space.root / "data/images/first")
    space.dvc("add", "--quiet", "data/images/first")
    assert space.repro(quiet=True).code == 0
    space.commit("First cycle")
    photo = base64.b64encode(photograph("sea", 1)).decode()
    (tmp_path / "in.json").write_text(json.dumps({"dataframe_split": {"columns": ["image"], "data": [[photo]]}}))
    words = [*shlex.split(command.replace("serve", "predict")), "-t", "json", "-i", str(tmp_path / "in.json")]
    done = subprocess.run(words, cwd=space.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r'"label": "(sea|forest)"', done.stdout)
    assert space.git("status", "--porcelain") == ""


def test_a_stray_database_of_mlflow_is_told_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    connection.MLFLOWS_OWN.write_bytes(b"of somebody")
    connection.link_local()
    assert connection.MLFLOWS_OWN.read_bytes() == b"of somebody"
    assert "`rm mlflow.db` once" in capsys.readouterr().out
    connection.MLFLOWS_OWN.unlink()
    connection.link_local()
    assert connection.MLFLOWS_OWN.readlink() == Path("store/mlflow.db")
    assert capsys.readouterr().out == ""


def test_make_ui_opens_the_mlflow_ui(space: Workspace, empty_database: Path) -> None:
    (space.root / "store").mkdir(exist_ok=True)
    shutil.copy(empty_database, space.root / "store/mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["make", "ui", f"PORT={port}"], cwd=space.root, env=dict(space.env),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while True:
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.5)
        assert "MLflow" in page
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def test_every_stage_has_help_with_its_own_command_as_example() -> None:
    stages = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"]
    for stage in STAGES:
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", stage, "--help"],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
        words = " ".join(done.stdout.split())
        assert "example: " + " ".join(stages[stage]["cmd"].split()) in words


def test_the_readme_names_every_stage_and_make_target() -> None:
    for stage in STAGES:
        assert f"\n| {stage} |" in README
    targets = re.findall(r"^([a-z-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.M)
    shown = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {target} " in shown for target in targets)
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", README, re.M):
        assert target in targets


def test_the_readmes_links_and_settings_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (CHECKOUT / link).exists(), link
    settings = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    for section, key in re.findall(r"`(resolve|detect|validate|prepare|train|evaluate|promote)\.(\w+)", README):
        assert key in settings[section]
