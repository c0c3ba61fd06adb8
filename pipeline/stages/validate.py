"""Check the new images: decode them, let Great Expectations judge the facts, set aside what is at fault.

A faulty image costs itself, not the cycle: it stays in the user's data, is listed with its reason, and
is tried again in each cycle until it passes or is gone. Too many of them stop the cycle.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.artifacts.parent import Parent
from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.errors import ExpectationError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.checking import drift, inspection
from pipeline.checking import facts as tables
from pipeline.checking.inspection import Inspection
from pipeline.checking.settings import Validate
from pipeline.data import labels, ledger, names
from pipeline.data.delta import NEW, relabelled
from pipeline.data.settings import AfterRemoval, Canvas, LabelChanges
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.decoding import THUMBNAIL
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel
from pipeline.showing import page, sheet

if TYPE_CHECKING:
    import polars as pl

    from pipeline.checking.expectations import Verdict

TILES = 12
"""Thumbnails of one label on the contact sheet."""


class Model(RegisteredModel, AfterRemoval, part=True):
    """The registered model, and what is said of removed images."""


class Wanted(Canvas, LabelChanges, part=True):
    """The pixels that are kept for prepare, and the labels that change by request."""


class Settings(Excerpt):
    """What validate reads of params.yaml."""

    resolve: Model
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Wanted


def run(paths: Paths) -> None:
    """Accept the new images but for those that are set aside, or stop the cycle; says which image fails what.

    Sharpness (validate.min_sharpness) is the standard deviation of the Laplacian of luma, 0 to 1, in the
    centre of the image at its own resolution; about 0.02 and less looks blurred.
    """
    chosen = parameters.load(paths.params, Settings)
    changes, pinned = files.read_table(paths.delta / "images.parquet"), files.read_json(paths.parent)
    lineage = pinned["lineage"] if pinned["version"] else {}
    columns = ["digest", "label", "path", "removed"]
    known = ledger.present(Registry(chosen.resolve).parents_ledger(pinned, paths.scratch / "objects", columns))
    store = Store(Path())
    facts, shown = _facts(store, changes, known, paths, chosen)

    reference = drift.usable(lineage.get("reference", {}))
    known_labels = lineage["model"]["labels"] if lineage else []
    found = inspection.inspect(facts, changes, known, lineage.get("label_counts", {}), reference, chosen.validate_)
    labels.refuse(known_labels, dict(found.counts.select("label", "total").iter_rows()), chosen.prepare)
    warnings = [*found.warnings, *_known_set_aside(found), *_label_changes(found, lineage, chosen)]
    text = _report(changes, found, warnings, chosen.validate_)
    picture = sheet.draw(_sections(found, facts, shown))
    files.write_json(paths.validation / "report.json", text)
    files.write_json(paths.validation / "great_expectations.json", found.results)
    files.write(paths.validation / "page.html", page.page(text, picture).encode())
    files.write(paths.validation / "contact.png", picture)
    for warning in warnings:
        print(f"validate: warning: {warning}")
    _say_set_aside(found.aside)
    if found.obstacles:
        raise ExpectationError(f"{' | '.join(found.obstacles)}; nothing was trained; see {paths.validation}/page.html")

    files.write_table(paths.accepted / "images.parquet", _accepted(found))
    files.write_table(paths.accepted / "quarantine.parquet", found.aside)
    files.write_json(paths.accepted / "reference.json", drift.merge(reference, found.statistics))
    print(
        f"validate: {text['counts']['accepted']} new images accepted, {text['counts']['quarantined']} set aside, "
        f"{len(found.verdicts)} expectations asked"
    )
    if store.fetched.num_objects:
        print(f"validate: {store.fetched}")


def _facts(
    store: Store, changes: "pl.DataFrame", known: "pl.DataFrame", paths: Paths, chosen: Settings
) -> "tuple[pl.DataFrame, Any]":
    """The table of facts; and the canonical pixels of the new images, uint8 (images, size, size, channels).

    Whatever pixels prepare will ask for are kept, so that it decodes none of these images again. What the champion sees
    is what the parent sees, most often.
    """
    import numpy as np
    import polars as pl

    once = changes.filter(pl.col("kind").is_in(NEW)).sort("path").unique("digest", keep="first", maintain_order=True)
    views = (*pixels.views(chosen.prepare, Parent.read(paths.parent)), THUMBNAIL)
    kept = [pixels.Kept(paths.scratch / "pixels", view) for view in views]
    found = pixels.keep(store, once, pixels.limits(chosen.validate_), kept, "new", "validate")
    seen = tables.table(found).with_columns(once["digest"]).with_row_index("place")
    shown = np.load(kept[0].path("new"), mmap_mode="r", allow_pickle=False)
    return tables.of_new(changes, known, seen, paths.images.as_posix()), shown


def _known_set_aside(inspected: Inspection) -> list[str]:
    known = inspected.aside.filter("is_known")
    if known.is_empty():
        return []
    return [
        f"{known['digest'].n_unique()} known images are set aside too, e.g. {known['path'][0]!a}: {known['reason'][0]}"
    ]


def _label_changes(inspected: Inspection, lineage: dict[str, Any], chosen: Settings) -> list[str]:
    """What became of labels and known images, each with its effect on training."""
    import polars as pl

    def count(kind: str) -> int:
        return inspected.kept.filter(pl.col("kind") == kind)["digest"].n_unique()

    before = {label for label, total in lineage.get("label_counts", {}).items() if total}
    now = set(inspected.counts.filter(pl.col("total") > 0)["label"])
    moved = inspected.kept.filter(pl.col("kind").is_in(["renamed", "relabelled"]))["path"]
    unsafe = [f"{path!a} ({fault})" for path in moved if (fault := names.fault(path))]
    found = [f"{len(unsafe)} known images have unsafe names now, e.g. {unsafe[0]}; rename them"] if unsafe else []
    if before and now - before:
        found.append(f"new labels: {', '.join(sorted(now - before))}; the model gets an output for each")
    removed_labels = set(chosen.prepare.removed_labels)
    if going := sorted((before - now) & removed_labels):
        found.append(
            f"labels to be removed: {', '.join(going)}; the model loses their outputs (prepare.removed_labels)"
        )
    if staying := sorted(before - now - removed_labels):
        found.append(
            f"labels without images by now: {', '.join(staying)}; the model keeps their outputs, and nothing trains "
            "or judges them any more (prepare.removed_labels takes them away, prepare.renamed_labels renames them)"
        )
    if moved_on := relabelled(inspected.kept, chosen.prepare.renamed_labels)["digest"].n_unique():
        found.append(
            f"{moved_on} images are relabelled; those that train are learned anew under the new label, those "
            "that judge are judged by it"
        )
    if removed := count("removed"):
        effect = {
            "warn": "what the parent learned from them stays (resolve.after_removal: warn)",
            "retrain": "the parent is the newest version that never saw them (resolve.after_removal: retrain)",
        }[chosen.resolve.after_removal]
        found.append(f"{removed} images are removed; nothing trains or judges on them any more, and {effect}")
    return found


def _report(changes: "pl.DataFrame", inspected: Inspection, warnings: list[str], bounds: Validate) -> dict[str, Any]:
    """What the page shows and the version keeps."""
    import polars as pl

    def count(rows: pl.DataFrame, *kinds: str) -> int:
        return rows.filter(pl.col("kind").is_in(kinds))["digest"].n_unique()

    failed = {"quarantine": "quarantined", "warn": "warned", "stop": "failed"}
    numbers = [_number(verdict, inspected) for verdict in inspected.verdicts]
    new, accepted = count(changes, *NEW), inspected.looks["digest"].n_unique()
    return {
        "success": not inspected.obstacles,
        "counts": {
            "new": new,
            "accepted": accepted,
            "quarantined": new - accepted,
            "warned": len(warnings),
            **{kind: count(inspected.kept, kind) for kind in ("removed", "relabelled", "renamed")},
        },
        "expectations": [
            {
                "suite": verdict.suite,
                "type": verdict.expectation,
                "meaning": verdict.meaning,
                "found": verdict.found,
                "outcome": "passed" if verdict.success and not number else failed[verdict.outcome],
                "images": number,
            }
            for verdict, number in zip(inspected.verdicts, numbers, strict=True)
        ],
        "quarantined": inspected.aside.to_dicts(),
        "warnings": warnings,
        "drift": inspected.distances,
        "max_drift": bounds.max_drift,
        "labels": inspected.counts.to_dicts(),
    }


def _number(verdict: "Verdict", inspected: Inspection) -> int:
    """How many images fail an expectation."""
    if verdict.column in ("num_labels", "total_if_new") and verdict.outcome == "quarantine":
        # Old images that a new one contradicts, and images of a label, are more than the rows that were judged.
        return int((inspected.aside["remedy"] == verdict.remedy).sum())
    return len(verdict.rows) if verdict.suite in ("images", "looks") else 0


def _sections(inspected: Inspection, facts: "pl.DataFrame", shown: Any) -> list[sheet.Section]:
    """The contact sheet: what was set aside and why, then the new images by label."""
    import polars as pl

    sections, aside = [], inspected.aside
    if not aside.is_empty():
        places = facts.filter("readable").select("digest", "place").unique("digest")
        rows = aside.unique("digest").sort("path").join(places, on="digest", how="left", maintain_order="left")
        tiles = tuple(
            sheet.Tile(None if place is None else _colour(shown[place]), f"{Path(path).name}: {reason}", "fault")
            for path, reason, place in rows.select("path", "reason", pl.col("place")).head(2 * TILES).iter_rows()
        )
        sections.append(sheet.Section("set aside", f"{len(rows)} images", tiles, len(rows) - len(tiles)))
    for (label,), rows in (
        inspected.looks.unique("digest").sort("label", "digest").group_by("label", maintain_order=True)
    ):
        tiles = tuple(sheet.Tile(_colour(shown[place]), "", "plain") for place in rows["place"].head(TILES))
        sections.append(sheet.Section(str(label), f"{len(rows)} new", tiles, len(rows) - len(tiles)))
    return sections


def _colour(picture: Any) -> Any:
    import numpy as np

    return picture if picture.shape[2] == 3 else np.repeat(picture, 3, axis=2)


def _accepted(inspected: Inspection) -> "pl.DataFrame":
    """The delta without what is set aside, with the perceptual hashes of the new images."""
    hashes = inspected.looks.select("digest", *ledger.HASHES).unique("digest")
    return inspected.kept.join(hashes, on="digest", how="left", maintain_order="left")


def _say_set_aside(aside: "pl.DataFrame") -> None:
    """The first few on the screen; all of them are in the report."""
    for row in aside.head(5).iter_rows(named=True):
        print(f"validate: set aside {row['path']!a}: {row['reason']}; {row['remedy']}")
    if len(aside) > 5:
        print(f"validate: and {len(aside) - 5} more are set aside; see the report")
