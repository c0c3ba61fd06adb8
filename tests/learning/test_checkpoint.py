import io
import itertools
import math
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base.errors import PipelineError
from pipeline.learning import checkpoint
from pipeline.learning.checkpoint import Folder, State, Values
from pipeline.learning.settings import Checkpoint
from pipeline.learning.stopping import Spent

SPECIAL = np.array([math.nan, math.inf, -math.inf, -0.0, 1e-45, 1e-320, 0.1])
MONITORED = {"train.monitor": "val_loss", "train.mode": "auto"}
INPUTS = {"dataset": "d" * 64, "params": {"train.seed": 7, "train.restore": [], **MONITORED}, "parent": None}
NEVER = Checkpoint(keep=2, epochs=None, steps=None, seconds=None)


def state(epoch: int, seed: int = 0) -> State:
    """A state after so many epochs, with arrays of every kind that Keras has."""
    numbers = np.random.default_rng([seed, epoch])
    return State(
        history=[{"val_loss": 1 / (row + 1), "loss": math.nan, "tiny": 5e-324} for row in range(epoch + 1)],
        step=3,
        loss=0.1,
        right=7,
        retries=[{"epoch": 1.0, "loss": math.inf}],
        spent=Spent(epoch, 40, 1.5),
        now=Values(
            variables={"0": numbers.normal(size=(3, 4)).astype(np.float32), "1": np.array([7, 2**32 - 1], np.uint32)},
            average={"0": np.array(3, np.int64)},
            optimizer={"0": np.array(epoch, np.int64), "1": np.float32(0.001), "2": SPECIAL.astype(np.float16)},
        ),
        best=Values(
            variables={"0": SPECIAL.astype(np.float32), "1": np.zeros((0, 2))},
            optimizer={"0": SPECIAL, "1": np.array(True), "10": np.arange(3, dtype=np.int8)},
        ),
    )


def exact(found: State | None) -> object:
    """A state as bytes, for which NaN equals NaN and 0.0 is not -0.0."""
    assert found is not None
    arrays = {
        (when, group, name): (str(array.dtype), array.shape, array.tobytes())
        for when in ("now", "best")
        for group, values in vars(getattr(found, when)).items()
        for name, array in values.items()
    }
    rows = [[{name: float(value).hex() for name, value in row.items()} for row in found.history + found.retries]]
    return rows, found.step, found.loss.hex(), found.right, found.spent, arrays


def name(epoch: int) -> str:
    """Of the file of a state within this epoch."""
    return f"epoch-{epoch:04d}-retry-1-step-000003.checkpoint"


def names(path: Path) -> list[str]:
    """Of the states in a folder."""
    return sorted(one.stem for one in path.iterdir())


def folder(path: Path, inputs: object = INPUTS, every: Checkpoint = NEVER, **options: object) -> Folder:
    return Folder(path, inputs, every, **options)


def test_a_state_reads_as_it_was_written_to_the_last_bit(tmp_path):
    folder(tmp_path).save(state(3))
    assert exact(folder(tmp_path).load()) == exact(state(3))


def test_a_state_without_arrays_reads_as_it_was_written(tmp_path):
    folder(tmp_path).save(State(history=[{}]))
    assert folder(tmp_path).load() == State(history=[{}])


@pytest.mark.parametrize("name", [".", "missing"])
def test_no_checkpoint_is_none(tmp_path, name):
    assert folder(tmp_path / name).load() is None


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_newest_is_loaded_and_two_are_kept_in_whatever_order_a_folder_lists(tmp_path, monkeypatch, is_reversed):
    monkeypatch.setattr(Path, "glob", lambda path, _: iter(sorted(path.iterdir(), reverse=is_reversed)))
    states = folder(tmp_path)
    for epoch in range(11):
        states.save(state(epoch))
    assert sorted(path.name for path in tmp_path.iterdir()) == [name(10), name(11)]
    assert len(states.load().history) == 11


def test_a_state_after_a_divergence_is_newer_than_what_diverged(tmp_path):
    states, before = folder(tmp_path), replace(state(5), step=40)
    again = replace(before, step=0, retries=[*before.retries, {"epoch": 6.0}])
    for one in (before, again):
        states.save(one)
    assert names(tmp_path) == ["epoch-0006-retry-1-step-000040", "epoch-0006-retry-2-step-000000"]
    assert exact(states.load()) == exact(again)


