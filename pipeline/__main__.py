"""`python -m pipeline STAGE --help`: the stages as commands. A user's mistake is one line, not a traceback."""

import argparse
import importlib
import inspect
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.errors import PipelineError

STAGES = ("resolve", "detect", "validate", "prepare", "train", "evaluate", "promote")
COMMANDS = ("add", "run", "trace", "ui")

PATHS = {
    "accepted": "folder of the delta that validation accepted, and of what it set aside",
    "batches": "the batches that DVC tracks now, with their hashes",
    "challenger": "folder of the model just trained",
    "champion": "the version to beat, pinned",
    "confusion": "true and predicted label of each holdout image, for dvc plots",
    "curves": "metrics by epoch, for dvc plots",
    "data": "folder of the dataset: canonical pixels by split",
    "delta": "folder of what detect found",
    "evaluation": "folder of verdict and pictures",
    "evaluation_metrics": "metrics of champion and challenger",
    "images": "folder of images, whose batches have DVC pointers",
    "ledger": "one row per image ever accepted",
    "ledger_out": "where the ledger goes",
    "metrics": "where the metrics of the best epoch go",
    "metrics_out": "where the metrics of champion and challenger go",
    "out": "where the stage's main result goes",
    "parent": "the version to start from, pinned",
    "report": "where the report for people goes (of validate: a folder)",
    "scratch": "folder of checkpoints and downloads, outside DVC and Git",
    "settings": "the settings (default: params.yaml)",
    "snapshot": "what the registry held when resolve looked",
    "validation": "folder of the report on the new images",
}
"""What each option of a stage names; all are paths."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or the error's own (see `pipeline.base.errors`)."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("TQDM_MININTERVAL", "0.5")
    words = list(sys.argv[1:] if argv is None else argv)
    command = "pipeline"
    try:
        arguments = vars(_parser(words).parse_args(words))
        command = arguments.pop("command")
        code = _module(command).run(**arguments)
    except PipelineError as error:
        print(f"{command}: error: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("pipeline"):
            raise
        print(
            f"{command}: error: {sys.executable} has no {error.name}; `make setup` and `. .venv/bin/activate` first",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        again = "`dvc repro` to go on" if command in STAGES else "it again"
        print(f"{command}: interrupted; run {again}", file=sys.stderr)
        return 130
    return int(code or 0)


def _module(command: str) -> Any:
    return importlib.import_module(f"pipeline.{'stages' if command in STAGES else 'commands'}.{command}")


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; with all commands only if none is named, for each has to be imported to be described."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="The stages of dvc.yaml as commands, which `dvc repro` runs in order, and what people run besides.",
        epilog="example: python -m pipeline add ~/photos --dry-run",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    known = (*STAGES, *COMMANDS)
    for name in known if not words or words[0] not in known else words[:1]:
        run = _module(name).run
        what = inspect.getdoc(run) or ""
        command = commands.add_parser(
            name,
            help=what.splitlines()[0],
            description=what,
            epilog=f"example: {_example(name)}" if {"-h", "--help"} & set(words) else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in COMMANDS:
            _module(name).configure(command)
        else:
            _configure(command, inspect.signature(run).parameters)
    return parser


def _configure(command: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """A stage's options are the parameters of its `run`."""
    for name in names:
        default = Path("params.yaml") if name == "settings" else None
        flag = "--params" if name == "settings" else f"--{name.replace('_', '-')}"
        command.add_argument(
            flag,
            dest=name,
            type=Path,
            metavar="PATH",
            default=default,
            required=default is None,
            help=PATHS[name],
        )


def _example(name: str) -> str:
    """A command's own; a stage's is that of dvc.yaml."""
    if name in COMMANDS:
        return str(_module(name).EXAMPLE)
    import yaml

    try:
        content = files.parse_yaml(Path("dvc.yaml").read_bytes())
        return " ".join(content["stages"][name]["cmd"].split())
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return f"dvc repro {name}"


def _leave(code: int) -> None:
    """Exit without taking Python apart, which costs a second where TensorFlow or MLflow is loaded.

    Nothing is left to exit handlers: files are renamed into place and runs ended by then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
