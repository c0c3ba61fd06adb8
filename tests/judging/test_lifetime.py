import numpy as np
import pytest

from pipeline.judging import lifetime
from pipeline.judging.paired import Counts

RISK = 0.05


def counts(gained: int, lost: int, total: int) -> Counts:
    return Counts(both=total - gained - lost, champion_only=lost, challenger_only=gained, neither=0)


def test_all_cycles_together_risk_no_more_than_was_said() -> None:
    spent = [lifetime.level(cycle, 0.05) for cycle in range(1, 100_000)]
    assert spent[0] == spent[99] == pytest.approx(0.025 / 100)
    assert spent[100] == spent[299] == pytest.approx(0.0125 / 200)
    assert sum(spent) < 0.05
    assert sum(spent) == pytest.approx(0.05, rel=0.01)


def test_the_promise_narrows_with_images_and_is_never_less_than_the_margin() -> None:
    few, more = (lifetime.promised(images, 0, 1, 0.01, RISK) for images in (1000, 4000))
    assert few == pytest.approx(1.65 * 3.4808 * (0.1 / 1000) ** 0.5, rel=1e-3)
    assert more == pytest.approx(few / 2)
    assert lifetime.promised(10**6, 0, 1, 0.01, RISK) == 0.01
    assert lifetime.promised(10**6, 0, 1, 0.02, RISK) == 0.02


def test_images_that_came_since_narrow_it_less() -> None:
    assert lifetime.promised(1000, 4000, 1, 0.01, RISK) == lifetime.promised(2000, 0, 1, 0.01, RISK)


def test_the_promise_widens_as_cycles_are_spent() -> None:
    assert lifetime.promised(1000, 0, 101, 0.01, RISK) > lifetime.promised(1000, 0, 100, 0.01, RISK)


@pytest.mark.parametrize(("gained", "lost", "is_kept"), [(20, 20, True), (5, 35, False), (0, 60, False)])
def test_a_challenger_far_below_the_anchor_breaks_it(gained: int, lost: int, is_kept: bool) -> None:
    assert lifetime.is_kept(counts(gained, lost, 1000), 0.05, 1, RISK) == is_kept


@pytest.mark.parametrize(
    ("counted", "is_worse"),
    [
        (counts(2, 14, 200), True),
        (counts(14, 2, 200), False),
        (counts(6, 10, 200), False),
        (counts(0, 19, 19), False),  # too few to be asked
        (counts(0, 20, 20), True),
        (counts(0, 0, 0), False),
    ],
    ids=str,
)
def test_on_images_that_came_since_it_must_not_be_surely_worse(counted: Counts, is_worse: bool) -> None:
    assert lifetime.is_worse_on_fresh(counted) == is_worse


@pytest.mark.parametrize(("gained", "lost", "is_new"), [(20, 3, True), (20, 12, False), (3, 20, False)])
def test_only_what_is_surely_better_becomes_the_anchor(gained: int, lost: int, is_new: bool) -> None:
    assert lifetime.is_new_anchor(counts(gained, lost, 500)) == is_new


def test_many_projects_at_once_are_judged_as_each_by_itself() -> None:
    many = Counts(*(np.array(column) for column in ([100, 10], [2, 14], [14, 2], [84, 4])))
    each = [counts(14, 2, 200), counts(2, 14, 30)]
    assert list(lifetime.is_worse_on_fresh(many)) == [lifetime.is_worse_on_fresh(one) for one in each]
    assert list(lifetime.is_new_anchor(many)) == [lifetime.is_new_anchor(one) for one in each]
