"""Find what is new: compare the data now with the data that the parent was trained on."""

from pathlib import Path

from pipeline import delta, files, sources
from pipeline import params as parameters
from pipeline.delta import Delta
from pipeline.sources import Image, Source
from pipeline.store import Store


def run(*, batches: Path, parent: Path, images: Path, out: Path, settings: Path) -> None:
    """List the images added, removed and relabelled since the parent; no image is opened."""
    ignore = parameters.load(settings).detect.ignore
    now = sources.from_json(files.read_json(batches)["sources"])
    pinned = files.read_json(parent)
    before = sources.from_json(pinned["lineage"]["sources"]) if pinned["version"] else ()

    store = Store(Path())
    old, new = delta.changed(before, now)

    def read(batch: list[Source]) -> list[Image]:
        return [image for source in batch for image in _images(store, source, images, ignore)]

    found = delta.diff(read(old), read(new))
    if found.removed:  # a copy may lie in a batch that did not change
        unchanged = [source for source in now if source not in new]
        found = delta.diff(read(old), read(new), kept={image.digest for image in read(unchanged)})

    _write(out, found)
    _say(found, pinned["version"], len(new), len(now))


def _images(store: Store, source: Source, images: Path, ignore: tuple[str, ...]) -> list[Image]:
    return [
        Image(digest, sources.label_of(path, images.as_posix()), path)
        for path, digest in store.listing(source).items()
        if not sources.is_ignored(path, ignore)
    ]


def _write(out: Path, found: Delta) -> None:
    rows = [
        (kind, image.digest, image.label, image.path)
        for kind in ("added", "removed", "relabelled")
        for image in getattr(found, kind)
    ]
    kinds, digests, labels, paths = zip(*rows, strict=True) if rows else ((), (), (), ())
    files.write_table(out / "images.parquet", {"kind": kinds, "digest": digests, "label": labels, "path": paths})
    files.write_json(out / "summary.json", found.summary())


def _say(found: Delta, parent: int | None, opened: int, total: int) -> None:
    since = f"since v{parent}" if parent else "in all"
    print(
        f"detect: {len(found.added)} added, {len(found.removed)} removed, {len(found.relabelled)} relabelled {since} "
        f"(opened {opened} of {total} batches)"
    )
