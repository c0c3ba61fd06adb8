import pytest

from pipeline.showing.text import middle


@pytest.mark.parametrize(
    ("limit", "shown"),
    [(8, "abcdefgh"), (7, "abc…fgh"), (6, "abc…gh"), (3, "a…h"), (2, "a…"), (1, "…")],
)
def test_a_long_text_loses_its_middle(limit, shown):
    assert middle("abcdefgh", limit) == shown
