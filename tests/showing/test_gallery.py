import itertools

import numpy as np
import pytest
from compared import CASES, check_layout, comparison, doubted, many, pixels, seen, texts

from pipeline.artifacts.comparison import Doubters, Pair
from pipeline.showing.gallery import (  # fmt: skip
    DOUBT,
    LOST,
    MOST_DOUBTED,
    MOST_FLIPS,
    MOST_PAIRS,
    WON,
    doubts,
    figure,
    flips,
    of_doubts,
    of_flips,
)


def colour(number: int) -> tuple[int, int, int]:
    """One that nothing else in the picture has."""
    return (0, 40, 100 + number)


def pictures(*numbers: int) -> dict[str, np.ndarray]:
    return {f"{number:032x}": np.full((48, 48, 3), colour(number), np.uint8) for number in numbers}


def places(drawn: np.ndarray) -> dict[int, tuple[int, int, int, int]]:
    """Left, top, width and height of each numbered picture."""
    found = {}
    for number in range(100):
        rows, columns = np.nonzero((drawn == colour(number)).all(axis=2))
        if len(rows):
            found[number] = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    return found


def written(gallery) -> list[str]:
    return [one.text.replace("\u200e", "") for one in gallery.lines]


def test_what_was_lost_comes_first_and_then_what_was_won():
    gallery = of_flips(comparison())
    assert written(gallery) == [
        "× 2 right before, wrong now",
        "true label (given by v1) → challenger",
        *("cat", "→ dog", "00000000", "dog", "→ fox", "00000000"),
        "✓ 1 wrong before, right now",
        "v1 → challenger (gives the true label)",
        *("dog", "→ cat", "00000000"),
    ]
    assert [(int(one.digest, 16), one.frame) for one in gallery.photos] == [(1, LOST), (2, LOST), (3, WON)]


def test_pictures_are_where_the_captions_are():
    gallery, drawn = of_flips(comparison()), pixels(flips(comparison(), pictures(1, 2, 3)))
    assert drawn.shape[:2] == (gallery.height, 736)
    assert {number: place[:2] for number, place in places(drawn).items()} == {
        int(one.digest, 16): (one.x, one.y) for one in gallery.photos
    }
    assert {place[2:] for place in places(drawn).values()} == {(128, 128)}
    for photo, caption in zip(gallery.photos[:2], gallery.lines[2:8:3], strict=True):
        assert caption.x == photo.x - 3
        assert photo.y + photo.side < caption.y - 12 < photo.y + photo.side + 20


def test_frames_differ_in_colour_and_in_sign():
    drawn = pixels(flips(comparison(), pictures(1, 2, 3)))
    signs = []
    for photo in of_flips(comparison()).photos:
        frame = tuple(int(photo.frame[at : at + 2], 16) for at in (1, 3, 5))
        assert tuple(drawn[photo.y + 64, photo.x - 2]) == frame
        disc = drawn[photo.y - 6 : photo.y + 10, photo.x - 6 : photo.x + 10].astype(int)
        signs.append((disc.min(axis=2) > 200).tobytes())
    assert signs[0] == signs[1] != signs[2]


def test_what_is_not_drawn_is_counted():
    gallery = of_flips(many())
    assert gallery.lines[0].text == "× 12,345 right before, wrong now"
    assert gallery.lines[1].text.endswith("; the 10 surest are shown")
    lost = [int(one.digest, 16) for one in gallery.photos if one.frame == LOST]
    assert lost == list(range(MOST_FLIPS))


def test_where_nothing_was_lost_it_says_so():
    gallery = of_flips(comparison(num_lost=0, lost=()))
    assert written(gallery)[:2] == ["× 0 right before, wrong now", "✓ 1 wrong before, right now"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("first version", "No image can flip: there is no champion."),
        ("nothing flipped", "No image flipped: champion v1 and challenger have the same images right."),
    ],
)
def test_where_nothing_can_be_shown_it_says_why(case, words):
    assert written(of_flips(CASES[case])) == [words]
    assert pixels(flips(CASES[case], {})).shape[0] < 60


