import html
import re
from html.parser import HTMLParser
from typing import Any

import hypothesis
import pytest
import samples
from hypothesis import strategies as st
from samples import label_score, part

from pipeline.artifacts.comparison import (
    ALIKE,
    ALL,
    KNOWN,
    NEW,
    NEW_LABELS,
    OLD,
    Doubted,
    Doubters,
    Pair,
    Seen,
    SliceScore,
)
from pipeline.artifacts.content import Content, Unusual
from pipeline.artifacts.evaluation import Answered, ChallengerScores, ChampionScores
from pipeline.artifacts.past import PastCycle
from pipeline.artifacts.report import SetAside
from pipeline.artifacts.training import Audit, Mixture, Place, Places
from pipeline.showing.addresses import Addresses
from pipeline.showing.card import LIMIT, WARNING, card, retold
from pipeline.showing.markdown import escape
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
    "# heading",
    "- item",
    "$x$",
]

ADDRESSES = Addresses(
    version=lambda number: f"#/models/m/versions/{number}",
    run="#/experiments/1/runs/r",
    artifact=lambda name: f"get-artifact?path={name}",
    page=lambda name: f"#/artifacts/{name}",
)


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


def drawn(is_linked: bool = False, filed: Any = None, **parts: Any) -> str:
    """The card of a review of which some parts are different."""
    return card(samples.review(**parts), filed or samples.filed(), ADDRESSES if is_linked else None)


def line(text: str, title: str) -> str:
    """The line that begins with a title, as people see it."""
    (found,) = [one for one in text.splitlines() if one.startswith(f"**{title}")]
    return shown(found)


def everywhere(text: str) -> str:
    """A card with a text wherever text from outside is shown."""
    image = Seen(
        digest="d",
        path=text,
        label=text,
        champion=text,
        champion_probability=0.5,
        challenger=text,
        challenger_probability=0.5,
    )
    return drawn(
        is_linked=True,
        filed=samples.filed(said=text, decided=text),
        training=samples.training(start_reason=text, stop_reason=text),
        judgement=samples.judgement(reasons=(text,)),
        comparison=samples.comparison(
            parts=(part(ALL, 50, 0.8, 0.9, 0.05), part(NEW_LABELS, 5, None, 0.4, None)),
            labels=(label_score(text, 25, 22, 20, finding="fell"), label_score(f"{text}2", 5, None, 2)),
            slices=(
                SliceScore(
                    slice=text, value=text, images=9, champion=8, challenger=2, is_worse=True, is_too_small=False
                ),
            ),
            pairs=(Pair(one=image, other=image),),
            undoubted=(text,),
            doubters=Doubters(right=1, images=2),
        ),
        changes=samples.changes(added_by_batch={text: 3}),
        report=samples.report(quarantined=(aside(text, text),), warnings=(text,), drift={text: 0.9}),
        unusual=(Unusual(kind="strange", path=text, label=text, nearest=text, score=1.5),),
        lineage=samples.lineage(commit=text[:900], params={"prepare": {"renamed_labels": {text: text}}}),
    )


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
    assert not re.search(r"(?<!\\)(\\\\)*[`*\[\]|~$]", escaped)
    assert not re.search(r"(?<!\\)(\\\\)*((?<![^\W_])_|_(?![^\W_]))", escaped.replace("\\_", ""))


def test_what_is_no_markup_has_no_escape():
    """Lists of versions show it as it is written."""
    plain = "promoted: 59.6 % (v1: 55.7 %), +442 images, new label t_shirt-2!"
    assert escape(plain) == plain


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_become_no_element_no_link_and_no_table(text):
    plain, hostile = everywhere("plain"), everywhere(text)
    assert Tags(hostile).found == []
    links = re.compile(r"(?<!\\)\]\(([^)]*)\)")
    assert links.findall(hostile) == links.findall(plain)
    assert len(hostile.splitlines()) == len(plain.splitlines())
    assert [bars(line) for line in hostile.splitlines()] == [bars(line) for line in plain.splitlines()]
    assert len(re.findall("^#", hostile, re.MULTILINE)) == 1


def bars(line: str) -> int:
    """Borders of table cells in a line."""
    return len(re.findall(r"(?<!\\)\|", line))


