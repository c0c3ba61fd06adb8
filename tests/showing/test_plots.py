import numpy as np
import pytest
from compared import CASES, comparison, confused, label, pixels, slice_of
from test_epochs import training
from test_timeline import CYCLES

from pipeline.judging.calibration import Confidence
from pipeline.showing import plots

SURE = {"challenger": Confidence(np.linspace(0.3, 1, 100), np.arange(100) % 3 > 0)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("draw", [plots.labels, plots.slices, plots.confusion], ids=lambda one: one.__name__)
def test_any_comparison_gives_a_picture_that_fits_the_pane_and_is_the_same_again(draw, case):
    drawn = draw(CASES[case])
    height, width, _ = pixels(drawn).shape
    assert width == 736
    assert 30 < height < 1800
    assert (pixels(drawn) < 128).any()
    assert draw(CASES[case]) == drawn


@pytest.mark.parametrize(
    "draw",
    [lambda: plots.curves(training()), lambda: plots.history(CYCLES, 4), lambda: plots.reliability(SURE, 0.8)],
    ids=["curves", "history", "reliability"],
)
def test_each_other_picture_too(draw):
    assert pixels(draw()).shape[1] == 736
    assert draw() == draw()


def test_other_numbers_are_other_pictures():
    usual = {draw: draw(comparison()) for draw in (plots.labels, plots.slices, plots.confusion)}
    other = comparison(
        labels=(label("cat", 40, 30, 34),),
        slices=(slice_of("second", 60, 44, 34),),
        confused=(confused("cat", "dog", 9, 8),),
    )
    assert all(draw(other) != drawn for draw, drawn in usual.items())
    assert plots.curves(training(best_epoch=2)) != plots.curves(training())
    assert plots.history(CYCLES, 2) != plots.history(CYCLES, 4)


def test_where_there_is_nothing_to_draw_the_picture_says_so():
    """Each in its own words."""
    said = {
        plots.labels(CASES["no label"]),
        plots.slices(CASES["first version"]),
        plots.slices(CASES["champion knows no label"]),
        plots.history([], 1),
    }
    assert len(said) == 4
    assert all(pixels(one).shape[0] < 80 for one in said)
