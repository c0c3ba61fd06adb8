"""What can go wrong, as a user would sort it; each has its own exit code.

PipelineError (1)
├── ParamsError (3)      params.yaml says something it cannot mean
├── DataError (4)        the images, or how DVC tracks them
│   ├── ExpectationError Great Expectations refused the new images
│   └── UnreadableError  a file that a stage wrote cannot be read
├── RegistryError (5)    the MLflow registry does not answer, or answers nonsense
│   └── LostError        what was registered is gone, damaged, or of another Evergreen
├── ModelError (6)       the model cannot be built, continued or trained
├── GitError (7)         Git refuses to answer, or is not installed
└── GateError (8)        the gate does not give the verdicts that it must

A message is one line: what happened, what was expected, what to do. Exit code 2 is argparse's.
"""

import errno
import re
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
        """The remedy is for a file that DVC tracks: DVC would bring back a damaged one that its cache has too.

        What came from the registry has its SHA-256 for a name, and its bytes are those that were registered.
        """
        self.what = f"{path}: {fault}"
        """What is wrong with which file, for whoever cannot write it again and knows another remedy."""
        if re.fullmatch("[0-9a-f]{64}", Path(path).name):
            super().__init__(
                f"{self.what}; so it was registered: use the version of Evergreen that did it, or move the alias that "
                "names its version to another one"
            )
            return
        name = shlex.quote(str(path))
        size = f"-size {Path(path).stat().st_size}c " if Path(path).is_file() else ""
        same = f"find \"$(dvc cache dir)\" -type f {size}-exec cmp -s {name} {{}} ';' -delete"
        super().__init__(
            f"{self.what}; delete it, first where DVC's cache has the same: `{same}; rm {name}`, then run `dvc repro`"
        )


class RegistryError(PipelineError):
    """The MLflow registry cannot be reached or does not hold what it should."""

    exit_code = 5

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        """Why, where MLflow said it: one of `registry.faults.Cause`."""


class LostError(RegistryError):
    """What was registered of a version is gone, damaged, or of another version of Evergreen."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        """What is wrong with which artifact, for whoever knows another remedy."""
        super().__init__(f"{what}; {remedy}")


class ModelError(PipelineError):
    """A model cannot be built, cannot take over its parent's weights, or cannot be trained."""

    exit_code = 6


class GitError(PipelineError):
    """Git refuses, is not installed, or cannot tell; never taken for a no."""

    exit_code = 7


class GateError(PipelineError):
    """The gate does not give the verdicts that it must: nothing may be promoted."""

    exit_code = 8


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_FAILING = {errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT, errno.EBUSY, errno.EXDEV}
_SCARCE = {errno.EMFILE, errno.ENFILE}
_UNFIT = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST}


def of_system(error: OSError) -> str:
    """One line about an error that is the machine's and not ours; empty for what may well be a fault of the program."""
    number = error.errno
    if number in _NO_ROOM:
        what = "expected a disk with room; make room on it (`df -h`) and run the same again"
    elif number in _REFUSED:
        what = "expected that this user may read and write there; see `ls -ld` and `mount`, and run the same again"
    elif number in _FAILING:
        what = "expected a disk that answers; look at it (`dmesg`, `mount`) and run the same again"
    elif number in _SCARCE:
        what = "expected to open one more file; raise the limit (`ulimit -n`) and run the same again"
    elif number in _UNFIT:
        what = "expected files and folders of usual names; move what is in the way, and run the same again"
    else:
        return ""
    where = " to ".join(f"{name!r}" for name in (error.filename, error.filename2) if name is not None)
    return f"{f'{where}: ' if where else ''}{error.strerror}; {what}"
