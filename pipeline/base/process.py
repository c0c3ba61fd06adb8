"""The life of a process that works for hours: asked to stop, orphaned, alone."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.base.errors import PipelineError, one_line

EXIT_PAUSED = 75
"""EX_TEMPFAIL of sysexits.h: not done, to be tried again. Not zero, for DVC would go on to the next stage."""

PAUSE_NOTE = "EVERGREEN_PAUSE_NOTE"
"""Environment variable that names a file for the words of a pause: DVC hands on no exit codes."""

REPRODUCTION = "pipeline.data.reproduction"
"""The module by which `python -m pipeline run` runs DVC."""

DVC = ("dvc", "dvc.exe", REPRODUCTION)
"""Words by which a process that is DVC is known."""

POLL = 0.5
"""Seconds between two looks at whether DVC still lives."""

SAVING = 60
"""Seconds in which a stage that lost its DVC has ended, having saved what it has."""

ORPHANED = "the end of DVC"

EXIT_ORPHANED = 128 + signal.SIGTERM
"""As if DVC had ended its stage, which it does not."""

_outlives_dvc = threading.Event()
"""Set once the end of DVC must not end this process at once."""

EXIT_PIPE = 128 + 13
"""As shells say it of a command whose reader went away (SIGPIPE, which Windows has not)."""

EXIT_INTERRUPTED = 128 + signal.SIGINT
"""As shells say it of a command that Ctrl-C ended."""


class Ending:
    """How the first Ctrl-C or SIGTERM ends this process: what it began is undone, and one line says so.

    The handler ends the process itself. An exception would be lost in a module that is just imported, or in an object
    that is just destroyed, with a traceback; and a second Ctrl-C would cut the undoing short.
    """

    def __init__(self, line: str) -> None:
        self.undo: Callable[[], None] = lambda: None
        """What is done first."""
        self._line = line
        self._holds = self._is_asked = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Signals wait for the end of this: `undo` must know of all that it has to undo."""
        self._holds = True
        try:
            yield
        finally:
            self._holds = False
            if self._is_asked:
                self._end()

    def ask(self, *_: Any) -> None:
        """End the process, as the handler of a signal."""
        self._is_asked = True
        if not self._holds:
            self._end()

    def _end(self) -> None:
        ignore_signals()
        try:
            self.undo()
        except Exception as error:  # noqa: BLE001 - the process ends here, whatever it is
            self._line += f" (what it had begun could not be taken away: {one_line(error)})"
        # Not by `print`, which may be what was interrupted. A progress bar's line has no end yet.
        bar_end = "\n" if sys.stderr.isatty() else ""
        os.write(2, f"{bar_end}{self._line}\n".encode())
        os._exit(EXIT_INTERRUPTED)


