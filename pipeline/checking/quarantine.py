"""The quarantine: images that are set aside, each with its fault, its reason and what to do. Pure.

They stay in the user's data and are tried again in each cycle.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.base.words import counted
from pipeline.checking import facts
from pipeline.checking.expectations import BY_DVC_ADD, CONTRADICTED, Expectation, Remedy
from pipeline.data.delta import Delta, once
from pipeline.data.ledger import without

if TYPE_CHECKING:
    import polars as pl

    from pipeline.checking.findings import Finding

CONTRADICTION = "num_labels"
"""Fault of images whose copies carry different labels."""

TOO_FEW = "total_if_new"
"""Fault of images of a new label that has too few of them: they are early, and nothing is wrong with them."""


class Entry(NamedTuple):
    """A place of an image that is set aside."""

    digest: str
    label: str
    path: str
    fault: str
    """Column of the expectation that the image fails; see `expectations`."""
    reason: str
    """Of this image, in words."""
    remedy: Remedy
    is_known: bool
    """Whether the ledger has this image; a new copy of one that it has is not meant."""


COLUMNS = Entry._fields
"""Of the table; the remedy is a sentence there."""


def table(entries: Sequence[Entry], again: str = BY_DVC_ADD) -> "pl.DataFrame":
    """Rows of COLUMNS, one per place of an image, the first entry of each; sorted by path.

    Args:
        entries: of the functions below.
        again: see `Remedy.words`.
    """
    import polars as pl

    rows = [(*entry[:5], entry.remedy.words(again), entry.is_known) for entry in entries]
    made = pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String) | {"is_known": pl.Boolean}, orient="row")
    return made.unique(["digest", "path"], keep="first", maintain_order=True).sort("path", "digest")


def of_findings(findings: "Sequence[Finding]", rows: "pl.DataFrame") -> list[Entry]:
    """Entries for the images that fail an expectation, each with the first that it fails.

    Args:
        findings: of the suite of images.
        rows: the table of facts that was judged.
    """
    first: dict[int, Expectation] = {}
    for finding in findings:
        for row in finding.rows:
            first.setdefault(row, finding.expectation)
    entries = []
    for row, failed in sorted(first.items(), key=lambda item: item[0]):
        image = rows.row(row, named=True)
        place = image["digest"], image["label"], image["path"]
        entries.append(Entry(*place, failed.column, _reason(failed, image), failed.remedy, is_known=False))
    return entries


def _reason(failed: Expectation, image: Mapping[str, object]) -> str:
    """Why this image, a row of the table of facts, fails an expectation."""
    if why := image.get(f"why_{failed.column}"):
        return str(why)
    if failed.column == "labelled":
        return "labels.csv of its batch does not name it"
    return f"{failed.column} is {image[failed.column]}; expected that {failed.meaning}"


def contradicted(rows: "pl.DataFrame", delta: Delta, ledger: "pl.DataFrame") -> list[Entry]:
    """Images that are not new, but have the bytes of one under another label: none of their labels is believed.

    Args:
        rows: the table of facts; columns digest, num_labels, why_num_labels.
        delta: what changed.
        ledger: the images so far; columns digest, label, path.
    """
    import polars as pl

    here = delta.relabelled_everywhere.select("digest", "label", "path")
    doubted = rows.filter(pl.col("num_labels") > 1).select("digest", "why_num_labels").unique("digest")
    old = ledger.join(doubted, on="digest", how="semi").join(delta.relabelled, on="digest", how="anti")
    places = pl.concat([old.select("digest", "label", "path"), here]).join(doubted, on="digest", how="inner")
    entries = [_contradicted(*place) for place in places.iter_rows()]

    # Relabelled at one place, and still there under the old label at another.
    torn = here.group_by("digest").agg(pl.col("label").n_unique().alias("count")).filter(pl.col("count") > 1)
    for _, same in here.join(torn, on="digest", how="semi").group_by("digest"):
        why = facts.where(dict(same.sort("path").select("label", "path").iter_rows()))
        entries += [_contradicted(*place) for place in same.with_columns(why=pl.lit(why)).iter_rows()]
    return entries


def _contradicted(digest: str, label: str, path: str, reason: str) -> Entry:
    return Entry(digest, label, path, CONTRADICTION, reason, CONTRADICTED, is_known=True)


def too_few(kept: Delta, counts: "pl.DataFrame", finding: "Finding") -> list[Entry]:
    """Entries for the new images of labels that have too few of them.

    Args:
        kept: the delta without what is set aside.
        counts: columns label and total, as they were judged.
        finding: its rows are rows of `counts`.
    """
    import polars as pl

    expectation, entries = finding.expectation, []
    for label, total in (counts.select("label", "total").row(row) for row in finding.rows):
        reason = f"label {label} has {counted(total, 'image')}; expected that {expectation.meaning}"
        few = kept.labelled.filter(pl.col("label") == label)
        entries += [
            Entry(digest, label, path, expectation.column, reason, expectation.remedy, kind == "relabelled")
            for digest, path, kind in few.select("digest", "path", "kind").iter_rows()
        ]
    return entries


def totals(kept: Delta, ledger: "pl.DataFrame", aside: "pl.DataFrame") -> "pl.DataFrame":
    """Images per label once this delta is in; copies count once, as in the ledger.

    Args:
        kept: the delta without what is set aside.
        ledger: the images so far; columns digest and label.
        aside: what is set aside; columns digest and is_known.

    Returns:
        Columns label, new, total, sorted by label.
    """
    import polars as pl

    gone = pl.concat([kept.removed.select("digest"), aside.filter("is_known").select("digest")])
    now = once(kept.labelled).join(gone, on="digest", how="anti")
    before = ledger.select("digest", "label")
    old = without(before, pl.concat([gone["digest"], now["digest"]]))
    fresh = now.join(before, on="digest", how="anti").group_by("label").len("new")
    total = pl.concat([old.select("label"), now.select("label")]).group_by("label").len("total")
    every = pl.concat([before.select(pl.col("label").unique()), total.select("label")]).unique()
    counts = every.join(fresh, on="label", how="left").join(total, on="label", how="left")
    return counts.with_columns(pl.col("new", "total").fill_null(0).cast(pl.Int64)).sort("label")
