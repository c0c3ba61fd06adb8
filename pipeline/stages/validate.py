"""Check the new images: decode them, let Great Expectations judge the facts, set aside what is at fault.

A faulty image costs itself, not the cycle: it stays in the user's data, is listed with its reason, and
is tried again in each cycle until it passes or is gone. Too many of them stop the cycle.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.artifacts.comparison import PICTURES
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.reference import Statistics
from pipeline.artifacts.report import Asked, LabelCount, Report, SetAside
from pipeline.base import files, params
from pipeline.base.errors import ExpectationError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.base.words import are, counted
from pipeline.checking import drift, inspection, quarantine
from pipeline.checking import facts as tables
from pipeline.checking.findings import Finding
from pipeline.checking.inspection import Inspection, Past
from pipeline.checking.settings import Validate
from pipeline.data import labels, names
from pipeline.data.delta import Delta, once
from pipeline.data.ledger import FACTS, HASHES, present
from pipeline.data.settings import AfterRemoval, Canvas, LabelChanges
from pipeline.data.store import Store
from pipeline.images import pictures, pixels
from pipeline.images.decoding import THUMBNAIL
from pipeline.images.pixels import PICTURE
from pipeline.learning.settings import Network
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel
from pipeline.showing import report as pages
from pipeline.showing.reported import DataPart

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

SHOWN_ASIDE = 60
"""Images that are set aside, of which pictures are shown."""

PICTURED = 2_000
"""Up to so many new images are decoded as large as people are shown them, too, 48 kB each for a while. Of more, those
that are shown are decoded once more."""


class ResolveKeys(RegisteredModel, AfterRemoval, part=True):
    """The registered model, and what is said of removed images."""


class PrepareKeys(Canvas, LabelChanges, part=True):
    """The pixels that are kept for prepare, and the labels that change by request."""


class Settings(Excerpt):
    """What validate reads of params.yaml."""

    resolve: ResolveKeys
    validate_: Validate = Field(alias="validate")  # BaseModel has a method of that name
    prepare: PrepareKeys
    train: Network
    """What `auto` for the size of the pixels depends on."""


def run(paths: Paths) -> None:
    """Accept the new images but for those that are set aside, or stop the cycle; says which image fails what.

    Sharpness (validate.min_sharpness) is the standard deviation of the Laplacian of luma, 0 to 1, in the
    centre of the image at its own resolution; about 0.02 and less looks blurred.
    """
    settings = params.load(paths.params, Settings)
    parent, delta = Parent.read(paths.parent), Delta.read(paths.delta / "images.parquet")
    past = _past(parent, settings.resolve, paths.scratch)
    store = Store(Path())
    facts = _facts(store, delta, past.ledger, paths, settings)

    inspected = inspection.inspect(facts, delta, past, settings.validate_, settings.prepare)
    known_labels = parent.lineage.model.labels if parent.lineage else ()
    labels.refuse(known_labels, dict(inspected.counts.select("label", "total").iter_rows()), settings.prepare)
    warnings = (*inspected.warnings, *_known_set_aside(inspected), *_label_changes(inspected, parent.lineage, settings))
    report = _report(delta, inspected, warnings, settings.validate_)

    files.sweep(paths.validation)
    files.sweep(paths.accepted)
    _write_report(paths.validation, report, inspected, _pictures(inspected, facts, store, paths.scratch, settings))
    for warning in warnings:
        print(f"validate: warning: {warning}")
    _say_set_aside(inspected.aside)
    if inspected.obstacles:
        obstacles = " | ".join(inspected.obstacles)
        raise ExpectationError(f"{obstacles}; nothing was trained; see {paths.validation}/page.html")
    _write_accepted(paths.accepted, inspected, past.reference)
    print(
        f"validate: {counted(report.counts['accepted'], 'new image')} accepted, {report.counts['quarantined']:,} set "
        f"aside, by {counted(len(inspected.findings), 'check')}"
    )
    if store.fetched.num_objects:
        print(f"validate: {store.fetched}")


def _past(parent: Parent, model: RegisteredModel, scratch: Path) -> Past:
    """What the parent knew."""
    columns = ["digest", "label", "path", "removed", "torn"]
    ledger = present(Registry(model).pinned_ledger(parent.pin, scratch / "objects", columns))
    lineage = parent.lineage
    if lineage is None:
        return Past(ledger, (), Statistics())
    return Past(ledger, tuple(lineage.label_counts), drift.usable(lineage.reference))


def _facts(store: Store, delta: Delta, ledger: "pl.DataFrame", paths: Paths, settings: Settings) -> "pl.DataFrame":
    """The table of facts of the new images.

    Whatever pixels prepare will ask for are kept, so that it decodes none of these images again. What the champion sees
    is what the parent sees, most often.
    """
    images = once(delta.new)
    views = dict.fromkeys((*pixels.views(settings.prepare, [Parent.read(paths.parent).pin]), THUMBNAIL))
    if len(images) <= PICTURED:
        views |= {PICTURE: None}
    kept = [pixels.Kept(paths.scratch / "pixels", view) for view in views]
    decoded = pixels.keep(store, images, pixels.limits(settings.validate_), kept, "new", "validate")
    seen = tables.table(decoded).with_columns(images["digest"])
    return tables.of_new(delta, ledger, seen, paths.images.as_posix())


def _known_set_aside(inspected: Inspection) -> list[str]:
    """A warning if images that the ledger has are set aside."""
    aside = inspected.aside.filter("is_known")
    if aside.is_empty():
        return []
    return [
        f"{are(aside['digest'].n_unique(), 'known image')} set aside too, e.g. {aside['path'][0]!r}: "
        f"{aside['reason'][0]}"
    ]


def _label_changes(inspected: Inspection, lineage: Lineage | None, settings: Settings) -> list[str]:
    """What became of labels and known images, each with its effect on training."""
    before = {label for label, total in lineage.label_counts.items() if total} if lineage else set()
    now = {label for label, total in inspected.counts.select("label", "total").iter_rows() if total}
    return [
        *_unsafe_names(inspected.kept),
        *_labels_come_and_go(before, now, settings.prepare.removed_labels),
        *_relabelled_and_removed(inspected.kept, settings),
    ]


def _unsafe_names(kept: Delta) -> list[str]:
    unsafe = [f"{path!r} ({fault})" for path in kept.moved["path"] if (fault := names.fault(path))]
    return [f"{len(unsafe)} known images have unsafe names now, e.g. {unsafe[0]}; rename them"] if unsafe else []


def _labels_come_and_go(before: set[str], now: set[str], removed_labels: tuple[str, ...]) -> list[str]:
    """A sentence each: on new labels, on those that go, and on those that stay without images."""
    sentences = []
    if before and now - before:
        sentences.append(f"new labels: {', '.join(sorted(now - before))}; the model gets an output for each")
    if going := sorted((before - now) & set(removed_labels)):
        sentences.append(
            f"labels to be removed: {', '.join(going)}; the model loses their outputs (prepare.removed_labels)"
        )
    if staying := sorted(before - now - set(removed_labels)):
        sentences.append(
            f"labels without images by now: {', '.join(staying)}; the model keeps their outputs, and nothing trains "
            "or judges them any more (prepare.removed_labels takes them away, prepare.renamed_labels renames them)"
        )
    return sentences


def _relabelled_and_removed(kept: Delta, settings: Settings) -> list[str]:
    sentences = []
    if relabelled := kept.truly_relabelled(settings.prepare.renamed_labels)["digest"].n_unique():
        sentences.append(
            f"{are(relabelled, 'image')} relabelled; those that train are learned anew under the new label, those "
            "that judge are judged by it"
        )
    if removed := kept.removed["digest"].n_unique():
        effect = {
            "warn": "what the parent learned from them stays (resolve.after_removal: warn; with retrain the cycle "
            "starts from the newest champion that never saw them)",
            "retrain": "the parent is the newest version that never saw them (resolve.after_removal: retrain)",
        }[settings.resolve.after_removal]
        sentences.append(
            f"{are(removed, 'image')} removed; what is gone trains and judges nothing any more, and {effect}"
        )
    return sentences


def _report(delta: Delta, inspected: Inspection, warnings: tuple[str, ...], validate: Validate) -> Report:
    """What the page shows and the version keeps."""
    new, accepted = delta.new["digest"].n_unique(), inspected.looks["digest"].n_unique()
    changes = inspected.kept.changes()
    return Report(
        success=not inspected.obstacles,
        counts={
            "new": new,
            "accepted": accepted,
            "quarantined": new - accepted,
            "warned": len(warnings),
            "removed": changes.removed,
            "relabelled": changes.relabelled,
            "renamed": changes.renamed,
        },
        expectations=tuple(_asked(finding, inspected) for finding in inspected.findings),
        quarantined=tuple(SetAside(**row) for row in inspected.aside.to_dicts()),
        warnings=warnings,
        drift=inspected.distances,
        max_drift=validate.max_drift,
        labels=tuple(LabelCount(**row) for row in inspected.counts.to_dicts()),
    )


def _asked(finding: Finding, inspected: Inspection) -> Asked:
    """An expectation, as the report tells it."""
    failed = {"quarantine": "quarantined", "warn": "warned", "stop": "failed"}
    expectation, images = finding.expectation, _num_failing(finding, inspected)
    return Asked(
        suite=finding.suite,
        type=expectation.kind,
        meaning=expectation.meaning,
        observed=finding.observed,
        outcome="passed" if finding.success and not images else failed[expectation.consequence],
        images=images,
    )


def _num_failing(finding: Finding, inspected: Inspection) -> int:
    """How many images fail an expectation."""
    fault = finding.expectation.column
    sets_aside = finding.expectation.consequence == "quarantine"
    if sets_aside and fault in (quarantine.CONTRADICTION, quarantine.TOO_FEW):
        # Old images that a new one contradicts, and images of a label, are more than the rows that were judged.
        return int((inspected.aside["fault"] == fault).sum())
    return len(finding.rows) if finding.suite in ("images", "looks") else 0


def _pictures(
    inspected: Inspection, facts: "pl.DataFrame", store: Store, scratch: Path, settings: Settings
) -> "dict[str, np.ndarray]":
    """Pictures of the images that the page shows, uint8 (height, width, 3) by digest: some of each label, and some of
    those that were set aside. What cannot be decoded has none."""
    import polars as pl

    readable = facts.filter("readable")["digest"]
    aside = once(inspected.aside).head(SHOWN_ASIDE)
    of_labels = pictures.sample(once(inspected.looks))
    rows = pl.concat([aside.select("digest", "path"), of_labels.select("digest", "path")]).unique(
        "digest", keep="first", maintain_order=True
    )
    rows = rows.filter(pl.col("digest").is_in(readable.implode()))
    if rows.is_empty():
        return {}
    return pictures.of(store, rows, pixels.limits(settings.validate_), scratch, "validate: pictures")


def _write_report(folder: Path, report: Report, inspected: Inspection, shown: "Mapping[str, np.ndarray]") -> None:
    report.write(folder / "report.json")
    files.write_json(folder / "great_expectations.json", inspected.results)
    pictures.write(folder / PICTURES, shown)
    data = DataPart(
        report=report,
        new=once(inspected.looks).select("digest", "path", "label"),
        thumbnails=pictures.read(folder / PICTURES),
    )
    files.write(folder / "page.html", pages.page(data).encode())


def _write_accepted(folder: Path, inspected: Inspection, reference: Statistics) -> None:
    """The delta without what is set aside, with the perceptual hashes and some facts of the new images; and what is set
    aside."""
    seen = inspected.looks.select("digest", *HASHES, *FACTS, "contrast").unique("digest")
    accepted = inspected.kept.rows.join(seen, on="digest", how="left", maintain_order="left")
    files.write_table(folder / "images.parquet", accepted)
    files.write_table(folder / "quarantine.parquet", inspected.aside)
    drift.merge(reference, inspected.statistics).write(folder / "reference.json")


def _say_set_aside(aside: "pl.DataFrame") -> None:
    """The first few on the screen; all of them are in the report."""
    for row in aside.head(5).iter_rows(named=True):
        print(f"validate: set aside {row['path']!r}: {row['reason']}; {row['remedy']}")
    if len(aside) > 5:
        print(f"validate: and {len(aside) - 5} more are set aside; see the report")
