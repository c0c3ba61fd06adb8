"""`auto` in params.yaml: which settings may have it, and what it stands for."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.workspace import CHECKOUT
from pipeline import recipe
from pipeline.base import auto, params
from pipeline.base.errors import ParamsError
from pipeline.settings import Params
from pipeline.stages import prepare, train, validate

TEXT = (CHECKOUT / "params.yaml").read_text()
CONTENT = yaml.safe_load(TEXT)
CODE = dict.fromkeys(("detect", "validate", "prepare", "train"), "code")
BEFORE = {
    "prepare.image_size": 32,
    "train.passes_per_new": 150,
    "train.warm_epochs": 10,
    "train.max_epochs": 60,
    "train.replay": "all",
    "train.repeat_new": 1,
    "train.shift": 0.125,
    "train.learning_rate": 0.002,
    "train.warm_rate": 2.5,
    "train.patience": 6,
    "train.warm_average": None,
    "train.blend": (0, 0.25, 0.5, 0.75, 1),
}
"""What params.yaml said before there was auto. Another value would train every small CNN anew."""
NETWORKS = {
    "small_cnn": {"architecture": "small_cnn", "pretrained": None},
    "fresh": {"architecture": "MobileNetV3Small", "pretrained": None},
    "pretrained": {"architecture": "MobileNetV3Small", "pretrained": "imagenet"},
}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """The repository's params.yaml with some settings changed: `write({"train.seed": 8})`."""

    def written(changes: dict[str, Any], **of_train: Any) -> Path:
        content = yaml.safe_load(TEXT)
        for name, value in {**changes, **{f"train.{key}": value for key, value in of_train.items()}}.items():
            section, key = name.split(".")
            content[section][key] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return written


def value(settings: Any, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(settings, section), key)


def test_the_file_has_auto_wherever_it_may_be() -> None:
    may_be = {name for name in auto.VALUES if CONTENT[name.split(".")[0]][name.split(".")[1]] == "auto"}
    assert may_be == set(auto.VALUES)
    others = {f"{section}.{key}" for section, keys in CONTENT.items() for key in keys if keys[key] == "auto"}
    assert others - may_be == {"train.mode"}, "a word of that setting itself"


@pytest.mark.parametrize("name", auto.VALUES)
def test_the_comment_beside_a_setting_says_what_auto_stands_for(name: str) -> None:
    def shown(value: auto.Value) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    small_cnn, fresh, pretrained = auto.VALUES[name]
    said = f"auto: {shown(small_cnn)}"
    if fresh != small_cnn:
        said += f"; {shown(fresh)} for other networks than small_cnn"
    if pretrained != fresh:
        said += f"; {shown(pretrained)} with pretrained weights"
    section, key = name.split(".")
    text = re.search(rf"^{section}:\n(.*?)(^\w|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert text
    assert re.search(rf"^  {key}: auto #.* {re.escape(said)}$", text[1], re.MULTILINE)


def test_a_small_cnn_is_trained_as_before(settings: Params) -> None:
    assert {name: value(settings, name) for name in auto.VALUES} == BEFORE
    assert "auto" not in {value(settings, name) for name in BEFORE}


@pytest.mark.parametrize("kind", NETWORKS)
def test_auto_follows_the_network(write: Write, kind: str) -> None:
    path = write({}, **NETWORKS[kind])
    loaded = params.load(path, Params)
    assert {name: value(loaded, name) for name in auto.VALUES} == {
        name: getattr(values, kind) for name, values in auto.VALUES.items()
    }
    assert set(params.differing(path)) == {
        name for name, values in auto.VALUES.items() if getattr(values, kind) != values.small_cnn
    }


@pytest.mark.parametrize("pretrained", [None, "weights.npz"])
def test_the_small_cnn_has_its_values_whatever_weights_are_asked_for(write: Write, pretrained: str | None) -> None:
    assert params.load(write({}, pretrained=pretrained), Params).prepare.image_size == 32


def test_a_network_of_ones_own_is_one_of_the_others(write: Write) -> None:
    assert params.load(write({}, architecture="my.models:tiny"), Params).prepare.image_size == 96


@pytest.mark.parametrize("kind", NETWORKS)
def test_auto_and_the_same_numbers_written_out_are_the_same_recipe(write: Write, kind: str) -> None:
    with_auto = params.load(write({}, **NETWORKS[kind]), Params)
    numbers = {name: getattr(values, kind) for name, values in auto.VALUES.items()}
    numbers["train.blend"] = list(numbers["train.blend"])
    path = write(numbers, **NETWORKS[kind])
    written_out = params.load(path, Params)
    assert with_auto.model_dump_json() == written_out.model_dump_json()
    assert recipe.digest(with_auto, CODE, "none") == recipe.digest(written_out, CODE, "none")
    assert params.differing(path) == {}, "a number that stands there need not be told"


def test_what_a_head_does_not_read_is_not_told(write: Write) -> None:
    path = write({"train.tune": "head"}, **NETWORKS["pretrained"])
    assert set(params.differing(path)) == {"prepare.image_size", "train.patience", "train.blend"}


@pytest.mark.parametrize("stage", [validate, prepare, train])
def test_what_a_stage_reads_follows_the_network_too(write: Write, stage: Any) -> None:
    path = write({"train.batch_size": "not looked at"} if stage is not train else {}, **NETWORKS["pretrained"])
    settings = params.load(path, stage.Settings)
    assert (settings.train.learning_rate == 0.0003) if stage is train else (settings.prepare.image_size == 160)


def test_nothing_is_changed_in_the_content_itself() -> None:
    content = yaml.safe_load(TEXT)
    assert auto.filled(content)["prepare"]["image_size"] == 32
    assert content == CONTENT


@pytest.mark.parametrize("name", ["train.batch_size", "prepare.max_val", "evaluate.margin", "validate.min_side"])
def test_of_another_setting_it_is_refused_with_those_that_may_be_auto(write: Write, name: str) -> None:
    said = rf"{re.escape(name)} is 'auto'; expected .*; only these may be auto: {', '.join(auto.VALUES)}$"
    with pytest.raises(ParamsError, match=said):
        params.load(write({name: "auto"}), Params)


@pytest.mark.parametrize("name", auto.VALUES)
def test_of_these_settings_an_error_says_that_auto_would_do(write: Write, name: str) -> None:
    with pytest.raises(ParamsError, match=rf"{re.escape(name)} is 'much'; expected .* or auto$"):
        params.load(write({name: "much"}), Params)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": None}, "train is None; expected its settings, one on each line below it"),
        ({"train": {}}, r"train\.\w+ is missing; every setting has to be there"),
        ({"prepare": []}, r"prepare is \[\]|prepare is \(\)"),
        ({"prepare": "auto"}, "prepare is 'auto'; expected its settings"),
        (
            {"train": {**CONTENT["train"], "architecture": ["x"]}},
            r"train\.architecture is \['x'\]; expected small_cnn, photo_cnn, a",
        ),
        ({"train": {**CONTENT["train"], "pretrained": {}}}, r"train\.pretrained is {}; expected null, imagenet, or"),
    ],
)
def test_a_faulty_file_is_refused_as_ever(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({**CONTENT, **changes}))
    with pytest.raises(ParamsError, match=said):
        params.load(path, Params)
