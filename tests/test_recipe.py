import pytest

from benchmarks.workspace import CHECKOUT
from pipeline import recipe
from pipeline.base import params
from pipeline.settings import Params

CODE = dict.fromkeys(("detect", "validate", "prepare", "train", "evaluate"), "code")


def changed(settings: Params, section: str, **values: object) -> Params:
    return settings.model_copy(update={section: getattr(settings, section).model_copy(update=values)})


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("prepare", {"image_size": 64}),
        ("prepare", {"fit": "pad"}),
        ("prepare", {"replay": "all"}),
        ("prepare", {"seed": 8}),
        ("train", {"architecture": "MobileNetV3Small"}),
        ("train", {"patience": 99}),
        ("train", {"restore": ("optimizer",)}),
        ("train", {"target": 0.1}),
        ("validate_", {"min_side": 9}),
        ("detect", {"ignore": ()}),
        ("resolve", {"after_removal": "retrain"}),
    ],
    ids=str,
)
def test_a_setting_that_makes_another_model_is_another_recipe(settings, section, values):
    assert recipe.digest(changed(settings, section, **values), CODE, "none") != recipe.digest(settings, CODE, "none")


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
    assert recipe.digest(changed(settings, section, **values), CODE, "none") == recipe.digest(settings, CODE, "none")


@pytest.mark.parametrize("form", ["CRLF", "BOM"])
def test_line_ends_and_a_byte_order_mark_are_no_other_recipe(settings, tmp_path, form):
    content = (CHECKOUT / "params.yaml").read_bytes()
    changed = content.replace(b"\n", b"\r\n") if form == "CRLF" else b"\xef\xbb\xbf" + content
    (tmp_path / "params.yaml").write_bytes(changed)
    assert recipe.digest(params.load(tmp_path / "params.yaml", Params), CODE, "none") == recipe.digest(
        settings, CODE, "none"
    )


@pytest.mark.parametrize(
    ("stage", "matters"),
    [("detect", True), ("validate", True), ("prepare", True), ("train", True), ("evaluate", False)],
)
def test_code_that_makes_another_model_is_another_recipe(settings, stage, matters):
    assert (
        recipe.digest(settings, CODE | {stage: "other"}, "none") != recipe.digest(settings, CODE, "none")
    ) is matters
