"""Small pictures for people: which images get one, how they are kept, and what is missing without an error."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from project import Project, picture

from pipeline.base.errors import DataError, UnreadableError
from pipeline.data.store import Store
from pipeline.images import pictures, pixels
from pipeline.images.pictures import IN_ALL, OF_LABEL
from pipeline.images.settings import DecodingLimits
from pipeline.images.workers import Limits

RED = np.tile(np.array([200, 30, 20], np.uint8), (128, 128, 1))


def test_pictures_are_read_as_they_were_written_nearly(tmp_path: Path) -> None:
    path = tmp_path / "pictures.parquet"
    pictures.write(path, {"a": RED, "b": 255 - RED})
    first = path.read_bytes()
    found = pictures.read(path)
    assert list(found) == ["a", "b"]
    assert np.abs(pictures.decode(found["a"]).astype(int) - RED).max() < 12
    assert len(found["a"]) < 1000
    pictures.write(path, {"a": RED, "b": 255 - RED})
    assert path.read_bytes() == first
    pictures.keep(path, found)
    assert pictures.read(path) == found


def test_another_table_is_refused_by_name(tmp_path: Path) -> None:
    pl.DataFrame({"digest": ["a"]}).write_parquet(tmp_path / "pictures.parquet")
    with pytest.raises(UnreadableError, match="no table of pictures"):
        pictures.read(tmp_path / "pictures.parquet")


@pytest.mark.parametrize(("labels", "each"), [(2, OF_LABEL), (40, 10), (2 * IN_ALL, 1)])
def test_people_are_shown_some_images_of_each_label_and_not_too_many(labels: int, each: int) -> None:
    names = [f"{label:04}" for label in range(labels) for _ in range(OF_LABEL + 1)]
    rows = pl.DataFrame({"label": names}).with_row_index("number").with_columns(pl.col("number").cast(pl.String))
    shown = pictures.sample(rows.select("label", digest="number", path="number"))
    assert len(shown) == min(IN_ALL, labels * each)
    assert set(shown.group_by("label").len()["len"]) == {each}
    assert len(pictures.sample(rows.clear().select("label", digest="number", path="number"))) == 0


class _Here(Store):
    """A store whose images all lie in a folder; a remote that is asked for others does not answer."""

    def lost(self, wanted: Sequence[tuple[str, str]], title: str) -> set[str]:
        if gone := [path for digest, path in wanted if not self.is_here(digest, path)]:
            raise DataError(f"{title}: the remote does not answer for {gone[0]}")
        return set()


@pytest.fixture
def limits() -> Limits:
    return pixels.limits(DecodingLimits(max_pixels=10**6, max_seconds=5, max_memory=512))


def test_what_cannot_be_had_or_decoded_has_no_picture_and_a_warning(
    project: Project, limits: Limits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    contents = {"good.png": picture(1, side=40), "torn.png": picture(2)[:50]}
    for name, content in contents.items():
        project.write(name, content)
    digests = [hashlib.md5(content, usedforsecurity=False).hexdigest() for content in contents.values()]
    paths = [f"data/images/{name}" for name in (*contents, "gone.png")]
    table = pl.DataFrame({"digest": [*digests, "0" * 32], "path": paths})
    shown = pictures.of(_Here(project.root), table, limits, project.root / "data/scratch", "stage")
    assert list(shown) == digests[:1]
    assert shown[digests[0]].shape == (128, 128, 3)
    assert "stage: warning: 1 picture will be missing: stage: the remote does not answer" in capsys.readouterr().out
