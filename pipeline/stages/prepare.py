"""Choose and decode: split the new images, pick old ones to replay, write canonical pixels once."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.base import files
from pipeline.base import params as parameters
from pipeline.base.errors import DataError
from pipeline.base.params import Excerpt
from pipeline.base.paths import Paths
from pipeline.data import dataset, delta, labels, ledger, replay, splits, twins
from pipeline.data.settings import Prepare
from pipeline.data.splits import SPLITS, Split
from pipeline.data.store import Store
from pipeline.images import pixels
from pipeline.images.decoding import THUMBNAIL, View
from pipeline.images.settings import DecodingLimits
from pipeline.learning import ladder
from pipeline.learning.settings import Start
from pipeline.registry.client import Registry
from pipeline.registry.settings import RegisteredModel

if TYPE_CHECKING:
    import polars as pl


LOOKALIKES = 0.2
"""Share of the new images, 0 to 1, from which many near-duplicates are more likely many likenesses."""

SHOWN = 5
"""Pairs of near-duplicates under two labels that are named on the screen."""


class Settings(Excerpt):
    """What prepare reads of params.yaml."""

    resolve: RegisteredModel
    validate_: DecodingLimits = Field(alias="validate")  # BaseModel has a method of that name
    prepare: Prepare
    train: Start


def run(paths: Paths) -> None:
    """Write the ledger and the dataset of this cycle."""
    chosen = parameters.load(paths.params, Settings)
    changes, set_aside = (
        files.read_table(paths.accepted / "images.parquet"),
        files.read_table(paths.accepted / "quarantine.parquet"),
    )
    pinned, rival = files.read_json(paths.parent), files.read_json(paths.champion)
    registry = Registry(chosen.resolve)
    parents = registry.parents_ledger(pinned, paths.scratch / "objects")
    before = ledger.remembering(parents, registry.elders_ledger(pinned, paths.scratch / "objects"))
    store = Store(Path())

    groups = _groups(store, before, changes, chosen, paths.scratch)
    rows = _extend(before, changes, groups, set_aside, files.read_json(paths.sources)["digest"], chosen.prepare)
    names = _label_map(pinned, rows, chosen.prepare)
    needs_all = ladder.plan(pinned, chosen.train).needs_all
    parts = _choose(before, rows, changes, "all" if needs_all else chosen.prepare.replay, chosen.prepare)
    _refuse_too_few(rows, names, chosen.prepare)

    files.write_table(paths.ledger, rows)
    _decode(store, parts, rival, chosen, paths.scratch, paths.dataset)
    size, channels = chosen.prepare.image_size, chosen.prepare.channels
    written = dataset.write(
        paths.dataset,
        {split: _numbered(part, parents, names, chosen.prepare) for split, part in parts.items()},
        labels=names,
        image_shape=(size, size, channels),
        num_images=int((~rows["removed"]).sum()),
        num_added=len(ledger.present(rows).join(parents, on="digest", how="anti")),
        # Also where images only went, or the few that came all choose or judge: there is nothing to fit.
        is_unchanged=parts["train"].is_empty()
        or not changes["kind"].is_in(["added", "retried", "relabelled", "removed"]).any(),
    )
    counts = ", ".join(f"{len(part)} {split}" for split, part in parts.items())
    print(f"prepare: {counts}; {written.num_added} of {written.num_images} images are new, {len(names)} labels")
    if store.fetched.num_objects:
        print(f"prepare: {store.fetched}")


def _groups(
    store: Store, before: "pl.DataFrame", changes: "pl.DataFrame", chosen: Settings, scratch: Path
) -> "pl.DataFrame":
    """The group of each new image that looks like another, as columns digest, group and is_bridge."""
    import polars as pl

    new = ledger.newcomers(before, changes)
    pairs = [] if chosen.prepare.near_duplicates is None else _pairs(store, before, new, chosen, scratch)
    met = pl.DataFrame({"digest": [twin for _, twin in pairs]}, schema={"digest": pl.String}).unique()
    known = before.join(met, on="digest", how="semi", maintain_order="left")
    groups, bridges = twins.groups(pairs, dict(known.select("digest", "group").iter_rows()))
    _say_twins(pairs, len(groups), before, new)
    return pl.DataFrame(
        {"digest": list(groups), "group": list(groups.values()), "is_bridge": [name in bridges for name in groups]},
        schema={"digest": pl.String, "group": pl.String, "is_bridge": pl.Boolean},
    )


def _say_twins(pairs: list[tuple[str, str]], count: int, before: "pl.DataFrame", new: "pl.DataFrame") -> None:
    import polars as pl

    if not pairs:
        return
    print(f"prepare: {count} new images have near-duplicates, which share one split")
    if count > LOOKALIKES * len(new):
        print(
            f"prepare: warning: that is {count / len(new):.0%} of the new images; if they are different pictures that "
            "look alike, raise prepare.near_duplicates in params.yaml, or set it to null"
        )
    names = {name for pair in pairs for name in pair}
    rows = pl.concat([before.select("digest", "label", "path"), new.select("digest", "label", "path")])
    met = {row[0]: row[1:] for row in rows.filter(pl.col("digest").is_in(list(names))).iter_rows()}
    torn = [(met[one], met[two]) for one, two in pairs if met[one][0] != met[two][0]]
    for (label, path), (other, place) in torn[:SHOWN]:
        print(f"prepare: warning: {path!a} is labelled {label}; its near-duplicate {place!a} is labelled {other}")
    if len(torn) > SHOWN:
        print(f"prepare: warning: and {len(torn) - SHOWN} more pairs of near-duplicates under two labels")


def _pairs(
    store: Store, before: "pl.DataFrame", new: "pl.DataFrame", chosen: Settings, scratch: Path
) -> list[tuple[str, str]]:
    """New images with what they are near-duplicates of: candidates by hash, confirmed on pixels."""
    import numpy as np
    import polars as pl

    every = pl.concat([before.select("digest", "path", *ledger.HASHES), new.select("digest", "path", *ledger.HASHES)])
    hashes = every.select(ledger.HASHES).to_numpy()
    found = twins.candidates(hashes[len(before) :], hashes[: len(before)])
    if not found:
        return []
    pairs = [(len(before) + row, other) for row, other in found]
    asked = sorted({row for pair in pairs for row in pair})
    place = {row: position for position, row in enumerate(asked)}
    thumbnails = scratch / "thumbnails.npy"
    facts = pixels.look(
        store, every[asked], THUMBNAIL, pixels.limits(chosen.validate_), thumbnails, "prepare: near-duplicates"
    )
    shown = np.load(thumbnails, mmap_mode="r", allow_pickle=False)
    least = [min(fact.width, fact.height) for fact in facts]

    def confirmed(row: int, other: int) -> bool:
        one, two = place[row], place[other]
        return twins.are_twins(shown[one], shown[two], chosen.prepare.near_duplicates or 1, min(least[one], least[two]))

    names = every["digest"]
    return [(names[row], names[other]) for row, other in pairs if confirmed(row, other)]


def _extend(
    before: "pl.DataFrame",
    changes: "pl.DataFrame",
    groups: "pl.DataFrame",
    set_aside: "pl.DataFrame",
    cycle: str,
    chosen: Prepare,
) -> "pl.DataFrame":
    import polars as pl

    def split_of(digest: str) -> Split:
        return splits.assign(digest, chosen.val_fraction, chosen.holdout_fraction)

    known = groups.select("digest", "group")
    rows = ledger.extend(before, changes, known, set_aside.filter("is_known"), split_of, splits.rank, cycle)
    # A new image that looks like images of two splits belongs to neither: theirs cannot be moved any more.
    bridges = groups.filter("is_bridge").select("digest")
    if bridges.is_empty():
        return rows
    print(f"prepare: {len(bridges)} new images look like images of different splits and are left out")
    left_out = pl.col("digest").is_in(bridges["digest"].implode())
    return rows.with_columns((pl.col("removed") | left_out).alias("removed"))


def _label_map(pinned: dict[str, Any], rows: "pl.DataFrame", chosen: Prepare) -> list[str]:
    known = list(pinned["lineage"]["model"]["labels"]) if pinned["version"] else []
    for old in set(pinned.get("called", ())) & set(chosen.renamed_labels):
        print(f"prepare: {old} is called {chosen.renamed_labels[old]} from now on")
    heard = {*known, *pinned.get("called", ()), *rows["label"].unique()}
    for setting in labels.unheard_of(heard, chosen):
        print(f"prepare: warning: {setting}: no image and no output has or had this label; is it mistyped?")
    counts = ledger.present(rows.select("label", "removed")).group_by("label").len()
    return labels.outputs(known, dict(counts.iter_rows()), chosen)


def _choose(
    before: "pl.DataFrame",
    rows: "pl.DataFrame",
    changes: "pl.DataFrame",
    per_new: int | Literal["all"],
    chosen: Prepare,
) -> "dict[Split, pl.DataFrame]":
    """Rows of the ledger by split: all new training images and replayed old ones; val and holdout up to their caps."""
    import polars as pl

    def of(table: pl.DataFrame, split: Split) -> pl.DataFrame:
        return ledger.present(table).filter(pl.col("split") == split)

    # What is relabelled or came back has to be learned anew; not what is only called otherwise now.
    came = changes.filter(pl.col("kind").is_in(delta.NEW))
    anew = pl.concat([came, delta.relabelled(changes, chosen.renamed_labels)])["digest"]
    known, added = of(rows.head(len(before)), "train"), of(rows.slice(len(before)), "train")
    old = ledger.without(known, anew)
    new = pl.concat([known.filter(pl.col("digest").is_in(anew.implode())), added])
    return {
        "train": pl.concat([new, replay.pick(old, len(new), per_new, chosen.seed)]).sort("digest"),
        "val": splits.cap(of(rows, "val"), chosen.max_val),
        "holdout": splits.cap(of(rows, "holdout"), chosen.max_holdout),
    }


def _numbered(part: "pl.DataFrame", parents: "pl.DataFrame", names: list[str], chosen: Prepare) -> "pl.DataFrame":
    import polars as pl

    new = part.join(parents, on="digest", how="anti")["digest"]
    was = parents.select("digest", pl.col("label").replace(chosen.renamed_labels), was_gone="removed")
    known = was.filter(~pl.col("was_gone")).select("digest", "label")
    unlearned = part.join(known, on=["digest", "label"], how="anti")["digest"]
    return part.select(
        "digest",
        pl.col("label").replace_strict(names, list(range(len(names))), return_dtype=pl.Int64),
        pl.col("digest").is_in(new.implode()).alias("is_new"),
        pl.col("digest").is_in(unlearned.implode()).alias("is_unlearned"),
    )


def _refuse_too_few(rows: "pl.DataFrame", labels: list[str], chosen: Prepare) -> None:
    import polars as pl

    present = ledger.present(rows.select("split", "label", "removed"))
    for split in SPLITS:
        found = len(present.filter(pl.col("split") == split))
        if found < chosen.min_split:
            raise DataError(
                f"{found} of {len(present)} images fall to {split}; expected at least {chosen.min_split} "
                f"(prepare.min_split); add images, about {_enough(chosen)} in all, or change prepare.val_fraction and "
                "prepare.holdout_fraction"
            )
    trained = set(present.filter(pl.col("split") == "train")["label"].unique())
    there = set(present["label"].unique())
    missing = [label for label in labels if label in there - trained]
    if missing:
        raise DataError(f"no image of {', '.join(missing)} falls to train; expected one or more; add images of it")


def _enough(chosen: Prepare) -> int:
    smallest = min(
        chosen.val_fraction,
        chosen.holdout_fraction,
        1 - chosen.val_fraction - chosen.holdout_fraction,
    )
    return int(1.5 * chosen.min_split / smallest) + 1


def _decode(
    store: Store,
    parts: "dict[Split, pl.DataFrame]",
    rival: dict[str, Any],
    chosen: Settings,
    scratch: Path,
    out: Path,
) -> None:
    """Write the pixels of each split; the holdout's also as the champion sees them, if that is another shape."""
    ours = View(chosen.prepare.image_size, chosen.prepare.channels)
    theirs = _view(rival) or ours
    allowed = pixels.limits(chosen.validate_)
    kept = {view: pixels.Kept(scratch / "pixels", view) for view in (ours, theirs)}
    jobs = [(split, ours) for split in parts] + [("holdout", theirs)] * (theirs != ours)
    for split, view in jobs:
        target = dataset.file(out, split, view.size, view.channels)
        pixels.collect(store, parts[split], view, allowed, kept[view], target, f"prepare: {split}")
    # The next cycle will need nearly the same ones; what validation left here has been used.
    kept[ours].clear()
    for split, view in jobs:
        if split != "train":
            kept[view].add(split, parts[split]["digest"], dataset.file(out, split, view.size, view.channels))


def _view(rival: dict[str, Any]) -> View | None:
    """What the champion sees, which may be of another shape than params.yaml asks for now."""
    if not rival["version"]:
        return None
    size, _, channels = rival["lineage"]["model"]["image_shape"]
    return View(size, channels)