def test_the_first_line_says_it_all_without_markup():
    comparison = samples.comparison(
        parts=(part(ALL, 183, 0.557, 0.596, 0.006), part(KNOWN, 167, 0.611, 0.623, -0.018)),
        labels=(label_score("dress", 37, 18, 19), label_score("hat", 16, None, 5)),
    )
    first = drawn(comparison=comparison, training=samples.training(num_added=442)).splitlines()[0]
    assert first == "promoted: 59.6 % (v4: 55.7 %), known labels 62.3 % (61.1 %), +442 images, new label hat"
    lost = drawn(changes=samples.changes(removed=1), training=samples.training(num_added=0)).splitlines()[0]
    assert lost == "promoted: 90.0 % (v4: 80.0 %), -1 image"


@pytest.mark.parametrize(
    ("filed", "word", "heading"),
    [
        ({}, "promoted", "Promoted to champion"),
        ({"rival": None}, "promoted", "Promoted: the first champion"),
        ({"is_person": True}, "approved", "Approved by a person: it is champion"),
        ({"is_person": True, "is_back": True}, "champion again", "Champion again: a person went back to it"),
        ({"standing": "was champion"}, "was champion", "Was champion until a better one came"),
        ({"standing": "waiting"}, "waits", "Good by the verdict, and waits for a person"),
        ({"standing": "rejected"}, "declined", "Declined by a person"),
        ({"standing": "rolled back"}, "rolled back", "Was champion, and a person went back from it"),
        ({"standing": "", "decision": "reject"}, "rejected", "Rejected: v4 stays champion"),
        ({"standing": "", "decision": "reject", "rival": None}, "rejected", "Rejected: there is no champion yet"),
        (
            {"standing": "", "decision": "not enough evidence"},
            "undecided",
            "Not enough evidence: v4 stays champion",
        ),
        ({"standing": ""}, "not promoted", "Good by the verdict, and not promoted"),
        ({"standing": "", "decision": "unchanged"}, "unchanged", "Nothing new: it is the champion"),
    ],
)
def test_what_became_of_a_version_comes_first_and_can_be_told_anew(filed, word, heading):
    now = samples.filed(**filed)
    lines = drawn(filed=now).splitlines()
    assert lines[0] == f"{word}: 90.0 % (v4: 80.0 %), +10 images"
    assert lines[2].startswith(f"## {heading}; look at cat")
    before = drawn(filed=samples.filed(number=5, standing="waiting", decided="", said="it waits"))
    assert retold(before, now) == drawn(filed=now)


def test_a_card_of_before_there_were_pictures_says_what_was_done_too():
    older = "## Verdict: promote\n\n- **Outcome**: v5 is the new champion\n\nmore"
    assert (
        retold(older, samples.filed(said="it is *v2*"))
        == "## Verdict: promote\n\n- **Outcome**: it is \\*v2\\*\n\nmore"
    )
    told = retold("a note that a person wrote", samples.filed(said="so"))
    assert told == "**Decided**: so (by the verdict, ci, 2026-11-28)\n\na note that a person wrote"


def test_the_heading_says_what_to_look_at():
    image = Seen(
        digest="d",
        path="p",
        label="cat",
        champion=None,
        champion_probability=None,
        challenger=None,
        challenger_probability=None,
    )
    comparison = samples.comparison(num_suspicious=2, pairs=(Pair(one=image, other=image),))
    content = Content(distance=0.5, num_new=9, num_before=9, max_distance=0.1)
    heading = drawn(
        comparison=comparison, report=samples.report(quarantined=(aside("p", "r"),)), content=content
    ).splitlines()[2]
    assert heading == (
        "## Promoted to champion; look at cat, 2 labels in doubt, 1 near-duplicate pair, 1 file set aside and the "
        "drift of the new images"
    )
    fine = samples.comparison(labels=(label_score("cat", 25, 22, 25, finding="fine"),))
    assert drawn(comparison=fine).splitlines()[2].endswith("; nothing stands out")


