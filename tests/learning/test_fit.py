import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import DESCRIPTION, EACH_STEP, NEVER, Notes, Quiet, accuracy, budget, engine, equal, same, trained

from pipeline.base.errors import ModelError
from pipeline.data import replay
from pipeline.data.dataset import Part
from pipeline.learning import augment, model, stopping
from pipeline.learning.checkpoint import Folder, State
from pipeline.learning.engine import Engine, make_repeatable
from pipeline.learning.fit import Outcome, Parts, PausedError, Session, fit
from pipeline.learning.settings import Checkpoint, Train
from pipeline.learning.stopping import Spent

pytestmark = pytest.mark.project  # these train


@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
def test_training_learns_and_keeps_the_best_epoch(parts, train, tmp_path, average):
    outcome = trained(parts, train.model_copy(update={"average": average, "max_epochs": 12}), tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmin(losses))
    assert outcome.history[-1]["accuracy"] > 0.8
    assert accuracy(outcome, parts.val) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_best_is_kept_when_later_epochs_are_worse(parts, train, tmp_path):
    """`mode: max` on a loss makes the worst epoch the best: only a kept copy can be returned."""
    outcome = trained(parts, train.model_copy(update={"mode": "max"}), tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(losses)) < len(losses) - 1
    assert accuracy(outcome, parts.val) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_same_inputs_give_the_same_bytes(parts, train, tmp_path):
    one, two = trained(parts, train, tmp_path / "a"), trained(parts, train, tmp_path / "b")
    assert equal(one, two)
    assert not same(one.weights, trained(parts, train.model_copy(update={"seed": 8}), tmp_path / "c").weights)


@pytest.mark.parametrize(("average", "steps"), [(1, 15), (10, 50)])
def test_the_average_is_over_so_many_epochs_but_15_steps_at_least(parts, train, tmp_path, monkeypatch, average, steps):
    decays: set[float] = set()
    step = Engine.step

    def note(self: Any, batch: Any, count: int, decay: float) -> Any:
        decays.add(decay)
        return step(self, batch, count, decay)

    monkeypatch.setattr(Engine, "step", note)
    trained(parts, train.model_copy(update={"average": average, "max_epochs": 2}), tmp_path)
    assert decays == {1 - 1 / steps}


def test_the_loss_of_an_epoch_is_the_mean_over_its_images(parts, train, tmp_path):
    """Learning rate next to nothing: the model stays as it is, and the last batch is smaller than the others."""
    moves = {"flip": False, "shift": 0.0}
    still = train.model_copy(update={"learning_rate": 1e-12, "max_epochs": 1, "optimizer": "sgd", **moves})
    make_repeatable(7, 1)
    network = model.build(DESCRIPTION)
    for layer in network.layers:  # else the mean of the batch, not of all
        if isinstance(layer, model.keras().layers.BatchNormalization):
            layer.trainable = False
    states = Folder(tmp_path, {}, NEVER)
    made = Engine(network, model.optimizer(still), still)
    outcome = fit(made, Parts(parts.train, parts.train), still, Session(states, Notes()))
    row = outcome.history[1]
    assert row["loss"] == pytest.approx(row["val_loss"], rel=1e-5)
    assert row["accuracy"] == pytest.approx(row["val_accuracy"])


class Killed(BaseException):
    """Stands for a kill: nothing runs after it."""


@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
@pytest.mark.parametrize("place", [(1, 1), (3, 2), (3, 5), (6, 4)], ids=str)
def test_a_killed_training_goes_on_as_if_it_had_not_been(parts, train, tmp_path, place, average):
    train = train.model_copy(update={"average": average, "reduce_patience": 1, "min_delta": 0.01})
    whole = trained(parts, train, tmp_path / "whole")

    def kill(epoch: int, step: int) -> None:
        if (epoch, step) == place:
            raise Killed

    with pytest.raises(Killed):
        trained(parts, train, tmp_path / "cut", Notes(kill), EACH_STEP)
    notes = Notes()
    resumed = trained(parts, train, tmp_path / "cut", notes, EACH_STEP)
    # What was done after the last state was saved is done again, no more.
    again = place[1] - 1
    assert notes.epochs[0] == place[0] - 1
    assert notes.steps[0] == (place[0], again + 1)
    assert equal(whole, resumed)


STRONG = {"flip": True, "shift": 0.125, "crop": 0.5, "colour": 0.4, "rand_augment": 2, "mixup": 0.4, "cutmix": 1.0}


