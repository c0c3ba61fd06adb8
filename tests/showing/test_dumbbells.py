import pytest
from compared import CASES, HOSTILE, LABELS, check_layout, comparison, first, label, lines, many, slice_of, texts

from pipeline.showing import dumbbells
from pipeline.showing.dumbbells import MOST, MOST_NEW, Dumbbell, figure, of_labels, of_slices


def names(rows) -> list[str]:
    return [one.name for one in rows.dumbbells]


def test_the_worst_fall_is_first_and_new_labels_are_last():
    assert of_labels(comparison()).dumbbells == (
        Dumbbell("dog", 0.75, 0.5, "-25", "30 → 20 of 40", "fell", is_sure=True),
        Dumbbell("fox", 0.5, 0.5, "0", "5 → 5 of 10", "unsure"),
        Dumbbell("cat", 0.75, 0.825, "+8", "30 → 33 of 40", "rose"),
        Dumbbell("hat", None, 0.25, "new", "- → 4 of 16", "new"),
    )  # fmt: skip


def test_marks_are_where_the_numbers_are():
    """Hollow ones the champion's, filled ones the challenger's, and a line from the one to the other."""
    drawn = figure(of_labels(comparison()))
    assert lines(drawn, "dumbbells", "was") == [([0.75], [0]), ([0.5], [1]), ([0.75], [2])]
    assert lines(drawn, "dumbbells", "is") == [([0.5], [0]), ([0.5], [1]), ([0.825], [2]), ([0.25], [3])]
    assert lines(drawn, "dumbbells", "change") == [([0.75, 0.5], [0, 0]), ([0.5, 0.5], [1, 1]), ([0.75, 0.825], [2, 2])]
    marks = {one.get_gid(): one.get_markerfacecolor() for one in drawn.axes[1].lines}
    assert marks["was"] == "white"
    assert marks["is"] != "white"


def test_each_row_is_named_and_counted():
    written = texts(figure(of_labels(comparison())))
    assert written[:3] == ["Right, of the holdout images of each label", "champion v1", "challenger"]
    rows = written[-12:]
    assert rows == [
        *("dog", "▼ -25", "30 → 20 of 40"),
        *("fox", "0", "5 → 5 of 10"),
        *("cat", "+8", "30 → 33 of 40"),
        *("hat", "new", "- → 4 of 16"),
    ]
    assert written[3:-12] == [
        "▼ surely fell: by more than it may, beyond chance.",
        "Grey, dotted: too few images, nothing is sure of such a label.",
    ]


def test_signs_are_explained_where_they_are_and_nowhere_else():
    calm = comparison(labels=LABELS[:1])
    assert of_labels(calm).notes == ()


def test_what_is_unsure_is_grey_and_dotted_and_what_is_sure_is_bold():
    drawn = figure(of_labels(comparison()))
    styles = [one.get_linestyle() for one in drawn.axes[1].lines if one.get_gid() == "change"]
    assert styles == ["-", ":", "-"]
    bold = {one.get_text() for one in drawn.axes[0].texts if one.get_fontweight() == "bold"}
    assert bold == {"Right, of the holdout images of each label", "dog", "▼ -25", "30 → 20 of 40"}


def test_a_first_version_is_drawn_alone_the_worst_label_first():
    rows = of_labels(first())
    assert rows.champion == ""
    assert [(one.name, one.champion, one.change, one.counts) for one in rows.dumbbells] == [
        ("hat", None, "", "4 of 16"),
        ("dog", None, "", "20 of 40"),
        ("fox", None, "", "5 of 10"),
        ("cat", None, "", "33 of 40"),
    ]
    assert "this model" in texts(figure(rows))
    assert not any("champion" in text or "new" in text for text in texts(figure(rows)))


def test_a_label_without_holdout_images_says_so():
    rows = of_labels(comparison(labels=(label("rare", 0, 0, 0), *LABELS)))
    assert rows.dumbbells[-1] == Dumbbell("rare", None, None, "", "no holdout image", "unsure")


def test_of_many_labels_the_most_changed_are_drawn_and_the_others_counted():
    compared = many()
    rows = of_labels(compared)
    known = sorted((one for one in compared.labels if one.champion is not None), key=lambda one: -abs(one.change))
    new = sorted((one for one in compared.labels if one.champion is None), key=lambda one: one.challenger)
    wanted = {one.label for one in known[: MOST - MOST_NEW]} | {one.label for one in new[:MOST_NEW]}
    assert set(names(rows)) == wanted
    changes = [one.challenger - one.champion for one in rows.dumbbells if one.champion is not None]
    assert changes == sorted(changes)
    assert rows.notes[-1] == "176 more labels are not drawn: these changed most."


