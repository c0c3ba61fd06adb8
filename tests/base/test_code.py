import shutil
from pathlib import Path

import pytest

from pipeline.base import code

REAL = Path(code.__file__).parents[1]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a few modules in the place of ours."""
    root = tmp_path / "pipeline"
    contents = {
        "a.py": "import os\nfrom pipeline import b\n",
        "b.py": "def late():\n    from pipeline.c import thing\n    import pipeline.d\n",
        "c.py": "from pipeline import a  # a circle\n",
        "d.py": "thing = 1\n",
        "other.py": "from pipeline import a\n",
        "stages/go.py": "from pipeline import b as renamed\nfrom other import x\n",
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    monkeypatch.setattr(code, "ROOT", root)
    return root


def names(module: str) -> list[str]:
    return [path.relative_to(code.ROOT).as_posix() for path in code.modules(module)]


@pytest.mark.usefixtures("package")
def test_modules_are_the_module_itself_and_all_it_imports_even_inside_functions():
    assert names("pipeline.stages.go") == ["a.py", "b.py", "c.py", "d.py", "stages/go.py"]


@pytest.mark.usefixtures("package")
def test_a_module_that_imports_nothing_of_ours_is_alone():
    assert names("pipeline.d") == ["d.py"]


@pytest.mark.usefixtures("package")
def test_modules_that_import_each_other_end():
    assert names("pipeline.a") == ["a.py", "b.py", "c.py", "d.py"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", ["os.path", "pipeline.nothing", "pipeline"])
def test_a_name_that_is_no_module_of_ours_is_refused(name):
    with pytest.raises(ValueError, match=name):
        code.modules(name)


@pytest.mark.parametrize("changed", ["a.py", "b.py", "c.py", "d.py", "stages/go.py"])
def test_the_digest_changes_with_every_module_that_a_stage_runs_through(package, changed):
    before = code.digest("pipeline.stages.go")
    (package / changed).write_bytes((package / changed).read_bytes() + b"# changed\n")
    assert code.digest("pipeline.stages.go") != before


def test_the_digest_stays_when_another_module_changes(package):
    before = code.digest("pipeline.stages.go")
    (package / "other.py").write_text("changed = True\n")
    assert code.digest("pipeline.stages.go") == before


def test_the_digest_changes_when_a_module_changes_its_name(package):
    before = code.digest("pipeline.stages.go")
    (package / "d.py").rename(package / "e.py")
    (package / "b.py").write_text((package / "b.py").read_text().replace("pipeline.d", "pipeline.e"))
    renamed = code.digest("pipeline.stages.go")
    (package / "e.py").rename(package / "d.py")
    assert len({before, renamed, code.digest("pipeline.stages.go")}) == 3


def test_the_digest_does_not_depend_on_where_the_package_lies(tmp_path, monkeypatch):
    here = code.digest("pipeline.stages.train")
    shutil.copytree(REAL, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path / "pipeline")
    assert code.digest("pipeline.stages.train") == here


def test_training_runs_through_the_model_but_not_through_the_card():
    found = names("pipeline.stages.train")
    assert {
        "stages/train.py",
        "learning/training.py",
        "learning/model.py",
        "learning/checkpoint.py",
        "base/errors.py",
    } <= set(found)
    assert "showing/card.py" not in found
