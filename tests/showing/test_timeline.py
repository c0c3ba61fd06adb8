import itertools
from dataclasses import replace

import pytest
from compared import axes, check_layout, lines, texts

from pipeline.artifacts.past import PastCycle
from pipeline.showing import timeline
from pipeline.showing.timeline import figure, of

FIRST = PastCycle(1, "was champion", "promote", None, 0.5, None, 21000.0, 212.0, 300, "cold")
SECOND = PastCycle(2, "rejected", "reject", 0.5, 0.45, 0.06, 8000.0, 80.0, 400, "warm")
THIRD = PastCycle(4, "champion", "promote", 0.5, 0.625, 0.04, 9000.0, None, 500, "warm")
CYCLES = (FIRST, SECOND, THIRD)
UNKNOWN = PastCycle(1, "", "", None, None, None, None, None, None, "")


def many(count: int) -> list[PastCycle]:
    return [
        replace(THIRD if n % 3 else SECOND, version=n + 1, accuracy=0.4 + n / 1000, seconds=90.0) for n in range(count)
    ]


def bars(drawn, name: str) -> dict[float, float]:
    return {
        one.get_x() + one.get_width() / 2: one.get_height()
        for one in axes(drawn, name).patches
        if one.get_gid() != "current"
    }


def marks(drawn) -> list[str]:
    return [
        one.get_marker() for one in axes(drawn, "accuracy").lines if len(one.get_xdata()) and one.get_gid() != "was"
    ]


def test_each_version_stands_beside_the_champion_of_its_time():
    drawn = figure(of(CYCLES, 4))
    assert lines(drawn, "accuracy", "was") == [([1, 2], [0.5, 0.5])]
    assert lines(drawn, "accuracy", "is") == [([0, 2], [0.5, 0.625])]
    assert lines(drawn, "accuracy", "not") == [([1], [0.45])]
    changes = [path.tolist() for one in axes(drawn, "accuracy").collections for path in one.get_segments()]
    assert changes == [[[2, 0.5], [2, 0.625]], [[1, 0.5], [1, 0.45]]]


@pytest.mark.parametrize(
    ("standing", "verdict", "mark"),
    [
        ("champion", "promote", "o"),
        ("was champion", "promote", "o"),
        ("rolled back", "promote", "o"),
        ("champion", "reject", "o"),
        ("rejected", "promote", "X"),
        ("waiting", "not enough evidence", "X"),
        ("", "promote", "o"),
        ("", "reject", "X"),
    ],
)
def test_what_was_never_champion_is_a_cross(standing, verdict, mark):
    assert marks(figure(of([replace(THIRD, standing=standing, verdict=verdict)], 4))) == [mark]


def test_flips_and_cost_are_bars():
    drawn = figure(of(CYCLES, 4))
    assert bars(drawn, "lost") == pytest.approx({1: 0.06, 2: 0.04})
    assert bars(drawn, "passes") == pytest.approx({0: 21000, 1: 8000, 2: 9000})
    assert [one.get_text() for one in axes(drawn, "passes").texts] == ["4 min", "80 s"]


def test_the_current_version_stands_out():
    drawn = figure(of(CYCLES, 2))
    for name in ("accuracy", "lost", "passes"):
        (band,) = (one for one in axes(drawn, name).patches if one.get_gid() == "current")
        assert (band.get_x(), band.get_width()) == (0.5, 1)
    assert [one.get_text() for one in axes(drawn, "accuracy").texts] == ["45.0 %"]
    ticks = {one.get_text(): one.get_fontweight() for one in axes(drawn, "passes").get_xticklabels()}
    assert ticks == {"v1": "normal", "v2": "bold", "v4": "normal"}


def test_the_order_is_that_of_the_versions():
    assert of(CYCLES[::-1], 4) == of(CYCLES, 4)


def test_only_marks_that_are_there_are_explained():
    assert texts(figure(of(CYCLES, 4)))[1:4] == ["its champion", "version", "not promoted"]
    assert texts(figure(of([FIRST], 1)))[1:2] == ["version"]
    assert "not promoted" not in texts(figure(of([FIRST, THIRD], 1)))


def test_what_nobody_knows_is_said():
    assert [one.texts[0].get_text() for one in figure(of([UNKNOWN], 1)).axes[1:]] == [
        "not known",
        "no champion to compare with",
        "not known",
    ]
    (words,) = axes(figure(of([replace(THIRD, lost=None)], 4)), "lost").texts
    assert words.get_text() == "not known"


def test_of_many_versions_some_are_named_and_the_current_one_is():
    drawn = figure(of(many(200), 97))
    named = [one.get_text() for one in axes(drawn, "passes").get_xticklabels()]
    assert "v97" in named
    assert len(named) < 20
    assert sum(len(lines(drawn, "accuracy", gid)[0][0]) for gid in ("is", "not")) == 200
    assert [one.get_text() for one in axes(drawn, "passes").texts] == ["90 s"]
    drawn.canvas.draw()
    places = [one.get_window_extent() for one in axes(drawn, "passes").get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(places))


@pytest.mark.parametrize("count", [1, 2, 3, 10, 11, 17, 50, 200])
def test_no_text_runs_into_another_or_out_of_the_picture(count):
    check_layout(figure(of(many(count), count)))


def test_a_version_that_is_not_among_them_can_be_current():
    check_layout(figure(of(many(3), 7)))


def test_versions_of_any_number_fit():
    check_layout(figure(of([replace(FIRST, version=9999 - n) for n in range(30)], 9999)))
    check_layout(figure(of([FIRST, UNKNOWN], 1)))


def test_cost_is_written_short():
    assert [timeline._short(one) for one in (0, 500, 1500, 20000, 2.5e6)] == ["0", "500", "1.5k", "20k", "2.5M"]
