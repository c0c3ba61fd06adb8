"""The inspection: what becomes of the new images, from the table of facts and what Great Expectations says of it."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.reference import Statistics
from pipeline.base.words import are
from pipeline.checking import drift, expectations, quarantine
from pipeline.checking import facts as tables
from pipeline.checking.expectations import BY_DVC_ADD
from pipeline.checking.findings import Finding, Judge
from pipeline.checking.quarantine import Entry
from pipeline.checking.settings import Validate
from pipeline.data import names
from pipeline.data.delta import Delta
from pipeline.data.settings import Canvas

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Past:
    """What was there before the new images."""

    ledger: "pl.DataFrame"
    """The images so far; columns digest, label, path."""
    labels: Collection[str]
    """The labels so far; none for a first cycle."""
    reference: Statistics
    """Of the images so far."""


@dataclass(frozen=True)
class Inspection:
    """What becomes of a delta, and why."""

    aside: "pl.DataFrame"
    """What is set aside; columns quarantine.COLUMNS."""
    kept: Delta
    """The delta without it."""
    looks: "pl.DataFrame"
    """The table of facts without it."""
    counts: "pl.DataFrame"
    """Columns label, new, total: images once this delta is in."""
    statistics: Statistics
    """Of the accepted images."""
    distances: dict[str, float]
    """Of the accepted images from the reference, by fact; empty where there are too few to tell."""
    findings: Sequence[Finding]
    results: dict[str, Any]
    """Great Expectations' own JSON, by suite."""
    again: str
    """How a batch that was mended is added again; see `Remedy.words`."""

    @property
    def obstacles(self) -> list[str]:
        """Why the cycle must not go on; what happened, what was expected, what to do."""
        failed = [finding for finding in self._failed if finding.expectation.consequence == "stop"]
        return [
            f"expected that {finding.expectation.meaning} ({finding.expectation.kind}), found {finding.observed}; "
            f"{finding.expectation.remedy.words(self.again)}"
            for finding in failed
        ]

    @property
    def warnings(self) -> list[str]:
        """One sentence for each expectation that fails and only warns."""
        return [self._warning(finding) for finding in self._failed if finding.expectation.consequence == "warn"]

    @property
    def _failed(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.success]

    def _warning(self, finding: Finding) -> str:
        meaning, remedy = finding.expectation.meaning, finding.expectation.remedy.words(self.again)
        if finding.suite == "drift":
            far = [list(self.distances.items())[row] for row in finding.rows]
            what = ", ".join("the mix of labels" if name == "labels" else name for name, _ in far)
            most = max(value for _, value in far)
            return f"the new images differ in {what} by {most:.2f}; expected that {meaning}; {remedy}"
        if finding.suite != "looks" or not finding.rows:
            return f"expected that {meaning}, found {finding.observed}; {remedy}"
        paths = [f"{self.looks['path'][row]!r}" for row in finding.rows[:3]]
        more = f" and {len(finding.rows) - 3} more" if len(finding.rows) > 3 else ""
        return f"{are(len(finding.rows), 'new image')} not as expected ({meaning}): {', '.join(paths)}{more}; {remedy}"


def inspect(
    facts: "pl.DataFrame", delta: Delta, past: Past, validate: Validate, canvas: Canvas, again: str = BY_DVC_ADD
) -> Inspection:
    """Judge the new images one by one, then the labels and the cycle that they would make.

    Args:
        facts: of `facts.of_new`.
        delta: what changed.
        past: what was there before.
        validate: section of params.yaml.
        canvas: part of section prepare of params.yaml.
        again: how a batch that was mended is added again; see `Remedy.words`.
    """
    judge = Judge()
    aside = quarantine.table(_set_aside(judge, facts, delta, past, validate), again)
    kept = delta.without(aside)
    looks = facts.join(aside, on=["digest", "path"], how="anti", maintain_order="left")
    counts = quarantine.totals(kept, past.ledger, aside)
    statistics = tables.statistics(looks)
    distances = _distances(past.reference, statistics)

    judge.check("looks", looks.select(_LOOKS), [*expectations.of_looks(validate), *expectations.of_shapes(canvas)])
    judge.check("drift", _table_of(distances), expectations.of_drift(validate))
    judge.check("cycle", _cycle(counts, aside), expectations.of_cycle(validate, _at_most(facts, validate)))
    return Inspection(aside, kept, looks, counts, statistics, distances, tuple(judge.findings), judge.results, again)


