"""params.yaml as frozen values: one class per section, unknown or missing keys are errors."""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.base import files
from pipeline.base.errors import ParamsError

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Metric = Literal["val_loss", "val_accuracy", "loss", "accuracy"]

POWER = r"([-+]?\d+(?:\.\d*)?)[eE]([-+]?\d+)"
"""A number to people, which YAML 1.1 takes for a word if it has no point or no sign."""


class Section(BaseModel):
    """A section of params.yaml: every key is required and nothing else is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Resolve(Section):
    """Where the registered model is, when a cycle starts, and from what after a removal."""

    registered_model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,99}$")]
    alias: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
    start_at: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]
    start_after_hours: Annotated[float, Field(ge=0)] | None
    start_at_drift: OpenShare | None
    start_at_new_label: bool
    after_removal: Literal["warn", "retrain"]

    @field_validator("alias")
    @classmethod
    def _is_not_mlflows_own(cls, alias: str) -> str:
        if re.fullmatch(r"latest|v\d+", alias):
            raise ValueError(f"{alias} is an alias that MLflow keeps for itself; choose another, e.g. champion")
        return alias


class Detect(Section):
    """What counts as an image, and how many may vanish."""

    ignore: tuple[str, ...]
    max_removed: Share
    max_removed_of_label: Share
    acknowledged: tuple[Annotated[str, Field(pattern=r"^gone-[0-9a-f]{12}$")], ...]


class Validate(Section):
    """What the new images must satisfy."""

    min_side: Count
    max_side: Count
    max_pixels: Annotated[int, Field(ge=1, le=500_000_000)]
    max_seconds: Annotated[float, Field(ge=0.1, le=600)]
    max_memory: Annotated[int, Field(ge=128)]
    modes: tuple[str, ...]
    max_quarantined: Share
    max_quarantined_images: Annotated[int, Field(ge=0)]
    min_images_per_label: Count
    new_labels: Literal["listed", "allow"]
    labels: tuple[str, ...]
    brightness: tuple[Share, Share]
    min_contrast: Share
    min_sharpness: Annotated[float, Field(ge=0)]
    max_aspect: Annotated[float, Field(ge=1)]
    max_duplicates: Share
    max_imbalance: Annotated[float, Field(ge=1)]
    max_drift: Share

    @model_validator(mode="after")
    def _leaves_a_range(self) -> "Validate":
        if self.min_side > self.max_side:
            raise ValueError(f"min_side is {self.min_side}, more than max_side, {self.max_side}; no image would pass")
        if self.brightness[0] >= self.brightness[1]:
            raise ValueError(f"brightness is {list(self.brightness)}; expected the darkest, then the brightest")
        return self


class Prepare(Section):
    """Splits, replay and canonical pixels."""

    image_size: Annotated[int, Field(ge=8, le=2048)]
    channels: Literal[1, 3]
    val_fraction: OpenShare
    holdout_fraction: OpenShare
    max_val: Count
    max_holdout: Count
    min_split: Count
    near_duplicates: OpenShare | None
    renamed_labels: dict[str, str]
    removed_labels: tuple[str, ...]
    replay: Literal["all"] | Annotated[int, Field(ge=0)]
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _names_each_label_once(self) -> "Prepare":
        old, new = list(self.renamed_labels), list(self.renamed_labels.values())
        for label in (*new, *self.removed_labels):
            if (*new, *old, *self.removed_labels).count(label) > 1:
                raise ValueError(
                    f"renamed_labels and removed_labels name {label} twice; expected each old and new name once (of "
                    "two labels that become one, move one's images to the other's folder, then remove it)"
                )
        return self

    @model_validator(mode="after")
    def _leaves_training_images(self) -> "Prepare":
        if self.val_fraction + self.holdout_fraction >= 0.9:
            raise ValueError("val_fraction + holdout_fraction must be below 0.9, or nothing is left to train on")
        return self


class Train(Section):
    """How training starts, goes on and stops; the words are Keras' own."""

    start: Literal["warm", "shrink", "cold"]
    audit_every: Annotated[int, Field(ge=2)] | None
    warm_from: Literal["last", "served"]
    restore: tuple[Literal["optimizer", "learning_rate"], ...]
    architecture: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*(:[A-Za-z_]\w*)?$")]
    pretrained: Literal["imagenet"] | None
    passes_per_new: Annotated[float, Field(gt=0)] | None
    warm_epochs: Count | None
    max_epochs: Count
    replay: Literal["all"] | Annotated[int, Field(ge=0)]
    batch_size: Count
    flip: bool
    shift: Annotated[float, Field(ge=0, le=0.5)]
    optimizer: Literal["adamw", "adam", "sgd"]
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    warm_rate: Annotated[float, Field(gt=0, le=100)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    monitor: Metric
    mode: Literal["auto", "min", "max"]
    patience: Annotated[int, Field(ge=0)]
    min_delta: Annotated[float, Field(ge=0)]
    start_from_epoch: Annotated[int, Field(ge=0)]
    target: float | None
    reduce_patience: Annotated[int, Field(ge=0)]
    reduce_factor: OpenShare
    min_learning_rate: Annotated[float, Field(gt=0)]
    average: Annotated[float, Field(ge=0)]
    blend: tuple[Share, ...]
    diverged_at: Annotated[float, Field(gt=1)]
    max_retries: Annotated[int, Field(ge=0)]
    retry_factor: OpenShare
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    devices: Literal["one", "all"]
    threads: Annotated[int, Field(ge=1, le=256)]
    seed: Annotated[int, Field(ge=0)]


class Budget(Section):
    """What one call of train may use."""

    max_minutes: Annotated[float, Field(gt=0)] | None
    max_epochs: Count | None
    max_steps: Count | None
    when_spent: Literal["pause", "finish"]


class Checkpoint(Section):
    """How often the state of an unfinished training is saved; whichever comes first."""

    epochs: Count | None
    steps: Count | None
    seconds: Annotated[float, Field(ge=0)] | None


class Evaluate(Section):
    """When a challenger has earned promotion."""

    margin: Share
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    min_accuracy: Share
    suspicious: OpenShare
    batch_size: Count


class Promote(Section):
    """Who moves the alias."""

    automatic: bool


class Params(Section):
    """The whole of params.yaml."""

    resolve: Resolve
    detect: Detect
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Prepare
    train: Train
    budget: Budget
    checkpoint: Checkpoint
    evaluate: Evaluate
    promote: Promote


def load(path: Path) -> Params:
    """Read and check the whole of params.yaml.

    Raises:
        ParamsError: one line that names the key, what was found, what was expected, and the
            nearest valid key where one is close.
    """
    try:
        content = files.parse_yaml(path.read_bytes())
    except FileNotFoundError:
        raise ParamsError(
            f"{path}: no such file; run this in the folder that holds params.yaml, or give --params"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ParamsError(
            f"{path}: not valid YAML ({reason}); mend it, or restore it with `git checkout {path}`"
        ) from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected the sections {', '.join(_keys(Params))}; found {type(content).__name__}")
    try:
        return Params.model_validate(_tuples(content))
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown key is the one to name.
        found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        key = found[0]["loc"][:2]
        same = [error for error in found if error["loc"][:2] == key]  # one per choice of a union
        first, *others = dict.fromkeys(map(_sentence, same))
        choices = [first, *(other.partition("; expected ")[2] for other in others)]
        raise ParamsError(f"{path}: {' or '.join(choices)}") from None


def _tuples(value: Any) -> Any:
    """YAML lists as tuples, which strict frozen sections ask for."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _keys(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _sentence(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    section, key = where[0] if where else "", ".".join(where[:2])
    fields = {f.alias or n: f.annotation for n, f in Params.model_fields.items()}
    if error["type"] == "extra_forbidden":
        known = _keys(fields[section]) if len(where) > 1 else list(fields)  # type: ignore[arg-type]
        near = difflib.get_close_matches(where[-1], known, n=1, cutoff=0.0)[0]
        near = ".".join([*where[:-1], near])
        return f"{key} is not a setting; did you mean {near}?"
    if error["type"] == "missing" and len(where) > 2:
        return f"{key} is {list(error['input'])}; expected more values"
    if error["type"] == "missing":
        return f"{key} is missing; every setting has to be there (`git diff` shows what went)"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']!s}"
    if error["type"] == "model_type":
        return f"{key} is {error['input']!r}; expected its settings, one on each line below it"
    return f"{key} is {error['input']!r}; expected {_words(error)}"


def _words(error: Any) -> str:
    """What was expected, in the words of YAML."""
    if error["type"] == "float_type" and (power := re.fullmatch(POWER, str(error["input"]))):
        mantissa, exponent = power[1] if "." in power[1] else f"{power[1]}.0", int(power[2])
        return f"a number: YAML takes {error['input']} for a word; write {mantissa}e{exponent:+d}"
    words = {"tuple_type": "a list, e.g. [cat]", "dict_type": "names and values, e.g. {cat: lynx}"}
    return words.get(error["type"], str(error["msg"]).removeprefix("Input should be "))
