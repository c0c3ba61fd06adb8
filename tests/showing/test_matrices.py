import numpy as np
import pytest
from compared import CASES, CONFUSED, check_layout, comparison, confused, first, label, lines, many, texts

from pipeline.showing import charts
from pipeline.showing.matrices import GREW, MOST, OTHERS, figure, of


def counts(drawn, number: int) -> dict[tuple[int, int], str]:
    """Count that is written in each cell, by row and column."""
    (axes,) = (one for one in drawn.axes if one.get_label() == f"matrix {number}")
    return {(round(one.get_position()[1]), round(one.get_position()[0])): one.get_text() for one in axes.texts}


def shades(drawn, number: int) -> np.ndarray:
    (axes,) = (one for one in drawn.axes if one.get_label() == f"matrix {number}")
    return np.asarray(axes.images[0].get_array())


def test_both_models_are_drawn_with_labels_in_the_order_of_the_outputs():
    drawn = of(comparison())
    assert drawn.rows == drawn.columns == ("cat", "dog", "fox", "hat")
    assert [one.title for one in drawn.matrices] == ["champion v1", "challenger"]
    assert drawn.matrices[0].counts.tolist() == [[30, 10, 0, 0], [10, 30, 0, 0], [5, 0, 5, 0], [16, 0, 0, 0]]
    assert drawn.matrices[1].counts.tolist() == [[33, 7, 0, 0], [12, 20, 8, 0], [5, 0, 5, 0], [0, 12, 0, 4]]


def test_each_cell_has_its_count_and_empty_ones_have_none():
    made, drawn = of(comparison()), figure(of(comparison()))
    for number, matrix in enumerate(made.matrices):
        wanted = {
            (row, column): str(matrix.counts[row, column])
            for row, column in zip(*np.nonzero(matrix.counts), strict=True)
        }
        assert counts(drawn, number) == wanted


def test_names_stand_beside_their_rows_and_below_their_columns():
    drawn = figure(of(comparison()))
    page = next(one for one in drawn.axes if one.get_label() == "page")
    height = drawn.get_figheight() * charts.DPI
    for number in range(2):
        place = next(one for one in drawn.axes if one.get_label() == f"matrix {number}").get_position()
        left, right = place.x0 * charts.WIDTH, place.x1 * charts.WIDTH
        top, bottom = height * (1 - place.y1), height * (1 - place.y0)
        below = [
            (one.get_position()[0], one.get_text())
            for one in page.texts
            if one.get_rotation() == 90 and one.get_text() != "true label" and left < one.get_position()[0] < right
        ]
        assert [name for _, name in sorted(below)] == ["cat", "dog", "fox", "hat"]
        assert [x for x, _ in sorted(below)] == pytest.approx([left + (n + 0.5) * (right - left) / 4 for n in range(4)])
    beside = [(one.get_position()[1], one.get_text()) for one in page.texts if one.get_ha() == "right"]
    assert [name for _, name in sorted(beside)] == ["cat", "dog", "fox", "hat"]
    assert [y for y, _ in sorted(beside)] == pytest.approx([top + (n + 0.5) * (bottom - top) / 4 for n in range(4)])


def test_shades_are_shares_of_the_row_and_right_is_another_colour_than_wrong():
    drawn = shades(figure(of(comparison())), 0)
    green, red = drawn[0, 0], drawn[0, 1]
    assert green[1] > green[0]
    assert red[0] > red[1]
    double = comparison(confused=tuple(confused(o.actual, o.predicted, 2 * o.champion, o.challenger) for o in CONFUSED))
    assert np.allclose(shades(figure(of(double)), 0), drawn)
    assert np.allclose(drawn[3, 3], drawn[0, 3])  # nothing there
    assert drawn[3, 0].sum() < drawn[0, 1].sum()  # 16 of 16, 10 of 40


def test_what_became_more_is_framed_and_named():
    drawn = of(comparison())
    assert [(one.actual, one.predicted) for one in drawn.grew] == [
        ("dog", "fox"),
        ("dog", "cat"),
    ]  # of hat nothing was asked
    assert drawn.notes[1] == "Framed, more often than before: dog as fox from 0 to 8; dog as cat from 10 to 12."
    frames = lines(figure(drawn), "matrix 1", "grew")
    assert [(np.mean(x[:4]), np.mean(y[:4])) for x, y in frames] == [(2, 1), (0, 1)]
    assert lines(figure(drawn), "matrix 0", "grew") == []


