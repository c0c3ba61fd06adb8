"""Pixels on the way from the DVC cache to a dataset, decoded by real worker processes."""

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pipeline.base.errors import DataError
from pipeline.data.store import Store
from pipeline.images import decoding as images
from pipeline.images import pixels
from pipeline.images.decoding import View
from pipeline.images.pixels import Kept

VIEW = View(4)


@pytest.fixture
def put(tmp_path: Path, encode):
    """Put pictures into the DVC cache of a project without images in its workspace; columns digest, path."""

    def made(*numbers: int, side: int = 8) -> pl.DataFrame:
        digests = []
        for number in numbers:
            shades = np.random.default_rng([number, side]).integers(0, 256, (side, side, 3), np.uint8)
            file = encode(shades)
            digests.append(hashlib.md5(file, usedforsecurity=False).hexdigest())
            cached(tmp_path, digests[-1]).parent.mkdir(parents=True, exist_ok=True)
            cached(tmp_path, digests[-1]).write_bytes(file)
        return pl.DataFrame({"digest": digests, "path": [f"data/images/a/cat/{number}.png" for number in numbers]})

    return made


def cached(root: Path, digest: str) -> Path:
    return root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def expected(root: Path, rows: pl.DataFrame, view: View = VIEW) -> np.ndarray:
    return np.stack([images.look(cached(root, digest).read_bytes(), view)[1] for digest in rows["digest"]])


@pytest.fixture
def allowed(settings):
    return pixels.limits(settings.validate_)


def test_limits_are_those_of_params(settings):
    found = pixels.limits(settings.validate_.model_copy(update={"max_pixels": 5, "max_seconds": 2.5, "max_memory": 3}))
    assert (found.max_pixels, found.seconds, found.memory) == (5, 2.5, 3 * 2**20)


def test_a_look_gives_facts_and_pixels_in_order(tmp_path, put, allowed):
    rows = put(3, 1, 2)
    found = pixels.look(Store(tmp_path), rows, VIEW, allowed, tmp_path / "out.npy", "test")
    assert [fact.error for fact in found] == [""] * 3
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(tmp_path, rows))


def test_a_look_at_nothing_is_nothing(tmp_path, put, allowed):
    assert pixels.look(Store(tmp_path), put().clear(), VIEW, allowed, tmp_path / "out.npy", "test") == []
    assert np.load(tmp_path / "out.npy").shape == (0, 4, 4, 3)


class Healing(Store):
    """A store whose remote has what `whole` has."""

    def __init__(self, root: Path, whole: dict[str, bytes]) -> None:
        super().__init__(root)
        self.whole = whole
        self.healed: list[str] = []

    def heal(self, wanted, title="") -> None:  # noqa: ARG002
        for digest, _ in wanted:
            self.healed.append(digest)
            if digest in self.whole:
                cached(self.root, digest).write_bytes(self.whole[digest])


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path, put, allowed):
    rows = put(1, 2)
    right = expected(tmp_path, rows)
    digest = rows["digest"][1]
    store = Healing(tmp_path, {digest: cached(tmp_path, digest).read_bytes()})
    cached(tmp_path, digest).write_bytes(b"bit rot")
    pixels.look(store, rows, VIEW, allowed, tmp_path / "out.npy", "test")
    assert store.healed == [digest]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), right)


def test_an_image_whose_bytes_are_nowhere_is_named_with_the_remedy(tmp_path, put, allowed):
    rows = put(1)
    digest = rows["digest"].item()
    cached(tmp_path, digest).write_bytes(b"bit rot")
    with pytest.raises(
        DataError,
        match=rf"^'data/images/a/cat/1\.png': neither the file nor the copies in the DVC cache and remote have the "
        rf"bytes that its pointer names \({digest}\); `dvc add` the batch again where the image is right, and "
        r"`dvc push`$",
    ):
        pixels.look(Healing(tmp_path, {}), rows, VIEW, allowed, None, "test")


def array(path: Path, *values: int) -> Path:
    """A picture of one shade for each value."""
    np.save(path, np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3)))
    return path


def take(kept: Kept, *digests: str) -> list[int | None]:
    """The shade of each picture, None where it is not kept."""
    target = np.zeros((len(digests), 4, 4, 3), np.uint8)
    found = kept.take(pl.Series(digests, dtype=pl.String), target)
    assert len(found) == len(digests)
    assert not target[~found.to_numpy().astype(bool)].any()
    return [int(picture.max()) if known else None for picture, known in zip(target, found, strict=True)]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    made = Kept(tmp_path / "kept", VIEW)
    made.add("one", pl.Series(["d1", "d2"]), array(tmp_path / "one.npy", 1, 2))
    made.add("two", pl.Series(["d3", "d2"]), array(tmp_path / "two.npy", 3, 2))
    return made


