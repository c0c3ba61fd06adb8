"""Check that the registry is what it says: history, aliases, the bytes of each version."""

import argparse
from pathlib import Path

from pipeline.base import params as parameters
from pipeline.base import project
from pipeline.base.errors import RegistryError
from pipeline.base.words import counted
from pipeline.registry import verification
from pipeline.registry.client import Registry
from pipeline.registry.transitions import Transitions
from pipeline.registry.version import Version
from pipeline.settings import Params

EXAMPLE = "python -m pipeline verify --all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--all", action="store_true", dest="is_all", help="the artifacts of each version, not only of those in use"
    )
    parser.add_argument("--params", type=project.given, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--scratch", type=project.given, default=Path("data/scratch"), help="default: data/scratch")


def run(is_all: bool, params: Path, scratch: Path) -> int:
    """Check that the registry is what it says: history, aliases, and the bytes of the versions in use.

    No event of the history may be deleted or changed, and the aliases have to be where it says. The files of the
    champion, of the best so far and of the version that waits have to be there. Nothing is changed. Exit code 5 if
    anything is wrong.
    """
    registry = Registry.existing(parameters.load(params, Params).resolve)
    transitions = Transitions(registry)
    seen, chain = transitions.aliases(), transitions.chain(is_fresh=True)
    story, versions = chain.of(registry.alias), registry.all()
    found = [
        *verification.of_history(chain, seen, transitions.history),
        *verification.of_aliases(transitions, registry, scratch / "objects"),
        *verification.of_seconds(versions),
    ]
    used = {story.champion, seen.version, seen.challenger, _number(registry.anchor())}
    checked = [version for version in reversed(versions) if is_all or version.number in used]
    for version in checked:
        print(f"verify: v{version.number}", flush=True)
        found += verification.of_version(registry, version)
    for review in transitions.unread_reviews():
        print(f"verify: note: {review}")
    for note in verification.remains(registry, story, versions):
        print(f"verify: note: {note}")
    for one in found:
        print(f"verify: {one.what}; {one.remedy}")
    if found:
        raise RegistryError(
            f"{registry.name} is not what it says in {counted(len(found), 'respect')}, listed above with what to do; "
            "expected none; nothing was changed"
        )
    print(
        f"verify: {counted(len(chain.links), 'event')}, {counted(len(versions), 'version')}, the artifacts of "
        f"{len(checked)} of them: all as they should be"
    )
    return 0


def _number(version: Version | None) -> int | None:
    return version.number if version else None
