"""`python -m pipeline run` and `ui`: what they hand on to DVC and MLflow."""

import subprocess
import sys
from pathlib import Path

import pytest
from project import Done, Project, pictures

from benchmarks import workspace
from pipeline import __main__ as command


def pipeline(project: Project, *words: str) -> Done:
    """`python -m pipeline` in a process of its own, for it starts DVC."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=project.root, env=dict(project.space.env), capture_output=True, text=True, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def ran(output: str) -> set[str]:
    return {stage for stage in workspace.STAGES if f"Running stage '{stage}'" in output}


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
    assert "detect: 6 added" in forced.out
    assert "promote: v2 " in forced.out
    after = project.space.repro(quiet=True)
    assert ran(after.output) == {"resolve", "promote"}
    assert "nothing to do: v2 is registered" in after.output
    project.add("more", pictures(range(110, 113), "cat", "dog"))
    held = project.space.repro(quiet=True)
    assert "waiting with 6 changed images" in held.output
    assert ran(held.output) == {"resolve", "promote"}


def test_run_gives_dvcs_exit_code(project: Project) -> None:
    done = pipeline(project, "run", "--", "no-such-stage")
    assert done.code not in (0, None)
    assert "no-such-stage" in done.err


@pytest.mark.parametrize("force", [False, True])
def test_force_reaches_resolve_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    seen: dict[str, object] = {}

    def record(words: list[str], env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.update(words=words, env=env)
        return subprocess.CompletedProcess(words, 7)

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.delenv("EVERGREEN_FORCE", raising=False)
    assert command.main(["run", *["--force"] * force, "--", "--pull", "train"]) == 7
    assert seen["words"] == [str(Path(sys.executable).with_name("dvc")), "repro", "--pull", "train"]
    assert seen["env"].get("EVERGREEN_FORCE") == ("1" if force else None)  # type: ignore[attr-defined]


def test_the_ui_of_a_local_registry_listens_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str] = []

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        words.extend(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(subprocess, "run", record)
    assert command.main(["ui", "--port", "5151"]) == 0
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == "5151"
    assert words[words.index("--backend-store-uri") + 1] == f"sqlite:///{tmp_path / 'store/mlflow.db'}"
    assert "http://127.0.0.1:5151" in capsys.readouterr().out
