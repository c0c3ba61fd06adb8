"""What can go wrong, as a user would sort it; each has its own exit code.

PipelineError (1)
├── ParamsError (3)      params.yaml says something it cannot mean
├── DataError (4)        the images, or how DVC tracks them
│   ├── ExpectationError Great Expectations refused the new images
│   └── UnreadableError  a file that a stage wrote cannot be read
├── RegistryError (5)    the MLflow registry does not answer, or answers nonsense
├── ModelError (6)       the model cannot be built, continued or trained
└── GitError (7)         Git refuses to answer, or is not installed

A message is one line: what happened, what was expected, what to do. Exit code 2 is argparse's.
"""

import shlex
from pathlib import Path


class PipelineError(Exception):
    """Anything that a user can mend; printed as one line, never as a traceback."""

    exit_code = 1


class ParamsError(PipelineError):
    """params.yaml is missing, unreadable, or has a key or value that it must not have."""

    exit_code = 3


class DataError(PipelineError):
    """The images or their DVC pointers cannot be used as they are."""

    exit_code = 4


class ExpectationError(DataError):
    """New images fail a Great Expectations expectation."""


class UnreadableError(DataError):
    """A file that a stage wrote cannot be read; a stage can write it again."""

    def __init__(self, path: str | Path, fault: str) -> None:
        """The remedy is for a file that DVC tracks: DVC would bring back a damaged one that its cache has too."""
        self.what = f"{path}: {fault}"
        """What is wrong with which file, for whoever cannot write it again and knows another remedy."""
        name = shlex.quote(str(path))
        size = f"-size {Path(path).stat().st_size}c " if Path(path).is_file() else ""
        same = f"find \"$(dvc cache dir)\" -type f {size}-exec cmp -s {name} {{}} ';' -delete"
        super().__init__(
            f"{self.what}; delete it, first where DVC's cache has the same: `{same}; rm {name}`, then run `dvc repro`"
        )


class RegistryError(PipelineError):
    """The MLflow registry cannot be reached or does not hold what it should."""

    exit_code = 5


class ModelError(PipelineError):
    """A model cannot be built, cannot take over its parent's weights, or cannot be trained."""

    exit_code = 6


class GitError(PipelineError):
    """Git refuses, is not installed, or cannot tell; never taken for a no."""

    exit_code = 7


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
