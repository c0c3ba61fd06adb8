import copy
import json
import re
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest
import yaml

from pipeline.base import auto, params
from pipeline.base.errors import ParamsError
from pipeline.settings import Params

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text("utf-8")
CONTENT = yaml.safe_load(TEXT)
SETTINGS = {f"{section}.{key}": value for section, keys in CONTENT.items() for key, value in keys.items()}
SECTIONS = list(CONTENT)
GONE = object()


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[dict[str, object]], Params]:
    """Load the repository's params.yaml with some values changed, by dotted name, or gone."""

    def load(changes: dict[str, object]) -> Params:
        content = copy.deepcopy(CONTENT)
        for name, value in changes.items():
            section, _, key = name.partition(".")
            where, last = (content[section], key) if key else (content, section)
            if value is GONE:
                del where[last]
            else:
                where[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper), "utf-8")
        return params.load(path, Params)

    return load


def test_what_the_file_says_is_what_is_loaded(settings):
    assert settings.model_dump(mode="json", by_alias=True) == json.loads(json.dumps(auto.filled(yaml.safe_load(TEXT))))


def test_settings_cannot_be_changed(settings):
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        settings.train.patience = 99


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_in_the_file_has_a_comment_beside_or_above_it(name):
    section, _, key = name.partition(".")
    lines = re.search(rf"^{section}:\n(.*?)(^\w|\Z)", TEXT, re.MULTILINE | re.DOTALL)[1].splitlines()
    place = next(place for place, line in enumerate(lines) if line.startswith(f"  {key}:"))
    assert re.search(r" # \S.*\w", lines[place]) or re.match(r"  # \w.{9,}", lines[place - 1])


@pytest.mark.parametrize("name", [*SECTIONS, *SETTINGS])
def test_a_missing_key_is_named(edited, name):
    with pytest.raises(
        ParamsError, match=rf"params\.yaml: {re.escape(name)} is missing; every setting has to be there"
    ):
        edited({name: GONE})


@pytest.mark.parametrize("name", [*SECTIONS, *SETTINGS])
def test_a_misspelt_key_is_named_with_the_nearest(edited, name):
    value = yaml.safe_load(TEXT)[name] if name in SECTIONS else SETTINGS[name]
    wrong = rf"params\.yaml: {re.escape(name)}s is not a setting; did you mean {re.escape(name)}\?"
    with pytest.raises(ParamsError, match=wrong):
        edited({name: GONE, f"{name}s": value})


@pytest.mark.parametrize("section", SECTIONS)
def test_a_key_of_no_section_is_refused(edited, section):
    with pytest.raises(ParamsError, match=rf"params\.yaml: {section}\.flavour is not a setting"):
        edited({f"{section}.flavour": "sweet"})


@pytest.mark.parametrize("name", SETTINGS)
def test_a_value_of_the_wrong_type_is_named(edited, name):
    wrong: object = "cat" if name == "prepare.renamed_labels" else {"a": 1}
    with pytest.raises(ParamsError, match=rf"params\.yaml: {re.escape(name)} is {re.escape(repr(wrong))}; expected "):
        edited({name: wrong})


