import io

import hypothesis
import numpy as np
import pytest
from examples import examples
from hypothesis import strategies as st
from PIL import Image

from pipeline.showing.sheet import MANY_PANELS, MAX_PANELS, MAX_TILES, Panel, Tile, draw

WIDTH = 1166
RED, AMBER, GREY, PLACEHOLDER = (194, 48, 48), (217, 130, 43), (213, 219, 224), (238, 241, 243)


def colour(number: int) -> tuple[int, int, int]:
    """One that nothing else on the sheet has."""
    return (0, 40 + number // 100, 100 + number % 100)


def tile(number: int = 0, caption: str = "", kind: str = "plain", size: tuple[int, int] = (48, 48)) -> Tile:
    return Tile(np.full((*size, 3), colour(number), np.uint8), caption, kind)


def panel(count: int = 3, first: int = 0, more: int = 0, caption: str = "", title: str = "cat", note: str = "new"):
    return Panel(title, note, tuple(tile(first + number, caption) for number in range(count)), more)


def pixels(content: bytes) -> np.ndarray:
    """The pixels of a PNG, uint8 (height, width, 3)."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def box(picture: np.ndarray, wanted: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a colour; None if it is nowhere."""
    rows, columns = np.nonzero((picture == wanted).all(axis=2))
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


def places(panels: list[Panel]) -> list[tuple[int, int, int, int]]:
    """Boxes of the numbered tiles that are on the sheet, by number."""
    red, green, blue = pixels(draw(panels)).astype(int).transpose(2, 0, 1)
    rows, columns = np.nonzero((red == 0) & (green >= 40) & (green < 50) & (blue >= 100) & (blue < 200))
    number = (green[rows, columns] - 40) * 100 + blue[rows, columns] - 100
    inside = ((columns[number == one], rows[number == one]) for one in np.unique(number))
    return [(x.min(), y.min(), x.max() + 1, y.max() + 1) for x, y in inside]


def test_every_tile_is_drawn_at_one_size_in_a_row():
    boxes = places([panel(12)])
    assert {(right - left, bottom - top) for left, top, right, bottom in boxes} == {(84, 84)}
    assert len({top for _, top, _, _ in boxes}) == 1
    assert np.diff([left for left, *_ in boxes]).tolist() == [94] * 11
    assert (boxes[0][0], boxes[-1][2]) == (24, WIDTH - 24)


def test_each_section_is_below_the_one_before():
    tops = [top for _, top, _, _ in places([panel(1), panel(1, first=1), panel(1, first=2)])]
    assert np.diff(tops).tolist() == [144, 144]


@pytest.mark.parametrize("size", [(48, 48), (224, 224), (20, 20), (1, 1)])
def test_pictures_of_any_size_fill_their_tile(size):
    (place,) = places([Panel("cat", "", (tile(size=size),))])
    assert (place[2] - place[0], place[3] - place[1]) == (84, 84)


def test_a_picture_that_is_not_square_keeps_its_shape_and_is_centred():
    ((left, top, right, bottom),) = places([Panel("cat", "", (tile(size=(48, 96)),))])
    assert (left, right, bottom - top) == (24, 108, 42)
    assert top == 24 + 36 + 21


def test_a_picture_is_the_right_way_up():
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:24], picture[24:, :24] = RED, AMBER
    drawn = pixels(draw([Panel("cat", "", (Tile(picture),))]))[60:144, 24:108]
    assert [tuple(drawn[place]) for place in ((20, 20), (20, 64), (64, 20), (64, 64))] == [RED, RED, AMBER, (0, 0, 0)]


def test_an_image_without_pixels_gets_a_placeholder():
    drawn = pixels(draw([Panel("Quarantined", "", (Tile(None, "cat/1.jpg: empty file", "fault"),))]))
    left, top, right, bottom = box(drawn, PLACEHOLDER)
    assert (right - left, bottom - top) == (84, 84)
    assert (drawn[top + 20 : bottom - 20, left + 10 : right - 10] < 150).any()


@pytest.mark.parametrize(
    ("kind", "frame", "others"),
    [("plain", GREY, (RED, AMBER)), ("fault", RED, (AMBER, GREY)), ("warning", AMBER, (RED, GREY))],
)
def test_the_frame_says_what_is_wrong_and_a_sign_says_it_without_colour(kind, frame, others):
    drawn = pixels(draw([Panel("cat", "", (tile(kind=kind),))]))
    assert box(drawn, frame)[2:] == ((109, 145) if kind == "plain" else (111, 147))
    assert [box(drawn, other) for other in others] == [None, None]
    is_sign = (drawn[62:68, 25:28] >= 250).all(axis=2).any()
    above_the_frame = (drawn[53:56] == frame).all(axis=2).any()
    assert is_sign == above_the_frame == (kind != "plain")