def test_a_killed_training_with_all_augmentation_goes_on_as_if_it_had_not_been(parts, train, tmp_path):
    train = train.model_copy(update={**STRONG, "max_epochs": 2, "average": 1})
    whole = trained(parts, train, tmp_path / "whole")

    def kill(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 3):
            raise Killed

    with pytest.raises(Killed):
        trained(parts, train, tmp_path / "cut", Notes(kill), EACH_STEP)
    assert equal(whole, trained(parts, train, tmp_path / "cut", Notes(), EACH_STEP))


def lopsided(parts: Parts) -> Parts:
    """60 dark squares and 10 bright ones; new images and old ones."""
    labels = parts.train.labels
    rows = np.sort(np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:10]]))
    taken = np.sort(np.concatenate([rows, rows[labels[rows] == 0][:25]]))  # some come twice
    train = Part(
        parts.train.inputs[taken], labels[taken], tuple(map(str, range(70))), is_unlearned=np.arange(70) % 2 == 0
    )
    return parts._replace(train=train)


@pytest.mark.parametrize("changes", [{}, {"replay": 2, "repeat_new": 2}, STRONG], ids=["plain", "replay", "strong"])
@pytest.mark.parametrize("balance", ["weights", "drawing", "adjusted"])
def test_a_balanced_training_that_is_paused_in_its_epochs_ends_in_the_same_bytes(
    parts, train, tmp_path, balance, changes
):
    train = train.model_copy(update={"average": 1, "max_epochs": 2, **changes, "balance": balance})
    given = lopsided(parts)
    whole, pauses = trained(given, train, tmp_path / "whole", Quiet()), 0
    while True:
        try:
            outcome = trained(given, train, tmp_path / "cut", Quiet(), budget=budget("pause", max_steps=3))
            break
        except PausedError:
            pauses += 1
    assert pauses >= 3
    assert equal(whole, outcome)
    plain = trained(given, train.model_copy(update={"balance": None}), tmp_path / "plain", Quiet())
    assert not same(whole.weights, plain.weights)
    assert whole.spent.images == plain.spent.images, "it costs the same"


def test_drawing_feeds_each_label_alike(parts, train, tmp_path, monkeypatch):
    fed: list[Any] = []
    feed = Engine.feed

    def note(self: Any, *batch: Any) -> Any:
        fed.append(batch[1])
        return feed(self, *batch)

    monkeypatch.setattr(Engine, "feed", note)
    for balance, counts in ((None, [60, 10]), ("weights", [60, 10]), ("drawing", [35, 35])):
        fed.clear()
        given = lopsided(parts).unlearned
        trained(given, train.model_copy(update={"max_epochs": 1, "balance": balance}), tmp_path / str(balance))
        assert np.bincount(np.concatenate(fed)).tolist() == counts


@pytest.mark.parametrize("balance", ["weights", "drawing", "adjusted"])
def test_balance_makes_a_rare_label_recognised(train, tmp_path, balance):
    """Squares that overlap so much that it is best to give all of them the frequent label."""
    rng = np.random.default_rng(3)

    def part(counts: tuple[int, int]) -> Part:
        labels = np.repeat([0, 1], counts)
        pixels = np.clip(rng.normal(110 + 20 * labels[:, None, None, None], 70, (sum(counts), 8, 8, 1)), 0, 255)
        return Part(pixels.astype(np.uint8), labels.astype(np.int64), tuple(map(str, range(sum(counts)))))

    given, seen = Parts(part((60, 10)), part((60, 10))), part((100, 100))
    moves = {"flip": False, "shift": 0.0, "average": 0, "max_epochs": 6}

    def recall(balance: str | None) -> float:
        outcome = trained(given, train.model_copy(update={**moves, "balance": balance}), tmp_path / str(balance))
        network = model.load(DESCRIPTION, outcome.weights, "outcome")
        return float((model.logits(network, seen.inputs, 16).argmax(axis=1) == 1)[100:].mean())

    assert recall(balance) > recall(None) + 0.2


@pytest.mark.parametrize("balance", ["weights", "adjusted"])
def test_one_image_among_many_does_not_make_training_diverge(parts, train, tmp_path, balance):
    """It counts 99 times what another does, and its loss is most of what its step minimises."""
    labels = (np.arange(70) == 69).astype(np.int64)
    given = parts._replace(train=replace(parts.train, labels=labels))
    changes = {"balance": balance, "optimizer": "sgd", "diverged_at": 3.0, "batch_size": 16}
    made = Engine(model.build(DESCRIPTION), model.optimizer(train), train.model_copy(update=changes), counts=(9999, 1))
    outcome = fit(made, given, train.model_copy(update=changes), Session(Folder(tmp_path, {}, NEVER), Notes()))
    assert outcome.retries == []
    assert all(np.isfinite(value).all() for value in outcome.weights.values())


