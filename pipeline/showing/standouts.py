"""What stands out in a cycle: what a reviewer should look at first, a line each. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.artifacts.comparison import LabelScore, ModelComparison
from pipeline.base import words
from pipeline.base.words import counted
from pipeline.showing.entries import Kind, Level
from pipeline.showing.reported import CyclePart, DataPart

SHOWN = 3
"""Labels, slices or facts that a line names."""


@dataclass(frozen=True)
class Standout:
    """Something to look at."""

    level: Level
    text: str
    section: str
    """Id of the section that shows it."""
    kind: Kind | None = None
    """Of the images that show it."""


def standouts(data: DataPart, cycle: CyclePart | None) -> list[Standout]:
    """What stands out, what weighs most first."""
    found = [*_of_comparison(cycle.comparison if cycle else None), *_of_doubts(cycle), *_of_data(data)]
    weight: dict[Level, int] = {"bad": 0, "warn": 1, "note": 2, "good": 3}
    return sorted(found, key=lambda one: weight[one.level])


def percent(share: float) -> str:
    """`62.3 %`, on one line."""
    return words.percent(share).replace(" ", "\u00a0")


def _of_comparison(comparison: ModelComparison | None) -> Iterator[Standout]:
    if comparison is None:
        return
    surely = [one for one in comparison.labels if one.finding == "surely fell"]
    perhaps = [one for one in comparison.labels if one.finding == "fell"]
    if surely:
        yield Standout("bad", f"{_fell(surely)}, surely more than it may", "labels")
    if perhaps:
        yield Standout("warn", f"{_fell(perhaps)}, perhaps by chance", "labels")
    if comparison.num_lost:
        won = counted(comparison.num_won, "image")
        said = f"{counted(comparison.num_lost, 'image')} right before and wrong now; {won} the other way round"
        yield Standout("warn", said, "images", "flipped")
    if worse := [one for one in comparison.slices if one.is_worse]:
        named = [f"{one.slice} {one.value} ({one.images:,} images, {100 * one.change:+.1f} points)" for one in worse]
        yield Standout("bad", f"surely worse on {_named(named)}", "slices")
    if comparison.num_suspicious:
        yield _mislabelled(comparison.num_suspicious)
    if comparison.pairs:
        said = f"{counted(len(comparison.pairs), 'pair')} of near-duplicates under two labels"
        yield Standout("warn", said, "images", "pair")
    if comparison.undoubted:
        said = f"v{comparison.champion} does not know {_named(comparison.undoubted)}: nobody can doubt those that train"
        yield Standout("note", said, "labels")


def _fell(labels: Sequence[LabelScore]) -> str:
    """The label that fell most, and how many others."""
    worst = min(labels, key=lambda one: (one.change or 0, one.label))
    before, now = (worst.champion or 0) / max(1, worst.images), worst.challenger / max(1, worst.images)
    more = f", and {counted(len(labels) - 1, 'other label')}" if len(labels) > 1 else ""
    return f"{worst.label} fell from {percent(before)} to {percent(now)} of {counted(worst.images, 'image')}{more}"


def _of_doubts(cycle: CyclePart | None) -> Iterator[Standout]:
    if cycle is None:
        return
    if cycle.judgement and cycle.judgement.doubts:
        level: Level = "warn" if cycle.judgement.is_trusted else "bad"
        yield Standout(level, f"labels in doubt: {cycle.judgement.doubts[0]}", "images", "doubted")
    if cycle.doubts and cycle.comparison is None:
        yield _mislabelled(len(cycle.doubts))


def _mislabelled(number: int) -> Standout:
    return Standout("warn", f"{counted(number, 'new image')} likely labelled wrongly", "images", "doubted")


def _of_data(data: DataPart) -> Iterator[Standout]:
    if report := data.report:
        if failed := [one for one in report.expectations if one.outcome == "failed"]:
            said = f"{counted(len(failed), 'expectation')} failed: {failed[0].meaning}"
            yield Standout("bad", said, "expectations")
        if report.quarantined:
            said = f"{counted(len(report.quarantined), 'image')} set aside, e.g. {report.quarantined[0].reason}"
            yield Standout("warn", said, "aside")
        far = {name: distance for name, distance in report.drift.items() if distance > report.max_drift}
        if far:
            named = [f"{name} ({distance:.2f})" for name, distance in sorted(far.items(), key=lambda one: -one[1])]
            said = f"the new images look otherwise than those before: {_named(named)}; it warns above"
            yield Standout("warn", f"{said} {report.max_drift:g}", "drift")
        if report.warnings:
            yield Standout("note", counted(len(report.warnings), "warning"), "warnings")
    if data.content and data.content.is_far:
        yield Standout("warn", data.content.said, "drift")
    if data.unusual:
        said = f"{counted(len(data.unusual), 'new image')} unlike others of the same label"
        yield Standout("warn", said, "images", "unusual")


def _named(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
