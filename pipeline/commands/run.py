"""Run a cycle: `dvc repro`, whatever the trigger says if it is to; a pause by the budget is no failure here."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.base.paths import Paths
from pipeline.base.process import PAUSE_NOTE
from pipeline.data import conflicts
from pipeline.data.trigger import FORCE

EXAMPLE = "python -m pipeline run --force"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="start a cycle now, whatever the trigger waits for (resolve.start_ in params.yaml)",
    )
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT", help="further arguments of dvc repro, after --")


def run(force: bool, arguments: list[str]) -> int:
    """Run one cycle by `dvc repro`; --force starts it whatever the trigger waits for.

    Exit code 0 also if training is paused by the budget in params.yaml, which DVC alone calls a failure.
    """
    conflicts.refuse(Paths().images)
    dvc = Path(sys.executable).with_name("dvc")
    # For `python` in dvc.yaml: cron and systemd activate no environment.
    path = os.pathsep.join([str(dvc.parent), os.environ.get("PATH", os.defpath)])
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "pause"
        env = os.environ | {"PATH": path, PAUSE_NOTE: str(note)} | ({FORCE: "1"} if force else {})
        code = subprocess.run([str(dvc), "repro", *arguments], env=env, check=False).returncode
        if not note.is_file():
            return code
        print(f"run: training is {note.read_text()}; no failure, though DVC has no other word for it", flush=True)
    return 0