def test_each_step_is_fed_what_is_drawn_for_its_images(parts, train, tmp_path, monkeypatch):
    train = train.model_copy(update={**STRONG, "max_epochs": 2})
    fed: list[Any] = []
    feed = Engine.feed

    def note(self: Any, *batch: Any) -> Any:
        fed.append(batch)
        return feed(self, *batch)

    monkeypatch.setattr(Engine, "feed", note)
    trained(parts, train, tmp_path)
    part = parts.train
    rows = np.sort(replay.order(np.ones(70, bool), train.replay, 1, train.seed, 2)[16:32])
    digests = [part.digests[row] for row in rows]
    drawn = augment.augmented(part.inputs[rows], part.labels[rows], digests, train, train.seed, epoch=2, step=1)
    assert all(np.array_equal(one, other) for one, other in zip(fed[6], drawn, strict=True))


def test_states_are_saved_as_often_as_asked(parts, train, tmp_path):
    trained(parts, train, tmp_path, every=Checkpoint(keep=2, epochs=2, steps=None, seconds=None))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0004.checkpoint", "epoch-0006.checkpoint"]
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
        trained(parts, train, tmp_path, budget=budget("pause", **limits))
    assert paused.value.reason == reason
    state = Folder(tmp_path, {}, NEVER).load()
    assert (len(state.history), state.step) == place == (len(paused.value.state.history), paused.value.state.step)


@pytest.mark.parametrize("limits", [{"max_steps": 3}, {"max_epochs": 1}], ids=str)
def test_pausing_again_and_again_ends_in_the_same_bytes(parts, train, tmp_path, limits):
    train = train.model_copy(update={"average": 1})
    whole, pauses = trained(parts, train, tmp_path / "whole"), 0
    while True:
        try:
            outcome = trained(parts, train, tmp_path / "cut", budget=budget("pause", **limits))
            break
        except PausedError:
            pauses += 1
    assert pauses == (9 if "max_steps" in limits else 5)
    assert equal(whole, outcome)
    assert (outcome.spent.epochs, outcome.spent.steps) == (6, 30)


@pytest.mark.parametrize(("limits", "reason", "place"), BUDGETS, ids=lambda it: str(it))
def test_out_of_budget_training_finishes_with_the_best_so_far(parts, train, tmp_path, limits, reason, place):
    """An epoch that is not over is scored too: it may be all that there is."""
    outcome = trained(parts, train, tmp_path, budget=budget("finish", **limits))
    assert outcome.reason == reason
    assert len(outcome.history) == place[0] + (place[1] > 0)
    assert accuracy(outcome, parts.val) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_an_end_is_an_end_also_with_the_budget_spent(parts, train, tmp_path):
    short = train.model_copy(update={"max_epochs": 1})
    outcome = trained(parts, short, tmp_path, budget=budget("pause", max_epochs=1, max_steps=5))
    assert outcome.reason == "max_epochs: 1"


def test_when_asked_training_stops_after_the_step_and_saves(parts, train, tmp_path):
    asked: list[str] = []

    def ask(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 3):
            asked.append("SIGTERM")

    with pytest.raises(PausedError, match="SIGTERM") as paused:
        trained(parts, train, tmp_path, Notes(ask), asked=lambda: asked[0] if asked else None)
    assert (len(paused.value.state.history), paused.value.state.step) == (2, 3)
    whole = trained(parts, train, tmp_path / "whole")
    assert equal(whole, trained(parts, train, tmp_path))


def test_asked_after_the_last_step_of_an_epoch_it_is_scored_later(parts, train, tmp_path):
    asked: list[str] = []
    with pytest.raises(PausedError) as paused:
        trained(
            parts,
            train,
            tmp_path,
            Notes(lambda _, step: asked.extend(["SIGINT"] * (step == 5))),
            asked=lambda: (asked or [None])[0],
        )
    assert paused.value.state.step == 5
    notes = Notes()
    assert equal(trained(parts, train, tmp_path / "whole"), trained(parts, train, tmp_path, notes))
    assert notes.steps[0] == (2, 1)


def test_early_stopping_ends_training(parts, train, tmp_path):
    outcome = trained(parts, train.model_copy(update={"patience": 2, "min_delta": 100.0}), tmp_path)
    assert outcome.reason.startswith("patience: 2 epochs")
    assert len(outcome.history) == 3


