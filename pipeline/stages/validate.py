"""Check the new images: fetch and decode them, then let Great Expectations judge the table of facts."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import files, images
from pipeline import params as parameters
from pipeline.errors import ExpectationError
from pipeline.images import Facts
from pipeline.registry import Registry
from pipeline.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.expectations import Failure

THREADS = 4  # Pillow decodes outside Python's lock


def run(*, delta: Path, parent: Path, scratch: Path, accepted: Path, report: Path, settings: Path) -> None:
    """Accept the new images, or stop the cycle and say which image fails what."""
    chosen = parameters.load(settings)
    changes, pinned = files.read_table(delta / "images.parquet"), files.read_json(parent)
    lineage = pinned.get("lineage")
    ledger = Registry(chosen.resolve).parents_ledger(pinned, scratch / "objects")
    known = ledger[~ledger["removed"]].set_index("digest")
    new = changes[changes["kind"] != "removed"]
    facts = _facts(Store(Path()), new, known)

    from pipeline import expectations

    result = expectations.check(
        facts, _totals(changes, known), sorted(lineage["label_counts"]) if lineage else [], chosen.validate_
    )

    files.write_json(report, {"success": not result.failures, "results": result.report})
    if result.failures:
        failures = " | ".join(_sentence(failure, facts) for failure in result.failures)
        raise ExpectationError(f"{failures}; nothing was trained")
    files.write_table(accepted, changes)
    print(f"validate: {len(new)} new images accepted, {result.num_expectations} expectations hold")


def _facts(store: Store, new: "pd.DataFrame", known: "pd.DataFrame") -> "pd.DataFrame":
    """One row per path: what expectations look at, and for people the path and the decoder's words."""
    import pandas as pd
    from tqdm import tqdm

    def inspect(row: Any) -> Facts:
        return images.inspect(store.read(row.digest, row.path))

    rows = list(new.itertuples(index=False))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(
            tqdm(
                pool.map(inspect, rows),
                total=len(rows),
                desc="validate",
                unit="image",
                disable=None,
            )
        )
    labels_of = new.groupby("digest")["label"].agg(set).to_dict()
    elsewhere = {}  # copies in batches that did not change, which the ledger knows
    for row in rows:
        if row.kind == "added" and row.digest in known.index and known.at[row.digest, "label"] != row.label:
            labels_of[row.digest] = labels_of[row.digest] | {known.at[row.digest, "label"]}
            elsewhere[row.digest] = f"the same as {known.at[row.digest, 'path']!a}"
    return pd.DataFrame(
        {
            "digest": list(new["digest"]),
            "path": list(new["path"]),
            "label": list(new["label"]),
            "detail": [fact.error or elsewhere.get(row.digest, "") for fact, row in zip(found, rows, strict=True)],
            "readable": [not fact.error for fact in found],
            # Unknown where the image cannot be decoded: one fault, one failure.
            "width": pd.array([None if fact.error else fact.width for fact in found], dtype="Int64"),
            "height": pd.array([None if fact.error else fact.height for fact in found], dtype="Int64"),
            "mode": [None if fact.error else fact.mode for fact in found],
            "num_labels": [len(labels_of[digest]) for digest in new["digest"]],
        }
    )


def _totals(changes: "pd.DataFrame", known: "pd.DataFrame") -> "pd.DataFrame":
    """Images per label once this delta is in; copies count once, as they will in the ledger."""
    import pandas as pd

    labels = dict(zip(known.index, known["label"], strict=True))
    for row in changes.itertuples(index=False):
        labels[row.digest] = row.label
    for digest in changes.loc[changes["kind"] == "removed", "digest"]:
        del labels[digest]
    total = Counter(labels.values())
    return pd.DataFrame({"label": sorted(total), "total": [total[label] for label in sorted(total)]})


def _sentence(failure: "Failure", facts: "pd.DataFrame") -> str:
    """What happened, what was expected, what to do."""
    what = f"{failure.expectation} ({failure.meaning})"
    if failure.digests:
        failing = facts[facts["digest"].isin(failure.digests)]
        shown = [
            f"{row.path!a}{f' ({row.detail})' if row.detail else ''}" for row in failing.head(3).itertuples(index=False)
        ]
        more = f" and {len(failing) - 3} more" if len(failing) > 3 else ""
        value = "" if failure.column == "readable" else f" with {failure.column} {failure.found}"
        return (
            f"{len(failing)} of {len(facts)} new images fail {what}{value}: {', '.join(shown)}{more}; {failure.remedy}"
        )
    if failure.labels:
        return f"{', '.join(failure.labels)} fails {what}, found {failure.found}; {failure.remedy}"
    return f"the images fail {what}, found {failure.found}; {failure.remedy}"
