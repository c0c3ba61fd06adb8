"""What becomes of each object; and what is known of objects at different places."""

from datetime import UTC, datetime

import polars as pl
import pytest

from pipeline.data import collection, objects
from pipeline.data.collection import GARBAGE, NEEDED, UNKNOWN, YOUNG


def held(*rows: tuple[str, str, float | None]) -> pl.DataFrame:
    """Place, hash and time of change of each object."""
    table = [(place, digest, 10, changed) for place, digest, changed in rows]
    return pl.DataFrame(table, schema=["place", "digest", "bytes", "changed"], orient="row")


def fates(table: pl.DataFrame, needed: set[str], implied: set[str]) -> dict[tuple[str, str], str]:
    kinds = dict.fromkeys(["old", "new", "needed", "implied", "timeless"], "images")
    plan = collection.plan(table, needed, implied, kinds, before=100.0)
    return {(place, digest): fate for place, digest, fate in plan.rows.select("place", "digest", "fate").rows()}


def test_only_what_is_known_and_old_and_not_needed_goes() -> None:
    table = held(
        ("cache", "old", 1.0), ("cache", "new", 100.0), ("cache", "needed", 1.0), ("cache", "implied", 1.0),
        ("cache", "timeless", None), ("cache", "alien", 1.0),
    )  # fmt: skip
    assert {digest: fate for (_, digest), fate in fates(table, {"needed"}, {"implied", "alien"}).items()} == {
        "old": GARBAGE, "new": YOUNG, "needed": NEEDED, "implied": NEEDED, "timeless": YOUNG, "alien": UNKNOWN,
    }  # fmt: skip


def test_what_came_lately_to_one_place_is_young_at_all_of_them() -> None:
    table = held(("cache", "old", 200.0), ("remote", "old", 1.0))
    assert set(fates(table, set(), set()).values()) == {YOUNG}


def test_listings_that_stay_are_the_unknown_and_the_young_ones() -> None:
    table = held(("cache", "a.dir", 1.0), ("cache", "b.dir", 200.0), ("cache", "c.dir", 1.0), ("cache", "d", 200.0))
    assert collection.stays(table, {"a.dir": "images", "b.dir": "images"}, 100.0) == {"b.dir", "c.dir"}


def test_the_latest_time_that_a_remote_says_counts() -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert objects._changed({"LastModified": noon, "size": 1}) == noon.timestamp()
    assert objects._changed({"updated": noon.isoformat(), "mtime": 1}) == noon.timestamp()
    assert objects._changed({"updated": "2026-05-01T12:00:00.000Z"}) == noon.timestamp()
    assert objects._changed({"updated": "yesterday", "created": None}) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'[{"md5": "a"}]', b"\xff", b"[" * 100_000])
def test_a_listing_that_is_none_names_nothing(content: bytes) -> None:
    table = objects.entries(content)
    assert table is None or table.is_empty()
