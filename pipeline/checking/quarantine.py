"""The quarantine: images that are set aside, each with its reason and what to do. Pure.

They stay in the user's data and are tried again in each cycle.
"""

from typing import TYPE_CHECKING, Any

from pipeline.checking import facts
from pipeline.data.delta import NEW
from pipeline.data.ledger import without

if TYPE_CHECKING:
    import polars as pl

    from pipeline.checking.expectations import Verdict

COLUMNS = ("digest", "label", "path", "reason", "remedy", "is_known")
"""is_known: an image that the ledger has is meant, not a new copy of one."""

Row = tuple[str, str, str, str, str, bool]
"""Of COLUMNS."""

CONTRADICTED = "keep the copy with the right label, remove the others, `dvc add` the batch and `dvc repro`"
"""Remedy for images whose copies carry different labels."""

EARLY = "it enters by itself once there are enough"
"""Remedy for images of a new label that has too few: they are early, not at fault."""


def table(rows: list[Row]) -> "pl.DataFrame":
    """Rows of COLUMNS, one per place of an image, sorted."""
    import polars as pl

    made = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String) | {"is_known": pl.Boolean}, orient="row")
    return made.unique(["digest", "path"], keep="first", maintain_order=True).sort("path", "digest")


def of_verdicts(verdicts: "list[Verdict]", rows: "pl.DataFrame") -> list[Row]:
    """Rows for the images that fail an expectation, with the first that they fail.

    Args:
        verdicts: of the suite of images.
        rows: the table of facts that was judged.
    """
    found: dict[int, tuple[str, str]] = {}
    for verdict in verdicts:
        for row in verdict.rows:
            found.setdefault(row, (_reason(verdict, rows.row(row, named=True)), verdict.remedy))
    return [(*rows.select("digest", "label", "path").row(row), *why, False) for row, why in sorted(found.items())]


def _reason(verdict: "Verdict", facts: dict[str, Any]) -> str:
    if facts.get(f"why_{verdict.column}"):
        return str(facts[f"why_{verdict.column}"])
    if verdict.column == "labelled":
        return "labels.csv of its batch does not name it"
    return f"{verdict.column} is {facts[verdict.column]}; expected that {verdict.meaning}"


def contradicted(rows: "pl.DataFrame", changes: "pl.DataFrame", known: "pl.DataFrame") -> list[Row]:
    """Images that are no news, but carry the bytes of a new one under another label: none of them is believed."""
    import polars as pl

    doubted = rows.filter(pl.col("num_labels") > 1).select("digest", "why_num_labels").unique("digest")
    moved = changes.filter(pl.col("kind") == "relabelled").select("digest")
    old = known.join(doubted, on="digest", how="semi").join(moved, on="digest", how="anti")
    old = old.select("digest", "label", "path")
    also = changes.filter(pl.col("kind").is_in(["relabelled", "elsewhere"])).select("digest", "label", "path")
    places = pl.concat([old, also]).join(doubted, on="digest", how="inner")
    found = [(digest, label, path, why, CONTRADICTED, True) for digest, label, path, why in places.iter_rows()]

    # Relabelled here, and still there under the old label.
    here = changes.filter(pl.col("kind").is_in(["relabelled", "elsewhere"]))
    torn = here.group_by("digest").agg(pl.col("label").n_unique().alias("count")).filter(pl.col("count") > 1)
    for (digest,), same in here.join(torn, on="digest", how="semi").group_by("digest"):
        why = facts.where(dict(same.sort("path").select("label", "path").iter_rows()))
        found += [
            (str(digest), label, path, why, CONTRADICTED, True)
            for label, path in same.select("label", "path").iter_rows()
        ]
    return found


def too_few(rows: "pl.DataFrame", counts: "pl.DataFrame", verdict: "Verdict") -> list[Row]:
    """Rows for the new images of labels that have too few of them.

    Args:
        rows: the delta without what is set aside.
        counts: columns label and total, as they were judged.
        verdict: whose rows are rows of `counts`.
    """
    import polars as pl

    found = []
    for label, total in (counts.select("label", "total").row(row) for row in verdict.rows):
        reason = f"label {label} has {total} images; expected that {verdict.meaning}"
        few = rows.filter((pl.col("label") == label) & pl.col("kind").is_in([*NEW, "relabelled"]))
        few = few.select(
            "digest",
            "label",
            "path",
            pl.lit(reason),
            pl.lit(verdict.remedy).alias("remedy"),
            pl.col("kind") == "relabelled",
        )
        found += few.rows()
    return found


def totals(kept: "pl.DataFrame", known: "pl.DataFrame", quarantine: "pl.DataFrame") -> "pl.DataFrame":
    """Images per label once this delta is in: columns label, new, total; copies count once, as in the ledger."""
    import polars as pl

    aside = quarantine.filter("is_known")
    gone = pl.concat([kept.filter(pl.col("kind") == "removed").select("digest"), aside.select("digest")])
    now = kept.filter(pl.col("kind").is_in([*NEW, "relabelled"])).unique("digest").join(gone, on="digest", how="anti")
    labelled = known.select("digest", "label")
    old = without(labelled, pl.concat([gone["digest"], now["digest"]]))
    fresh = now.join(labelled, on="digest", how="anti").group_by("label").len("new")
    total = pl.concat([old.select("label"), now.select("label")]).group_by("label").len("total")
    every = pl.concat([known.select(pl.col("label").unique()), total.select("label")]).unique()
    counts = every.join(fresh, on="label", how="left").join(total, on="label", how="left")
    return counts.with_columns(pl.col("new", "total").fill_null(0).cast(pl.Int64)).sort("label")
