"""Run a cycle: `dvc repro`, whatever the trigger says or from a kept epoch on; a pause by the budget is no failure."""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

from pipeline.base import files, params, process
from pipeline.base.errors import PipelineError
from pipeline.base.paths import Paths
from pipeline.base.process import PAUSE_NOTE
from pipeline.data import conflicts
from pipeline.data.trigger import FORCE
from pipeline.settings import Params

EXAMPLE = "python -m pipeline run --force"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="start a cycle now, whatever the trigger waits for (resolve.start_ in params.yaml)",
    )
    parser.add_argument(
        "--from-epoch",
        metavar="EPOCH",
        help="go on training from the end of this epoch, of those that `python -m pipeline checkpoints` lists: its "
        "number, best, or TRAINING/EPOCH; it is written into params.yaml as train.from_epoch",
    )
    parser.add_argument(
        "--finish", action="store_true", help="with --from-epoch: that epoch is the result, and training is over"
    )
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="further arguments of dvc repro, after --")


def run(force: bool, arguments: list[str], from_epoch: str | None = None, finish: bool = False) -> int:
    """Run one cycle by `dvc repro`; --force starts it whatever the trigger waits for, --from-epoch goes back first.

    Exit code 0 also if training is paused by the budget in params.yaml, which DVC alone calls a failure.
    """
    if from_epoch is not None:
        _go_back(from_epoch, finish, Paths())
    elif finish:
        raise PipelineError("--finish says that an epoch is the result; say which one with --from-epoch EPOCH")
    params.load(Paths().params, Params)  # DVC reads it first, and has words of its own for what is wrong in it
    conflicts.refuse(Paths().images)
    # For `python` in dvc.yaml: cron and systemd activate no environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "pause"
        env = os.environ | {"PATH": path, PAUSE_NOTE: str(note)} | ({FORCE: "1"} if force else {})
        code = process.run_dvc([sys.executable, "-m", process.REPRODUCTION, "repro", *arguments], env)
        if note.is_file():
            print("run: this is no failure; the next run goes on", flush=True)
            return 0
    if not code:
        _summarize(Paths().summary)
    return code


def _summarize(summary: Path) -> None:
    """What promote wrote of this cycle comes last; resolve deleted that of the cycle before."""
    if summary.is_file():
        print(f"\n{summary.read_text(encoding='utf-8').rstrip()}", flush=True)


def _go_back(epoch: str, is_result: bool, paths: Paths) -> None:
    """Let params.yaml say which epoch to go back to: DVC, Git and the registry know it then."""
    from pipeline.learning.rewind import Target

    settings = params.load(paths.params, Params)
    setting = Target(*_chosen(epoch, settings, paths), is_result).setting
    files.write(paths.params, params.changed(paths.params, {"train.from_epoch": setting}))
    said = f"{paths.params} says train.from_epoch: {setting}; set it to null together with the next batch"
    print(f"run: {said}", flush=True)


def _chosen(epoch: str, settings: Params, paths: Paths) -> tuple[str, int]:
    """The training and the epoch that are meant.

    Raises:
        PipelineError: there is none, or more than one; says which are kept.
    """
    from pipeline.learning import kept, task

    if not re.fullmatch(r"([0-9a-f]{16}/)?(\d{1,9}|best)", epoch):
        raise PipelineError(f"--from-epoch {epoch!r}: expected the number of an epoch, best, or TRAINING/EPOCH")
    name, _, wanted = epoch.rpartition("/")
    folder = paths.scratch / "training"
    every = kept.trainings(folder)
    if name:
        found = [one for one in every if one.name == name]
    else:
        inputs = task.read(paths, settings.train, settings.prepare.replay).inputs if every else {}
        found = [one for one in every if one.is_of(inputs)]
    numbers = [(one, one.best if wanted == "best" else int(wanted)) for one in found]
    fitting = sorted({(one.name, number) for one, number in numbers if number is not None and number in one.ends})
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        choice = " or ".join(f"--from-epoch {training}/{number}" for training, number in fitting)
        raise PipelineError(f"epoch {wanted} is kept of {len(fitting)} trainings of this cycle; say which: {choice}")
    whose = f"training {name}" if name else "a training of this cycle"
    raise PipelineError(f"epoch {wanted} of {whose} is not kept in {folder}: {kept.listed(found or every)}")
