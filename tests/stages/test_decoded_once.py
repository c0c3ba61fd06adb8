"""Over validate and prepare together no image is decoded twice."""

import io
from collections import Counter
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest
import samples
from PIL import Image
from project import Project, encoded, picture, pictures

from pipeline.artifacts.sources import Source, Sources
from pipeline.data import dataset, ledger, sources
from pipeline.images import decoding, workers
from pipeline.images.decoding import THUMBNAIL
from pipeline.registry.client import Registry

LABELS = ("cat", "dog")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests of the images that were decoded; a list that grows."""
    digests: list[str] = []
    look = workers.look

    def counting(jobs, *arguments, **options):
        digests.extend(job.digest for job in jobs)
        return look(jobs, *arguments, **options)

    monkeypatch.setattr(workers, "look", counting)
    return digests


@pytest.fixture
def ledgers(monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """What the registry has of the parent: the last ledger of this list."""
    tables = [ledger.empty()]

    def pinned_ledger(_self, _pinned, _objects, columns=ledger.COLUMNS) -> pl.DataFrame:
        return tables[-1].select(columns)

    monkeypatch.setattr(Registry, "pinned_ledger", pinned_ledger)
    monkeypatch.setattr(Registry, "elders_ledger", lambda *_: ledger.empty())
    return tables


def pin(project: Project, before: tuple[Source, ...] | None = None) -> tuple[Source, ...]:
    """What resolve writes, for a parent that learned from these batches; gives the batches of now."""
    cycle = project.root / "data/cycle"
    now = tuple(
        Source(**asdict(source) | {"path": source.path.removeprefix(f"{project.root}/")})
        for source in sources.find(project.root / "data/images")
    )
    Sources(digest="now", sources=now).write(cycle / "sources.json")
    (cycle / "pretrained").write_text("none")
    changes = {"sources": before, "label_counts": dict.fromkeys(LABELS, 60)} if before else {}
    version = 1 if before else None
    samples.parent(version, **changes).write(cycle / "parent.json")
    samples.champion(version, **changes).write(cycle / "champion.json")
    return now


def again(number: int, label: str) -> bytes:
    """The same pixels in another file."""
    return encoded(Image.open(io.BytesIO(picture(number, label))), "BMP")


def cycle(project: Project, before: tuple[Source, ...] | None = None) -> tuple[Source, ...]:
    now = pin(project, before)
    done = project.run("detect", "validate", "prepare")
    assert done.code == 0, done.err
    project.check_pixels()
    return now


@pytest.fixture
def second(project: Project, decoded: list[str], ledgers: list[pl.DataFrame]) -> tuple[Source, ...]:
    """A project before its second cycle, whose new images are half copies of the first in another format."""
    project.space.params(prepare={"replay": "all"}, train={"start": "warm"})
    project.add("first", pictures(range(60), *LABELS))
    now = cycle(project)
    assert Counter(decoded).most_common(1)[0][1] == 1
    ledgers.append(project.table("ledger.parquet"))
    assert sorted(decoded) == sorted(ledgers[-1]["digest"])
    decoded.clear()
    copies = {label: {f"{number}.bmp": again(number, label) for number in range(20)} for label in LABELS}
    project.add("copies", copies)
    project.add("second", pictures(range(60, 80), *LABELS))
    return now


def check(project: Project, decoded: list[str], old: pl.DataFrame) -> None:
    """Every new image was decoded, and some old ones; none twice."""
    rows = project.table("ledger.parquet")
    copies = rows.filter(pl.col("path").str.contains("/copies/"))
    assert (copies["group"] != copies["digest"]).all(), "each is a near-duplicate of an old image"
    assert set(rows["digest"]) - set(old["digest"]) <= set(decoded)
    assert set(copies["group"]) <= set(decoded), "for their thumbnails"
    counts = Counter(decoded)
    assert [(digest, count) for digest, count in counts.items() if count > 1] == []


def test_no_image_is_decoded_twice_in_a_cycle(project, second, decoded, ledgers):
    cycle(project, second)
    check(project, decoded, ledgers[-1])
    part = dataset.read(project.root / "data/cycle/dataset").part("train")
    assert set(part.digests) & set(ledgers[-1]["digest"]), "old ones are replayed"


def test_nor_where_the_champion_sees_pixels_of_another_shape(project, second, decoded, ledgers):
    project.space.params(prepare={"image_size": 10})
    cycle(project, second)
    check(project, decoded, ledgers[-1])
    images = dataset.read(project.root / "data/cycle/dataset")
    part = images.part("holdout", "8x8x3")
    paths = dict(project.table("ledger.parquet").select("digest", "path").iter_rows())
    for digest, pixels in zip(part.digests, part.inputs, strict=True):
        content = (project.root / paths[digest]).read_bytes()
        np.testing.assert_array_equal(decoding.decode(content, 8, 3), pixels)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_nor_where_the_champion_sees_the_pictures_in_another_fit(project, second, decoded, ledgers, fit):
    """Also not if what the model sees are the thumbnails themselves."""
    size = THUMBNAIL.size if fit == THUMBNAIL.fit else 8
    wide = {label: encoded(Image.open(io.BytesIO(picture(99, label))).resize((30, 9))) for label in LABELS}
    project.add("wide", {label: {"wide.png": content} for label, content in wide.items()})
    project.space.params(prepare={"fit": fit, "image_size": size})
    cycle(project, second)
    check(project, decoded, ledgers[-1])
    images = dataset.read(project.root / "data/cycle/dataset")
    part = images.part("holdout", "8x8x3")
    paths = dict(project.table("ledger.parquet").select("digest", "path").iter_rows())
    for digest, pixels in zip(part.digests, part.inputs, strict=True):
        np.testing.assert_array_equal(decoding.decode((project.root / paths[digest]).read_bytes(), 8, 3), pixels)


def test_without_the_scratch_folder_the_pixels_are_the_same(project, second, ledgers):
    import shutil

    pin(project, second)
    assert project.run("detect", "validate", "prepare").code == 0
    kept = dataset.read(project.root / "data/cycle/dataset").digest
    assert project.run("detect", "validate").code == 0
    shutil.rmtree(project.root / "data/scratch")
    assert project.run("prepare").code == 0
    assert dataset.read(project.root / "data/cycle/dataset").digest == kept
    assert len(project.table("ledger.parquet")) > len(ledgers[-1])
