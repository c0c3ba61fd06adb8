"""Make a version champion, whatever its verdict says; the history tells who did it and why."""

import argparse
from pathlib import Path

from pipeline import deciding
from pipeline.base import params as parameters
from pipeline.registry import chosen, decisions
from pipeline.registry.chain import Event
from pipeline.registry.client import Registry
from pipeline.registry.events import Events
from pipeline.registry.version import Version
from pipeline.settings import Params

EXAMPLE = 'python -m pipeline promote 7 --why "looked at the 20 images that it loses, they are mislabelled"'


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("version", metavar="VERSION", help="its number, e.g. 7")
    deciding.configure(parser)


def run(version: str, why: str, params: Path, scratch: Path) -> int:
    """Make a version champion, whatever its verdict says: one that waits, or any other that a cycle made.

    It is loaded from the registry and has to answer as it was judged first.
    """
    settings = parameters.load(params, Params)
    registry = Registry.existing(settings.resolve)
    named = chosen.named(registry, version)
    declined = Events(registry).story().kept_out(named.number, named.run_key)
    done = decisions.promote(registry, named, why, deciding.prover(registry, settings, scratch))
    if declined:
        print(
            f"promote: {declined.who} declined {_called(declined, named)} before ({declined.why}); that counts no more"
        )
    if named.verdict not in ("", "promote"):
        print(f"promote: the verdict on v{named.number} is {named.verdict}; you decided otherwise, and that is kept")
    deciding.tell("promote", registry, settings, done, scratch)
    return 0


def _called(declined: Event, version: Version) -> str:
    same = "" if declined.left == version.number else ", the same model,"
    return f"v{declined.left}{same}"
