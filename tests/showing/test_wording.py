"""Words and numbers of a review."""

import pytest
import samples
from samples import part

from pipeline.artifacts.comparison import ALL, OLD, SliceScore
from pipeline.artifacts.content import Content, Unusual
from pipeline.showing import wording


@pytest.mark.parametrize(
    ("difference", "said"), [(0.0384, "+3.8"), (-0.0096, "-1.0"), (0.0, "0.0"), (0.0004, "0.0"), (-0.0004, "0.0")]
)
def test_a_difference_that_is_rounded_to_nothing_has_no_sign(difference: float, said: str) -> None:
    assert wording.points(difference) == said


def test_a_cycle_ends_with_five_lines_that_fit_a_terminal() -> None:
    review = samples.review(seconds=87.2, price="0.02 EUR")
    lines = list(wording.summary(review, samples.filed()))
    assert lines == [
        "v5 promoted: 90.0 % (v4: 80.0 %), +10 images",
        "  change   +10.0 points, at least +5.0 at 90% confidence, 8 won and 3 lost of 50 holdout images",
        "  look at  cat",
        "  cost     87 s, 1,234 passes of images, 0.02 EUR",
        "  done     v5 is the new champion",
    ]
    assert max(map(len, lines)) <= 100


def test_a_cycle_that_promotes_nothing_ends_with_the_reason() -> None:
    filed = samples.filed(standing="", decision="reject", said="v5 is registered; champion stays v4")
    counted = "of 50 holdout images the challenger gets 8 right that the champion gets wrong, and 3 the other way round"
    for reason, told in (("it forgot", "it forgot"), ("x" * 200, "x" * 88 + "…")):
        review = samples.review(judgement=samples.judgement(decision="reject", reasons=(counted, reason)))
        lines = list(wording.summary(review, filed))
        assert lines[-1] == f"  why      {told}"
        assert max(map(len, lines)) <= 100
    waits = samples.filed(standing="waiting", said="v5 waits for a person")
    assert list(wording.summary(samples.review(), waits))[-1] == "  done     v5 waits for a person"


def test_where_only_old_images_judge_the_change_is_theirs() -> None:
    parts = (part(ALL, 50, 0.8, 0.9, 0.05), part(OLD, 30, 0.9, 0.9, -0.01))
    review = samples.review(comparison=samples.comparison(parts=parts, judged_by=OLD))
    line = list(wording.summary(review, samples.filed()))[1]
    assert line == "  change   0.0 points, at least -1.0 at 90% confidence, on the 30 old images that judge"


def test_a_first_version_is_compared_with_nothing() -> None:
    first = samples.comparison(champion=None, parts=(part(ALL, 50, None, 0.9, None),), labels=())
    lines = list(wording.summary(samples.review(comparison=first), samples.filed(rival=None)))
    assert lines[0] == "v5 promoted: 90.0 %, +10 images"
    assert lines[1] == "  change   none: there was no champion before; 50 holdout images"
    assert lines[2] == "  look at  nothing stands out"


def test_whatever_stands_out_is_to_be_looked_at() -> None:
    one = SliceScore(slice="s", value="v", images=9, champion=8, challenger=2, is_worse=True, is_too_small=False)
    comparison = samples.comparison(slices=(one, one.model_copy(update={"is_worse": False})))
    unusual = (Unusual(kind="strange", path="p", label="cat", nearest="dog", score=1.5),)
    review = samples.review(comparison=comparison, unusual=unusual, report=samples.report(drift={"labels": 0.5}))
    assert wording.attention(review) == ["cat", "1 slice", "1 unusual image", "the drift of the new images"]


@pytest.mark.parametrize(
    ("distance", "drift", "is_drifted"), [(0.2, 0.1, True), (0.05, 0.1, False), (None, 0.4, True), (None, 0.3, False)]
)
def test_drift_is_told_by_content_or_by_facts(distance: float | None, drift: float, is_drifted: bool) -> None:
    content = Content(distance=distance, num_new=9, num_before=9, max_distance=0.1)
    review = samples.review(content=content, report=samples.report(drift={"labels": drift}))
    assert wording.is_drifted(review) == is_drifted
