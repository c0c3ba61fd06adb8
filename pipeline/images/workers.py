"""Decoding in worker processes, which may crash, hang or run out of memory at the cost of one image.

Bytes from outside are never decoded in the process that runs a stage. This module imports nothing heavy: each
worker imports it afresh.
"""

import math
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnContext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.base import files, process
from pipeline.images import decoding
from pipeline.images.decoding import Decoded, Facts, View

if TYPE_CHECKING:
    from multiprocessing.synchronize import RLock

    import numpy as np

    Decoder = Callable[[bytes, Sequence[View], int], Decoded]

CHUNK = 16
"""Images per message to a worker: many enough that messages cost nothing, few enough to share the work evenly."""

WALL = 6
"""How many times the CPU limit an image may take by the clock, waiting for a disk included, before the worker is
killed."""

MAX_BREAKS = 3
"""How often in a row the pool as a whole may break: Pebble gives up when a worker dies between taking a chunk and
saying so."""

ENVIRONMENT = {
    # One core per worker: the workers are the parallelism.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Keep the memory of one picture for the next instead of asking the system each time: 6 % of the time at 800
    # pixels, 1 % at 224. Read by glibc (mallopt(3)), by others ignored.
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "MALLOC_MMAP_THRESHOLD_": str(16 * 2**20),
    # A stage that is interrupted leaves semaphores; Python's own process deletes them then, and need not say so.
    "PYTHONWARNINGS": "ignore:resource_tracker:UserWarning",
}
"""What must be set before a worker's first library loads."""

PR_SET_PDEATHSIG = 1
"""From <linux/prctl.h>."""


class Job(NamedTuple):
    """An image to look at."""

    digest: str
    """MD5 of its bytes, as DVC knows it."""
    paths: tuple[str, ...]
    """Where its bytes may lie, tried in order."""


@dataclass(frozen=True)
class Limits:
    """What an image may cost."""

    max_pixels: int
    seconds: float
    """Of CPU time; the system counts whole seconds, so up to one more."""
    memory: int
    """Bytes by which a worker may grow."""


class _Rows(NamedTuple):
    """Where in a file the pixels of the images go."""

    path: str
    start: int
    """Bytes before the first row."""
    size: int
    """Bytes per row."""

    @contextmanager
    def open(self) -> Iterator[Callable[[int, "np.ndarray"], None]]:
        """A function that writes a row."""
        with open(self.path, "r+b", buffering=0) as file:

            def put(index: int, pixels: "np.ndarray") -> None:
                file.seek(self.start + index * self.size)
                file.write(pixels.data)

            yield put


class _Context(SpawnContext):
    """Starts workers, and keeps the locks that they share for as long as it lives itself.

    Pebble 5.2 drops the locks before it ends its workers; one that still starts would miss them, with a traceback.
    It forks nothing: the parent has threads of Polars and TensorFlow, whose locks a fork copies in whatever state.
    """

    def __init__(self) -> None:
        self._locks: list[RLock] = []

    def RLock(self) -> "RLock":  # noqa: N802 - the name is of multiprocessing
        lock = super().RLock()
        self._locks.append(lock)
        return lock


class _Request(NamedTuple):
    """What is the same for all images of a run."""

    views: tuple[View, ...]
    rows: tuple[_Rows, ...]
    """By view, where its pixels go."""
    limits: Limits
    decode: "Decoder"


