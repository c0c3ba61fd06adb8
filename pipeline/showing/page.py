"""The validation page: one HTML file that shows what came in and how it was judged. Pure.

File names and labels come from outside, and Great Expectations' own pages do not escape what they show.
Here every text passes `escape`, no attribute is made from outside text, and the page's policy forbids
scripts and every fetch.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence

from pipeline.artifacts.report import Asked, LabelCount, Report, SetAside
from pipeline.showing.text import visible

MAX_ROWS = 200
"""Rows of one table; the rest is counted. Every row is in the stage's JSON report."""

MAX_TEXT = 1000
"""Characters of one text; the rest becomes an ellipsis."""

COUNTS = ("new", "accepted", "quarantined", "warned", "removed", "relabelled", "renamed")


def escape(text: object) -> str:
    """Text that stays text, in an element and in a quoted attribute."""
    whole = str(text)
    short = whole if len(whole) <= MAX_TEXT else f"{whole[: MAX_TEXT - 1]}…"
    return html.escape(visible(short), quote=True)


def page(report: Report, sheet: bytes | None) -> str:
    """The whole page as one self-contained HTML file, for UTF-8.

    Args:
        report: of the validate stage.
        sheet: the contact sheet, PNG, or None.
    """
    return _PAGE.format(
        style=_STYLE,
        outcome=_outcome(report),
        counts=_counts(report.counts),
        sections="\n".join(
            (
                _expectations(report.expectations),
                _quarantined(report.quarantined),
                _warnings(report.warnings),
                _drift(report.drift, report.max_drift),
                _labels(report.labels),
                _sheet(sheet),
            )
        ),
    )


def _outcome(report: Report) -> str:
    failed = sum(asked.outcome == "failed" for asked in report.expectations)
    if failed:
        asked = _number(len(report.expectations), "expectation")
        return _banner("failed", "Failed", f"{failed} of {asked} failed; nothing is trained")
    counts = report.counts
    accepted = f"{counts.get('accepted', 0):,} of {_number(counts.get('new', 0), 'new image')} accepted"
    if counts.get("quarantined", 0):
        return _banner("quarantined", "Passed", f"{accepted}, {counts['quarantined']:,} quarantined")
    if report.warnings:
        return _banner("warned", "Passed", f"{accepted}, {_number(len(report.warnings), 'warning')}")
    return _banner("passed", "Passed", accepted)


def _banner(kind: str, word: str, rest: str) -> str:
    return f'<p class="outcome {kind}"><strong>{word}</strong> {rest}</p>'


def _counts(counts: Mapping[str, int]) -> str:
    tiles = (
        f'<div class="{name if value else "none"}"><dt>{name}</dt><dd>{value:,}</dd></div>'
        for name in COUNTS
        for value in [counts.get(name, 0)]
    )
    return f'<dl class="counts">{"".join(tiles)}</dl>'


def _expectations(expectations: Sequence[Asked]) -> str:
    rows = (
        f"<td>{escape(asked.suite)}</td><td>{escape(asked.meaning)}<br><small>{escape(asked.type)}</small></td>"
        f'<td>{escape(asked.observed)}</td><td class="number">{asked.images:,}</td><td>{_mark(asked.outcome)}</td>'
        for asked in expectations
    )
    table = _table(("suite", "expectation", "found", "#images that fail", "outcome"), rows, len(expectations))
    return _section("Expectations", table, "There was nothing to judge.")


def _mark(outcome: str) -> str:
    """The outcome as a word with a colour; an outcome that the page does not know has the class `unknown`."""
    style = outcome if outcome in ("passed", "failed", "warned", "quarantined") else "unknown"
    return f'<span class="mark {style}">{escape(outcome)}</span>'


def _quarantined(images: Sequence[SetAside]) -> str:
    rows = (
        f"<td><code>{escape(image.path)}</code><br><small>{escape(image.digest)}</small></td>"
        f"<td>{escape(image.label)}</td><td>{escape(image.reason)}</td><td>{escape(image.remedy)}</td>"
        for image in images
    )
    table = _table(("image", "label", "reason", "what to do"), rows, len(images))
    return _section("Quarantined", table, "No image was quarantined.")


def _warnings(sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in sentences[:MAX_ROWS])
    more = _more(len(sentences))
    return _section("Warnings", f'<ul class="warnings">{items}</ul>{more}' if items else "", "None.")


def _drift(distances: Mapping[str, float], limit: float) -> str:
    rows = (
        f'<td>{escape(name)}</td><td class="number">{distance:.3f}</td><td>{_bar(distance, limit)}</td>'
        f"<td>{_mark('warned') if distance > limit else _mark('passed')}</td>"
        for name, distance in distances.items()
    )
    text = f"<p>Distance of the new images from those already known, 0 to 1; above {limit:g} it warns.</p>"
    table = _table(("fact", "#distance", "", "outcome"), rows, len(distances))
    return _section("Drift", table and text + table, "Not measured: too few images, new or known.")


def _bar(distance: float, limit: float) -> str:
    kind = "warned" if distance > limit else "passed"
    shown, line = (100 * min(max(value, 0), 1) for value in (distance, limit))
    return (
        f'<span class="bar"><span class="{kind}" style="width:{shown:.1f}%"></span>'
        f'<i style="left:{line:.1f}%"></i></span>'
    )


