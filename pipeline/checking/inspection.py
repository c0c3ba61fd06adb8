"""The inspection: what Great Expectations makes of the new images, from the table of facts."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.checking import drift, quarantine
from pipeline.checking import facts as tables
from pipeline.checking.settings import Validate

if TYPE_CHECKING:
    import polars as pl

    from pipeline.checking.expectations import Judge, Verdict


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    aside: "pl.DataFrame"
    """What is set aside; columns quarantine.COLUMNS."""
    kept: "pl.DataFrame"
    """The delta without it."""
    looks: "pl.DataFrame"
    """The table of facts without it."""
    counts: "pl.DataFrame"
    """Columns label, new, total: images once this delta is in."""
    statistics: dict[str, Any]
    """Of the accepted images; see `drift`."""
    distances: dict[str, float]
    """Of the accepted images from the reference; empty where there are too few to tell."""
    verdicts: "Sequence[Verdict]"
    results: dict[str, Any]
    """Great Expectations' own JSON, by suite."""

    @property
    def obstacles(self) -> list[str]:
        """Why the cycle must not go on; what happened, what was expected, what to do."""
        return [
            f"expected that {verdict.meaning} ({verdict.expectation}), found {verdict.found}; {verdict.remedy}"
            for verdict in self.verdicts
            if not verdict.success and verdict.outcome == "stop"
        ]

    @property
    def warnings(self) -> list[str]:
        """One sentence for each expectation that fails and only warns."""
        failed = [verdict for verdict in self.verdicts if not verdict.success and verdict.outcome == "warn"]
        return [_warning(verdict, self.looks, self.distances) for verdict in failed]


def inspect(
    facts: "pl.DataFrame",
    changes: "pl.DataFrame",
    known: "pl.DataFrame",
    labels: Collection[str],
    reference: Mapping[str, Any],
    bounds: Validate,
) -> Inspection:
    """Judge the new images one by one, then the labels and the cycle that they would make.

    Args:
        facts: of `facts.of_new`.
        changes: the delta.
        known: the images so far; columns digest, label, path.
        labels: the labels so far; none for a first cycle.
        reference: statistics of the images so far.
        bounds: section `validate` of params.yaml.
    """
    from pipeline.checking.expectations import Judge

    judge = Judge()
    aside = _set_aside(judge, facts, changes, known, labels, bounds)
    kept = changes.join(aside, on=["digest", "path"], how="anti", maintain_order="left")
    looks = facts.join(aside, on=["digest", "path"], how="anti", maintain_order="left")
    counts = quarantine.totals(kept, known, aside)
    statistics = tables.statistics(looks)
    distances = _distances(reference, statistics)
    _judge_the_rest(judge, facts, looks, aside, counts, distances, bounds)
    return Inspection(aside, kept, looks, counts, statistics, distances, tuple(judge.verdicts), judge.results)


def _set_aside(
    judge: "Judge",
    facts: "pl.DataFrame",
    changes: "pl.DataFrame",
    known: "pl.DataFrame",
    before: Collection[str],
    bounds: Validate,
) -> "pl.DataFrame":
    """What is at fault; with old images that a new one contradicts, and images of labels that have too few.

    Args:
        before: the labels so far.
    """
    import polars as pl

    from pipeline.checking import expectations

    columns = ["named", "labelled", "readable", "width", "height", "mode", "num_labels"]
    failed = judge.check("images", facts.select(columns), expectations.of_images(bounds))
    rows = [*quarantine.of_verdicts(failed, facts), *quarantine.contradicted(facts, changes, known)]
    aside = quarantine.table(rows)

    kept = changes.join(aside, on=["digest", "path"], how="anti")
    counts = quarantine.totals(kept, known, aside).filter(pl.col("total") > 0)
    is_known = pl.col("label").is_in(list(before))
    counts = counts.with_columns(
        total_if_new=pl.when(~is_known).then("total"), total_if_known=pl.when(is_known).then("total")
    )
    table = counts.select("label", "total_if_new", "total_if_known")
    for verdict in judge.check("labels", table, expectations.of_labels(bounds, sorted(before))):
        if verdict.outcome == "quarantine":
            rows += quarantine.too_few(kept, counts, verdict)
    return quarantine.table(rows)


def _distances(reference: Mapping[str, Any], statistics: dict[str, Any]) -> dict[str, float]:
    """Distances of the new images from the reference; none where there are too few to tell."""
    if min(drift.num_images(reference), drift.num_images(statistics)) < drift.MIN_IMAGES:
        return {}
    return drift.distances(reference, statistics)


def _judge_the_rest(
    judge: "Judge",
    facts: "pl.DataFrame",
    looks: "pl.DataFrame",
    aside: "pl.DataFrame",
    counts: "pl.DataFrame",
    distances: dict[str, float],
    bounds: Validate,
) -> None:
    import polars as pl

    from pipeline.checking import expectations

    columns = ["extension", "brightness", "contrast", "sharpness", "aspect", "digest"]
    judge.check("looks", looks.select(columns), expectations.of_looks(bounds))
    table = pl.DataFrame({"fact": list(distances), "distance": list(distances.values())})
    judge.check("drift", table, expectations.of_drift(bounds))
    # Images of a new label that has not enough yet are early, not at fault.
    at_fault = aside.filter(pl.col("remedy") != quarantine.EARLY)["digest"].n_unique()
    at_most = max(bounds.max_quarantined_images, math.floor(bounds.max_quarantined * facts["digest"].n_unique()))
    totals = counts.filter(pl.col("total") > 0)["total"]
    cycle = {
        "num_labels": len(totals),
        "imbalance": totals.max() / totals.min() if len(totals) else 1.0,  # type: ignore[operator]
        "quarantined": at_fault,
    }
    judge.check("cycle", pl.DataFrame([cycle]), expectations.of_cycle(bounds, at_most))


def _warning(verdict: "Verdict", looks: "pl.DataFrame", distances: Mapping[str, float]) -> str:
    if verdict.suite == "drift":
        far = [list(distances.items())[row] for row in verdict.rows]
        found = ", ".join("the mix of labels" if name == "labels" else name for name, _ in far)
        return (
            f"the new images differ in {found} by {max(value for _, value in far):.2f}; expected that {verdict.meaning}"
            f"; {verdict.remedy}"
        )
    if verdict.suite != "looks" or not verdict.rows:
        return f"expected that {verdict.meaning}, found {verdict.found}; {verdict.remedy}"
    paths = [f"{looks['path'][row]!a}" for row in verdict.rows[:3]]
    more = f" and {len(verdict.rows) - 3} more" if len(verdict.rows) > 3 else ""
    return (
        f"{len(verdict.rows)} new images are not as expected ({verdict.meaning}): {', '.join(paths)}{more}; "
        f"{verdict.remedy}"
    )