def test_one_image_more_is_nothing():
    one_more = comparison(confused=(confused("cat", "dog", 5, 6), confused("dog", "cat", 5, 7)))
    assert [(one.actual, one.predicted) for one in of(one_more).grew] == [("dog", "cat")]


def test_nothing_became_more():
    same = comparison(confused=tuple(confused(o.actual, o.predicted, o.champion, o.champion) for o in CONFUSED))
    assert of(same).notes[1] == "No label that the champion knows is taken for another clearly more often than before."


def test_a_first_version_is_drawn_alone():
    drawn = of(first())
    assert [(one.title, one.counts.sum()) for one in drawn.matrices] == [("", 106)]
    assert drawn.grew == ()
    assert len(drawn.notes) == 1
    assert not any("champion" in text for text in texts(figure(drawn)))


def test_of_many_labels_those_that_are_confused_most_are_drawn():
    drawn = of(many())
    assert len(drawn.rows) == MOST
    assert drawn.columns == (*drawn.rows, OTHERS)
    assert drawn.notes[-1] == "The 20 of 200 labels that are confused most."
    assert list(drawn.rows) == sorted(drawn.rows)
    assert len(drawn.grew) == GREW
    assert {name for one in drawn.grew for name in (one.actual, one.predicted)} <= set(drawn.rows)
    for row, name in enumerate(drawn.rows):
        mine = [one for one in many().confused if one.actual == name]
        assert drawn.matrices[0].counts[row].sum() == sum(one.champion for one in mine)
        assert drawn.matrices[1].counts[row].sum() == sum(one.challenger for one in mine)


def test_what_became_more_is_drawn_though_others_are_confused_more():
    labels = tuple(label(f"label {n:02d}", 100, 5, 5) for n in range(30))
    often = [confused(f"label {n:02d}", f"label {n + 1:02d}", 50, 50) for n in range(2, 29)]
    drawn = of(comparison(labels=labels, confused=(confused("label 00", "label 01", 0, 3), *often)))
    assert drawn.rows[:2] == ("label 00", "label 01")


def test_labels_that_are_never_confused_make_room():
    labels = tuple(label(f"label {n:02d}", 10, 5, 5) for n in range(30))
    drawn = of(
        comparison(
            labels=labels, confused=tuple(confused(f"label {n:02d}", f"label {n + 1:02d}", 5, 5) for n in range(10, 29))
        )
    )
    assert drawn.rows == tuple(f"label {n:02d}" for n in range(10, 30))
    assert drawn.columns == drawn.rows


def test_a_label_that_is_gone_is_among_the_others():
    drawn = of(comparison(confused=(*CONFUSED, confused("cat", "gone", 3, 0))))
    assert drawn.columns == ("cat", "dog", "fox", "hat", OTHERS)
    assert drawn.matrices[0].counts[0].tolist() == [30, 10, 0, 0, 3]


def test_matrices_stand_side_by_side_where_there_is_room():
    def places(compared) -> list[tuple[float, float]]:
        return [
            (one.get_position().x0, one.get_position().y1)
            for one in figure(of(compared)).axes
            if one.get_label() != "page"
        ]

    (left, top), (right, other) = places(comparison())
    assert left < right
    assert top == other
    long = comparison(labels=tuple(label(f"{n} a name that is quite long", 10, 5, 5) for n in range(12)), confused=())
    (left, top), (right, other) = places(long)
    assert left == right
    assert other < top


def test_large_counts_fit_their_cells():
    labels = tuple(label(f"l{n}", 10**6, 1, 1) for n in range(20))
    drawn = figure(
        of(comparison(labels=labels, confused=tuple(confused(f"l{n}", "l0", 10 ** (n % 6), 123456) for n in range(20))))
    )
    drawn.canvas.draw()
    assert set(counts(drawn, 0).values()) == {"1", "10", "100", "1k", "10k", "100k"}
    for axes in drawn.axes[1:]:
        cell = axes.get_window_extent().width / 20
        assert all(one.get_window_extent().width <= cell + 1 for one in axes.texts)


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no label"}))
def test_no_text_runs_into_another_or_out_of_the_picture(case):
    check_layout(figure(of(CASES[case])))
