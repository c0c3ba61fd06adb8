import json
from typing import Any

import pytest
from samples import parent

from pipeline.artifacts.parent import Parent
from pipeline.artifacts.training import Audit, Place
from pipeline.judging.paired import Counts
from pipeline.learning import ladder
from pipeline.learning.ladder import Growth, Plan
from pipeline.learning.settings import Train
from pipeline.settings import Params


@pytest.fixture
def train(settings: Params) -> Train:
    return settings.train.model_copy(update={"start": "warm", "audit_every": 3, "audit_above": 0.5, "restore": ()})


def planned(pinned: Parent, train: Train, num_new: int = 10) -> Plan:
    return ladder.plan(pinned, train, Growth(num_new, num_known=100))


def place(rung: int, cycles: int) -> Place:
    return Place(rung=rung, cycles=cycles)


def reason(plan: Plan, train: Train, version: int | None = 4) -> str:
    return ladder.reason(plan, version, train)


def test_without_a_version_there_is_nothing_to_start_from(train: Train) -> None:
    plan = planned(parent(None), train)
    assert (plan.kind, reason(plan, train, None)) == ("cold", "fresh weights: no version to start from")
    assert plan.needs_all
    assert not plan.is_audited


@pytest.mark.parametrize(
    ("start", "kind", "why"),
    [
        ("warm", "warm", "from v4, its weights"),
        ("shrink", "shrink", "from v4, its weights shrunk and perturbed: train.start is shrink"),
        ("cold", "cold", "fresh weights: train.start is cold"),
    ],
)
def test_params_say_how_a_cycle_starts(train: Train, start: str, kind: str, why: str) -> None:
    asked = train.model_copy(update={"start": start})
    plan = planned(parent(), asked)
    assert (plan.kind, reason(plan, asked), plan.is_audited) == (kind, why, False)
    assert plan.needs_all == (kind != "warm")


def test_what_is_restored_is_said(train: Train) -> None:
    restored = train.model_copy(update={"restore": ("optimizer", "learning_rate")})
    assert reason(planned(parent(), restored), restored) == "from v4, its weights, optimizer, learning_rate"


def test_a_parent_from_before_the_ladder_stands_at_its_foot(train: Train) -> None:
    content = parent().to_json()
    del content["ladder"]
    before = Parent.from_json(json.dumps(content).encode(), "parent.json")
    assert planned(before, train).place == place(0, 0)


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
    plan = planned(parent(rung=rung, cycles=1), train)
    assert (plan.kind, plan.is_audited) == (kind, False)
    assert reason(plan, train).endswith(why)


@pytest.mark.parametrize("rung", [0, 1, 2, 3])
def test_without_audits_every_start_is_warm_whatever_audits_found_before(train: Train, rung: int) -> None:
    never = train.model_copy(update={"audit_every": None})
    plan = planned(parent(rung=rung, cycles=9), never)
    assert (plan.kind, reason(plan, never), plan.is_audited) == ("warm", "from v4, its weights", False)
    assert ladder.after(plan, None, is_cut=False) == place(0, 1)


@pytest.mark.parametrize(("cycles", "is_audited"), [(0, False), (1, False), (2, True), (3, True)])
def test_an_audit_is_due_every_so_many_cycles(train: Train, cycles: int, is_audited: bool) -> None:
    plan = planned(parent(cycles=cycles), train)
    assert plan.is_audited == plan.needs_all == is_audited
    assert (
        f"; audited against training from scratch, {cycles + 1} cycles after the last audit or cold start"
        in reason(plan, train)
    ) == is_audited
    assert not planned(parent(cycles=cycles), train.model_copy(update={"audit_every": None})).is_audited


@pytest.mark.parametrize(("rung", "kind"), [(0, "warm"), (1, "warm"), (2, "shrink"), (3, "shrink")])
def test_an_audit_asks_whether_something_cheaper_than_scratch_would_do(train: Train, rung: int, kind: str) -> None:
    assert planned(parent(rung=rung, cycles=2), train).kind == kind


def plan(kind: Any, rung: int, cycles: int, is_audited: bool = False) -> Plan:
    return Plan(kind, is_audited, place(rung, cycles))


@pytest.mark.parametrize(
    ("rung", "is_better", "then"),
    [(0, True, 1), (1, True, 2), (2, True, 3), (3, True, 3), (3, False, 2), (1, False, 0), (0, False, 0)],
)
def test_an_audit_leads_a_rung_up_or_down(rung: int, is_better: bool, then: int) -> None:
    assert ladder.after(plan("warm", rung, 2, True), is_better, is_cut=True) == place(then, 0)


@pytest.mark.parametrize(
    ("done", "then"),
    [
        (plan("warm", 0, 0), place(0, 1)),
        (plan("shrink", 2, 1), place(2, 2)),
        (plan("cold", 3, 1), place(3, 2)),
        (plan("cold", 0, 7), place(0, 0)),
        (plan("cold", 1, 7), place(0, 0)),
        (plan("warm", 0, 2, True), place(0, 3)),
    ],
    ids=["warm", "shrink", "cold by audits", "cold by params", "cold by params, higher up", "nothing to audit"],
)
def test_without_a_finding_cycles_are_counted_and_a_cold_start_begins_anew(done: Plan, then: Place) -> None:
    assert ladder.after(done, None, is_cut=False) == then


