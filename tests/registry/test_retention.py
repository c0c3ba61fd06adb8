"""Which versions keep their data."""

from collections.abc import Mapping

import pytest

from pipeline.base.errors import PipelineError
from pipeline.registry import retention
from pipeline.registry.retention import DAY, Retention
from pipeline.registry.version import Version


def version(number: int, parent: int | str = "", rival: int | str = "", data: str = "") -> Version:
    tags = {"parent": str(parent), "rival": str(rival), "sources": data or f"d{number}"}
    return Version(number, f"r{number}", {f"evergreen.{name}": value for name, value in tags.items()})


EVERY = [version(9, 7, 8), version(8, 7, 7), *(version(number) for number in range(7, 0, -1))]


def kept(rule: str, aliases: Mapping[str, int] | None = None, data: str = "d9", **others: list[int]) -> dict[int, str]:
    champions, pinned = others.get("champions", [3]), others.get("pinned", [])
    ages = {number: (9 - number) * 10 * DAY for number in range(1, 10)}
    parsed = Retention.parse(rule)
    return retention.kept(EVERY, parsed, aliases or {"champion": 8}, champions, ages, pinned, data)


ALWAYS = {9: "newest", 8: "champion", 7: "parent of v9"}


def test_the_champion_and_what_the_next_cycle_begins_with_always_stay() -> None:
    assert kept("champion") == ALWAYS
    assert [*kept("champion")] == [9, 8, 7], "the newest first"


def test_whatever_an_alias_names_stays() -> None:
    aliases = {"champion": 8, "champion-anchor": 2, "challenger": 4, "gone": 99}
    assert kept("champion", aliases) == ALWAYS | {4: "challenger", 2: "champion-anchor"}


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("last=4", {6: "last=4"}),
        ("last=4,last=5", {6: "last=5", 5: "last=5"}),
        ("days=31", {6: "days=31"}),
        ("champions", {3: "once champion"}),
        (" champion , last=4,champions", {6: "last=4", 3: "once champion"}),
        ("last=0,days=0", {}),
    ],
)
def test_a_rule_adds_all_that_any_part_of_it_names(rule: str, more: Mapping[int, str]) -> None:
    assert kept(rule) == ALWAYS | more


def test_versions_on_the_data_of_this_checkout_stay_with_what_they_began_with() -> None:
    assert kept("champion", data="d8") == {9: "newest", 8: "champion", 7: "parent of v9"}
    assert kept("champion", data="d5") == ALWAYS | {5: "of today's data"}


def test_what_the_cycle_in_this_checkout_began_with_stays() -> None:
    assert kept("champion", pinned=[1]) == ALWAYS | {1: "pinned by the cycle in this checkout"}


@pytest.mark.parametrize("rule", ["", "champoin", "last=-1", "last=", "days=x", "champion;last=1", "last=9999999"])
def test_a_rule_that_is_none_is_refused_with_those_that_there_are(rule: str) -> None:
    with pytest.raises(PipelineError, match=r"is no rule; expected some of champion, champions \(all that ever were\)"):
        Retention.parse(rule)
