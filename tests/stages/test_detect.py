"""The stage detect alone, on listings in a cache; it needs no image, no Git and no registry."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from samples import lineage, parent, pin

from pipeline.artifacts.changes import Changes
from pipeline.artifacts.parent import Parent
from pipeline.artifacts.sources import Source, Sources
from pipeline.base import files
from pipeline.base.errors import DataError
from pipeline.base.paths import Paths
from pipeline.data.inventory import Inventory
from pipeline.data.store import Store
from pipeline.settings import Params
from pipeline.stages import detect

ROOT = Path(__file__).parents[2]


def batch(name: str, *images: str) -> Source:
    """A batch as `dvc add` leaves it, but for its images; those of one file name are copies."""
    listing = [{"md5": files.md5(image.split("/")[-1].encode()), "relpath": image} for image in images]
    content = json.dumps(listing).encode()
    digest = files.md5(content)
    path = Path(".dvc/cache/files/md5", digest[:2], f"{digest[2:]}.dir")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Source(f"data/images/{name}", f"{digest}.dir", len(listing))


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    return Paths()


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Batches whose listing was read."""
    read: list[str] = []
    original = Store.listing

    def listing(self: Store, source: Source) -> pl.DataFrame:
        read.append(source.path)
        return original(self, source)

    monkeypatch.setattr(Store, "listing", listing)
    return read


def resolved(paths: Paths, before: Parent, *now: Source) -> None:
    before.write(paths.parent)
    Sources(digest="state", sources=now).write(paths.sources)


def since(version: int, *before: Source, **changes: object) -> Parent:
    whole = pin(version).model_copy(update={"lineage": lineage(sources=before, **changes)})
    return parent(None).model_copy(update={"pin": whole})


def test_without_a_parent_all_images_are_added(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    resolved(paths, parent(None), batch("first", "cat/1.png", "cat/2.png", "dog/3.png"))
    detect.run(paths)
    assert capsys.readouterr().out == ("detect: 3 images added in all\n")
    assert Changes.read(paths.delta / "summary.json").to_json() == {
        "added": 3,
        "added_by_batch": {"data/images/first": 3},
        "added_by_label": {"cat": 2, "dog": 1},
        "relabelled": 0,
        "removed": 0,
        "renamed": 0,
        "retried": 0,
        "warnings": [],
    }
    assert pl.read_parquet(paths.delta / "images.parquet")["path"].to_list() == [
        "data/images/first/cat/1.png",
        "data/images/first/cat/2.png",
        "data/images/first/dog/3.png",
    ]


def test_since_a_parent_the_changes_are_told_and_what_is_tried_again(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    stays = batch("stays", "cat/0.png", "cat/torn.png")
    before = batch("first", *(f"cat/{number}.png" for number in range(1, 41)))
    now = batch("first", "dog/1.png", "cat/two.png", *(f"cat/{number}.png" for number in range(3, 41)))
    aside = (files.md5(b"torn.png"), "cat", "data/images/stays/cat/torn.png")
    counts = {"cat": 41, "dog": 20}
    resolved(paths, since(7, stays, before, label_counts=counts, quarantine=(aside,)), stays, now)
    detect.run(paths)
    assert capsys.readouterr().out == (
        "detect: 1 image added, 1 removed, 1 relabelled since v7; 1 image is tried again that did not pass before\n"
    )


def test_what_resolve_compared_is_not_compared_again(
    paths: Paths, settings: Params, listings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its words are the same, those of warnings too."""
    stays = batch("stays", "cat/0.png")
    before, now = batch("first", "cat/1.png"), batch("first", "dog/1.png")
    start = since(7, stays, before)
    resolved(paths, start, stays, now)
    detect.run(paths)
    said, written = capsys.readouterr().out, (paths.delta / "images.parquet").read_bytes()
    shutil.rmtree(paths.scratch)
    listings.clear()

    earlier = Inventory(Store(Path()), paths.images, settings.detect.ignore, paths.scratch)
    earlier.since(start.lineage, [stays, now])
    assert len(listings) == 3
    detect.run(paths)
    assert len(listings) == 3
    assert capsys.readouterr().out == said
    assert (paths.delta / "images.parquet").read_bytes() == written


def test_many_images_that_are_gone_are_refused_and_nothing_is_written(paths: Paths) -> None:
    before = batch("first", *(f"cat/{number}.png" for number in range(40)))
    resolved(paths, since(7, before, label_counts={"cat": 40}), batch("first", "cat/0.png"))
    with pytest.raises(DataError, match=r"^39 of 40 images \(of all labels\) are gone at once"):
        detect.run(paths)
    assert not paths.delta.exists()
