import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline.artifacts.evaluation import COUNTED, Judgement
from pipeline.judging import gate
from pipeline.judging.gate import Held
from pipeline.judging.paired import Counts, Hits, lower_bound


@pytest.fixture(scope="session")
def evaluate(settings):
    """Section `evaluate` with plain values, but for those given."""
    plain = {"margin": 0.01, "confidence": 0.9, "min_accuracy": 0.5}
    return lambda **changes: settings.evaluate.model_copy(update=plain | changes)


def counts(gained: int, lost: int, total: int) -> Counts:
    """Images that only the challenger, and only the champion, got right; of the rest both got half."""
    both = (total - gained - lost) // 2
    return Counts(both, champion_only=lost, challenger_only=gained, neither=total - gained - lost - both)


def test_the_total_is_every_image():
    assert Counts(both=1, champion_only=20, challenger_only=300, neither=4000).total == 4321


@pytest.mark.parametrize(
    ("counted", "confidence", "expected"),
    [
        # 102 images with the added ones, 10.5 gained, 5.5 lost: 5/102 - 1.6449 * sqrt((16/102 - (5/102)^2) / 102)
        (counts(10, 5, 100), 0.95, -0.014989),
        # 12 images, 0.5 and 0.5: 0 - 1.2816 * sqrt((1/12) / 12)
        (counts(0, 0, 10), 0.9, -0.106796),
        # 1002 images, 30.5 and 50.5: -20/1002 - 1.2816 * sqrt((81/1002 - (20/1002)^2) / 1002)
        (counts(30, 50, 1000), 0.9, -0.031443),
    ],
    ids=["gained", "identical", "lost"],
)
def test_the_lower_bound_is_that_of_agresti_and_min(counted, confidence, expected):
    assert lower_bound(counted, confidence) == pytest.approx(expected, abs=1e-6)


def test_the_lower_bound_of_the_agreeing_does_not_depend_on_how_they_agree():
    assert lower_bound(Counts(90, 5, 5, 0), 0.9) == lower_bound(Counts(0, 5, 5, 90), 0.9)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("rates", [(0.06, 0.04), (0.02, 0.02), (0.1, 0.01)], ids=str)
def test_the_truth_lies_above_the_bound_about_as_often_as_stated(rates, confidence):
    gained, lost = rates
    dealt = np.random.default_rng(7).multinomial(300, [gained, lost, 1 - gained - lost], size=2000)
    below = [lower_bound(counts(int(g), int(x), 300), confidence) <= gained - lost for g, x, _ in dealt]
    assert np.mean(below) == pytest.approx(confidence, abs=0.035)


@pytest.mark.parametrize(
    ("counted", "decision", "reason"),
    [
        (counts(0, 0, 1000), "reject", "it is not better than the champion"),
        (counts(20, 20, 1000), "reject", "it is not better than the champion"),
        (counts(20, 30, 1000), "reject", "it is not better than the champion"),
        (counts(0, 1000, 1000), "reject", "it is not better than the champion"),
        (counts(40, 10, 1000), "promote", "it is better, and not worse by more than the margin"),
        (counts(1000, 0, 1000), "promote", "it is better, and not worse by more than the margin"),
        (counts(1, 0, 20), "not enough evidence", "it may be worse by more than the margin of 1 points; about"),
        (counts(101, 99, 1000), "not enough evidence", "more holdout images would settle it"),
    ],
    ids=["identical", "as many lost", "worse", "all lost", "better", "all gained", "too few images", "too close"],
)
def test_the_verdict_and_its_reason(evaluate, counted, decision, reason):
    verdict = gate.decide(counted, evaluate())
    assert verdict.decision == decision
    assert reason in verdict.reasons[-1]


def test_one_image_more_than_lost_is_a_gain_and_equal_is_none(evaluate):
    lenient = evaluate(margin=1.0)
    assert gate.decide(counts(6, 5, 1000), lenient).decision == "promote"
    assert gate.decide(counts(5, 5, 1000), lenient).decision == "reject"


def test_a_bound_at_the_margin_is_enough_and_a_hair_below_is_not(evaluate):
    counted = counts(50, 40, 1000)
    bound = lower_bound(counted, 0.9)
    assert bound < 0
    assert gate.decide(counted, evaluate(margin=-bound)).decision == "promote"
    assert gate.decide(counted, evaluate(margin=math.nextafter(-bound, 0))).decision == "not enough evidence"


