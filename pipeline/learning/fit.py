"""The training loop: epochs of steps, each epoch scored on val, the best one kept.

It is our own loop over `GradientTape` rather than `Model.fit`, so that all it needs to go on after a stop is explicit:
Keras' callbacks lose the seeds, the place in the epoch, `wait` and `best` (keras-team/tf-keras#430, keras#17012).
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pipeline.artifacts.training import Row
from pipeline.base.errors import ModelError
from pipeline.data import replay
from pipeline.learning import augment, balance, stopping
from pipeline.learning.checkpoint import State
from pipeline.learning.settings import Budget, Train
from pipeline.learning.stopping import Spent

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part
    from pipeline.learning.engine import Engine

AHEAD = 2
"""Batches that are read before they are needed."""

LEAST_AVERAGED = 15
"""Steps; an average over fewer is no better than the last weights."""


class PausedError(Exception):
    """Training stopped before its end; its state is saved."""

    def __init__(self, reason: str, state: State) -> None:
        super().__init__(reason)
        self.reason, self.state = reason, state


class Watcher(Protocol):
    """Who is told how training goes."""

    def stepped(self, epoch: int, step: int, steps: int, images: int, loss: float) -> None:
        """After each step: its images, and the mean loss of the epoch so far."""

    def scored(self, history: list[Row]) -> None:
        """After each epoch, and once at the beginning: all rows until then."""

    def warned(self, warning: str) -> None:
        """After a fault that training survives."""


class States(Protocol):
    """Where unfinished states are kept."""

    def save(self, state: State) -> None:
        """Keep a state; may raise OSError."""

    def is_due(self, epochs: int, steps: int) -> bool:
        """Whether to save a state, so many epochs and steps after the last one."""


class Parts(NamedTuple):
    """The images of a training; they are read batch by batch, never whole."""

    train: "Part"
    val: "Part"

    @property
    def unlearned(self) -> "Parts":
        """The same images, all of which count as new: each epoch has them all."""
        return self._replace(train=replace(self.train, is_unlearned=None))


@dataclass(frozen=True)
class Session:
    """What surrounds a training: who keeps its states, who is told, and how far this call may go."""

    states: States
    watcher: Watcher
    state: State | None = None
    """Of an unfinished training with the same inputs, to go on from."""
    budget: Budget | None = None
    """Of this call; None: all that training needs."""
    asked: Callable[[], str | None] = lambda: None
    """Gives the reason why training is to stop at once, if there is one."""


@dataclass(frozen=True)
class Outcome:
    """What a training gave."""

    history: list[Row]
    """Metrics by epoch; row 0 is the score before the first step."""
    best_epoch: int
    """Row of the history whose weights were kept."""
    reason: str
    """Why training stopped."""
    is_cut: bool
    """Whether it stopped before its end: the budget was spent, or a person chose the epoch."""
    weights: "Mapping[str, np.ndarray]"
    """Of the best epoch; averages where `train.average` asks for them."""
    last: "Mapping[str, np.ndarray]"
    """After the last step; averages likewise."""
    optimizer: "Mapping[str, np.ndarray]"
    """As it was after the best epoch."""
    retries: list[Row]
    """Where training diverged: epoch, step, loss of the step, learning rate."""
    spent: Spent
    """By all calls together."""
    spent_now: Spent
    """By this call."""
    share: float = 1.0
    """Of the result in the weights; the rest is the parent's. See `starts.blend`."""
    blended: dict[float, Row] = field(default_factory=dict)
    """Scores on val of the mixtures, by share."""

    def passes(self, num_val: int) -> float:
        """What it all cost, in images passed forward and back; scoring only passes forward, and counts a third.

        Args:
            num_val: validation images.
        """
        scored = (len(self.history) + max(len(self.blended) - 1, 0)) * num_val
        return self.spent.images + scored / 3


def fit(engine: "Engine", parts: Parts, train: Train, session: Session) -> Outcome:
    """Train until there is a reason to stop.

    However often the process ends on the way, the outcome is the same to the last bit as if it never had. That holds
    on the same kind of machine with the same libraries, unless the budget asks to finish early.

    Args:
        engine: with the values to start from.
        parts: the images.
        train: section `train` of params.yaml.
        session: states, watcher and budget.

    Raises:
        PausedError: out of budget, or asked to stop; the state is saved.
        ModelError: no epoch had a finite value of the monitored metric.
        OSError: the first state cannot be saved.
    """
    return _Loop(engine, parts, train, session).run()


