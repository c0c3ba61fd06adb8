"""Arms: ways to train in each cycle, as settings of params.yaml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.learning.streams import STREAMS
from benchmarks.workspace import CHECKOUT

if TYPE_CHECKING:
    from pipeline.learning.settings import Train
    from pipeline.settings import Params


@dataclass(frozen=True)
class Arm:
    """A way to train in each cycle."""

    title: str
    start: Literal["warm", "shrink", "cold"] = "warm"
    pool: int | Literal["all", "none"] | None = None
    """Old images per new one that are there, drawn once a cycle; None: as by params.yaml."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of section `train` of params.yaml."""
    streams: str = "S1"
    seeds: int = 3
    """How many of the seeds to play at most."""


UNTIL_STOPPED = {"passes_per_new": None, "warm_epochs": None, "warm_rate": 1.0, "audit_every": None}
PLAIN = UNTIL_STOPPED | {
    "average": 0.0,
    "blend": (),
    "restore": ("optimizer", "learning_rate"),
    "warm_from": "served",
}
UNCAPPED = {"warm_epochs": None}
ARMS = {
    "scratch": Arm("from scratch, until early stopping", "cold", changes=UNTIL_STOPPED, streams="S1 S2 S3 S4 S5 S6 S7",
                   seeds=5),
    "recipe": Arm("the recipe: defaults of params.yaml", streams="S1 S2 S3 S4 S5 S6 S7", seeds=5),
    "new only": Arm("new images only", pool="none", streams="S1 S3", seeds=5),
    "warm": Arm("warm on all, no tricks, until early stopping", pool="all", changes=PLAIN),
    "shrink": Arm("shrink and perturb, until early stopping", "shrink", changes=UNTIL_STOPPED),
    "shrink cheap": Arm("shrink and perturb at the recipe's budget", "shrink", changes={"warm_rate": 1.0}, seeds=2),
    "scratch cheap": Arm("from scratch at the recipe's budget", "cold", changes={"warm_rate": 1.0}, seeds=2),
    "scratch long": Arm("from scratch, twice the patience and epochs", "cold",
                        changes=UNTIL_STOPPED | {"patience": 12, "max_epochs": 120}, seeds=2),
    "quarter": Arm("recipe at a quarter of the passes", changes={"passes_per_new": 37.0, "warm_epochs": 2}),
    "half": Arm("recipe at half the passes", changes={"passes_per_new": 75.0, "warm_epochs": 5}),
    "double": Arm("recipe at twice the passes", changes={"passes_per_new": 300.0, "warm_epochs": 20}, seeds=2),
    "no average": Arm("recipe, weights not averaged", changes={"average": 0.0}),
    "no blend": Arm("recipe, not blended", changes={"blend": ()}, streams="S1 S4", seeds=5),
    "no augmentation": Arm("recipe, neither mirrored nor shifted", changes={"flip": False, "shift": 0.0}, seeds=2),
    "no decay": Arm("recipe, no weight decay", changes={"weight_decay": 0.0}, seeds=5),
    "no patience": Arm("recipe, the whole budget each time", changes={"patience": 1000}),
    "from served": Arm("recipe, warm from the served weights", changes={"warm_from": "served"}),
    "restored": Arm("recipe, optimizer restored", changes={"restore": ("optimizer", "learning_rate")}),
    "pool all": Arm("recipe, all old images", pool="all", streams="S6"),
    "pool 20": Arm("recipe, 20 old per new, fixed", pool=20, streams="S6"),
    "pool 10": Arm("recipe, 10 old per new, fixed", pool=10, changes=UNCAPPED, streams="S1 S6", seeds=2),
    "pool 5": Arm("recipe, 5 old per new, fixed", pool=5, changes=UNCAPPED, streams="S1 S6", seeds=2),
    "drawn 10": Arm("recipe, 10 old per new, redrawn each epoch", changes=UNCAPPED | {"replay": 10}, seeds=5),
    "drawn 5": Arm("recipe, 5 old per new, redrawn each epoch", changes=UNCAPPED | {"replay": 5}),
    "weights": Arm("recipe, balanced by weights", changes={"balance": "weights"}, streams="S7"),
    "drawing": Arm("recipe, balanced by drawing", changes={"balance": "drawing"}, streams="S7"),
    "adjusted": Arm("recipe, balanced by adjusted logits", changes={"balance": "adjusted"}, streams="S7"),
    "cold rate": Arm("recipe, learning rate of a cold start", changes={"warm_rate": 1.0}, seeds=5),
}  # fmt: skip


BUDGETS = ("quarter", "half", "recipe", "double")
"""Arms that differ in their budget alone, cheapest first."""

ELEMENTS = [arm for arm, what in ARMS.items() if what.title.startswith("recipe, ")]
"""The recipe with one thing changed, at about its cost."""


def played(stream: str, arm: str, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds that an arm plays on a stream."""
    return seeds[: min(ARMS[arm].seeds, STREAMS[stream].seeds)]


def train_of(arm: Arm) -> "Train":
    """Section `train` of params.yaml with what the arm changes; one thread, so that two trials run side by side."""
    train = _params().train
    return train.model_copy(update={"architecture": "small_cnn", "threads": 1, **arm.changes})


def pool(arm: Arm) -> int | Literal["all", "none"]:
    """Old images per new one that an arm has: all, where it does not start warm."""
    replayed = _params().prepare.replay if arm.start == "warm" else "all"
    return replayed if arm.pool is None else arm.pool


def _params() -> "Params":
    from pipeline.base import params
    from pipeline.settings import Params

    return params.load(CHECKOUT / "params.yaml", Params)


OFF = {"crop": 0, "colour": 0, "rand_augment": 0, "mixup": 0, "cutmix": 0, "repeat_new": 1, "warm_average": None,
       "balance": None}  # fmt: skip
"""Settings that came after the first results, with the values that leave every bit as it was."""


def key(arm: Arm) -> Any:
    """What the outcome of a trial depends on, as a JSON value."""
    from pipeline.base import code

    digest = code.digest("pipeline.learning.fit", "pipeline.learning.engine", "pipeline.learning.starts")
    # No stream brings so much at once that the first does anything, and nobody goes back in one.
    train = train_of(arm)
    off = {name for name, value in OFF.items() if getattr(train, name) == value}
    of_pretrained = {"tune", "head_rate", "head_epochs"}
    settings = train.model_dump(mode="json", exclude={"audit_above", "from_epoch"} | off | of_pretrained)
    return [settings, arm.start, pool(arm), digest]


def audit_share(arm: Arm) -> float:
    """What audits add to the cost of a cycle, spread over all cycles, as a share of training from scratch."""
    every = train_of(arm).audit_every
    return 1 / every if every and arm.start == "warm" and arm.pool != "none" else 0.0
