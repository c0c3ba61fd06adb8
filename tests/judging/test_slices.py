from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.judging import slices
from pipeline.judging.slices import Slice
from pipeline.judging.slicing import Membership, Pairs


def members(*images: np.ndarray) -> Membership:
    names = tuple(("slice", f"{number:05}") for number in range(len(images)))
    starts = np.cumsum([0, *map(len, images)])[:-1].astype(int)
    return Membership(names, starts, np.concatenate([np.empty(0, int), *images]).astype(int))


def partition(values: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(values == value) for value in np.unique(values)]


def answers(ease: np.ndarray, noise: float, rng: np.random.Generator, lowered: np.ndarray | float = 0.0) -> Pairs:
    """Two models, each right where its logit of the true label is above 0."""
    champion, challenger = (ease + rng.normal(0, noise, len(ease)) for _ in range(2))
    challenger = challenger - lowered
    return Pairs(champion > 0, challenger > 0, 1 / (1 + np.exp(-champion)), 1 / (1 + np.exp(-challenger)))


def right_or_wrong(champion: np.ndarray, challenger: np.ndarray) -> Pairs:
    """Two models that are equally sure of each image."""
    even = np.full(len(champion), 0.5)
    return Pairs(champion.astype(bool), challenger.astype(bool), even, even)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def planted(rng: np.random.Generator) -> tuple[Pairs, Membership]:
    """Slice 0 of ten is worse by far."""
    site = rng.integers(10, size=1000)
    return answers(rng.normal(2, 1.5, 1000), 0.3, rng, np.where(site == 0, 1.2, 0.0)), members(*partition(site))


def test_a_slice_that_got_worse_is_named_and_no_other(rng):
    found = slices.judge(*planted(rng), seed=0)
    assert [one.is_worse for one in found] == [True] + [False] * 9
    assert found[0].p == pytest.approx(1 / (1 + slices.DEALT))
    assert min(one.p for one in found[1:]) > slices.RISK
    assert slices.said(found[0]).endswith(" points), surely, and more than the whole")


