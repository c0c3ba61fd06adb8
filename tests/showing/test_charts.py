import itertools

import numpy as np
import pytest
from compared import pixels

from pipeline.base.words import percent
from pipeline.showing import charts, dumbbells, gallery

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB, 0 to 1."""
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb.clip(0, 1)
    f = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLIND)
def test_the_colour_blind_can_tell_the_colours_apart(kind):
    """By 10 units of CIELAB at least; a difference of 2 is seen when two colours lie side by side."""
    for one, other in itertools.combinations((charts.FELL, charts.ROSE, charts.NEW), 2):
        seen = [lab(np.array(BLIND[kind]) @ linear(colour)) for colour in (one, other)]
        assert np.linalg.norm(seen[0] - seen[1]) > 10, (one, other)


@pytest.mark.parametrize(
    ("colour", "least"),
    [
        *((colour, 4.5) for colour in (charts.FELL, charts.ROSE, charts.NEW, charts.INK, charts.SOFT, gallery.DOUBT)),
        (dumbbells.COLOURS["unsure"], 4),
    ],
)
def test_text_has_a_contrast_that_can_be_read(colour, least):
    """WCAG 2.2, 1.4.3."""
    luminance = np.array([0.2126, 0.7152, 0.0722]) @ linear(colour)
    assert 1.05 / (luminance + 0.05) >= least


@pytest.mark.parametrize(
    ("change", "words"),
    [(0.0, "0"), (0.034, "+3"), (-0.094, "-9"), (1.0, "+100"), (0.0095, "+1"), (-0.003, "-0.3"), (-1e-6, "-0.0")],
)
def test_changes_are_points_with_a_sign(change, words):
    assert charts.points(change) == words


def test_shares_are_written_as_on_the_card():
    assert (percent(0.5957), percent(0.858, 0)) == ("59.6 %", "86 %")


def test_text_is_large_enough_to_be_read_at_half_the_size():
    assert charts.TEXT >= 11
    assert charts.DPI >= 110


def test_a_message_is_a_picture_as_high_as_its_lines():
    one, two = (pixels(charts.png(charts.message(text))) for text in ("none", "none at all " * 12))
    assert one.shape[1] == two.shape[1] == 736
    assert two.shape[0] == one.shape[0] + 2 * charts.LINE - charts.LINE
    assert (one < 128).any()


def test_settings_of_the_user_change_nothing(monkeypatch):
    import matplotlib

    before = charts.png(charts.message("as ever"))
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30)
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    assert charts.png(charts.message("as ever")) == before