@pytest.mark.parametrize(
    ("hits", "rate", "expected"),
    [
        (Hits(0, 2), 0.5, 0.25),
        (Hits(1, 3), 0.5, 0.5),
        (Hits(3, 11), 0.5, 232 / 2048),
        (Hits(2, 10), 0.3, 0.382783),
        (Hits(5, 5), 0.3, 1.0),
        (Hits(0, 0), 0.5, 1.0),
        (Hits(3, 5), 0.0, 1.0),
        (Hits(3, 5), 1.0, 0.0),
        (Hits(5, 5), 1.0, 1.0),
        (Hits(4800, 10000), 0.5, 0.0000327),
    ],
)
def test_the_chance_of_so_few_hits_is_the_binomial_tail(hits, rate, expected):
    assert gate.chance(hits, rate) == pytest.approx(expected, rel=0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("new", "decision"),
    [
        (None, "promote"),
        (Hits(0, 0), "promote"),
        (Hits(0, 1), "promote"),
        (Hits(3, 10), "promote"),
        (Hits(2, 10), "reject"),
    ],
    ids=["not told", "no new image", "a single miss", "perhaps enough", "surely too few"],
)
def test_a_challenger_that_surely_fails_on_the_new_images_is_rejected(evaluate, new, decision):
    verdict = gate.decide(counts(40, 10, 1000), evaluate(min_accuracy=0.5), new)
    assert verdict.decision == decision
    doubt = "it gets 2 of the 10 new holdout images right, surely below the 50% of evaluate.min_accuracy: look at the"
    assert (doubt in verdict.reasons[-1]) is (decision == "reject")
    assert verdict.lower == pytest.approx(lower_bound(counts(40, 10, 1000), 0.9))


def test_few_new_images_prove_nothing(evaluate):
    """Half the models that are right on half of such images get 0 of 2, or 3 of 11, too often to be sure."""
    for hits in (Hits(0, 2), Hits(0, 3), Hits(3, 11)):
        assert gate.decide(counts(40, 10, 1000), evaluate(min_accuracy=0.5, confidence=0.9), hits).decision == "promote"
    sure = gate.decide(counts(40, 10, 1000), evaluate(min_accuracy=0.5, confidence=0.9), Hits(0, 4))
    assert sure.decision == "reject"


def test_a_verdict_says_the_counts_and_the_bound(evaluate):
    verdict = gate.decide(counts(10, 5, 100), evaluate(confidence=0.95))
    assert verdict.difference == pytest.approx(0.05)
    assert verdict.lower == pytest.approx(-0.014989, abs=1e-6)
    assert verdict.reasons[0] == (
        "of 100 holdout images the challenger gets 10 right that the champion gets wrong, and 5 the other way round: "
        "accuracy +5.00 points, at least -1.50 at 95% confidence"
    )


def test_a_verdict_is_json(evaluate):
    verdict = gate.decide(counts(10, 5, 100), evaluate())
    values = {name: value for name, value in vars(verdict).items() if name != "more"}
    assert Judgement(**values, champion=4, anchor=2).to_json() == {
        "decision": verdict.decision,
        "reasons": list(verdict.reasons),
        "difference": verdict.difference,
        "lower": verdict.lower,
        "promise": None,
        "is_best": False,
        "rival": 4,
        "anchor": 2,
    }


COUNTS = st.builds(Counts, *[st.integers(0, 300)] * 4).filter(lambda counted: counted.total)


@hypothesis.given(COUNTS, st.floats(0.51, 0.999))
def test_the_bound_lies_below_the_difference_and_more_so_with_more_confidence(counted, confidence):
    bound = lower_bound(counted, confidence)
    adjusted = (counted.challenger_only - counted.champion_only) / (counted.total + 2)
    assert -1.5 < bound < adjusted
    assert lower_bound(counted, (1 + confidence) / 2) < bound


@hypothesis.given(COUNTS)
def test_champion_and_challenger_are_never_both_promoted(evaluate, counted):
    swapped = Counts(counted.both, counted.challenger_only, counted.champion_only, counted.neither)
    decisions = [gate.decide(one, evaluate(margin=0.5)).decision for one in (counted, swapped)]
    assert decisions.count("promote") <= 1
    assert "reject" in decisions


