"""Choose and decode: split the new images, pick old ones to replay, write what the models see of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.artifacts.model import Description
from pipeline.artifacts.parent import Champion, Parent, Pin
from pipeline.artifacts.sources import Source, Sources
from pipeline.base import files, params
from pipeline.base.errors import DataError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.base.words import are, counted
from pipeline.checking.settings import Watching
from pipeline.data import dataset, delta, groups, labels, ledger, remarks, replay, slices, splits, straddling
from pipeline.data.dataset import Dataset
from pipeline.data.delta import Delta
from pipeline.data.groups import Grouping
from pipeline.data.settings import Prepare
from pipeline.data.splits import SPLITS, Split
from pipeline.data.store import Store
from pipeline.features import embedding, inputs, observation
from pipeline.features.inputs import Input
from pipeline.features.shards import Shards
from pipeline.images import likeness, pixels
from pipeline.images.likeness import Images
from pipeline.images.pixels import Kept
from pipeline.judging import reach
from pipeline.judging.paired import effective
from pipeline.judging.settings import Bound
from pipeline.learning import ladder
from pipeline.learning.ladder import Growth
from pipeline.learning.settings import Embedding
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel

if TYPE_CHECKING:
    import polars as pl


class Settings(Excerpt):
    """What prepare reads of params.yaml."""

    resolve: RegisteredModel
    validate_: Watching = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Prepare
    train: Embedding
    evaluate: Bound
    """Only to say what the holdout can tell: a change of it reruns nothing."""


def run(paths: Paths) -> None:
    """Write the ledger and the dataset of this cycle."""
    import polars as pl

    settings = params.load(paths.params, Settings)
    parent, champion = Parent.read(paths.parent), Champion.read(paths.champion)
    accepted = Delta.read(paths.accepted / "images.parquet")
    set_aside = files.read_table(paths.accepted / "quarantine.parquet")
    registry, objects = Registry(settings.resolve), paths.scratch / "objects"
    parents, champions, anchors = _ledgers(registry, (parent.pin, champion.pin, champion.best), objects)
    before = ledger.remembering(parents, registry.elders_ledger(parent, objects))
    views = pixels.views(settings.prepare, [champion.pin, champion.anchor])
    images = Images(Store(Path()), pixels.limits(settings.validate_), views, paths.scratch)

    pairs = likeness.pairs(images, before, accepted, settings.prepare.near_duplicates)
    sources = Sources.read(paths.sources)
    newcomers = ledger.newcomers(before, accepted)
    looked_at = _looked_at(sources, parent, accepted.new, settings.prepare)
    remarked = remarks.read(images.store, looked_at, settings.prepare.group)
    wished = remarks.wishes(remarked, newcomers["digest"])
    grouping = groups.of(before, newcomers["digest"], pairs, remarks.claims(remarked))
    rows = _extend(before, accepted, grouping, set_aside, wished, sources.digest, settings.prepare)
    kept = {source.digest for source in sources.sources} - {source.digest for source in looked_at}
    rows = ledger.sliced(rows, remarks.slices(remarked), kept)
    likeness.say(pairs, rows, len(rows) - len(before))
    _say_wished(wished, rows)
    _say_groups(grouping, rows, newcomers, sources, settings.prepare)
    outputs = _outputs(parent, rows, settings.prepare)
    unlearned = _unlearned(rows, parents, accepted, settings.prepare)
    num_images, num_known = len(ledger.present(rows)), len(ledger.present(parents))
    # As train will plan it, from dataset.json.
    plan = ladder.plan(parent, settings.train, Growth(len(unlearned), num_known))
    per_new = "all" if plan.needs_all else settings.prepare.replay
    parts = _pick(rows, unlearned, per_new, settings.prepare)
    _refuse_too_few(rows, outputs, settings.prepare)

    size, channels, fit = settings.prepare.image_size, settings.prepare.channels, settings.prepare.fit
    plain = Description(
        architecture=settings.train.architecture, image_shape=(size, size, channels), fit=fit, labels=tuple(outputs)
    )
    weights, fetch = files.read(paths.pretrained).decode().strip(), inputs.fetched(registry, objects)
    seen = inputs.of_cycle(plain, settings.train, plan, parent, champion, weights, fetch)
    shards = Shards(images.store, embedding.known(registry, parent, champion, paths.scratch), paths.features)

    files.write_table(paths.ledger, rows)
    dataset.clear(paths.dataset)
    files.sweep(paths.features)
    observed = embedding.observed(inputs.observer(plain, settings.train, seen[0], weights), unlearned, shards, images)
    embedded = embedding.embed(seen, parts, unlearned["digest"], observed, shards, images, paths.dataset)
    _refuse_faults(embedded.faults)
    embedded.index.write(paths.features / "index.parquet")
    if observed:
        old = ledger.without(pl.concat(parts.values()), unlearned["digest"])
        then = observation.before(observed, parent, registry, objects, replace(shards, index=embedded.index), old)
        present, limit = set(ledger.present(rows)["label"]), settings.validate_.max_content_drift
        observation.write(observed, then, present, limit, images, paths.features)
    _decode(images, parts, seen, paths.dataset)
    told = slices.of_judging(pl.concat([parts["val"], parts["holdout"]]), rows, sources)
    told = pl.concat([told, slices.of_new(parts["train"], unlearned, remarks.slices(remarked), sources)]).sort(pl.all())
    dataset.write_remarks(paths.dataset, told, likeness.conflicts(pairs, rows))
    num_added = len(unlearned.join(ledger.present(parents), on="digest", how="anti"))
    numbered = {
        split: _numbered(part, unlearned, champions, anchors, outputs, settings.prepare.renamed_labels)
        for split, part in parts.items()
    }
    written = dataset.write(
        paths.dataset,
        numbered,
        labels=outputs,
        image_shape=plain.image_shape,
        fit=fit,
        inputs={one.name: one.extractor.key if one.extractor else None for one in seen if one.is_trained_on},
        num_images=num_images,
        num_added=num_added,
        num_unlearned=len(unlearned),
        num_known=num_known,
        num_computed=embedded.num_computed,
        # Also where images only went, or all that came choose or judge: there is nothing to fit.
        is_unchanged=parts["train"].is_empty() or (unlearned.is_empty() and num_images == num_known),
        label_counts=_label_counts(rows, outputs),
    )
    _say_written(written, parts, images.store)
    _say_reach(numbered["holdout"], champion, outputs, settings)


def _say_reach(holdout: "pl.DataFrame", champion: Champion, outputs: Sequence[str], settings: Settings) -> None:
    """Say what the holdout images can tell, before anything is trained.

    Args:
        holdout: columns label, a number, and is_fresh.
        champion: what is to beat; what it cannot know judges nothing.
        outputs: labels by number.
        settings: of the stage.
    """
    import polars as pl

    if champion.best:
        known = [number for number, label in enumerate(outputs) if label in champion.best.lineage.model.labels]
        holdout = holdout.filter(pl.col("label").is_in(known))
    total, prepare, bound = len(holdout), settings.prepare, settings.evaluate
    if not total:
        return
    of_labels = holdout["label"].value_counts()["count"]
    counting = effective(of_labels) if bound.metric == "balanced_accuracy" else total
    fresh = counting * int(holdout["is_fresh"].sum()) / total
    said = reach.said_before(total, counting, bound, prepare.holdout_fraction, prepare.max_holdout)
    promised = reach.promised_before(total, counting - fresh, fresh, champion.judged, bound)
    for sentence in filter(None, (said, promised)):
        print(f"prepare: {sentence}")


def _ledgers(registry: Registry, pins: Sequence[Pin | None], objects: Path) -> "list[pl.DataFrame]":
    """The ledger that the cycle of each version left, each read once; empty where there is none."""
    left: dict[int | None, pl.DataFrame] = {}
    for pin in pins:
        number = pin.version if pin else None
        if number not in left:
            left[number] = registry.pinned_ledger(pin, objects)
    return [left[pin.version if pin else None] for pin in pins]


def _say_written(written: Dataset, parts: "dict[Split, pl.DataFrame]", store: Store) -> None:
    counts, contents = ", ".join(f"{len(part)} {split}" for split, part in parts.items()), written.contents
    relabelled = contents.num_unlearned - contents.num_added
    print(
        f"prepare: {counts} images of {counted(len(written.labels), 'label')}; {contents.num_added:,} of them new"
        f"{f', {relabelled:,} with another label' if relabelled else ''}"
    )
    if store.fetched.num_objects:
        print(f"prepare: {store.fetched}")


def _looked_at(sources: Sources, parent: Parent, new: "pl.DataFrame", prepare: Prepare) -> list[Source]:
    """The batches whose labels.csv and names may say what the parent's ledger does not know: those that changed since,
    and those with images that were set aside until now."""
    known: tuple[Source, ...] = ()
    # With another rule all names are read anew.
    if parent.lineage and parent.lineage.params.get("prepare", {}).get("group") == prepare.group:
        known = parent.lineage.sources
    changed = set(delta.changed(known, sources.sources)[1])
    folders = new["path"].str.extract("(?s)^(.*)/").unique()
    above = {str(one) for folder in folders for one in (PurePosixPath(folder), *PurePosixPath(folder).parents)}
    above |= {*new["path"]}
    return [source for source in sources.sources if source in changed or source.path in above]


def _say_wished(wished: "pl.DataFrame", rows: "pl.DataFrame") -> None:
    if wished.is_empty():
        return
    came = wished.join(rows.select("digest", given="split"), on="digest")
    given = int((came["split"] == came["given"]).sum())
    print(f"prepare: {given} of {are(len(wished), 'new image')} in the split that labels.csv asks for")
    if given < len(wished):
        print(
            "prepare: the others are of a group in another split, or near-duplicates of images there, and share theirs"
        )


def _extend(
    before: "pl.DataFrame",
    accepted: Delta,
    grouping: Grouping,
    set_aside: "pl.DataFrame",
    wished: "pl.DataFrame",
    cycle: str,
    prepare: Prepare,
) -> "pl.DataFrame":
    """The ledger of this cycle; `cycle` is the digest of the data."""

    def split_of(digest: str) -> Split:
        return splits.assign(digest, prepare.val_fraction, prepare.holdout_fraction)

    gone = set_aside.filter("is_known")
    rows = ledger.extend(before, accepted, grouping.newcomers, gone, wished, split_of, cycle)
    return ledger.torn(ledger.named(rows, grouping.named), grouping.torn)


def _say_groups(
    grouping: Grouping, rows: "pl.DataFrame", newcomers: "pl.DataFrame", sources: Sources, prepare: Prepare
) -> None:
    """What there is to say of groups, and where names of files suggest some that nobody gave."""
    import polars as pl

    for sentence in straddling.sentences(grouping, rows, newcomers):
        print(f"prepare: {sentence}")
    if prepare.group is not None or rows["named"].list.len().sum():
        return
    inside = [
        (path.removeprefix(f"{source.path}/"), label)
        for source in sources.sources
        for path, label in newcomers.select("path", "label")
        .filter(pl.col("path").str.starts_with(f"{source.path}/"))
        .iter_rows()
    ]
    if warning := straddling.suggestion(inside):
        print(f"prepare: {warning}")


def _outputs(parent: Parent, rows: "pl.DataFrame", prepare: Prepare) -> list[str]:
    """The label map of this cycle."""
    parents_labels = parent.lineage.model.labels if parent.lineage else ()
    called_before = parent.pin.called if parent.pin else ()
    for old in set(called_before) & set(prepare.renamed_labels):
        print(f"prepare: {old} is called {prepare.renamed_labels[old]} from now on")
    heard = {*parents_labels, *called_before, *rows["label"].unique()}
    for setting in labels.unheard_of(heard, prepare):
        print(f"prepare: warning: {setting}: no image and no output has or had this label; is it mistyped?")
    counts = ledger.present(rows.select("label", "removed", "torn")).group_by("label").len()
    return labels.outputs(parents_labels, dict(counts.iter_rows()), prepare)


def _unlearned(rows: "pl.DataFrame", parents: "pl.DataFrame", accepted: Delta, prepare: Prepare) -> "pl.DataFrame":
    """Rows of the ledger that are new to the parent: what came, came back or has another label.

    A copy of a known image is none of them, nor is an image whose label is only called otherwise now.
    """
    import polars as pl

    changed = rows.filter(pl.col("digest").is_in(accepted.here["digest"].implode()))
    return ledger.unlearned(changed, parents, prepare.renamed_labels)


def _pick(
    rows: "pl.DataFrame", unlearned: "pl.DataFrame", per_new: int | Literal["all"], prepare: Prepare
) -> "dict[Split, pl.DataFrame]":
    """Rows of the ledger by split: all new training images and replayed old ones; val and holdout up to their caps."""
    import polars as pl

    def of(table: pl.DataFrame, split: Split) -> pl.DataFrame:
        return ledger.present(table).filter(pl.col("split") == split)

    new = of(unlearned, "train")
    replayed = replay.pick(ledger.without(of(rows, "train"), new["digest"]), len(new), per_new, prepare.seed)
    return {
        "train": pl.concat([new, replayed]).sort("digest"),
        "val": splits.cap(of(rows, "val"), prepare.max_val),
        "holdout": splits.cap(of(rows, "holdout"), prepare.max_holdout),
    }


def _label_counts(rows: "pl.DataFrame", outputs: Sequence[str]) -> list[int]:
    """Training images of each output, of all that there are; what is picked of them differs from cycle to cycle."""
    import polars as pl

    trained = ledger.present(rows.select("split", "label", "removed", "torn")).filter(pl.col("split") == "train")
    counts = dict(trained.group_by("label").len().iter_rows())
    return [counts.get(label, 0) for label in outputs]


def _numbered(
    part: "pl.DataFrame",
    unlearned: "pl.DataFrame",
    champions: "pl.DataFrame",
    anchors: "pl.DataFrame",
    outputs: list[str],
    renamed: dict[str, str],
) -> "pl.DataFrame":
    """What `dataset.write` wants to know of the images of a split, in their order.

    Args:
        part: rows of the ledger.
        unlearned: the rows that are new to the parent.
        champions, anchors: the ledgers that the cycles of the champion and of the anchor left.
        outputs: the label map.
        renamed: `prepare.renamed_labels` of params.yaml.
    """
    import polars as pl

    new, fresh = (ledger.unlearned(part, known, renamed) for known in (champions, anchors))
    return part.select(
        "digest",
        pl.col("label").replace_strict(outputs, list(range(len(outputs))), return_dtype=pl.Int64),
        pl.col("digest").is_in(new["digest"].implode()).alias("is_new"),
        pl.col("digest").is_in(fresh["digest"].implode()).alias("is_fresh"),
        pl.col("digest").is_in(unlearned["digest"].implode()).alias("is_unlearned"),
    )


def _refuse_too_few(rows: "pl.DataFrame", outputs: list[str], prepare: Prepare) -> None:
    import polars as pl

    present = ledger.present(rows.select("split", "label", "removed", "torn"))
    counts = {split: len(present.filter(pl.col("split") == split)) for split in SPLITS}
    for split, count in counts.items():
        if count < prepare.min_split:
            raise DataError(
                f"{count} of {counted(len(present), 'image')} fall to {split}; expected at least {prepare.min_split} "
                f"(prepare.min_split); add about {counted(_lacking(counts, prepare), 'image')} more, which "
                f"prepare.val_fraction and prepare.holdout_fraction share out{straddling.hint(rows)}"
            )
    trained = set(present.filter(pl.col("split") == "train")["label"].unique())
    there = set(present["label"].unique())
    untrained = [label for label in outputs if label in there - trained]
    if untrained:
        raise DataError(
            f"no image of {', '.join(untrained)} falls to train; expected one or more; add images of it"
            f"{straddling.hint(rows)}"
        )


def _lacking(counts: Mapping[Split, int], prepare: Prepare) -> int:
    """New images with which each split most likely has as many as it needs; known ones never move.

    About twice as many as in the mean: in 19 of 20 cases they are enough.
    """
    val, holdout = prepare.val_fraction, prepare.holdout_fraction
    fractions = {"train": 1 - val - holdout, "val": val, "holdout": holdout}
    lacking = {split: prepare.min_split - count for split, count in counts.items() if count < prepare.min_split}
    return max(int((2 * lacks + 1) / fractions[split]) + 1 for split, lacks in lacking.items())


def _decode(images: Images, parts: "dict[Split, pl.DataFrame]", seen: Sequence[Input], folder: Path) -> None:
    """Write the pixels of each split where a model sees these; of the holdout also what only champion or anchor do."""
    targets: dict[Split, dict[Kept, Path]] = {
        split: {
            images.kept(one.view): dataset.file(folder, split, one.name)
            for one in seen
            if one.extractor is None and split in one.splits
        }
        for split in parts
    }
    faults: dict[str, str] = {}
    for split, rows in parts.items():
        if targets[split]:
            faults |= pixels.collect(images.store, rows, images.limits, targets[split], f"prepare: {split}")
    _refuse_faults(faults)
    # Validation images and holdout stay nearly the same: the next cycle takes them from here. All else has been used.
    images.kept(images.views[0]).clear()
    for split in ("val", "holdout"):
        for kept, path in targets[split].items():
            kept.add(split, parts[split]["digest"], path)


def _refuse_faults(faults: Mapping[str, str]) -> None:
    """Refuse known images that cannot be decoded any more: all that this cycle needs, so that one mend is enough.

    Args:
        faults: path to reason.
    """
    if not faults:
        return
    for path, reason in sorted(faults.items()):
        print(f"prepare: {path!r} cannot be decoded any more: {reason}")
    first = min(faults)
    raise DataError(
        f"{counted(len(faults), 'image')} accepted once cannot be decoded now, e.g. {first!r} ({faults[first]}); "
        "export them again or remove them, `dvc add` their batch and commit; if a limit refuses them, raise it in "
        "section validate of params.yaml"
    )
