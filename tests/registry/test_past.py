"""What past cycles gave and cost, as cards and pictures are told of it, also of runs with the names of before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from versions import register

from pipeline.artifacts.past import PastCycle
from pipeline.registry import past
from pipeline.registry.client import Registry
from pipeline.registry.promotion import Promote


def test_each_version_tells_what_it_gave_and_cost(fresh: Callable[[], Registry], tmp_path: Path) -> None:
    reg = fresh()
    for key, tags in (("a", {"verdict": "promote", "standing": "champion"}), ("b", {"verdict": "reject"})):
        register(reg, key, tmp_path, sources="s", **tags)
    today = {
        "holdout/champion_accuracy": 0.5,
        "holdout/accuracy": 0.75,
        "holdout/negative_flips": 0.125,
        "cost/passes": 100.0,
        "cost/seconds": 9.5,
        "data/images": 40.0,
    }
    before = {"holdout_accuracy_challenger": 0.25, "passes": 7.0}
    for number, metrics, start in ((1, before, "cold: no version to start from"), (2, today, "warm: from v1")):
        reg.runs.of(reg.version(number)).log(metrics, {}, {"evergreen.start": start})
    assert past.cycles(reg) == (
        PastCycle(
            version=1,
            standing="champion",
            verdict="promote",
            champion=None,
            accuracy=0.25,
            lost=None,
            passes=7.0,
            seconds=None,
            images=None,
            start="cold",
        ),
        PastCycle(
            version=2,
            standing="",
            verdict="reject",
            champion=0.5,
            accuracy=0.75,
            lost=0.125,
            passes=100.0,
            seconds=9.5,
            images=40,
            start="warm",
        ),
    )


@pytest.mark.parametrize(
    ("rate", "seconds", "price"),
    [("0.40 EUR", 180.0, "0.02 EUR"), ("3600 CHF", 1.5, "1.50 CHF"), (None, 9.0, ""), ("1 EUR", None, "")],
)
def test_what_a_training_cost_is_told_where_somebody_says_what_an_hour_costs(
    rate: Any, seconds: float | None, price: str
) -> None:
    assert Promote(automatic=True, notify=(), cost_per_hour=rate).price(seconds) == price
