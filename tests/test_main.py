import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import __main__ as command
from pipeline.base import errors
from pipeline.base.errors import PipelineError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PipelineError)]


def detect(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> int:
    """Run the detect command with a stage that raises."""

    def fail(**_: Path) -> None:
        raise raised

    stage = importlib.import_module("pipeline.stages.detect")
    parser = command._parser(["detect"])
    monkeypatch.setattr(command, "_parser", lambda _: parser)
    monkeypatch.setattr(stage, "run", fail)
    return command.main(["detect", "--batches", "a", "--parent", "b", "--images", "c", "--out", "d"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_users_mistake_is_one_line_and_an_exit_code(
    kind: type[PipelineError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detect(monkeypatch, kind("what, expected, do")) == kind.exit_code != 0
    assert capsys.readouterr().err == "detect: error: what, expected, do\n"


def test_kinds_of_mistakes_have_exit_codes_of_their_own() -> None:
    codes = [kind.exit_code for kind in KINDS if kind is not errors.ExpectationError]
    assert len(codes) == len(set(codes))
    assert not {0, 2, 130} & set(codes)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        detect(monkeypatch, ZeroDivisionError())


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert detect(monkeypatch, KeyboardInterrupt()) == 130
    assert "run `dvc repro` to go on" in capsys.readouterr().err


def test_a_python_without_the_libraries_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert detect(monkeypatch, ModuleNotFoundError("No module named 'mlflow'", name="mlflow")) == 1
    line = capsys.readouterr().err
    assert f"{sys.executable} has no mlflow" in line
    assert "make setup" in line


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["retrain"])
    assert "invalid choice: 'retrain'" in capsys.readouterr().err


def test_help_ends_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    assert "example: python -m pipeline add ~/photos --dry-run" in capsys.readouterr().out


def test_every_option_of_every_stage_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for stage in command.STAGES:
        with pytest.raises(SystemExit, match="0"):
            command.main([stage, "--help"])
    assert set(command.PATHS) == {
        name
        for stage in command.STAGES
        for name in inspect.signature(importlib.import_module(f"pipeline.stages.{stage}").run).parameters
    }
    assert "the version to start from, pinned" in capsys.readouterr().out


def test_a_port_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["ui", "--port", "99999"])
    assert "invalid choice: 99999" in capsys.readouterr().err


def test_the_ui_of_a_server_is_the_servers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:secret@mlflow.example.org")
    assert command.main(["ui"]) == 0
    shown = capsys.readouterr().out
    assert "mlflow.example.org" in shown
    assert "secret" not in shown


def test_help_names_every_stage_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    shown = capsys.readouterr().out
    for name in (*command.STAGES, *command.COMMANDS):
        assert f"\n    {name} " in shown


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_explains_its_options_and_ends_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main([name, "--help"])
    shown = capsys.readouterr().out
    assert shown.rstrip().splitlines()[-1].startswith(f"example: python -m pipeline {name}")
    for line in shown.splitlines():
        if line.startswith("  --"):
            assert len(line.split()) > 1


def test_one_command_imports_no_other() -> None:
    """Each costs time; `resolve` runs in every no-op."""
    script = "import sys, pipeline.__main__ as m; m._parser(['resolve']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pipeline.stages.resolve" in loaded
    assert not {"pipeline.stages.detect", "pipeline.commands.add", "polars", "mlflow", "PIL"} & loaded