def test_the_table_compares_both_models_on_each_part_of_the_holdout():
    parts = (
        part(ALL, 50, 0.8, 0.9, 0.05),
        part(ALIKE, 50, 0.7, 0.65, -0.1),
        part(KNOWN, 40, 0.85, 0.85, -0.02),
        part(NEW_LABELS, 10, None, 0.4, None),
        part(OLD, 30, 0.9, 0.9001, -0.01),
        part(NEW, 20, 0.5, 0.6, 0.02),
    )
    text = shown(drawn(comparison=samples.comparison(parts=parts))).replace("\u2003", "")
    lines = [one for one in text.splitlines() if one[:1] == "|"]
    assert lines == [
        "| 50 holdout images | v4 | v5 | change | at least |",
        "|---|---|---|---|---|",
        "| all (50) | 80.0 % | 90.0 % | +10.0 | +5.0 |",
        "| all, each label counted alike (50) | 70.0 % | 65.0 % | -5.0 | -10.0 |",
        "| labels that v4 knows (40) | 85.0 % | 85.0 % | 0.0 | -2.0 |",
        "| new labels (10) | - | 40.0 % | new |  |",
        "| images that v4 had (30) | 90.0 % | 90.0 % | 0.0 | -1.0 |",
        "| images that are new to v4 (20) | 50.0 % | 60.0 % | +10.0 | +2.0 |",
    ]


def test_without_a_champion_there_is_one_column_and_the_weakest_labels_are_named():
    labels = tuple(label_score(name, 10, None, right) for name, right in (("a", 9), ("b", 3), ("c", 7), ("d", 5)))
    first = samples.comparison(champion=None, parts=(part(ALL, 40, None, 0.6, None),), labels=labels)
    text = drawn(comparison=first, filed=samples.filed(rival=None))
    assert "| 50 holdout images | v5 |\n|---|---|\n| all (40) | 60.0 % |" in text.replace("&emsp;", "")
    assert text.splitlines()[2] == "## Promoted: the first champion; look at b"
    assert line(text, "Weakest labels") == "**Weakest labels**: b (3 of 10), d (5 of 10), c (7 of 10)."


@pytest.mark.parametrize(
    ("champion", "challenger", "at_least", "said"),
    [
        (0.8, 0.9, 0.05, "Surely better on all labels (+10.0 points, at least +5.0 at 90% confidence)."),
        (
            0.8,
            0.81,
            -0.02,
            "Better, which may be chance, on all labels (+1.0 points, at least -2.0 at 90% confidence).",
        ),
        (0.8, 0.8, -0.02, "Not better on all labels (0.0 points, at least -2.0 at 90% confidence)."),
    ],
)
def test_it_is_said_how_sure_the_difference_is(champion, challenger, at_least, said):
    text = drawn(comparison=samples.comparison(parts=(part(ALL, 50, champion, challenger, at_least),)))
    why = shown(text).splitlines()[4]
    assert why.startswith(said)
    assert why.endswith(" It is better.")


def test_of_a_version_that_is_not_promoted_the_reasons_come_first():
    judgement = samples.judgement(decision="reject", reasons=("it forgot",))
    why = shown(drawn(judgement=judgement)).splitlines()[4]
    assert why.startswith("It forgot. Surely better on all labels")


def test_confidence_is_not_rounded_to_certainty():
    assert "at 99.9% confidence" in drawn(comparison=samples.comparison(confidence=0.999))


def test_a_gain_that_is_all_the_new_labels_is_called_so():
    parts = (part(ALL, 183, 0.557, 0.596, 0.006), part(KNOWN, 167, 0.611, 0.623, -0.018))
    why = shown(drawn(comparison=samples.comparison(parts=parts))).splitlines()[4]
    assert "**Most of it is the new labels**: on the labels that v4 knows it is +1.2 points, at least -1.8" in why
    assert "confidence, which may be chance." in why
    parts = (part(ALL, 183, 0.557, 0.596, 0.006), part(KNOWN, 167, 0.611, 0.651, 0.01))
    why = shown(drawn(comparison=samples.comparison(parts=parts))).splitlines()[4]
    assert " On the labels that v4 knows it is +4.0 points, at least +1.0 at 90% confidence." in why


def test_of_the_reasons_those_are_told_that_no_table_tells():
    counted = "of 50 holdout images the challenger gets 8 right that the champion gets wrong, and 3 the other way round"
    known = counted.replace("images the", "images with labels that the champion knows the")
    reasons = (counted, known, "it forgot", "two", "three", "four", "five", "six", "seven")
    why = drawn(judgement=samples.judgement(reasons=reasons)).splitlines()[4]
    assert why.endswith("It forgot. Two. Three. Four. Five. Six. 1 more reason in the report.")
    assert "holdout" not in why
    long = drawn(judgement=samples.judgement(reasons=("x" * 400,))).splitlines()[4]
    assert long.endswith("….")


