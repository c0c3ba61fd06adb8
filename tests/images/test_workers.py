import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import faulty_decoders
import numpy as np
import pytest

from benchmarks import corpus
from pipeline.base.files import md5
from pipeline.images import decoding, workers
from pipeline.images.decoding import Facts, View
from pipeline.images.workers import Job, Limits

LIMITS = Limits(max_pixels=64_000_000, seconds=5, memory=2**30)
BRIEF = replace(LIMITS, seconds=1)
"""One or two seconds of CPU time, six by the clock: a busy machine does not turn the one into the other."""
BLINK = replace(LIMITS, seconds=0.2)
"""For what computes nothing."""
VIEW = View(16)
ROOT = Path(__file__).parents[2]
takes_seconds = pytest.mark.project  # by the clock, until a limit is reached or many workers are replaced


@pytest.fixture
def put(tmp_path) -> Callable[..., Job]:
    def written(content: bytes, name: str = "") -> Job:
        path = tmp_path / (name or md5(content))
        path.write_bytes(content)
        return Job(md5(content), (str(path),))

    return written


@pytest.fixture
def pictures(put, encode) -> list[Job]:
    """Forty different ones: three chunks."""
    rng = np.random.default_rng(7)
    return [put(encode(rng.integers(0, 256, (20, 30, 3), np.uint8))) for _ in range(40)]


def look(
    jobs: Sequence[Job], limits: Limits = LIMITS, out: Path | None = None, **options: object
) -> list[Facts | None]:
    return workers.look(jobs, limits, {VIEW: out} if out else {}, "test", **options)


def content_of(job: Job) -> bytes:
    return Path(job.paths[0]).read_bytes()


def test_facts_and_pixels_are_those_of_the_decoder(pictures, tmp_path):
    facts = look(pictures, out=tmp_path / "pixels.npy")
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert pixels.dtype == np.uint8
    expected = [decoding.look(content_of(job), VIEW) for job in pictures]
    assert facts == [fact for fact, _ in expected]
    np.testing.assert_array_equal(pixels, [row for _, row in expected])


def test_no_images_and_no_pixels(put, draw, tmp_path):
    assert look([], out=tmp_path / "pixels.npy") == []
    assert np.load(tmp_path / "pixels.npy").shape == (0, 16, 16, 3)
    assert look([put(draw())])[0].error == ""
    assert {path.name for path in tmp_path.iterdir()} == {"pixels.npy", md5(draw())}


def test_rows_of_faulty_and_absent_images_are_zero(put, draw, tmp_path):
    jobs = [put(draw()), put(draw()[:60]), Job("0" * 32, ()), put(draw("JPEG"))]
    (tmp_path / "pixels.npy").write_bytes(b"\xff" * 10_000)  # of a run before
    facts = look(jobs, out=tmp_path / "pixels.npy")
    assert [fact and bool(fact.error) for fact in facts] == [False, True, None, False]
    assert [bool(row.any()) for row in np.load(tmp_path / "pixels.npy")] == [True, False, False, True]


def test_places_are_tried_in_order_until_the_bytes_are_right(put, draw, tmp_path):
    good, other = put(draw(), "good"), put(draw("JPEG"), "other")
    (tmp_path / "link").symlink_to(tmp_path / "good")
    wrong = other.paths[0]
    absent = str(tmp_path / "absent")
    jobs = [
        Job(good.digest, (absent, str(tmp_path), wrong, good.paths[0])),
        Job(good.digest, (str(tmp_path / "link"),)),  # as in a DVC cache of links
        Job(good.digest, (wrong, absent)),
        Job(good.digest, ("\0", "")),
        Job(good.digest, ()),
    ]
    assert [fact and fact.format for fact in look(jobs)] == ["PNG", "PNG", None, None, None]


def test_what_is_no_regular_file_is_absent_and_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    nothing = md5(b"")
    places = [tmp_path / "pipe", tmp_path, Path("/dev/null"), tmp_path / "loop", tmp_path / "pipe" / "below"]
    assert look([Job(nothing, (str(place),)) for place in places], BLINK) == [None] * 5


FAULTS = {
    faulty_decoders.crash: "crashed the decoder (signal 11)",
    faulty_decoders.leave: "crashed the decoder (exit code 3)",
    faulty_decoders.burn: "took more than 1 s of CPU time",
    faulty_decoders.eat: "needs more than 1,024 MB of memory",
}


@takes_seconds
@pytest.mark.parametrize("decoder", FAULTS, ids=lambda decoder: decoder.__name__)
def test_a_fault_costs_one_image(pictures, put, tmp_path, decoder):
    jobs = [*pictures[:20], put(b"faulty"), *pictures[20:]]
    facts = look(jobs, BRIEF, tmp_path / "pixels.npy", _decode=decoder)
    assert facts.pop(20) == Facts(0, error=FAULTS[decoder])
    assert facts == [decoding.look(content_of(job), VIEW)[0] for job in pictures]
    pixels = np.load(tmp_path / "pixels.npy")
    assert not pixels[20].any()
    np.testing.assert_array_equal(pixels[0], decoding.decode(content_of(jobs[0]), 16, 3))
    np.testing.assert_array_equal(pixels[40], decoding.decode(content_of(jobs[40]), 16, 3))


@takes_seconds
def test_a_hang_costs_one_image(pictures, put):
    """By the clock, since it computes nothing."""
    jobs = [pictures[0], put(b"faulty"), pictures[1]]
    facts = look(jobs, BLINK, _decode=faulty_decoders.hang)
    assert [fact.error for fact in facts] == ["", "took more than 1.2 s", ""]