@pytest.mark.parametrize(
    ("counted", "margin"),
    [(counts(12, 10, 200), 0.01), (counts(60, 58, 1000), 0.005), (counts(1, 0, 10), 0.01), (counts(3, 2, 40), 0.02)],
    ids=["200", "1000", "10", "40"],
)
def test_the_images_said_to_be_needed_settle_it_and_half_of_them_do_not(evaluate, counted, margin):
    def decision(more: float) -> str:
        grown = (counted.total + more) / counted.total
        larger = Counts(*(grown * number for number in vars(counted).values()))
        return gate.decide(larger, evaluate(margin=margin)).decision

    needed = gate.more_needed(counted, evaluate(margin=margin))
    assert decision(0) == "not enough evidence"
    assert decision(needed / 2) == "not enough evidence"
    assert decision(1.1 * needed) == "promote"


@pytest.mark.parametrize(
    ("accuracy", "num_labels", "min_accuracy", "decision"),
    [
        (0.5, 10, 0.5, "promote"),
        (0.4999, 10, 0.5, "reject"),
        (0.3, 2, 0.2, "reject"),
        (0.3, 4, 0.2, "promote"),
        (1.0, 2, 1.0, "promote"),
    ],
    ids=["enough", "too little", "worse than chance", "better than chance", "perfect"],
)
def test_a_first_champion_must_be_good_enough_by_itself(evaluate, accuracy, num_labels, min_accuracy, decision):
    verdict = gate.decide_first(accuracy, num_labels, evaluate(min_accuracy=min_accuracy))
    assert verdict.decision == decision
    assert (verdict.difference, verdict.lower) == (None, None)
    needed = max(min_accuracy, 1 / num_labels)
    why = "evaluate.min_accuracy" if min_accuracy == needed else f"guessing among {num_labels} labels"
    assert verdict.reasons == (
        f"no champion yet; holdout accuracy {accuracy:.1%}, at least {needed:.1%} is needed ({why})",
    )


def test_a_new_label_that_is_all_gain_does_not_hide_a_loss_on_the_others(evaluate):
    everything, others = counts(30, 8, 200), counts(2, 8, 170)
    assert gate.decide(everything, evaluate(margin=0.02, confidence=0.6)).decision == "promote"
    verdict = gate.decide(everything, evaluate(margin=0.02, confidence=0.6), familiar=others)
    assert verdict.decision == "reject"
    assert verdict.reasons[1:] == (
        "of 170 holdout images with labels that the champion knows the challenger gets 2 right that the champion gets "
        "wrong, and 8 the other way round: accuracy -3.53 points, at least -3.97 at 60% confidence",
        "of the 170 holdout images with labels that the champion knows, it loses more than the margin of 2 points: a "
        "new label must not hide that",
    )
    within = counts(4, 5, 170)
    assert gate.decide(everything, evaluate(margin=0.02, confidence=0.6), familiar=within).decision == "promote"


def test_a_gain_that_is_a_new_labels_is_no_evidence_for_the_others(evaluate):
    # Photographs: 372 of them, 7 more right than before, 5 of these with a label that the champion could not know.
    everything, others = counts(20, 13, 372), counts(14, 12, 338)
    assert gate.decide(everything, evaluate(margin=0.01, confidence=0.9)).decision == "promote"
    verdict = gate.decide(everything, evaluate(margin=0.01, confidence=0.9), familiar=others)
    assert verdict.decision == "not enough evidence"
    assert verdict.reasons[-1].startswith("of the 338 holdout images with labels that the champion knows, it may be")
    assert verdict.more == gate.more_needed(others, evaluate(margin=0.01, confidence=0.9))


def test_where_all_labels_are_new_all_images_count(evaluate):
    assert gate.decide(counts(20, 0, 200), evaluate(), familiar=counts(0, 0, 0)).decision == "promote"


def held(everything: Counts, fresh: Counts, familiar: Counts | None = None, cycle: int = 1) -> Held:
    """Against v2."""
    return Held(2, everything, familiar or everything, fresh, cycle)


NONE = counts(0, 0, 0)


