"""Choose and decode: split the new images, pick old ones to replay, write canonical pixels once."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline import dataset, files, images, ledger, replay, splits
from pipeline import params as parameters
from pipeline.errors import DataError
from pipeline.ledger import Accepted
from pipeline.params import Prepare
from pipeline.registry import Registry
from pipeline.splits import Split
from pipeline.store import Store

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

THREADS = 4  # Pillow decodes outside Python's lock


def run(
    *,
    accepted: Path,
    batches: Path,
    parent: Path,
    champion: Path,
    scratch: Path,
    out: Path,
    ledger_out: Path,
    settings: Path,
) -> None:
    """Write the ledger and the dataset of this cycle."""
    chosen = parameters.load(settings)
    changes = files.read_table(accepted)
    pinned, rival = files.read_json(parent), files.read_json(champion)
    before = Registry(chosen.resolve).parents_ledger(pinned, scratch / "objects")

    rows = _extend(before, changes, files.read_json(batches)["digest"], chosen.prepare)
    labels = _label_map(pinned, rows)
    known = set(before["digest"]) - set(changes["digest"])  # what is relabelled has to be learned anew
    parts = _choose(
        rows,
        known,
        "all" if chosen.train.start == "cold" else chosen.prepare.replay,
        chosen.prepare,
    )
    _refuse_too_few(rows, labels, chosen.prepare)

    files.write_table(ledger_out, rows)
    by_digest = rows.set_index("digest")
    numbers = {label: number for number, label in enumerate(labels)}
    size, channels = chosen.prepare.image_size, chosen.prepare.channels
    written = dataset.write(
        out,
        {s: (digests, [numbers[by_digest.at[d, "label"]] for d in digests]) for s, digests in parts.items()},
        _pixels(parts, by_digest, {(size, channels)}, _shapes(rival)),
        labels=labels,
        image_shape=(size, size, channels),
        known=set(before["digest"]),
        num_images=int((~rows["removed"]).sum()),
        num_added=len(rows) - len(before),
        is_unchanged=changes.empty,
    )
    counts = ", ".join(f"{len(digests)} {split}" for split, digests in parts.items())
    print(f"prepare: {counts}; {written.num_added} of {written.num_images} images are new, {len(labels)} labels")


def _extend(before: "pd.DataFrame", changes: "pd.DataFrame", cycle: str, chosen: Prepare) -> "pd.DataFrame":
    def of(kind: str) -> list[Accepted]:
        rows = changes[changes["kind"] == kind]
        return [Accepted(*row) for row in rows[["digest", "label", "path"]].itertuples(index=False, name=None)]

    def split_of(digest: str) -> Split:
        return splits.assign(digest, chosen.val_fraction, chosen.holdout_fraction)

    removed = {image.digest for image in of("removed")}
    return ledger.extend(before, of("added"), of("relabelled"), removed, split_of, cycle)


def _label_map(pinned: dict[str, Any], rows: "pd.DataFrame") -> list[str]:
    """The parent's labels at their places, then the new ones sorted: an output never changes meaning."""
    known = list(pinned["lineage"]["model"]["labels"]) if pinned["version"] else []
    return known + sorted(set(rows.loc[~rows["removed"], "label"]) - set(known))


def _choose(
    rows: "pd.DataFrame", old: set[str], per_new: int | Literal["all"], chosen: Prepare
) -> dict[Split, list[str]]:
    """Digests by split: all new training images and replayed old ones; val and holdout up to their caps."""
    present = rows[~rows["removed"]]
    by_split = {split: list(present.loc[present["split"] == split, "digest"]) for split in dataset.SPLITS}
    new = [digest for digest in by_split["train"] if digest not in old]
    known = [digest for digest in by_split["train"] if digest in old]
    replayed = replay.pick(known, len(new), per_new, chosen.seed)
    return {
        "train": sorted(new + replayed),
        "val": splits.cap(by_split["val"], chosen.max_val),
        "holdout": splits.cap(by_split["holdout"], chosen.max_holdout),
    }


def _refuse_too_few(rows: "pd.DataFrame", labels: list[str], chosen: Prepare) -> None:
    present = rows[~rows["removed"]]
    for split in dataset.SPLITS:
        found = int((present["split"] == split).sum())
        if found < chosen.min_split:
            raise DataError(
                f"{found} of {len(present)} images fall to {split}; expected at least {chosen.min_split} "
                f"(prepare.min_split); add images, about {_enough(chosen)} in all, or change prepare.val_fraction and "
                "prepare.holdout_fraction"
            )
    trained = Counter(present.loc[present["split"] == "train", "label"])
    missing = [label for label in labels if label in set(present["label"]) and not trained[label]]
    if missing:
        raise DataError(f"no image of {', '.join(missing)} falls to train; expected one or more; add images of it")


def _enough(chosen: Prepare) -> int:
    smallest = min(
        chosen.val_fraction,
        chosen.holdout_fraction,
        1 - chosen.val_fraction - chosen.holdout_fraction,
    )
    return int(1.5 * chosen.min_split / smallest) + 1


def _shapes(rival: dict[str, Any]) -> set[tuple[int, int]]:
    """(size, channels) that the champion sees, which may be others than params.yaml asks for now."""
    if not rival["version"]:
        return set()
    size, _, channels = rival["lineage"]["model"]["image_shape"]
    return {(size, channels)}


def _pixels(
    parts: dict[Split, list[str]],
    by_digest: "pd.DataFrame",
    shapes: set[tuple[int, int]],
    holdout_shapes: set[tuple[int, int]],
) -> "Iterable[tuple[Split, int, int, np.ndarray]]":
    import numpy as np
    from tqdm import tqdm

    store = Store(Path())
    jobs = [
        (split, size, channels)
        for split in parts
        for size, channels in sorted(shapes | (holdout_shapes if split == "holdout" else set()))
    ]
    total = sum(len(parts[split]) for split, _, _ in jobs)
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(total=total, desc="prepare", unit="image", disable=None) as bar,
    ):
        for split, size, channels in jobs:

            def decode(digest: str, size: int = size, channels: int = channels) -> "np.ndarray":
                return images.decode(store.read(digest, by_digest.at[digest, "path"]), size, channels)

            array = np.empty((len(parts[split]), size, size, channels), np.uint8)
            for row, pixels in enumerate(pool.map(decode, parts[split])):
                array[row] = pixels
                bar.update()
            yield split, size, channels, array