def test_what_is_kept_is_found_by_digest_in_any_order(kept):
    assert take(kept, "d3", "d9", "d1", "d2", "d1") == [3, None, 1, 2, 1]


def test_nothing_kept_is_nothing_found(tmp_path):
    assert take(Kept(tmp_path / "none", VIEW), "d1") == [None]
    assert take(Kept(tmp_path / "none", VIEW)) == []


def test_a_name_kept_again_replaces_the_older(kept, tmp_path):
    kept.add("one", pl.Series(["d4"]), array(tmp_path / "three.npy", 4))
    assert take(kept, "d1", "d2", "d4") == [None, 2, 4]


def test_what_was_not_kept_whole_is_not_found(kept, tmp_path):
    (index,) = (tmp_path / "kept").glob("*/one.parquet")
    index.unlink()  # written last
    assert take(kept, "d1", "d3") == [None, 3]


def test_a_replacement_that_was_cut_short_leaves_no_digests_of_the_older(kept, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.base.files.write_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        kept.add("one", pl.Series(["d4", "d5"]), array(tmp_path / "three.npy", 4, 5))
    assert take(kept, "d1", "d2", "d4") == [None, 2, None]


def test_other_views_are_kept_apart(kept, tmp_path):
    grey = Kept(tmp_path / "kept", View(4, 1))
    target = np.zeros((1, 4, 4, 1), np.uint8)
    assert grey.take(pl.Series(["d1"]), target).to_list() == [False]
    kept.clear()
    assert take(kept, "d1", "d2", "d3") == [None] * 3


@pytest.mark.usefixtures("kept")
def test_what_another_decoder_made_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.base.code.digest", lambda _: "another")
    assert take(Kept(tmp_path / "kept", VIEW), "d1") == [None]


def test_what_is_kept_survives_the_file_that_it_came_from(kept, tmp_path):
    (tmp_path / "one.npy").unlink()
    assert take(kept, "d1") == [1]


def test_keeping_works_where_the_disk_has_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr("os.link", refuse)
    made = Kept(tmp_path / "kept", VIEW)
    made.add("one", pl.Series(["d1"]), array(tmp_path / "one.npy", 1))
    assert take(made, "d1") == [1]


def test_what_is_kept_is_not_decoded_again(tmp_path, put, allowed):
    rows = put(1, 2, 3)
    right = expected(tmp_path, rows)
    kept = Kept(tmp_path / "kept", VIEW)
    np.save(tmp_path / "some.npy", 255 - right[[2, 0]])  # so that they can be told from what is decoded
    kept.add("some", rows["digest"][[2, 0]], tmp_path / "some.npy")
    target = tmp_path / "out/target.npy"
    pixels.collect(Store(tmp_path), rows, VIEW, allowed, kept, target, "test")
    np.testing.assert_array_equal(np.load(target), np.stack([255 - right[0], right[1], 255 - right[2]]))
    assert [path.name for path in target.parent.iterdir()] == ["target.npy"]


def test_where_all_is_kept_no_image_need_be_anywhere(tmp_path, kept):
    rows = pl.DataFrame({"digest": ["d1", "d3"], "path": ["a", "b"]})
    pixels.collect(Store(tmp_path / "nowhere"), rows, VIEW, None, kept, tmp_path / "target.npy", "test")
    assert np.load(tmp_path / "target.npy").max(axis=(1, 2, 3)).tolist() == [1, 3]


def test_no_images_are_an_empty_array(tmp_path, kept):
    rows = pl.DataFrame(schema={"digest": pl.String, "path": pl.String})
    pixels.collect(Store(tmp_path), rows, VIEW, None, kept, tmp_path / "target.npy", "test")
    assert np.load(tmp_path / "target.npy").shape == (0, 4, 4, 3)


def test_an_image_that_was_accepted_once_and_is_too_large_now_is_named_with_the_remedy(tmp_path, put, settings):
    rows = put(1, 2, side=20)
    strict = pixels.limits(settings.validate_.model_copy(update={"max_pixels": 300}))
    with pytest.raises(
        DataError,
        match=r"'data/images/a/cat/1\.png': was accepted once and cannot be decoded now \(20 x 20 pixels, more than 300"
        r"; 2 such images\); raise the limits of section validate in params\.yaml, or remove it and `dvc add` its "
        r"batch$",
    ):
        pixels.collect(Store(tmp_path), rows, VIEW, strict, Kept(tmp_path / "k", VIEW), tmp_path / "t.npy", "test")