def ended(epoch: int, *losses: float) -> State:
    """A state at the end of an epoch."""
    return replace(state(epoch), step=0, retries=[], history=[{"val_loss": loss} for loss in losses[: epoch + 1]])


def test_names_in_their_order_are_in_the_order_of_time():
    saved = [
        State([{}]),
        State([{}], step=9),
        State([{}], step=10_000),
        State([{}, {}]),
        State([{}, {}], step=3),
        State([{}, {}], retries=[{"epoch": 2.0}]),
        State([{}, {}], step=1, retries=[{"epoch": 2.0}]),
        State([{}, {}, {}], retries=[{"epoch": 2.0}]),
    ]
    assert [one.name for one in saved] == [
        "epoch-0000",
        "epoch-0001-retry-0-step-000009",
        "epoch-0001-retry-0-step-010000",
        "epoch-0001",
        "epoch-0002-retry-0-step-000003",
        "epoch-0002-retry-1-step-000000",
        "epoch-0002-retry-1-step-000001",
        "epoch-0002",
    ]
    files = [f"{one.name}.checkpoint" for one in saved]
    assert sorted(files) == files, "as ls lists them"
    assert [one.is_end_of_epoch for one in saved] == [True, False, False, True, False, False, False, True]


def test_a_state_that_an_earlier_evergreen_numbered_is_gone_on_with(tmp_path):
    (tmp_path / "00000012.checkpoint").write_bytes(checkpoint.encode(state(7), INPUTS))
    states = folder(tmp_path)
    assert exact(states.load()) == exact(state(7))
    for epoch in (8, 9):
        states.save(state(epoch))
    assert names(tmp_path) == [name(9).removesuffix(".checkpoint"), name(10).removesuffix(".checkpoint")]


def test_what_an_earlier_evergreen_left_unfinished_is_said_by_name(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "00000012.checkpoint").write_bytes(checkpoint.encode(state(7), INPUTS | {"code": "a" * 64}))
    assert checkpoint.others(tmp_path / "b", INPUTS | {"code": "b" * 64}) == (
        f"{tmp_path}/a/00000012.checkpoint (epoch 8, step 3) is not used: code aaaaaaaaaaaa there, bbbbbbbbbbbb here"
    )


LOSSES = (0.9, 0.5, 0.7, 0.4, 0.6, 0.8, math.nan, 0.8)


@pytest.mark.parametrize(
    ("keep", "in_training", "after"),
    [
        (2, [6, 7], []),
        (4, [4, 5, 6, 7], []),
        ("all", [*range(8)], [*range(8)]),
        ("best 1", [3, 6, 7], [3]),
        ("best 3", [1, 3, 4, 6, 7], [1, 3, 4]),
        ("best 99", [*range(8)], [0, 1, 2, 3, 4, 5, 7]),
    ],
    ids=str,
)
def test_what_is_kept_in_training_and_after_its_end(tmp_path, keep, in_training, after):
    """The newest two always are, for resuming; a loss that is no number is never among the best."""
    states = folder(tmp_path / "a", every=NEVER.model_copy(update={"keep": keep}))
    for epoch in range(8):
        states.save(ended(epoch, *LOSSES))
    assert sorted(checkpoint.ends(tmp_path / "a")) == in_training
    states.finish(ended(7, *LOSSES).history)
    assert not (tmp_path / "a").exists()
    assert sorted(checkpoint.ends(tmp_path / "a-finished")) == after


def test_the_best_are_those_of_the_monitored_metric(tmp_path):
    params = INPUTS["params"] | {"train.monitor": "accuracy"}
    states = folder(tmp_path, INPUTS | {"params": params}, NEVER.model_copy(update={"keep": "best 1"}))
    for epoch in range(5):
        states.save(replace(ended(epoch), history=[{"accuracy": 1 - abs(row - 1)} for row in range(epoch + 1)]))
    assert sorted(checkpoint.ends(tmp_path)) == [1, 3, 4]