@dataclass
class _Loop:
    """One call of `fit`; all that changes in it is here and in the engine."""

    engine: "Engine"
    parts: Parts
    train: Train
    session: Session
    state: State = field(init=False)
    """Where training stands; the engine has the values of now."""
    spent: Spent = field(default_factory=Spent)
    """By this call."""
    tried: Spent = field(default_factory=Spent)
    """What was spent when a state was last saved, or failed to be."""
    is_saved: bool = False
    """Whether nothing was done since a state was saved."""
    began: float = field(default_factory=time.monotonic)

    def run(self) -> Outcome:
        if self.session.state is None:
            self._begin()
        else:
            self.state = self.session.state
            self.engine.fill(self.state.now)
        self.session.watcher.scored(self.state.history)
        while (reason := self._reason_to_stop()) is None:
            self._epoch()
        best = self._best_epoch()
        if self.tried.steps != self.spent.steps:
            self._save()  # what comes after the end may be interrupted too
        self._look_at_the_clock()
        last = self.engine.served()
        self.engine.fill(self.state.best)
        return Outcome(
            history=self.state.history,
            best_epoch=best,
            reason=reason,
            is_cut=reason.startswith("budget."),
            weights=self.engine.served(),
            last=last,
            optimizer=self.state.best.optimizer,
            retries=self.state.retries,
            spent=self.state.spent + self.spent,
            spent_now=self.spent,
        )

    def _begin(self) -> None:
        """Score what there is before the first step, and save it.

        It is saved at once so that a folder that cannot be written to is found before hours of training.
        """
        row = {**self._scores(), "learning_rate": self.engine.learning_rate}
        now = self.engine.values()
        self.state = State([row], now=now, best=now)
        self.session.states.save(self.state)

    def _reason_to_stop(self) -> str | None:
        reason = stopping.reason_to_stop(self.state.history, self.train, self.state.retries)
        if reason is None and self._finishes_early:
            reason = self._out_of_budget()
            if reason and self.state.step:
                self._close()
        return reason

    @property
    def _finishes_early(self) -> bool:
        """Whether training ends with the best so far once the budget is spent; else it pauses."""
        return self.session.budget is not None and self.session.budget.when_spent == "finish"

    def _out_of_budget(self) -> str | None:
        self._look_at_the_clock()
        return stopping.out_of_budget(self.spent, self.session.budget) if self.session.budget else None

    def _epoch(self) -> None:
        """Go on with the epoch: to its end, or to where training diverges or the budget is spent."""
        train, epoch, order = self.train, len(self.state.history), self._order()
        count, steps = len(order), math.ceil(len(order) / train.batch_size)
        decay = 1 - 1 / max(LEAST_AVERAGED, train.average * steps)
        self.engine.optimizer.learning_rate.assign(self._learning_rate())
        for batch, size in self._batches(order, epoch, self.state.step):
            reason = self._out_of_budget()
            if reason and self._finishes_early:
                return
            if reason := reason or self.session.asked():
                raise self._paused(reason)
            loss, right = self.engine.step(batch, size, decay)
            if stopping.is_diverged(loss / size, self.engine.num_labels, train):
                self._retry(self.state.step + 1, loss / size)
                return
            state = self.state
            self.state = replace(state, step=state.step + 1, loss=state.loss + loss, right=state.right + right)
            self.spent = replace(self.spent, steps=self.spent.steps + 1, images=self.spent.images + size)
            seen = min(self.state.step * train.batch_size, count)
            self.session.watcher.stepped(epoch, self.state.step, steps, size, self.state.loss / seen)
            self._save_if_due()
        if reason := self.session.asked():
            raise self._paused(reason)
        self._close()

    def _order(self) -> "np.ndarray":
        """Rows of the epoch that begins, or goes on, in the order of training."""
        import numpy as np

        part, train = self.parts.train, self.train
        is_new = np.ones(len(part), bool) if part.is_unlearned is None else part.is_unlearned
        epoch, by_label = len(self.state.history), self.engine.label_weights
        if train.balance != "drawing" or by_label is None:
            return replay.order(is_new, train.replay, train.repeat_new, train.seed, epoch)
        often = replay.often(is_new, train.replay, train.repeat_new)
        return balance.drawn(often, part.labels, by_label, train.seed, epoch)

    def _batches(self, order: "np.ndarray", epoch: int, first: int) -> Iterator[tuple[Any, int]]:
        """The batches of an epoch from step `first` on, with their sizes.

        A thread reads and augments the next ones while the step computes.
        """
        import numpy as np

        part, train, size = self.parts.train, self.train, self.train.batch_size
        again = balance.again(order) if train.balance == "drawing" else None

        def read(step: int) -> tuple[Any, int]:
            places = step * size + np.argsort(order[step * size : (step + 1) * size], kind="stable")
            rows, times = order[places], None if again is None else again[places]
            digests = [part.digests[row] for row in rows]
            batch = augment.augmented(
                part.take(rows), part.labels[rows], digests, train, train.seed, epoch, step, times
            )
            return self.engine.feed(*batch), len(rows)

        steps = range(first, math.ceil(len(order) / size))
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as reader:
            ahead = deque(reader.submit(read, step) for step in steps[:AHEAD])
            for step in steps:
                batch = ahead.popleft().result()
                if step + AHEAD in steps:
                    ahead.append(reader.submit(read, step + AHEAD))
                yield batch

    def _close(self) -> None:
        """End the epoch: score it, and keep it if it is the best."""
        state = self.state
        seen = min(state.step * self.train.batch_size, len(self._order()))
        trained = {"loss": state.loss / seen, "accuracy": state.right / seen}
        row = {**trained, **self._scores(), "learning_rate": self._learning_rate()}
        if stopping.is_diverged(row["val_loss"], self.engine.num_labels, self.train):
            self._retry(state.step, row["val_loss"])
            return
        history = [*state.history, row]
        is_best = stopping.standing(history, self.train).best_epoch == len(history) - 1
        best = self.engine.values() if is_best else state.best
        self.state = replace(state, history=history, step=0, loss=0.0, right=0, best=best)
        self.spent = replace(self.spent, epochs=self.spent.epochs + 1)
        self.session.watcher.scored(history)
        self._save_if_due()

    def _scores(self) -> Row:
        """Loss and accuracy on val, of the weights that would be served."""
        val = self.parts.val
        with self.engine.serving():
            loss, accuracy = self.engine.scores(val, range(len(val)), self.train.batch_size)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def _learning_rate(self) -> float:
        start = self.state.history[0]["learning_rate"] * self.state.factor
        return stopping.learning_rate(self.state.history, start, self.train, len(self.state.retries))

    def _retry(self, step: int, loss: float) -> None:
        """Go back to the best epoch, which did not diverge, and on from there with a lower learning rate."""
        state, epoch, best = self.state, len(self.state.history), self._best_epoch()
        # Floats all, as a checkpoint gives them back: what is written of an interrupted training is the same bytes.
        row = {"epoch": float(epoch), "step": float(step), "loss": loss, "learning_rate": self._learning_rate()}
        self.state = replace(state, retries=[*state.retries, row], step=0, loss=0.0, right=0)
        self.engine.fill(state.best)
        warning = f"epoch {epoch} diverged at step {step} (loss {loss:.4g}): back to epoch {best}"
        if len(self.state.retries) <= self.train.max_retries:
            warning += f", on with learning rate {self._learning_rate():.2g}"
        self.session.watcher.warned(warning)
        self._save()

    def _best_epoch(self) -> int:
        """The epoch that is kept; the start where the monitored metric has no value yet, as before the first step."""
        history = self.state.history
        best = stopping.standing(history, self.train).best_epoch
        if best is None and not math.isfinite(history[0]["val_loss"]):
            raise ModelError(
                f"training gave no finite {self.train.monitor} in {len(history) - 1} epochs, nor before the first "
                "step; set train.start: cold if the parent itself is broken, else look at train.architecture and "
                "train.precision"
            )
        return best or 0

    def _save_if_due(self) -> None:
        self.is_saved = False
        if self.session.states.is_due(self.spent.epochs - self.tried.epochs, self.spent.steps - self.tried.steps):
            self._save()

    def _save(self) -> None:
        """Save the state; if that fails, training warns and goes on."""
        self.tried = self.spent
        try:
            self.session.states.save(self._whole())
            self.is_saved = True
        except OSError as error:
            self.session.watcher.warned(
                f"{_not_saved(error)}; training goes on, but a kill now would lose what came since"
            )

    def _paused(self, reason: str) -> PausedError:
        """Save the state, and give the error to raise."""
        try:
            if not self.is_saved:
                self.session.states.save(self._whole())
        except OSError as error:
            return PausedError(f"{reason}; {_not_saved(error)}: it goes on from the one before", self.state)
        return PausedError(reason, self.state)

    def _whole(self) -> State:
        self._look_at_the_clock()
        return replace(self.state, now=self.engine.values(), spent=self.state.spent + self.spent)

    def _look_at_the_clock(self) -> None:
        self.spent = replace(self.spent, seconds=time.monotonic() - self.began)


def _not_saved(error: OSError) -> str:
    return f"the state cannot be saved ({error.strerror or error}; mend that: free space, or make the folder writable)"
