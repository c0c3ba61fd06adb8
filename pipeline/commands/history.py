"""List what happened to the champion: each move of its alias, when, by whom and why."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from pipeline.base import params as parameters
from pipeline.base import project
from pipeline.registry.chain import Chain
from pipeline.registry.client import Registry
from pipeline.registry.events import told
from pipeline.registry.transitions import Transitions
from pipeline.settings import Params

EXAMPLE = "python -m pipeline history --json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="a JSON list of events instead, oldest first"
    )
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")


def run(as_json: bool, params: Path) -> int:
    """List what happened to the champion: each move of its alias, when, by whom and why. Nothing is changed."""
    registry = Registry.existing(parameters.load(params, Params).resolve)
    transitions = Transitions(registry)
    chain = transitions.chain()
    if as_json:
        print(_listed(chain))
        return 0
    for number, event in chain.numbered():
        other = f"alias {event.alias}, " if event.alias != registry.alias else ""
        print(f"{number}: {other}{told(event)}")
    if astray := transitions.astray():
        print(f"not in it: {astray.what}; {astray.remedy}")
    for review in transitions.unread_reviews():
        print(f"not in it: {review}")
    if not chain.links:
        print(f"{registry.name} has no history yet; the next `dvc repro` begins it")
    for number in chain.gaps:
        print(
            f"warning: what came before entry {number} was deleted or changed; `python -m pipeline verify` tells more"
        )
    return 0


def _listed(chain: Chain) -> str:
    rows = [{"number": number, **asdict(event), "hash": event.hash} for number, event in chain.numbered()]
    return json.dumps(rows, indent=1)