@takes_seconds
def test_many_faults_cost_as_many_images(pictures, put):
    jobs = [put(b"faulty") if index % 4 == 0 else job for index, job in enumerate(pictures)]
    facts = look(jobs, _decode=faulty_decoders.leave)
    assert [bool(fact.error) for fact in facts] == [index % 4 == 0 for index in range(40)]


def test_a_small_file_that_needs_much_memory_costs_itself(pictures, put):
    bombs = {name: put(content) for name, content in corpus.corpus().items() if name.startswith("bomb_at")}
    jobs = [pictures[0], *bombs.values(), *pictures[1:20]]
    facts = look(jobs, replace(LIMITS, memory=150 * 2**20))
    assert facts[1].error == "needs more than 150 MB of memory"
    assert [fact.error for fact in facts if fact is not facts[1]] == [""] * 20


@takes_seconds
def test_a_small_file_that_needs_much_time_costs_itself(pictures, put):
    slow = put(corpus.slow_jpeg(8000, 1500))
    facts = look([pictures[0], slow, pictures[1]], BRIEF)
    assert [fact.error for fact in facts] == ["", "took more than 1 s of CPU time", ""]


@takes_seconds
def test_the_limit_on_time_is_for_each_image_not_for_all(pictures, tmp_path, monkeypatch):
    """More than two seconds in one worker, and nothing is done twice."""
    monkeypatch.setenv("TOIL", str(tmp_path / "toil"))
    facts = look(pictures[:5], BRIEF, _decode=faulty_decoders.toil)
    assert [fact.error for fact in facts] == [""] * 5
    assert (tmp_path / "toil").read_text() == "." * 5


def test_workers_are_light_and_leave_no_core_files_and_the_parent_decodes_nothing(pictures):
    facts = look(pictures[:2], _decode=faulty_decoders.tell)
    assert {fact.error for fact in facts} == {"[] (0, '1')"}
    assert os.getpid() not in {fact.num_bytes for fact in facts}


def test_the_environment_is_as_before(pictures, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    look(pictures[:1])
    assert dict(os.environ) == before


def test_pixels_that_cannot_be_written_are_an_error_not_a_verdict(pictures, tmp_path):
    with pytest.raises(OSError, match=r"pixels\.npy"):
        look(pictures[:1], out=tmp_path / "absent" / "pixels.npy")


def test_workers_that_cannot_start_are_an_error(pictures, monkeypatch):
    monkeypatch.setattr(workers, "_initialize", faulty_decoders.leave)  # called with the wrong arguments
    with pytest.raises(RuntimeError):
        look(pictures[:1])


def test_a_pool_that_breaks_is_replaced_but_not_forever(pictures, monkeypatch):
    breaks = iter([True, True, False])
    work = workers._work

    def breaking(*arguments):
        if next(breaks):
            raise RuntimeError("All workers expired")
        yield from work(*arguments)

    monkeypatch.setattr(workers, "_work", breaking)
    assert [fact.error for fact in look(pictures[:2])] == ["", ""]
    breaks = iter([True] * 4)
    with pytest.raises(RuntimeError, match="All workers expired"):
        look(pictures[:2])
    assert list(breaks) == []


@takes_seconds
def test_workers_that_still_start_when_all_is_done_say_nothing(pictures, monkeypatch, capfd):
    import pebble.pool.process

    def stopped_late(worker):
        time.sleep(0.5)  # as on a busy machine: Pebble closes its channels before it ends its workers
        stop(worker)

    stop = pebble.pool.process.stop_process
    monkeypatch.setattr(pebble.pool.process, "stop_process", stopped_late)
    monkeypatch.setattr(workers, "CHUNK", 4)
    monkeypatch.setattr(workers, "cores", lambda: 10)
    assert None not in look(pictures)
    assert capfd.readouterr().err == ""


def test_importing_the_module_imports_nothing_heavy():
    script = "import sys, pipeline.images.workers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"numpy", "PIL", "polars", "pandas", "pebble", "tqdm", "mlflow", "tensorflow", "pyarrow"}


SCRIPT = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
import faulty_decoders
from pipeline.images import workers
job = workers.Job({digest!r}, ({path!r},))
print("begun", flush=True)
workers.look([job] * 400, workers.Limits(10**6, 600, 2**30), {{}}, "x", _decode=faulty_decoders.drudge)
"""


def descendants(pid: int) -> set[int]:
    """Processes below a process, the workers among them."""
    table = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            table[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below = {pid}
    while more := {child for child, parent in table.items() if parent in below} - below:
        below |= more
    return below - {pid}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_workers_end_with_their_parent(pictures, number):
    job = pictures[0]
    script = SCRIPT.format(tests=str(ROOT / "tests"), root=str(ROOT), digest=job.digest, path=job.paths[0])
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        parent.stdout.readline()
        while len(descendants(parent.pid)) < 1 + min(workers.cores(), 2):  # and multiprocessing's resource tracker
            time.sleep(0.05)
        time.sleep(1)  # until they decode
        workers_of_it = descendants(parent.pid)
        parent.send_signal(number)
        assert parent.wait(4) != 0
        deadline = time.monotonic() + 2
        while any(map(is_alive, workers_of_it)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in workers_of_it if is_alive(pid)]
    finally:
        parent.kill()
        parent.stdout.close()
        parent.wait()
