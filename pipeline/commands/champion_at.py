"""Tell which version was champion at a time."""

import argparse
from datetime import UTC, datetime, time
from pathlib import Path

from pipeline.base import params as parameters
from pipeline.base import project
from pipeline.base.errors import RegistryError
from pipeline.registry.client import Registry
from pipeline.registry.events import Events
from pipeline.settings import Params

EXAMPLE = "python -m pipeline champion-at 2026-05-31"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("when", type=_time, metavar="DATE", help="e.g. 2026-05-31, its end; or 2026-05-31T14:30+02:00")
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")


def _time(text: str) -> datetime:
    """A time; without a zone it is UTC, and a date alone is its last moment."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no date; expected one such as 2026-05-31 or 2026-05-31T14:30+02:00"
        ) from None
    if len(text) == len("2026-05-31") and found.time() == time.min:
        found = datetime.combine(found, time.max)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def run(when: datetime, params: Path) -> int:
    """Tell which version was champion at a time, as the history has it. Prints its number alone on standard output."""
    registry = Registry.existing(parameters.load(params, Params).resolve)
    story = Events(registry).story()
    number = story.at(when.astimezone(UTC).isoformat(timespec="seconds"))
    if number is None:
        if not story.events:
            raise RegistryError(
                f"{registry.name} has no history yet; expected at least one champion; the next `dvc repro` begins it"
            )
        since = f"it begins on {story.events[0].when}"
        raise RegistryError(
            f"the history of {registry.name} knows no {registry.alias} at {when.isoformat()}: {since}; expected a "
            "later time; `python -m pipeline history` lists all"
        )
    print(number)
    return 0
