"""`python -m pipeline STAGE --help`: the stages as commands. A user's mistake is one line, not a traceback."""

import argparse
import difflib
import importlib
import inspect
import io
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.base import errors, files, process, project, terminal
from pipeline.base.errors import PipelineError
from pipeline.base.paths import Paths

STAGES = ("resolve", "detect", "validate", "prepare", "train", "evaluate", "promote")
COMMANDS = (
    "add",
    "run",
    "ui",
    "report",
    "history",
    "predict",
    "explain",
    "promote",
    "reject",
    "rollback",
    "export",
    "trace",
    "checkpoints",
    "weights",
    "verify",
    "gc",
    "notify",
    "champion-at",
    "merge",
)
"""Those that people call, the first ones most. `promote VERSION` is theirs; `promote` alone is the stage."""


WIDEST, LINE = 11, 100
"""Columns of the longest name, and of a line of the help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or the error's own (see `pipeline.base.errors`)."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("TQDM_MININTERVAL", "0.5")
    os.environ |= {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}  # the user's are for other plots
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the terminal's encoding does not have
    words = list(sys.argv[1:] if argv is None else argv)
    command = words[0] if words and words[0] in (*STAGES, *COMMANDS) else "pipeline"
    is_stage = _is_stage(words)
    again = "`dvc repro` to go on" if is_stage else "it again"
    interrupted = f"{command}: interrupted; run {again}"
    try:
        with process.ending(interrupted):  # so far there are only imports, and nothing to undo
            arguments = _arguments(words)
        command = arguments.pop("command")
        if command == STAGES[0]:
            _forget_reports()
        run = _module(command, is_stage).run
        code = run(Paths()) if is_stage else run(**arguments)
        sys.stdout.flush()
    except PipelineError as error:
        from pipeline.showing import text

        # What people wrote may break the line.
        print(terminal.shown(f"{command}: error: {text.visible(error)}", sys.stderr), file=sys.stderr)
        if is_stage:
            _report(command, str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("pipeline"):
            raise
        print(
            f"{command}: error: {sys.executable} has no {error.name}; `make setup` and `. .venv/bin/activate` first",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # whoever reads has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write goes nowhere
        return process.EXIT_PIPE
    except OSError as error:
        reason = errors.of_system(error)
        if not reason:
            raise
        print(f"{command}: error: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return process.EXIT_INTERRUPTED
    if is_stage and code:
        _report(command)
    return int(code or 0)


def _forget_reports() -> None:
    """What tells of the cycle before goes when another one begins, which may end before it tells of itself."""
    for told in (Paths().report, Paths().promotion, Paths().summary):
        told.unlink(missing_ok=True)


def _report(stage: str, error: str = "") -> None:
    """Tell in the cycle's report, too, that it ended here: by an error, or to go on later."""
    from pipeline.showing import card

    report = Paths().report
    Paths().page.unlink(missing_ok=True)  # it is of a cycle before
    if report.parent.is_dir():
        files.write(report, (card.stopped(stage, error) if error else card.interrupted(stage)).encode())


def _is_stage(words: Sequence[str]) -> bool:
    """Whether a stage is meant: `promote` with a version is what a person calls."""
    is_verb = len(words) > 1 and words[0] in COMMANDS
    return bool(words) and words[0] in STAGES and not is_verb


def _module(command: str, is_stage: bool) -> Any:
    return importlib.import_module(f"pipeline.{'stages' if is_stage else 'commands'}.{command.replace('-', '_')}")


def _arguments(words: Sequence[str]) -> dict[str, Any]:
    """The command and its options; an option that it does not have is refused with those that it has."""
    known, unknown = _parser(words).parse_known_args(words)
    arguments = vars(known)
    command: argparse.ArgumentParser = arguments.pop("parser")
    if unknown:
        near = difflib.get_close_matches(unknown[0], command._option_string_actions, n=1)
        command.error(f"unrecognized arguments: {' '.join(unknown)}{f'; did you mean {near[0]}?' if near else ''}")
    return arguments


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; with all commands only if none is named, for each has to be imported to be described."""
    is_named = bool(words) and words[0] in (*STAGES, *COMMANDS)
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        usage=None if is_named else "python -m pipeline COMMAND [OPTION ...]",
        description=None if is_named else _overview(),
        epilog="`python -m pipeline COMMAND --help` says more of each",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS)
    for name in words[:1] if is_named else dict.fromkeys((*COMMANDS, *STAGES)):
        is_stage = _is_stage([name, *words[1:]])
        module = _module(name, is_stage)
        what = inspect.getdoc(module.run) or name  # `python -OO` drops docstrings
        is_asked = bool({"-h", "--help"} & set(words))
        told = f"{what}\n\n{_files(name)}" if is_asked and is_stage else what
        if not is_stage and name in STAGES:
            stage = inspect.getdoc(_module(name, is_stage=True).run)
            told += f"\n\nWithout a version it is the stage: {stage}\n\n{_files(name)}"
        command = commands.add_parser(
            name,
            description=told,
            epilog=f"example: {module.EXAMPLE if not is_stage else f'python -m pipeline {name}'}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # an option that comes later would change what `--se` means
        )
        command.set_defaults(parser=command)
        if not is_stage:
            module.configure(command)
    return parser


def _overview() -> str:
    """All commands with an example of each: first what people call, then the stages."""
    people = ["  ".join(("", name.ljust(WIDEST), _first(name, False))) + f"\n{_example(name)}" for name in COMMANDS]
    stages = ["  ".join(("", name.ljust(WIDEST), _first(name, True))) for name in STAGES]
    return "\n".join(
        [
            "Evergreen trains an image classifier again whenever there are new images.",
            "",
            "commands that people call, each with an example:",
            *people,
            "",
            "stages of dvc.yaml, which `dvc repro` and `run` call in this order:",
            *stages,
        ]
    )


def _first(name: str, is_stage: bool) -> str:
    """What a command does, as far as a line goes."""
    what = (inspect.getdoc(_module(name, is_stage).run) or name).splitlines()[0]  # `python -OO` drops docstrings
    return textwrap.shorten(re.split(r"[:;(.]", what)[0], LINE - WIDEST - 4, placeholder=" ...")


def _example(name: str) -> str:
    return f"{' ' * (WIDEST + 4)}{_module(name, False).EXAMPLE}"


def _files(stage: str) -> str:
    """What a stage reads and writes, as dvc.yaml says it."""
    import yaml

    try:
        mine = files.parse_yaml(Path("dvc.yaml").read_bytes())["stages"][stage]
        reads = [*mine.get("deps", ()), *_names(mine.get("meta", {}).get("reads", ()))]
        writes = [*_names(mine.get("outs", ())), *mine.get("metrics", ()), *mine.get("meta", {}).get("writes", ())]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return "It reads and writes what dvc.yaml says of it; run this where dvc.yaml is to see."
    return "\n".join(f"{verb}: {name}" for verb, names in (("reads", reads), ("writes", writes)) for name in names)


def _names(entries: Any) -> list[str]:
    return [name for entry in entries for name in (entry if isinstance(entry, dict) else [entry])]


def start() -> None:
    """Run a command as a process of its own, from any folder of a project."""
    project.enter()
    terminal.fold_output()
    if _is_stage(sys.argv[1:]):
        process.end_with_dvc()
    _leave(main())


def _leave(code: int) -> None:
    """Exit without taking Python apart, which costs a second where TensorFlow or MLflow is loaded.

    Nothing is left to exit handlers: files are renamed into place and runs ended by then.
    """
    process.ignore_signals()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    start()
