"""Go back to an earlier champion, which has to answer as it did before; the history tells who did it and why."""

import argparse
from pathlib import Path

from pipeline import deciding
from pipeline.base import params as parameters
from pipeline.registry import chosen, decisions
from pipeline.registry.client import Registry
from pipeline.settings import Params

EXAMPLE = 'python -m pipeline rollback --why "mistakes cats for dogs in the new shop"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("version", nargs="?", metavar="VERSION", help="to which, e.g. 7 (default: the one before)")
    deciding.configure(parser)


def run(version: str | None, why: str, params: Path, scratch: Path) -> int:
    """Go back to an earlier champion.

    It is loaded from the registry and has to answer first. The version that is left is not promoted again by any rerun.
    """
    settings = parameters.load(params, Params)
    registry = Registry.existing(settings.resolve)
    target = chosen.named(registry, version) if version else None
    prove = deciding.prover(registry, settings, scratch)
    done = decisions.roll_back(registry, target, why, prove)
    deciding.tell("rollback", registry, settings, done, scratch)
    return 0
