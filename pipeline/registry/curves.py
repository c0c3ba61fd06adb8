"""Curves: the metrics of each epoch, written by a thread of its own: training never waits for a registry.

A registry that does not answer costs training nothing: one warning, another try after one minute, two, four and so on,
and one at the end. What is not written by then is kept in a file, and written by whoever calls `catch_up`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.base import files
from pipeline.base.errors import RegistryError, UnreadableError
from pipeline.registry.faults import Cause

Row = Mapping[str, float]

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 1800.0
"""Seconds between tries: doubled after each that fails."""

PATIENCE = 60.0
"""Seconds that the end of a training waits for what is not written yet."""


class _Logged(Protocol):
    """An MLflow run, as far as it is written to here."""

    run_id: str

    def log_history(self, history: Sequence[Row], prefix: str = "") -> None:
        """Log the rows that the run has not yet."""

    def end(self, status: str = "FINISHED") -> None:
        """Close the run."""


class Curves:
    """The curves of a run's trainings. All methods return at once, but `close`, and none raises RegistryError."""

    def __init__(self, run: _Logged, folder: Path, first_pause: float = FIRST_PAUSE) -> None:
        """Begin with what an earlier process could not write.

        Args:
            run: takes the metrics.
            folder: keeps what cannot be written.
            first_pause: seconds until the second try.
        """
        self._run, self._path, self._first_pause = run, folder / f"{run.run_id}.json", first_pause
        self._changed = threading.Condition()
        """Guards all that follows."""
        self._wanted: dict[str, list[Row]] = _read(self._path)
        self._written: dict[str, int] = {}
        """Rows by prefix."""
        self._status: str | None = None
        """That the run is to end with."""
        self._is_over = False
        self._notices: list[str] = []
        self._thread: threading.Thread | None = None

    def add(self, history: Sequence[Row], prefix: str = "") -> None:
        """Have a history written soon; of one prefix it only grows."""
        with self._changed:
            self._wanted[prefix] = list(history)
            self._changed.notify_all()
            self._start()

    def notices(self) -> list[str]:
        """What there is to tell people since the last call: an outage begins, or is over."""
        with self._changed:
            told, self._notices = self._notices, []
        return told

    def close(self, status: str = "FINISHED", patience: float = PATIENCE) -> list[str]:
        """Write what is left, if the registry answers in time, and end the run; what there is to tell people.

        Args:
            status: of the run.
            patience: seconds to wait.
        """
        with self._changed:
            self._status = status
            self._changed.notify_all()
            self._start()
            self._changed.wait_for(lambda: self._is_over, patience)
            if not self._is_over:
                self._keep()
                self._notices.append("the registry does not answer in time; promote logs what it has not yet")
        return self.notices()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: a registry that never answers keeps no process from ending.
            self._thread = threading.Thread(target=self._write, name="curves", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        """Write what is wanted, whenever there is something, until the run is ended."""
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._status is not None or self._is_behind())
                wanted, status = {prefix: [*rows] for prefix, rows in self._wanted.items()}, self._status
            try:
                for prefix, rows in wanted.items():
                    self._run.log_history(rows, prefix)
                if status is not None:
                    self._run.end(status)
            except Exception as error:  # noqa: BLE001 - a thread that dies without a word would lose the curves
                failures += 1
                self._failed(error, failures == 1, status)
                if status is not None:
                    return
                self._pause(min(self._first_pause * 2 ** (failures - 1), LONGEST_PAUSE))
                continue
            with self._changed:
                self._written |= {prefix: len(rows) for prefix, rows in wanted.items()}
                if failures:
                    self._notices.append("the registry answers again; all epochs are logged")
                failures = 0
                self._path.unlink(missing_ok=True)
                if status is not None:
                    self._is_over = True
                    self._changed.notify_all()
                    return

    def _is_behind(self) -> bool:
        return any(len(rows) > self._written.get(prefix, 0) for prefix, rows in self._wanted.items())

    def _failed(self, error: Exception, is_first: bool, status: str | None) -> None:
        with self._changed:
            self._keep()
            if status is not None:
                self._notices.append(f"the end of the run is not logged; promote does it: {error}")
                self._is_over = True
                self._changed.notify_all()
            elif is_first:
                self._notices.append(f"epochs are not logged for now, and later all at once: {error}")

    def _keep(self) -> None:
        if rows := {prefix: rows for prefix, rows in self._wanted.items() if rows}:
            files.write_json(self._path, {prefix: [dict(row) for row in history] for prefix, history in rows.items()})

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than to the end of training."""
        with self._changed:
            self._changed.wait_for(lambda: self._status is not None, seconds)


def catch_up(open_run: Callable[[str], _Logged], folder: Path) -> int:
    """Write the curves that were kept because the registry did not answer; of how many runs.

    Args:
        open_run: gives the run of an id.
        folder: where they were kept.

    Raises:
        RegistryError: it does not answer this time either.
    """
    done = 0
    for path in sorted(folder.glob("*.json")):
        run = open_run(path.stem)
        try:
            for prefix, rows in _read(path).items():
                run.log_history(rows, prefix)
            done += 1
        except RegistryError as error:
            if error.cause != Cause.GONE:  # a run that somebody deleted needs no curves
                raise
        path.unlink(missing_ok=True)
    return done


def _read(path: Path) -> dict[str, list[Row]]:
    """Histories by prefix; none where the file is not there, or is no such file: they are a copy of what was shown."""
    try:
        kept = files.read_json(path) if path.is_file() else {}
        return {prefix: [dict(row) for row in rows] for prefix, rows in kept.items()}
    except (UnreadableError, ValueError, TypeError, AttributeError):
        return {}
