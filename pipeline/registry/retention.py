"""Retention: which versions keep their data, by a rule that a person gives and by what cycles may still need."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.base.errors import PipelineError
from pipeline.registry.client import Registry
from pipeline.registry.events import Events
from pipeline.registry.version import Version, name

DAY = 24 * 3600


@dataclass(frozen=True)
class Retention:
    """Which versions to keep: all that any part of it names."""

    champions: bool
    """All that ever were champion."""
    last: int
    """So many of the newest ones."""
    days: float
    """Those that were registered in so many days."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """A rule from its words, e.g. `champion,last=10,days=90`.

        Raises:
            PipelineError: there is a word that is none.
        """
        champions, last, days = False, 0, 0.0
        for word in map(str.strip, text.split(",")):
            number = re.fullmatch(r"(last|days)=(\d{1,6})", word)
            if number and number[1] == "last":
                last = max(last, int(number[2]))
            elif number:
                days = max(days, float(number[2]))
            elif word == "champions":
                champions = True
            elif word != "champion":
                raise PipelineError(
                    f"--keep {text}: {word!r} is no rule; expected some of champion, champions (all that ever were), "
                    "last=N (newest versions) and days=N, with commas between them, e.g. champion,last=10,days=90"
                )
        return cls(champions, last, days)


def kept(
    versions: Sequence[Version],
    rule: Retention,
    aliases: Mapping[str, int],
    champions: Iterable[int],
    ages: Mapping[int, float],
    pinned: Iterable[int],
    data: str,
) -> dict[int, str]:
    """The versions whose data stays, newest first, each with the reason.

    Whatever the rule says, those stay that an alias names (the champion, the best so far, what waits for approval), and
    those that the next cycle, or one that is not over, begins with: the newest version and the versions on today's
    data, with their parents, their rivals and whoever remembers their splits.

    Args:
        versions: all that are whole, newest first.
        rule: of a person.
        aliases: number of a version by alias.
        champions: numbers of all versions that ever were champion.
        ages: seconds since each was registered.
        pinned: what the cycle in this checkout begins with, or has to beat.
        data: digest of the batches in this checkout.
    """
    there = {version.number: version for version in versions}
    reasons: dict[int, str] = {}

    def keep(numbers: Iterable[int | None], why: str) -> None:
        for number in numbers:
            if number in there:
                reasons.setdefault(number, why)

    for alias, number in sorted(aliases.items()):
        keep([number], alias)
    of_today = [*versions[:1], *(version for version in versions if version.sources == data)]
    keep((version.number for version in versions[:1]), "newest")
    keep((version.number for version in of_today), "of today's data")
    for version in of_today:
        keep([version.parent], f"parent of {name(version)}")
        keep([version.champion], f"judged {name(version)}")
    keep(pinned, "pinned by the cycle in this checkout")
    keep(champions if rule.champions else (), "once champion")
    keep((version.number for version in versions[: rule.last]), f"last={rule.last}")
    keep((number for number, age in ages.items() if age < rule.days * DAY), f"days={rule.days:g}")
    return dict(sorted(reasons.items(), reverse=True))


def past_champions(registry: Registry) -> frozenset[int]:
    """The numbers of all that ever were champion: by the history, and by what was noted before there was one."""
    versions = registry.all()
    promoted = {version.number for version in versions if version.promoted}
    beaten = {version.champion for version in versions if version.champion}
    return Events(registry).story().champions | promoted | beaten
