"""The report: one HTML page of a cycle, that needs no network: what came in, and what became of it. Pure.

File names and labels come from outside. A template engine escapes every text, `finalize` makes visible what would hide
or reorder others, no script and no style is made from outside text, and the page's policy allows nothing but its own
script, its own style and the pictures in it.
"""

import base64
import hashlib
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from pipeline.base.words import counted
from pipeline.showing import described, wording
from pipeline.showing.entries import KINDS, MAX_ENTRIES, MAX_PICTURES, exhibition, who
from pipeline.showing.reported import NEW, CyclePart, DataPart
from pipeline.showing.standouts import percent, standouts
from pipeline.showing.text import visible

MAX_ROWS = 200
"""Rows of one table; the rest is counted. Every row is in an artifact."""

MAX_TEXT = 1000
"""Characters of one text; the rest becomes an ellipsis."""

COUNTS = ("new", "accepted", "quarantined", "warned", "removed", "relabelled", "renamed")

OUTCOMES = ("passed", "failed", "warned", "quarantined")
"""Of an expectation, with a colour; one that the page does not know looks like a failed one."""

DECISIONS = {
    "promote": ("good", "Better: promote"),
    "reject": ("bad", "Worse: reject"),
    "not enough evidence": ("warn", "Not enough evidence"),
    "unchanged": ("note", "Unchanged"),
}
"""Of a version of which nobody knows what became of it."""

BECAME = {
    "promoted": "good",
    "approved": "good",
    "champion again": "good",
    "waits": "warn",
    "undecided": "warn",
    "not promoted": "warn",
    "rejected": "bad",
    "declined": "bad",
    "rolled back": "bad",
}
"""How good it is, by the word of `wording.word`; all else is a note."""

FINDINGS = {
    "surely fell": ("bad", "surely fell"),
    "fell": ("warn", "fell, perhaps by chance"),
    "fine": ("good", "fine"),
    "too few": ("note", "too few images to tell"),
}


def page(data: DataPart, cycle: CyclePart | None = None) -> str:
    """The page as one self-contained HTML file, for UTF-8.

    Args:
        data: what came in.
        cycle: what became of it; None where that is not known yet, or the cycle stopped at the data.
    """
    images = exhibition(data, cycle)
    champion, challenger = who(cycle)
    return str(
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            report=data.report,
            cycle=cycle,
            comparison=cycle.comparison if cycle else None,
            outcome=_outcome(data),
            became=_became(cycle),
            standouts=standouts(data, cycle),
            images=images,
            labels=described.label_rows(data, cycle),
            agreement=described.agreement_rows(data.new),
            mistakes=described.mistakes(cycle.comparison if cycle else None),
            drawings=described.drawings(cycle),
            settings=_settings(cycle),
            champion=champion,
            challenger=challenger,
            new=NEW,
            is_more=images.num_new > images.num_new_shown,
        )
    )


def text(value: object) -> str:
    """Text that hides nothing and has an end; still to be escaped."""
    whole = str(value)
    return visible(whole if len(whole) <= MAX_TEXT else f"{whole[: MAX_TEXT - 1]}…")


def _outcome(data: DataPart) -> tuple[str, str, str]:
    """How validation ended: a level, a word and the rest of the sentence."""
    report = data.report
    if report is None:
        return "note", "Not known", "this version kept no report on its new images"
    failed = sum(asked.outcome == "failed" for asked in report.expectations)
    if failed:
        asked = counted(len(report.expectations), "expectation")
        return "bad", "Failed", f"{failed} of {asked} failed; nothing is trained"
    counts = report.counts
    accepted = f"{counts.get('accepted', 0):,} of {counted(counts.get('new', 0), 'new image')} accepted"
    if aside := counts.get("quarantined", 0):
        return "warn", "Passed", f"{accepted}, {aside:,} set aside"
    if report.warnings:
        return "warn", "Passed", f"{accepted}, {counted(len(report.warnings), 'warning')}"
    return "good", "Passed", accepted


def _became(cycle: CyclePart | None) -> tuple[str, str]:
    """What became of the version: a level, and words."""
    if cycle and cycle.filed:
        return BECAME.get(wording.word(cycle.filed), "note"), wording.became(cycle.filed)
    return DECISIONS[cycle.judgement.decision] if cycle and cycle.judgement else ("note", "")


def _settings(cycle: CyclePart | None) -> list[tuple[str, str]]:
    """All settings of params.yaml, as they were."""
    if cycle is None or cycle.lineage is None:
        return []
    return [
        (f"{section}.{key}", "null" if value is None else str(value))
        for section, keys in cycle.lineage.params.items()
        for key, value in keys.items()
    ]


@cache
def _environment() -> Any:
    """The template engine: it escapes all that it is given, and refuses a name that it does not know."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) else text(value)

    environment = Environment(
        loader=PackageLoader("pipeline", "showing"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_part(environment, name) for name in ("report.css", "report.js"))
    environment.globals |= {
        "style": Markup(style),  # noqa: S704 - both are ours, and nothing is put into them
        "script": Markup(script),  # noqa: S704
        "policy": (
            f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "KINDS": KINDS,
        "COUNTS": COUNTS,
        "OUTCOMES": OUTCOMES,
        "FINDINGS": FINDINGS,
        "MAX_ROWS": MAX_ROWS,
        "MAX_ENTRIES": MAX_ENTRIES,
        "MAX_PICTURES": MAX_PICTURES,
    }
    environment.filters |= {
        "percent": lambda share: "" if share is None else percent(share),
        "points": lambda change: "" if change is None else wording.points(change),
        "number": lambda count: "" if count is None else f"{count:,}",
        "counted": counted,
        "png": lambda content: Markup(described.source(content, "png")),  # noqa: S704 - Base64
        "webp": lambda content: Markup(described.source(content, "webp")),  # noqa: S704
        "address": _address,
    }
    return environment


def _part(environment: Any, name: str) -> str:
    """A file beside the template, as it stands in the page."""
    source: str = environment.loader.get_source(environment, name)[0]
    return source.replace("\r\n", "\n")


def _hash(part: str) -> str:
    """As a policy names what it allows (W3C, Content Security Policy)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode('ascii')}"


def _address(link: str) -> str:
    """A link that leads to a web page; empty for any other."""
    return link if urlsplit(link).scheme in ("http", "https") else ""
