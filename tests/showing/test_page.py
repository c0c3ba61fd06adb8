import base64
import itertools
import json
import re
import unicodedata
from html.parser import HTMLParser

import hypothesis
import pytest
from hypothesis import strategies as st

from pipeline.artifacts.report import Report
from pipeline.showing import card
from pipeline.showing.page import MAX_ROWS, MAX_TEXT, escape, page
from pipeline.showing.text import visible

PAYLOADS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<style>*{display:none}</style>",
    "</style>",
    "</td></tr></table><h1>passed</h1>",
    "<!-- ",
    "-->",
    "<![CDATA[x]]>",
    "<?php x ?>",
    "<!DOCTYPE html>",
    '" onmouseover="alert(1)" x="',
    "' onmouseover='alert(1)' x='",
    "x style=background:url(http://evil.example)",
    '"><base href=http://evil.example>',
    "&lt;script&gt;",
    "&#60;script&#62;",
    "&amp;amp; &nbsp &copy",
    "{style} {0} {} %s %(x)s ${x} {{x}}",
    "::set-output name=x::y",
    "::error file=a::b",
    "::stop-commands::x",
    "EOF",
    "x=y\n[core]\n",
    "`rm -rf /`",
    "$(reboot)",
    "a|b|c",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "# heading",
    "=1+1",
    "../../etc/passwd",
    "\\",
    "\\u202e",
    "null",
    "0",
    "猫 котёнок γάτα قطة חתול 🐈 👨‍👩‍👧",
    "e\u0301\u0302\u0303" * 30,
    "ﷺ" * 10,
    "",
    " ",
    "x" * 10_000,
    "<b>" * 4_000,
]
ODD = [
    "\0",
    "\x01\x07\x08\x0b\x0c\x1b[31m\x7f\x85\x9b",
    "\n",
    "\r\n",
    "\t",
    "\u202e\u202d\u2066\u2069\u200f",
    "\u200b\u200d\ufeff\u00ad\u2028\u2029",
    "\udc80\udcff",
    "\ud83d",
    "\ue000\ufffe\U0010ffff\U000e0041",
    "🐈",
]
HOSTILE = [
    *PAYLOADS,
    *(payload + odd for payload, odd in itertools.product(PAYLOADS, ODD)),
    *(odd + payload for payload, odd in itertools.product(PAYLOADS[:20], ODD)),
]
"""In the manner of the Big List of Naughty Strings (minimaxir/big-list-of-naughty-strings)."""


class Reader(HTMLParser):
    """Elements with their attributes, in order, and the text of each cell, item and paragraph."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[object] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_other(self, text: str) -> None:
        self.elements.append(text)

    handle_endtag = handle_comment = handle_decl = handle_pi = unknown_decl = handle_other


def fields(text: str = "plain", number: int = 3, outcome: str = "passed", **changes: object) -> dict[str, object]:
    """The keys of a report, with the text in every field that holds text."""
    names = ("new", "accepted", "quarantined", "warned", "removed", "relabelled", "renamed")
    expectation = {"suite": text, "type": text, "meaning": text, "found": text, "outcome": outcome, "images": number}
    image = {"path": text, "label": text, "digest": text, "reason": text, "remedy": text, "fault": text}
    return {
        "success": True,
        "counts": dict.fromkeys(names, number),
        "expectations": [expectation, expectation],
        "quarantined": [image | {"is_known": False}] * 2,
        "warnings": [text, text],
        "drift": {text: 0.2},
        "max_drift": 0.3,
        "labels": [{"label": text, "new": number, "total": number}],
    } | changes


def report(*args, **changes: object) -> Report:
    """As `fields`; lists are as good as tuples."""
    return Report.model_validate(fields(*args, **changes), strict=False)


def text_of(html: str) -> str:
    return "\n".join(text for text in Reader(html).texts if text.strip())


def test_there_are_enough_hostile_strings():
    assert len(set(HOSTILE)) >= 700


PLAIN = Reader(page(report(), b"png")).elements


@pytest.mark.parametrize("part", range(7))
def test_hostile_text_in_every_field_is_text_and_nothing_else(part):
    for text in HOSTILE[part::7]:
        drawn = page(report(text), b"png")
        read = Reader(drawn)
        assert read.elements == PLAIN
        shown = visible(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
        assert len([one for one in read.texts if one == shown]) == (22 if shown else 0)
        assert not re.search(r"(?m)^\s*::", drawn)


def test_an_outcome_from_outside_is_text_too():
    for text in HOSTILE:
        elements = Reader(page(report(outcome=text), b"png")).elements
        assert [one[0] if isinstance(one, tuple) else one for one in elements] == [
            one[0] if isinstance(one, tuple) else one for one in PLAIN
        ]
        assert ("span", (("class", "mark unknown"),)) in elements


@hypothesis.given(st.text(st.characters()) | st.sampled_from(HOSTILE))
def test_a_page_has_no_control_character_and_can_be_written(text):
    drawn = page(report(text), None)
    drawn.encode("utf-8")
    assert not [one for one in drawn if unicodedata.category(one)[0] == "C" and one != "\n"]
    assert drawn.count("\n") == page(report(), None).count("\n")


@hypothesis.given(st.text(st.characters()) | st.sampled_from(HOSTILE))
def test_escaped_text_is_safe_in_a_quoted_attribute_too(text):
    for quote in "'\"":
        elements = Reader(f"<p title={quote}{escape(text)}{quote}>").elements
        assert [(tag, [name for name, _ in attributes]) for tag, attributes in elements] == [("p", ["title"])]


def test_on_the_card_the_same_strings_are_text_on_one_line_too():
    for text in HOSTILE:
        escaped = card.escape(text)
        assert Reader(escaped).elements == []
        assert len(escaped.splitlines()) <= 1
        assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]|~]", escaped)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202egpj.exe", r"a\u202egpj.exe"),
        ("caf\udce9.jpg", r"caf\udce9.jpg"),
        ("a\nb\tc\0", r"a\u000ab\u0009c\u0000"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("\u2028\u200b\ufeff\x9b", r"\u2028\u200b\ufeff\u009b"),
        ("猫 котёнок γάτα é 🐈", "猫 котёнок γάτα é 🐈"),
    ],
)
def test_what_hides_is_made_visible_and_words_stay_words(text, shown):
    assert visible(text) == shown
    assert shown in text_of(page(report(text), None))


def test_nothing_is_fetched_and_no_script_runs():
    drawn = page(report(), b"png")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', drawn)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert drawn.index("Content-Security-Policy") < drawn.index("<style>")
    assert not re.search(r"<(script|link|iframe|object|base|form)\b|url\(|@import|https?://|\bon\w+=", drawn)


def test_the_contact_sheet_is_in_the_page():
    (source,) = (dict(one[1])["src"] for one in Reader(page(report(), b"\x89PNG")).elements if one[0] == "img")
    kind, _, content = source.partition(",")
    assert (kind, base64.b64decode(content)) == ("data:image/png;base64", b"\x89PNG")
    assert "<img" not in page(report(), None)
    assert "None was drawn." in text_of(page(report(), None))


def test_a_report_that_went_through_json_is_the_same_page():
    assert page(Report.model_validate(json.loads(json.dumps(fields("é\udce9"))), strict=False), b"x") == page(
        report("é\udce9"), b"x"
    )


def outcome(**changes: object) -> str:
    (line,) = re.findall(r'<p class="outcome (.*)</p>', page(report(**changes), None))
    return line


def counts(**changes: int) -> dict[str, int]:
    return {"new": 1042, "accepted": 1042, "quarantined": 0} | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"counts": counts(), "warnings": []}, 'passed"><strong>Passed</strong> 1,042 of 1,042 new images accepted'),
        (
            {"counts": counts(new=1, accepted=1), "warnings": ["x"]},
            'warned"><strong>Passed</strong> 1 of 1 new image accepted, 1 warning',
        ),
        (
            {"counts": counts(accepted=1037, quarantined=5)},
            'quarantined"><strong>Passed</strong> 1,037 of 1,042 new images accepted, 5 quarantined',
        ),
        (
            {"outcome": "failed", "counts": counts(quarantined=5)},
            'failed"><strong>Failed</strong> 2 of 2 expectations failed; nothing is trained',
        ),
    ],
    ids=["passed", "warned", "quarantined", "failed"],
)
def test_the_first_line_says_how_it_ended(changes, expected):
    assert outcome(**changes) == expected


def test_counts_are_all_there_also_those_that_are_nought():
    drawn = page(report(counts={"new": 12_345, "accepted": 7}), None)
    counts = dict(re.findall(r"<dt>(\w+)</dt><dd>([\d,]+)</dd>", drawn))
    assert counts == {"new": "12,345", "accepted": "7"} | dict.fromkeys(
        ("quarantined", "warned", "removed", "relabelled", "renamed"), "0"
    )


@pytest.mark.parametrize("outcome", ["passed", "failed", "warned", "quarantined"])
def test_each_expectation_is_a_row_with_its_outcome(outcome):
    expectation = {"suite": "images", "type": "ExpectX", "meaning": "widths", "found": "4", "images": 1234}
    drawn = page(report(expectations=[expectation | {"outcome": outcome}]), None)
    section = drawn[drawn.index("Expectations") : drawn.index("Quarantined")]
    rows = Reader(section).texts[-12:]
    assert [text for text in rows if text.strip()][-6:] == ["images", "widths", "ExpectX", "4", "1,234", outcome]
    assert f'class="mark {outcome}"' in section


def test_each_quarantined_image_says_what_to_do():
    image = {"path": "cat/1.jpg", "label": "cat", "digest": "d41d", "reason": "empty file", "remedy": "remove it"}
    image |= {"fault": "readable", "is_known": False}
    assert "cat/1.jpg\nd41d\ncat\nempty file\nremove it" in text_of(page(report(quarantined=[image]), None))


def test_drift_above_the_limit_warns_and_bars_stay_in_their_cells():
    drawn = page(report(drift={"brightness": 0.31, "contrast": 0.3, "labels": 7.0}, max_drift=0.3), None)
    rows = re.findall(r"<td>(\w+)</td>.*?>([\d.]+)</td>.*?width:([\d.]+)%.*?left:([\d.]+)%.*mark (\w+)", drawn)
    assert rows == [
        ("brightness", "0.310", "31.0", "30.0", "warned"),
        ("contrast", "0.300", "30.0", "30.0", "passed"),
        ("labels", "7.000", "100.0", "30.0", "warned"),
    ]


def test_without_anything_to_show_each_section_says_so():
    nothing = {"expectations": [], "quarantined": [], "warnings": [], "drift": {}, "labels": []}
    shown = text_of(page(report(counts={}, **nothing), None))
    for sentence in (
        "There was nothing to judge.",
        "No image was quarantined.",
        "None.",
        "Not measured: too few images, new or known.",
        "There are none.",
    ):
        assert f"\n{sentence}\n" in shown
    assert "<table" not in page(report(counts={}, **nothing), None)


@pytest.mark.parametrize("field", ["expectations", "quarantined", "warnings", "labels"])
def test_long_lists_are_cut_and_counted(field):
    short, long = (page(report(**{field: fields()[field][:1] * size}), None) for size in (MAX_ROWS, MAX_ROWS + 1234))
    assert "more, in the JSON report" not in short
    assert short == long.replace('<p class="nothing">and 1,234 more, in the JSON report</p>', "").replace(
        f"{MAX_ROWS + 1234:,} warnings", f"{MAX_ROWS} warnings"
    )


def test_long_texts_are_cut_with_an_ellipsis():
    assert escape("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert escape("x" * (MAX_TEXT + 1)) == "x" * (MAX_TEXT - 1) + "…"


def test_dark_and_narrow_screens_are_thought_of():
    drawn = page(report(), None)
    assert "@media (prefers-color-scheme: dark)" in drawn
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in drawn
    assert drawn.count('<div class="wide"><table>') == drawn.count("<table>") == 4
