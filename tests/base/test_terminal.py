"""Real terminals: what is folded, and what is not."""

import io
import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base import terminal

SAYS = """
import sys
from pipeline.base import terminal
terminal.fold_output()
print("prepare:", "word " * 30, end="")
print("last")
print("a table  " + "column  " * 30)
print("begun", end="", flush=True)
"""


def shown(columns: int) -> list[str]:
    """What a terminal of that width gets."""
    main, other = pty.openpty()
    termios.tcsetwinsize(other, (24, columns))
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    subprocess.run([sys.executable, "-c", SAYS], cwd=CHECKOUT, env=env, stdout=other, check=True)
    os.close(other)
    text = b""
    with suppress(OSError):  # at its end; it has only so much that it fits into the terminal's own memory
        while more := os.read(main, 10_000):
            text += more
    os.close(main)
    return text.decode().replace("\r\n", "\n").split("\n")


@pytest.mark.parametrize(("columns", "widest"), [(60, 60), (80, 80), (100, 100), (200, 100)])
def test_on_a_terminal_sentences_are_folded_and_tables_are_not(columns: int, widest: int) -> None:
    *sentence, table, begun = shown(columns)
    assert len(sentence) > 1
    assert max(map(len, sentence)) <= widest
    assert " ".join(line.strip() for line in sentence).split() == ["prepare:", *["word"] * 30, "last"]
    assert len(table) > 200
    assert begun == "begun"


def test_an_error_is_folded_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    main, other = pty.openpty()
    line = "run: error: " + "word " * 20
    with os.fdopen(other, "w") as screen:
        assert max(map(len, terminal.shown(line, screen).splitlines())) <= 60
    assert terminal.shown(line, io.StringIO()) == line
    os.close(main)


def test_a_file_gets_whole_lines() -> None:
    done = subprocess.run([sys.executable, "-c", SAYS], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