def look(
    jobs: Sequence[Job],
    limits: Limits,
    outs: Mapping[View, Path],
    title: str,
    _decode: "Decoder" = decoding.see,
) -> list[Facts | None]:
    """Decode images on all cores, each once for all views and at most at the cost of itself.

    Args:
        jobs: what to look at; not sorted, not made unique.
        limits: what an image may cost; without memory and CPU limits on systems that have none (Windows).
        outs: for each view that is wanted an .npy file for its pixels, uint8 (len(jobs), size, size, channels). The
            file is replaced; rows of images that are faulty or absent are zero. Without views there are only facts.
        title: of the progress bar.

    Returns:
        By job its facts, or None where no path has bytes with its digest. A crash and an exceeded limit are
        errors of that image. Facts do not depend on the views.

    Raises:
        OSError: one of `outs` cannot be written.
        RuntimeError: workers cannot be started.
    """
    from tqdm import tqdm

    rows = tuple(_allocate(out, len(jobs), view) for view, out in outs.items())
    request = _Request(tuple(outs), rows, limits, _decode)
    count = max(1, min(cores(), len(jobs) // CHUNK))
    size = max(1, min(CHUNK, len(jobs) // count))
    queue = deque(list(range(start, min(start + size, len(jobs)))) for start in range(0, len(jobs), size))
    facts: list[Facts | None] = [None] * len(jobs)
    breaks = 0
    with _environment(), tqdm(total=len(jobs), desc=title, unit="image", disable=None) as bar:
        while queue:
            try:
                with closing(_work(queue, jobs, request, count)) as done:
                    for chunk, of_chunk in done:
                        breaks = 0
                        bar.update(len(chunk))
                        for index, fact in zip(chunk, of_chunk, strict=True):
                            facts[index] = fact
            except RuntimeError:  # Pebble's, for a pool that broke; the chunks are in the queue again
                breaks += 1
                if breaks > MAX_BREAKS:
                    raise
    return facts


def cores() -> int:
    """How many processes can run at once; less than the machine has where a scheduler or container says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _allocate(out: Path, count: int, view: View) -> _Rows:
    """An .npy file of zeros that takes no room on disk until rows are written."""
    import numpy as np

    shape = (count, view.size, view.size, view.channels)
    out.unlink(missing_ok=True)  # it may have another name, under which what it holds is still wanted
    with open(out, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        rows = _Rows(str(out.absolute()), file.tell(), math.prod(shape[1:]))
        file.truncate(rows.start + count * rows.size)
    return rows


@contextmanager
def _environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(
    queue: deque[list[int]], jobs: Sequence[Job], request: _Request, count: int
) -> Generator[tuple[list[int], list[Facts | None]]]:
    """Work off the queue: chunks and their facts. A chunk that was lost is queued again, image by image.

    Raises:
        RuntimeError: the pool broke; what was not finished is in the queue again.
    """
    from concurrent.futures import FIRST_COMPLETED, wait

    from pebble import ProcessExpired, ProcessPool

    setup = (os.getpid(), request.limits)
    pool: Any = ProcessPool(count, initializer=_initialize, initargs=setup, context=_Context())
    pending: dict[Any, list[int]] = {}
    try:
        while queue or pending:
            while queue and len(pending) < 3 * count:
                chunk = queue[0]
                arguments = (request, [(index, jobs[index]) for index in chunk])
                with process.deaf_children():  # with the first one Pebble starts its threads, and they the workers
                    future = pool.schedule(_chunk, arguments, timeout=WALL * request.limits.seconds * len(chunk))
                pending[future] = queue.popleft()
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                error = future.exception()
                if error is not None and not isinstance(error, (ProcessExpired, TimeoutError)):
                    raise error
                chunk = pending.pop(future)
                if error is None:
                    yield chunk, future.result()
                elif len(chunk) == 1:
                    yield chunk, [_fault(error, request.limits)]
                else:
                    queue.extendleft([index] for index in reversed(chunk))
    finally:
        queue.extendleft(pending.values())
        pool.stop()
        pool.join()


def _fault(error: BaseException, limits: Limits) -> Facts:
    """Facts of the image that a worker was lost with; not even its size is known."""
    from pebble import ProcessExpired

    if not isinstance(error, ProcessExpired):
        return Facts(0, error=f"took more than {WALL * limits.seconds:g} s")
    number = -error.exitcode
    if number == getattr(signal, "SIGXCPU", None):
        return Facts(0, error=f"took more than {limits.seconds:g} s of CPU time")
    if number > 0:
        return Facts(0, error=f"crashed the decoder (signal {number})")
    return Facts(0, error=f"crashed the decoder (exit code {error.exitcode})")


def _initialize(parent: int, limits: Limits) -> None:
    """Make a worker of a fresh process: quiet, mortal and bounded."""
    import warnings

    decoding.preload()  # before the limit on memory, which counts from here
    warnings.simplefilter("ignore")  # Pillow's, on what it skips in a file
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Pebble's handler would wait until the decoder returns
    if sys.platform == "linux":
        _die_with(parent)
        _limit_memory(limits.memory)
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _die_with(parent: int) -> None:
    """No orphans, even if the parent is killed outright."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before that
        os._exit(1)


def _limit_memory(memory: int) -> None:
    """Let this process grow by so many bytes; its size now is the first field of statm, in pages (proc(5))."""
    import resource

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = size + memory
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _limit_time(seconds: float) -> None:
    """Let this process compute for so long from now; the system kills it with SIGXCPU after that."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    wanted = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _chunk(request: _Request, jobs: Sequence[tuple[int, Job]]) -> list[Facts | None]:
    """In a worker: facts of a few images; their pixels go straight to the files."""
    images: list[Decoded | None] = []
    with ExitStack() as stack:
        puts = [stack.enter_context(rows.open()) for rows in request.rows]
        for index, job in jobs:
            _limit_time(request.limits.seconds)
            image = _decode(request, job)
            for put, pixels in zip(puts, image.pixels if image else (), strict=False):  # a faulty one has no pixels
                put(index, pixels)
            images.append(image)
    facts = iter(decoding.complete([image for image in images if image is not None]))
    return [None if image is None else next(facts) for image in images]


def _decode(request: _Request, job: Job) -> Decoded | None:
    try:
        content = _read(job)
        if content is None:
            return None
        image = request.decode(content, request.views, request.limits.max_pixels)
    except MemoryError:
        image = Decoded(Facts(0, error=decoding.OUT_OF_MEMORY))
    if image.facts.error == decoding.OUT_OF_MEMORY:
        error = f"needs more than {request.limits.memory // 2**20:,} MB of memory"
        return Decoded(replace(image.facts, error=error))
    return image


def _read(job: Job) -> bytes | None:
    """The bytes of the first path that has the right ones."""
    for path in job.paths:
        content = files.read_regular(path)
        if content is not None and files.md5(content) == job.digest:
            return content
    return None