_IMAGES = ("named", "labelled", "readable", "width", "height", "mode", "num_labels")
_LOOKS = ("extension", "brightness", "contrast", "sharpness", "side", "aspect", "digest")


def _set_aside(judge: Judge, facts: "pl.DataFrame", delta: Delta, past: Past, validate: Validate) -> list[Entry]:
    """What is at fault, old images that a new one contradicts, and images of new labels that have too few."""
    failed = judge.check("images", facts.select(_IMAGES), expectations.of_images(validate))
    entries = [*quarantine.of_findings(failed, facts), *quarantine.contradicted(facts, delta, past.ledger)]
    aside = quarantine.table(entries)
    kept = delta.without(aside)
    counts = _label_totals(quarantine.totals(kept, past.ledger, aside), past.labels, validate.labels)
    table = counts.select("label", "looks_like", "total_if_new", "total_if_known")
    for finding in judge.check("labels", table, expectations.of_labels(validate, sorted(past.labels))):
        if finding.expectation.consequence == "quarantine":
            entries += quarantine.too_few(kept, counts, finding)
    return entries


def _label_totals(counts: "pl.DataFrame", known_labels: Collection[str], listed: Collection[str]) -> "pl.DataFrame":
    """The labels that have images, with three more columns.

    `total_if_new` and `total_if_known` are the total, for the one kind of labels each. `looks_like` says which other
    label a new one looks like, unless it is listed and thus meant.
    """
    import polars as pl

    now = counts.filter(pl.col("total") > 0)
    alike = names.lookalikes([*now["label"], *known_labels])
    said = {
        label: f"{names.spelt(label)} beside {names.spelt(alike[label])}"
        for label in now["label"]
        if label in alike and label not in known_labels and label not in listed
    }
    is_known = pl.col("label").is_in(list(known_labels))
    return now.with_columns(
        looks_like=pl.Series([said.get(label, "") for label in now["label"]], dtype=pl.String),
        total_if_new=pl.when(~is_known).then("total"),
        total_if_known=pl.when(is_known).then("total"),
    )


def _distances(reference: Statistics, statistics: Statistics) -> dict[str, float]:
    """Distances of the new images from the reference; none where there are too few to tell."""
    if min(reference.num_images, statistics.num_images) < drift.MIN_IMAGES:
        return {}
    return drift.distances(reference, statistics)


def _table_of(distances: Mapping[str, float]) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame({"fact": list(distances), "distance": list(distances.values())})


def _cycle(counts: "pl.DataFrame", aside: "pl.DataFrame") -> "pl.DataFrame":
    """One row about the cycle as a whole; images of a new label that has too few are not at fault."""
    import polars as pl

    totals = counts.filter(pl.col("total") > 0)["total"]
    return pl.DataFrame(
        {
            "num_labels": [len(totals)],
            "imbalance": [totals.max() / totals.min() if len(totals) else 1.0],  # type: ignore[operator]
            "quarantined": [aside.filter(pl.col("fault") != quarantine.TOO_FEW)["digest"].n_unique()],
        }
    )


def _at_most(facts: "pl.DataFrame", validate: Validate) -> int:
    """How many of the new images may be set aside."""
    share = math.floor(validate.max_quarantined * facts["digest"].n_unique())
    return max(validate.max_quarantined_images, share)
