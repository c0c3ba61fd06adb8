import shutil
from pathlib import Path

import pytest

from pipeline.base import code, recipe
from pipeline.settings import Params


def changed(settings: Params, section: str, **values: object) -> Params:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("prepare", {"image_size": 64}),
        ("prepare", {"replay": "all"}),
        ("prepare", {"seed": 8}),
        ("train", {"architecture": "MobileNetV3Small"}),
        ("train", {"patience": 99}),
        ("train", {"restore": ("optimizer",)}),
        ("train", {"target": 0.1}),
        ("validate_", {"min_side": 9}),
        ("detect", {"ignore": ()}),
    ],
    ids=str,
)
def test_a_setting_that_makes_another_model_is_another_recipe(settings, section, values):
    assert recipe.digest(changed(settings, section, **values)) != recipe.digest(settings)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("evaluate", {"margin": 0.5}),
        ("evaluate", {"batch_size": 1}),
        ("promote", {"automatic": False}),
        ("resolve", {"alias": "other"}),
    ],
    ids=str,
)
def test_a_setting_that_only_judges_is_the_same_recipe(settings, section, values):
    assert recipe.digest(changed(settings, section, **values)) == recipe.digest(settings)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our package, to change."""
    shutil.copytree(code.ROOT, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path / "pipeline")
    return tmp_path / "pipeline"


@pytest.mark.parametrize(
    ("module", "matters"),
    [
        ("images/decoding.py", True),
        ("data/replay.py", True),
        ("learning/training.py", True),
        ("judging/gate.py", False),
        ("showing/card.py", False),
    ],
)
def test_code_that_makes_another_model_is_another_recipe(settings, package, module, matters):
    before = recipe.digest(settings)
    (package / module).write_bytes((package / module).read_bytes() + b"\n# changed\n")
    assert (recipe.digest(settings) != before) is matters