@contextmanager
def ending(line: str) -> Iterator[Ending]:
    """Let Ctrl-C and SIGTERM end this process at any moment, with this line on stderr; see `Ending`."""
    this = Ending(line)
    before = {number: signal.signal(number, this.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield this
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """What is asked from now on comes too late; processes that this one starts ignore it too."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def deaf_children() -> Iterator[None]:
    """Processes and threads that are started meanwhile never get a Ctrl-C, which a terminal sends to all of a group.

    A signal mask is handed on, also to a new program, which has no time to ignore anything before its imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # each worker needs it; it would be started meanwhile, and lifts the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_dvc() -> None:
    """From now on the end of the DVC that started this process ends this process too, at once.

    DVC that was killed leaves its stage's command running otherwise (seen with DVC 3.67.1), and the next `dvc repro`
    would run beside it. What a stage had begun to write, its next call makes anew.
    """
    threading.Thread(target=_end_with_dvc, daemon=True).start()


def outlive_dvc() -> None:
    """What was begun is to be ended from here on: half of it would be worse than an orphan."""
    _outlives_dvc.set()


def _end_with_dvc() -> None:
    try:
        caller = _dvc()
    except ModuleNotFoundError:  # of a Python without our libraries, as the main thread is about to say
        return
    if caller is None and not _has_lost_dvc():
        return
    while _lives(caller):
        time.sleep(POLL)
    if not _outlives_dvc.is_set():
        os._exit(EXIT_ORPHANED)


@contextmanager
def stoppable() -> Iterator[Callable[[], str | None]]:
    """A function that says why this process was asked to stop, None while it was not.

    SIGTERM and the first Ctrl-C only ask; a second Ctrl-C interrupts at once. DVC that was killed asks too. Until the
    function is first called there is nothing to save, only libraries that load for seconds: then the end of DVC ends
    this process at once.
    """
    outlive_dvc()
    reasons: list[str] = []
    looked, ended = threading.Event(), threading.Event()

    def ask(number: int, _: Any) -> None:
        if reasons and number == signal.SIGINT:
            raise KeyboardInterrupt
        reasons.append(signal.Signals(number).name)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    caller = _dvc()
    if caller is not None or _has_lost_dvc():
        threading.Thread(target=_watch, args=(caller, ended, looked, reasons), daemon=True).start()

    def asked() -> str | None:
        looked.set()
        return reasons[0] if reasons else None

    try:
        yield asked
    finally:
        ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _dvc() -> Any:
    """The DVC that runs this process, perhaps by way of a shell; None if there is none."""
    import psutil

    with suppress(psutil.Error):
        for process in psutil.Process().parents()[:2]:
            if any(Path(word).name in DVC for word in process.cmdline()[:3]):
                return process
    return None


def _has_lost_dvc() -> bool:
    """Whether DVC started this process and died before it could be found.

    DVC names the stage in the environment, and starts it in its own session. Whoever adopts an orphan is in another;
    a program that calls DVC as a library is in the same.
    """
    try:
        return "DVC_STAGE" in os.environ and os.getsid(os.getppid()) != os.getsid(0)
    except (OSError, AttributeError):  # of another user; Windows, which has no sessions
        return False


def _watch(caller: Any, ended: threading.Event, looked: threading.Event, reasons: list[str]) -> None:
    while not ended.wait(POLL):
        if _lives(caller):
            continue
        reasons.append(ORPHANED)
        if not looked.is_set():
            os._exit(EXIT_ORPHANED)
        return


def _lives(caller: Any) -> bool:
    import psutil

    with suppress(psutil.NoSuchProcess):
        return caller is not None and caller.is_running() and caller.status() != psutil.STATUS_ZOMBIE
    return False


def run_dvc(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run DVC; its exit code. What asks this process to stop asks DVC, and waits until its stage saved its state.

    A terminal sends Ctrl-C to all of them; `kill` and `systemctl stop` may send SIGTERM to this process alone.

    Args:
        command: with its arguments.
        env: variables for it.
    """
    import psutil

    dvc = subprocess.Popen(command, env=env)
    below: list[psutil.Process] = []

    def end(*_: object) -> None:
        with suppress(psutil.NoSuchProcess):
            below.extend(psutil.Process(dvc.pid).children(recursive=True))
            dvc.terminate()

    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: end}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = dvc.wait()
        psutil.wait_procs(below, timeout=SAVING)
        return code if code >= 0 else 128 - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def owner() -> str:
    """This process, as `host:start of the machine:process:start of the process`."""
    import psutil

    return f"{_machine()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_gone(owner: str) -> bool:
    """Whether that process of this machine has ended; of another machine nobody can tell."""
    import psutil

    machine, number, start = owner.rsplit(":", 2)
    if machine != _machine():
        return False
    try:
        return f"{psutil.Process(int(number)).create_time():.2f}" != start
    except psutil.NoSuchProcess:
        return True


def _machine() -> str:
    import psutil

    return f"{platform.node()}:{psutil.boot_time():.0f}"


@contextmanager
def alone(path: Path, what: str, when_ended: str = "it saves its state") -> Iterator[None]:
    """Hold a lock as long as this lasts; the system releases it when the process dies, however it does.

    Args:
        path: of the lock.
        what: runs.
        when_ended: what it does if it is ended.

    Raises:
        PipelineError: another process holds it.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    owner = path.with_suffix(".pid")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        number = owner.read_text() if owner.is_file() else "unknown"
        raise PipelineError(
            f"{what} runs here already (process {number}, {path}); wait until it ends, or end it with `kill {number}`: "
            f"{when_ended}"
        ) from None
    try:
        owner.write_text(str(os.getpid()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
