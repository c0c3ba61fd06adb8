"""The training loop: epochs of steps, each epoch scored on val, the best one kept. Home of TensorFlow.

Our own loop over `GradientTape` rather than `Model.fit`: all that it needs to go on is explicit (Keras' callbacks
lose the seeds, the place in the epoch, `wait` and `best`: keras-team/tf-keras#430, keras#17012), and the step runs
under `strategy.run`, where `fit` of Keras 3 cannot (keras#20585).
"""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.base.errors import ModelError
from pipeline.data import replay
from pipeline.learning import augment, model, stopping
from pipeline.learning.checkpoint import State, Values
from pipeline.learning.settings import Budget, Train
from pipeline.learning.stopping import Row, Spent

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part

AHEAD = 2
"""Batches that are read before they are needed."""

LEAST_AVERAGED = 15
"""Steps; averages over fewer gain nothing over the last weights."""

LONG = 1_000_000
"""Steps after which an average forgets no faster than it is to for good."""


class PausedError(Exception):
    """Training stopped before its end; its state is saved."""

    def __init__(self, reason: str, state: State) -> None:
        super().__init__(reason)
        self.reason, self.state = reason, state


class Watcher(Protocol):
    """Who is told how training goes."""

    def stepped(self, epoch: int, step: int, steps: int, images: int, loss: float) -> None:
        """After each step; `loss` is the mean of the epoch so far."""

    def scored(self, history: list[Row]) -> None:
        """After each epoch, and once for the rows that there are at the beginning."""

    def warned(self, warning: str) -> None:
        """Something that training survives."""


class States(Protocol):
    """Where unfinished states are kept."""

    def save(self, state: State) -> None:
        """Keep a state; may raise OSError."""

    def is_due(self, epochs: int, steps: int) -> bool:
        """Whether to save, so long after the last time."""


def warmed(settings: Train, part: "Part") -> Train:
    """Settings of a warm start: as many epochs as `passes_per_new` and `warm_epochs` allow, one at least.

    So its cost follows what is new; what starts from less has more to learn, whatever is new. The learning rate is
    `warm_rate` times that of a cold start: weights grow as they are trained, and with them what it takes to turn them
    (Lyle et al., CoLLAs 2025, arXiv:2507.20057).
    """
    num_new = len(part) if part.is_unlearned is None else int(part.is_unlearned.sum())
    limits = [settings.max_epochs, settings.warm_epochs or settings.max_epochs]
    if settings.passes_per_new is not None:
        size = max(replay.length(len(part), num_new, settings.replay), 1)
        limits.append(max(round(settings.passes_per_new * num_new / size), 1))
    rate = settings.learning_rate * settings.warm_rate
    return settings.model_copy(update={"max_epochs": min(limits), "learning_rate": rate})


def shrunk(
    start: "Mapping[str, np.ndarray]", fresh: "Mapping[str, np.ndarray]", network: Any
) -> "dict[str, np.ndarray]":
    """Shrink and perturb (Ash and Adams 2020, arXiv:1910.08475; factors of their code): what is learned 0.4 times the
    start plus 0.1 times fresh weights, statistics fresh."""
    learned = {id(variable) for variable in network.trainable_variables}
    return {
        name: 0.4 * start[name] + 0.1 * fresh[name] if id(variable) in learned else fresh[name]
        for name, variable in zip(sorted(start), network.weights, strict=True)
    }


@dataclass(frozen=True)
class Outcome:
    """What a training gave."""

    history: list[Row]
    best_epoch: int
    """Row of the history whose weights were kept; 0 is the state before the first step."""
    reason: str
    """Why training stopped."""
    is_cut: bool
    """It stopped because the budget was spent, before its end."""
    weights: "dict[str, np.ndarray]"
    """Of the best epoch, not of the last; averaged, if they are."""
    last: "dict[str, np.ndarray]"
    """After the last step; averaged, if they are."""
    optimizer: "dict[str, np.ndarray]"
    """As it was after the best epoch."""
    retries: list[Row]
    """Where training diverged: epoch, step, loss of the step, learning rate."""
    spent: Spent
    """By all calls together."""
    spent_now: Spent
    """By this call."""
    share: float = 1.0
    """Of what training gave in these weights; the rest is the champion's. See `blend`."""
    blended: dict[float, Row] = field(default_factory=dict)
    """Scores on val by share."""

    def passes(self, num_val: int) -> float:
        """What it all cost, in images passed forward and back; scoring, which only passes forward, counts a third.

        Args:
            num_val: validation images.
        """
        scored = (len(self.history) + max(len(self.blended) - 1, 0)) * num_val
        return self.spent.images + scored / 3


