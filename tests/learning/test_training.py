import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base.errors import ModelError
from pipeline.data.dataset import Part
from pipeline.learning import model, stopping, training
from pipeline.learning.checkpoint import Folder, State
from pipeline.learning.model import Description
from pipeline.learning.settings import Budget, Checkpoint, Train
from pipeline.learning.stopping import Spent
from pipeline.learning.training import PausedError
from pipeline.settings import Params

DESCRIPTION = Description("small_cnn", (8, 8, 1), ("dark", "bright"))
EACH_STEP = Checkpoint(epochs=None, steps=1, seconds=None)
NEVER = Checkpoint(epochs=None, steps=None, seconds=None)


@pytest.fixture(scope="module")
def parts() -> tuple[Part, Part]:
    """Dark and bright squares with noise: learned within a few epochs."""
    rng = np.random.default_rng(0)

    def part(count: int) -> Part:
        labels = np.arange(count) % 2
        pixels = rng.integers(0, 120, (count, 8, 8, 1)) + 120 * labels[:, None, None, None]
        return Part(pixels.astype(np.uint8), labels.astype(np.int64), tuple(map(str, range(count))))

    return part(70), part(30)


@pytest.fixture
def train(settings: Params) -> Train:
    pace = {"learning_rate": 0.003, "reduce_patience": 2, "min_delta": 0.005}
    return settings.train.model_copy(update={"max_epochs": 6, "batch_size": 16, "patience": 6, "average": 0, **pace})


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

    def scored(self, history: list[stopping.Row]) -> None:
        self.epochs.append(len(history) - 1)
        self.on_score(len(history) - 1)

    def warned(self, warning: str) -> None:
        self.warnings.append(warning)


def engine(train: Train) -> training.Engine:
    training.make_repeatable(train.seed, train.threads)
    return training.Engine(model.build(DESCRIPTION), model.optimizer(train), train)


def fit(
    parts: tuple[Part, Part],
    train: Train,
    scratch: Path,
    notes: Notes | None = None,
    every: Checkpoint = NEVER,
    **options: Any,
) -> training.Outcome:
    """As the stage does: go on from the last state, if there is one."""
    states = Folder(scratch, {}, every)
    return training.fit(engine(train), *parts, train, states, notes or Notes(), states.load(), **options)


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def equal(one: training.Outcome, two: training.Outcome) -> bool:
    """In all but the time they took."""
    no, time = {"weights": {}, "last": {}, "optimizer": {}}, {"spent": stopping.Spent(), "spent_now": stopping.Spent()}
    rest = [replace(outcome, **no, **time) for outcome in (one, two)]
    return rest[0] == rest[1] and all(same(getattr(one, name), getattr(two, name)) for name in no)


def accuracy(outcome: training.Outcome, part: Part) -> float:
    network = model.build(DESCRIPTION)
    model.fill(network.weights, outcome.weights, "outcome")
    return float((model.logits(network, part.pixels, 16).argmax(axis=1) == part.labels).mean())


@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
def test_training_learns_and_keeps_the_best_epoch(parts, train, tmp_path, average):
    outcome = fit(parts, train.model_copy(update={"average": average, "max_epochs": 12}), tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmin(losses))
    assert outcome.history[-1]["accuracy"] > 0.8
    assert accuracy(outcome, parts[1]) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_best_is_kept_when_later_epochs_are_worse(parts, train, tmp_path):
    """`mode: max` on a loss makes the worst epoch the best: only a kept copy can be returned."""
    outcome = fit(parts, train.model_copy(update={"mode": "max"}), tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(losses)) < len(losses) - 1
    assert accuracy(outcome, parts[1]) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_same_inputs_give_the_same_bytes(parts, train, tmp_path):
    one, two = fit(parts, train, tmp_path / "a"), fit(parts, train, tmp_path / "b")
    assert equal(one, two)
    assert not same(one.weights, fit(parts, train.model_copy(update={"seed": 8}), tmp_path / "c").weights)


def test_averaged_weights_are_those_of_the_last_steps(parts, train):
    """After the first step 2/11 of what was before and 9/11 of what is now, later nearly all of what was."""
    made = engine(train.model_copy(update={"average": 100}))
    before = model.arrays(made.network.weights)
    made.step(made.feed(parts[0].pixels[:16], parts[0].labels[:16]), 16, 0.99)
    now = model.arrays(made.network.weights)
    for name, mean in made.served().items():
        np.testing.assert_allclose(mean, 2 / 11 * before[name] + 9 / 11 * now[name], atol=1e-6)
    with made.serving():
        assert same(model.arrays(made.network.weights), made.served())
    assert same(model.arrays(made.network.weights), now)


