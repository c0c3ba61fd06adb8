"""Going back to the end of an epoch: all is as it was then, and what differs is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainings import NEVER, Notes, accuracy, engine, equal, same

from pipeline.base.errors import PipelineError
from pipeline.learning import kept, rewind
from pipeline.learning.checkpoint import Folder, State
from pipeline.learning.fit import Outcome, Parts, Session, fit
from pipeline.learning.rewind import Target
from pipeline.learning.settings import Train

NAME, OTHER = "0123456789abcdef", "fedcba9876543210"
ALL = NEVER.model_copy(update={"keep": "all"})


def inputs(train: Train, **changes: Any) -> dict[str, Any]:
    """As those of a task."""
    params = {f"train.{name}": value for name, value in train.model_dump(mode="json").items()}
    usual = {"dataset": "d" * 64, "parent": None, "start": "cold", "params": params, "code": "c" * 64, "own code": None}
    return usual | changes


def save(folder: Path, train: Train, epochs: int = 3, name: str = NAME, **changes: Any) -> Folder:
    """States of some epochs, without arrays."""
    states = Folder(folder / name, inputs(train, **changes), ALL)
    rows = [{"val_loss": 1 / (epoch + 1), "learning_rate": 0.003} for epoch in range(epochs)]
    for epoch in range(epochs):
        states.save(State(rows[: epoch + 1]))
    return states


@pytest.mark.parametrize(
    ("setting", "target"),
    [
        (None, None),
        (f"{NAME}/7", Target(NAME, 7, is_result=False)),
        (f"{NAME}/0 finish", Target(NAME, 0, is_result=True)),
    ],
)
def test_the_setting_names_training_and_epoch(setting: str | None, target: Target | None) -> None:
    assert Target.of(setting) == target
    assert target is None or target.setting == setting


def trained(parts: Parts, train: Train, folder: Path, state: State | None = None) -> Outcome:
    states = Folder(folder, inputs(train), ALL)
    return fit(engine(train), parts, train, Session(states, Notes(), state))


@pytest.mark.project
@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
@pytest.mark.parametrize("epoch", [0, 2, 6])
def test_with_the_same_settings_all_epochs_come_again_to_the_last_bit(parts, train, tmp_path, epoch, average):
    """Dropout, the learning rate after a plateau, and what patience has counted are those of then, too."""
    train = train.model_copy(update={"average": average, "reduce_patience": 1, "min_delta": 100.0, "patience": 5})
    whole = trained(parts, train, tmp_path / NAME)
    assert len({row["learning_rate"] for row in whole.history}) > 1
    state = rewind.load(Target(NAME, min(epoch, len(whole.history) - 1), False), tmp_path, inputs(train))
    assert equal(whole, trained(parts, train, tmp_path / OTHER, state))


@pytest.mark.project
def test_a_changed_learning_rate_counts_from_there_on(parts, train, tmp_path):
    train = train.model_copy(update={"reduce_patience": 0})
    whole = trained(parts, train, tmp_path / NAME)
    lower = train.model_copy(update={"learning_rate": 0.0003, "max_epochs": 5})
    state = rewind.load(Target(NAME, 3, False), tmp_path, inputs(lower))
    outcome = trained(parts, lower, tmp_path / OTHER, state)
    assert outcome.history[:4] == whole.history[:4]
    assert [row["learning_rate"] for row in outcome.history[4:]] == pytest.approx([0.0003, 0.0003])
    again = Folder(tmp_path / OTHER, inputs(lower), ALL).load()
    assert again is not None
    assert again.factor == pytest.approx(0.1), "also when it is interrupted and goes on"


@pytest.mark.project
@pytest.mark.parametrize("average", [0, 1], ids=["last", "averaged"])
def test_a_chosen_epoch_is_the_result_though_it_is_not_the_best(parts, train, tmp_path, average):
    train = train.model_copy(update={"average": average})
    whole = trained(parts, train, tmp_path / NAME)
    chosen = 1
    assert whole.best_epoch > chosen
    state = rewind.load(Target(NAME, chosen, True), tmp_path, inputs(train))
    outcome = rewind.result(engine(train), state)
    assert outcome.best_epoch == chosen
    assert outcome.history == whole.history[: chosen + 1]
    assert outcome.reason == "a person's choice of epoch 1 (train.from_epoch)"
    assert accuracy(outcome, parts.val) == pytest.approx(outcome.history[chosen]["val_accuracy"])
    assert not same(outcome.weights, whole.weights)
    assert same(outcome.weights, outcome.last)
    assert same(outcome.optimizer, state.now.optimizer)


def test_the_states_of_a_finished_training_are_found_too(train, tmp_path):
    states = save(tmp_path, train)
    expected = rewind.load(Target(NAME, 1, False), tmp_path, inputs(train))
    states.finish([{}])
    assert not (tmp_path / NAME).exists()
    assert rewind.load(Target(NAME, 1, False), tmp_path, inputs(train)) == expected


@pytest.mark.parametrize("setting", rewind.LATER.split())
def test_settings_that_say_how_it_goes_on_may_be_others(train, tmp_path, setting):
    save(tmp_path, train)
    there = inputs(train)
    here = {**there, "params": there["params"] | {f"train.{setting}": 0.5}}
    assert rewind.load(Target(NAME, 1, False), tmp_path, here).epoch == 1


SETTINGS = sorted(set(Train.model_fields) - set(rewind.LATER.split()) - {"from_epoch"})


def test_what_the_values_and_the_best_epoch_are_of_must_be_the_same():
    assert SETTINGS == [
        "architecture", "average", "balance", "mode", "monitor", "optimizer", "precision", "pretrained", "restore",
        "start", "tune", "warm_average", "warm_from",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["dataset", "parent", "start", "code", "own code", *SETTINGS])
def test_another_training_is_refused_and_both_sides_are_said(train, tmp_path, name):
    save(tmp_path, train)
    there = inputs(train)
    is_setting = name in SETTINGS
    here = {**there, "params": there["params"] | {f"train.{name}": 7}} if is_setting else {**there, name: "x"}
    with pytest.raises(PipelineError) as error:
        rewind.load(Target(NAME, 1, False), tmp_path, here)
    said = str(error.value)
    assert said.startswith(f"train.from_epoch: epoch 1 of training {NAME} is of another training than this one can")
    assert f"{'params.train.' if is_setting else ''}{name} " in said
    assert " 7 here; " in said if is_setting else " x here; " in said
    assert said.endswith("; put back what differs, or set train.from_epoch: null")


def test_an_audit_that_is_due_or_not_makes_no_difference(train, tmp_path):
    save(tmp_path, train, start="warm")
    assert rewind.load(Target(NAME, 1, False), tmp_path, inputs(train, start="warm, audited")).factor == 1.0


@pytest.mark.parametrize(("start", "factor"), [("warm", 4.0), ("shrink", 2.0), ("cold", 2.0)])
def test_a_changed_warm_rate_counts_where_the_start_was_warm(train, tmp_path, start, factor):
    save(tmp_path, train, start=start)
    rates = {"learning_rate": 2 * train.learning_rate, "warm_rate": 2 * train.warm_rate}
    here = inputs(train.model_copy(update=rates), start=start)
    assert rewind.load(Target(NAME, 1, False), tmp_path, here).factor == factor


def test_who_goes_back_twice_has_both_changes_of_the_learning_rate(train, tmp_path):
    lower = train.model_copy(update={"learning_rate": train.learning_rate / 2})
    save(tmp_path, train)
    state = rewind.load(Target(NAME, 1, False), tmp_path, inputs(lower))
    Folder(tmp_path / OTHER, inputs(lower), ALL).save(state)
    lowest = lower.model_copy(update={"learning_rate": lower.learning_rate / 2})
    assert rewind.load(Target(OTHER, 1, False), tmp_path, inputs(lowest)).factor == 0.25


def test_an_epoch_that_is_not_kept_is_refused_and_those_that_are_are_listed(train, tmp_path):
    save(tmp_path, train)
    with pytest.raises(PipelineError) as error:
        rewind.load(Target(NAME, 7, False), tmp_path, inputs(train))
    assert str(error.value) == (
        f"epoch 7 of training {NAME} is not kept in {tmp_path}: kept are {NAME}/0, 1, 2; choose one of them with "
        "`python -m pipeline run --from-epoch TRAINING/EPOCH`, or set train.from_epoch: null"
    )


def test_where_nothing_is_kept_that_is_said(train, tmp_path):
    with pytest.raises(PipelineError, match=r"is not kept in .*: none is \(checkpoint\.keep says which will be\); "):
        rewind.load(Target(NAME, 7, False), tmp_path / "none", inputs(train))


def test_a_damaged_epoch_is_refused(train, tmp_path):
    save(tmp_path, train)
    path = tmp_path / NAME / "epoch-0001.checkpoint"
    path.write_bytes(b"torn")
    with pytest.raises(PipelineError) as error:
        rewind.load(Target(NAME, 1, False), tmp_path, inputs(train))
    assert str(error.value).startswith(f"{path} is damaged (its SHA-256 is not the one it begins with); choose another")
    assert str(error.value).endswith("kept are 0123456789abcdef/0, 1, 2, or set train.from_epoch: null")


def test_trainings_are_told_newest_first_without_audits_and_what_is_damaged(train, tmp_path):
    import os

    for number, name in enumerate((NAME, OTHER)):
        save(tmp_path, train, name=name)
        for path in (tmp_path / name).iterdir():
            os.utime(path, (number, number))
    save(tmp_path, train, name=f"{NAME}-audit", audit=True)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "epoch-0001.checkpoint").write_bytes(b"torn")
    (tmp_path / "lock").write_bytes(b"")
    (tmp_path / OTHER / "epoch-0002.checkpoint").write_bytes(b"torn")
    found = kept.trainings(tmp_path)
    assert [(one.name, one.best, len(one.history)) for one in found] == [(OTHER, 1, 2), (NAME, 2, 3)]
    assert kept.listed(found) == f"kept are {OTHER}/0, 1; {NAME}/0, 1, 2"
    assert found[1].bytes == sum(path.stat().st_size for path in (tmp_path / NAME).iterdir())


def test_no_finite_metric_is_no_best_epoch(train, tmp_path):
    states = Folder(tmp_path / NAME, inputs(train), ALL)
    states.save(replace(State([{"val_loss": float(np.nan)}])))
    (found,) = kept.trainings(tmp_path)
    assert found.best is None
    assert found.is_of(inputs(train))
    assert not found.is_of(inputs(train, dataset="x"))
    assert not found.is_of(inputs(train, parent="x"))
