"""Tracking: `dvc add` in this process, with nothing of DVC's own words on the screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.base.errors import DataError, one_line


def track(path: Path) -> None:
    """`dvc add` a file or folder of the project that is the current directory, in this process: it ends with us.

    Git stages nothing yet, whatever DVC's `core.autostage` says: that would stay if the rest were undone.

    Raises:
        DataError: DVC refuses, or could not take an image into its cache, of which it only says so (DVC 3.67.1).
    """
    try:
        from dvc.repo import Repo

        with _heard() as errors, Repo(config={"core": {"autostage": False}}) as repo:
            repo.add([str(path)])
    except Exception as error:
        errors = [one_line(cause) for cause in (error, error.__cause__) if cause is not None]
        raise DataError(f"`dvc add` failed, nothing was added: {': '.join(errors)[:300]}") from error
    if errors:
        raise DataError(f"`dvc add` failed, nothing was added: {' '.join(errors[0].split())[:300]}")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What DVC says of errors meanwhile, a line each; it is not printed, nor is anything else that it says."""
    errors: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: errors.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [listener], False
    try:
        yield errors
    finally:
        for logger, (handlers, propagates) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagates
