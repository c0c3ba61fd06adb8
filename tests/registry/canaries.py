"""What shows that code of a hostile file was run: a file that is there afterwards."""

import os
from pathlib import Path
from typing import Any


def sings(canary: Path) -> str:
    return f"open({str(canary)!r}, 'w').close()\n"


class Sings:
    """A pickle of it makes the canary when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)