def test_labels_and_slices_that_lost_are_named_with_their_numbers():
    labels = (
        label_score("cat", 25, 22, 20),
        label_score("dog", 25, 18, 25),
        label_score("hen", 10, 9, 1),
        label_score("owl", 10, 9, 7),
        label_score("rat", 100, 9, 8),
        label_score("new", 10, None, 1),
    )
    one = SliceScore(slice="camera", value="B", images=20, champion=15, challenger=9, is_worse=True, is_too_small=False)
    other = one.model_copy(update={"value": "C", "is_worse": False})
    text = drawn(comparison=samples.comparison(labels=labels, slices=(one, other)))
    assert line(text, "Where it is worse") == (
        "**Where it is worse**: hen (9 to 1 of 10), owl (9 to 7 of 10), cat (22 to 20 of 25) and 1 more label; surely "
        "among the slices camera B (15 to 9 of 20). 8 won and 3 lost of 50 holdout images."
    )
    fine = samples.comparison(labels=(label_score("cat", 25, 22, 25),), num_lost=0)
    assert line(drawn(comparison=fine), "Where it is worse").startswith("**Where it is worse**: no label. 8 won")


def test_pictures_and_links_are_those_of_the_version_and_github_gets_none():
    lineage = samples.lineage(parent=3, champion=4, anchor=2, commit="b" * 40)
    image = Seen(
        digest="d",
        path="p",
        label="cat",
        champion=None,
        champion_probability=None,
        challenger=None,
        challenger_probability=None,
    )
    doubted = (Doubted(seen=image, otherwise="dog", probability=0.9, doubt=0.8, is_suspicious=True),)
    comparison = samples.comparison(doubters=Doubters(right=1, images=2), doubted=doubted)
    with_links = drawn(is_linked=True, lineage=lineage, comparison=comparison)
    pictures = [f"get-artifact?path={name}.png" for name in ("labels", "flips", "doubt")]
    assert re.findall(r"!\[[^]]+\]\(([^)]*)\)", with_links) == pictures
    calm = drawn(is_linked=True, comparison=samples.comparison(num_lost=0, num_won=0))
    assert re.findall(r"!\[[^]]+\]\(([^)]*)\)", calm) == pictures[:1], "there is nothing to see on the others"
    assert "[All, ranked](#/artifacts/report.html)" in with_links
    assert line(with_links, "From") == (
        "**From**: trained from [v3](#/models/m/versions/3), its parent; judged against [v4](#/models/m/versions/4), "
        "the champion then and [v2](#/models/m/versions/2), the best until then; [its run](#/experiments/1/runs/r); "
        f"judged at commit {'b' * 12}."
    )
    assert "](" not in drawn(lineage=lineage)


@pytest.mark.parametrize(
    ("parent", "champion", "commit", "said"),
    [
        (
            4,
            4,
            f"{'b' * 40}+",
            "trained from and judged against v4, the champion then; judged at commit bbbbbbbbbbbb with",
        ),
        (None, None, "", "started without a parent; judged at commit none."),
        (3, None, "", "trained from v3, its parent; judged at commit none."),
    ],
)
def test_parent_and_champion_are_told_apart(parent, champion, commit, said):
    lineage = samples.lineage(parent=parent, champion=champion, commit=commit)
    assert line(drawn(lineage=lineage), "From").startswith(f"**From**: {said}")


def test_how_far_the_labels_can_be_trusted_is_told_with_how_good_the_doubters_are():
    comparison = samples.comparison(
        num_suspicious=1, doubters=Doubters(right=412, images=480), undoubted=("hat", "cap")
    )
    assert line(drawn(comparison=comparison), "Labels in doubt") == (
        "**Labels in doubt**: 1 new image likely has another label; v4 does not know hat, cap: nobody can "
        "doubt those of its images that train; the models that doubt get 412 of 480 old images right."
    )
    believing = samples.lineage(params={"evaluate": {"believed": ["labels-80b26c575f12"]}})
    said = line(drawn(comparison=comparison, lineage=believing), "Labels in doubt")
    assert "; a person believes labels-80b26c575f12 (evaluate.believed); the models that doubt" in said
    none = samples.comparison(doubters=Doubters(right=1, images=2))
    assert "no new image likely has another label" in drawn(comparison=none)
    assert "Labels in doubt" not in drawn()


