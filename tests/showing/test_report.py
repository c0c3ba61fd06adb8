"""The report: what it says, that nothing from outside becomes more than text, and that all people can read it."""

import base64
import itertools
import json
import re
import unicodedata
from html.parser import HTMLParser

import hypothesis
import numpy as np
import polars as pl
import pytest
import samples
from hypothesis import strategies as st

from pipeline.artifacts.comparison import (
    Confused,
    Doubted,
    Doubters,
    LabelScore,
    ModelComparison,
    Pair,
    PartScore,
    Seen,
    SliceScore,
)
from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import ChallengerScores, ChampionScores, Doubt
from pipeline.artifacts.past import PastCycle
from pipeline.artifacts.report import Report
from pipeline.images import pictures
from pipeline.showing import card, entries
from pipeline.showing.report import MAX_ROWS, MAX_TEXT, page
from pipeline.showing.report import text as shown_text
from pipeline.showing.reported import CyclePart, DataPart
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


WEBP = pictures.encode(np.zeros((4, 4, 3), np.uint8))
VOID = {"meta", "img", "input", "br", "rect"}


class Reader(HTMLParser):
    """Elements with their attributes, in order, how they lie in each other, and the texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[object] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.inside: list[tuple[str, str]] = []
        """Each text with the element that it is in."""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(tag)
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        self.inside.append((self.open[-1] if self.open else "", data))

    def handle_other(self, text: str) -> None:
        self.elements.append(text)

    handle_comment = handle_decl = handle_pi = unknown_decl = handle_other

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [dict(one[1]) for one in self.elements if isinstance(one, tuple) and one[0] == tag]


def skeleton(html: str) -> list[object]:
    """Elements with the names of their attributes, and the values of those that say no text."""
    return [
        (one[0], tuple((name, value) for name, value in one[1] if name != "alt")) if isinstance(one, tuple) else one
        for one in Reader(html).elements
    ]


def elements(html: str) -> set[tuple[str, tuple[str, ...]]]:
    """Kinds of elements, each with the names of its attributes."""
    return {(one[0], tuple(name for name, _ in one[1])) for one in Reader(html).elements if isinstance(one, tuple)}


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


def data(*args, **changes: object) -> DataPart:
    return DataPart(report=report(*args, **changes))


def storable(text: str) -> str:
    """What a table can hold of a text: no half of a character."""
    return text.encode("utf-8", "backslashreplace").decode()


def seen(text: str = "plain", digest: str = "d1", **changes: object) -> Seen:
    usual = {"path": text, "label": text, "champion": text, "champion_probability": 0.5, "challenger": text}
    return Seen(**{"digest": digest, "challenger_probability": 0.25, **usual, **changes})


def comparison(text: str = "plain", **changes: object) -> ModelComparison:
    usual = {
        "champion": 1,
        "metric": "accuracy",
        "confidence": 0.95,
        "holdout_images": 100,
        "parts": (PartScore(name=text, images=100, champion=0.5, challenger=0.625, at_least=0.01),),
        "labels": (LabelScore(label=text, images=50, champion=40, challenger=20, finding="surely fell"),),
        "slices": (
            SliceScore(slice=text, value=text, images=10, champion=8, challenger=3, is_worse=True, is_too_small=False),
        ),
        "num_lost": 1,
        "num_won": 1,
        "lost": (seen(text, "d1"),),
        "won": (seen(text, "d2"),),
        "doubted": (Doubted(seen=seen(text, "d3"), otherwise=text, probability=0.9, doubt=0.8, is_suspicious=True),),
        "num_suspicious": 1,
        "pairs": (Pair(one=seen(text, "d4"), other=seen(text, "d5")),),
        "doubters": Doubters(right=8, images=10),
        "undoubted": (text,),
        "confused": (Confused(actual=text, predicted=f"{text}.", champion=2, challenger=3),),
    }
    return ModelComparison(**usual | changes)


def new(text: str = "plain", *digests: str, **columns: object) -> pl.DataFrame:
    row = {"path": storable(text), "label": storable(text), "split": "holdout", "champion": storable(text)}
    row |= {"champion_probability": 0.5, "challenger": storable(text), "challenger_probability": 0.75, **columns}
    return pl.DataFrame([{"digest": digest} | row for digest in digests])


def whole(text: str = "plain", **changes: object) -> tuple[DataPart, CyclePart]:
    """Both halves, with the text in every field that holds text."""
    came = DataPart(
        report=report(text),
        new=new(text, "d1", "d6"),
        everywhere=text,
        thumbnails={"d1": WEBP, "d4": WEBP, "d5": WEBP},
        content=Content(distance=0.5, num_new=9, num_before=9, max_distance=0.1),
        unusual=(Unusual(kind="astray", path=text, label=text, nearest=text, score=2.0),),
    )
    training = samples.training(start_reason=text, stop_reason=text)
    scores = samples.evaluation(
        challenger=ChallengerScores(accuracy=0.9, loss=0.3, recall={text: 0.5}, calibration_error=0.03),
        champion=ChampionScores(accuracy=0.8, loss=0.5, calibration_error=0.05),
    )
    usual = {
        "judgement": samples.judgement(reasons=(text, text), doubts=(text,)),
        "filed": samples.filed(said=text, decided=text),
        "model": text,
        "version": 7,
        "comparison": comparison(text),
        "training": training,
        "evaluation": scores,
        "lineage": samples.lineage(
            commit=storable(text)[:1000], sources_digest=storable(text)[:1000], params={"train": {text: text}}
        ),
        "changes": samples.changes(),
        "pictures": dict.fromkeys(("labels", "slices", "reliability", "confusion", "curves", "history"), b"png"),
        "past": (past(),),
        "links": {text: text},
    }
    return came, CyclePart(**usual | changes)


def past() -> PastCycle:
    return PastCycle(1, "champion", "promote", 0.5, 0.6, 0.1, 1.0, 1.0, 100, "cold")


def text_of(html: str) -> str:
    return "\n".join(text for text in Reader(html).texts if text.strip())


def test_there_are_enough_hostile_strings():
    assert len(set(HOSTILE)) >= 700


PLAIN = skeleton(page(*whole()))
PLAIN_DATA = skeleton(page(data()))


@pytest.mark.parametrize("part", range(7))
def test_hostile_text_in_every_field_of_the_first_half_is_text_and_nothing_else(part):
    for text in HOSTILE[part::7]:
        drawn = page(data(text))
        assert skeleton(drawn) == PLAIN_DATA
        shown = visible(text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…")
        cells = [one for where, one in Reader(drawn).inside if where in ("td", "th", "code", "li", "small", "b", "p")]
        assert not shown.strip() or cells.count(shown) >= 20
        assert not re.search(r"(?m)^\s*::", drawn)


@pytest.mark.parametrize("part", range(3))
def test_hostile_text_in_every_field_of_both_halves_is_text_and_nothing_else(part):
    for text in [*PAYLOADS, *HOSTILE[len(PAYLOADS) + part :: 30]][part::3]:
        drawn = page(*whole(text))
        if text == storable(text) and text:
            assert skeleton(drawn) == PLAIN
        assert elements(drawn) <= elements(page(*whole()))
        assert visible(text)[:900] in " ".join(Reader(drawn).texts)


def test_ten_thousand_hostile_names_are_inert_and_counted():
    names = [f"{number}/{one}" for number, one in zip(range(10_000), itertools.cycle(HOSTILE), strict=False)]
    table = pl.DataFrame(
        {
            "digest": [f"{number:032x}" for number in range(10_000)],
            "path": [storable(name)[:4000] for name in names],
            "label": [storable(name)[:50] for name in itertools.islice(itertools.cycle(HOSTILE), 10_000)],
        }
    )
    drawn = page(DataPart(report=report(counts={"new": 10_000, "accepted": 10_000}), new=table))
    read = Reader(drawn)
    assert elements(drawn) <= elements(page(*whole()))
    tiles = [one for one in read.all("li") if (one.get("class") or "").startswith("entry ")]
    assert 1_000 < len(tiles) <= entries.MAX_ENTRIES
    assert "10,000 new images are shown" in text_of(drawn)
    assert not [one for one in drawn if unicodedata.category(one)[0] == "C" and one != "\n"]


def test_an_outcome_from_outside_is_text_too():
    for text in HOSTILE:
        elements = Reader(page(data(outcome=text))).elements
        assert [one[0] if isinstance(one, tuple) else one for one in elements] == [
            one[0] if isinstance(one, tuple) else one for one in PLAIN_DATA
        ]
        assert ("span", (("class", "mark unknown"),)) in elements


@hypothesis.given(st.text(st.characters()) | st.sampled_from(HOSTILE))
def test_a_page_has_no_control_character_and_can_be_written(text):
    drawn = page(data(text))
    drawn.encode("utf-8")
    assert not [one for one in drawn if unicodedata.category(one)[0] == "C" and one != "\n"]
    assert drawn.count("\n") == page(data()).count("\n")


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.text(st.characters(), min_size=1) | st.sampled_from(PAYLOADS))
def test_both_halves_have_no_control_character_and_no_element_from_outside(text):
    drawn = page(*whole(text))
    drawn.encode("utf-8")
    assert not [one for one in drawn if unicodedata.category(one)[0] == "C" and one != "\n"]
    assert elements(drawn) <= elements(page(*whole()))


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
    assert shown in text_of(page(data(text)))


def policy(drawn: str) -> dict[str, str]:
    (content,) = [one["content"] for one in Reader(drawn).all("meta") if one.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip # noqa: E501
    return dict(one.split(" ", 1) for one in str(content).split("; "))


@pytest.mark.parametrize("drawn", [page(data()), page(*whole())], ids=["data", "whole"])
def test_nothing_is_fetched_and_only_its_own_script_and_style_count(drawn):
    import hashlib

    allowed = policy(drawn)
    parts = {tag: re.findall(rf"<{tag}>(.*?)</{tag}>", drawn, re.S) for tag in ("style", "script")}
    for tag, (part,) in parts.items():
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert allowed.pop(f"{tag}-src") == f"'sha256-{digest}'"
    assert allowed == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert drawn.index("Content-Security-Policy") < drawn.index("<style>")
    assert not re.search(r"<(link|iframe|object|base|embed)\b|url\(|@import|\bon\w+=|\bstyle=", drawn)
    assert not re.search(r"https?://|innerHTML|eval|fetch|localStorage", drawn)


def test_thumbnails_and_pictures_are_in_the_page():
    sources = [str(one["src"]) for one in Reader(page(*whole())).all("img")]
    kinds = [source.partition(",")[0] for source in sources]
    assert kinds.count("data:image/png;base64") == 6
    assert kinds.count("data:image/webp;base64") == 3
    assert base64.b64decode(next(one for one in sources if "webp" in one).partition(",")[2]) == WEBP
    assert "<img" not in page(data())


def test_what_went_through_json_is_the_same_page():
    through = Report.model_validate(json.loads(json.dumps(fields("é\udce9"))), strict=False)
    assert page(DataPart(report=through)) == page(data("é\udce9"))


def outcome(**changes: object) -> str:
    (line,) = re.findall(r'<div class="outcome (.*)</p>', page(data(**changes)))
    return line


def counts(**changes: int) -> dict[str, int]:
    return {"new": 1042, "accepted": 1042, "quarantined": 0} | changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"counts": counts(), "warnings": []}, 'good"><p><strong>Passed</strong> 1,042 of 1,042 new images accepted'),
        (
            {"counts": counts(new=1, accepted=1), "warnings": ["x"]},
            'warn"><p><strong>Passed</strong> 1 of 1 new image accepted, 1 warning',
        ),
        (
            {"counts": counts(accepted=1037, quarantined=5)},
            'warn"><p><strong>Passed</strong> 1,037 of 1,042 new images accepted, 5 set aside',
        ),
        (
            {"outcome": "failed", "counts": counts(quarantined=5)},
            'bad"><p><strong>Failed</strong> 2 of 2 expectations failed; nothing is trained',
        ),
    ],
    ids=["passed", "warned", "set aside", "failed"],
)
def test_the_first_line_says_how_it_ended(changes, expected):
    assert outcome(**changes) == expected


def test_counts_are_all_there_also_those_that_are_nought():
    drawn = page(data(counts={"new": 12_345, "accepted": 7}))
    counts = dict(re.findall(r"<dt>([\w ]+)</dt><dd>([\d,]+)</dd>", drawn))
    assert counts == {"new": "12,345", "accepted": "7"} | dict.fromkeys(
        ("set aside", "warnings", "removed", "relabelled", "renamed"), "0"
    )


def section(drawn: str, name: str) -> list[str]:
    """The texts of a section."""
    part = drawn[drawn.index(f'<section id="{name}"') :]
    part = part[: part.index("</section>") + 10]
    return [text.strip() for text in Reader(part).texts if text.strip()]


@pytest.mark.parametrize("outcome", ["passed", "failed", "warned", "quarantined"])
def test_each_expectation_is_a_row_with_its_outcome(outcome):
    expectation = {"suite": "images", "type": "ExpectX", "meaning": "widths", "found": "4", "images": 1234}
    drawn = page(data(expectations=[expectation | {"outcome": outcome}]))
    assert section(drawn, "expectations")[-6:] == ["images", "widths", "ExpectX", "4", "1,234", outcome]
    assert f'class="mark {outcome}"' in drawn
    assert ("<details open>" in drawn) == (outcome == "failed")


def test_each_image_that_is_set_aside_says_what_to_do():
    image = {"path": "cat/1.jpg", "label": "cat", "digest": "d41d", "reason": "empty file", "remedy": "remove it"}
    drawn = page(data(quarantined=[image | {"fault": "readable", "is_known": False}]))
    assert section(drawn, "data")[-5:] == ["cat/1.jpg", "d41d", "cat", "empty file", "remove it"]


def test_drift_above_the_limit_warns_and_bars_stay_in_their_cells():
    drawn = page(data(drift={"brightness": 0.31, "contrast": 0.3, "labels": 7.0}, max_drift=0.3))
    bars = r'width="([\d.]+)" height="6"/>\s*<rect class="limit" x="([\d.]+)"'
    rows = re.findall(
        rf'<th scope="row">(\w+)</th><td class="number">([\d.]+)</td>.*?"(?:warn|good)" {bars}.*?mark \w+">(\w+)',
        drawn[drawn.index('id="drift"') :],
        re.S,
    )
    assert rows == [
        ("brightness", "0.310", "31.0", "30.0", "warned"),
        ("contrast", "0.300", "30.0", "30.0", "passed"),
        ("labels", "7.000", "100.0", "30.0", "warned"),
    ]


def test_without_anything_to_show_each_section_says_so():
    nothing = {"expectations": [], "quarantined": [], "warnings": [], "drift": {}, "labels": []}
    shown = text_of(page(data(counts={}, **nothing)))
    for sentence in (
        "Nothing stands out.",
        "There was nothing to judge.",
        "No image was set aside.",
        "None.",
        "Facts: not measured, too few images, new or known.",
        "There are none.",
    ):
        assert f"\n{sentence}\n" in shown
    assert "<table" not in page(data(counts={}, **nothing))


def test_a_version_that_kept_nothing_says_so_in_each_section():
    drawn = page(DataPart(report=None), CyclePart(judgement=None, version=3))
    assert "No verdict" in text_of(drawn)
    for name in ("parts", "labels", "images", "data", "drift", "slices", "calibration", "confusion", "training", "predictions", "expectations", "lineage"):  # fmt: skip # noqa: E501
        title, *rest = section(drawn, name)
        assert len(rest) == 1 or (name == "parts" and len(rest) <= 3), (name, rest)
        assert title[0].isupper()


@pytest.mark.parametrize("field", ["expectations", "quarantined", "warnings", "labels"])
def test_long_lists_are_cut_and_counted(field):
    def many(size: int) -> list[object]:
        (one, *_) = fields()[field]
        return [one | {"label": f"label {number}"} if field == "labels" else one for number in range(size)]

    long = page(data(**{field: many(MAX_ROWS + 1234)}))
    where = {"expectations": "expectations", "labels": "labels"}.get(field, "data")
    assert "and 1,234 more, in report.json" in section(long, where)
    short = page(data(**{field: many(MAX_ROWS)}))
    assert "more, in report.json" not in text_of(short)


def test_long_texts_are_cut_with_an_ellipsis():
    assert shown_text("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert shown_text("x" * (MAX_TEXT + 1)) == "x" * (MAX_TEXT - 1) + "…"


def tile(drawn: str, digest_text: str) -> list[str]:
    """The texts of the tile that holds a text."""
    (part,) = [one for one in re.findall(r'<li class="entry .*?</li>', drawn, re.S) if digest_text in one]
    return [" ".join(text.split()) for text in Reader(part).texts if text.strip()]


def test_each_image_says_file_label_and_both_answers():
    table = new("x", "d1", "d2").with_columns(
        path=pl.Series(["data/images/second/cat/1.jpg", "data/images/second/cat/2.jpg"]),
        label=pl.lit("cat"),
        champion=pl.Series(["dog", None], dtype=pl.String),
        champion_probability=pl.Series([0.6, None]),
        challenger=pl.lit("cat"),
    )
    judged = samples.judgement(champion=4)
    drawn = page(DataPart(report=None, new=table, thumbnails={"d1": WEBP}), CyclePart(judgement=judged, version=7))
    assert tile(drawn, "1.jpg") == [
        "1.jpg", "second/cat", "· holdout", "labelled", "cat",
        "✗", "wrong:", "v4:", "dog", "60 %", "✓", "right:", "v7:", "cat", "75 %",
    ]  # fmt: skip
    assert tile(drawn, "2.jpg")[-5:] == ["✓", "right:", "v7:", "cat", "75 %"]
    assert "v4:" not in tile(drawn, "2.jpg")
    assert "cat 2 new" in " ".join(section(drawn, "images"))


def test_images_are_marked_by_what_is_said_of_them():
    drawn = page(*whole())
    kinds = {
        digest: kinds
        for kinds, digest in zip(
            [str(one["class"]) for one in Reader(drawn).all("li") if str(one.get("class")).startswith("entry")],
            ["aside", "aside", "d1", "d3", "d4", "d2", "d6"],
            strict=True,
        )
    }
    assert kinds == {
        "aside": "entry aside",
        "d1": "entry new flipped unusual",
        "d3": "entry doubted",
        "d4": "entry pair two",
        "d2": "entry flipped",
        "d6": "entry new bare",
    } or kinds["d1"].startswith("entry new flipped"), kinds
    counts = dict(re.findall(r'value="(\w+)"(?: checked)?><label for="only-\w+">[\w -]+<small>([\d,]+)', drawn))
    assert {"all": "7", "flipped": "2", "doubted": "1", "pair": "1", "aside": "2"}.items() <= counts.items()


def test_what_stands_out_comes_first_and_leads_to_its_section():
    drawn = page(*whole())
    lines = section(drawn, "standouts")
    assert "plain fell from 80.0\u00a0% to 40.0\u00a0% of 50 images, surely more than it may" in lines
    assert "surely worse on plain plain (10 images, -50.0 points)" in lines
    assert "1 image right before and wrong now; 1 image the other way round" in lines
    assert "1 new image likely labelled wrongly" in lines
    assert "1 pair of near-duplicates under two labels" in lines
    assert "2 images set aside, e.g. plain" in lines
    assert any("0.50 away" in line for line in lines)
    assert drawn.index('id="standouts"') < drawn.index('id="parts"') < drawn.index('id="images"')
    levels = re.findall(r'<li class="(bad|warn|note|good)"><span class="sign"', drawn)
    assert levels == sorted(levels, key=["bad", "warn", "note", "good"].index)


def test_a_calm_cycle_says_that_nothing_stands_out():
    calm = comparison(
        labels=(LabelScore(label="cat", images=5, champion=4, challenger=5, finding="fine"),),
        slices=(), num_lost=0, lost=(), doubted=(), num_suspicious=0, pairs=(), undoubted=(),
    )  # fmt: skip
    quiet = samples.report(counts={"new": 1, "accepted": 1})
    drawn = page(DataPart(report=quiet), CyclePart(judgement=samples.judgement(), comparison=calm))
    assert section(drawn, "standouts") == ["What stands out", "Nothing stands out."]


def test_the_table_of_both_models_has_their_numbers():
    parts = (
        PartScore(name="all", images=1253, champion=0.557, challenger=0.596, at_least=-0.004),
        PartScore(name="new labels", images=23, champion=None, challenger=0.48),
    )
    drawn = page(DataPart(report=None), CyclePart(judgement=samples.judgement(), comparison=comparison(parts=parts)))
    rows = section(drawn, "parts")
    at = rows.index("all")
    assert rows[at : at + 12] == [
        "all", "1,253", "55.7\u00a0%", "59.6\u00a0%", "+3.9", "-0.4", "new labels", "23", "–", "48.0\u00a0%", "–", "–",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ("promote", "Better: promote"),
        ("reject", "Worse: reject"),
        ("not enough evidence", "Not enough evidence"),
        ("unchanged", "Unchanged"),
    ],
)
def test_the_banner_says_the_verdict_and_why(decision, words):
    judged = samples.judgement(decision=decision, reasons=("it is so",))
    drawn = page(DataPart(report=None), CyclePart(judgement=judged, version=7, model="birds"))
    assert banner(drawn) == ["birds v7", words, "it is so"]


def banner(drawn: str) -> list[str]:
    """Texts at the top of a page."""
    header = drawn[drawn.index("<header>") : drawn.index("<nav")]
    return [one.strip() for one in Reader(header).texts if one.strip()]


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({}, "good", "Promoted to champion"),
        ({"is_person": True}, "good", "Approved by a person: it is champion"),
        ({"standing": "waiting"}, "warn", "Good by the verdict, and waits for a person"),
        ({"standing": "", "decision": "reject"}, "bad", "Rejected: v4 stays champion"),
        ({"standing": "was champion"}, "note", "Was champion until a better one came"),
    ],
)
def test_the_banner_says_what_became_of_the_version_where_that_is_known(changes, level, words):
    filed = samples.filed(said="done", decided="Ann, today", **changes)
    drawn = page(DataPart(report=None), CyclePart(judgement=samples.judgement(reasons=()), filed=filed, version=7))
    assert banner(drawn)[1:] == [words, "done (Ann, today)"]
    assert f'class="outcome {level}"' in drawn


def test_predictions_on_new_images_are_counted_by_label():
    table = new("cat", "d1", "d2", "d3").with_columns(
        split=pl.Series(["train", "val", "holdout"]),
        champion=pl.Series(["cat", "dog", None]),
        challenger=pl.Series(["cat", "cat", "dog"]),
    )
    drawn = page(DataPart(report=None, new=table), CyclePart(judgement=None))
    assert section(drawn, "predictions")[-5:] == ["cat", "3", "1", "2", "1 of 2"]


def test_doubts_of_a_version_without_a_comparison_are_shown_too():
    doubt = Doubt(path="a/cat/1.jpg", label="cat", predicted="dog", probability=0.93)
    drawn = page(DataPart(report=None), CyclePart(judgement=None, doubts=(doubt,)))
    assert tile(drawn, "1.jpg")[0] == "likely dog (93%)"
    assert "1 new image likely labelled wrongly" in section(drawn, "standouts")


@pytest.mark.parametrize("labels", [1, 7, 3_000])
def test_a_page_has_no_more_images_than_it_may_and_counts_the_rest(labels):
    size = 5_000
    table = new("x", *(f"{number:032x}" for number in range(size))).with_columns(
        label=pl.Series([f"label {number % labels}" for number in range(size)])
    )
    some = dict.fromkeys(table["digest"].head(1000), WEBP)
    shown = entries.exhibition(DataPart(report=None, new=table, thumbnails=some), None)
    assert entries.MAX_ENTRIES * 0.6 < len(shown.entries) <= entries.MAX_ENTRIES
    assert shown.num_pictures <= entries.MAX_PICTURES
    assert shown.num_new_shown + sum(group.more for group in shown.groups) == size
    drawn = page(DataPart(report=None, new=table, thumbnails=some, everywhere="there.parquet"))
    assert f"{len(shown.entries):,} of 5,000 new images are shown" in text_of(drawn)
    assert "all of them are in there.parquet" in text_of(drawn)


def test_pictures_say_in_words_what_they_show():
    alts = [str(one["alt"]) for one in Reader(page(*whole())).all("img") if one["alt"]]
    assert alts == [
        "Accuracy, flips and cost over all versions. v1 60.0\u00a0%.",
        "Accuracy by label, champion to challenger. plain 80.0\u00a0% to 40.0\u00a0% of 50 images.",
        "Change of accuracy by slice. plain plain -50.0 points.",
        "How often each model is right, by how sure it is. Expected calibration error 3.0\u00a0%, the champion's "
        "5.0\u00a0%.",
        "Which label each model gives to the images of which label. The challenger's most frequent mistakes, and the "
        "champion's in brackets: plain taken for plain. 3 times (2).",
        "Loss and accuracy by epoch. Validation loss from 0.900 to 0.500 at the best epoch 1 of 1; stopped by plain.",
    ]


def test_links_lead_to_web_pages_only():
    links = {"run": "https://ml.example.org/#/run", "evil": "javascript:alert(1)", "file": "file:///etc/passwd"}
    drawn = page(DataPart(report=None), CyclePart(judgement=None, links=links))
    hrefs = [one["href"] for one in Reader(drawn).all("a")]
    assert [one for one in hrefs if not str(one).startswith("#")] == ["https://ml.example.org/#/run"]
    assert "evil: javascript:alert(1)" in " ".join(section(drawn, "lineage"))


# What people with a keyboard, a screen reader, a phone or few colours need.

PAGES = {"data": page(data()), "whole": page(*whole()), "empty": page(DataPart(report=None), CyclePart(judgement=None))}


@pytest.mark.parametrize("name", PAGES)
def test_the_structure_can_be_followed_by_ear(name):
    drawn, read = PAGES[name], Reader(PAGES[name])
    ids = re.findall(r'\bid="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert read.open == []
    assert all("alt" in one for one in read.all("img"))
    labelled = {one["for"] for one in read.all("label")}
    assert {one["id"] for one in read.all("input")} <= labelled <= set(ids)
    for attributes in (read.all("section"), read.all("form"), read.all("nav")):
        for one in attributes:
            assert one.get("aria-label") or one["aria-labelledby"] in ids
    assert {str(one["href"])[1:] for one in read.all("a") if str(one["href"]).startswith("#")} <= set(ids)
    levels = [int(one[0][1]) for one in read.elements if isinstance(one, tuple) and re.fullmatch("h[1-6]", one[0])]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(now - before <= 1 for before, now in itertools.pairwise(levels))
    assert all(len(read.all(tag)) == 1 for tag in ("header", "main", "title", "h1"))
    assert read.all("html") == [{"lang": "en"}]
    for table in re.findall(r"<table>(.*?)</table>", drawn, re.S):
        assert all("scope" in one for one in Reader(table).all("th"))


def test_hits_are_told_and_tables_that_scroll_can_be_reached_by_keyboard():
    read = Reader(PAGES["whole"])
    assert {"id": "hits", "role": "status", "aria-live": "polite"} in read.all("p")
    wide = [one for one in read.all("div") if one.get("class") == "wide"]
    assert wide
    assert all(one["tabindex"] == "0" and one["role"] == "region" and one["aria-label"] for one in wide)


def test_without_scripts_all_is_there_and_the_filter_works_by_style_alone():
    drawn = PAGES["whole"]
    assert '<div id="searching" hidden>' in drawn
    kinds = re.findall(r"body:has\(#only-(\w+):checked\) :is\(\.entry, \.group\):not\(\.(\w+)\)", drawn)
    assert [one for one, _ in kinds] == [one for _, one in kinds] == list(entries.KINDS)
    assert not [one for one in Reader(drawn).all("li") if "hidden" in one]


def colours(drawn: str) -> tuple[dict[str, str], dict[str, str]]:
    """Variables of the light and of the dark page."""
    light, dark = re.findall(r":root \{(.*?)\}", drawn, re.S)[:2]
    found = [dict(re.findall(r"--([\w-]+): (#\w{6});", one)) for one in (light, dark)]
    return found[0], found[0] | found[1]


def luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_texts_have_contrast_enough(scheme):
    found = colours(PAGES["whole"])[scheme]
    assert len(found) == 15
    pairs = list(itertools.product(("ink", "soft", "link", "good", "bad"), ("paper", "card")))
    pairs += [(tone, f"{tone}-soft") for tone in ("good", "warn", "bad", "note")]
    pairs += [("ink", f"{tone}-soft") for tone in ("good", "warn", "bad", "note")]
    pairs += [("soft", "line"), ("paper", "ink")]
    measured = {(one, other): contrast(found[one], found[other]) for one, other in pairs}
    assert {pair: round(value, 2) for pair, value in measured.items() if value < 4.5} == {}
    assert contrast(found["focus"], found["paper"]) >= 3


def test_dark_narrow_and_paper_are_thought_of():
    drawn = PAGES["whole"]
    for one in ("(prefers-color-scheme: dark)", "(max-width: 600px)", "print"):
        assert f"@media {one}" in drawn
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in drawn
    assert drawn.count('<div class="wide"') == drawn.count("<table>")
    assert ":focus-visible" in drawn
