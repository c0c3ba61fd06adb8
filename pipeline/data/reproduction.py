"""Reproduction: `dvc repro` as a program of its own, whose echo does not drown what the stages say.

DVC prints five lines around each stage: its name, its command, the lock file. A stage's lines begin with its name, so
these tell nothing. They are DVC's log records (DVC 3.67.1), and are taken out of its log: a pipe would take the
terminal from the stages, and with it their bars. What DVC says besides stays, and so does all with `--verbose`.
"""

import logging
import re
import sys
from collections.abc import Sequence

from pipeline.base.process import EXIT_INTERRUPTED

ECHO = frozenset(
    (
        "Running stage '%s':",
        "%s %s",  # > and the command
        "'%s' didn't change, skipping",
        "Stage '%s' didn't change, skipping",
        "Generating lock file '%s'",
        "Updating lock file '%s'",
        "",
    )
)
"""Formats of records that are left out. Where DVC words one otherwise, it is printed."""

CACHED = "Stage '%s' is cached - skipping run, checking out outputs"

KILLED = 128
"""What shells add to the number of a signal that ended a command."""

TOLD = (130, 143)
"""The same of signals that a stage tells of itself."""


def main(words: Sequence[str]) -> int:
    """Run DVC with these arguments, here; its exit code."""
    try:
        from dvc.cli import main as dvc
        from dvc.ui import ui
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if not {"-v", "--verbose", "-vv", "--dry", "-q", "--quiet"} & set(words):
        for handler in logging.getLogger("dvc").handlers:
            handler.addFilter(is_news)
        ui.enable = lambda: None  # all that it says here is a hint to push
    return int(dvc(list(words)))


def is_news(record: logging.LogRecord) -> bool:
    """Whether a record is to be printed; what is in our words is said at once.

    An error of DVC's comes as an exception whose causes say what happened.
    """
    if record.levelno == logging.INFO:
        if record.msg == CACHED:
            record.msg = "%s: the same was done before, DVC has what it gave"
        return record.msg not in ECHO
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        said = said_of(type(error).__name__, str(error))
        if said is not None:
            if said:
                print(f"run: error: {said}", file=sys.stderr, flush=True)
            return False
        error = error.__cause__
    return True


def said_of(kind: str, words: str) -> str | None:
    """One line instead of what DVC says of an error; empty: a stage told it already; None: DVC's own words.

    Args:
        kind: name of DVC's exception.
        words: of DVC's.
    """
    if kind == "LockError":
        blockers = dict.fromkeys(re.findall(r"PID (\d+)", words))
        which = f" (process {', '.join(blockers)})" if blockers else ""
        return (
            f"another DVC command works in this project{which}; wait until it ends, and run this again. If none does, "
            "one was killed: delete .dvc/tmp/rwlock"
        )
    found = re.fullmatch(r"failed to run: .* pipeline (\S+), exited with (-?\d+)", words)
    if kind != "StageCmdFailedError" or not found:
        return None
    stage, code = found[1], int(found[2])
    if 0 < code < KILLED or code in TOLD:
        return ""
    return (
        f"stage {stage} was ended from outside (signal {-code if code < 0 else code - KILLED}), perhaps for want of "
        "memory; run this again to go on"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
