"""What the history of a registry says of a version, in the words of its card."""

from typing import Any

import pytest
import samples

from pipeline import filing
from pipeline.registry.chain import Event, Story
from pipeline.registry.version import Version
from pipeline.showing.card import card


def event(kind: Any, version: int, source: int | None = None, verdict: str = "", why: str = "looked at it") -> Event:
    return Event(
        kind=kind, alias="champion", version=version, source=source, when="2026-11-28T10:00:00+00:00", who="Ann",
        why=why, verdict=verdict,
    )  # fmt: skip


def version(number: int, verdict: str = "promote") -> Version:
    return Version(number, "run", {"evergreen.verdict": verdict, "evergreen.rival": "1"})


FIRST = event("promoted", 1, verdict="v")


@pytest.mark.parametrize(
    ("events", "verdict", "expected"),
    [
        ((FIRST, event("promoted", 2, 1, "v")), "promote", ("champion", "by the verdict, Ann, 2026-11-28", False)),
        ((FIRST, event("promoted", 2, 1)), "promote", ("champion", "Ann, 2026-11-28: looked at it", True)),
        ((FIRST, event("moved", 2, 1)), "reject", ("champion", "Ann, 2026-11-28: looked at it", True)),
        ((FIRST, event("nominated", 2, 1)), "promote", ("waiting", "", False)),
        ((FIRST, event("rejected", 2, 1)), "promote", ("rejected", "Ann, 2026-11-28: looked at it", True)),
        ((FIRST,), "reject", ("", "by the verdict", False)),
        ((FIRST,), "", ("", "", False)),
        (
            (FIRST, event("promoted", 2, 1, "v"), event("rolled back", 1, 2)),
            "promote",
            ("rolled back", "Ann, 2026-11-28: looked at it", True),
        ),
    ],
)
def test_who_decided_and_when(events: tuple[Event, ...], verdict: str, expected: tuple[str, str, bool]) -> None:
    filed = filing.filed(version(2, verdict), Story(events), "champion", "so it is")
    assert (filed.standing, filed.decided, filed.is_person) == expected
    assert (filed.number, filed.rival, filed.decision, filed.said) == (2, 1, verdict, "so it is")
    assert filed.is_promoted == any(one.version == 2 and one.kind in ("promoted", "moved") for one in events)


def test_a_champion_to_which_a_person_went_back_is_called_so() -> None:
    story = Story((FIRST, event("promoted", 2, 1, "v"), event("rolled back", 1, 2)))
    assert filing.filed(version(1), story, "champion", "").is_back
    assert not filing.filed(version(2), story, "champion", "").is_back


def test_a_description_tells_what_became_of_its_version_by_now() -> None:
    before = card(samples.review(), samples.filed(number=2, rival=1, standing="waiting", decided=""), None)
    story = Story((FIRST, event("promoted", 2, 1)))
    after = filing.retold(before, version(2), story, "champion", "v2 is champion")
    assert after.startswith("approved: 90.0 %")
    assert "**Decided**: v2 is champion (Ann, 2026-11-28: looked at it)" in after