@pytest.mark.parametrize(("average", "steps"), [(1, 15), (10, 50)])
def test_the_average_is_over_so_many_epochs_but_15_steps_at_least(parts, train, tmp_path, monkeypatch, average, steps):
    decays: set[float] = set()
    step = training.Engine.step

    def note(self: Any, batch: Any, count: int, decay: float) -> Any:
        decays.add(decay)
        return step(self, batch, count, decay)

    monkeypatch.setattr(training.Engine, "step", note)
    fit(parts, train.model_copy(update={"average": average, "max_epochs": 2}), tmp_path)
    assert decays == {1 - 1 / steps}


def test_the_loss_of_an_epoch_is_the_mean_over_its_images(parts, train, tmp_path):
    """Learning rate next to nothing: the model stays as it is, and the last batch is smaller than the others."""
    moves = {"flip": False, "shift": 0.0}
    still = train.model_copy(update={"learning_rate": 1e-12, "max_epochs": 1, "optimizer": "sgd", **moves})
    training.make_repeatable(7, 1)
    network = model.build(DESCRIPTION)
    for layer in network.layers:  # else the mean of the batch, not of all
        if isinstance(layer, model.keras().layers.BatchNormalization):
            layer.trainable = False
    states = Folder(tmp_path, {}, NEVER)
    outcome = training.fit(
        training.Engine(network, model.optimizer(still), still), parts[0], parts[0], still, states, Notes()
    )
    row = outcome.history[1]
    assert row["loss"] == pytest.approx(row["val_loss"], rel=1e-5)
    assert row["accuracy"] == pytest.approx(row["val_accuracy"])


class Killed(BaseException):
    """Stands for a kill: nothing runs after it."""


@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
@pytest.mark.parametrize("place", [(1, 1), (3, 2), (3, 5), (6, 4)], ids=str)
def test_a_killed_training_goes_on_as_if_it_had_not_been(parts, train, tmp_path, place, average):
    train = train.model_copy(update={"average": average, "reduce_patience": 1, "min_delta": 0.01})
    whole = fit(parts, train, tmp_path / "whole")

    def kill(epoch: int, step: int) -> None:
        if (epoch, step) == place:
            raise Killed

    with pytest.raises(Killed):
        fit(parts, train, tmp_path / "cut", Notes(kill), EACH_STEP)
    notes = Notes()
    resumed = fit(parts, train, tmp_path / "cut", notes, EACH_STEP)
    # What was done after the last state was saved is done again, no more.
    again = place[1] - 1
    assert notes.epochs[0] == place[0] - 1
    assert notes.steps[0] == (place[0], again + 1)
    assert equal(whole, resumed)


