import io
import os
import termios
import time
from typing import Any

import pytest

from pipeline.learning import progress
from pipeline.learning.progress import Progress


class Clock:
    """Seconds, set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Logged:
    """Stands for the curves of a run: takes rows, and may have something to tell."""

    def __init__(self, *told: str) -> None:
        self.rows: list[int] = []
        self.told = list(told)

    def add(self, history: list[Any], prefix: str) -> None:
        self.rows.append(len(history))
        self.prefix = prefix

    def notices(self) -> list[str]:
        return self.told


ROWS = [
    {"val_loss": 2.3, "val_accuracy": 0.1, "learning_rate": 0.003},
    {"loss": 1.5, "accuracy": 0.5, "val_loss": 1.2, "val_accuracy": 0.6, "learning_rate": 0.003},
    {"loss": 1.1, "accuracy": 0.6, "val_loss": 1.4, "val_accuracy": 0.5, "learning_rate": 0.0015},
]


@pytest.fixture
def told(settings):
    """A quiet clock, the run and who tells, with 10 epochs at most."""

    def made(*notices: str, is_live: bool = False) -> tuple[Clock, Logged, Progress]:
        clock, run = Clock(), Logged(*notices)
        train = settings.train.model_copy(update={"max_epochs": 10, "monitor": "val_loss"})
        return clock, run, Progress(train, run, is_live, clock)  # type: ignore[arg-type]

    return made


def test_each_epoch_is_a_line_and_is_logged(told, capsys):
    clock, run, watcher = told()
    watcher.scored(ROWS[:1])
    for step in (1, 2, 3):
        watcher.stepped(1, step, 3, 50, 1.5)
        clock.now += 0.5
    watcher.scored(ROWS[:2])
    watcher.scored(ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "train: epoch   0/10  before the first step          val_loss 2.3000  val_accuracy 0.1000 best",
        "train: epoch   1/10  loss 1.5000  accuracy 0.5000  val_loss 1.2000  val_accuracy 0.6000 best",
        "train: the learning rate is 0.0015 now",
        "train: epoch   2/10  loss 1.1000  accuracy 0.6000  val_loss 1.4000  val_accuracy 0.5000",
    ]
    assert max(map(len, lines)) <= 93, "an audit's are 7 longer"
    assert run.rows == [1, 2, 3]
    assert run.prefix == ""


def test_a_second_training_of_the_stage_has_a_name(settings, capsys):
    run = Logged()
    watcher = Progress(settings.train, run, False, Clock(), name="audit")  # type: ignore[arg-type]
    watcher.scored(ROWS[:1])
    watcher.warned("look")
    out, err = capsys.readouterr()
    assert out.startswith("train: audit: epoch   0/")
    assert err == "train: audit: warning: look\n"
    assert run.prefix == "audit_"


def test_within_a_long_epoch_there_is_a_line_every_half_minute(told, capsys):
    clock, _, watcher = told()
    watcher.scored(ROWS[:2])
    capsys.readouterr()
    for step in range(1, 101):
        watcher.stepped(2, step, 100, 32, 1.25)
        clock.now += 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "train: epoch 2/10, step 31/100, loss 1.2500, 69 s left, at most 14 min of all, best val_loss 1.2000"
    )


def test_the_first_step_which_compiles_is_not_counted(told, capsys):
    clock, _, watcher = told()
    watcher.stepped(1, 1, 100, 32, 1.0)
    clock.now += 29
    watcher.stepped(1, 2, 100, 32, 1.0)
    assert capsys.readouterr().out == ""


def test_on_a_terminal_there_is_a_bar_that_goes_away(told, capsys, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    clock, _, watcher = told(is_live=True)
    watcher.scored(ROWS[:2])
    for step in range(1, 5):
        watcher.stepped(2, step, 4, 32, 1.25)
        clock.now += 1
        time.sleep(0.6)  # tqdm draws no more often than that
    assert "train: epoch 2/10" in screen.getvalue()
    assert "2/4, best val_loss 1.2000, loss 1.2500" in screen.getvalue()
    watcher.scored(ROWS)
    assert "epoch   2/10" in capsys.readouterr().out
    assert screen.getvalue().endswith("\r")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (60, ", best val_loss 0.1234 "),
        (80, ", best val_loss 0.1234, loss 1.2500 "),
        (100, ", best val_loss 0.1234, loss 1.2500, 97 s left, 32 images/s "),
    ],
)
def test_a_bar_keeps_the_best_value_in_a_narrow_window(told, columns, said):
    """In a terminal of its own: tqdm asks that for its width."""
    pty = pytest.importorskip("pty")
    main, screen = pty.openpty()
    termios.tcsetwinsize(screen, (24, columns))
    with os.fdopen(screen, "w") as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        patch.setenv("COLUMNS", str(columns))
        clock, _, watcher = told(is_live=True)
        watcher.scored([ROWS[0] | {"val_loss": 0.1234}])
        for step in (1, 2, 3):
            watcher.stepped(10, step, 100, 32, 1.25)
            clock.now += 1
        watcher._bar.refresh()
        drawn = b""
        while not drawn.endswith(b" ") or b"3/100" not in drawn:
            drawn += os.read(main, 10_000)
        shown = drawn.decode().split("\r")[-1]
        watcher.close()
    os.close(main)
    assert said in shown
    assert len(shown) <= columns


def test_a_registry_that_is_away_is_a_warning(told, capsys):
    _, _, watcher = told("epochs are not logged for now")
    watcher.scored(ROWS[:1])
    assert capsys.readouterr().err == "train: warning: epochs are not logged for now\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99.4, "99 s"), (100, "2 min"), (5_900, "98 min"), (7_500, "2 h 05 min"), (86_400, "24 h 00 min")],
)
def test_durations_in_words(seconds, words):
    assert progress.duration(seconds) == words
