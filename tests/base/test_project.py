"""The project is found from any folder in it, and worked on by its own code."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base import project


def made(folder: Path) -> Path:
    """A project whose code says where it runs, and what a path means that a person gave."""
    (folder / "pipeline").mkdir(parents=True)
    (folder / "pipeline/__init__.py").touch()
    (folder / "dvc.yaml").touch()
    (folder / "pipeline/__main__.py").write_text("import os, sys; print(os.getcwd(), *sys.argv[1:])")
    return folder


def entered(folder: Path) -> str:
    """What a call in a folder leads to."""
    script = "from pipeline.base import project; project.enter(); print('stayed')"
    words = [sys.executable, "-c", script, "trace", "1.png"]
    return subprocess.run(words, cwd=folder, capture_output=True, encoding="utf-8", check=True).stdout.strip()


@pytest.mark.parametrize("below", [".", "data", "data/images/first"])
def test_a_project_is_found_from_any_folder_in_it_and_its_own_code_runs(tmp_path: Path, below: str) -> None:
    root = made(tmp_path / "clone")
    (root / below).mkdir(parents=True, exist_ok=True)
    assert project.root(root / below) == root
    assert entered(root / below) == f"{root} trace 1.png"


def test_the_projects_code_is_found_where_python_is_told_to_keep_away_from_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made(tmp_path / "clone")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert entered(root) == f"{root} trace 1.png"


def test_names_are_utf_8_whatever_the_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made(tmp_path / "clone")
    code = "import os, sys; print(sys.getfilesystemencoding(), *os.listdir('data'))"
    (root / "pipeline/__main__.py").write_text(code)
    (root / "data/café").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for name, value in {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)
    assert entered(root) == "utf-8 café"


def test_outside_of_a_project_a_call_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()  # any DVC project has one
    assert project.root(tmp_path) is None
    assert entered(tmp_path) == "stayed"


def test_in_the_projects_own_folder_nothing_is_begun_anew() -> None:
    assert entered(Path(__file__).parents[2]) == "stayed"


def test_a_path_means_what_it_means_where_the_person_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made(tmp_path / "clone")
    monkeypatch.chdir(root)
    monkeypatch.delenv(project.CALLED_FROM, raising=False)
    assert project.given("photos/../june") == Path("photos/../june")
    monkeypatch.setenv(project.CALLED_FROM, str(root / "data/images"))
    assert project.given("first/cat/1.png") == Path("data/images/first/cat/1.png")
    assert project.given(".") == Path("data/images")
    assert project.given("../../../photos") == tmp_path / "photos"
    assert project.given("/srv/photos") == Path("/srv/photos")
