from dataclasses import replace
from typing import Any

import pytest

from pipeline.judging.paired import Counts
from pipeline.learning import ladder
from pipeline.learning.ladder import Place, Plan
from pipeline.learning.settings import Train
from pipeline.settings import Params


@pytest.fixture
def train(settings: Params) -> Train:
    return settings.train.model_copy(update={"start": "warm", "audit_every": 3, "restore": ()})


def pinned(rung: int = 0, cycles: int = 0, version: int | None = 4) -> dict[str, Any]:
    return {"version": version, "ladder": {"rung": rung, "cycles": cycles}}


def test_without_a_version_there_is_nothing_to_start_from(train: Train) -> None:
    plan = ladder.plan({"version": None}, train)
    assert (plan.kind, plan.reason) == ("cold", "fresh weights: no version to start from")
    assert plan.needs_all
    assert not plan.is_audited


@pytest.mark.parametrize(
    ("start", "kind", "reason"),
    [
        ("warm", "warm", "from v4, its weights"),
        ("shrink", "shrink", "from v4, its weights shrunk and perturbed: train.start is shrink"),
        ("cold", "cold", "fresh weights: train.start is cold"),
    ],
)
def test_params_say_how_a_cycle_starts(train: Train, start: str, kind: str, reason: str) -> None:
    plan = ladder.plan(pinned(), train.model_copy(update={"start": start}))
    assert (plan.kind, plan.reason, plan.is_audited) == (kind, reason, False)
    assert plan.needs_all == (kind != "warm")


def test_what_is_restored_is_said(train: Train) -> None:
    restored = train.model_copy(update={"restore": ("optimizer", "learning_rate")})
    assert ladder.plan(pinned(), restored).reason == "from v4, its weights, optimizer, learning_rate"


def test_a_parent_from_before_the_ladder_stands_at_its_foot(train: Train) -> None:
    assert ladder.plan({"version": 4}, train).place == Place(0, 0)


@pytest.mark.parametrize(
    ("rung", "kind", "why"),
    [
        (0, "warm", "from v4, its weights"),
        (1, "warm", "from v4, its weights"),
        (2, "shrink", "shrunk and perturbed: audits found training from scratch better (rung 2 of 3)"),
        (3, "cold", "audits found training from scratch better (rung 3 of 3)"),
    ],
)
def test_what_audits_found_decides_the_start(train: Train, rung: int, kind: str, why: str) -> None:
    plan = ladder.plan(pinned(rung, 1), train)
    assert (plan.kind, plan.is_audited) == (kind, False)
    assert plan.reason.endswith(why)


@pytest.mark.parametrize("rung", [0, 1, 2, 3])
def test_without_audits_every_start_is_warm_whatever_audits_found_before(train: Train, rung: int) -> None:
    plan = ladder.plan(pinned(rung, 9), train.model_copy(update={"audit_every": None}))
    assert (plan.kind, plan.reason, plan.is_audited) == ("warm", "from v4, its weights", False)
    assert ladder.after(plan, None, is_cut=False) == Place(0, 1)


@pytest.mark.parametrize(("cycles", "is_audited"), [(0, False), (1, False), (2, True), (3, True)])
def test_an_audit_is_due_every_so_many_cycles(train: Train, cycles: int, is_audited: bool) -> None:
    plan = ladder.plan(pinned(0, cycles), train)
    assert plan.is_audited == plan.needs_all == is_audited
    assert (
        f"; audited against training from scratch, {cycles + 1} cycles after the last audit or cold start"
        in plan.reason
    ) == is_audited
    assert not ladder.plan(pinned(0, cycles), train.model_copy(update={"audit_every": None})).is_audited


@pytest.mark.parametrize(("rung", "kind"), [(0, "warm"), (1, "warm"), (2, "shrink"), (3, "shrink")])
def test_an_audit_asks_whether_something_cheaper_than_scratch_would_do(train: Train, rung: int, kind: str) -> None:
    assert ladder.plan(pinned(rung, 2), train).kind == kind


def plan(kind: Any, rung: int, cycles: int, is_audited: bool = False) -> Plan:
    return Plan(kind, "why", is_audited, Place(rung, cycles))


@pytest.mark.parametrize(
    ("rung", "is_better", "then"),
    [(0, True, 1), (1, True, 2), (2, True, 3), (3, True, 3), (3, False, 2), (1, False, 0), (0, False, 0)],
)
def test_an_audit_leads_a_rung_up_or_down(rung: int, is_better: bool, then: int) -> None:
    assert ladder.after(plan("warm", rung, 2, True), is_better, is_cut=True) == Place(then, 0)


@pytest.mark.parametrize(
    ("done", "then"),
    [
        (plan("warm", 0, 0), Place(0, 1)),
        (plan("shrink", 2, 1), Place(2, 2)),
        (plan("cold", 3, 1), Place(3, 2)),
        (plan("cold", 0, 7), Place(0, 0)),
        (plan("cold", 1, 7), Place(0, 0)),
        (plan("warm", 0, 2, True), Place(0, 3)),
    ],
    ids=["warm", "shrink", "cold by audits", "cold by params", "cold by params, higher up", "nothing to audit"],
)
def test_without_a_finding_cycles_are_counted_and_a_cold_start_begins_anew(done: Plan, then: Place) -> None:
    assert ladder.after(done, None, is_cut=False) == then


def test_an_audit_that_the_budget_cuts_short_is_repeated_when_the_next_is_due() -> None:
    assert ladder.after(plan("shrink", 2, 9, True), None, is_cut=True) == Place(2, 0)
    assert ladder.after(plan("shrink", 2, 9), None, is_cut=True) == Place(2, 10)


def test_from_foot_to_top_and_down_again(train: Train) -> None:
    """Every third cycle is audited; scratch is better thrice, then not."""
    kinds, place, findings = [], Place(), iter([True, True, True, False, False, False])
    for _ in range(18):
        done = ladder.plan({"version": 1, "ladder": place.to_json()}, train)
        kinds.append(done.kind + "!" * done.is_audited)
        place = ladder.after(done, next(findings) if done.is_audited else None, is_cut=False)
    assert kinds == [
        *("warm", "warm", "warm!"),
        *("warm", "warm", "warm!"),
        *("shrink", "shrink", "shrink!"),
        *("cold", "cold", "shrink!"),
        *("shrink", "shrink", "shrink!"),
        *("warm", "warm", "warm!"),
    ]
    assert place == Place(0, 0)


@pytest.mark.parametrize(
    ("gained", "lost", "is_better"), [(60, 20, True), (20, 60, False), (22, 20, False), (1, 0, False), (0, 0, False)]
)
def test_scratch_has_to_be_better_beyond_chance(gained: int, lost: int, is_better: bool) -> None:
    counts = Counts(both=400, champion_only=lost, challenger_only=gained, neither=100)
    assert ladder.is_surely_better(counts) == is_better


def test_a_place_survives_json() -> None:
    assert Place(**Place(2, 5).to_json()) == Place(2, 5) != replace(Place(2, 5), rung=1)


@pytest.mark.parametrize(
    ("is_better", "words"),
    [
        (True, "it is surely better, and kept"),
        (False, "it is not surely better, and dropped"),
        (None, "it is not surely better as far as the budget went, which says nothing, and dropped"),
    ],
)
def test_findings_are_told(is_better: bool | None, words: str) -> None:
    found = {"is_scratch_better": is_better, "val_images": 500, "gained": 40, "lost": 9}
    said = ladder.finding(found)
    assert said.endswith(words)
    assert "of 500 validation images the model from scratch gets 40 right" in said
