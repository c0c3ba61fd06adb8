"""Answers of a registry, remembered while its database file is what it was: a no-op then need not import MLflow."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.base import files


class Memory:
    """Answers of a registry in an SQLite file, kept while the file is what it was when they were given."""

    def __init__(self, path: Path, uri: str) -> None:
        self._path = path
        self._uri = uri
        self._at: list[Any] | None = None
        """The state that the answers are of."""
        self._answers: dict[str, Any] = {}

    def recall(self, question: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer from memory, else a fresh one."""
        state, key = self._state(), json.dumps(question)
        if state is None:
            return ask()
        if self._at != state:
            self._at, self._answers = state, self._read(state)
        if key not in self._answers:
            answer = ask()
            if self._state() != state:  # written to meanwhile, or made just now
                return answer
            self._answers[key] = answer
            files.write_json(self._path, {"state": state, "answers": self._answers})
        return self._answers[key]

    def _read(self, state: list[Any]) -> dict[str, Any]:
        try:
            kept = json.loads(self._path.read_bytes())
            return dict(kept["answers"]) if kept["state"] == state else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _state(self) -> list[Any] | None:
        """What changes with every transaction; None where that cannot be told.

        SQLite counts transactions in bytes 24 to 27 of the file (sqlite.org/fileformat2.html, 1.3.7), unless it
        writes ahead to another file.
        """
        path = Path(self._uri.removeprefix("sqlite:///"))
        is_beside = any(path.with_name(f"{path.name}{end}").exists() for end in ("-wal", "-journal"))
        if not self._uri.startswith("sqlite:///") or is_beside:
            return None
        try:
            with open(path, "rb") as file:
                header, status = file.read(100), os.fstat(file.fileno())
        except OSError:
            return None
        return [self._uri, header.hex(), status.st_ino, status.st_size, status.st_mtime_ns]