@pytest.mark.parametrize(
    ("monitor", "target"), [("val_loss", 100.0), ("val_accuracy", 0.0), ("accuracy", 0.01)], ids=str
)
def test_a_target_ends_training_as_good_enough(parts, train, tmp_path, monitor, target):
    outcome = trained(parts, train.model_copy(update={"monitor": monitor, "target": target}), tmp_path)
    assert outcome.reason.startswith(f"target: {monitor}")
    assert len(outcome.history) <= 2


def test_any_logged_metric_can_choose_the_epoch(parts, train, tmp_path):
    outcome = trained(parts, train.model_copy(update={"monitor": "val_accuracy"}), tmp_path)
    accuracies = [row["val_accuracy"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(accuracies))


def test_the_learning_rate_is_reduced_on_a_plateau(parts, train, tmp_path):
    stuck = train.model_copy(update={"min_delta": 100.0, "reduce_patience": 2, "reduce_factor": 0.5})
    outcome = trained(parts, stuck, tmp_path)
    rates = [row["learning_rate"] for row in outcome.history]
    assert rates == pytest.approx([0.003, 0.003, 0.003, 0.0015, 0.0015, 0.00075, 0.00075])


def test_training_that_never_has_a_finite_loss_is_an_error(parts, train, tmp_path):
    broken = engine(train)
    broken.network.get_layer("logits").bias.assign([np.nan, 0.0])
    with pytest.raises(ModelError, match=r"no finite val_loss in 0 epochs, nor before .*; set train\.start: cold"):
        fit(broken, parts, train, Session(Folder(tmp_path, {}, NEVER), Notes()))


def poison(parts: Parts, train: Train, scratch: Path, places: set[tuple[int, int]], **options: Any) -> Any:
    """Train with weights that become NaN after some steps, once for each."""
    made, states, left = engine(train), Folder(scratch, {}, options.pop("every", NEVER)), set(places)

    def spoil(epoch: int, step: int) -> None:
        if (epoch, step) in left:
            left.remove((epoch, step))
            made.network.get_layer("logits").bias.assign([np.nan, 0.0])

    notes = Notes(spoil)
    return fit(made, parts, train, Session(states, notes, states.load(), **options)), notes


def test_divergence_is_seen_at_its_step_and_training_goes_back_to_the_best_epoch(parts, train, tmp_path):
    patient = train.model_copy(update={"max_retries": 2, "retry_factor": 0.1, "reduce_patience": 0})
    outcome, notes = poison(parts, patient, tmp_path, {(3, 2)})
    assert notes.steps[10:14] == [(3, 1), (3, 2), (3, 1), (3, 2)], "the third step shows it"
    best = stopping.standing(outcome.history[:3], patient).best_epoch
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
    nothing = stopping.left(budget("finish", max_epochs=1), Spent(epochs=1))
    by_accuracy = train.model_copy(update={"monitor": "accuracy"})
    session = Session(Folder(tmp_path, {}, NEVER), Notes(), budget=nothing)
    outcome = fit(engine(train), parts, by_accuracy, session)
    assert (outcome.best_epoch, outcome.is_cut, outcome.reason) == (0, True, "budget.max_epochs: 0")


def test_a_score_that_is_not_finite_is_a_divergence(parts, train, tmp_path):
    outcome, notes = poison(parts, train, tmp_path, {(2, 5)})
    assert "epoch 2 diverged at step 5 (loss nan)" in notes.warnings[0]
    assert all(math.isfinite(row["val_loss"]) for row in outcome.history)


def test_after_too_many_divergences_the_best_epoch_is_kept(parts, train, tmp_path):
    patient = train.model_copy(update={"max_retries": 2})
    outcome, notes = poison(parts, patient, tmp_path, {(2, 1), (2, 2), (2, 3)})
    assert outcome.reason == "diverged: loss nan in epoch 2, step 4, after 2 retries with a lower learning rate"
    assert len(outcome.history) == 2
    assert outcome.best_epoch == stopping.standing(outcome.history, patient).best_epoch
    assert accuracy(outcome, parts.val) == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])
    assert "learning rate" in notes.warnings[1]
    assert "learning rate" not in notes.warnings[2]


def test_a_loss_that_explodes_is_a_divergence_before_it_is_infinite(parts, train, tmp_path):
    wild = train.model_copy(update={"optimizer": "sgd", "learning_rate": 10.0, "diverged_at": 5.0, "max_retries": 1})
    outcome = trained(parts, wild, tmp_path)
    assert outcome.retries
    assert all(math.isfinite(row["loss"]) and row["loss"] > 5 * math.log(2) for row in outcome.retries)


