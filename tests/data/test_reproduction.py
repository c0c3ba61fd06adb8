"""What is left out of DVC's echo, and what is said instead of its errors."""

import logging
from pathlib import Path

import pytest

from pipeline.data import reproduction

pytestmark = pytest.mark.project  # DVC takes a second to load

BLOCKED = (
    "'data/cycle' is busy, it is being blocked by:\n  (PID 42): dvc repro\n  (PID 42): dvc repro\n\nIf there are no"
)


def record(
    message: str, *arguments: object, level: int = logging.INFO, error: Exception | None = None
) -> logging.LogRecord:
    trace = (type(error), error, None) if error else None
    return logging.LogRecord("dvc.stage", level, __file__, 1, message, arguments, trace)


def failed(command: str, code: int) -> Exception:
    from dvc.exceptions import ReproductionError
    from dvc.stage.exceptions import StageCmdFailedError

    error = ReproductionError("failed to reproduce 'train'")
    error.__cause__ = StageCmdFailedError(command, code)
    return error


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("Running stage '%s':", ["train"]),
        ("%s %s", [">", "python -m pipeline train"]),
        ("Stage '%s' didn't change, skipping", ["train"]),
        ("'%s' didn't change, skipping", ["data/images/first.dvc"]),
        ("Updating lock file '%s'", ["dvc.lock"]),
        ("Generating lock file '%s'", ["dvc.lock"]),
        ("", []),
    ],
)
def test_the_echo_of_dvc_is_left_out(message: str, arguments: list[str]) -> None:
    assert not reproduction.is_news(record(message, *arguments))


def test_the_echo_is_what_this_dvc_says() -> None:
    """A new DVC may word it otherwise; then it would be printed, and this says so."""
    import dvc.dvcfile
    import dvc.stage
    import dvc.stage.cache
    import dvc.stage.run

    modules = (dvc.stage, dvc.stage.run, dvc.stage.cache, dvc.dvcfile)
    sources = "".join(Path(str(module.__file__)).read_text() for module in modules)
    for message in (*reproduction.ECHO, reproduction.CACHED):
        assert f'"{message}"' in sources or not message


@pytest.mark.parametrize(
    ("level", "message"),
    [(logging.INFO, "Importing '%s'"), (logging.WARNING, "Updating lock file '%s'"), (logging.ERROR, "")],
)
def test_what_dvc_says_besides_is_printed(level: int, message: str) -> None:
    assert reproduction.is_news(record(message, "x", level=level))


def test_what_dvc_had_already_is_said_in_our_words() -> None:
    said = record(reproduction.CACHED, "train")
    assert reproduction.is_news(said)
    assert said.getMessage() == "train: the same was done before, DVC has what it gave"


@pytest.mark.parametrize("code", [1, 3, 75, 130, 143])
def test_an_error_that_a_stage_told_is_not_told_again(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    error = failed("python -m pipeline train", code)
    assert not reproduction.is_news(record("", level=logging.ERROR, error=error))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("code", "signal"), [(-9, 9), (137, 9), (-11, 11)])
def test_of_a_stage_that_was_killed_somebody_has_to_tell(
    code: int, signal: int, capsys: pytest.CaptureFixture[str]
) -> None:
    error = failed("python -m pipeline train", code)
    assert not reproduction.is_news(record("", level=logging.ERROR, error=error))
    assert capsys.readouterr().err == (
        f"run: error: stage train was ended from outside (signal {signal}), perhaps for want of memory; run this again "
        "to go on\n"
    )


@pytest.mark.parametrize(("words", "which"), [(None, ""), (BLOCKED, " (process 42)")], ids=["all of it", "some files"])
def test_another_dvc_is_one_line(words: str | None, which: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dvc.lock import FAILED_TO_LOCK_MESSAGE, LockError

    assert not reproduction.is_news(record("", level=logging.ERROR, error=LockError(words or FAILED_TO_LOCK_MESSAGE)))
    assert capsys.readouterr().err == (
        f"run: error: another DVC command works in this project{which}; wait until it ends, and run this again. If "
        "none does, one was killed: delete .dvc/tmp/rwlock\n"
    )


def test_other_errors_are_told_by_dvc(capsys: pytest.CaptureFixture[str]) -> None:
    from dvc.exceptions import ReproductionError
    from dvc.stage.exceptions import StageCmdFailedError

    for error in (StageCmdFailedError("make all", 2), ReproductionError("no such stage")):
        assert reproduction.is_news(record("", level=logging.ERROR, error=error))
    assert capsys.readouterr() == ("", "")