def test_states_within_an_epoch_are_only_for_resuming(tmp_path):
    states = folder(tmp_path / "a", every=NEVER.model_copy(update={"keep": "all"}))
    for one in (ended(0, *LOSSES), state(0), replace(state(0), step=4), ended(1, *LOSSES), state(1)):
        states.save(one)
    assert names(tmp_path / "a") == ["epoch-0000", "epoch-0001", "epoch-0002-retry-1-step-000003"]
    states.finish([{"val_loss": 1.0}])
    assert names(tmp_path / "a-finished") == ["epoch-0000", "epoch-0001"]


def test_a_training_that_begins_anew_does_not_go_on_from_a_finished_one(tmp_path):
    every = NEVER.model_copy(update={"keep": "all"})
    for epochs in (3, 2):
        states = folder(tmp_path / "a", every=every)
        assert states.load() is None
        for epoch in range(epochs):
            states.save(ended(epoch, *LOSSES))
        states.finish(ended(epochs, *LOSSES).history)
    assert sorted(checkpoint.ends(tmp_path / "a-finished")) == [0, 1], "of the last one"
    assert checkpoint.others(tmp_path / "b", INPUTS) is None, "nothing is left to do of it"


def test_a_place_that_cannot_be_made_costs_the_kept_states_and_not_the_training(tmp_path):
    said: list[str] = []
    states = folder(tmp_path / "a", every=NEVER.model_copy(update={"keep": "all"}), warn=said.append)
    states.save(ended(0, 1.0))
    (tmp_path / "a-finished").write_bytes(b"a file in the way")
    states.finish([{"val_loss": 1.0}])
    assert said == [
        f"the states in {tmp_path}/a cannot be kept in {tmp_path}/a-finished (Not a directory); the model is whole"
    ]


@pytest.mark.parametrize(("keep", "is_due"), [(2, False), (9, False), ("all", True), ("best 2", True)], ids=str)
def test_where_epochs_are_kept_a_state_is_due_at_the_end_of_each(tmp_path, keep, is_due):
    states = folder(tmp_path, every=NEVER.model_copy(update={"keep": keep}))
    assert states.is_due(1, 5) is is_due
    assert not states.is_due(0, 5)


def test_a_factor_of_the_learning_rate_is_read_as_it_was_written(tmp_path):
    states = folder(tmp_path)
    states.save(replace(state(1), factor=0.1))
    assert states.load().factor == 0.1


def damaged(tmp_path, content: bytes, expected: State | None) -> list[str]:
    """What is said when the newest file has this content, and `expected` is what is loaded."""
    said: list[str] = []
    newest = sorted(tmp_path.iterdir())[-1]
    newest.write_bytes(content)
    found = folder(tmp_path, warn=said.append).load()
    assert (found is None) if expected is None else exact(found) == exact(expected)
    return said


@pytest.fixture
def two(tmp_path):
    """The bytes of the newest of two states."""
    for epoch in (1, 2):
        folder(tmp_path).save(state(epoch))
    return sorted(tmp_path.iterdir())[-1].read_bytes()


def test_a_torn_checkpoint_gives_way_to_the_one_before(tmp_path, two):
    for length in {0, 1, 63, 64, 65, 66, *range(100, len(two), 97), len(two) - 1}:
        said = damaged(tmp_path, two[:length], state(1))
        assert len(said) == 1
        assert f"{name(3)} is damaged (its SHA-256 is not the one it begins with) and not used" in said[0]


@pytest.mark.usefixtures("two")
def test_a_damaged_checkpoint_takes_no_place_of_a_whole_one(tmp_path):
    (tmp_path / name(3)).write_bytes(b"torn")
    states = folder(tmp_path)
    states.load()
    states.save(state(3))
    assert sorted(path.name for path in tmp_path.iterdir()) == [name(2), name(4)]


@pytest.mark.project
def test_of_ten_thousand_flipped_bits_none_is_silent(tmp_path, two):
    chance = random.Random(7)
    places = [*range(70), *(chance.randrange(len(two)) for _ in range(9_930))]
    newest, before = sorted(tmp_path.iterdir())[-1], exact(state(1))
    said: list[str] = []
    states = folder(tmp_path, warn=said.append)
    for place in places:
        content = bytearray(two)
        content[place] ^= 1 << chance.randrange(8)
        newest.write_bytes(content)
        assert len(states.load().history) == 2, place
    assert exact(states.load()) == before
    assert len(said) == len(places) + 1


@pytest.mark.usefixtures("two")
def test_bytes_that_are_no_state_are_refused_even_with_a_right_digest(tmp_path):
    for content in (b"", b"PK", checkpoint.files.sha256(b"").encode()):
        whole = checkpoint.files.sha256(content).encode() + b"\n" + content
        assert "it is not a state" in damaged(tmp_path, whole, state(1))[0]


@pytest.mark.usefixtures("two")
def test_arrays_that_need_unpickling_are_refused(tmp_path):
    sink = io.BytesIO()
    np.savez(sink, meta=np.array([{"inputs": 1}], object))
    whole = checkpoint.files.sha256(sink.getvalue()).encode() + b"\n" + sink.getvalue()
    assert "it is not a state" in damaged(tmp_path, whole, state(1))[0]


def test_only_damaged_checkpoints_are_none(tmp_path):
    for epoch in (1, 2):
        folder(tmp_path).save(state(epoch))
    for path in tmp_path.iterdir():
        path.write_bytes(b"torn")
    said = damaged(tmp_path, b"torn", None)
    assert len(said) == 2


@pytest.mark.usefixtures("two")
def test_a_state_that_cannot_be_read_is_said_to_be_damaged(tmp_path):
    newest = sorted(tmp_path.iterdir())[-1]
    newest.unlink()
    newest.mkdir()
    said: list[str] = []
    assert exact(folder(tmp_path, warn=said.append).load()) == exact(state(1))
    assert "is damaged (Is a directory)" in said[0]


def test_a_state_of_other_inputs_is_refused_and_both_sides_are_said(tmp_path):
    folder(tmp_path).save(state(1))
    other = INPUTS | {
        "dataset": "e" * 64,
        "params": {"train.seed": 8, "train.restore": [], **MONITORED},
        "parent": "f" * 64,
    }
    with pytest.raises(PipelineError) as error:
        folder(tmp_path, other).load()
    assert str(error.value) == (
        f"{tmp_path}/{name(2)} is a checkpoint of another training: dataset dddddddddddd there, eeeeeeeeeeee "
        "here, params.train.seed 7 there, 8 here, parent null there, ffffffffffff here; move it to where it comes "
        "from, or delete it to train without it"
    )


def test_what_another_unfinished_training_was_of_is_said(tmp_path):
    folder(tmp_path / "a").save(state(1))
    folder(tmp_path / "b").save(state(2))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / name(2)).write_bytes(b"torn")
    os.utime(tmp_path / "a" / name(2), (2e9, 2e9))
    assert checkpoint.others(tmp_path / "z", INPUTS | {"dataset": "e" * 64}) == (
        f"{tmp_path}/a/{name(2)} (epoch 2, step 3) is not used: dataset dddddddddddd there, eeeeeeeeeeee here"
    )
    assert checkpoint.others(tmp_path / "none" / "z", INPUTS) is None


def test_only_the_newest_trainings_are_kept_and_the_finished_ones_push_out_no_other(tmp_path):
    for number in range(12):
        folder(tmp_path / str(number)).save(state(1))
        os.utime(tmp_path / str(number) / name(2), (number, number))
        shutil.copytree(tmp_path / str(number), tmp_path / f"{number}-finished")
    (tmp_path / "lock").write_bytes(b"")
    checkpoint.tidy(tmp_path / "0")
    kept = {path.name for path in tmp_path.iterdir()}
    newest = {"5", "6", "7", "8", "9", "10", "11"}
    assert kept == {"0", *newest, *(f"{number}-finished" for number in newest), "lock"}


def test_the_training_that_was_gone_back_to_is_not_tidied_away(tmp_path):
    for number in range(12):
        folder(tmp_path / f"{number}-finished").save(state(1))
        os.utime(tmp_path / f"{number}-finished" / name(2), (number, number))
    checkpoint.tidy(tmp_path / "own", spared="3")
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {"3-finished", *(f"{number}-finished" for number in range(5, 12))}