def test_an_audit_that_the_budget_cuts_short_is_repeated_when_the_next_is_due() -> None:
    assert ladder.after(plan("shrink", 2, 9, True), None, is_cut=True) == place(2, 0)
    assert ladder.after(plan("shrink", 2, 9), None, is_cut=True) == place(2, 10)


def test_from_foot_to_top_and_down_again(train: Train) -> None:
    """Every third cycle is audited; scratch is better thrice, then not."""
    kinds, stands, findings = [], ladder.FOOT, iter([True, True, True, False, False, False])
    for _ in range(18):
        done = planned(parent(1, stands.rung, stands.cycles), train)
        kinds.append(done.kind + "!" * done.is_audited)
        stands = ladder.after(done, next(findings) if done.is_audited else None, is_cut=False)
    assert kinds == [
        *("warm", "warm", "warm!"),
        *("warm", "warm", "warm!"),
        *("shrink", "shrink", "shrink!"),
        *("cold", "cold", "shrink!"),
        *("shrink", "shrink", "shrink!"),
        *("warm", "warm", "warm!"),
    ]
    assert stands == place(0, 0)


@pytest.mark.parametrize(
    ("gained", "lost", "is_better"), [(60, 20, True), (20, 60, False), (22, 20, False), (1, 0, False), (0, 0, False)]
)
def test_scratch_has_to_be_better_beyond_chance(gained: int, lost: int, is_better: bool) -> None:
    counts = Counts(both=400, champion_only=lost, challenger_only=gained, neither=100)
    assert ladder.is_surely_better(counts) == is_better


def test_a_place_survives_json() -> None:
    content = json.dumps(place(2, 5).to_json()).encode()
    assert Place.from_json(content, "place") == place(2, 5) != place(1, 5)


@pytest.mark.parametrize(
    ("rung", "cycles", "num_new", "kind", "is_audited"),
    [
        (0, 0, 50, "warm", False),
        (0, 0, 51, "warm", True),
        (1, 0, 51, "warm", True),
        (2, 0, 51, "shrink", True),
        (3, 0, 51, "cold", False),
        (0, 2, 51, "warm", True),
    ],
)
def test_a_cycle_with_many_new_images_is_audited_unless_it_starts_from_scratch_anyhow(
    train: Train, rung: int, cycles: int, num_new: int, kind: str, is_audited: bool
) -> None:
    for every in (train, train.model_copy(update={"audit_every": 99})):
        plan = planned(parent(rung=rung, cycles=cycles), every, num_new)
        assert (plan.kind, plan.is_audited, plan.growth is not None) == (kind, is_audited, is_audited)
        said = "; audited against training from scratch, for 51 images are new to the 100 before (train.audit_above)"
        assert reason(plan, train).endswith(said) == is_audited


def test_many_new_images_are_audited_without_other_audits_too(train: Train) -> None:
    never = train.model_copy(update={"audit_every": None})
    plan = planned(parent(rung=2, cycles=9), never, 51)
    assert (plan.kind, plan.is_audited, plan.place) == ("warm", True, place(0, 0))
    assert not planned(parent(), never.model_copy(update={"audit_above": None}), 10_000).is_audited
    assert not planned(parent(None), train, 51).is_audited
    assert not planned(parent(), train.model_copy(update={"start": "cold"}), 51).is_audited


@pytest.mark.parametrize(
    ("is_better", "is_cut", "then"),
    [(True, True, place(2, 0)), (False, True, place(1, 0)), (None, True, place(2, 8)), (None, False, place(2, 8))],
    ids=["better", "not better", "cut short", "nothing to audit"],
)
def test_scratch_that_is_better_after_many_new_images_leads_no_rung_up(
    is_better: bool | None, is_cut: bool, then: Place
) -> None:
    done = Plan("shrink", True, place(2, 7), growth=Growth(51, 100))
    assert ladder.after(done, is_better, is_cut=is_cut) == then


@pytest.mark.parametrize(("gained", "lost", "is_kept"), [(22, 20, True), (20, 20, False), (19, 20, False)])
def test_after_many_new_images_the_better_model_is_kept(gained: int, lost: int, is_kept: bool) -> None:
    counts = Counts(both=400, champion_only=lost, challenger_only=gained, neither=100)
    assert ladder.is_kept(counts, Plan("warm", True, place(0, 0), growth=Growth(51, 100))) == is_kept
    assert not ladder.is_kept(counts, Plan("warm", True, place(0, 0)))


@pytest.mark.parametrize(
    ("is_better", "words"),
    [
        (True, "it is surely better, and kept"),
        (False, "it is not surely better, and dropped"),
        (None, "it is not surely better as far as the budget went, which says nothing, and dropped"),
    ],
)
def test_findings_are_told(is_better: bool | None, words: str) -> None:
    counts = {"val_images": 500, "gained": 40, "lost": 9, "epochs": 5}
    audit = Audit(passes=9.0, passes_before=4.0, is_scratch_better=is_better, is_measured=False, **counts)
    said = ladder.finding(audit)
    assert said.endswith(words)
    measured = ladder.finding(audit.model_copy(update={"is_measured": True}))
    assert measured == said.replace("surely better", "better")
    assert "of 500 validation images the model from scratch gets 40 right" in said
