import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.workspace import CHECKOUT
from pipeline import __main__ as command
from pipeline.base import errors, process
from pipeline.base.errors import PipelineError
from pipeline.base.paths import Paths

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PipelineError)]


def detect(monkeypatch: pytest.MonkeyPatch, raised: BaseException) -> int:
    """Run the detect command with a stage that raises."""

    def fail(_: Paths) -> None:
        raise raised

    stage = importlib.import_module("pipeline.stages.detect")
    parser = command._parser(["detect"])
    monkeypatch.setattr(command, "_parser", lambda _: parser)
    monkeypatch.setattr(stage, "run", fail)
    return command.main(["detect"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_users_mistake_is_one_line_and_an_exit_code(
    kind: type[PipelineError], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = kind in (errors.UnreadableError, errors.LostError)
    error = kind("what", "expected, do") if two else kind("what: expected, do")
    assert detect(monkeypatch, error) == kind.exit_code != 0
    assert re.fullmatch(r"detect: error: what[:;] expected, do(; delete it, .*)?\n", capsys.readouterr().err)


def test_kinds_of_mistakes_have_exit_codes_of_their_own() -> None:
    codes = [kind.exit_code for kind in KINDS if PipelineError in kind.__bases__]
    assert len(codes) == len(set(codes))
    assert not {0, 2, 130} & set(codes)


def test_whoever_reads_only_the_beginning_gets_no_traceback() -> None:
    """As `head -1` does."""
    babble = """if True:
        import importlib
        from pipeline import __main__ as command

        def told(_):
            for number in range(100_000):
                print(number)

        importlib.import_module("pipeline.stages.detect").run = told
        command._leave(command.main(["detect"]))
    """
    done = subprocess.Popen(
        [sys.executable, "-c", babble], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert done.stdout is not None
    assert done.stdout.readline() == "0\n"
    done.stdout.close()
    assert done.stderr is not None
    err = done.stderr.read()
    assert (done.wait(timeout=60), err) == (process.EXIT_PIPE, "")


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


def test_help_has_an_example_of_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert "  add          Take new labelled images into a new batch" in shown
    assert "\n               python -m pipeline add " in shown
    assert shown.rstrip().endswith("`python -m pipeline COMMAND --help` says more of each")


@pytest.mark.parametrize("stage", command.STAGES)
def test_every_file_that_a_stage_reads_and_writes_is_named_by_its_help(
    stage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CHECKOUT)
    with pytest.raises(SystemExit, match="0"):
        command.main([stage, "--help"])
    shown = capsys.readouterr().out
    mine = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())["stages"][stage]
    reads = {*mine.get("deps", ()), *mine.get("meta", {}).get("reads", ())}
    outs = {name for out in mine.get("outs", ()) for name in (out if isinstance(out, dict) else [out])}
    writes = outs | {*mine.get("metrics", ()), *mine.get("meta", {}).get("writes", ())}
    assert set(re.findall("^reads: (.*)$", shown, re.M)) == reads
    assert set(re.findall("^writes: (.*)$", shown, re.M)) == writes


def test_help_of_a_stage_works_anywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        command.main(["detect", "--help"])
    assert "run this where dvc.yaml is to see" in capsys.readouterr().out


def test_a_stage_takes_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["detect", "--out", "elsewhere"])
    assert "unrecognized arguments: --out elsewhere" in capsys.readouterr().err


def test_a_misspelt_option_is_told_the_near_one_and_a_part_of_one_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ("--sett", "--se"):
        with pytest.raises(SystemExit, match="2"):
            command.main(["add", "photos", given])
        told = capsys.readouterr().err
        assert told.startswith("usage: python -m pipeline add")
        assert told.endswith(f"unrecognized arguments: {given}; did you mean --set?\n")


def test_a_port_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(["ui", "--port", "99999"])
    assert "'99999' is no port; expected a number from 1 to 65535" in capsys.readouterr().err


def test_help_names_every_stage_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        command.main(["--help"])
    shown = capsys.readouterr().out
    for name in (*command.STAGES, *command.COMMANDS):
        assert re.search(rf"\n  {name}\s", shown)
    names = re.findall(r"^  ([a-z-]+)  ", shown, re.M)
    assert names[:3] == ["add", "run", "ui"]
    assert names[-len(command.STAGES) :] == [*command.STAGES], "after those that people call"
    assert shown.count("\n               python -m pipeline ") == len(command.COMMANDS)


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
