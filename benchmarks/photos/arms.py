"""Arms: ways to train in each cycle, as settings of params.yaml."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.workspace import CHECKOUT
from pipeline.base.auto import MIXTURES

if TYPE_CHECKING:
    from pipeline.learning.settings import Train
    from pipeline.settings import Params

SMALL_CNN = "small_cnn"


@dataclass(frozen=True)
class Source:
    """What is the same for all trials."""

    images: Path
    """Folder with one folder per label."""
    weights: Path
    """Pretrained ones of the network."""
    architecture: str
    """As in `train.architecture`."""
    size: int
    """Pixels of an image's sides, as the pretrained network sees them."""


@dataclass(frozen=True)
class Arm:
    """A way to train in each cycle."""

    title: str
    start: Literal["warm", "cold"] = "warm"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of section `train` of params.yaml."""
    is_small: bool = False
    """Whether it trains the small CNN from fresh weights, with the defaults for that."""
    cosine: int | None = None
    """Epochs of a learning rate that falls along a cosine; None: as params.yaml says."""
    has_newcomers: bool = True
    """Whether outputs of new labels begin with the mean features of their images."""
    first: str = "recipe"
    """The arm whose cold start gives the model to begin with."""
    streams: tuple[str, ...] = ("P1", "P2", "P2-20", "P2-10", "P2-5", "P3", "quick", "quick new")

    @property
    def is_head(self) -> bool:
        """Whether it only ever trains the head."""
        return self.changes.get("tune") == "head"

    @property
    def plays_all(self) -> bool:
        """Whether it plays all cycles, not only those that are scored."""
        return self.start == "warm" or self.is_head


FEW = ("P2", "P2-20", "P2-10", "P2-5", "quick new")
HEAD, ALL = {"tune": "head"}, {"tune": "all"}
COSINE = 8
ARMS = {
    "scratch": Arm("best practice from scratch: the head, then all until it stops improving", "cold", ALL),
    "scratch cosine": Arm("the same, a cosine of 8 epochs", "cold",
                          ALL | {"max_epochs": COSINE, "patience": 1000, "reduce_patience": 0}, cosine=COSINE,
                          streams=("P1", "P2", "quick")),
    "recipe": Arm("the recipe: defaults of params.yaml"),
    "recipe, blended": Arm("the recipe, blended with the parent", changes={"blend": MIXTURES}, streams=("P1", "P2")),
    "recipe, new once": Arm("the recipe, new photographs once in an epoch", changes={"repeat_new": 1, "replay": 8},
                            streams=("P1", "P2")),
    "recipe, fresh outputs": Arm("the recipe, new outputs begin at random", has_newcomers=False, streams=FEW),
    "head": Arm("tune: head", changes=HEAD, first="head"),
    "head, fresh outputs": Arm("tune: head, new outputs begin at random", changes=HEAD, has_newcomers=False,
                               first="head", streams=FEW),
    "head scratch": Arm("head on frozen features, from scratch in each cycle", "cold", HEAD, first="head"),
    "small": Arm("small CNN from scratch, 32 pixels", "cold", is_small=True, first="small",
                 streams=("P1", "P2", "quick")),
}  # fmt: skip

OPPONENT = "scratch"
"""What all arms are compared with: the best that is known from scratch."""

TWIN = "head scratch"
"""What `tune: head` is compared with besides."""

WARM_ONLY = {
    "warm_from",
    "restore",
    "passes_per_new",
    "warm_epochs",
    "warm_rate",
    "warm_average",
    "replay",
    "repeat_new",
    "blend",
    "audit_every",
}
"""Settings that a cold start does not read."""


@cache
def params_of(architecture: str, is_pretrained: bool) -> "Params":
    """params.yaml for a network, with what `auto` stands for."""
    import yaml

    from pipeline.base import params
    from pipeline.settings import Params

    content = yaml.safe_load((CHECKOUT / "params.yaml").read_bytes())
    content["train"] |= {"architecture": architecture, "pretrained": "weights.npz" if is_pretrained else None}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(yaml.safe_dump(content))
        return params.load(path, Params)


def settings(arm: Arm, source: Source) -> "Params":
    """params.yaml as an arm has it, but for its changes."""
    return params_of(SMALL_CNN, False) if arm.is_small else params_of(source.architecture, True)


def train_of(arm: Arm, source: Source) -> "Train":
    """Section `train` of params.yaml as an arm has it; one thread, so that two trials run side by side."""
    return settings(arm, source).train.model_copy(update={"threads": 1, **arm.changes})


def size_of(arm: Arm, source: Source) -> int:
    """Pixels of an image's sides, as the arm's network sees them; the small CNN has its default."""
    size = settings(arm, source).prepare.image_size if arm.is_small else source.size
    return int(size)


def val_fraction(source: Source) -> float:
    """Share of the photographs that come that is for validation; the same for all arms."""
    return params_of(source.architecture, True).prepare.val_fraction


def audit_share(arm: Arm, source: Source) -> float:
    """What audits add to the cost of a cycle, spread over all cycles, as a share of training from scratch.

    Where only the head is trained, an audit passes no image through the rest of the network.
    """
    every = train_of(arm, source).audit_every
    return 1 / every if every and arm.start == "warm" and not arm.is_head else 0.0


def key(arm: Arm, source: Source, photos: str) -> Any:
    """What the outcome of a trial depends on, as a JSON value.

    Args:
        arm: which.
        source: what is the same for all trials.
        photos: digest of the photographs.
    """
    seen = [size_of(arm, source), val_fraction(source), photos]
    return [trained_by(arm, source), arm.cosine, arm.has_newcomers, seen, *code_of(source)]


def trained_by(arm: Arm, source: Source) -> list[Any]:
    """Start and settings of an arm, as a JSON value; of a cold start only what it reads."""
    others = WARM_ONLY if arm.start == "cold" else set()
    # No stream brings so much at once that the first does anything, and nobody goes back in one.
    # The last came after the first results, and leaves every bit as it was where it is off.
    train = train_of(arm, source)
    unread = {"audit_above", "from_epoch", *others} | ({"balance"} if train.balance is None else set())
    dumped = train.model_dump(mode="json", exclude=unread)
    replayed = settings(arm, source).prepare.replay if arm.start == "warm" else "all"
    return [dumped, arm.start, replayed]


@cache
def code_of(source: Source) -> tuple[str, str]:
    """Digests of the code that trains, and of the pretrained weights."""
    from pipeline.base import code, files

    rooms = ("fit", "engine", "starts", "headstart", "inheritance", "freezing")
    return code.digest(*(f"pipeline.learning.{name}" for name in rooms)), files.md5_file(source.weights)
