"""Addresses: where the MLflow UI shows what a card names. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """Links for a card that is shown in the MLflow UI."""

    version: Callable[[int], str]
    run: str
    artifact: Callable[[str], str]
    """Bytes of an artifact of the version's run, by its name: for pictures."""
    page: Callable[[str], str]
    """The page that shows an artifact."""


def link(words: str, artifact: str, addresses: Addresses | None) -> str:
    """A sentence that leads to an artifact; nothing where there are no addresses."""
    return f" [{words}]({addresses.page(artifact)})." if addresses else ""


def version(number: int, addresses: Addresses | None) -> str:
    """v7, with a link where there is one."""
    return f"[v{number}]({addresses.version(number)})" if addresses else f"v{number}"
