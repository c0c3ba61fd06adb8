from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import checkpoint, model, stopping, training
from pipeline.dataset import Part
from pipeline.errors import ModelError
from pipeline.model import Description
from pipeline.params import Params, Train


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
    return settings.train.model_copy(update={"max_epochs": 6, "batch_size": 16, "patience": 6})


def fit(parts: tuple[Part, Part], train: Train, scratch: Path, **hooks: Any) -> training.Outcome:
    training.make_repeatable(train.seed, train.threads)
    network = model.build(Description("small_cnn", (8, 8, 1), ("dark", "bright")))
    return training.fit(network, model.optimizer(train), *parts, train, scratch, **hooks)


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_training_learns_and_keeps_the_best_epoch(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    outcome = fit(parts, train, tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmin(losses))
    assert outcome.history[-1]["accuracy"] > 0.8
    network = model.build(Description("small_cnn", (8, 8, 1), ("dark", "bright")))
    model.fill(network.weights, outcome.weights, "outcome")
    right = (model.logits(network, parts[1].pixels, 16).argmax(axis=1) == parts[1].labels).mean()
    assert right == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_best_is_kept_when_later_epochs_are_worse(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    """`mode: max` on a loss makes the worst epoch the best: only a kept copy can be returned."""
    outcome = fit(parts, train.model_copy(update={"mode": "max"}), tmp_path)
    losses = [row["val_loss"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(losses)) < len(losses) - 1
    network = model.build(Description("small_cnn", (8, 8, 1), ("dark", "bright")))
    model.fill(network.weights, outcome.weights, "outcome")
    right = (model.logits(network, parts[1].pixels, 16).argmax(axis=1) == parts[1].labels).mean()
    assert right == pytest.approx(outcome.history[outcome.best_epoch]["val_accuracy"])


def test_the_same_inputs_give_the_same_bytes(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    one, two = fit(parts, train, tmp_path / "a"), fit(parts, train, tmp_path / "b")
    other = fit(parts, train.model_copy(update={"seed": 8}), tmp_path / "c")
    assert same(one.weights, two.weights)
    assert same(one.optimizer, two.optimizer)
    assert not same(one.weights, other.weights)


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    parts: tuple[Part, Part], train: Train, tmp_path: Path
) -> None:
    whole = fit(parts, train, tmp_path / "whole")

    def interrupt(_: object, epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(parts, train, tmp_path / "cut", on_epoch=interrupt)
    seen: list[int] = []
    resumed = fit(parts, train, tmp_path / "cut", on_epoch=lambda _, epoch: seen.append(epoch))
    assert seen == [3, 4, 5, 6], "epochs 1 to 3 are not trained again"
    assert same(whole.weights, resumed.weights)
    assert same(whole.optimizer, resumed.optimizer)
    assert [row["val_loss"] for row in whole.history] == [row["val_loss"] for row in resumed.history]


def test_checkpoints_are_written_as_often_as_asked(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    fit(parts, train.model_copy(update={"checkpoint_every": 2}), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-000004.checkpoint", "epoch-000006.checkpoint"]
    state = checkpoint.load(tmp_path)
    assert state is not None
    assert len(state.history) == 7


def test_early_stopping_ends_training(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    outcome = fit(parts, train.model_copy(update={"patience": 2, "min_delta": 100.0}), tmp_path)
    assert outcome.reason.startswith("patience: 2 epochs")
    assert len(outcome.history) == 3


@pytest.mark.parametrize(
    ("monitor", "target"), [("val_loss", 100.0), ("val_accuracy", 0.0), ("accuracy", 0.01)], ids=str
)
def test_a_target_ends_training_as_good_enough(
    parts: tuple[Part, Part], train: Train, tmp_path: Path, monitor: str, target: float
) -> None:
    outcome = fit(parts, train.model_copy(update={"monitor": monitor, "target": target}), tmp_path)
    assert outcome.reason.startswith(f"target: {monitor}")
    assert len(outcome.history) <= 2


def test_any_logged_metric_can_choose_the_epoch(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    outcome = fit(parts, train.model_copy(update={"monitor": "val_accuracy"}), tmp_path)
    accuracies = [row["val_accuracy"] for row in outcome.history]
    assert outcome.best_epoch == int(np.argmax(accuracies))


def test_the_learning_rate_is_reduced_on_a_plateau(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    stuck = train.model_copy(update={"min_delta": 100.0, "reduce_patience": 2, "reduce_factor": 0.5})
    outcome = fit(parts, stuck, tmp_path)
    rates = [row["learning_rate"] for row in outcome.history]
    assert rates == pytest.approx([0.003, 0.003, 0.003, 0.0015, 0.0015, 0.00075, 0.00075])


def test_training_that_never_has_a_finite_loss_is_an_error(
    parts: tuple[Part, Part], train: Train, tmp_path: Path
) -> None:
    network = model.build(Description("small_cnn", (8, 8, 1), ("dark", "bright")))
    network.get_layer("logits").bias.assign([np.nan, 0.0])
    with pytest.raises(ModelError, match=r"no finite val_loss in 1 epochs; lower train.learning_rate"):
        training.fit(network, model.optimizer(train), *parts, train, tmp_path)


def test_divergence_stops_training_and_keeps_the_best(parts: tuple[Part, Part], train: Train, tmp_path: Path) -> None:
    wild = train.model_copy(update={"optimizer": "sgd", "learning_rate": 10.0, "max_epochs": 40, "patience": 40})
    network = model.build(Description("small_cnn", (8, 8, 1), ("dark", "bright")))

    def poison(_: object, epoch: int) -> None:
        if epoch == 1:
            network.get_layer("logits").bias.assign([np.nan, 0.0])

    outcome = training.fit(network, model.optimizer(wild), *parts, wild, tmp_path, on_epoch=poison)
    assert outcome.reason.startswith("diverged: the loss of epoch 2")
    assert outcome.best_epoch == stopping.progress(outcome.history[:2], wild).best_epoch
    assert all(np.isfinite(value).all() for value in outcome.weights.values())
