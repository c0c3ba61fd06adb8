"""`python -m pipeline STAGE --help`: the stages as commands. A user's mistake is one line, not a traceback."""

import argparse
import importlib
import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

STAGES = ("resolve", "detect", "validate", "prepare", "train", "evaluate", "promote")


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
    """Run one command; the exit code is 0, or the error's own (see `pipeline.errors`)."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("TQDM_MININTERVAL", "0.5")
    warnings.filterwarnings("ignore", module="PIL")  # of odd metadata, one per image; faults are errors
    command = "pipeline"
    try:
        arguments = vars(_parser().parse_args(argv))
        command = arguments.pop("command")
        if command == "ui":
            return _ui(arguments["port"])
        importlib.import_module(f"pipeline.stages.{command}").run(**arguments)
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
        print(f"{command}: interrupted; run `dvc repro` to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="The stages of dvc.yaml as commands. `dvc repro` runs them in order; this is for one alone.",
        epilog="example: python -m pipeline ui --port 5000",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage in STAGES:
        run = importlib.import_module(f"pipeline.stages.{stage}").run
        what = inspect.getdoc(run) or ""
        command = commands.add_parser(
            stage,
            help=what.splitlines()[0],
            description=what,
            epilog=f"example: {_example(stage)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for name in inspect.signature(run).parameters:
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
    ui = commands.add_parser(
        "ui",
        help="open the MLflow UI on the registry",
        epilog="example: python -m pipeline ui --port 5000",
    )
    ui.add_argument(
        "--port",
        type=int,
        default=5000,
        choices=range(1, 65536),
        metavar="PORT",
        help="TCP port on 127.0.0.1 (default: 5000)",
    )
    return parser


def _example(stage: str) -> str:
    """The stage's own command, from dvc.yaml."""
    import yaml

    try:
        content: Any = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))
        return " ".join(content["stages"][stage]["cmd"].split())
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return f"dvc repro {stage}"


def _ui(port: int) -> int:
    from pipeline.registry import LOCAL_STORE, shown, tracking_uri

    uri = tracking_uri()
    if uri.startswith(("http://", "https://")):
        print(f"the registry is a server with a UI of its own: {shown(uri)}")
        return 0
    LOCAL_STORE.mkdir(exist_ok=True)
    print(f"MLflow UI on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # workers that a review does not need
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    try:
        return subprocess.run([*command, "--port", str(port)], env=env, check=False).returncode
    except KeyboardInterrupt:
        return 0


def _leave(code: int) -> None:
    """Exit without taking Python apart, which costs a second where TensorFlow or MLflow is loaded.

    Nothing is left to exit handlers: files are renamed into place and runs ended by then.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
