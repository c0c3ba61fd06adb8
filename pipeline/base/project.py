"""The project: the folder with dvc.yaml, found from any folder in it, and worked on by its own code in UTF-8."""

import os
import sys
from pathlib import Path

CALLED_FROM = "EVERGREEN_CALLED_FROM"
"""Environment variable: the folder in which a person called, where that is not the project's own."""

MARKS = ("dvc.yaml", "pipeline/__main__.py")
"""What the folder of a project holds."""

FOREIGN = ("PYTHONSAFEPATH", "PYTHONOPTIMIZE", "PYTHONWARNINGS")
"""Settings of an account that hide the project's code from Python, or that libraries cannot live with: Altair needs its
docstrings, and nearly all warn of something."""


def root(folder: Path) -> Path | None:
    """The project that a folder is in; None if it is in none."""
    return next((one for one in (folder, *folder.parents) if all((one / mark).is_file() for mark in MARKS)), None)


def enter() -> None:
    """Go on in the project's folder, by its own code and the same Python, with file names in UTF-8.

    A command is called in any folder of a project; the code that was found may be that of another checkout; and where
    the locale is not of UTF-8, names of labels would be read as other names. Outside of a project this stays here.
    """
    here, ours = Path.cwd(), Path(__file__).resolve().parents[2]
    project = root(here)
    is_there = project is None or (project == here and project.resolve() == ours)
    is_usual = not sys.flags.optimize and not any(option.startswith("error") for option in sys.warnoptions)
    if is_there and is_usual and sys.getfilesystemencoding() == "utf-8":
        return
    os.environ.setdefault(CALLED_FROM, str(here))
    os.environ["PYTHONUTF8"] = "1"
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.chdir(project or here)
    os.execv(sys.executable, [sys.executable, "-m", "pipeline", *sys.argv[1:]])  # noqa: S606 - no shell wanted


def given(path: str) -> Path:
    """A path that a person gave, as it is called in the project's folder."""
    called_from = os.environ.get(CALLED_FROM)
    if called_from is None:
        return Path(path)
    whole = Path(os.path.normpath(Path(called_from, path)))
    return whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole
