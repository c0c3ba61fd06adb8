import unicodedata

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.data import names

SAFE = [
    "1.png",
    "monday/red panda/IMG_0001 (2).JPG",
    "_x",
    "a+b@c,d=e.png",
    "Größe/日本.png",
    "cafe\u0301.png".replace("e\u0301", "\u00e9"),
    ".hidden",
    "a.b.c",
    "it's.png",
    "x" * 200,
    "é" * 100,
    "हिन्दी.png",
    "🦊.png",
]

UNSAFE = [
    ("caf\udcff.png", "its name is not UTF-8"),
    ("\ud800.png", "its name is not UTF-8"),
    ("x" * 201, "its name has 201 bytes, more than 200"),
    ("é" * 101, "its name has 202 bytes, more than 200"),
    ("-rf", "its name starts with -, as an option of a command does"),
    ("monday/-/1.png", "its name starts with -, as an option of a command does"),
    ("a\nb.png", r"its name holds '\n', which cannot be seen"),
    ("a\rb.png", r"its name holds '\r', which cannot be seen"),
    ("a\tb.png", r"its name holds '\t', which cannot be seen"),
    ("\x1b[31mred.png", r"its name holds '\x1b', which cannot be seen"),
    ("a\x00b", r"its name holds '\x00', which cannot be seen"),
    ("a\x7f", r"its name holds '\x7f', which cannot be seen"),
    ("gnp.\u202eexe", r"its name holds '\u202e', which cannot be seen"),
    ("a\u2066b", r"its name holds '\u2066', which cannot be seen"),
    ("a\u200bb", r"its name holds '\u200b', which cannot be seen"),
    ("\ufeffa", r"its name holds '\ufeff', which cannot be seen"),
    ("a\u2028b", r"its name holds '\u2028', which cannot be seen"),
    ("a\u2029b", r"its name holds '\u2029', which cannot be seen"),
    ("a\ue000b", r"its name holds '\ue000', which cannot be seen"),
    ("a\U000e0041b", r"its name holds '\U000e0041', which cannot be seen"),
    ("cafe\u0301.png", "its name is not in Unicode's normal form C, so macOS and Linux take it for different files"),
    ("\u212b.png", "its name is not in Unicode's normal form C, so macOS and Linux take it for different files"),
]


@pytest.mark.parametrize("path", SAFE, ids=ascii)
def test_a_usual_name_of_any_script_has_no_fault(path):
    assert names.fault(path) == ""


@pytest.mark.parametrize(("path", "reason"), UNSAFE, ids=[ascii(path)[:30] for path, _ in UNSAFE])
def test_a_name_that_could_hurt_is_told_why(path, reason):
    assert names.fault(path) == reason


@pytest.mark.parametrize(("name", "reason"), UNSAFE, ids=[ascii(path)[:30] for path, _ in UNSAFE])
def test_folders_are_looked_at_too(name, reason):
    assert names.fault(f"monday/{name}/1.png") == reason


@hypothesis.given(st.text(st.characters(), max_size=220))
def test_a_reason_is_plain_ascii_and_what_has_none_can_be_printed_and_written(path):
    reason = names.fault(path)
    assert reason.isascii()
    assert reason.isprintable()
    if not reason:
        path.encode()
        assert not any(unicodedata.category(character)[0] == "C" for character in path)
        assert all(len(name.encode()) <= 200 and not name.startswith("-") for name in path.split("/"))


def test_names_that_some_file_systems_take_for_one_are_paired():
    paths = ["a/Cat.png", "a/cat.png", "b/cat.png", "a/caf\u00e9.png", "a/cafe\u0301.png", "a/dog.png"]
    assert names.collisions(paths) == {
        "a/Cat.png": "a/cat.png",
        "a/cat.png": "a/Cat.png",
        "a/caf\u00e9.png": "a/cafe\u0301.png",
        "a/cafe\u0301.png": "a/caf\u00e9.png",
    }


def test_of_three_alike_all_are_named():
    assert set(names.collisions(["CAT", "Cat", "cat"])) == {"CAT", "Cat", "cat"}


@pytest.mark.parametrize(("one", "other"), [("straße", "STRASSE"), ("A/1.png", "a/1.png"), ("ﬁ.png", "FI.png")])
def test_case_is_folded_as_file_systems_do(one, other):
    assert names.collisions([one, other]) == {one: other, other: one}


def test_the_same_path_twice_is_no_collision():
    assert names.collisions(["a.png", "a.png"]) == {}


@hypothesis.given(st.lists(st.text("aAbB/éÉ\u0301"), max_size=8), st.randoms(use_true_random=False))
def test_collisions_do_not_depend_on_order_and_are_mutual(paths, random):
    pairs = names.collisions(paths)
    assert names.collisions(random.sample(paths, len(paths))) == pairs
    assert all(other != path and other in pairs for path, other in pairs.items())


ALIKE = [
    ("cat", "Cat"),
    ("cat", "cat "),
    ("red panda", "red  panda"),
    ("red panda", "red_panda"),
    ("cat", "\uff43\uff41\uff54"),  # wide letters
    ("caf\u00e9", "cafe\u0301"),
    ("cat", "\u0441\u0430t"),  # Cyrillic
    ("TOM", "\u0422\u041e\u041c"),
    ("\u0422\u041e\u041c", "\u0442\u043e\u043c"),  # one Cyrillic word, twice
    ("Xi", "\u03a7i"),  # Greek
    ("a-b", "a\u2013b"),
]


@pytest.mark.parametrize("pair", ALIKE, ids=ascii)
def test_labels_that_look_alike_are_found(pair):
    one, other = pair
    assert names.lookalikes([one, other, "dog"]) == {one: other, other: one}


def test_labels_that_differ_to_the_eye_are_no_lookalikes():
    different = [
        "1",
        "l",
        "I",
        "0",
        "O",
        "B",
        "8",
        "cat",
        "cats",
        "red panda",
        "redpanda",
        "\u043a\u043e\u0442",
        "e",
        "\u00e9",
    ]
    assert names.lookalikes(["red panda", *different]) == {}


def test_names_that_look_the_same_are_spelt_apart():
    assert names.spelt("cat") == "'cat'"
    assert names.spelt("caf\u00e9") == "'caf\u00e9' ('caf\\xe9')"
    assert names.spelt("cafe\u0301") == "'cafe\u0301' ('cafe\\u0301')"
