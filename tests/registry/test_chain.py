"""The chain of events: which count, who is champion, what people decided; and that nobody can change it unseen."""

import json
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies

from pipeline.registry.chain import KINDS, Chain, Event, Link, Story


def event(kind="promoted", version=1, source=None, **more):
    base = {"alias": "champion", "when": "2026-01-01T00:00:00+00:00", "who": "Ada", "why": "better", "key": "k"}
    return Event(**base | more, kind=kind, version=version, source=source)


def links(*events, start=1):
    """Entries that follow each other."""
    found, head = [], ""
    for number, one in enumerate(events, start):
        linked = replace(one, previous=head)
        found.append(Link(number, linked))
        head = linked.hash
    return found


def story(*events):
    return Story(tuple(events))


def test_an_event_is_read_as_it_was_written():
    one = event(verdict="v", data="d", run_id="r", lineage="l", previous="p")
    assert Event.from_json(one.to_json()) == one
    assert one.hash != replace(one, why="worse").hash


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "exploded"}, {"version": "1"}, {"version": True}, {"version": 0}, {"source": -1}, {"source": "1"},
        {"why": None}, {"when": "yesterday"}, {"unknown": 1}, {"who": 7}, {"previous": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_event_is_refused(change):
    text = json.dumps(json.loads(event().to_json()) | change)
    with pytest.raises(ValueError, match="no event of a history"):
        Event.from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, "\x00", '{"kind": NaN}'])
def test_text_that_is_no_event_is_refused(text):
    with pytest.raises(ValueError, match="no event of a history"):
        Event.from_json(text)


def test_of_two_events_that_name_the_same_one_the_first_counts():
    first, second = links(event(version=1), event(version=2, source=1))
    late = Link(3, replace(event(version=3, source=1), previous=first.event.hash))
    later = Link(4, replace(event(version=4, source=2), previous=second.event.hash))
    chain = Chain().extended([first, second, late, later])
    assert [link.number for link in chain.links] == [1, 2, 4]
    assert [link.number for link in chain.lost] == [3]
    assert (chain.gaps, chain.unreadable, chain.number) == ((), (), 4)
    assert chain.of("champion").champion == 4


def test_a_second_beginning_does_not_count():
    first, second = links(event(version=1)), links(event(version=2), start=2)
    assert Chain().extended([*first, *second]).of("champion").champion == 1


def test_an_event_that_was_deleted_leaves_a_gap():
    first, _, third = links(event(version=1), event(version=2, source=1), event(version=3, source=2))
    chain = Chain().extended([first, third])
    assert chain.gaps == (3,)
    assert chain.of("champion").champion == 3, "and the story goes on"


def test_an_event_that_was_changed_leaves_a_gap():
    first, second, third = links(event(version=1), event(version=2, source=1), event(version=3, source=2))
    chain = Chain().extended([first, replace(second, event=replace(second.event, why="forged")), third])
    assert chain.gaps == (3,)


def test_what_cannot_be_read_is_told_and_passed_over():
    first, second = links(event(version=1), event(version=2, source=1))
    chain = Chain().extended([first, Link(5, None), replace(second, number=6)])
    assert chain.unreadable == (5,)
    assert chain.of("champion").champion == 2


@hypothesis.given(strategies.lists(strategies.integers(0, 3), max_size=12), strategies.integers(0, 12))
def test_it_does_not_matter_in_how_many_parts_a_chain_is_read(choices, at):
    found, heads = [], [""]
    for number, choice in enumerate(choices, 1):
        one = event(version=number, previous=heads[-1 - choice % len(heads)], key=str(number))
        found.append(Link(number, one))
        heads.append(one.hash)
    assert Chain().extended(found[:at]).extended(found[at:]) == Chain().extended(found)


def test_each_alias_has_a_story_of_its_own():
    chain = Chain().extended(links(event(version=1), event(version=2, alias="other")))
    assert (chain.of("champion").champion, chain.of("other").champion) == (1, 2)
    assert chain.of("third").champion is None


def test_the_champion_is_the_one_of_the_last_move():
    moves = [event("began", 1), event(version=2, source=1), event("rejected", 3, 2), event("rolled back", 1, 2)]
    for count, champion in enumerate((None, 1, 2, 2, 1)):
        assert story(*moves[:count]).champion == champion
    assert story(*moves).champions == {1, 2}
    assert story(*moves).before(1) == 2


def test_the_champion_at_a_time():
    moves = [event(version=1, when="2026-01-01T00:00:00+00:00"), event(version=2, when="2026-02-01T00:00:00+00:00")]
    found = [story(*moves).at(when) for when in ("2025-12-31", "2026-01-01T00:00:00+00:00", "2026-01-31", "2026-02-02")]
    assert found == [None, 1, 1, 2]


@pytest.mark.parametrize(
    ("events", "waiting"),
    [
        ([event("nominated", 2, 1)], 2),
        ([event("nominated", 2, 1), event("nominated", 3, 1)], 3),
        ([event("nominated", 2, 1), event("rejected", 2, 1)], None),
        ([event("nominated", 2, 1), event("promoted", 2, 1)], None),
        ([event("nominated", 2, 1), event("moved", 2, 1)], None),
        ([event("nominated", 2, 1), event("promoted", 3, 1)], None),
        ([event("nominated", 2, 1), event("nominated", 3, 1), event("rejected", 3, 1)], 2),
    ],
)
def test_which_version_waits_for_a_person(events, waiting):
    assert story(event("began", 1), *events).waiting == waiting


@pytest.mark.parametrize(
    ("events", "standings"),
    [
        ([event(version=2, source=1, verdict="v")], {1: "was champion", 2: "champion"}),
        ([event(version=2, source=1), event("rolled back", 1, 2)], {1: "champion", 2: "rolled back"}),
        ([event(version=2, source=1), event("moved", 1, 2)], {1: "champion", 2: "rolled back"}),
        ([event("moved", 2, 1)], {1: "was champion", 2: "champion"}),
        ([event(version=3, source=1), event(version=2, source=3, verdict="v")], {3: "was champion", 2: "champion"}),
        ([event(version=3, source=1), event(version=2, source=3)], {3: "rolled back", 2: "champion"}),
        ([event("rejected", 2, 1)], {1: "champion", 2: "rejected", 3: ""}),
        ([event("nominated", 2, 1)], {2: "waiting"}),
        (
            [event(version=2, source=1), event("rolled back", 1, 2), event(version=2, source=1)],
            {1: "was champion", 2: "champion"},
        ),
        ([event("rejected", 2, 1), event(version=2, source=1)], {2: "champion"}),
    ],
)
def test_what_became_of_each_version(events, standings):
    told = story(event("began", 1), *events)
    assert {number: told.standing(number) for number in standings} == standings
    declined = {number for number, standing in standings.items() if standing in ("rejected", "rolled back")}
    assert {number for number in standings if told.declined(number)} == declined
    assert len(told.setbacks) == len(declined)


@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.sampled_from(KINDS), strategies.integers(1, 4)), max_size=8)
)
def test_every_story_has_an_answer_to_everything(rows):
    events, champion = [], None
    for kind, version in rows:
        events.append(event(kind, version, champion))
        champion = story(*events).champion
    told = story(*events)
    for version in range(1, 5):
        assert (told.standing(version) == "champion") == (version == told.champion)
        assert not (told.is_waiting(version) and told.declined(version))
    assert (told.champion is None) == (not told.champions)
