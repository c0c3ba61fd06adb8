"""Trust in new labels: on images of a world whose labels, doubts and faults are known."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.judging import doubts, trust
from pipeline.judging.doubts import Evidence
from pipeline.judging.gate import Verdict

NAMES = ("ant", "bee", "cat", "dog")
MAX_WRONG = 0.01


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def world(
    seed: int = 0, old: int = 600, new: int = 300, noise: float = 1.0, by_batch: float = 1.0
) -> tuple[Evidence, np.ndarray]:
    """Images of which two models know as much as a sharp look at four blurred places would tell.

    Args:
        seed: of all that is random.
        old, new: images.
        noise: blur.
        by_batch: how well the model that learned nothing of the batch sees new images, 0 to 1; the other one sees well.

    Returns:
        Evidence with right labels; and the true labels.
    """
    draw = rng(seed)
    truth = draw.integers(0, len(NAMES), old + new)
    is_new = np.arange(old + new) >= old
    seen = 2.0 * np.eye(len(NAMES))[truth] + draw.normal(0, noise, (old + new, len(NAMES)))
    logits = 2.0 * seen / noise**2
    # What it does not see looks like the next label.
    other = 2.0 * (
        2.0 * np.eye(len(NAMES))[(truth + draw.integers(0, 2, len(truth))) % 4] + draw.normal(0, 1, seen.shape)
    )
    dim = np.where((is_new & (draw.random(old + new) > by_batch))[:, None], other, logits)
    return Evidence(truth.copy(), is_new, probabilities(dim), probabilities(logits), names=NAMES), truth


def probabilities(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def turned(evidence: Evidence, share: float, seed: int = 1, among: np.ndarray | None = None) -> Evidence:
    """The same with so many wrong labels among some new images."""
    draw = rng(seed)
    rows = np.flatnonzero(evidence.is_new if among is None else evidence.is_new & among)
    chosen = draw.choice(rows, round(share * len(rows)), replace=False)
    labels = evidence.labels.copy()
    labels[chosen] = (labels[chosen] + draw.integers(1, len(NAMES), len(chosen))) % len(NAMES)
    return replace(evidence, labels=labels)


def listed(found: trust.Trust, is_wrong: np.ndarray) -> float:
    """Share of the wrong labels among the first 1.5 times as many ranked."""
    count = int(is_wrong.sum())
    return float(is_wrong[found.ranking[: int(1.5 * count)]].sum() / count)


def test_right_labels_are_trusted_and_all_images_judge() -> None:
    held = 0
    for seed in range(100):
        evidence, _ = world(seed)
        found = trust.assess(evidence, MAX_WRONG)
        held += not found.is_trusted
        if found.is_trusted and not found.is_doubtful:
            assert trust.judges(found, evidence.is_new).all()
            assert found.reasons == ()
    assert held <= 5


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_wrong_labels_are_found_counted_and_listed_first(share: float) -> None:
    covered, held, recalls = 0, 0, []
    for seed in range(20):
        evidence, truth = world(seed)
        wrong = turned(evidence, share, seed)
        found = trust.assess(wrong, MAX_WRONG)
        held += not found.is_trusted
        assert found.is_doubtful == found.is_trusted, "then only old images judge"
        recalls.append(listed(found, wrong.labels != truth))
        assert sorted(found.ranking) == np.flatnonzero(wrong.is_new).tolist()
        covered += found.share.lower <= share <= found.share.upper
    assert covered >= 18
    assert held >= 18
    assert np.mean(recalls) >= 0.85
    assert f"of the 300 new labels about {found.share.estimate:.0%} seem wrong" in found.reasons[0]
    assert trust.judges(found, wrong.is_new).tolist() == (~wrong.is_new).tolist()


def test_nothing_is_promoted_that_learned_labels_which_are_not_trusted() -> None:
    evidence, _ = world(2)
    good, bad = trust.assess(evidence, MAX_WRONG), trust.assess(turned(evidence, 0.3), MAX_WRONG)
    promoted = Verdict("promote", ("it is better",), 0.02, 0.001)
    rejected = replace(promoted, decision="reject")
    assert trust.held_back(promoted, good) == promoted
    assert trust.held_back(rejected, bad) == rejected
    held = trust.held_back(promoted, bad)
    assert held.decision == "not enough evidence"
    assert held.reasons == ("it is better", *bad.reasons)


def test_where_wrong_labels_are_likely_and_not_sure_only_old_images_judge() -> None:
    evidence, _ = world(3, new=30)
    found = trust.assess(turned(evidence, 0.07), MAX_WRONG)
    assert found.is_trusted
    assert found.is_doubtful
    assert found.share.lower <= MAX_WRONG < found.share.estimate
    assert trust.judges(found, evidence.is_new).tolist() == (~evidence.is_new).tolist()


def test_one_label_turned_into_another_is_named_with_what_it_was() -> None:
    evidence, truth = world(4)
    labels = np.where(evidence.is_new & (truth == 1), 2, truth)
    # A model that learned the batch believes what it learned.
    after = evidence.after.copy()  # type: ignore[union-attr]
    swapped = evidence.is_new & (truth == 1)
    after[swapped] = after[swapped][:, [0, 2, 1, 3]]
    found = trust.assess(replace(evidence, labels=labels, after=after), MAX_WRONG)
    assert not found.is_trusted
    assert not found.is_other
    (fault,) = found.faults
    assert (fault.kind, fault.name, fault.likely) == ("label", "cat", "bee")
    assert fault.share.lower <= swapped.sum() / (evidence.is_new & (labels == 2)).sum() <= fault.share.upper
    assert listed(found, labels != truth) >= 0.95
    assert found.doubts[swapped].mean() > 0.7, "what a model learned of a label at fault does not count"
    assert found.reasons[1].startswith("label cat: about")
    assert found.reasons[1].endswith("new labels seem wrong, most of them bee")


def test_an_annotator_at_fault_is_named_and_ranked_first() -> None:
    evidence, truth = world(5)
    people = np.array(["Ann", "Bob", "Cleo"])[rng(5).integers(0, 3, len(truth))]
    wrong = replace(turned(evidence, 0.4, among=people == "Bob"), groups={"annotator": people.tolist()})
    found = trust.assess(wrong, MAX_WRONG)
    assert [(fault.kind, fault.name) for fault in found.faults] == [("annotator", "Bob")]
    assert found.faults[0].count == (evidence.is_new & (people == "Bob")).sum()
    known = trust.assess(replace(wrong, groups=None), MAX_WRONG)
    assert listed(found, wrong.labels != truth) >= listed(known, wrong.labels != truth)


def test_a_batch_at_fault_is_named_and_images_of_no_batch_are_none() -> None:
    evidence, truth = world(6)
    batches = np.where(np.arange(len(truth)) % 2 == 0, "monday", "tuesday")
    wrong = turned(evidence, 0.5, among=batches == "tuesday")
    found = trust.assess(replace(wrong, groups={"batch": batches.tolist()}), MAX_WRONG)
    assert [fault.name for fault in found.faults] == ["tuesday"]
    nobody = trust.assess(replace(wrong, groups={"batch": [""] * len(truth)}), MAX_WRONG)
    assert nobody.faults == ()
    assert not nobody.is_trusted


def test_images_of_another_kind_with_right_labels_are_not_taken_for_wrong_ones() -> None:
    held = 0
    for seed in range(20):
        evidence, _ = world(seed, by_batch=0.5)
        found = trust.assess(evidence, MAX_WRONG)
        held += not found.is_trusted
        assert found.is_other
        assert found.reasons[-1] == (
            "the new images are of another kind than the old ones; their labels can be learned"
        )
    assert held <= 2
    alone = trust.assess(replace(world(7, by_batch=0.5)[0], after=None), MAX_WRONG)
    assert not alone.is_trusted, "nobody learned the batch, so nobody can tell"


def test_wrong_labels_of_images_of_another_kind_are_found_too() -> None:
    covered = others = 0
    for seed in range(20):
        evidence, truth = world(seed, by_batch=0.3)
        wrong = turned(evidence, 0.3, seed)
        found = trust.assess(wrong, MAX_WRONG)
        others += found.is_other
        assert not found.is_trusted
        assert listed(found, wrong.labels != truth) >= 0.8
        covered += found.share.lower <= 0.3 <= found.share.upper
    assert covered >= 17
    assert others >= 18


def test_blank_images_under_several_labels_are_all_doubted_and_counted() -> None:
    evidence, _ = world(9)
    blank = np.zeros(len(evidence.labels), bool)
    blank[-30:] = True
    found = trust.assess(replace(evidence, is_blank=blank), MAX_WRONG)
    assert not found.is_trusted
    assert set(found.ranking[:30]) == set(np.flatnonzero(blank))
    assert found.share.lower >= 0.1
    assert "30 new images are blank and have several labels" in found.reasons


def test_blank_images_that_all_have_one_label_may_have_it_rightly() -> None:
    evidence, truth = world(10)
    blank = truth == 3
    assert trust.assess(replace(evidence, is_blank=blank), MAX_WRONG).is_trusted


def test_of_near_duplicates_under_two_labels_the_new_one_is_doubted_first() -> None:
    evidence, _ = world(11)
    old, new, other = 5, 700, 710
    found = doubts.doubts(replace(evidence, conflicts=np.array([[new, old]])))
    plain = doubts.doubts(evidence)
    assert found[new] == (1 + plain[new]) / 2
    assert found[old] == plain[old]
    among_new = doubts.doubts(replace(evidence, conflicts=np.array([[new, other]])))
    assert min(among_new[new], among_new[other]) >= 0.5
    assert max(among_new[new], among_new[other]) > max(plain[new], plain[other])
    both_old = doubts.doubts(replace(evidence, conflicts=np.array([[1, 2]])))
    assert both_old.tolist() == plain.tolist()


def test_of_a_label_that_the_champion_does_not_know_it_has_no_opinion() -> None:
    evidence, truth = world(12)
    before = np.delete(evidence.before, 3, axis=1)
    before = np.insert(before / before.sum(axis=1, keepdims=True), 3, 0.0, axis=1)
    is_known = np.arange(4) != 3
    is_old_label = ~((truth == 3) & ~evidence.is_new)  # the label comes with the batch
    some = Evidence(
        evidence.labels[is_old_label],
        evidence.is_new[is_old_label],
        before[is_old_label],
        names=NAMES,
        is_known=is_known,
    )
    found = trust.assess(some, MAX_WRONG)
    assert found.is_trusted
    assert (found.doubts[some.labels == 3] == 0).all()
    assert set(found.ranking[-int((some.labels == 3).sum()) :]) == set(np.flatnonzero(some.labels == 3))
    wrong = trust.assess(turned(some, 0.4), MAX_WRONG)
    assert not wrong.is_trusted


def test_images_that_the_challenger_learned_are_told_by_the_champion_alone() -> None:
    evidence, truth = world(13)
    after = evidence.after.copy()  # type: ignore[union-attr]
    after[evidence.is_new & (np.arange(len(truth)) % 3 > 0)] = np.nan
    wrong = replace(turned(evidence, 0.3), after=after)
    found = trust.assess(wrong, MAX_WRONG)
    assert not found.is_trusted
    assert listed(found, wrong.labels != truth) >= 0.8


def test_the_interval_covers_the_share_where_there_are_few_images() -> None:
    for share in (0.0, 0.2):
        covered = 0
        for seed in range(100):
            evidence, _ = world(seed, old=120, new=40)
            wrong = turned(evidence, share, seed)
            told = doubts.wrong_share(wrong, np.flatnonzero(wrong.is_new), 0.975)
            assert 0 <= told.lower <= told.estimate <= told.upper <= 1
            covered += told.lower <= share <= told.upper
        assert covered >= 93


@pytest.mark.parametrize("new", [1, 9, 10, 15, 30])
def test_few_images_with_right_labels_do_not_look_wrong(new: int) -> None:
    held = sum(not trust.assess(world(seed, old=200, new=new)[0], MAX_WRONG).is_trusted for seed in range(100))
    assert held <= 5


@pytest.mark.parametrize("old", [0, 30, 90, 150])
def test_few_old_images_do_not_make_the_new_ones_look_wrong(old: int) -> None:
    held = sum(not trust.assess(world(seed, old=old, new=600)[0], MAX_WRONG).is_trusted for seed in range(100))
    assert held <= (5 if old >= 100 else 0)


def test_a_label_that_the_models_always_mistake_is_not_taken_for_wrong() -> None:
    """New images are nearly all of it."""
    held = 0
    for seed in range(50):
        evidence, truth = world(seed, old=900, new=600)
        kept = ~evidence.is_new | (truth == 3) | (np.arange(len(truth)) % 6 == 0)
        biased = probabilities(np.log(evidence.before + 1e-9) + np.array([0, 0, 2, 0]))[kept]
        some = Evidence(truth[kept], evidence.is_new[kept], biased, biased, names=NAMES)
        held += not trust.assess(some, MAX_WRONG).is_trusted
    assert held <= 2


def test_the_share_is_told_by_images_like_those_with_wrong_labels() -> None:
    """Ants look like bees: an ant that is called a bee is doubted less than other wrong labels."""
    nearer, count = 0, 10
    for seed in range(count):
        evidence, truth = world(seed, old=900, new=600)
        logits = np.log(evidence.before + 1e-9)
        logits[:, :2] = 0.5 * logits[:, :2] + 0.5 * logits[:, :2].max(axis=1, keepdims=True)
        odds, wrong = probabilities(logits), evidence.is_new & (truth == 0)
        turned_one = Evidence(np.where(wrong, 1, truth), evidence.is_new, odds, names=NAMES)
        found = trust.assess(turned_one, MAX_WRONG)
        plain = doubts.wrong_share(turned_one, np.flatnonzero(evidence.is_new), 0.975)
        true = wrong[evidence.is_new].mean()
        nearer += abs(found.share.estimate - true) < abs(plain.estimate - true)
    assert nearer >= 0.8 * count


def test_one_wrong_label_is_no_sign_and_no_images_are_none() -> None:
    evidence, _ = world(14, old=200, new=1)
    wrong = replace(evidence, labels=np.where(evidence.is_new, (evidence.labels + 1) % 4, evidence.labels))
    one = trust.assess(wrong, MAX_WRONG)
    assert one.is_trusted
    assert one.is_doubtful
    nothing = trust.assess(replace(evidence, is_new=np.zeros(201, bool)), MAX_WRONG)
    assert nothing.is_trusted
    assert not nothing.is_doubtful
    assert len(nothing.ranking) == 0
    assert (nothing.share.lower, nothing.share.upper) == (0, 1)


def test_by_a_model_that_learned_the_batch_the_share_is_told_too() -> None:
    evidence, _ = world(15, by_batch=0.3)
    rows = np.flatnonzero(evidence.is_new)
    assert doubts.wrong_share(evidence, rows, 0.975).lower > 0
    assert doubts.wrong_share(evidence, rows, 0.975, by_after=True).lower == 0