def test_the_data_are_told_by_batch_with_what_changed():
    changes = samples.changes(
        removed=2, relabelled=1, added_by_batch={"data/images/second": 262, "data/images/third": 180}
    )
    content = Content(distance=0.1234, num_new=100, num_before=1200, max_distance=0.1)
    asked = {"prepare": {"renamed_labels": {"cat": "lynx"}, "removed_labels": ["dog_"]}}
    text = drawn(
        changes=changes,
        content=content,
        report=samples.report(drift={"brightness": 0.25, "labels": 0.5}),
        lineage=samples.lineage(params=asked),
    )
    assert line(text, "Data since v4") == (
        "**Data since v4**: batches second (262), third (180); 2 removed; 1 relabelled; cat is called lynx; dog_ is "
        "removed; by what is in them the new images are far from those before (0.12, it warns above 0.1); drift by "
        "labels 0.50 (it warns above 0.3); 100 images in all."
    )
    first = drawn(training=samples.training(parent=None, num_images=1))
    assert line(first, "Data of") == "**Data of this first cycle**: 10 images came; 1 image in all."


def test_what_was_set_aside_warned_of_and_unusual_is_told_with_its_reason():
    files = tuple(aside(f"{number}.png", "torn") for number in range(5))
    unusual = (Unusual(kind="astray", path="3.png", label="cat", nearest="dog", score=1.125),)
    text = drawn(report=samples.report(quarantined=files, warnings=("dark",)), unusual=unusual)
    assert line(text, "5 set aside") == "**5 set aside**: 0.png: torn; 1.png: torn; 2.png: torn; and 2 more."
    assert line(text, "1 warned of") == "**1 warned of**: dark."
    assert line(text, "1 unusual") == "**1 unusual**: 3.png: labelled cat, more like dog (1.12 times as far from cat)."
    assert not re.search("set aside|warned|unusual", drawn())


def test_what_training_did_is_told_in_numbers():
    losses = {0.0: 0.9, 0.5: 0.7, 1.0: 0.75}
    blended = tuple(Mixture(share=share, val_loss=loss, val_accuracy=0.5) for share, loss in losses.items())

    def told(**changes: Any) -> str:
        return line(drawn(training=samples.training(**changes)), "Training")

    assert "epoch 1 of 1 is the best: validation loss 0.900 before, 0.500 then." in told()
    assert "epoch 1 of 1 is chosen by a person" in told(is_chosen=True)
    mixed = "It serves a mixture of the parent's weights and 50% of the result: validation loss 0.700."
    assert told(share=0.5, blended=blended).endswith(mixed)
    assert told(share=1.0, blended=blended).endswith("It serves the result alone: validation loss 0.750.")
    assert told(share=0.0, blended=blended).endswith("It serves what its parent serves: validation loss 0.900.")


@pytest.mark.parametrize(("is_better", "said"), [(True, "surely better, and kept"), (False, "not surely better, and")])
def test_what_an_audit_found_is_told_with_what_follows(is_better, said):
    places = Places(before=Place(rung=0, cycles=9), after=Place(rung=2, cycles=0))
    counts = {"val_images": 500, "gained": 40, "lost": 9, "epochs": 3, "is_measured": False}
    audit = Audit(is_scratch_better=is_better, passes=1234.4, passes_before=234.4, **counts)
    text = drawn(training=samples.training(passes=1234.4, ladder=places, audit=audit))
    told = line(text, "Training")
    assert ("An audit trained a model from scratch, which is kept" in told) == is_better
    assert "**Audit against training from scratch**: of 500 validation images" in told
    assert said in told
    assert told.endswith("The next cycle makes a shrink start.")
    assert "1,234 passes of images; 1,000 of the passes in the audit." in line(text, "Cost")


def past(version: int, **changes: Any) -> PastCycle:
    usual = {"champion": 0.8, "accuracy": 0.9, "lost": 0.01, "passes": 5000.0, "seconds": 9.0, "images": 50}
    return PastCycle(**{"version": version, "standing": "", "verdict": "promote", "start": "cold"} | usual | changes)


