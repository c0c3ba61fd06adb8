import pytest
from samples import description, training

from pipeline.artifacts.model import Frozen
from pipeline.artifacts.training import Audit
from pipeline.judging import gate, reach
from pipeline.judging.paired import Counts
from pipeline.judging.settings import Bound

USUAL = Bound(metric="accuracy", margin=0.01, confidence=0.9, risk=None)


def decision(settings, total: int, gain: int) -> str:
    """The gate's, where a tenth of the images tell."""
    differing = max(total / 10, gain)
    lost = (differing - gain) / 2
    counts = Counts(0, lost, differing - lost, total - differing)  # type: ignore[arg-type]
    evaluate = settings.evaluate.model_copy(update=dict(USUAL))
    return gate.decide(counts, evaluate).decision


@pytest.mark.parametrize("total", [5, 18, 72, 500, 1000, 2000])
def test_the_least_gain_is_promoted_by_the_gate_and_one_image_less_is_not(settings, total):
    gain = reach.least_gain(total, USUAL)
    assert gain is not None
    assert decision(settings, total, gain) == "promote"
    assert gain == 1 or decision(settings, total, gain - 1) == "not enough evidence"


def test_with_enough_images_any_gain_is_promoted_and_with_one_less_it_is_not(settings):
    needed = reach.enough(USUAL)
    assert needed is not None
    assert decision(settings, needed, 1) == "promote"
    assert decision(settings, needed - 1, 1) == "not enough evidence"


def test_without_a_margin_no_number_of_images_is_enough_for_any_gain():
    strict = Bound(metric="accuracy", margin=0.0, confidence=0.9, risk=None)
    assert reach.enough(strict) is None
    said = reach.said_before(72, 72, strict, 0.15, 10_000)
    assert said is not None
    assert said.endswith("if it and the champion differ on 10% of them (evaluate.margin, evaluate.confidence)")


@pytest.mark.parametrize(("max_holdout", "more"), [(10_000, ""), (1000, ", with prepare.max_holdout raised to 1443")])
def test_what_the_holdout_can_tell_is_said_before(max_holdout, more):
    assert reach.said_before(72, 72, USUAL, 0.15, max_holdout) == (
        "with 72 holdout images a challenger needs about +4.2 points to be promoted, if it and the champion differ on "
        "10% of them (evaluate.margin, evaluate.confidence); from about 1443 on any gain is enough: about 9620 images "
        f"in all (prepare.holdout_fraction: 0.15){more}"
    )
    assert reach.said_before(1500, 1500, USUAL, 0.15, max_holdout) is None
    assert "with 1 holdout images no gain is enough to be promoted" in str(reach.said_before(1, 1, USUAL, 0.15, 100))


def test_of_balanced_accuracy_fewer_images_count_than_there_are():
    plain, balanced = (str(reach.said_before(500, counting, USUAL, 0.15, 10_000)) for counting in (500, 125))
    assert "with 500 holdout images a challenger needs about +1.0 points" in plain
    assert "with 500 holdout images a challenger needs about +3.2 points" in balanced
    assert "from about 1443 on" in plain
    assert "from about 5772 on" in balanced
    lasting = Bound(metric="balanced_accuracy", margin=0.01, confidence=0.9, risk=0.05)
    assert "500 holdout images can promise that a champion is at most 16.2 points" in str(
        reach.promised_before(500, 125, 0, 1, lasting)
    )


def test_what_is_promised_over_all_cycles_is_said_before():
    lasting = Bound(metric="accuracy", margin=0.01, confidence=0.9, risk=0.05)
    assert reach.promised_before(180, 180, 0, 1, lasting) == (
        "over all cycles, 180 holdout images can promise that a champion is at most 13.5 points below the best so far "
        "(evaluate.risk); about 720 could promise 6.8"
    )
    assert reach.promised_before(280, 180, 100, 1, lasting) == (
        "over all cycles, 280 holdout images can promise that a champion is at most 12.7 points below the best so far "
        "(evaluate.risk), and 10.9 once a version is surely better than that; about 1120 could promise 5.4"
    )
    assert reach.promised_before(180, 180, 0, 0, lasting) is None, "there is no champion yet"
    assert reach.promised_before(180, 180, 0, 1, USUAL) is None, "nothing is promised"
    assert reach.promised_before(10**6, 10**6, 0, 1, lasting) is None, "the margin is"


