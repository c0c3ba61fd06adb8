import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.showing.fonts import drawable, fitted, font, length, wrap

FONT = font(12)


@hypothesis.given(st.text(), st.integers(60, 300), st.integers(1, 8))
def test_lines_are_as_many_and_as_wide_as_allowed_and_lose_nothing_unsaid(text, width, most):
    lines = wrap(text, FONT, width, most)
    assert len(lines) <= most
    assert all(FONT.getlength(line) <= width for line in lines)
    kept, whole = ("".join(one.split(" ")) for one in ("".join(lines), drawable(text)))
    assert kept == whole or (kept.endswith("…") and whole.startswith(kept[:-1]))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("cat/1.jpg", ["cat/1.jpg"]),
        (
            "data/images/2026-11/cat/IMG_1.jpg: not an image",
            ["data/images/2026-11/", "cat/IMG_1.jpg: not an", "image"],
        ),
        ("a " + "x" * 39, ["a xxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxx"]),
        (
            "one two three four five six seven eight nine ten eleven twelve thirteen",
            ["one two three four five", "six seven eight nine", "ten eleven twelve thir…"],
        ),
    ],
)
def test_lines_break_where_a_reader_would(text, lines):
    assert wrap(text, FONT, 145, 3) == lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("котёнок γάτα é ß", "котёнок γάτα é ß"),
        ("猫", r"\u732b"),
        ("🐈", r"\U0001f408"),
        ("a\nb\0", r"a\u000ab\u0000"),
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_the_font_cannot_draw_is_written_as_its_code(text, shown):
    assert drawable(text) == shown


@hypothesis.given(st.text(st.characters(), max_size=300), st.integers(30, 400), st.booleans())
def test_what_is_too_wide_loses_its_middle_and_no_more_than_needed(text, pixels, bold):
    shown, whole = fitted(text, pixels, 16.8, bold), drawable(text)
    assert length(shown, 16.8, bold) <= pixels
    if shown != whole:
        start, _, end = shown.rpartition("…")
        assert whole.startswith(start)
        assert whole.endswith(end)
        assert 0 <= len(start) - len(end) <= 1
        assert length(whole, 16.8, bold) > pixels


def test_a_name_keeps_its_start_and_its_end():
    assert fitted("c72f789c-ccc0-4d12-9b23-8e17f68fd224.jpg", 150, 16.8) == "c72f789…24.jpg"
    assert fitted("shorts", 150, 16.8) == "shorts"