def test_the_cost_is_told_beside_that_of_scratch():
    warm = past(3, start="warm", passes=1.0)
    text = drawn(seconds=87.2, price="0.02 EUR", past=(past(1, passes=1.0), past(2), warm))
    assert line(text, "Cost") == (
        "**Cost**: 87 s, 1,234 passes of images, 0.02 EUR; from scratch about 10,000 passes, at the rate of v2. An "
        "image that only passes forward counts as a third."
    )
    assert line(drawn(), "Cost").startswith("**Cost**: 1,234 passes of images. An image ")
    cold = drawn(training=samples.training(start="cold"), past=(past(2),))
    assert "scratch" not in line(cold, "Cost")


def test_a_threshold_tells_how_many_images_are_left_without_an_answer():
    answered = Answered(coverage=0.875, accuracy=0.9912)
    evaluation = samples.evaluation(
        challenger=ChallengerScores(accuracy=0.9, loss=0.3, recall={}, answered=answered),
        champion=ChampionScores(answered=Answered(coverage=0.5, accuracy=None)),
    )
    assert line(drawn(evaluation=evaluation), "Answers") == (
        "**Answers**: with evaluate.min_probability 87.5 % of the images get one (the champion: 50.0 %), 99.1 % of "
        "these right."
    )


def test_a_person_is_told_what_to_type_and_what_to_click():
    clicks = "*Add* or the pencil beside *Aliases*: `{}`, *Save aliases*".format
    waits = line(drawn(filed=samples.filed(standing="waiting")), "To decide")
    assert waits == (
        "**To decide**: promote: `python -m pipeline promote 5 --why REASON`, or a tag `evergreen.review` with the "
        f"value `approved`, or {clicks('champion')}. Decline: `python -m pipeline reject 5 --why REASON` or a tag "
        f"`evergreen.review` with the value `declined`. {WARNING}"
    )
    champion = line(drawn(filed=samples.filed(alias="best")), "To decide")
    back = "`python -m pipeline rollback --why REASON`"
    assert champion == f"**To decide**: go back: {back}, or on the page of v4 {clicks('best')}. {WARNING}"
    first = line(drawn(filed=samples.filed(rival=None)), "To decide")
    assert first == f"**To decide**: there is no version before it to go back to. {WARNING}"
    rejected = line(drawn(filed=samples.filed(standing="", decision="reject")), "To decide")
    assert "evergreen.review" not in rejected, "that tag decides on a version that waits"
    assert " Decline: `python -m pipeline reject 5 --why REASON`. " in rejected
    assert "Decline" not in line(drawn(filed=samples.filed(standing="rejected")), "To decide")
    assert "To decide" not in drawn(filed=samples.filed(number=0))


def test_where_only_old_images_judge_their_numbers_are_told():
    parts = (part(ALL, 50, 0.8, 0.9, 0.05), part(OLD, 30, 0.9, 0.9, -0.01), part(NEW, 20, 0.5, 0.9, 0.2))
    comparison = samples.comparison(parts=parts, judged_by=OLD)
    why = shown(drawn(comparison=comparison)).splitlines()[4]
    said = "Not better on the images that v4 had, which alone judge (0.0 points, at least -1.0 at 90% confidence)."
    assert why.startswith(said)
    assert "on all labels" not in why


def test_what_the_holdout_cannot_tell_is_told():
    labels = (
        label_score("cat", 3, 2, 2, finding="too few"),
        label_score("dog", 0, 0, 0),
        label_score("hat", 10, None, 1),
    )
    assert line(drawn(comparison=samples.comparison(labels=labels)), "Limits") == (
        "**Limits**: with 50 holdout images a change of less than 5.0 points may be chance; too few images to tell a "
        "fall: cat (3); no holdout image at all: dog; v4 does not know hat, so nothing is compared there."
    )


def test_a_card_fits_into_a_database_whatever_is_in_it_and_keeps_what_matters():
    text = everywhere("word " * 2000)
    assert len(text) <= LIMIT
    assert "To decide" in text
    assert "Where it is worse" in text
    assert "parts of this card had no room; the report has all." in text or "part of this card had no room" in text
    assert "had no room" not in drawn(is_linked=True)
