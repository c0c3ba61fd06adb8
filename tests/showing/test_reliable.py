import itertools

import numpy as np
import pytest
from compared import pixels

from pipeline.judging import calibration
from pipeline.judging.calibration import Confidence
from pipeline.showing import plots
from pipeline.showing.reliable import figure


def sure(seed: int, count: int = 300, sharpened: float = 1.0) -> Confidence:
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.3, 1, count)
    return Confidence(probability ** (1 / sharpened), rng.random(count) < probability)


def test_reliability_is_a_picture_that_fits_a_column_and_shows_both_models_and_the_threshold():
    both = {"challenger": sure(0), "champion": sure(1, sharpened=3)}
    shown = pixels(plots.reliability(both, 0.8))
    assert shown.shape[1] <= 740
    assert plots.reliability(both, 0.8) == plots.reliability(both, 0.8)
    others = [
        plots.reliability({"challenger": sure(0)}, 0.8),
        plots.reliability(both | {"champion": sure(1)}, 0.8),
        plots.reliability(both, 0),
        plots.reliability(both, 0.85),
    ]
    assert all((pixels(other)[:400] != shown[:400]).any() for other in others)


def test_models_are_told_apart_without_colours():
    """In grey, the curve of one model differs from that of another with the same numbers."""
    one, other = sure(0), sure(0, 20)
    curves = [pixels(plots.reliability(dict(zip("ab", pair, strict=True)), 0)) for pair in ((one, other), (other, one))]
    grey = [picture.astype(float).mean(axis=2) for picture in curves]
    assert (abs(grey[0] - grey[1]) > 60).sum() > 200


@pytest.mark.parametrize(
    "confidence",
    [
        Confidence(np.zeros(0), np.zeros(0, bool)),
        Confidence(np.ones(1), np.ones(1, bool)),
        Confidence(np.ones(100), np.ones(100, bool)),
        Confidence(np.full(100, 0.2), np.zeros(100, bool)),
    ],
    ids=["no image", "one image", "all right and sure", "all wrong"],
)
def test_reliability_of_any_model_can_be_pixels(confidence):
    for threshold in (0, 0.5, 1):
        assert pixels(plots.reliability({"challenger": confidence}, threshold)).std() > 0


def test_the_curve_is_that_of_the_bins():
    made = figure({"challenger": sure(0), "champion": sure(1)}, 0.8)
    bins = calibration.reliability(sure(0))
    line = made.axes[0].lines[1]
    assert line.get_xdata() == pytest.approx([one.probability for one in bins])
    assert line.get_ydata() == pytest.approx([one.accuracy for one in bins])
    named = [one.get_text() for one in made.legends[0].texts]
    assert named == [
        f"{who}: expected calibration error {100 * calibration.error(sure(n)):.1f} %"
        for n, who in enumerate(("challenger", "champion"))
    ]


def test_thresholds_that_are_named_do_not_touch():
    made = figure({"challenger": sure(0, 2000)}, 0.8)
    made.canvas.draw()
    named = sorted((one.get_window_extent() for one in made.axes[1].texts), key=lambda box: box.x0)
    assert len(named) > 2
    assert all(one.x1 < other.x0 or one.y1 < other.y0 or other.y1 < one.y0 for one, other in itertools.pairwise(named))
