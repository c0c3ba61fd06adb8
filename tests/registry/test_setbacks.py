"""Batches that came with versions from which people went back: which are named, and with which command."""

import samples

from pipeline.artifacts.sources import Source
from pipeline.base.errors import LostError
from pipeline.registry import setbacks
from pipeline.registry.chain import Event, Story
from pipeline.registry.version import Version

OLD, NEW, GROWN = (
    Source("data/images/a", "a.dir", 3),
    Source("data/images/b", "b.dir", 3),
    Source("data/images/a", "c.dir", 5),
)


def event(kind, version, source):
    when = "2026-01-01T00:00:00+00:00"
    return Event(kind=kind, alias="champion", version=version, source=source, when=when, who="Ada", why="worse")


STORY = Story((event("promoted", 1, None), event("promoted", 2, 1), event("rolled back", 1, 2)))


def left(batches, sources, story=STORY):
    """What is left of versions of these batches."""

    def lineage(version):
        if sources[version.number] is None:
            raise LostError("the lineage is gone", "restore it")
        return samples.lineage(sources=sources[version.number], commit="abc+")

    return setbacks.left(lambda number: Version(number, "run", {"evergreen.lineage": "l"}), story, batches, lineage)


def test_a_batch_that_came_with_it_is_named_with_the_command_that_takes_it_out():
    (found,) = left((OLD, NEW), {1: (OLD,), 2: (OLD, NEW)})
    assert found.told({}) == (
        "v2 was rolled back by Ada (worse); it learned from data/images/b, which v1 did not, and that is still in the "
        "data: what is trained learns from it again; to take it out: `dvc remove --outs data/images/b.dvc`, then commit"
    )


def test_of_several_one_may_be_at_fault_and_one_that_grew_goes_back_to_what_the_champion_knows():
    (found,) = left((GROWN, NEW), {1: (OLD,), 2: (GROWN, NEW)})
    told = found.told({"data/images/a": "data/images/a b.dvc"})
    assert "it learned from data/images/a, data/images/b, which v1 did not" in told
    assert "look which of them is at fault; to take one out: `git checkout abc -- 'data/images/a b.dvc' && dvc " in told
    assert "checkout 'data/images/a b.dvc'` or `dvc remove --outs data/images/b.dvc`, then commit" in told


def test_what_was_taken_out_or_changed_since_is_not_named():
    assert left((OLD,), {1: (OLD,), 2: (OLD, NEW)}) == []
    assert left((OLD, Source("data/images/b", "d.dir", 2)), {1: (OLD,), 2: (OLD, NEW)}) == []


def test_a_version_of_which_nothing_can_be_told_any_more_ends_nothing():
    assert left((OLD, NEW), {1: (OLD,), 2: None}) == []
    assert left((OLD, NEW), {1: None, 2: (OLD, NEW)}) == []


def test_without_a_setback_nothing_is_looked_at():
    assert left((OLD,), {}, Story((event("promoted", 1, None),))) == []
    assert left((OLD,), {}, Story(())) == []