def test_one_label_that_is_not_drawn_is_one():
    labels = tuple(label(f"label {n}", 100, 50, 50 + n) for n in range(MOST + 1))
    assert of_labels(comparison(labels=labels)).notes[-1] == "1 more label is not drawn: these changed most."
    assert names(of_labels(comparison(labels=labels)))[0] == "label 1"
    exact = of_labels(comparison(labels=labels[1:]))
    assert not any("not drawn" in note for note in exact.notes)


def test_many_new_labels_leave_room_for_those_that_can_have_fallen():
    labels = (
        *(label(f"new {n}", 10, None, 5, None) for n in range(100)),
        *(label(f"old {n}", 10, 5, 4) for n in range(100)),
    )
    drawn = names(of_labels(comparison(labels=labels)))
    assert [name[:3] for name in drawn] == ["old"] * (MOST - MOST_NEW) + ["new"] * MOST_NEW
    few = names(of_labels(comparison(labels=labels[:103])))
    assert [name[:3] for name in few] == ["old"] * 3 + ["new"] * (MOST - 3)


def test_slices_that_are_surely_worse_come_first_and_too_small_ones_last():
    slices = (
        slice_of("tiny", 5, 5, 1, small=True),
        slice_of("fell", 50, 40, 35),
        slice_of("sure", 60, 44, 40, worse=True),
        slice_of("rose", 60, 44, 50),
    )
    rows = of_slices(comparison(slices=slices))
    assert names(rows) == ["batch: sure", "batch: fell", "batch: rose", "batch: tiny"]
    assert [(one.tone, one.is_sure) for one in rows.dumbbells] == [("fell", True), ("fell", False), ("rose", False), ("unsure", False)]  # fmt: skip # noqa: E501
    assert rows.dumbbells[0].counts == "44 → 40 of 60"
    assert texts(figure(rows))[3:5] == list(rows.notes)


def test_of_many_slices_those_that_fell_most_are_drawn():
    rows = of_slices(many())
    assert len(rows.dumbbells) == MOST
    assert rows.notes == ("176 more slices are not drawn: these fell most.",)
    assert all(one.tone == "fell" for one in rows.dumbbells)


@pytest.mark.parametrize(
    ("shares", "start"), [((0.2, 0.9), 0), ((0.55, 0.7), 0.5), ((0.85, 0.99), 0.8), ((0.95, 1.0), 0.9), ((0.0, 0.0), 0)]
)
def test_the_scale_begins_below_the_least(shares, start):
    before, now = (round(100 * share) for share in shares)
    drawn = figure(of_labels(comparison(labels=(label("cat", 100, before, now),))))
    left, right = drawn.axes[1].get_xlim()
    assert left < min(shares)
    assert right > 1
    ticks = [one.get_text() for one in drawn.axes[1].get_xticklabels()]
    assert (ticks[0], ticks[-1]) == (f"{100 * start:g}", "100 %")


@pytest.mark.parametrize("case", sorted(set(CASES) - {"no label"}))
def test_no_text_runs_into_another_or_out_of_the_picture(case):
    check_layout(figure(of_labels(CASES[case])))
    if CASES[case].slices:
        check_layout(figure(of_slices(CASES[case])))


def test_names_from_outside_are_drawn_as_they_are_written():
    labels = (label("$x^2$", 40, 30, 33), label("a\nb", 40, 30, 33), label("猫", 40, 30, 33))
    drawn = figure(of_labels(comparison(labels=labels)))
    assert {"$x^2$", "a\\u000ab", "\\u732b"} <= set(texts(drawn))
    assert not any(one.get_parse_math() for one in drawn.axes[0].texts)


def test_long_names_keep_start_and_end():
    drawn = texts(figure(of_labels(comparison(labels=(label("start " + "x" * 200 + " end", 40, 30, 33),)))))
    assert any(text.startswith("start x") and text.endswith("x end") and "…" in text for text in drawn)
    assert len(HOSTILE) == len(of_labels(CASES["hostile"]).dumbbells)


def test_the_colours_are_those_of_the_direction():
    drawn = figure(of_labels(comparison()))
    colours = {one.get_gid(): [] for one in drawn.axes[1].lines}
    for one in drawn.axes[1].lines:
        colours[one.get_gid()].append(one.get_color())
    assert colours["is"] == [dumbbells.COLOURS[tone] for tone in ("fell", "unsure", "rose", "new")]
