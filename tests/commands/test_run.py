"""`python -m pipeline run`: what it hands on to DVC."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from project import Project, pictures, pipeline, ran

from benchmarks.workspace import CHECKOUT
from pipeline import __main__ as command
from pipeline.base import files, process
from pipeline.base.paths import Paths


def test_run_waits_as_the_trigger_says_force_does_not_and_then_nothing_is_left_to_do(project: Project) -> None:
    project.add("first", pictures(range(30), "cat", "dog"))
    project.cycle()
    project.space.params(resolve={"start_at": 50})
    project.add("few", pictures(range(100, 103), "cat", "dog"))
    waiting = pipeline(project, "run", "--", "resolve")
    assert waiting.code == 0, waiting.err
    assert "waiting with 6 changed images" in waiting.out
    forced = pipeline(project, "run", "--force")
    assert forced.code == 0, forced.err
    assert "detect: 6 images added" in forced.out
    assert "promote: v2 " in forced.out
    assert not [
        line for line in forced.out.splitlines() if re.match("Running stage|> |Stage '|.*lock file|Use `dvc", line)
    ]
    after = project.space.repro(quiet=True)
    assert ran(after.output) == {"resolve", "promote"}
    assert "nothing to do: v2 is registered" in after.output
    project.add("more", pictures(range(110, 113), "cat", "dog"))
    held = project.space.repro(quiet=True)
    assert "waiting with 6 changed images" in held.output
    assert ran(held.output) == {"resolve", "promote"}


@pytest.mark.parametrize(
    ("folder", "words"),
    [(".", ["dvc", "repro", "detect"]), ("data/images/first", ["evergreen", "run", "--", "detect"])],
)
def test_a_cycle_runs_without_an_activated_environment_by_the_python_that_was_called(
    project: Project, tmp_path: Path, folder: str, words: list[str]
) -> None:
    """As cron, systemd and editors call it; the Python that is first on PATH has none of the libraries."""
    project.add("first", pictures(range(30), "cat", "dog"))
    other = tmp_path / "bin/python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho another python >&2\nexit 9\n")
    other.chmod(0o755)
    env = {"HOME": str(tmp_path), "PATH": f"{other.parent}:/usr/bin:/bin", "DVC_NO_ANALYTICS": "1"}
    command = [Path(sys.executable).with_name(words[0]), *words[1:]]
    done = subprocess.run(command, cwd=project.root / folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "detect: 60 images added" in done.stdout


def test_paths_are_those_of_the_folder_that_a_person_is_in(project: Project) -> None:
    project.add("first", pictures(range(30), "cat", "dog"))
    folder = project.root / "data/images/first/cat"
    words = [Path(sys.executable).with_name("evergreen"), "trace", "1.png"]
    done = subprocess.run(words, cwd=folder, env=project.space.env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no version of evergreen has seen it" in done.stdout


def test_run_gives_dvcs_exit_code(project: Project) -> None:
    done = pipeline(project, "run", "--", "no-such-stage")
    assert done.code not in (0, None)
    assert "no-such-stage" in done.err


def test_a_fault_in_the_settings_is_told_in_our_words_before_dvc_reads_them(project: Project) -> None:
    path = project.root / "params.yaml"
    path.write_text(path.read_text().replace("seed: 7", "seed: 7\n\tthreads: 2", 1))
    done = pipeline(project, "run")
    assert done.code == 3
    assert done.err.startswith("run: error: params.yaml: not valid YAML (")
    assert done.err.endswith("mend it, or restore it with `git checkout params.yaml`\n")


def test_what_promote_sums_up_comes_last_and_a_failure_is_the_last_word(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    files.write(Paths().summary, b"v3 is the new champion\nhttp://127.0.0.1:5000/#/models/evergreen/versions/3\n")
    codes = iter((0, 255))
    monkeypatch.setattr(process, "run_dvc", lambda *_: next(codes))
    assert command.main(["run"]) == 0
    assert capsys.readouterr().out.endswith(
        "\nv3 is the new champion\nhttp://127.0.0.1:5000/#/models/evergreen/versions/3\n"
    )
    assert command.main(["run"]) == 255
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("force", [False, True])
def test_force_reaches_resolve_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    seen: dict[str, object] = {}

    def record(words: list[str], env: dict[str, str]) -> int:
        seen.update(words=words, env=env)
        return 7

    monkeypatch.setattr(process, "run_dvc", record)
    monkeypatch.delenv("EVERGREEN_FORCE", raising=False)
    assert command.main(["run", *["--force"] * force, "--", "--pull", "train"]) == 7
    assert seen["words"] == [sys.executable, "-m", process.REPRODUCTION, "repro", "--pull", "train"]
    assert seen["env"].get("EVERGREEN_FORCE") == ("1" if force else None)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)], ids=str)
def test_asked_to_stop_run_ends_once_training_has_saved_its_state(project: Project, number: int, code: int) -> None:
    """SIGTERM to this process alone, as `kill` does; Ctrl-C to all of them, as a terminal does."""
    project.space.params(train={"max_epochs": 10_000, "patience": 10_000})
    project.add("first", pictures(range(30), "cat", "dog"))
    running = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run"], cwd=project.root, env=dict(project.space.env),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("train: epoch   3/"):
            break
    if number == signal.SIGINT:
        os.killpg(running.pid, number)
    else:
        other = pipeline(project, "run")
        assert other.code == 255
        assert re.fullmatch(r"run: error: another DVC command works in this project \(process \d+\); .*\n", other.err)
        running.send_signal(number)
    out, _ = running.communicate(timeout=60)
    assert re.search("^train: (interrupted|ended) by .*; the state is saved", out, re.M), out
    assert running.returncode == (code or 255)
    assert "ERROR" not in out
    assert not [one for one in psutil.process_iter() if str(project.root) in " ".join(cmdline(one))]


def cmdline(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        return [*process.cmdline(), process.cwd()]
    return []
