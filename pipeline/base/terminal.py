"""The terminal: sentences that are longer than it is wide go on in the next line, at a word."""

import io
import shutil
import sys
from typing import TextIO

from pipeline.base.words import folded

WIDEST = 100
"""Columns; longer lines are hard to read."""


class Folding(io.TextIOWrapper):
    """Standard output that folds lines; files and pipes get them whole, to be searched."""

    _begun = ""
    """A line without its end."""

    def write(self, text: str) -> int:
        """Print; what is not the end of a line waits for it, or for `flush`."""
        *lines, self._begun = f"{self._begun}{text}".split("\n")
        super().write("".join(f"{folded(line, _width())}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        """Print what waits, too."""
        if self._begun:
            begun, self._begun = self._begun, ""
            super().write(begun)
        super().flush()


def fold_output() -> None:
    """From now on standard output folds, if it is a terminal."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper) and out.isatty():
        sys.stdout = Folding(out.buffer, out.encoding, "backslashreplace", line_buffering=True)


def shown(line: str, stream: TextIO) -> str:
    """A line as that stream is to get it: folded, if it is a terminal."""
    return folded(line, _width()) if stream.isatty() else line


def _width() -> int:
    return min(WIDEST, shutil.get_terminal_size().columns)