def make_repeatable(seed: int, threads: int) -> None:
    """Same seed, same machine, same result. Call before anything else uses TensorFlow."""
    keras = model.keras()
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow runs already, as in a test session: its threads stay as they are
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def strategy(devices: str) -> Any:
    """How the work is shared: `one` device, or `all` of this machine, each with a part of every batch.

    Build model and optimizer in its `scope()`.
    """
    import tensorflow as tf

    if devices == "one":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices())


def versions() -> dict[str, str]:
    """The libraries that compute, and where: what the last bits of a model depend on."""
    import platform

    import numpy as np
    import tensorflow as tf

    return {
        "keras": model.keras().__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


class Engine:
    """A network in training: the compiled step, the compiled scoring, and everything that changes."""

    def __init__(self, network: Any, optimizer: Any, settings: Train, shared: Any = None) -> None:
        """Take a built `keras.Model` that gives logits and its optimizer, with the values to start from.

        Args:
            network, optimizer: made in the scope of `shared`.
            settings: section `train` of params.yaml.
            shared: a `tf.distribute.Strategy`; None: the default one.
        """
        import tensorflow as tf

        self.network, self.optimizer = network, optimizer
        self.shared = shared or tf.distribute.get_strategy()
        self.is_averaged = settings.average > 0
        self.num_labels = int(network.output_shape[-1])
        with self.shared.scope():
            optimizer.build(network.trainable_variables)
            self.average = [tf.Variable(weight) for weight in network.weights] if self.is_averaged else []
            self._updates = tf.Variable(0, dtype=tf.int64)
        if self.shared.num_replicas_in_sync > 1:
            for layer in network._flatten_layers():
                if isinstance(layer, model.keras().layers.BatchNormalization):
                    layer.synchronized = True
        self._step, self._score = self._functions()

    def _functions(self) -> tuple[Any, Any]:
        import tensorflow as tf

        network, optimizer, replicas = self.network, self.optimizer, self.shared.num_replicas_in_sync
        loss_of = model.keras().losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
        pixels_spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)
        batch_spec = (pixels_spec, tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.float32))

        def judged(training: bool, pixels: Any, labels: Any, counts: Any) -> tuple[Any, Any]:
            logits = tf.cast(network(tf.cast(pixels, tf.float32), training=training), tf.float32)
            right = tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32)
            return tf.reduce_sum(loss_of(labels, logits) * counts), tf.reduce_sum(right * counts)

        def one(pixels: Any, labels: Any, counts: Any, total: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                loss, right = judged(True, pixels, labels, counts)
                # The optimizer sums the gradients of all devices.
                objective = optimizer.scale_loss(loss / total + sum(network.losses) / replicas)
            variables = network.trainable_variables
            optimizer.apply(tape.gradient(objective, variables), variables)
            return loss, right

        def step(batch: Any, total: Any, decay: Any) -> tuple[Any, Any]:
            found = self.shared.run(one, args=(*batch, total))
            loss, right = (self.shared.reduce("SUM", value, axis=None) for value in found)
            if self.is_averaged:
                done = tf.cast(self._updates.assign_add(1), tf.float32)
                keep = tf.minimum(decay, (1 + done) / (10 + done))  # soon forgets what it was before the first step
                for mean, weight in zip(self.average, network.weights, strict=True):
                    now = tf.convert_to_tensor(weight)
                    mean.assign(now + keep * (mean - now) if now.dtype.is_floating else now)
            return loss, right

        scalar = tf.TensorSpec((), tf.float32)
        signature = [batch_spec, scalar, scalar] if replicas == 1 else None  # a batch in parts has no single one
        return (
            tf.function(step, input_signature=signature),
            tf.function(functools.partial(judged, False), input_signature=batch_spec),
        )

    def feed(self, pixels: "np.ndarray", labels: "np.ndarray") -> Any:
        """A batch as the step wants it: for each device an equal part, filled up with images that do not count."""
        import numpy as np
        import tensorflow as tf

        counts = np.ones(len(labels), np.float32)
        replicas = self.shared.num_replicas_in_sync
        if replicas == 1:
            return tuple(tf.convert_to_tensor(values) for values in (pixels, labels, counts))
        missing = -len(labels) % replicas
        filled = np.resize(pixels, (len(pixels) + missing, *pixels.shape[1:])), np.resize(labels, len(labels) + missing)
        columns = (*filled, np.pad(counts, (0, missing)))

        def part(context: Any) -> Any:
            return tuple(
                tf.convert_to_tensor(np.array_split(values, replicas)[context.replica_id_in_sync_group])
                for values in columns
            )

        return self.shared.experimental_distribute_values_from_function(part)

    def step(self, batch: Any, count: int, decay: float) -> tuple[float, int]:
        """Learn from a batch of so many images: sum of their losses before that, and how many were right."""
        loss, right = self._step(batch, float(count), decay)
        return float(loss), int(right)

    def score(self, pixels: "np.ndarray", labels: "np.ndarray") -> tuple[float, int]:
        """Sum of the losses, and how many are right."""
        import numpy as np

        loss, right = self._score(pixels, labels, np.ones(len(labels), np.float32))
        return float(loss), int(right)

    def scores(self, part: "Part", rows: "Sequence[int] | np.ndarray", batch_size: int) -> tuple[float, float]:
        """Mean loss and accuracy on some images of a part, ascending, of the network as it is."""
        import numpy as np

        loss, right = 0.0, 0
        for start in range(0, len(rows), batch_size):
            some = np.asarray(rows[start : start + batch_size])
            batch_loss, batch_right = self.score(part.take(some), part.labels[some])
            loss, right = loss + batch_loss, right + batch_right
        return loss / len(rows), right / len(rows)

    def served(self) -> "dict[str, np.ndarray]":
        """The weights that are scored and kept: averaged, if they are."""
        return model.arrays(self.average if self.is_averaged else self.network.weights)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(model.arrays([self.optimizer.learning_rate])["0000"])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The network as it would be served."""
        if not self.is_averaged:
            yield
            return
        own = model.arrays(self.network.weights)
        model.fill(self.network.weights, self.served(), "averages")
        try:
            yield
        finally:
            model.fill(self.network.weights, own, "weights")

    def begin(
        self, weights: "dict[str, np.ndarray]", optimizer: "dict[str, np.ndarray]", is_good: bool = False
    ) -> None:
        """Start from these values.

        Args:
            weights: of the network.
            optimizer: its variables.
            is_good: the weights are an average worth keeping, not to be forgotten at once.
        """
        model.fill(self.network.weights, weights, "start")
        model.fill(self.optimizer.variables, optimizer, "optimizer of start")
        if self.is_averaged:
            model.fill(self.average, weights, "averages")
            self._updates.assign(LONG if is_good else 0)

    def values(self) -> Values:
        """Copies of everything that changes."""
        return Values(
            model.arrays(self.network.variables),
            model.arrays([*self.average, self._updates] if self.is_averaged else []),
            model.arrays(self.optimizer.variables),
        )

    def fill(self, values: Values) -> None:
        """The inverse of `values`."""
        model.fill(self.network.variables, values.variables, "checkpoint")
        model.fill([*self.average, self._updates] if self.is_averaged else [], values.average, "averages of checkpoint")
        model.fill(self.optimizer.variables, values.optimizer, "optimizer of checkpoint")


def fit(
    engine: Engine,
    train_part: "Part",
    val_part: "Part",
    settings: Train,
    states: States,
    watcher: Watcher,
    state: State | None = None,
    budget: Budget | None = None,
    asked: Callable[[], str | None] = lambda: None,
) -> Outcome:
    """Train until there is a reason to stop.

    Whatever ends the process, and however often, the outcome is the same to the last bit as if nothing had: on the
    same kind of machine, with the same libraries, unless the budget asks to finish early.

    Args:
        engine: with the values to start from.
        train_part, val_part: pixels and labels; read batch by batch, never whole.
        settings: section `train` of params.yaml.
        states: where the state is kept.
        watcher: is told how it goes.
        state: of an unfinished training with these inputs, to go on from.
        budget: what this call may use; None: all it needs.
        asked: says why training is to stop now, if it is.

    Raises:
        PausedError: out of budget, or asked to stop; the state is saved.
        ModelError: no epoch had a finite value of the monitored metric.
        OSError: the first state cannot be saved.
    """
    return _Training(engine, train_part, val_part, settings, states, watcher, budget, asked).run(state)


def blend(
    engine: Engine, champion: "Mapping[str, np.ndarray]", outcome: Outcome, val_part: "Part", settings: Train
) -> Outcome:
    """Keep the best mixture, on val, of the weights that are served now and those that training gave.

    Weights of a fine-tuned model and of the one it came from can be averaged, often to the better (Wortsman et al.,
    WiSE-FT, CVPR 2022, arXiv:2109.01903); and as the champion is among the choices, a cycle that taught nothing
    changes nothing. The smallest share wins a tie.

    Args:
        engine: of the training; its network is left with the last weights that were scored.
        champion: its served weights, for the same labels.
        outcome: of `fit`.
        val_part: what the shares are judged by.
        settings: section `train` of params.yaml; `blend` names the shares.
    """
    if not settings.blend:
        return outcome
    monitor, mode = settings.monitor, settings.mode
    if not monitor.startswith("val_"):
        monitor, mode = "val_loss", "auto"  # the mode is that of a metric of training
    sign = 1 if stopping.mode_of(monitor, mode) == "min" else -1
    best = outcome.history[outcome.best_epoch]
    tried: dict[float, Row] = {1.0: {name: best[name] for name in ("val_loss", "val_accuracy")}}
    for share in sorted({0.0, *settings.blend} - {1.0}):
        model.fill(engine.network.weights, _mixed(champion, outcome.weights, share), "blend")
        loss, accuracy = engine.scores(val_part, range(len(val_part)), settings.batch_size)
        tried[share] = {"val_loss": loss, "val_accuracy": accuracy}
    chosen = min(tried, key=lambda share: (sign * tried[share][monitor], share))
    return replace(outcome, weights=_mixed(champion, outcome.weights, chosen), share=chosen, blended=tried)


def _mixed(start: "Mapping[str, np.ndarray]", end: "Mapping[str, np.ndarray]", share: float) -> "dict[str, np.ndarray]":
    """Weights between two; whole numbers (counts) are those of the end."""
    return {
        name: start[name] + value.dtype.type(share) * (value - start[name]) if value.dtype.kind == "f" else value
        for name, value in end.items()
    }


@dataclass
class _Training:
    """One call of `fit`: the one thing here that changes."""

    engine: Engine
    train_part: "Part"
    val_part: "Part"
    settings: Train
    states: States
    watcher: Watcher
    budget: Budget | None
    asked: Callable[[], str | None]
    state: State = field(init=False)
    """Where training stands; the arrays of now are in the engine."""
    spent: Spent = field(default_factory=Spent)
    """By this call."""
    tried: Spent = field(default_factory=Spent)
    """Of that, when it was last tried to save a state."""
    is_saved: bool = False
    """Nothing was done since a state was saved."""
    began: float = field(default_factory=time.monotonic)

    def run(self, state: State | None) -> Outcome:
        if state is None:
            self._begin()
        else:
            self.state = state
            self.engine.fill(state.now)
        self.watcher.scored(self.state.history)
        while (reason := self._reason_to_stop()) is None:
            self._epoch()
        best = self._best_epoch()
        if self.tried.steps != self.spent.steps:
            self._save()  # what comes after the end may be interrupted too
        self._look_at_the_clock()
        last = self.engine.served()
        self.engine.fill(self.state.best)
        return Outcome(
            self.state.history,
            best,
            reason,
            reason.startswith("budget."),
            self.engine.served(),
            last,
            self.state.best.optimizer,
            self.state.retries,
            self.state.spent + self.spent,
            self.spent,
        )

    def _begin(self) -> None:
        """Score what there is before the first step; save it at once, for a folder that cannot be written to is no
        place to train in."""
        row = {**self._scores(), "learning_rate": self.engine.learning_rate}
        now = self.engine.values()
        self.state = State([row], now=now, best=now)
        self.states.save(self.state)

    def _reason_to_stop(self) -> str | None:
        reason = stopping.reason_to_stop(self.state.history, self.settings, self.state.retries)
        if reason is None and self.budget and self.budget.when_spent == "finish":
            reason = self._out_of_budget()
            if reason and self.state.step:
                self._close()
        return reason

    def _out_of_budget(self) -> str | None:
        self._look_at_the_clock()
        return stopping.out_of_budget(self.spent, self.budget) if self.budget else None

    def _epoch(self) -> None:
        """Steps from where the epoch stands to its end, or to where training diverges or the budget ends."""
        settings, epoch, order = self.settings, len(self.state.history), self._order()
        count, steps = len(order), math.ceil(len(order) / settings.batch_size)
        decay = 1 - 1 / max(LEAST_AVERAGED, settings.average * steps)
        self.engine.optimizer.learning_rate.assign(self._learning_rate())
        for batch, size in self._batches(order, epoch, self.state.step):
            reason = self._out_of_budget()
            if reason and self.budget and self.budget.when_spent == "finish":
                return
            if reason := reason or self.asked():
                raise self._paused(reason)
            loss, right = self.engine.step(batch, size, decay)
            if stopping.is_diverged(loss / size, self.engine.num_labels, settings):
                self._retry(self.state.step + 1, loss / size)
                return
            state = self.state
            self.state = replace(state, step=state.step + 1, loss=state.loss + loss, right=state.right + right)
            self.spent = replace(self.spent, steps=self.spent.steps + 1, images=self.spent.images + size)
            seen = min(self.state.step * settings.batch_size, count)
            self.watcher.stepped(epoch, self.state.step, steps, size, self.state.loss / seen)
            self._save_if_due()
        if reason := self.asked():
            raise self._paused(reason)
        self._close()

    def _order(self) -> "np.ndarray":
        """Rows of the epoch that comes, or that is not over."""
        import numpy as np

        part, settings = self.train_part, self.settings
        is_new = np.ones(len(part), bool) if part.is_unlearned is None else part.is_unlearned
        return replay.order(is_new, settings.replay, settings.seed, len(self.state.history))

    def _batches(self, order: "np.ndarray", epoch: int, first: int) -> Iterator[tuple[Any, int]]:
        """Batches from a step on and their sizes; the next ones are read, moved and copied while the step computes."""
        import numpy as np

        part, settings, size = self.train_part, self.settings, self.settings.batch_size

        def read(step: int) -> tuple[Any, int]:
            rows = np.sort(order[step * size : (step + 1) * size])
            rng = np.random.default_rng([settings.seed, epoch, step + 1])
            moved = augment.move(part.take(rows), settings.flip, settings.shift, rng)
            return self.engine.feed(moved, part.labels[rows]), len(rows)

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
        seen = min(state.step * self.settings.batch_size, len(self._order()))
        trained = {"loss": state.loss / seen, "accuracy": state.right / seen}
        row = {**trained, **self._scores(), "learning_rate": self._learning_rate()}
        if stopping.is_diverged(row["val_loss"], self.engine.num_labels, self.settings):
            self._retry(state.step, row["val_loss"])
            return
        history = [*state.history, row]
        is_best = stopping.progress(history, self.settings).best_epoch == len(history) - 1
        best = self.engine.values() if is_best else state.best
        self.state = replace(state, history=history, step=0, loss=0.0, right=0, best=best)
        self.spent = replace(self.spent, epochs=self.spent.epochs + 1)
        self.watcher.scored(history)
        self._save_if_due()

    def _scores(self) -> Row:
        """Loss and accuracy on val, of the weights that would be served."""
        with self.engine.serving():
            loss, accuracy = self.engine.scores(self.val_part, range(len(self.val_part)), self.settings.batch_size)
        return {"val_loss": loss, "val_accuracy": accuracy}

    def _learning_rate(self) -> float:
        start = self.state.history[0]["learning_rate"]
        return stopping.learning_rate(self.state.history, start, self.settings, len(self.state.retries))

    def _retry(self, step: int, loss: float) -> None:
        """Back to the best epoch, the last that is known to be good, to go on with a lower learning rate."""
        state, settings = self.state, self.settings
        epoch, best = len(state.history), self._best_epoch()
        row = {"epoch": epoch, "step": step, "loss": loss, "learning_rate": self._learning_rate()}
        self.state = replace(state, retries=[*state.retries, row], step=0, loss=0.0, right=0)
        self.engine.fill(state.best)
        what = f"epoch {epoch} diverged at step {step} (loss {loss:.4g}): back to epoch {best}"
        if len(self.state.retries) <= settings.max_retries:
            what += f", on with learning rate {self._learning_rate():.2g}"
        self.watcher.warned(what)
        self._save()

    def _best_epoch(self) -> int:
        """The epoch that is kept: the start, while a metric of training has no value yet."""
        history = self.state.history
        best = stopping.progress(history, self.settings).best_epoch
        if best is None and not math.isfinite(history[0]["val_loss"]):
            raise ModelError(
                f"training gave no finite {self.settings.monitor} in {len(history) - 1} epochs; lower "
                "train.learning_rate, or set train.start: cold if the parent itself is broken"
            )
        return best or 0

    def _save_if_due(self) -> None:
        self.is_saved = False
        if self.states.is_due(self.spent.epochs - self.tried.epochs, self.spent.steps - self.tried.steps):
            self._save()

    def _save(self) -> None:
        """Save the state; training survives it if that fails."""
        self.tried = self.spent
        try:
            self.states.save(self._whole())
            self.is_saved = True
        except OSError as error:
            self.watcher.warned(f"{_not_saved(error)}; training goes on, but a kill now would lose what came since")

    def _paused(self, reason: str) -> PausedError:
        """Save the state; what to raise then."""
        try:
            if not self.is_saved:
                self.states.save(self._whole())
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