@pytest.mark.usefixtures("two")
def test_an_interrupted_save_leaves_the_ones_before(tmp_path, monkeypatch):
    saved = sorted(tmp_path.iterdir())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        folder(tmp_path).save(state(3))
    assert sorted(tmp_path.iterdir()) == saved
    assert exact(folder(tmp_path).load()) == exact(state(2))


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("every", "due", "early"),
    [
        ({"epochs": 2}, (2, 0, 0), (1, 99, 99)),
        ({"steps": 5}, (0, 5, 0), (9, 4, 99)),
        ({"seconds": 30}, (0, 1, 30), (9, 99, 29.9)),
        ({"epochs": 2, "steps": 5, "seconds": 30}, (0, 5, 1), (1, 4, 29)),
        ({}, None, (9, 99, 999)),
    ],
    ids=str,
)
def test_a_state_is_due_after_epochs_steps_or_seconds(tmp_path, every, due, early):
    clock = Clock()
    states = folder(tmp_path, every=NEVER.model_copy(update=every), clock=clock)
    clock.now = early[2]
    assert not states.is_due(*early[:2])
    if due:
        clock.now = due[2]
        assert states.is_due(*due[:2])


def test_states_that_take_long_to_save_are_saved_less_often(tmp_path, monkeypatch):
    """At most 3 % of the time: after a save of 3 seconds not before 100."""
    clock = Clock()
    states = folder(tmp_path, every=NEVER.model_copy(update={"seconds": 10}), clock=clock)
    write = checkpoint.files.write

    def slow(*arguments: object) -> None:
        clock.now += 3
        write(*arguments)

    monkeypatch.setattr("pipeline.base.files.write", slow)
    states.save(state(1))
    clock.now += 99
    assert not states.is_due(1, 1)
    clock.now += 1.1
    assert states.is_due(1, 1)


SAVE = """
import ctypes, sys
sys.path[:0] = [{tests!r}, {checkout!r}]
from pathlib import Path
from test_checkpoint import folder, state
states, new = folder(Path(sys.argv[1])), state(6)
folder(Path(sys.argv[2])).save(new)
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))  # whoever may trace (PR_SET_PTRACER)
print("ready", flush=True)
sys.stdin.readline()
states.save(new)
"""
"""Waits until strace watches; all that it could load is loaded by then."""

CALLS = ["openat", "write", "fsync", "rename", "chmod", "close", "getdents64", "unlink", "mkdir", "newfstatat"]


@pytest.mark.project
@pytest.mark.timeout(300)
def test_a_kill_at_any_system_call_of_a_save_leaves_a_valid_state(tmp_path):
    """strace kills the process as it makes a call for the nth time, for every call of a file and every n."""
    if not shutil.which("strace"):
        pytest.fail("this test needs strace: apt-get install strace, or let .ci/run do it")
    script = tmp_path / "save.py"
    script.write_text(SAVE.format(tests=str(CHECKOUT / "tests/learning"), checkout=str(CHECKOUT)))
    before, after = exact(state(5)), exact(state(6))
    found: Counter[str] = Counter()
    for call in CALLS:
        for number in itertools.count(1):
            states = tmp_path / f"{call}-{number}"
            for epoch in (4, 5):
                folder(states).save(state(epoch))
            words = [sys.executable, str(script), str(states), str(tmp_path / "warm")]
            with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as saving:
                assert saving.stdout.readline() == "ready\n"
                inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
                traced = ["strace", "-o", os.devnull, *inject, "-p", str(saving.pid)]
                with subprocess.Popen(traced, stderr=subprocess.PIPE, text=True) as tracer:
                    assert "attached" in tracer.stderr.readline()
                    saving.communicate("go\n")
            loaded = exact(folder(states).load())
            assert loaded in (before, after), f"killed at {call} {number}"
            if saving.returncode == 0:
                assert loaded == after
                break
            assert saving.returncode == -signal.SIGKILL
            found[f"{call} {'new' if loaded == after else 'old'}"] += 1
    assert {name.partition(" ")[0] for name in found} >= {"openat", "write", "fsync", "rename", "unlink"}
    assert sum(found.values()) >= 15