def test_the_same_seed_gives_the_same_and_another_nearly_that(rng):
    pairs, inside = planted(rng)
    first, again, other = (slices.judge(pairs, inside, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert [one.p for one in first] == pytest.approx([one.p for one in other], abs=0.06)


def test_a_slice_that_only_gains_less_than_the_whole_is_not_worse(rng):
    site = rng.integers(10, size=1000)
    champion, challenger = rng.random(1000) < 0.6, rng.random(1000) < 0.95
    challenger = np.where(site == 0, champion, champion | challenger)
    found = slices.judge(right_or_wrong(champion, challenger), members(*partition(site)), seed=0)
    assert found[0].p <= slices.RISK
    assert not any(one.is_worse for one in found)


def test_a_slice_that_falls_like_the_whole_is_not_named(rng):
    """That is for the gate."""
    site = rng.integers(10, size=1000)
    pairs = answers(rng.normal(2, 1.5, 1000), 0.3, rng, 1.2)
    assert np.mean(pairs.lost) > 0.1
    assert not any(one.is_worse for one in slices.judge(pairs, members(*partition(site)), seed=0))


def test_a_slice_that_the_challenger_is_only_less_sure_of_is_not_worse(rng):
    site = rng.integers(10, size=1000)
    pairs = answers(rng.normal(2, 1.5, 1000), 0.1, rng)
    unsure = np.where((site == 0) & pairs.challenger_right, 0.5 + 0.3 * (pairs.challenger - 0.5), pairs.challenger)
    found = slices.judge(replace(pairs, challenger=unsure), members(*partition(site)), seed=0)
    assert found[0].p <= slices.RISK
    assert not found[0].is_worse


def test_probabilities_tell_what_answers_alone_do_not(rng):
    site = rng.integers(30, size=1500)
    pairs = answers(rng.normal(2, 1.5, 1500), 0.8, rng, np.where(site == 0, 1.3, 0.0))
    by_answers = right_or_wrong(pairs.champion_right, pairs.challenger_right)
    inside = members(*partition(site))
    assert slices.judge(pairs, inside, seed=0)[0].is_worse
    assert not slices.judge(by_answers, inside, seed=0)[0].is_worse


def test_slices_of_hard_images_are_held_against_hard_images(rng, monkeypatch):
    """A model that is less sure of everything loses most where probabilities are neither 0 nor 1."""
    ease = rng.normal(3, 2, 2000)
    pairs, inside = answers(ease, 0.2, rng, 0.25), members(*np.array_split(np.argsort(ease), 12))
    assert min(one.p for one in slices.judge(pairs, inside, seed=0)) > slices.RISK
    monkeypatch.setattr(slices, "STRATA", 1)
    assert min(one.p for one in slices.judge(pairs, inside, seed=0)) <= slices.RISK


def test_many_tiny_slices_do_not_hide_a_large_one(rng, monkeypatch):
    tiny = [rng.choice(1000, 2, replace=False) for _ in range(3000)]
    site = np.arange(1000) % 20
    champion = rng.random(1000) < 0.8
    challenger = np.where(rng.random(1000) < 0.02, ~champion, champion) & ((site != 0) | (rng.random(1000) < 0.7))
    pairs, inside = right_or_wrong(champion, challenger), members(*partition(site), *tiny)
    assert slices.judge(pairs, inside, seed=0)[0].is_worse
    monkeypatch.setattr(slices, "STEADY", 0.0)
    assert not slices.judge(pairs, inside, seed=0)[0].is_worse


def test_a_slice_that_is_there_twice_changes_nothing(rng):
    pairs, inside = planted(rng)
    images = np.split(inside.images, inside.starts[1:])
    once, twice = slices.judge(pairs, inside, seed=0), slices.judge(pairs, members(*images, *images), seed=0)
    assert twice[:10] == once
    assert [one.p for one in twice[10:]] == [one.p for one in once]


def test_a_slice_of_all_images_and_slices_of_one_image_are_never_worse(rng):
    champion = np.ones(300, bool)
    all_lost, some_lost = np.zeros(300, bool), rng.random(300) < 0.9
    for challenger in (all_lost, some_lost):
        pairs = right_or_wrong(champion, challenger)
        found = slices.judge(pairs, members(np.arange(300), *(np.array([image]) for image in range(300))), seed=0)
        assert not any(one.is_worse for one in found)
    assert not found[0].is_too_small
    assert all(one.is_too_small for one in found[1:])
    assert slices.said(found[1]).startswith("slice 00001 has 1 holdout image, too few to tell a fall: about ")


def test_from_the_number_of_images_that_is_needed_on_the_loss_of_all_is_told(rng):
    champion = rng.random(2000) < 0.9
    challenger = np.where(rng.random(2000) < 0.05, ~champion, champion)
    others = partition(rng.integers(10, size=2000))
    needed = slices.judge(right_or_wrong(champion, challenger), members(np.array([0]), *others), seed=0)[0].needed
    right = np.flatnonzero(champion)
    for images, is_told in ((needed - 2, False), (needed + 2, True)):
        lost = challenger.copy()
        lost[right[:images]] = False
        found = slices.judge(right_or_wrong(champion, lost), members(right[:images], *others), seed=0)[0]
        assert (found.is_worse, found.is_too_small) == (is_told, not is_told)


def test_where_there_is_nothing_to_lose_no_number_is_asked_for():
    champion = np.arange(400) >= 100
    for challenger in (champion, champion ^ (np.arange(400) % 20 == 0)):
        pairs = right_or_wrong(champion, challenger)
        nothing, little = slices.judge(pairs, members(np.arange(50), np.array([201])), seed=0)
        assert (nothing.needed, nothing.is_too_small) == (0, False)
        assert little.is_too_small


def test_two_models_that_are_the_same_differ_nowhere(rng):
    pairs = answers(rng.normal(2, 1.5, 200), 0.0, rng)
    found = slices.judge(pairs, members(*partition(rng.integers(5, size=200))), seed=0)
    assert {one.p for one in found} == {1.0}


def test_no_slices_are_no_findings(rng):
    assert slices.judge(answers(np.ones(50), 1, rng), members(), seed=0) == ()


def test_of_clean_pairs_few_have_a_slice_that_is_named():
    rng, named = np.random.default_rng(3), 0
    for number in range(100):
        ease = rng.normal(2, 1.5, 500)
        columns = (np.argsort(np.argsort(ease)) // 50, rng.integers(20, size=500), rng.integers(2, size=500))
        inside = members(*(images for column in columns for images in partition(column)))
        named += any(one.p <= slices.RISK for one in slices.judge(answers(ease, 0.6, rng), inside, number))
    assert named <= 10  # 5 are asked for; with these more come once in a hundred times


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_any_slices_are_judged(num_images, num_slices, seed, flipping):
    rng = np.random.default_rng(seed)
    champion = rng.random(num_images) < rng.random()
    challenger = np.where(rng.random(num_images) < flipping, ~champion, champion)
    pairs = Pairs(champion, challenger, *rng.random((2, num_images)))
    chosen = [rng.choice(num_images, rng.integers(1, num_images + 1), replace=False) for _ in range(num_slices)]
    for one, images in zip(slices.judge(pairs, members(*chosen), seed), chosen, strict=True):
        assert one.images == len(images)
        assert one.lost - one.gained == pairs.lost[images].sum()
        assert 1 / (1 + slices.DEALT) <= one.p <= 1
        assert one.is_worse <= (one.p <= slices.RISK and one.difference < 0 and not one.is_too_small)
        assert slices.said(one).startswith(one.name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"is_worse": True}, "site north fell from 93 to 83 of 100 (-10.0 points), surely, and more than the whole"),
        ({}, "site north fell from 93 to 83 of 100, which may be chance"),
        ({"gained": 12}, "site north stayed at 93 of 100"),
        ({"gained": 14}, "site north rose from 93 to 95 of 100"),
        ({"needed": 120}, "site north has 100 holdout images, too few to tell a fall: about 120 are needed"),
    ],
    ids=str,
)
def test_each_slice_is_a_sentence(changes, said):
    one = Slice("site", "north", images=100, before=93, gained=2, lost=12, p=0.001, is_worse=False, needed=9)
    assert slices.said(replace(one, **changes)) == said
