"""The data half of a cycle, stage after stage, on real DVC batches."""

import io
import re
from collections.abc import Callable

import polars as pl
import pytest
from PIL import Image

from benchmarks import digits
from benchmarks.workspace import Workspace
from pipeline.data import dataset

Upto = Callable[[str], int]
Error = Callable[[str], str]


def png(shade: int, size: tuple[int, int] = (8, 8)) -> bytes:
    sink = io.BytesIO()
    Image.new("L", size, shade).save(sink, "PNG")
    return sink.getvalue()


def cats_and_dogs(each: int) -> dict[str, dict[str, bytes]]:
    """Two labels with so many images each, no two alike."""
    shades = {"cat": range(each), "dog": range(100, 100 + each)}
    return {label: {f"{number}.png": png(shade) for number, shade in enumerate(of)} for label, of in shades.items()}


def test_two_batches_become_one_dataset_with_every_image_once(space: Workspace, upto: Upto) -> None:
    space.put("first", digits.batch(0, 300))
    space.put("copies", digits.batch(0, 20))
    space.dvc("add", "--quiet", "data/images/first", "data/images/copies")
    space.commit("Two")
    assert upto("prepare") == 0
    images = dataset.read(space.root / "data/cycle/dataset")
    digests = [digest for split in dataset.SPLITS for digest in images.part(split).digests]
    assert len(digests) == len(set(digests)) == 300
    assert images.labels == tuple("0123456789")
    assert images.part("train").inputs.shape[1:] == (32, 32, 3)
    ledger = pl.read_parquet(space.root / "data/cycle/ledger.parquet")
    assert sorted(ledger["digest"]) == sorted(digests)


def test_images_come_from_the_remote_where_they_are_not_on_disk(space: Workspace, upto: Upto) -> None:
    import shutil

    space.put("first", digits.batch(0, 300))
    space.push("first", "First")
    shutil.rmtree(space.root / "data/images/first")
    shutil.rmtree(space.root / ".dvc/cache")
    assert upto("prepare") == 0
    assert not (space.root / "data/images/first").exists()


def test_one_label_only_is_refused(space: Workspace, upto: Upto, error: Error) -> None:
    space.put("first", {"cat": {f"{n}.png": png(n) for n in range(60)}})
    space.push("first", "First")
    assert upto("validate") == 4
    line = error("validate")
    assert "there are at least two labels (ExpectColumnValuesToBeBetween), found 1; add images of another label" in line
    assert "nothing was trained; see data/cycle/validation/page.html" in line


def test_an_image_too_many_set_aside_stops_the_cycle_and_the_page_says_which(
    space: Workspace, upto: Upto, capsys: pytest.CaptureFixture[str]
) -> None:
    space.params(validate={"max_quarantined_images": 1})
    images = cats_and_dogs(30)
    images["dog"] |= {"tiny.png": png(1, (8, 3)), "torn.png": png(2)[:30]}
    space.put("first", images)
    space.push("first", "First")
    assert upto("validate") == 4
    captured = capsys.readouterr()
    assert "expected that at most 1 image is set aside" in captured.err
    assert "found 2; mend or remove them, `dvc add` the batch and `dvc repro`, or raise the limits" in captured.err
    assert "set aside 'data/images/first/dog/tiny.png': height is 3; expected that heights are between" in captured.out
    assert not (space.root / "data/cycle/accepted").exists(), "nothing that a later stage could take up"
    report = space.read("validation/report.json")
    assert not report["success"]
    assert {row["path"] for row in report["quarantined"]} == {
        "data/images/first/dog/tiny.png",
        "data/images/first/dog/torn.png",
    }
    page = (space.root / "data/cycle/validation/page.html").read_text()
    assert "dog/tiny.png" in page
    assert "dog/torn.png" in page
    space.params(validate={"max_quarantined_images": 2})
    assert upto("validate") == 0


@pytest.mark.parametrize(("share", "code"), [(0.03, 0), (0.01, 4)])
def test_the_share_that_may_be_set_aside_counts_where_it_is_more(
    space: Workspace, upto: Upto, share: float, code: int
) -> None:
    space.params(validate={"max_quarantined_images": 0, "max_quarantined": share})
    images = cats_and_dogs(30)
    images["dog"]["torn.png"] = png(2)[:30]
    space.put("first", images)
    space.push("first", "First")
    assert upto("validate") == code


def test_fewer_images_than_a_split_needs_is_refused(space: Workspace, upto: Upto, error: Error) -> None:
    space.put("first", cats_and_dogs(15))
    space.push("first", "First")
    assert upto("prepare") == 4
    line = error("prepare")
    assert "of 30 images fall to" in line
    assert re.search(
        r"expected at least 10 \(prepare\.min_split\); add about \d+ images more, which prepare\.val_", line
    )


def test_an_image_in_no_label_folder_is_refused(space: Workspace, upto: Upto, error: Error) -> None:
    space.put(".", {".": {"loose.png": png(1)}, "cat": {"a.png": png(2)}})
    space.dvc("add", "--quiet", "data/images")
    space.commit("All")
    assert upto("detect") == 4
    assert "'data/images/loose.png': lies in no label folder; move it to data/images/<batch>/<label>/" in error(
        "detect"
    )


def test_an_image_that_was_never_pushed_is_named(space: Workspace, upto: Upto, error: Error) -> None:
    import shutil

    space.put("first", digits.batch(0, 30))
    space.dvc("add", "--quiet", "data/images/first")
    shutil.rmtree(space.root / "data/images/first")
    listing = next(path for path in (space.root / ".dvc/cache/files/md5").rglob("*.dir"))
    for path in (space.root / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file() and path != listing:
            path.unlink()
    assert upto("validate") == 4
    line = error("validate")
    assert "not in the workspace, the DVC cache or the DVC remote" in line
    assert "run `dvc push` where it was added" in line


def test_a_grey_dataset_is_written_grey(space: Workspace, upto: Upto) -> None:
    space.params(prepare={"channels": 1, "image_size": 8})
    space.put("first", digits.batch(0, 300))
    space.push("first", "First")
    assert upto("prepare") == 0
    assert dataset.read(space.root / "data/cycle/dataset").part("val").inputs.shape[1:] == (8, 8, 1)