def test_states_are_saved_as_often_as_asked(parts, train, tmp_path):
    fit(parts, train, tmp_path, every=Checkpoint(epochs=2, steps=None, seconds=None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000003.checkpoint", "00000004.checkpoint"]
    state = Folder(tmp_path, {}, NEVER).load()
    assert state is not None
    assert (len(state.history), state.step) == (7, 0)


BUDGETS = [
    ({"max_steps": 3}, "budget.max_steps: 3", (1, 3)),
    ({"max_steps": 7}, "budget.max_steps: 7", (2, 2)),
    ({"max_epochs": 2}, "budget.max_epochs: 2", (3, 0)),
    ({"max_minutes": 1e-9}, "budget.max_minutes: 1e-09", (1, 0)),
]


@pytest.mark.parametrize(("limits", "reason", "place"), BUDGETS, ids=lambda it: str(it))
def test_out_of_budget_training_pauses_and_its_state_is_saved(parts, train, tmp_path, limits, reason, place):
    with pytest.raises(PausedError) as paused:
        fit(parts, train, tmp_path, budget=budget("pause", **limits))
    assert paused.value.reason == reason
    state = Folder(tmp_path, {}, NEVER).load()
    assert (len(state.history), state.step) == place == (len(paused.value.state.history), paused.value.state.step)


def budget(when_spent: str, **limits: float) -> Budget:
    return Budget(**{"max_minutes": None, "max_epochs": None, "max_steps": None} | limits, when_spent=when_spent)


@pytest.mark.parametrize("limits", [{"max_steps": 3}, {"max_epochs": 1}], ids=str)
def test_pausing_again_and_again_ends_in_the_same_bytes(parts, train, tmp_path, limits):
    train = train.model_copy(update={"average": 1})
    whole, pauses = fit(parts, train, tmp_path / "whole"), 0
    while True:
        try:
            outcome = fit(parts, train, tmp_path / "cut", budget=budget("pause", **limits))
            break
        except PausedError:
            pauses += 1
    assert pauses == (9 if "max_steps" in limits else 5)
    assert equal(whole, outcome)
    assert (outcome.spent.epochs, outcome.spent.steps) == (6, 30)


@pytest.mark.parametrize(("limits", "reason", "place"), BUDGETS, ids=lambda it: str(it))
def test_out_of_budget_training_finishes_with_the_best_so_far(parts, train, tmp_path, limits, reason, place):
    """An epoch that is not over is scored too: it may be all that there is."""
    outcome = fit(parts, train, tmp_path, budget=budget("finish", **limits))
    assert outcome.reason == reason
    assert len(outcome.history) == place[0] + (place[1] > 0)
    assert accuracy(outcome, parts[1]) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_an_end_is_an_end_also_with_the_budget_spent(parts, train, tmp_path):
    short = train.model_copy(update={"max_epochs": 1})
    outcome = fit(parts, short, tmp_path, budget=budget("pause", max_epochs=1, max_steps=5))
    assert outcome.reason == "max_epochs: 1"


def test_when_asked_training_stops_after_the_step_and_saves(parts, train, tmp_path):
    asked: list[str] = []

    def ask(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 3):
            asked.append("SIGTERM")

    with pytest.raises(PausedError, match="SIGTERM") as paused:
        fit(parts, train, tmp_path, Notes(ask), asked=lambda: asked[0] if asked else None)
    assert (len(paused.value.state.history), paused.value.state.step) == (2, 3)
    whole = fit(parts, train, tmp_path / "whole")
    assert equal(whole, fit(parts, train, tmp_path))


def test_asked_after_the_last_step_of_an_epoch_it_is_scored_later(parts, train, tmp_path):
    asked: list[str] = []
    with pytest.raises(PausedError) as paused:
        fit(
            parts,
            train,
            tmp_path,
            Notes(lambda _, step: asked.extend(["SIGINT"] * (step == 5))),
            asked=lambda: (asked or [None])[0],
        )
    assert paused.value.state.step == 5
    notes = Notes()
    assert equal(fit(parts, train, tmp_path / "whole"), fit(parts, train, tmp_path, notes))
    assert notes.steps[0] == (2, 1)


def test_early_stopping_ends_training(parts, train, tmp_path):
    outcome = fit(parts, train.model_copy(update={"patience": 2, "min_delta": 100.0}), tmp_path)
    assert outcome.reason.startswith("patience: 2 epochs")
    assert len(outcome.history) == 3


@pytest.mark.parametrize(
    ("monitor", "target"), [("val_loss", 100.0), ("val_accuracy", 0.0), ("accuracy", 0.01)], ids=str
)
def test_a_target_ends_training_as_good_enough(parts, train, tmp_path, monitor, target):
    outcome = fit(parts, train.model_copy(update={"monitor": monitor, "target": target}), tmp_path)
    assert outcome.reason.startswith(f"target: {monitor}")
    assert len(outcome.history) <= 2


def test_any_logged_metric_can_choose_the_epoch(parts, train, tmp_path):
    outcome = fit(parts, train.model_copy(update={"monitor": "val_accuracy"}), tmp_path)
    accuracies = [row["val_accuracy"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(accuracies))


def test_the_learning_rate_is_reduced_on_a_plateau(parts, train, tmp_path):
    stuck = train.model_copy(update={"min_delta": 100.0, "reduce_patience": 2, "reduce_factor": 0.5})
    outcome = fit(parts, stuck, tmp_path)
    rates = [row["learning_rate"] for row in outcome.history]
    assert rates == pytest.approx([0.003, 0.003, 0.003, 0.0015, 0.0015, 0.00075, 0.00075])


def test_training_that_never_has_a_finite_loss_is_an_error(parts, train, tmp_path):
    broken = engine(train)
    broken.network.get_layer("logits").bias.assign([np.nan, 0.0])
    with pytest.raises(ModelError, match=r"no finite val_loss in 0 epochs; lower train.learning_rate"):
        training.fit(broken, *parts, train, Folder(tmp_path, {}, NEVER), Notes())


def poison(parts: tuple[Part, Part], train: Train, scratch: Path, places: set[tuple[int, int]], **options: Any) -> Any:
    """Train with weights that become NaN after some steps, once for each."""
    made, states, left = engine(train), Folder(scratch, {}, options.pop("every", NEVER)), set(places)

    def spoil(epoch: int, step: int) -> None:
        if (epoch, step) in left:
            left.remove((epoch, step))
            made.network.get_layer("logits").bias.assign([np.nan, 0.0])

    notes = Notes(spoil)
    return training.fit(made, *parts, train, states, notes, states.load(), **options), notes


def test_divergence_is_seen_at_its_step_and_training_goes_back_to_the_best_epoch(parts, train, tmp_path):
    chosen = train.model_copy(update={"max_retries": 2, "retry_factor": 0.1, "reduce_patience": 0})
    outcome, notes = poison(parts, chosen, tmp_path, {(3, 2)})
    assert notes.steps[10:14] == [(3, 1), (3, 2), (3, 1), (3, 2)], "the third step shows it"
    best = stopping.progress(outcome.history[:3], chosen).best_epoch
    assert notes.warnings == [
        f"epoch 3 diverged at step 3 (loss nan): back to epoch {best}, on with learning rate 0.0003"
    ]
    assert outcome.reason == "max_epochs: 6"
    assert [row["learning_rate"] for row in outcome.history] == pytest.approx([0.003] * 3 + [0.0003] * 4)
    assert len(outcome.retries) == 1
    assert math.isnan(outcome.retries[0].pop("loss"))
    assert outcome.retries[0] == {"epoch": 3, "step": 3, "learning_rate": pytest.approx(0.003)}
    assert all(np.isfinite(value).all() for value in outcome.weights.values())


def test_a_first_epoch_that_diverges_goes_back_to_the_start_whatever_is_monitored(parts, train, tmp_path):
    """The loss of training has no value before the first epoch."""
    outcome, notes = poison(parts, train.model_copy(update={"monitor": "loss"}), tmp_path, {(1, 2)})
    assert "epoch 1 diverged at step 3 (loss nan): back to epoch 0, on with learning rate" in notes.warnings[0]
    assert outcome.reason == "max_epochs: 6"


def test_without_any_budget_the_start_is_kept_whatever_is_monitored(parts, train, tmp_path):
    budget = Budget(max_minutes=None, max_epochs=1, max_steps=None, when_spent="finish")
    nothing = stopping.left(budget, Spent(epochs=1))
    chosen = train.model_copy(update={"monitor": "accuracy"})
    outcome = training.fit(engine(train), *parts, chosen, Folder(tmp_path, {}, NEVER), Notes(), None, nothing)
    assert (outcome.best_epoch, outcome.is_cut, outcome.reason) == (0, True, "budget.max_epochs: 0")


def test_a_score_that_is_not_finite_is_a_divergence(parts, train, tmp_path):
    outcome, notes = poison(parts, train, tmp_path, {(2, 5)})
    assert "epoch 2 diverged at step 5 (loss nan)" in notes.warnings[0]
    assert all(math.isfinite(row["val_loss"]) for row in outcome.history)


def test_after_too_many_divergences_the_best_epoch_is_kept(parts, train, tmp_path):
    chosen = train.model_copy(update={"max_retries": 2})
    outcome, notes = poison(parts, chosen, tmp_path, {(2, 1), (2, 2), (2, 3)})
    assert outcome.reason == "diverged: loss nan in epoch 2, step 4, after 2 retries with a lower learning rate"
    assert len(outcome.history) == 2
    assert outcome.best_epoch == stopping.progress(outcome.history, chosen).best_epoch
    assert accuracy(outcome, parts[1]) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])
    assert "learning rate" in notes.warnings[1]
    assert "learning rate" not in notes.warnings[2]


def test_a_loss_that_explodes_is_a_divergence_before_it_is_infinite(parts, train, tmp_path):
    wild = train.model_copy(update={"optimizer": "sgd", "learning_rate": 10.0, "diverged_at": 5.0, "max_retries": 1})
    outcome = fit(parts, wild, tmp_path)
    assert outcome.retries
    assert all(math.isfinite(row["loss"]) and row["loss"] > 5 * math.log(2) for row in outcome.retries)


def test_a_training_that_diverged_and_was_paused_ends_in_the_same_bytes(parts, train, tmp_path):
    wild = train.model_copy(update={"optimizer": "sgd", "learning_rate": 5.0, "max_retries": 2, "average": 1})
    whole = fit(parts, wild, tmp_path / "whole")
    assert whole.retries
    for _ in range(60):
        try:
            outcome = fit(parts, wild, tmp_path / "cut", budget=budget("pause", max_steps=2))
            break
        except PausedError:
            pass
    assert equal(whole, outcome)


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_step(parts, train, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    notes = Notes()
    with pytest.raises(OSError, match="Not a directory"):
        fit(parts, train, tmp_path / "file" / "states", notes)
    assert notes.epochs == []


def test_a_disk_that_fills_up_is_survived(parts, train, tmp_path):
    """The first state is saved; then the folder is gone, and a file in its place."""

    def replace_folder(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 1):
            for path in (tmp_path / "states").iterdir():
                path.unlink()
            (tmp_path / "states").rmdir()
            (tmp_path / "states").write_bytes(b"")

    notes = Notes(replace_folder)
    every = Checkpoint(epochs=1, steps=None, seconds=None)
    outcome = fit(parts, train, tmp_path / "states", notes, every)
    assert outcome.reason == "max_epochs: 6"
    assert notes.warnings[0].startswith("the state cannot be saved (File exists; mend that")
    assert notes.warnings[0].endswith("training goes on, but a kill now would lose what came since")
    assert len(notes.warnings) == 5
    made = engine(train)
    state = State([{"learning_rate": 1.0, "val_loss": 9.0}], now=made.values(), best=made.values())
    states = Folder(tmp_path / "states", {}, NEVER)
    with pytest.raises(PausedError, match=r"SIGTERM; the state cannot be saved .*: it goes on from the one before"):
        training.fit(made, *parts, train, states, Notes(), state, asked=lambda: "SIGTERM")


def test_batches_are_read_ahead_of_the_step(parts, train, tmp_path):
    """While the first step runs, two more batches are being read, in another thread."""
    read: list[str] = []

    class Slow(Part):
        def take(self, rows: Any) -> np.ndarray:
            read.append(threading.current_thread().name)
            return super().take(rows)

    part = Slow(parts[0].pixels, parts[0].labels, parts[0].digests)
    counts: list[int] = []
    notes = Notes(lambda *_: counts.append(len(read)))
    fit((part, parts[1]), train.model_copy(update={"max_epochs": 1}), tmp_path, notes)
    assert set(read) == {"batches_0"}
    assert counts[-1] == 5
    assert counts[0] >= 2


SHARED = """
import json, sys
import tensorflow as tf
devices = [tf.config.LogicalDeviceConfiguration()] * int(sys.argv[1])
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
sys.path[:0] = [{tests!r}]
import numpy as np
from pathlib import Path
from pipeline.base import params
from pipeline.settings import Params
from pipeline.learning import checkpoint, model, training
from test_training import DESCRIPTION, NEVER, Notes, parts
from pipeline.learning.checkpoint import Folder
precision, scratch = sys.argv[2], Path(sys.argv[3])
changes = {{"max_epochs": 3, "batch_size": 16, "devices": "all", "precision": precision}}
train = params.load(Path({params!r}), Params).train.model_copy(update=changes)
training.make_repeatable(7, 1)
shared = training.strategy(train.devices)
with shared.scope():
    model.use(precision)
    network, optimizer = model.build(DESCRIPTION), model.optimizer(train)
made, states = training.Engine(network, optimizer, train, shared), Folder(scratch, {{}}, NEVER)
outcome = training.fit(made, *parts.__wrapped__(), train, states, Notes())
rows = [row["val_loss"] for row in outcome.history] + [row.get("loss", 0) for row in outcome.history]
weights = [float(np.abs(value).sum()) for value in outcome.weights.values()]
print(json.dumps([shared.num_replicas_in_sync, rows + weights, made.network.layers[2].compute_dtype]))
"""


def shared(tmp_path: Path, devices: int, precision: str) -> list[Any]:
    script = SHARED.format(tests=str(CHECKOUT / "tests"), params=str(CHECKOUT / "params.yaml"))
    scratch = str(tmp_path / f"{devices}{precision}")
    words = [sys.executable, "-c", script, str(devices), precision, scratch]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_several_devices_give_what_one_gives(tmp_path):
    """Two devices of the CPU, batch norm over both, a last batch of 6: equal but for rounding."""
    one, two = (shared(tmp_path, devices, "float32") for devices in (1, 2))
    assert (one[0], two[0]) == (1, 2)
    np.testing.assert_allclose(one[1], two[1], rtol=1e-4)


@pytest.mark.parametrize(("precision", "dtype"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")])
def test_mixed_precision_learns_as_float32_does(tmp_path, precision, dtype):
    exact, mixed = shared(tmp_path, 1, "float32"), shared(tmp_path, 2, precision)
    assert (exact[2], mixed[2]) == ("float32", dtype)
    np.testing.assert_allclose(exact[1][:8], mixed[1][:8], atol=0.05)


@pytest.mark.parametrize(
    ("changes", "num_new", "epochs"),
    [
        ({"passes_per_new": 21.0}, 10, 3),
        ({"passes_per_new": 21.0, "warm_epochs": 2}, 10, 2),
        ({"passes_per_new": 21.0, "max_epochs": 1}, 10, 1),
        ({"passes_per_new": 1.0}, 1, 1),
        ({"passes_per_new": None}, 1, 50),
        ({"passes_per_new": None, "warm_epochs": 4}, 1, 4),
        ({"passes_per_new": 22.0, "replay": 10}, 5, 2),
        ({"passes_per_new": 22.0}, 0, 1),
    ],
    ids=str,
)
def test_a_warm_start_gets_passes_by_what_is_new(parts, train, changes, num_new, epochs):
    """70 images; with 10 old ones per new one, an epoch of 5 new ones has 55."""
    part = replace(parts[0], is_unlearned=np.arange(70) < num_new)
    given = {"max_epochs": 50, "warm_epochs": None, "replay": "all", **changes}
    settings = train.model_copy(update={**given, "warm_rate": 3.0})
    warmed = training.warmed(settings, part)
    assert warmed.max_epochs == epochs
    assert warmed.learning_rate == pytest.approx(0.009)


def test_an_epoch_trains_on_the_new_and_some_old_images_and_no_others(parts, train, tmp_path):
    taken: list[int] = []

    class Noted(Part):
        def take(self, rows: Any) -> np.ndarray:
            taken.extend(np.arange(len(self))[rows].tolist())
            return super().take(rows)

    part = Noted(parts[0].pixels, parts[0].labels, parts[0].digests, None, np.arange(70) < 8)
    chosen = train.model_copy(update={"replay": 2, "max_epochs": 2})
    notes = Quiet()
    outcome = training.fit(engine(train), part, parts[1], chosen, Folder(tmp_path, {}, NEVER), notes)
    first, second = set(taken[:24]), set(taken[24:])
    assert len(taken) == 48 == outcome.spent.images
    assert first & second >= set(range(8))
    assert first != second, "drawn anew"
    assert notes.images == [16, 8, 16, 8]
    assert outcome.history[1]["loss"] < 5


class Quiet(Notes):
    """A watcher of epochs of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[int] = []

    def stepped(self, *told: Any) -> None:
        self.images.append(told[3])


def test_pausing_in_an_epoch_of_drawn_images_ends_in_the_same_bytes(parts, train, tmp_path):
    chosen = train.model_copy(update={"replay": 3, "average": 1, "flip": True, "shift": 0.25})
    part = replace(parts[0], is_unlearned=np.arange(70) >= 60)

    def go(folder: str, **options: Any) -> training.Outcome:
        states = Folder(tmp_path / folder, {}, NEVER)
        return training.fit(engine(chosen), part, parts[1], chosen, states, Quiet(), states.load(), **options)

    whole, pauses = go("whole"), 0
    while True:
        try:
            outcome = go("cut", budget=budget("pause", max_steps=2))
            break
        except PausedError:
            pauses += 1
    assert pauses > 5
    assert equal(whole, outcome)


def test_the_end_of_a_training_is_saved_for_what_comes_after_it(parts, train, tmp_path):
    outcome = fit(parts, train, tmp_path)
    notes = Notes()
    again = fit(parts, train, tmp_path, notes)
    assert notes.steps == []
    assert equal(outcome, again)
    assert again.spent.steps == 30
    assert again.spent_now.steps == 0


def test_the_cost_counts_passes_forward_and_back_and_scoring_a_third(parts, train, tmp_path):
    outcome = fit(parts, train, tmp_path)
    assert outcome.passes(30) == 6 * 70 + 7 * 30 / 3
    blended = replace(outcome, blended={0.0: {}, 0.5: {}, 1.0: {}})
    assert blended.passes(30) == 6 * 70 + 9 * 30 / 3


@pytest.mark.parametrize(("is_good", "kept"), [(False, 2 / 11), (True, 0.99)], ids=["fresh", "good"])
def test_a_good_start_is_not_forgotten_at_once(parts, train, is_good, kept):
    made = engine(train.model_copy(update={"average": 100}))
    before = model.arrays(made.network.weights)
    made.begin(before, model.arrays(made.optimizer.variables), is_good)
    made.step(made.feed(parts[0].pixels[:16], parts[0].labels[:16]), 16, 0.99)
    now = model.arrays(made.network.weights)
    for name, mean in made.served().items():
        np.testing.assert_allclose(mean, kept * before[name] + (1 - kept) * now[name], atol=1e-5)


def test_shrinking_scales_what_is_learned_and_takes_fresh_statistics():
    network = model.build(DESCRIPTION)
    start = {name: np.full_like(value, 2) for name, value in model.arrays(network.weights).items()}
    fresh = {name: np.full_like(value, 3) for name, value in start.items()}
    made = training.shrunk(start, fresh, network)
    for name, weight in zip(sorted(made), network.weights, strict=True):
        expected = 3 if "moving" in weight.path else 0.4 * 2 + 0.1 * 3
        np.testing.assert_allclose(made[name], expected, rtol=1e-6)
        assert made[name].dtype == np.float32


@pytest.fixture
def taught(parts, train, tmp_path) -> tuple[training.Engine, training.Outcome]:
    """A training that got somewhere."""
    made = engine(train)
    states = Folder(tmp_path, {}, NEVER)
    chosen = train.model_copy(update={"max_epochs": 8})
    return made, training.fit(made, *parts, chosen, states, Notes())


@pytest.mark.parametrize(
    ("monitor", "mode"), [("val_loss", "auto"), ("val_accuracy", "max"), ("loss", "auto"), ("accuracy", "max")]
)
def test_of_the_mixtures_the_best_on_val_is_kept(parts, train, taught, monitor, mode):
    made, outcome = taught
    champion = model.arrays(model.build(DESCRIPTION).weights)
    chosen = train.model_copy(update={"monitor": monitor, "mode": mode, "blend": (0.25, 0.5, 0.75)})
    kept = training.blend(made, champion, outcome, parts[1], chosen)
    assert sorted(kept.blended) == [0.0, 0.25, 0.5, 0.75, 1.0]
    losses = {share: row["val_loss"] for share, row in kept.blended.items()}
    right = {share: row["val_accuracy"] for share, row in kept.blended.items()}
    most = max(right, key=lambda share: (right[share], -share))
    best = most if monitor == "val_accuracy" else min(losses, key=losses.get)
    assert kept.share == best
    for name, value in kept.weights.items():
        np.testing.assert_allclose(value, (1 - best) * champion[name] + best * outcome.weights[name], atol=1e-6)
    row = kept.blended[best]
    assert accuracy(kept, parts[1]) == pytest.approx(row["val_accuracy"])


def test_a_result_that_is_worse_changes_nothing(parts, train, taught):
    """The champion knows it all, what training gave knows nothing."""
    made, outcome = taught
    champion = outcome.weights
    worse = replace(outcome, weights={name: 0 * value for name, value in champion.items()}, best_epoch=0)
    kept = training.blend(made, champion, worse, parts[1], train)
    assert kept.share == 0.0
    assert same(kept.weights, champion)


def test_without_shares_nothing_is_blended(parts, train, taught):
    made, outcome = taught
    assert training.blend(made, {}, outcome, parts[1], train.model_copy(update={"blend": ()})) is outcome


def test_whole_numbers_are_not_mixed():
    start, end = {"a": np.float32([0, 4])}, {"a": np.float32([4, 0])}
    counts = {"n": np.array(3)}, {"n": np.array(8)}
    mixed = training._mixed(start | counts[0], end | counts[1], 0.25)
    assert mixed["a"].tolist() == [1, 3]
    assert mixed["n"] == 8
