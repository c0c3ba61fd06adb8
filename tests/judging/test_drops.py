import math
from statistics import NormalDist

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.judging import drops
from pipeline.judging.drops import Drop
from pipeline.judging.paired import Counts
from pipeline.judging.slicing import Membership, Pairs


def made(*labels: tuple[int, int, int, int]) -> tuple[Pairs, Membership]:
    """Labels, each as images, those that the champion gets right, gained and lost."""
    champion, challenger, starts = [], [], [0]
    for images, before, gained, lost in labels:
        champion += [True] * before + [False] * (images - before)
        challenger += [False] * lost + [True] * (before - lost + gained) + [False] * (images - before - gained)
        starts.append(starts[-1] + images)
    right = (np.array(champion, bool), np.array(challenger, bool))
    names = tuple(("label", f"{number:04}") for number in range(len(labels)))
    pairs = Pairs(*right, *(one.astype(float) for one in right))
    return pairs, Membership(names, np.array(starts[:-1], int), np.arange(starts[-1]))


def judged(*labels: tuple[int, int, int, int], max_drop: float = 0.05) -> tuple[Drop, ...]:
    return drops.judge(*made(*labels), max_drop)


@pytest.mark.parametrize(
    ("label", "finding"),
    [
        ((100, 90, 0, 20), "surely fell"),
        ((100, 90, 2, 9), "fell"),
        ((100, 90, 2, 7), "fine"),  # by 5 points, which it may
        ((100, 90, 9, 2), "fine"),
        ((3, 3, 0, 3), "too few"),
        ((3, 3, 0, 0), "too few"),
        ((3, 0, 1, 0), "fine"),  # there is nothing to lose
        ((100, 5, 0, 5), "fine"),  # all that there is may be lost
    ],
    ids=str,
)
def test_a_label_falls_surely_or_perhaps_or_not_or_is_too_small_to_judge(label, finding):
    assert [one.finding for one in judged(label, (100, 90, 0, 0))] == [finding, "fine"]


@pytest.mark.parametrize("points", range(1, 100))
def test_just_as_much_as_may_be_lost_is_never_more(points):
    (one,) = judged((100, points, 0, points), max_drop=float(f"0.{points:02}"))
    assert one.finding == "fine"


def test_more_labels_ask_for_more():
    fallen, fine = (100, 90, 0, 13), (100, 90, 1, 1)
    assert judged(fallen)[0].finding == "surely fell"
    assert judged(fallen, *[fine] * 200)[0].finding == "fell"


def test_labels_of_which_nothing_can_be_told_cost_the_others_nothing():
    fallen = (100, 90, 0, 13)
    alone, among = judged(fallen)[0], judged(fallen, *[(3, 3, 0, 3)] * 1000)[0]
    assert among == alone


def test_a_label_that_can_be_told_alone_can_be_told_among_many_of_which_nothing_can():
    assert judged((10, 10, 0, 10), *[(3, 3, 0, 0)] * 1000)[0].finding == "surely fell"
    assert judged((10, 10, 0, 10), *[(10, 10, 0, 0)] * 1000)[0].finding == "too few"


def test_of_fewer_images_than_the_tests_are_right_for_nothing_is_told():
    four, five = judged((4, 4, 0, 4))[0], judged((5, 5, 0, 5))[0]
    assert (four.finding, four.needed) == ("too few", drops.LEAST)
    assert five.finding == "surely fell"


def test_holm_asks_less_of_the_next_once_one_is_sure():
    p = drops._holm({0: 0.01, 1: 0.04, 2: 0.03})
    assert p == {0: pytest.approx(0.03), 2: pytest.approx(0.06), 1: pytest.approx(0.06)}


def test_as_many_images_as_are_needed_are_enough():
    small = judged((4, 4, 0, 4), max_drop=0.2)[0]
    assert small.finding == "too few"
    assert small.needed
    assert judged((small.needed, small.needed, 0, small.needed), max_drop=0.2)[0].finding == "surely fell"
    fewer = small.needed - 1
    assert judged((fewer, fewer, 0, fewer), max_drop=0.2)[0].finding == "too few"


def test_of_a_recall_that_is_barely_above_what_may_be_lost_it_says_no_number():
    (barely,) = judged((1999, 100, 0, 50))
    assert (barely.finding, barely.needed) == ("too few", None)


def test_no_labels_are_no_findings():
    assert judged() == ()


def wrong(images: int, drop: float, risk: float) -> float:
    """How often a fall of just `drop` is said to be more, at worst, whatever flips: exact."""
    lost, gained = (cells.ravel() for cells in np.meshgrid(np.arange(images + 1), np.arange(images + 1)))
    lost, gained = lost[lost + gained <= images], gained[lost + gained <= images]
    counts = Counts(images - lost - gained, lost, gained, 0)
    said = drops.deviations(counts, drop) > NormalDist().inv_cdf(1 - risk)
    lost, gained, same = lost[said], gained[said], (images - lost - gained)[said]
    log = np.array([math.lgamma(number + 1) for number in range(images + 1)])
    ways, chances = log[images] - log[lost] - log[gained] - log[same], []
    for flips in (0.0001, 0.0025, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, (1 - drop) / 2 - 1e-6):
        rates = np.log([drop + flips, flips, max(1 - drop - 2 * flips, 1e-12)])
        chances.append(float(np.exp(ways + rates @ np.stack([lost, gained, same])).sum()))
    return max(chances)


@pytest.mark.parametrize("drop", [0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("images", [5, 10, 20, 34, 60, 120])
def test_it_is_rarely_surer_than_it_may_be(images, drop):
    assert all(wrong(images, drop, risk) <= 1.6 * risk for risk in (0.05, 0.005, 0.0005))


def test_each_of_the_two_tests_is_needed(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(np, "minimum", lambda score, _: score)
        assert wrong(200, 0.1, 0.0005) > 2 * 0.0005
    monkeypatch.setattr(np, "minimum", lambda _, wald: wald)
    assert wrong(10, 0.05, 0.005) > 2 * 0.005


@hypothesis.given(st.lists(st.tuples(*[st.integers(0, 40)] * 4), max_size=12), st.sampled_from([0, 0.05, 0.3, 1]))
def test_any_labels_are_judged(cells, max_drop):
    labels = [(both + lost + gained + neither, both + lost, gained, lost) for both, lost, gained, neither in cells]
    found = judged(*(label for label in labels if label[0]), max_drop=max_drop)
    for one in found:
        is_lower = -one.difference > max_drop
        assert (one.finding in ("fell", "surely fell")) <= is_lower
        assert (one.finding == "surely fell") <= (one.p <= drops.RISK)
        assert (one.finding == "fine") <= (not is_lower)
        assert one.needed is None or one.needed > one.images
        assert drops.said(one).startswith(one.name)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ((340, 130, 2, 54), "label 0000 fell from 130 to 78 of 340, surely by more than 5 points"),
        ((34, 13, 0, 3), "label 0000 fell from 13 to 10 of 34, by more than 5 points, which may be chance"),
        ((34, 13, 0, 1), "label 0000 fell from 13 to 12 of 34"),
        (
            (1, 1, 0, 1),
            "label 0000 has 1 holdout image, too few to tell a fall by more than 5 points: about 5 are needed",
        ),
    ],
    ids=str,
)
def test_each_finding_is_a_sentence(label, said):
    assert drops.said(judged(label)[0]) == said
