"""The version that answers: the champion, or the one that a person names, with its model, verified by SHA-256."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts.lineage import WEIGHTS, Lineage
from pipeline.base.errors import LostError, RegistryError
from pipeline.registry.client import Registry
from pipeline.registry.version import Version

DIGITS = 9
"""Of a version's number, at most; a longer one is no number to a database."""

LISTED = 5
"""Versions that an error names."""


@dataclass(frozen=True)
class Chosen:
    """A version with what its model is made of."""

    version: Version
    lineage: Lineage
    weights: Path
    """Those that are served."""


def fetch(registry: Registry, number: str | None, objects: Path) -> Chosen:
    """A version, fetched.

    Args:
        registry: whose version.
        number: as a person writes it, e.g. 7 or v7; None: the champion.
        objects: folder of downloads.

    Raises:
        RegistryError: there is no such version, or MLflow does not answer.
        LostError: its files are gone or damaged, or Evergreen did not register it.
    """
    version = champion(registry) if number is None else named(registry, number)
    lineage = registry.lineage(version, objects)
    if WEIGHTS not in lineage.files:
        raise LostError(
            f"the lineage of {registry.name} v{version.number} names no {WEIGHTS}",
            "name another version, or use the version of Evergreen that registered it",
        )
    return Chosen(version, lineage, registry.download(version.run_id, WEIGHTS, lineage.files[WEIGHTS], objects))


def champion(registry: Registry) -> Version:
    """The champion.

    Raises:
        RegistryError: there is none; names the newest versions that there are.
    """
    found = registry.champion()
    if found is not None:
        return found
    newest = registry.all(at_most=LISTED + 1)
    if not newest:
        raise RegistryError(f"{registry.name} has no version yet; `dvc repro` makes the first one")
    listed = ", ".join(f"v{one.number}" for one in newest[:LISTED])
    more = ", ..." if len(newest) > LISTED else ""
    raise RegistryError(
        f"{registry.name} has no {registry.alias}; expected the alias {registry.alias} on one of its versions "
        f"({listed}{more}); name one: --version {newest[0].number}"
    )


def named_or_newest(registry: Registry, number: str | None) -> Version:
    """A version that a person names, or the newest that Evergreen registered if nobody names one.

    Raises:
        RegistryError: there is no such version.
    """
    if number is not None:
        return named(registry, number)
    newest = registry.newest_whole()
    if newest is None:
        raise RegistryError(f"{registry.name} has no version yet; `dvc repro` makes the first one")
    return newest


def named(registry: Registry, number: str) -> Version:
    """A version by its number, as a person writes it.

    Raises:
        RegistryError: there is none of that number.
    """
    bare = number.removeprefix("v")
    found = registry.find(int(bare)) if bare.isdecimal() and len(bare) <= DIGITS else None
    if found is None:
        raise RegistryError(
            f"{registry.name} has no version {number!r}; expected a number that the MLflow UI lists, e.g. 7"
        )
    return found