def test_doubts_pairs_the_judge_and_what_has_none_are_told():
    gallery = of_doubts(comparison())
    assert written(gallery) == [
        "Least believed labels of new images",
        "1 image likely has another label; all that are doubted are shown.",
        "Below each: its label; what it seems to be, and how surely; its file.",
        *("cat", "dog?", "98 %", "4"),
        "1 pair of near-duplicates under two labels",
        *("cat", "one", "dog", "other"),
        "The models that doubt labels get 412 of 480 old images right (86 %).",
        "v1 does not know hat; those that train cannot be doubted.",
    ]
    assert [(int(one.digest, 16), one.side) for one in gallery.photos] == [(4, 104), (5, 128), (6, 128)]
    assert gallery.photos[0].frame == DOUBT
    drawn = places(pixels(doubts(comparison(), pictures(4, 5, 6))))
    assert {number: place[:2] for number, place in drawn.items()} == {
        int(o.digest, 16): (o.x, o.y) for o in gallery.photos
    }


def test_the_images_of_a_pair_are_nearer_to_each_other_than_to_the_next_pair():
    pairs = tuple(Pair(one=seen(n), other=seen(n + 1, "dog")) for n in (1, 3))
    photos = of_doubts(comparison(doubted=(), pairs=pairs)).photos
    gaps = [b.x - a.x - a.side for a, b in itertools.pairwise(photos)]
    assert gaps[1] > 4 * gaps[0] == 4 * gaps[2]


def test_of_many_doubts_and_pairs_the_first_are_drawn():
    gallery = of_doubts(many())
    doubtful = [int(one.digest, 16) for one in gallery.photos if one.frame == DOUBT]
    assert doubtful == list(range(MOST_DOUBTED))
    assert len(gallery.photos) == MOST_DOUBTED + 2 * MOST_PAIRS
    told = written(gallery)
    assert told[1] == "37 images likely have another label; the 24 most doubted are shown."
    assert "30 pairs of near-duplicates under two labels; 8 are shown" in told
    assert " ".join(told[-2:]).endswith("and 5 more; those that train cannot be doubted.")


def test_numbers_agree_in_number():
    one = comparison(num_suspicious=0, doubters=Doubters(right=1, images=1), doubted=(doubted(1), doubted(2)))
    told = written(of_doubts(one))
    assert told[1] == "0 images likely have another label; all that are doubted are shown."
    assert told[-2] == "The models that doubt labels get 1 of 1 old image right (100 %)."
    none = written(of_doubts(comparison(doubters=Doubters(right=0, images=0))))
    assert none[-2] == "The models that doubt labels get 0 of 0 old images right."


def test_where_nothing_is_doubted_it_says_so():
    assert written(of_doubts(CASES["nothing doubted"])) == ["No label of a new image is doubted."]
    none = written(of_doubts(comparison(champion=None, undoubted=("cat", "dog"))))
    assert none[-1] == "No model knew cat, dog; those that train cannot be doubted."


def test_a_file_without_a_name_is_told_by_its_digest():
    assert "0" * 8 in written(of_doubts(comparison(pairs=(Pair(one=seen(5), other=seen(6)),))))


def test_a_missing_picture_is_a_placeholder_and_what_it_shows_is_as_large():
    assert places(pixels(flips(comparison(), {}))) == {}
    assert pixels(flips(comparison(), {})).shape == pixels(flips(comparison(), pictures(1, 2, 3))).shape


@pytest.mark.parametrize("case", CASES)
def test_no_text_runs_into_another_or_out_of_the_picture(case):
    for gallery in (of_flips(CASES[case]), of_doubts(CASES[case])):
        check_layout(figure(gallery, {}))


def test_names_from_right_to_left_do_not_carry_what_is_beside_them_along():
    name = "שלום"
    told = [one.text for one in of_flips(comparison(lost=(seen(1, "dog", "dog", name),))).lines]
    assert f"→ \u200e{name}\u200e" in told


def test_the_same_values_are_the_same_bytes_and_others_are_not():
    usual = flips(comparison(), pictures(1, 2, 3))
    assert usual == flips(comparison(), pictures(1, 2, 3))
    assert usual != flips(comparison(won=(seen(3, "fox", "dog", "fox"),)), pictures(1, 2, 3))
    assert doubts(comparison(), {}) == doubts(comparison(), {})
    assert doubts(comparison(), {}) != doubts(comparison(undoubted=("dog",)), {})


def test_text_is_drawn_as_it_is_written():
    drawn = figure(of_flips(comparison(won=(seen(3, "$x^2$", "dog", "$x^2$"),))), {})
    assert "→ $x^2$" in texts(drawn)
    assert not any(one.get_parse_math() for one in drawn.axes[0].texts)
