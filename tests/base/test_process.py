"""Real processes: asked to stop, orphaned, not alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.workspace import CHECKOUT
from pipeline.base import process
from pipeline.base.errors import PipelineError

WAITS = """
import sys, time
from pipeline.base import process
with process.stoppable() as asked:
    print("ready", flush=True)
    until = time.monotonic() + 20
    while not asked() and time.monotonic() < until:
        time.sleep(0.01)
    with open(sys.argv[1], "w") as file:
        file.write(str(asked()))
"""


def start(script: str, *arguments: str, shell: str | None = None) -> "subprocess.Popen[str]":
    """A Python process that has said that it is ready."""
    words = [sys.executable, "-c", script, *arguments]
    made = subprocess.Popen(
        [shell, *words] if shell else words, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_asks_to_stop(tmp_path, number):
    waiting = start(WAITS, str(tmp_path / "reason"))
    waiting.send_signal(number)
    assert waiting.wait(10) == 0
    assert (tmp_path / "reason").read_text() == number.name


def test_a_second_interrupt_does_not_wait(tmp_path):
    script = WAITS.replace("while not asked() and", "while")
    waiting = start(script, str(tmp_path / "reason"))
    for _ in range(2):
        waiting.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert waiting.wait(10) == -signal.SIGINT
    assert not (tmp_path / "reason").exists()


def test_without_a_signal_nothing_is_asked_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with process.stoppable() as asked:
        assert signal.getsignal(signal.SIGTERM) != before
        assert asked() is None
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("by_a_shell", [False, True], ids=["direct", "shell"])
def test_when_dvc_is_killed_its_command_is_asked_to_stop(tmp_path, by_a_shell):
    """A stand-in of that name, for what is looked at is the process; the benchmark of crashes kills the real one."""
    (tmp_path / "waits.py").write_text(WAITS)
    words = f"{sys.executable} {tmp_path}/waits.py {tmp_path}/reason"
    words = f"{words}; true" if by_a_shell else f"exec {words}"  # some shells do so by themselves
    dvc = tmp_path / "dvc"
    dvc.write_text(f"import subprocess\nsubprocess.run({words!r}, shell=True)\n")
    env = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    caller = subprocess.Popen([sys.executable, str(dvc)], stdout=subprocess.PIPE, text=True, env=env, cwd=CHECKOUT)
    assert caller.stdout is not None
    assert caller.stdout.readline() == "ready\n"
    children = psutil.Process(caller.pid).children(recursive=True)
    assert len(children) == (2 if by_a_shell else 1)
    caller.kill()
    caller.wait()
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert (tmp_path / "reason").read_text() == process.ORPHANED


LOADS = """
import sys, time
time.sleep(float(sys.argv[1]))
from pipeline.base import process
with process.stoppable() as asked:
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(("late", "seconds"), [(False, "0"), (True, "1.5")], ids=["while it loads", "before it looks"])
def test_when_dvc_is_killed_before_there_is_anything_to_save_its_command_ends_at_once(tmp_path, late, seconds):
    (tmp_path / "loads.py").write_text(LOADS)
    dvc = tmp_path / "dvc"
    command = [sys.executable, str(tmp_path / "loads.py"), seconds]
    dvc.write_text(f"import subprocess\nprint('begun', flush=True)\nsubprocess.run({command!r})\n")
    env = os.environ | {"PYTHONPATH": str(CHECKOUT), "DVC_STAGE": "train"}
    caller = subprocess.Popen(
        [sys.executable, str(dvc)], stdout=subprocess.PIPE, text=True, env=env, cwd=CHECKOUT, start_new_session=True
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "begun\n"
    if late:
        time.sleep(0.5)
    else:
        assert caller.stdout.readline() == "ready\n"
    children = psutil.Process(caller.pid).children()
    assert len(children) == 1
    caller.kill()
    caller.wait()
    assert not psutil.wait_procs(children, timeout=6)[1]


ENDS = """
import sys, time
from pipeline.base import process
process.end_with_dvc()
if sys.argv[1] == "outlives":
    process.outlive_dvc()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("outlives", [False, True], ids=["it ends", "it must not end"])
def test_any_stage_ends_with_its_dvc_unless_half_of_it_would_be_worse(tmp_path, outlives):
    (tmp_path / "ends.py").write_text(ENDS)
    dvc = tmp_path / "dvc"
    command = [sys.executable, str(tmp_path / "ends.py"), "outlives" if outlives else "ends"]
    dvc.write_text(f"import subprocess\nsubprocess.run({command!r})\n")
    env = os.environ | {"PYTHONPATH": str(CHECKOUT), "DVC_STAGE": "evaluate"}
    caller = subprocess.Popen(
        [sys.executable, str(dvc)], stdout=subprocess.PIPE, text=True, env=env, cwd=CHECKOUT, start_new_session=True
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "ready\n"
    (child,) = psutil.Process(caller.pid).children()
    caller.kill()
    caller.wait()
    if outlives:
        time.sleep(4 * process.POLL)
        assert child.is_running()
        child.kill()
    assert not psutil.wait_procs([child], timeout=6)[1]


@pytest.mark.parametrize("named", [{}, {"DVC_STAGE": "train"}], ids=["by hand", "DVC as a library"])
def test_a_command_of_a_program_that_lives_is_not_taken_for_an_orphan(tmp_path, named):
    (tmp_path / "loads.py").write_text(LOADS.replace("sleep(60)", "sleep(2)\n    print(asked(), flush=True)"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "loads.py"), "0"], cwd=CHECKOUT, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | named,
    )  # fmt: skip
    assert done.stdout == "ready\nNone\n"


def test_a_command_that_dvc_did_not_start_watches_nobody(tmp_path):
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}, sys.argv[1]])"
    caller = start(script, str(tmp_path / "reason"))
    (child,) = psutil.Process(caller.pid).children()
    caller.kill()
    time.sleep(3 * process.POLL)
    assert child.is_running()
    child.terminate()
    assert not psutil.wait_procs([child], timeout=10)[1]
    assert (tmp_path / "reason").read_text() == "SIGTERM"


HOLDS = """
import sys, time
from pathlib import Path
from pipeline.base import process
with process.alone(Path(sys.argv[1]), "a training"):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_holds_the_lock(tmp_path):
    holder = start(HOLDS, str(tmp_path / "deep" / "lock"))
    try:
        with (
            pytest.raises(
                PipelineError, match=rf"^a training runs here already \(process {holder.pid}, .*kill"
            ) as error,
            process.alone(tmp_path / "deep" / "lock", "a training"),
        ):
            pass
        assert f"end it with `kill {holder.pid}`: it saves its state" in str(error.value)
    finally:
        holder.kill()
        holder.wait()
    with process.alone(tmp_path / "deep" / "lock", "a training"):
        assert (tmp_path / "deep" / "lock.pid").read_text() == str(os.getpid())
    assert not (tmp_path / "deep" / "lock.pid").exists()


def test_a_lock_can_be_taken_again(tmp_path):
    for _ in range(2):
        with process.alone(tmp_path / "lock", "a training"):
            assert Path(tmp_path / "lock.pid").is_file()
