"""Small trainings for tests: what they learn, who watches, how two outcomes are compared."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from samples import description

from pipeline.artifacts.training import Row
from pipeline.data.dataset import Part
from pipeline.learning import model
from pipeline.learning.checkpoint import Folder
from pipeline.learning.engine import Engine, make_repeatable
from pipeline.learning.fit import Outcome, Parts, Session, fit
from pipeline.learning.settings import Budget, Checkpoint, Train
from pipeline.learning.stopping import Spent

DESCRIPTION = description("dark", "bright", image_shape=(8, 8, 1))
EACH_STEP = Checkpoint(keep=2, epochs=None, steps=1, seconds=None)
NEVER = Checkpoint(keep=2, epochs=None, steps=None, seconds=None)


def squares() -> Parts:
    """Dark and bright squares with noise: learned within a few epochs."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Part:
        labels = np.arange(count) % 2
        pixels = rng.integers(0, 120, (count, 8, 8, 1)) + 120 * labels[:, None, None, None]
        return Part(pixels.astype(np.uint8), labels.astype(np.int64), tuple(map(str, range(count))))

    return Parts(part(70), part(30))


@dataclass
class Notes:
    """A watcher that remembers."""

    on_step: Callable[[int, int], None] = lambda *_: None
    on_score: Callable[[int], None] = lambda *_: None
    steps: list[tuple[int, int]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def stepped(self, epoch: int, step: int, steps: int, images: int, loss: float) -> None:
        assert steps == 5
        assert images == (16 if step < 5 else 6)
        assert math.isfinite(loss)
        self.steps.append((epoch, step))
        self.on_step(epoch, step)

    def scored(self, history: list[Row]) -> None:
        self.epochs.append(len(history) - 1)
        self.on_score(len(history) - 1)

    def warned(self, warning: str) -> None:
        self.warnings.append(warning)


class Quiet(Notes):
    """A watcher of epochs of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[int] = []

    def stepped(self, *told: Any) -> None:
        self.images.append(told[3])


COUNTS = (60, 10)
"""Images of each label, as far as balance is concerned; it need not be those of a part."""


def engine(train: Train) -> Engine:
    make_repeatable(train.seed, train.threads)
    return Engine(model.build(DESCRIPTION), model.optimizer(train), train, counts=COUNTS)


def trained(
    parts: Parts,
    train: Train,
    scratch: Path,
    notes: Notes | None = None,
    every: Checkpoint = NEVER,
    **options: Any,
) -> Outcome:
    """As the stage does: go on from the last state, if there is one."""
    states = Folder(scratch, {}, every)
    return fit(engine(train), parts, train, Session(states, notes or Notes(), states.load(), **options))


def budget(when_spent: str, **limits: float) -> Budget:
    return Budget(**{"max_minutes": None, "max_epochs": None, "max_steps": None} | limits, when_spent=when_spent)


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def equal(one: Outcome, two: Outcome) -> bool:
    """In all but the time they took."""
    no, time = {"weights": {}, "last": {}, "optimizer": {}}, {"spent": Spent(), "spent_now": Spent()}
    rest = [replace(outcome, **no, **time) for outcome in (one, two)]
    return rest[0] == rest[1] and all(same(getattr(one, name), getattr(two, name)) for name in no)


def accuracy(outcome: Outcome, part: Part) -> float:
    network = model.load(DESCRIPTION, outcome.weights, "outcome")
    return float((model.logits(network, part.inputs, 16).argmax(axis=1) == part.labels).mean())
