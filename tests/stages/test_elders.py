"""Splits stay for ever, also for images that the parent never saw."""

import hashlib

import numpy as np
import polars as pl
from PIL import Image
from project import Project, encoded, pictures

from pipeline.data.splits import assign


def twins() -> dict[str, bytes]:
    """A picture and the same cropped a little, near-duplicates: both fall to train, alone the second one would not."""
    for seed in range(1000):
        small = np.random.default_rng(seed).integers(0, 110, (6, 6, 3), np.uint8)
        whole = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
        contents = [encoded(whole), encoded(whole.crop((1, 1, 64, 64)))]
        low, high = sorted(contents, key=digest)  # the lower one names the group
        if (dealt(low), dealt(high)) == ("train", "holdout"):
            return {"low.png": low, "high.png": high}
    raise AssertionError


def digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def dealt(content: bytes) -> str:
    return assign(digest(content), 0.15, 0.15)


def splits(project: Project) -> dict[str, str]:
    rows = project.table("ledger.parquet").filter(~pl.col("removed"))
    return dict(rows.select("path", "split").iter_rows())


def test_after_a_cold_start_without_the_removed_every_image_keeps_its_split(project: Project) -> None:
    """One of two near-duplicates goes; alone, the other would be dealt a split of its own."""
    project.space.params(resolve={"after_removal": "retrain"}, detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
    batch = pictures(range(40), "cat", "dog")
    for name, content in twins().items():
        batch["cat"][f"twin-{name}"] = content
    project.add("first", batch)
    project.cycle()
    project.promote()
    before = project.table("ledger.parquet")
    pair = before.filter(pl.col("path").str.contains("twin-"))
    assert pair["split"].n_unique() == pair["group"].n_unique() == 1
    leader = "data/images/first/cat/twin-low.png"  # whose digest dealt the split
    first = splits(project)

    project.remove(leader.removeprefix("data/images/"))
    project.track("first")
    done = project.cycle()
    assert "fresh weights, which never saw what is gone" in done.out
    assert "cold start" in done.out
    now = splits(project)
    assert now == {path: split for path, split in first.items() if path != leader}
    assert project.space.read("parent.json")["elder"]["version"] == 1
    assert project.table("ledger.parquet")["group"].is_in(pair["group"].implode()).sum() == 2

    again = project.cycle()
    assert "promote: nothing to do" in again.out or "this data is known" in again.out
    assert splits(project) == now


def test_a_rejected_cycle_deals_splits_too(project: Project) -> None:
    """The next one starts from the champion, which never saw its images."""
    project.space.params(evaluate={"margin": 0.0, "confidence": 0.99})
    project.add("first", pictures(range(40), "cat", "dog"))
    project.cycle()
    project.add("second", pictures(range(100, 120), "cat", "dog"))
    project.cycle()
    assert not project.space.read("promotion.json")["promoted"]
    before = splits(project)
    project.add("third", pictures(range(200, 220), "cat", "dog"))
    project.cycle()
    parent = project.space.read("parent.json")
    assert (parent["version"], parent["elder"]["version"]) == (1, 2)
    after = splits(project)
    assert {path: after[path] for path in before} == before
    assert project.space.read("dataset/dataset.json")["num_added"] == 80
