import html
import re
from html.parser import HTMLParser
from typing import Any

import hypothesis
import pytest
import samples
from hypothesis import strategies as st

from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import Answered, ChallengerScores, ChampionScores, Doubt
from pipeline.artifacts.report import SetAside
from pipeline.artifacts.training import Audit, Mixture, Place, Places
from pipeline.showing.card import MAX_REMARKS, Review, card, escape, with_outcome
from pipeline.showing.text import visible

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "a|b|c",
    "[x](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "x](http://evil.example",
    "`code`",
    "**bold** _it_ ~gone~",
    "line\nbreak\r\n\n# heading\n| a | b |",
    "&lt;b&gt;",
    "back\\slash",
    'the parent\'s "own"',
    "gnp.\u202eexe",
    "\x1b[31mred",
]


class Tags(HTMLParser):
    """The elements that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, *_: object) -> None:
        self.found.append(tag)

    handle_endtag = handle_comment = handle_decl = handle_pi = lambda self, tag: self.found.append(tag)


def seen(text: str) -> str:
    """Text as a card shows it: on one line, characters that hide others written out."""
    return visible(" ".join(text.split()))


def shown(markdown: str) -> str:
    """What Markdown shows for text without markup: escapes and entities resolved, once, from left to right."""
    one = r"\\([!-/:-@\[-`{-~])|(&(?:#[0-9]+|#x[0-9a-fA-F]+|\w+);)"
    return re.sub(one, lambda match: match[1] or html.unescape(match[2]), markdown)


def drawn(label: str = "cat", reason: str = "it is better", champion: int | None = 3, **changes: Any) -> str:
    """The card of a review of which some parts are different."""
    history = ({"val_loss": 2.5}, {"val_loss": 0.75}, {"val_loss": 0.875})
    recall = {label: 0.5, "a": 0.9, "b": 0.6, "c": 0.7}
    parts = {
        "training": samples.training(
            history=history, epochs=2, max_epochs=30, num_images=1234, start_reason=reason, stop_reason=reason
        ),
        "evaluation": samples.evaluation(
            holdout_images=100,
            challenger=ChallengerScores(accuracy=0.91, loss=0.31, recall=recall),
            champion=ChampionScores(accuracy=0.88, loss=0.4) if champion else ChampionScores(),
            negative_flips=0.0213 if champion else None,
        ),
        "judgement": samples.judgement(reasons=(reason, "second reason"), champion=champion),
        "changes": samples.changes(added=12, removed=2, relabelled=1, renamed=3, added_by_label={label: 12}),
        "report": samples.report(quarantined=(aside(f"data/{label}/1.png", reason),), warnings=(reason,)),
        "doubts": [Doubt(path=f"data/{label}/2.png", label=label, predicted=label, probability=0.98765)],
        "content": Content(distance=0.1234, num_new=100, num_before=1200, max_distance=0.1),
        "unusual": [
            Unusual(kind="strange", path=f"data/{label}/3.png", label=label, nearest=label, score=1.625),
            Unusual(kind="astray", path=f"data/{label}/4.png", label=label, nearest=f"{label}2", score=1.125),
        ],
    }
    return card(Review(**parts | changes), reason)


def aside(path: str, reason: str) -> SetAside:
    return SetAside(
        digest="d", label="cat", path=path, fault="readable", reason=reason, remedy="look at it", is_known=False
    )


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_escaped_text_is_shown_as_it_is(text):
    assert shown(escape(text)) == seen(text)


@hypothesis.given(st.text())
def test_any_escaped_text_is_shown_as_it_is_with_no_markup_left(text):
    escaped = escape(text)
    assert shown(escaped) == seen(text)
    assert Tags(escaped).found == []
    assert not re.search(r"(?<!\\)(\\\\)*[`*_\[\]|~]", escaped)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_labels_and_reasons_become_no_element_no_link_and_no_table(text):
    plain, hostile = drawn(), drawn(label=text, reason=text)
    assert Tags(hostile).found == []
    assert not re.search(r"(?<!\\)\]\(", hostile)
    assert len(hostile.splitlines()) == len(plain.splitlines())
    assert [bars(line) for line in hostile.splitlines()] == [bars(line) for line in plain.splitlines()]


def bars(line: str) -> int:
    """Borders of table cells in a line."""
    return len(re.findall(r"(?<!\\)\|", line))


def test_the_table_has_the_numbers_of_both_models():
    lines = [line for line in drawn().splitlines() if line.startswith("|")]
    assert lines == [
        "| 100 holdout images | champion (v3) | challenger |",
        "|---|---|---|",
        "| holdout accuracy | 0.8800 | 0.9100 |",
        "| holdout loss | 0.4000 | 0.3100 |",
        "| right before, wrong now |  | 2.13% |",
    ]


def test_the_table_has_the_calibration_of_both_models_and_what_a_threshold_leaves():
    answered = Answered(coverage=0.875, accuracy=0.9912)
    evaluation = samples.evaluation(
        challenger=ChallengerScores(accuracy=0.9, loss=0.3, recall={}, calibration_error=0.0123, answered=answered),
        champion=ChampionScores(calibration_error=0.0456, answered=Answered(coverage=0.0, accuracy=None)),
    )
    text = drawn(evaluation=evaluation)
    assert "| expected calibration error | 0.0456 | 0.0123 |" in text
    assert "| answered, and right of these | 0.0% | 87.5%, 99.1% |" in text


def test_the_table_has_balanced_accuracy_beside_accuracy_also_where_the_champion_has_none():
    ours = ChallengerScores(accuracy=0.9, loss=0.3, recall={}, balanced_accuracy=0.7)
    for theirs, number in ((0.65, "0.6500"), (None, "")):
        champion = ChampionScores(accuracy=0.88, loss=0.4, balanced_accuracy=theirs)
        lines = drawn(evaluation=samples.evaluation(challenger=ours, champion=champion)).splitlines()
        at = lines.index("| holdout accuracy | 0.8800 | 0.9000 |")
        assert lines[at + 1] == f"| holdout balanced accuracy | {number} | 0.7000 |"


def test_without_a_champion_its_column_is_empty():
    text = drawn(champion=None)
    assert "champion (none)" in text
    assert "| holdout accuracy |  | 0.9100 |" in text


def test_the_verdict_comes_first_with_every_reason():
    lines = drawn(reason="so it is").splitlines()
    assert lines[:5] == ["## Verdict: promote", "", "- so it is", "- second reason", "- **Outcome**: so it is"]


def test_what_was_done_can_be_told_anew():
    text = drawn(reason="so it is")
    assert with_outcome(text, "it is v2").splitlines()[4] == "- **Outcome**: it is v2"
    assert with_outcome("an older card", "it is *v2*") == "- **Outcome**: it is \\*v2\\*\n\nan older card"


def test_the_data_and_the_training_are_told_in_numbers():
    text = drawn()
    assert "1234 images, 10 of them new to v4; 12 added (cat: 12), 2 removed, 1 relabelled, 3 renamed." in text
    assert "2.5000 before the first step, 0.7500 at the best epoch 1 of 2 (at most 30)" in text


def test_an_epoch_that_a_person_chose_is_not_called_the_best():
    text = drawn(training=samples.training(is_chosen=True))
    assert re.search(r"at the chosen epoch 1 of \d+ \(at most", text)


def test_the_distance_of_the_content_is_told_beside_those_of_the_facts():
    said = "100 new images are 0.12 away from 1200 of before, by what is in them; it warns above 0.1 (validate.max"
    facts = samples.report(drift={"brightness": 0.25, "labels": 0.5})
    (line,) = [line for line in drawn(report=facts).splitlines() if line.startswith("**Content**")]
    assert shown(line).startswith(f"**Content**: warning: {said}_content_drift)")
    assert line.endswith(" By the facts (warning above 0.3): brightness 0.25, labels 0.50.")
    near = Content(distance=0.02, num_new=100, num_before=1200, max_distance=0.1)
    assert "**Content**: 100 new images are 0.02 away" in drawn(content=near)
    few = Content(distance=None, num_new=3, num_before=1200, max_distance=0.1)
    assert "**Content**: too few images to compare, 3 new ones and 1200 of before" in shown(drawn(content=few))
    assert "Content" not in drawn(content=None)


def test_unusual_images_are_listed_by_kind():
    lines = [shown(line) for line in drawn().splitlines()]
    place = lines.index("**1 new image unlike any label**:")
    assert lines[place + 2] == "- data/cat/3.png: labelled cat, unlike any label (1.62 times as far as is usual)"
    place = lines.index("**1 new image more like another label**:")
    assert lines[place + 2] == "- data/cat/4.png: labelled cat, more like cat2 (1.12 times as far from cat)"


def test_the_three_weakest_labels_are_named_weakest_first():
    assert drawn().rstrip().splitlines()[-1].endswith("(recall): cat: 0.500, b: 0.600, c: 0.700")


def test_nothing_added_is_told_without_an_empty_bracket():
    text = drawn(changes=samples.changes(added=0, removed=2, added_by_label={}))
    assert "0 added, 2 removed" in text


@pytest.mark.parametrize(
    ("parent", "commit", "expected"),
    [
        (3, "b" * 40, "**Lineage**: parent v3, data aaaaaaaaaaaa, commit bbbbbbbbbbbb."),
        (None, "", "**Lineage**: parent none, data aaaaaaaaaaaa, commit none."),
        (3, f"{'b' * 40}+", "**Lineage**: parent v3, data aaaaaaaaaaaa, commit bbbbbbbbbbbb with uncommitted changes."),
    ],
    ids=["all known", "first version, no Git", "not all committed"],
)
def test_the_lineage_comes_last_where_it_is_known(parent, commit, expected):
    lineage = samples.lineage(parent=parent, sources_digest="a" * 64, commit=commit)
    assert drawn(lineage=lineage).rstrip().splitlines()[-1] == expected
    assert "Lineage" not in drawn()


def test_labels_that_are_called_otherwise_or_gone_are_told():
    def said(renamed, removed):
        asked = {"prepare": {"renamed_labels": renamed, "removed_labels": removed}}
        lineage = samples.lineage(params=asked)
        return [line for line in drawn(lineage=lineage).splitlines() if line.startswith("**Labels**")]

    assert said({}, []) == []
    (line,) = said({"cat": "lynx"}, ["dog_"])
    assert line.endswith(": cat is called lynx, dog\\_ is removed.")


def remarks(text: str, title: str) -> list[str]:
    """Lines of the list under a title."""
    lines = text.splitlines()
    start = lines.index(f"**{title}**:") + 2
    return lines[start : lines.index("", start)]


def test_what_was_set_aside_warned_of_and_doubted_is_told_with_its_reason():
    text = drawn(reason="because")
    assert remarks(text, "1 file set aside") == ["- data/cat/1.png: because"]
    assert remarks(text, "1 warning") == ["- because"]
    assert remarks(text, "1 suspicious label") == ["- data/cat/2.png: labelled cat, seems to be cat \\(0.988\\)"]


def test_where_nothing_was_found_nothing_is_said():
    text = drawn(report=samples.report(), doubts=[])
    assert not re.search("set aside|warnings|suspicious", text)


@pytest.mark.parametrize("count", [MAX_REMARKS, MAX_REMARKS + 1])
def test_of_many_remarks_the_first_are_shown_and_the_others_counted(count):
    doubt = Doubt(path="p", label="cat", predicted="dog", probability=1.0)
    files = tuple(aside(str(number), "r") for number in range(count))
    text = drawn(report=samples.report(quarantined=files, warnings=("w",) * count), doubts=[doubt] * count)
    for title in ("files set aside", "warnings", "suspicious labels"):
        shown = remarks(text, f"{count} {title}")
        assert len(shown) == MAX_REMARKS + (count > MAX_REMARKS)
        assert ("- and 1 more" in shown) == (count > MAX_REMARKS)


def trained(**changes: Any) -> str:
    """A card of a training of which something is different."""
    places = Places(before=Place(rung=0, cycles=9), after=Place(rung=2, cycles=0))
    return drawn(training=samples.training(**{"passes": 1234.4, "ladder": places} | changes))


def test_what_training_cost_and_what_is_served_are_told():
    losses = {0.0: 0.9, 0.5: 0.7, 1.0: 0.75}
    blended = tuple(Mixture(share=share, val_loss=loss, val_accuracy=0.5) for share, loss in losses.items())
    alone = "0.9000 for what the parent serves, 0.7500 for the result."
    told = trained(share=0.5, blended=blended)
    assert "It cost 1,234 passes of images, scoring counted a third." in told
    assert f"Served is a mixture, 50% of it the result, by validation loss: 0.7000; {alone}" in told
    assert f"Served is the result, by validation loss: {alone}" in trained(share=1.0, blended=blended)
    assert f"Served is what the parent serves, by validation loss: {alone}" in trained(share=0.0, blended=blended)
    assert "Served is" not in trained()


def test_images_that_were_right_and_are_wrong_now_are_told():
    assert "| right before, wrong now |  | 2.13% |" in drawn()
    assert "right before" not in drawn(champion=None)


@pytest.mark.parametrize(("is_better", "said"), [(True, "surely better, and kept"), (False, "not surely better, and")])
def test_what_an_audit_found_is_told_with_what_follows(is_better, said):
    told = trained(audit=audit(is_better, passes=1234.4, passes_before=234.4))
    assert "It cost 1,234 passes of images, scoring counted a third, 1,000 of them in the audit." in told
    assert ("of the audit's model, trained from scratch, which is kept" in told) == is_better
    assert "**Audit against training from scratch**: of 500 validation images" in told
    assert said in told
    assert "The next cycle makes a shrink start." in told
    assert "Audit" not in trained()


def audit(is_scratch_better: bool | None, passes: float = 9.0, passes_before: float = 5.0) -> Audit:
    counts = {"val_images": 500, "gained": 40, "lost": 9, "epochs": 3}
    costs = {"passes": passes, "passes_before": passes_before}
    return Audit(is_scratch_better=is_scratch_better, is_measured=False, **costs, **counts)


def test_an_audit_that_was_cut_short_says_nothing():
    assert "as far as the budget went, which says nothing" in trained(audit=audit(None))