@pytest.mark.parametrize(
    ("against", "decision", "reason"),
    [
        (held(counts(30, 20, 1000), NONE), "promote", None),
        # 1000 images promise 5.7 points.
        (held(counts(10, 90, 1000), NONE), "reject", "-8.00 points; it is worse by more than the 5.7 points that are"),
        (held(counts(20, 60, 1000), NONE), "not enough evidence", "-4.00 points; it may be worse by more than the 5.7"),
        (
            held(counts(30, 20, 1000), counts(0, 9, 100)),
            "reject",
            "of the 100 holdout images that came since v2, the best so far, was chosen, it gets 0 right that v2 gets "
            "wrong, and 9 the other way round: it is surely worse",
        ),
        (held(counts(10, 90, 1000), NONE, familiar=counts(10, 9, 800)), "promote", None),
        (held(counts(10, 90, 1000), NONE, familiar=NONE), "promote", None),
    ],
    ids=["kept", "broken", "perhaps broken", "worse on fresh images", "labels that v2 does not know", "knows none"],
)
def test_a_challenger_is_held_against_the_best_so_far(evaluate, against, decision, reason):
    verdict = gate.decide(counts(40, 10, 1000), evaluate(risk=0.05), held=against)
    assert verdict.decision == decision
    if reason:
        assert reason in verdict.reasons[-1]
    assert gate.decide(counts(40, 10, 1000), evaluate(risk=None), held=against).decision == "promote"


def test_what_is_promised_is_said_when_it_is_kept(evaluate):
    verdict = gate.decide(counts(40, 10, 1000), evaluate(risk=0.05), held=held(counts(40, 10, 1000), NONE))
    assert verdict.reasons[1] == (
        "it is surely not below v2, the best so far; 5.7 points are promised for all cycles (evaluate.risk)"
    )
    near = gate.decide(counts(40, 10, 1000), evaluate(risk=0.05), held=held(counts(20, 15, 1000), NONE))
    assert near.reasons[1].startswith("it is surely at most 1.6 points below v2, the best so far; 5.7 points")
    for judged in (verdict, near):
        assert [bool(COUNTED.match(reason)) for reason in judged.reasons] == [True, True, False], "cards tell the last"


def test_the_promise_holds_for_labels_that_are_to_go_too(evaluate):
    against = held(counts(10, 90, 1000), NONE)
    verdict = gate.decide(counts(5, 5, 1000), evaluate(risk=0.05), outdated=("cat",), held=against)
    assert verdict.decision == "reject"


@pytest.mark.parametrize(
    ("everything", "familiar", "is_best"),
    [
        (counts(40, 10, 1000), counts(40, 10, 1000), True),
        (counts(20, 15, 1000), counts(20, 15, 1000), False),
        (counts(60, 10, 1000), counts(10, 11, 900), False),
        (counts(60, 10, 1000), counts(10, 10, 900), True),
    ],
    ids=["surely better", "perhaps better", "by a new label, and worse on the others", "by a new label"],
)
def test_what_is_surely_better_is_the_best_so_far(evaluate, everything, familiar, is_best):
    verdict = gate.decide(everything, evaluate(risk=0.05), held=held(everything, NONE, familiar))
    assert verdict.is_best == is_best


def test_a_first_champion_is_the_best_so_far(evaluate):
    assert gate.decide_first(0.9, 2, evaluate()).is_best


@pytest.mark.parametrize(
    ("counted", "decision"),
    [
        (counts(0, 0, 40), "promote"),
        (counts(5, 5, 100), "promote"),
        (counts(9, 2, 100), "promote"),
        (counts(2, 3, 10_000), "promote"),
        (counts(2, 9, 100), "reject"),
    ],
    ids=["the same", "as good", "better", "surely within the margin", "worse"],
)
def test_a_champion_whose_labels_are_to_go_need_only_be_matched(evaluate, counted, decision):
    verdict = gate.decide(counted, evaluate(), outdated=("cat",))
    assert verdict.decision == decision
    if decision == "promote":
        assert verdict.reasons[-1] == "it is not worse, and the champion still has labels that are to go: cat"


def test_what_fails_on_new_images_is_rejected_whatever_labels_are_to_go(evaluate):
    verdict = gate.decide(counts(5, 0, 100), evaluate(), gate.Hits(1, 40), outdated=("cat",))
    assert verdict.decision == "reject"


def test_the_champion_itself_is_neither_promoted_nor_rejected() -> None:
    verdict = gate.unchanged(4)
    assert verdict.decision == "unchanged"
    assert verdict.reasons == ("the settings that changed give v4 itself, the champion",)
