"""Run a cycle: `dvc repro`, whatever the trigger says if it is to."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from pipeline.trigger import FORCE

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
    """Run one cycle by `dvc repro`; --force starts it whatever the trigger waits for."""
    env = os.environ | ({FORCE: "1"} if force else {})
    dvc = Path(sys.executable).with_name("dvc")
    return subprocess.run([str(dvc), "repro", *arguments], env=env, check=False).returncode
