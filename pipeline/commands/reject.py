"""Decline a version: it waits no more, and no rerun promotes it."""

import argparse
from pathlib import Path

from pipeline import deciding
from pipeline.base import params as parameters
from pipeline.registry import chosen, decisions
from pipeline.registry.client import Registry
from pipeline.settings import Params

EXAMPLE = 'python -m pipeline reject 7 --why "learned from the wrong labels of batch 12"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("version", metavar="VERSION", help="its number, e.g. 7")
    deciding.configure(parser)


def run(version: str, why: str, params: Path, scratch: Path) -> int:
    """Decline a version: it waits no more, and no rerun promotes it."""
    settings = parameters.load(params, Params)
    registry = Registry.existing(settings.resolve)
    done = decisions.reject(registry, chosen.named(registry, version), why)
    deciding.tell("reject", registry, settings, done, scratch)
    return 0
