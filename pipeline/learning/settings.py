"""The settings of training: sections train, budget and checkpoint of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.base.auto import SMALL
from pipeline.base.params import Count, OpenShare, Section, Share, fits

Metric = Literal["val_loss", "val_accuracy", "loss", "accuracy"]

_WORD = "[A-Za-z_][A-Za-z0-9_]*"
_MODULE = rf"{_WORD}(\.{_WORD})*"

KeptEpoch = Annotated[
    str,
    fits(
        r"[0-9a-f]{16}/\d{1,9}( finish)?",
        "null, or TRAINING/EPOCH as `python -m pipeline checkpoints` lists them, perhaps with finish after it",
    ),
]
"""The end of an epoch of a training, by the name of its folder; with `finish` it is the result."""

Pretrained = Annotated[
    str,
    fits(
        r"imagenet|(?!/)(?!(?:.*/)?\.\.?/)[^\\\x00-\x1f]+\.(?:safetensors|npz)",
        "null, imagenet, or a file below the project that ends in .safetensors or .npz",
    ),
]
"""What a backbone starts cold from: ImageNet weights, or a file of weights; see `learning.pretrained`."""

Tune = Annotated[
    str, fits(r"head|last [1-9]\d{0,3} blocks?|all|first", "head, last N blocks (e.g. last 2 blocks), all or first")
]
"""Which part of the network learns; see `learning.cut`."""

Best = Annotated[str, fits(r"best [1-9]\d{0,8}", "best and a number of epochs, e.g. best 3")]

NEWEST = 2
"""States that resuming needs: what ended training may have damaged the newest; then the one before is used."""


class OwnNetworks(Section, part=True):
    """Who may have built what is in the registry."""

    networks: tuple[Annotated[str, fits(rf"{_MODULE}:{_WORD}", "module:function, e.g. nets.small:build")], ...]
    """A user's own functions, besides `train.architecture`."""


class Start(Section, part=True):
    """What a cycle starts from, and how often that is audited."""

    start: Literal["warm", "shrink", "cold"]
    audit_every: Annotated[int, Field(ge=2)] | None
    audit_above: Annotated[float, Field(gt=0)] | None


class Augmentation(Section, part=True):
    """How training images are changed at random, anew in each epoch."""

    flip: bool
    shift: Annotated[float, Field(ge=0, le=0.5)]
    crop: Literal[0] | Annotated[float, Field(ge=0.01, le=1)]
    colour: Share
    rand_augment: Annotated[int, Field(ge=0, le=8)]
    mixup: Annotated[float, Field(ge=0)]
    cutmix: Annotated[float, Field(ge=0)]

    @property
    def is_off(self) -> bool:
        """Whether they stay as they are."""
        return not (self.flip or self.shift or self.is_distorting or self.is_mixing)

    @property
    def is_distorting(self) -> bool:
        """Whether images are cropped, recoloured or distorted, each by itself."""
        return bool(self.crop or self.colour or self.rand_augment)

    @property
    def is_mixing(self) -> bool:
        """Whether images are mixed with others; an image then has two labels."""
        return bool(self.mixup or self.cutmix)


class Threads(Section, part=True):
    """How many of them compute; sums depend on it."""

    threads: Annotated[int, Field(ge=1, le=256)]


class Repeatable(Threads, part=True):
    """What makes a result the same each time."""

    seed: Annotated[int, Field(ge=0)]


class Network(Section, part=True):
    """What is trained; what `auto` stands for follows from it (`base.auto`)."""

    architecture: Annotated[
        str,
        fits(rf"{_MODULE}(:{_WORD})?", "small_cnn, photo_cnn, a keras.applications name or module:function"),
    ]
    pretrained: Pretrained | None


class Backbone(Network, part=True):
    """What is trained, and which part of it."""

    tune: Tune

    @model_validator(mode="after")
    def _begins_with_weights_that_there_are(self) -> Self:
        name = self.architecture
        if self.pretrained == "imagenet" and (name in SMALL or ":" in name):
            raise ValueError(
                "pretrained: imagenet is for EfficientNetLite0 and keras.applications names, and architecture is "
                f"{name}; set pretrained: null, or to a file of weights of that network"
            )
        if self.pretrained is None and self.tune not in ("all", "first"):
            raise ValueError(
                f"tune: {self.tune} with pretrained: null would freeze random weights; set train.pretrained to the "
                "file that `python -m pipeline weights NAME` makes, or tune: all"
            )
        return self


class Embedding(Start, Backbone, Threads, part=True):
    """What features depend on, and which of them a cycle needs."""


class Train(Start, Backbone, Augmentation, Repeatable):
    """How training starts, goes on and stops; the words are Keras' own."""

    warm_from: Literal["last", "served"]
    restore: tuple[Literal["optimizer", "learning_rate"], ...]
    from_epoch: KeptEpoch | None
    head_rate: Annotated[float, Field(gt=0, le=10)]
    head_epochs: Count
    passes_per_new: Annotated[float, Field(gt=0)] | None
    warm_epochs: Count | None
    max_epochs: Count
    replay: Literal["all"] | Annotated[int, Field(ge=0)]
    repeat_new: Annotated[int, Field(ge=1, le=100)]
    balance: Literal["weights", "drawing", "adjusted"] | None
    batch_size: Count
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
    warm_average: Annotated[float, Field(ge=0)] | None
    blend: tuple[Share, ...]
    diverged_at: Annotated[float, Field(gt=1)]
    max_retries: Annotated[int, Field(ge=0)]
    retry_factor: OpenShare
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    devices: Literal["one", "all"]


class Budget(Section):
    """What one call of train may use."""

    max_minutes: Annotated[float, Field(gt=0)] | None
    max_epochs: Count | None
    max_steps: Count | None
    when_spent: Literal["pause", "finish"]


class Watch(Section):
    """How training can be watched, besides the terminal and MLflow."""

    tensorboard: bool


class Checkpoint(Section):
    """How often the state of a training is saved, whichever comes first; and which states are kept."""

    keep: Annotated[int, Field(ge=NEWEST)] | Literal["all"] | Best
    epochs: Count | None
    steps: Count | None
    seconds: Annotated[float, Field(ge=0)] | None

    @property
    def newest(self) -> int:
        """How many of the newest states are kept."""
        return self.keep if isinstance(self.keep, int) else NEWEST

    @property
    def is_each_epoch(self) -> bool:
        """Whether a state is saved at the end of each epoch, for people to go back to."""
        return isinstance(self.keep, str)

    @property
    def best(self) -> int | None:
        """How many epochs are kept besides, the best ones; None: all."""
        if isinstance(self.keep, int):
            return 0
        return None if self.keep == "all" else int(self.keep.removeprefix("best "))