def test_what_is_not_shown_is_counted():
    full, more, cut = (pixels(draw([one])) for one in (panel(12), panel(12, more=480), panel(492)))
    assert (full != more).any()
    assert (more == cut).all()
    assert len(places([panel(492)])) == 12
    assert len(places([panel(100, caption="x")])) == MAX_TILES
    assert (pixels(draw([panel(12, more=480)])) != pixels(draw([panel(12, more=481)]))).any()


def test_many_sections_stand_two_in_a_row_with_half_the_tiles():
    few, many = (
        places([panel(12, first=12 * number) for number in range(size)]) for size in (MANY_PANELS, MANY_PANELS + 1)
    )
    assert len(few) == MANY_PANELS * 12
    assert len(many) == (MANY_PANELS + 1) * 6
    assert [one[1] for one in many[:12]] == [many[0][1]] * 12
    assert [one[1] for one in many[12:24]] == [many[0][1] + 144] * 12
    assert min(one[0] for one in many) == 24
    assert max(one[2] for one in many) == WIDTH - 24
    assert many[6][0] - many[5][2] > 3 * (many[1][0] - many[0][2])


def test_among_many_sections_those_with_captions_keep_the_whole_width():
    panels = [panel(9, caption="why"), *(panel(6, first=9 + 6 * number) for number in range(MANY_PANELS))]
    boxes = places(panels)
    assert len(boxes) == 9 + 6 * MANY_PANELS
    assert boxes[3][2] > WIDTH / 2
    assert boxes[9][1] > boxes[8][3]
    between = places([panels[1], panels[0], *panels[2:]])
    captioned, before, after = between[:9], between[9:15], between[15:21]
    assert before[0][3] < captioned[0][1]
    assert captioned[-1][3] < after[0][1]


def test_a_section_without_tiles_takes_no_room_from_one_beside_it():
    panels = [panel(1, first=number) for number in range(MANY_PANELS + 1)]
    boxes = places([panels[0], Panel("dog", "none", ()), *panels[1:]])
    assert boxes[1][1] - boxes[0][1] == 144


def test_sections_beyond_the_limit_are_told_not_drawn():
    panels = [panel(1, first=number) for number in range(MAX_PANELS + 52)]
    assert len(places(panels)) == MAX_PANELS
    exact, over, further = (draw(panels[: MAX_PANELS + more]) for more in (0, 1, 2))
    assert pixels(over).shape[0] > pixels(exact).shape[0]
    assert (pixels(over) != pixels(further)).any()


def test_nothing_to_show_is_a_sheet_that_says_so():
    assert (pixels(draw([])) < 128).any()
    none = pixels(draw([Panel("Quarantined", "none", ())]))
    assert (none < 128).any()
    assert none.shape[0] < 150


def test_the_same_sections_are_the_same_bytes_and_others_are_not():
    base = [panel(3, caption="cat/1.jpg")]
    assert draw(base) == draw([panel(3, caption="cat/1.jpg")])
    others = [
        [panel(3, caption="cat/2.jpg")],
        [panel(3, caption="cat/1.jpg", title="dog")],
        [panel(3, caption="cat/1.jpg", note="old")],
        [panel(3, caption="cat/1.jpg", more=1)],
    ]
    assert len({draw(base), *(draw(other) for other in others)}) == 5


def ink(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Box of what is dark."""
    rows, columns = np.nonzero((picture < 128).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("word", ["W" * 5000, "W " * 2500, "/W" * 2500, "\n" * 300, "\u202e" * 300, "е́" * 300])
def test_no_caption_title_or_note_runs_over_what_is_beside_or_below(word):
    caption = pixels(draw([Panel("", "", (Tile(np.full((48, 48, 3), 255, np.uint8), word),))]))
    left, top, right, bottom = ink(caption)
    assert left >= 24 + 84 + 8
    assert right <= 24 + 267
    assert top >= 24 + 36 - 2
    assert bottom <= 24 + 36 + 84
    header = pixels(draw([panel(1, title=word, note=word, more=10**9)]))
    assert ink(header[:56])[2] <= WIDTH - 24
    assert ink(header[:56])[0] >= 24


@hypothesis.given(st.text(st.characters()), st.text(st.characters()))
@examples(25)
def test_any_text_can_be_drawn(title, caption):
    panels = [Panel(title, caption, (Tile(None, caption, "fault"),), 1)]
    assert draw(panels) == draw(panels)