def test_a_training_that_diverged_and_was_paused_ends_in_the_same_bytes(parts, train, tmp_path):
    wild = train.model_copy(update={"optimizer": "sgd", "learning_rate": 5.0, "max_retries": 2, "average": 1})
    whole = trained(parts, wild, tmp_path / "whole")
    assert whole.retries
    for _ in range(60):
        try:
            outcome = trained(parts, wild, tmp_path / "cut", budget=budget("pause", max_steps=2))
            break
        except PausedError:
            pass
    assert equal(whole, outcome)
    assert json.dumps(whole.retries) == json.dumps(outcome.retries), "what training.json says of them"


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_first_step(parts, train, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    notes = Notes()
    with pytest.raises(OSError, match="Not a directory"):
        trained(parts, train, tmp_path / "file" / "states", notes)
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
    every = Checkpoint(keep=2, epochs=1, steps=None, seconds=None)
    outcome = trained(parts, train, tmp_path / "states", notes, every)
    assert outcome.reason == "max_epochs: 6"
    assert notes.warnings[0].startswith("the state cannot be saved (File exists; mend that")
    assert notes.warnings[0].endswith("training goes on, but a kill now would lose what came since")
    assert len(notes.warnings) == 5
    made = engine(train)
    state = State([{"learning_rate": 1.0, "val_loss": 9.0}], now=made.values(), best=made.values())
    states = Folder(tmp_path / "states", {}, NEVER)
    with pytest.raises(PausedError, match=r"SIGTERM; the state cannot be saved .*: it goes on from the one before"):
        fit(made, parts, train, Session(states, Notes(), state, asked=lambda: "SIGTERM"))


def test_batches_are_read_ahead_of_the_step(parts, train, tmp_path):
    """While the first step runs, two more batches are being read, in another thread."""
    read: list[str] = []

    class Slow(Part):
        def take(self, rows: Any) -> np.ndarray:
            read.append(threading.current_thread().name)
            return super().take(rows)

    part = Slow(parts.train.inputs, parts.train.labels, parts.train.digests)
    counts: list[int] = []
    notes = Notes(lambda *_: counts.append(len(read)))
    trained(Parts(part, parts.val), train.model_copy(update={"max_epochs": 1}), tmp_path, notes)
    assert set(read) == {"batches_0"}
    assert counts[-1] == 5
    assert counts[0] >= 2


def test_an_epoch_trains_on_the_new_and_some_old_images_and_no_others(parts, train, tmp_path):
    taken: list[int] = []

    class Noted(Part):
        def take(self, rows: Any) -> np.ndarray:
            taken.extend(np.arange(len(self))[rows].tolist())
            return super().take(rows)

    part = Noted(parts.train.inputs, parts.train.labels, parts.train.digests, is_unlearned=np.arange(70) < 8)
    short = train.model_copy(update={"replay": 2, "max_epochs": 2})
    notes = Quiet()
    outcome = fit(engine(train), Parts(part, parts.val), short, Session(Folder(tmp_path, {}, NEVER), notes))
    first, second = set(taken[:24]), set(taken[24:])
    assert len(taken) == 48 == outcome.spent.images
    assert first & second >= set(range(8))
    assert first != second, "drawn anew"
    assert notes.images == [16, 8, 16, 8]
    assert outcome.history[1]["loss"] < 5


def test_pausing_in_an_epoch_of_drawn_images_ends_in_the_same_bytes(parts, train, tmp_path):
    drawn = train.model_copy(update={"replay": 3, "average": 1, "flip": True, "shift": 0.25})
    part = replace(parts.train, is_unlearned=np.arange(70) >= 60)

    def go(folder: str, **options: Any) -> Outcome:
        states = Folder(tmp_path / folder, {}, NEVER)
        session = Session(states, Quiet(), states.load(), **options)
        return fit(engine(drawn), Parts(part, parts.val), drawn, session)

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
    outcome = trained(parts, train, tmp_path)
    notes = Notes()
    again = trained(parts, train, tmp_path, notes)
    assert notes.steps == []
    assert equal(outcome, again)
    assert again.spent.steps == 30
    assert again.spent_now.steps == 0


def test_the_cost_counts_passes_forward_and_back_and_scoring_a_third(parts, train, tmp_path):
    outcome = trained(parts, train, tmp_path)
    assert outcome.passes(30) == 6 * 70 + 7 * 30 / 3
    blended = replace(outcome, blended={0.0: {}, 0.5: {}, 1.0: {}})
    assert blended.passes(30) == 6 * 70 + 9 * 30 / 3
