import pytest

from pipeline.base.words import are, counted, folded


def test_one_is_not_called_many():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1200, "entry", "entries") == "1,200 entries"
    assert counted(1, "entry", "entries") == "1 entry"


@pytest.mark.parametrize(("number", "words"), [(0, "0 images are"), (1, "1 image is"), (1200, "1,200 images are")])
def test_a_sentence_agrees_with_its_number(number: int, words: str) -> None:
    assert are(number, "image") == words


def test_another_verb_agrees_too() -> None:
    assert [are(number, "file", "lies", "lie") for number in (1, 2)] == ["1 file lies", "2 files lie"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_long_sentence_goes_on_in_the_next_line(width: int) -> None:
    line = "prepare: with 72 holdout images a challenger needs about +4.2 points to be promoted, if they differ on 10%"
    lines = folded(line, width).split("\n")
    assert len(lines) > 1
    assert all(len(one) <= width for one in lines)
    assert all(one.startswith("  ") for one in lines[1:])
    assert " ".join(one.strip() for one in lines) == line


def test_a_command_and_a_path_stay_whole() -> None:
    line = f"add: staged it; next: `git commit -am 'Add it'  &&  git push` and look into {'very/' * 12}long.png"
    assert "`git commit -am 'Add it'  &&  git push`" in folded(line, 60)
    assert f"\n  {'very/' * 12}long.png" in folded(line, 60)


@pytest.mark.parametrize(
    "line", ["cat/1.png  0.98  " + "x " * 60, "  v3 learned from it " + "x " * 60, "", "run: short"]
)
def test_tables_and_short_lines_stay_as_they_are(line: str) -> None:
    assert folded(line, 80) == line