def test_a_name_that_is_none_is_named_with_its_setting(edited):
    with pytest.raises(ParamsError, match=r'renamed_labels has 1, which YAML reads as a number; .* quotes: "1"'):
        edited({"prepare.renamed_labels": {"cat": 1}})


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("value", [None, "warm", [1]], ids=["nothing", "text", "list"])
def test_a_section_that_is_none_is_named(edited, section, value):
    with pytest.raises(ParamsError, match=rf"params\.yaml: {section} is .*; expected "):
        edited({section: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("resolve.registered_model", "models:/a", "'models:/a'; expected"),
        ("resolve.registered_model", "a" * 101, "a'; expected"),
        ("resolve.alias", "Champion", "'Champion'; expected"),
        ("resolve.start_at", 0, "0; expected greater than or equal to 1"),
        ("resolve.start_at", 0.0, "0.0; expected"),
        ("resolve.start_at", 1.0, "1.0; expected"),
        ("resolve.start_after_hours", -1, "-1; expected greater than or equal to 0"),
        ("resolve.start_at_drift", 0, "0; expected greater than 0"),
        ("resolve.start_at_drift", 1, "1; expected less than 1"),
        ("resolve.start_at_new_label", "yes", "'yes'; expected true or false, without quotes"),
        ("resolve.after_removal", "forget", "'forget'; expected 'warn' or 'retrain'"),
        ("detect.max_removed", 1.1, "1.1; expected less than or equal to 1"),
        ("detect.max_removed_of_label", -0.1, "-0.1; expected greater than or equal to 0"),
        ("detect.acknowledged", ["all"], "'all'; expected"),
        ("detect.acknowledged", ["0123456789ABC"], "; expected"),
        ("detect.ignore", "*.txt", "'*.txt'; expected"),
        ("detect.ignore", [1], "a number; expected a text"),
        ("validate.min_side", 0, "0; expected greater than or equal to 1"),
        ("validate.max_side", -1, "-1; expected greater than or equal to 1"),
        ("validate.modes", ["RGBB"], "'RGBB'; expected '1', 'L', 'LA'"),
        ("validate.max_pixels", 0, "0; expected greater than or equal to 1"),
        ("validate.max_pixels", 500_000_001, "500000001; expected less than or equal to 500000000"),
        ("validate.max_seconds", 0, "0; expected greater than or equal to 0.1"),
        ("validate.max_seconds", 601, "601; expected less than or equal to 600"),
        ("validate.max_memory", 127, "127; expected greater than or equal to 128"),
        ("validate.max_quarantined", 1.1, "1.1; expected less than or equal to 1"),
        ("validate.max_quarantined_images", -1, "-1; expected greater than or equal to 0"),
        ("validate.labels", [True], "yes or no; expected a text"),
        ("validate.brightness", [0.1], "[0.1]; expected more values"),
        ("validate.brightness", [0.1, 0.2, 0.3], "expected"),
        ("validate.brightness", [0.1, 1.1], "1.1; expected less than or equal to 1"),
        ("validate.min_contrast", 2, "2; expected less than or equal to 1"),
        ("validate.min_sharpness", -1, "-1; expected greater than or equal to 0"),
        ("validate.max_aspect", 0.5, "0.5; expected greater than or equal to 1"),
        ("validate.max_imbalance", 0, "0; expected greater than or equal to 1"),
        ("validate.max_drift", 1.5, "1.5; expected less than or equal to 1"),
        ("prepare.near_duplicates", 1, "1; expected less than 1"),
        ("prepare.near_duplicates", 0, "0; expected greater than 0"),
        ("evaluate.suspicious", 1, "1; expected less than 1"),
        ("validate.max_duplicates", 1.1, "1.1; expected less than or equal to 1"),
        ("validate.max_duplicates", -0.1, "-0.1; expected greater than or equal to 0"),
        ("validate.min_images_per_label", 0, "0; expected greater than or equal to 1"),
        ("validate.new_labels", "ask", "'ask'; expected 'listed' or 'allow'"),
        ("prepare.image_size", 4, "4; expected greater than or equal to 8"),
        ("prepare.image_size", 4096, "4096; expected less than or equal to 2048"),
        ("prepare.channels", 2, "2; expected 1 or 3"),
        ("prepare.fit", "whole", "'whole'; expected 'crop', 'pad' or 'stretch'"),
        ("prepare.val_fraction", 0, "0; expected greater than 0"),
        ("prepare.holdout_fraction", 1, "1; expected less than 1"),
        ("prepare.max_val", 0, "0; expected greater than or equal to 1"),
        ("prepare.max_holdout", 0, "0; expected greater than or equal to 1"),
        ("prepare.min_split", 0, "0; expected greater than or equal to 1"),
        ("prepare.seed", -1, "-1; expected greater than or equal to 0"),
        ("train.start", "hot", "'hot'; expected 'warm', 'shrink' or 'cold'"),
        ("train.restore", ["momentum"], "'momentum'; expected 'optimizer' or 'learning_rate'"),
        ("train.architecture", "os:system('x')", "; expected"),
        ("train.pretrained", "coco", "'coco'; expected null, imagenet, or a file below the project that ends in"),
        ("train.pretrained", "weights.h5", "'weights.h5'; expected null, imagenet, or a file below"),
        ("train.pretrained", "../w.npz", "'../w.npz'; expected null, imagenet, or a file below"),
        ("train.pretrained", "data/../../w.npz", "'data/../../w.npz'; expected null, imagenet, or a file below"),
        ("train.pretrained", "/home/w.npz", "'/home/w.npz'; expected null, imagenet, or a file below"),
        ("train.tune", "last 0 blocks", "'last 0 blocks'; expected head, last N blocks (e.g. last 2 blocks), all or"),
        ("train.tune", None, "null; expected head, last N blocks"),
        ("train.max_epochs", 0, "0; expected greater than or equal to 1"),
        ("train.max_epochs", 2.5, "2.5; expected a whole number"),
        ("train.batch_size", True, "true; expected a whole number"),
        ("train.optimizer", "lion", "'lion'; expected 'adamw', 'adam' or 'sgd'"),
        ("train.learning_rate", 0, "0; expected greater than 0"),
        ("train.learning_rate", 11, "11; expected less than or equal to 10"),
        ("train.weight_decay", -1, "-1; expected greater than or equal to 0"),
        ("train.weight_decay", 1.5, "1.5; expected less than or equal to 1"),
        ("train.monitor", "val_auc", "'val_auc'; expected 'val_loss', 'val_accuracy', 'loss' or 'accuracy'"),
        ("train.mode", "up", "'up'; expected 'auto', 'min' or 'max'"),
        ("train.patience", -1, "-1; expected greater than or equal to 0"),
        ("train.min_delta", -0.1, "-0.1; expected greater than or equal to 0"),
        ("train.start_from_epoch", -1, "-1; expected greater than or equal to 0"),
        ("train.target", "low", "'low'; expected a number"),
        ("train.reduce_patience", -1, "-1; expected greater than or equal to 0"),
        ("train.reduce_factor", 1, "1; expected less than 1"),
        ("train.min_learning_rate", 0, "0; expected greater than 0"),
        ("train.average", -1, "-1; expected greater than or equal to 0"),
        ("train.diverged_at", 1, "1; expected greater than 1"),
        ("train.max_retries", -1, "-1; expected greater than or equal to 0"),
        ("train.retry_factor", 1, "1; expected less than 1"),
        ("train.precision", "float16", "'float16'; expected 'float32', 'mixed_bfloat16' or 'mixed_float16'"),
        ("train.devices", 2, "2; expected 'one' or 'all'"),
        ("budget.max_minutes", 0, "0; expected greater than 0"),
        ("budget.max_epochs", 0, "0; expected greater than or equal to 1"),
        ("budget.max_steps", 1.5, "1.5; expected a whole number"),
        ("budget.when_spent", "stop", "'stop'; expected 'pause' or 'finish'"),
        ("checkpoint.epochs", 0, "0; expected greater than or equal to 1"),
        ("checkpoint.steps", 0, "0; expected greater than or equal to 1"),
        ("checkpoint.seconds", -1, "-1; expected greater than or equal to 0"),
        ("checkpoint.keep", 1, "1; expected greater than or equal to 2 or 'all' or best and a number of epochs, e.g. "),
        ("checkpoint.keep", "some", "'some'; expected a whole number or 'all' or best and a number of epochs, e.g."),
        ("checkpoint.keep", "best 0", "'best 0'; expected a whole number or 'all' or best and a number of epochs"),
        ("checkpoint.keep", None, "null; expected a whole number or 'all' or best and a number of epochs"),
        ("train.from_epoch", 7, "7; expected null, or TRAINING/EPOCH as `python -m pipeline checkpoints` lists them"),
        ("train.from_epoch", "7", "'7'; expected null, or TRAINING/EPOCH as `python -m pipeline checkpoints` lists"),
        ("train.from_epoch", "../../../etc/x/7", "; expected null, or TRAINING/EPOCH as"),
        ("train.from_epoch", "0123456789abcdef/7 end", "; expected null, or TRAINING/EPOCH as"),
        ("train.threads", 0, "0; expected greater than or equal to 1"),
        ("train.threads", 257, "257; expected less than or equal to 256"),
        ("train.seed", -1, "-1; expected greater than or equal to 0"),
        ("train.audit_every", 1, "1; expected greater than or equal to 2"),
        ("train.audit_above", 0, "0; expected greater than 0"),
        ("train.warm_epochs", 0, "0; expected greater than or equal to 1"),
        ("train.passes_per_new", 0, "0; expected greater than 0"),
        ("train.warm_rate", 0, "0; expected greater than 0"),
        ("train.warm_from", "best", "'best'; expected 'last' or 'served'"),
        ("train.shift", 0.6, "0.6; expected less than or equal to 0.5"),
        ("train.flip", "yes", "'yes'; expected true or false, without quotes"),
        ("train.crop", 0.001, "0.001; expected 0 or greater than or equal to 0.01"),
        ("train.crop", 1.5, "1.5; expected 0 or less than or equal to 1"),
        ("train.crop", None, "null; expected 0 or a number"),
        ("train.colour", 1.5, "1.5; expected less than or equal to 1"),
        ("train.rand_augment", 2.5, "2.5; expected a whole number"),
        ("train.rand_augment", 9, "9; expected less than or equal to 8"),
        ("train.mixup", -0.2, "-0.2; expected greater than or equal to 0"),
        ("train.cutmix", True, "true; expected a number"),
        ("train.balance", "balanced", "'balanced'; expected 'weights', 'drawing' or 'adjusted'"),
        ("evaluate.margin", 1.5, "1.5; expected less than or equal to 1"),
        ("evaluate.confidence", 0.5, "0.5; expected greater than 0.5"),
        ("evaluate.confidence", 1, "1; expected less than 1"),
        ("evaluate.min_accuracy", -0.5, "-0.5; expected greater than or equal to 0"),
        ("evaluate.batch_size", 0, "0; expected greater than or equal to 1"),
        ("promote.automatic", "yes", "'yes'; expected true or false, without quotes"),
        ("promote.notify", "https://a.example", "'https://a.example'; expected a list"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_expected(edited, name, value, message):
    with pytest.raises(ParamsError, match=rf"{re.escape(name)} (is|has) .*{re.escape(message)}"):
        edited({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolve.start_at", 500),
        ("resolve.start_at", 0.02),
        ("resolve.start_after_hours", None),
        ("resolve.start_after_hours", 0.5),
        ("resolve.start_at_drift", 0.2),
        ("detect.acknowledged", ["gone-0123456789ab"]),
        ("validate.labels", ["fox", "owl"]),
        ("validate.max_quarantined_images", 0),
        ("validate.min_sharpness", 0.02),
        ("prepare.near_duplicates", None),
        ("prepare.replay", "all"),
        ("prepare.replay", 0),
        ("prepare.fit", "pad"),
        ("train.pretrained", "data/weights/v1.2/MobileNetV2.safetensors"),
        ("train.pretrained", "w.npz"),
        ("train.tune", "first"),
        ("train.target", 0.97),
        ("train.architecture", "my.models:tiny"),
        ("train.restore", []),
        ("train.start", "shrink"),
        ("train.audit_every", None),
        ("train.audit_above", None),
        ("train.audit_above", 2),
        ("train.warm_epochs", None),
        ("train.passes_per_new", None),
        ("train.replay", 5),
        ("train.blend", []),
        ("train.crop", 0.0),
        ("train.crop", 0.5),
        ("train.crop", 1),
        ("train.mixup", 1),
        ("train.balance", "weights"),
        ("train.balance", "drawing"),
        ("train.from_epoch", "0123456789abcdef/7"),
        ("train.from_epoch", "0123456789abcdef/0 finish"),
        ("checkpoint.keep", 7),
        ("checkpoint.keep", "all"),
        ("checkpoint.keep", "best 1"),
        ("prepare.renamed_labels", {"cat": "lynx"}),
        ("prepare.removed_labels", ["cat"]),
        ("detect.ignore", []),
        ("evaluate.margin", 0),
        ("evaluate.confidence", 0.95),
    ],
)
def test_a_value_at_the_edge_is_taken(edited, name, value):
    section, _, key = name.partition(".")
    assert edited({name: value}).model_dump(mode="json", by_alias=True)[section][key] == value


def test_weights_that_keras_downloads_are_for_its_networks(edited):
    train = edited({"train.pretrained": "imagenet", "train.architecture": "MobileNetV3Small"}).train
    assert (train.pretrained, train.architecture) == ("imagenet", "MobileNetV3Small")


@pytest.mark.parametrize("value", [-3, "al"], ids=str)
def test_a_union_names_the_key_once_and_every_choice(edited, value):
    message = rf"params\.yaml: prepare\.replay is {value!r}; expected 'all' or (?!prepare).*(whole number|equal to 0)$"
    with pytest.raises(ParamsError, match=message):
        edited({"prepare.replay": value})


@pytest.mark.parametrize("alias", ["latest", "v1"])
def test_an_alias_that_mlflow_keeps_for_itself_is_refused(edited, alias):
    with pytest.raises(ParamsError, match=f"resolve.alias.*{alias}"):
        edited({"resolve.alias": alias})


def test_splits_must_leave_images_to_train_on(edited):
    with pytest.raises(ParamsError, match=r"prepare: val_fraction \+ holdout_fraction must be below 0\.9"):
        edited({"prepare.val_fraction": 0.5, "prepare.holdout_fraction": 0.4})


def test_the_shortest_side_cannot_exceed_the_longest(edited):
    with pytest.raises(ParamsError, match=r"min_side.*max_side"):
        edited({"validate.min_side": 11, "validate.max_side": 10})
    assert edited({"validate.min_side": 10, "validate.max_side": 10})


@pytest.mark.parametrize("brightness", [[0.5, 0.5], [0.9, 0.1]], ids=["equal", "exchanged"])
def test_the_darkest_comes_before_the_brightest(edited, brightness):
    with pytest.raises(ParamsError, match=r"validate: brightness is \[.*\]; expected the darkest, then the brightest"):
        edited({"validate.brightness": brightness})


@pytest.mark.parametrize("value", [0, -3, 1.0, "1%"], ids=str)
def test_a_number_or_a_share_is_named_once_with_both_choices(edited, value):
    message = rf"params\.yaml: resolve\.start_at is {value!r}; expected (?!.*resolve).* or "
    with pytest.raises(ParamsError, match=message):
        edited({"resolve.start_at": value})


@pytest.mark.parametrize("name", ["train.min_delta", "train.target", "validate.max_drift", "resolve.start_after_hours"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")], ids=str)
def test_a_number_must_be_finite(edited, name, value):
    with pytest.raises(ParamsError, match=rf"{re.escape(name)} is {value}; expected"):
        edited({name: value})


@pytest.mark.parametrize(
    "content", ["train: [", "a: b: c", "\tx: 1", b"\xff\xfe\x00", "a: &a {b: *a}", "a: 2024-13-45"], ids=repr
)
def test_bad_yaml_is_one_line_with_the_remedy(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ParamsError, match=r"^\S+params\.yaml: not valid YAML \(.*\); mend it, or restore it with `git"):
        params.load(path, Params)


@pytest.mark.parametrize("content", ["", "- train", "train", "3"], ids=repr)
def test_a_file_without_sections_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(
        ParamsError, match=r"expected the sections resolve, .*; found .*; restore it with `git checkout \S+`$"
    ):
        params.load(path, Params)


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(
        ParamsError, match=r"params\.yaml: no such file; restore it with `git checkout \S+params\.yaml`, or run this"
    ):
        params.load(tmp_path / "params.yaml", Params)


@pytest.mark.parametrize("content", [TEXT.replace("seed: 7", "seed: -7"), "x: [", "", "no_such: 1"], ids=range(4))
def test_every_message_is_one_line(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(ParamsError) as caught:
        params.load(path, Params)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prepare.renamed_labels", ["cat"], "['cat']; expected names and values, e.g. {cat: lynx}"),
        ("prepare.removed_labels", "cat", "'cat'; expected a list, e.g. [cat]"),
        ("train.blend", [2], "2; expected less than or equal to 1"),
        ("train.learning_rate", "1e-4", "'1e-4'; expected a number: YAML takes 1e-4 for a word; write 1.0e-4"),
        ("train.target", "-2.5E3", "'-2.5E3'; expected a number: YAML takes -2.5E3 for a word; write -2.5e+3"),
        ("train.min_delta", "little", "'little'; expected a number"),
    ],
)
def test_what_was_expected_is_said_in_the_words_of_yaml(edited, name, value, message):
    with pytest.raises(ParamsError, match=rf"{re.escape(name)} is {re.escape(message)}"):
        edited({name: value})


@pytest.mark.parametrize(
    ("renamed", "removed", "label"),
    [({"a": "x", "b": "x"}, [], "x"), ({"a": "a"}, [], "a"), ({"a": "b", "b": "a"}, [], "b"), ({"a": "x"}, ["a"], "a")],
    ids=["two to one", "to itself", "swapped", "removed too"],
)
def test_each_label_has_one_fate(edited, renamed, removed, label):
    said = f"prepare: renamed_labels and removed_labels name {label} twice; expected each old and new name once"
    with pytest.raises(ParamsError, match=said):
        edited({"prepare.renamed_labels": renamed, "prepare.removed_labels": removed})


@pytest.mark.parametrize(
    ("written", "read"),
    [("yes", "yes or no"), ("off", "yes or no"), ("0", "a number"), ("1.5", "a number"), ("2026-11-27", "a date")],
)
def test_a_label_that_yaml_takes_for_something_else_has_to_be_quoted(tmp_path, written, read):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("  labels: [] #", f"  labels: [cat, {written}, 7] #"))
    expected = f"{path}: validate.labels has {written}, which YAML reads as {read}; expected a text; "
    with pytest.raises(ParamsError) as caught:
        params.load(path, Params)
    assert str(caught.value) == f'{expected}write it in quotes: "{written}"'


def test_so_does_a_name_that_yaml_takes_for_something_else_and_no_text_that_would_not_do_in_quotes(tmp_path):
    path = tmp_path / "params.yaml"
    for setting, written in (("registered_model: evergreen", "2026-11-27"), ("renamed_labels: {}", "no")):
        name = setting.partition(":")[0]
        changed = f"{name}: {{{written}: nix}}" if name == "renamed_labels" else f"{name}: {written}"
        path.write_text(TEXT.replace(f"  {setting} ", f"  {changed} "))
        with pytest.raises(ParamsError, match=rf'{name} has {written}, which .*; write it in quotes: "{written}"$'):
            params.load(path, Params)
    path.write_text(TEXT.replace("  from_epoch: null", "  from_epoch: 7"))
    with pytest.raises(ParamsError, match=r"train\.from_epoch is 7; expected null, or TRAINING/EPOCH as"):
        params.load(path, Params)
    path.write_text(TEXT.replace("  labels: [] #", f'  labels: [cat, "{written}", "7"] #'))
    assert params.load(path, Params).validate_.labels == ("cat", written, "7")


@pytest.mark.parametrize("wrong", ["?", {"?": [1]}], ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_no_words_of_the_settings_library_reach_people(edited, name, wrong):
    if wrong == "?" and isinstance(SETTINGS[name], str):
        wrong = ["?"]  # for some any text will do
    with pytest.raises(ParamsError) as caught:
        edited({name: wrong})
    assert not re.search("valid |pattern|validation|Input|String|Tuple|Value error|None|True", str(caught.value))


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("  batch_size: 32", "  batch_size: 16\n  batch_size: 32", "train.batch_size"),
        ("evaluate:\n", "evaluate: {}\nevaluate:\n", "evaluate"),
        ("renamed_labels: {}", "renamed_labels: {cat: a, cat: b}", "prepare.renamed_labels.cat"),
    ],
)
def test_what_is_there_twice_is_named(tmp_path, old, new, name):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ParamsError, match=f"{name} is there twice; expected each setting once; delete one of the two"):
        params.load(path, Params)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_values_are_changed_and_order_and_comments_stay(tmp_path, mark, ends):
    path = tmp_path / "params.yaml"
    before = (mark + TEXT).replace("from_epoch: null", "from_epoch:").replace("\n", ends).encode()
    path.write_bytes(before)
    changed = {"train.from_epoch": "0123456789abcdef/3", "prepare.fit": "pad", "validate.labels": "[cat, dog]"}
    now = params.changed(path, changed).splitlines()
    different = {(was, line) for was, line in zip(before.splitlines(), now, strict=True) if was != line}
    assert different == {
        (b"  from_epoch:", b"  from_epoch: 0123456789abcdef/3"),
        (b"  fit: crop", b"  fit: pad"),
        (b"  labels: [] # labels that may be new", b"  labels: [cat, dog] # labels that may be new"),
    }
    assert path.read_bytes() == before, "it is given, not written"


def test_settings_on_one_line_or_in_quotes_are_changed_too(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("{train: {'flip': true, seed: 7}, prepare: {fit: crop}}")
    assert params.changed(path, {"train.flip": "false", "prepare.fit": "pad"}) == (
        b"{train: {'flip': false, seed: 7}, prepare: {fit: pad}}"
    )


@pytest.mark.parametrize("text", ["a: &one\n  x: 1\nb: *one\n", "a: {x: &one 1, y: *one}\n", "b: {x: 1}\n"])
def test_a_setting_that_cannot_be_changed_alone_is_left_to_the_person(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError) as raised:
        params.changed(path, {"a.x": "2"})
    assert str(raised.value) == f"{path}: expected each setting as a plain `name: value`; set a.x: 2 there yourself"
