"""Curves are written whatever the registry does, and nobody waits for it."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.base.errors import RegistryError
from pipeline.registry.curves import Curves, Row, catch_up
from pipeline.registry.faults import Cause

AWAY = RegistryError("the registry is away", Cause.UNREACHED)


class Book:
    """Stands for a run: notes what is written, fails or hangs if it is told to."""

    run_id = "run"

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.status = ""
        self.tries = 0
        self.error: RegistryError | None = None
        self.answers = threading.Event()
        self.answers.set()

    def log_history(self, history: Sequence[Row], prefix: str = "") -> None:
        self.tries += 1
        self.answers.wait(20)
        if self.error:
            raise self.error
        self.rows[prefix] = list(history)

    def end(self, status: str = "FINISHED") -> None:
        if self.error:
            raise self.error
        self.status = status


HISTORY = [{"val_loss": 2.0}, {"val_loss": 1.0, "loss": float("nan")}, {"val_loss": 0.5}]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def book() -> Book:
    return Book()


def test_each_epoch_is_written_soon_and_the_run_is_ended(book: Book, tmp_path: Path) -> None:
    curves = Curves(book, tmp_path)
    for count in (1, 2, 3):
        curves.add(HISTORY[:count])
        until(lambda count=count: len(book.rows.get("", ())) == count)
    curves.add(HISTORY[:1], "audit_")
    assert curves.close() == []
    assert {prefix: len(rows) for prefix, rows in book.rows.items()} == {"": 3, "audit_": 1}
    assert book.status == "FINISHED"
    assert list(tmp_path.iterdir()) == []


def test_a_registry_that_hangs_costs_no_time_and_loses_nothing(book: Book, tmp_path: Path) -> None:
    book.answers.clear()
    curves, began = Curves(book, tmp_path), time.monotonic()
    for count in (1, 2, 3):
        curves.add(HISTORY[:count])
    assert time.monotonic() - began < 0.5
    (notice,) = curves.close("KILLED", patience=0.1)
    assert notice == "the registry does not answer in time; promote logs what it has not yet"
    assert time.monotonic() - began < 2

    again = Book()
    assert catch_up(lambda _: again, tmp_path) == 1
    assert [row["val_loss"] for row in again.rows[""]] == [2.0, 1.0, 0.5]
    assert list(tmp_path.iterdir()) == []
    book.answers.set()  # the thread that still waits may end


def test_an_outage_is_told_once_and_tried_again_after_a_while(book: Book, tmp_path: Path) -> None:
    curves, book.error = Curves(book, tmp_path, first_pause=0.2), AWAY
    curves.add(HISTORY[:1])
    until(lambda: book.tries == 1)
    for count in (2, 3):
        curves.add(HISTORY[:count])
    until(lambda: (tmp_path / "run.json").is_file())
    assert book.tries == 1, "not for each epoch"
    assert curves.notices() == ["epochs are not logged for now, and later all at once: the registry is away"]
    until(lambda: book.tries == 2)
    assert curves.notices() == []
    book.error = None
    until(lambda: len(book.rows.get("", ())) == 3)
    until(lambda: not (tmp_path / "run.json").exists())
    assert curves.close() == ["the registry answers again; all epochs are logged"]


def test_the_end_is_tried_at_once_and_never_fails(book: Book, tmp_path: Path) -> None:
    curves, book.error = Curves(book, tmp_path), AWAY
    curves.add(HISTORY)
    until(lambda: book.tries == 1)
    curves.notices()
    began = time.monotonic()
    assert curves.close() == ["the end of the run is not logged; promote does it: the registry is away"]
    assert time.monotonic() - began < 2
    assert (book.tries, book.status) == (2, "")


def test_what_an_earlier_process_could_not_write_is_written_with_the_rest(book: Book, tmp_path: Path) -> None:
    curves, book.error = Curves(book, tmp_path), AWAY
    curves.add(HISTORY, "head_")
    curves.close()
    later = Book()
    curves = Curves(later, tmp_path)
    curves.add(HISTORY[:1])
    curves.close()
    assert {prefix: len(rows) for prefix, rows in later.rows.items()} == {"head_": 3, "": 1}
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_somebody_deleted_needs_no_curves(book: Book, tmp_path: Path) -> None:
    curves, book.error = Curves(book, tmp_path), AWAY
    curves.add(HISTORY)
    curves.close()
    with pytest.raises(RegistryError, match="the registry is away"):
        catch_up(lambda _: book, tmp_path)
    assert (tmp_path / "run.json").is_file()
    book.error = RegistryError("the run is deleted", Cause.GONE)
    assert catch_up(lambda _: book, tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_no_obstacle(book: Book, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[1, 2")
    curves = Curves(book, tmp_path)
    curves.add(HISTORY)
    curves.close()
    assert len(book.rows[""]) == 3