@pytest.mark.parametrize(("max_holdout", "more"), [(10_000, ""), (200, ", with prepare.max_holdout raised to 271")])
def test_more_holdout_images_are_told_in_images_of_all_kinds(max_holdout, more):
    assert reach.more_images(199, 72, 0.15, max_holdout) == (
        f"that takes about 1327 more images in all (prepare.holdout_fraction: 0.15){more}; the next cycle learns those "
        "of this one again"
    )


COLD = "try train.start: cold for one cycle, which trains on all images from fresh weights, and set it back together"
AUDIT = Audit(
    passes=9, passes_before=5, is_scratch_better=False, is_measured=True, val_images=5, gained=1, lost=2, epochs=3
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"epochs": 0, "best_epoch": 0, "stop_reason": "nothing new to learn"}, None),
        ({"share": 0.25}, None),
        ({"share": 0.0}, f"what the parent serves is better than any mixture with the result; {COLD}"),
        ({"best_epoch": 0}, f"no epoch is better than the weights that training began with; {COLD}"),
        ({"best_epoch": 0, "share": 0.5}, f"and a mixture of the parent's own weights is best; {COLD}"),
        ({"start": "shrink", "best_epoch": 0}, f"no epoch is better than the weights that training began with; {COLD}"),
        ({"share": 0.0, "audit": AUDIT}, "and the audit's model from scratch is not better either; look at the labels"),
        ({"start": "cold", "best_epoch": 0}, "no epoch is better than fresh weights; look at the labels, or try another"
         " train.learning_rate"),
    ],
    ids=["learned", "nothing to learn", "mixture", "share 0", "epoch 0", "own weights", "shrink", "audited", "cold"],
)  # fmt: skip
def test_a_cycle_that_learned_nothing_says_so_and_what_to_try(changes, words):
    said = reach.nothing_learned(training(**changes))
    assert (said is None) == (words is None)
    assert words is None or words in str(said)


IMAGES = "more images help most: 84 of 120 train, for 4 labels (the others choose and judge)"
LOWER = "if it is good enough as it is, lower evaluate.min_accuracy"
HEAD = Frozen(cut="head", weights="digest")


def made(architecture="own:build", **changes):
    return description("cat", "dog", "owl", "fox", architecture=architecture, **changes)


@pytest.mark.parametrize(
    ("challenger", "stop_reason", "accuracy", "said"),
    [
        (made(), "patience", 0.25, [LOWER]),
        (made(), "patience", 0.24, []),
        (made(), "max_epochs: 60", 0.24, ["so may more epochs: training was stopped by max_epochs"]),
        (made("small_cnn"), "patience", 0.3, [
            "for photographs so does a network that has seen others: run `python -m pipeline weights EfficientNetLite0`"
            ", then set train.architecture: EfficientNetLite0, train.pretrained: "
            "data/weights/EfficientNetLite0.safetensors, train.tune: head, prepare.image_size: auto and "
            "prepare.channels: 3",
            LOWER,
        ]),
        (made(frozen=HEAD, image_shape=(96, 96, 3)), "patience", 0.1, [
            "so do larger pictures, if the images are as large (prepare.image_size: auto)",
            "so may training the whole network, which takes longer (train.tune: all)",
        ]),
        (made(frozen=HEAD, image_shape=(160, 160, 3)), "patience", 0.1, [
            "so may training the whole network, which takes longer (train.tune: all)",
        ]),
    ],
    ids=["own", "worse than guessing", "epochs", "small_cnn", "head of small pictures", "head"],
)  # fmt: skip
def test_what_would_help_a_first_challenger_is_told(challenger, stop_reason, accuracy, said):
    went = training(num_images=120, stop_reason=stop_reason, start="cold")
    assert reach.for_a_first(went, accuracy, challenger, 84) == "; ".join([IMAGES, *said])