def _labels(counts: Sequence[LabelCount]) -> str:
    rows = (
        f'<td>{escape(one.label)}</td><td class="number">{one.new:,}</td><td class="number">{one.total:,}</td>'
        for one in counts
    )
    return _section("Labels", _table(("label", "#new images", "#total"), rows, len(counts)), "There are none.")


def _sheet(sheet: bytes | None) -> str:
    source = base64.b64encode(sheet or b"").decode("ascii")
    image = f'<img alt="thumbnails of the images" src="data:image/png;base64,{source}">'
    return _section("Contact sheet", image if sheet else "", "None was drawn.")


def _section(title: str, body: str, otherwise: str) -> str:
    inner = body or f'<p class="nothing">{otherwise}</p>'
    return f"<section><h2>{title}</h2>{inner}</section>"


def _table(columns: Sequence[str], rows: Iterable[str], size: int) -> str:
    """A table of the first rows; a column whose name begins with # holds numbers. Empty without rows."""
    if not size:
        return ""
    head = "".join(
        f'<th class="number">{name[1:]}</th>' if name.startswith("#") else f"<th>{name}</th>" for name in columns
    )
    body = "".join(f"<tr>{row}</tr>\n" for row, _ in zip(rows, range(MAX_ROWS), strict=False))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>{_more(size)}'


def _more(size: int) -> str:
    return f'<p class="nothing">and {size - MAX_ROWS:,} more, in the JSON report</p>' if size > MAX_ROWS else ""


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Validation of the new images</title>
<style>{style}</style>
</head>
<body>
<h1>Validation of the new images</h1>
{outcome}
{counts}
{sections}
</body>
</html>
"""

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --card: #fff; --ink: #1d2429; --soft: #5d6973; --line: #e1e5e8;
  --good: #1f6f54; --good-soft: #e4f2ec; --warn: #96540f; --warn-soft: #fcf0df; --bad: #b02626; --bad-soft: #fbe9e8;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181b; --card: #1b2024; --ink: #e4e8ea; --soft: #9aa7b0; --line: #2e363c;
    --good: #6cc9a4; --good-soft: #173129; --warn: #eab26b; --warn-soft: #36291a; --bad: #f29490; --bad-soft: #3b2020;
  }
}
* { box-sizing: border-box; }
body {
  max-width: 1216px; margin: 0 auto; padding: 2rem 1.5rem 4rem;
  background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
h1 { margin: 0 0 .75rem; font-size: 1.5rem; font-weight: 650; letter-spacing: -.01em; }
h2 { margin: 2.5rem 0 .6rem; font-size: 1.05rem; font-weight: 650; }
p { margin: 0 0 .6rem; }
small, .nothing { color: var(--soft); }
small { font-size: .8rem; }
code { font: .87em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.outcome { padding: .7rem 1rem; border-radius: 8px; border-left: 4px solid; }
.outcome strong { margin-right: .5rem; }
.outcome.passed { background: var(--good-soft); border-color: var(--good); }
.outcome.warned, .outcome.quarantined { background: var(--warn-soft); border-color: var(--warn); }
.outcome.failed { background: var(--bad-soft); border-color: var(--bad); }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .6rem; margin: 1rem 0 0; }
.counts div { padding: .6rem .9rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.counts dt { color: var(--soft); font-size: .8rem; }
.counts dd { margin: 0; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.counts .none dd { color: var(--soft); font-weight: 400; }
.counts .quarantined dd { color: var(--bad); }
.counts .warned dd { color: var(--warn); }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
.wide + p { margin-top: .6rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem .9rem; text-align: left; vertical-align: top; }
th { color: var(--soft); font-size: .8rem; font-weight: 500; white-space: nowrap; }
td { min-width: 8rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; white-space: pre-wrap; }
.number { width: 9rem; min-width: 0; text-align: right; font-variant-numeric: tabular-nums; }
.mark { padding: .1rem .5rem; border-radius: 99px; font-size: .8rem; font-weight: 550; white-space: nowrap; }
.mark.passed { background: var(--good-soft); color: var(--good); }
.mark.warned, .mark.quarantined { background: var(--warn-soft); color: var(--warn); }
.mark.failed, .mark.unknown { background: var(--bad-soft); color: var(--bad); }
.warnings { margin: 0; padding: .6rem 1rem .6rem 2rem; border-radius: 8px; background: var(--warn-soft); }
.warnings li { margin: .2rem 0; overflow-wrap: anywhere; }
.bar {
  position: relative; display: block; width: 100%; min-width: 8rem; height: .5rem; margin-top: .45rem;
  border-radius: 99px; background: var(--line);
}
.bar span { display: block; height: 100%; border-radius: 99px; }
.bar .passed { background: var(--good); }
.bar .warned { background: var(--warn); }
.bar i { position: absolute; top: -.2rem; bottom: -.2rem; width: 2px; background: var(--soft); }
img { display: block; max-width: 100%; border: 1px solid var(--line); border-radius: 8px; }
@media (prefers-color-scheme: dark) { img { filter: brightness(.88); } }
@media (max-width: 600px) { body { padding: 1.25rem 1rem 3rem; } th, td { padding: .45rem .6rem; } }
@media print { body { max-width: none; padding: 0; } .wide { overflow: visible; } }
"""
