"""A real project for the stages: its own clone, DVC remote and registry, each stage run by its own command."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from project import MadeOnce, Project, pictures

from benchmarks import workspace
from benchmarks.workspace import STAGES, Workspace
from pipeline import __main__ as command


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Workspace:
    made = workspace.create(tmp_path / "clone")
    (made.root / "store").mkdir(exist_ok=True)
    shutil.copy(empty_database, made.root / "store/mlflow.db")
    monkeypatch.chdir(made.root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("DVC_SITE_CACHE_DIR", "DVC_NO_ANALYTICS", "MLFLOW_DISABLE_TELEMETRY", "GX_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, made.env[name])
    return made


@pytest.fixture
def run(space: Workspace) -> Callable[..., int]:
    """Run stages by their commands in dvc.yaml, in this process; the exit code of the last."""

    def stages(*names: str) -> int:
        cmds = yaml.safe_load((space.root / "dvc.yaml").read_text())["stages"]
        code = 0
        for name in names:
            code = command.main(shlex.split(cmds[name]["cmd"])[3:])
            if code:
                break
        return code

    return stages


@pytest.fixture
def upto(run: Callable[..., int]) -> Callable[[str], int]:
    """Run all stages up to this one."""
    return lambda last: run(*STAGES[: STAGES.index(last) + 1])


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """The one line of error that a stage printed."""

    def line(stage: str) -> str:
        (found,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{stage}: error:")]
        return found

    return line


@pytest.fixture
def trained(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """A project with one cycle behind it."""

    def make(folder: Path) -> None:
        project = Project.create(folder, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()

    return made_once("after a cycle", make).copy(tmp_path / "trained")


@pytest.fixture
def lived(made_once: MadeOnce, empty_database: Path, tmp_path: Path) -> Project:
    """v1 is the anchor, v2 the champion: a person made it that."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.add("first", pictures(range(30), "cat", "dog"))
        project.cycle()
        project.add("more1", pictures(range(100, 112), "cat", "dog"))
        project.cycle()
        project.promote(2)
        project.retag(2, is_best="false")
        project.mlflow.set_registered_model_alias("evergreen", "champion-anchor", "1")

    return made_once("lived", make).copy(tmp_path / "clone")
