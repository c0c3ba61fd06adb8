"""Pixels on the way from the DVC cache to a dataset, decoded by real worker processes."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import samples

from pipeline.base import code
from pipeline.base.errors import DataError
from pipeline.base.files import md5
from pipeline.data.store import Store
from pipeline.images import decoding, pixels
from pipeline.images.decoding import THUMBNAIL, View
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
            digests.append(md5(file))
            cached(tmp_path, digests[-1]).parent.mkdir(parents=True, exist_ok=True)
            cached(tmp_path, digests[-1]).write_bytes(file)
        return pl.DataFrame({"digest": digests, "path": [f"data/images/a/cat/{number}.png" for number in numbers]})

    return made


def cached(root: Path, digest: str) -> Path:
    return root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def expected(root: Path, rows: pl.DataFrame, view: View = VIEW) -> np.ndarray:
    return np.stack([decoding.look(cached(root, digest).read_bytes(), view)[1] for digest in rows["digest"]])


@pytest.fixture
def limits(settings):
    return pixels.limits(settings.validate_)


def test_limits_are_those_of_params(settings):
    limits = pixels.limits(settings.validate_.model_copy(update={"max_pixels": 5, "max_seconds": 2.5, "max_memory": 3}))
    assert (limits.max_pixels, limits.seconds, limits.memory) == (5, 2.5, 3 * 2**20)


def test_a_look_gives_facts_and_pixels_in_order(tmp_path, put, limits):
    rows = put(3, 1, 2)
    facts = pixels.look(Store(tmp_path), rows, limits, {VIEW: tmp_path / "out.npy"}, "test")
    assert [fact.error for fact in facts] == [""] * 3
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected(tmp_path, rows))


def test_a_look_at_nothing_is_nothing(tmp_path, put, limits):
    assert pixels.look(Store(tmp_path), put().clear(), limits, {VIEW: tmp_path / "out.npy"}, "test") == []
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


def test_a_damaged_copy_in_the_cache_is_fetched_again(tmp_path, put, limits):
    rows = put(1, 2)
    right = expected(tmp_path, rows)
    digest = rows["digest"][1]
    store = Healing(tmp_path, {digest: cached(tmp_path, digest).read_bytes()})
    cached(tmp_path, digest).write_bytes(b"bit rot")
    pixels.look(store, rows, limits, {VIEW: tmp_path / "out.npy"}, "test")
    assert store.healed == [digest]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), right)


def test_an_image_whose_bytes_are_nowhere_is_named_with_the_remedy(tmp_path, put, limits):
    rows = put(1)
    digest = rows["digest"].item()
    cached(tmp_path, digest).write_bytes(b"bit rot")
    with pytest.raises(
        DataError,
        match=rf"^'data/images/a/cat/1\.png': neither the file nor the copies in the DVC cache and remote have the "
        rf"bytes that its pointer names \({digest}\); `dvc add` the batch again where the image is right, and "
        r"`dvc push`$",
    ):
        pixels.look(Healing(tmp_path, {}), rows, limits, {}, "test")


def array(path: Path, *values: int) -> Path:
    """A picture of one shade for each value."""
    np.save(path, np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 4, 4, 3)))
    return path


def take(kept: Kept, *digests: str) -> list[int | None]:
    """The shade of each picture, None where it is not kept."""
    target = np.zeros((len(digests), 4, 4, 3), np.uint8)
    is_taken = kept.take(pl.Series(digests, dtype=pl.String), target)
    assert len(is_taken) == len(digests)
    assert not target[~is_taken.to_numpy().astype(bool)].any()
    return [int(picture.max()) if taken else None for picture, taken in zip(target, is_taken, strict=True)]


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


def test_what_is_kept_is_not_decoded_again(tmp_path, put, limits):
    rows = put(1, 2, 3)
    right = expected(tmp_path, rows)
    kept = Kept(tmp_path / "kept", VIEW)
    np.save(tmp_path / "some.npy", 255 - right[[2, 0]])  # so that they can be told from what is decoded
    kept.add("some", rows["digest"][[2, 0]], tmp_path / "some.npy")
    target = tmp_path / "out/target.npy"
    pixels.collect(Store(tmp_path), rows, limits, {kept: target}, "test")
    np.testing.assert_array_equal(np.load(target), np.stack([255 - right[0], right[1], 255 - right[2]]))
    assert [path.name for path in target.parent.iterdir()] == ["target.npy"]


def test_where_all_is_kept_no_image_need_be_anywhere(tmp_path, kept):
    rows = pl.DataFrame({"digest": ["d1", "d3"], "path": ["a", "b"]})
    pixels.collect(Store(tmp_path / "nowhere"), rows, None, {kept: tmp_path / "target.npy"}, "test")
    assert np.load(tmp_path / "target.npy").max(axis=(1, 2, 3)).tolist() == [1, 3]


def test_no_images_are_an_empty_array(tmp_path, kept):
    rows = pl.DataFrame(schema={"digest": pl.String, "path": pl.String})
    pixels.collect(Store(tmp_path), rows, None, {kept: tmp_path / "target.npy"}, "test")
    assert np.load(tmp_path / "target.npy").shape == (0, 4, 4, 3)


def test_images_that_were_accepted_once_and_are_too_large_now_are_named_each_with_its_reason(tmp_path, put, settings):
    rows = pl.concat([put(1, 2, side=20), put(3, side=4)])
    strict = pixels.limits(settings.validate_.model_copy(update={"max_pixels": 300}))
    kept = Kept(tmp_path / "k", VIEW)
    assert pixels.collect(Store(tmp_path), rows, strict, {kept: tmp_path / "t.npy"}, "test") == {
        f"data/images/a/cat/{number}.png": "20 x 20 pixels, more than 300" for number in (1, 2)
    }
    assert np.load(tmp_path / "t.npy").max(axis=(1, 2, 3)).astype(bool).tolist() == [False, False, True]


def test_a_look_gives_the_pixels_of_several_views_at_once(tmp_path, put, limits):
    rows = put(1, 2)
    outs = {VIEW: tmp_path / "one.npy", THUMBNAIL: tmp_path / "two.npy"}
    facts = pixels.look(Store(tmp_path), rows, limits, outs, "test")
    assert facts == pixels.look(Store(tmp_path), rows, limits, {}, "test")
    for view, out in outs.items():
        np.testing.assert_array_equal(np.load(out), expected(tmp_path, rows, view))


def test_the_digest_of_the_decoder_is_of_all_that_pixels_depend_on():
    names = {path.name for path in code.modules("pipeline.images.decoding")}
    assert {"decoding.py", "sniffing.py", "statistics.py"} <= names


def test_a_thumbnail_and_a_canvas_of_its_size_are_kept_apart(tmp_path):
    folder = tmp_path / "kept"
    square = View(THUMBNAIL.size, THUMBNAIL.channels, "crop")
    assert Kept(folder, THUMBNAIL).path("new") != Kept(folder, square).path("new")


def test_what_is_not_there_any_more_is_not_taken(kept, tmp_path):
    """Any file of the scratch folder may be deleted."""
    (pixels_of_one,) = (tmp_path / "kept").glob("*/one.npy")
    pixels_of_one.unlink()
    assert take(kept, "d1", "d2", "d3") == [None, 2, 3]


@pytest.fixture
def count(monkeypatch):
    """Digests of the images that were decoded, in order; a list that grows."""
    from pipeline.images import workers

    decoded: list[str] = []
    look = workers.look

    def counting(jobs, *arguments, **options):
        decoded.extend(job.digest for job in jobs)
        return look(jobs, *arguments, **options)

    monkeypatch.setattr(workers, "look", counting)
    return decoded


def test_what_is_decoded_once_is_kept_for_all_views_but_for_what_is_damaged(tmp_path, put, limits, count):
    rows = pl.concat([put(1), damaged(tmp_path), put(2, side=30)])
    kept = [Kept(tmp_path / "kept", view) for view in (THUMBNAIL, VIEW)]
    facts = pixels.keep(Store(tmp_path), rows, limits, kept, "new", "test")
    assert [bool(fact.error) for fact in facts] == [False, True, False]
    assert count == rows["digest"].to_list()
    assert kept[0].sides(rows["digest"]).to_list() == [8, None, 30]
    good = rows[[0, 2]]
    for of_view in kept:
        target = np.zeros((3, of_view.view.size, of_view.view.size, 3), np.uint8)
        assert of_view.take(rows["digest"], target).to_list() == [True, False, True]
        np.testing.assert_array_equal(target[[0, 2]], expected(tmp_path, good, of_view.view))


def damaged(root: Path) -> pl.DataFrame:
    content = b"\xff\xd8\xff damaged"
    path = cached(root, md5(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return pl.DataFrame({"digest": [md5(content)], "path": ["data/images/a/cat/damaged.jpg"]})


def test_thumbnails_that_are_kept_are_taken_and_others_decoded_for_all_views(tmp_path, put, limits, count):
    new, old, torn = put(1, 2), put(3, side=30), damaged(tmp_path)
    kept = [Kept(tmp_path / "kept", view) for view in (THUMBNAIL, VIEW)]
    pixels.keep(Store(tmp_path), new, limits, kept, "new", "test")
    rows = pl.concat([old, new, torn])
    thumbnails = pixels.thumbnails(Store(tmp_path), rows, limits, kept, tmp_path / "out.npy", "test")
    assert thumbnails.sides == [30, 8, 8, 0]
    np.testing.assert_array_equal(thumbnails.pixels[:3], expected(tmp_path, rows[:3], THUMBNAIL))
    assert not thumbnails.pixels[3].any()
    pixels.collect(Store(tmp_path), rows[:3], limits, {kept[1]: tmp_path / "target.npy"}, "test")
    np.testing.assert_array_equal(np.load(tmp_path / "target.npy"), expected(tmp_path, rows[:3]))
    assert sorted(count) == sorted(rows["digest"])


def test_what_lacks_one_view_is_decoded_once_for_all(tmp_path, put, limits, count):
    rows, grey = put(1, 2), View(6, 1)
    kept = [Kept(tmp_path / "kept", view) for view in (VIEW, grey)]
    pixels.keep(Store(tmp_path), rows[:1], limits, kept[:1], "new", "test")
    count.clear()
    targets = {of_view: tmp_path / f"{place}.npy" for place, of_view in enumerate(kept)}
    pixels.collect(Store(tmp_path), rows, limits, targets, "test")
    assert sorted(count) == sorted(rows["digest"])
    for of_view, target in targets.items():
        np.testing.assert_array_equal(np.load(target), expected(tmp_path, rows, of_view.view))


def test_the_views_of_a_cycle_are_the_models_and_where_it_is_another_the_champions(settings):
    canvas = settings.prepare.model_copy(update={"image_size": 8, "channels": 3})
    assert pixels.views(canvas, [None]) == (View(8),)
    assert pixels.views(canvas, [samples.champion().pin]) == (View(8),)
    other = samples.champion(model=samples.description(image_shape=(4, 4, 1)))
    assert pixels.views(canvas, [other.pin]) == (View(8), View(4, 1))


def test_a_champion_that_was_trained_on_another_fit_has_a_view_of_its_own(settings):
    canvas = settings.prepare.model_copy(update={"image_size": 8, "channels": 3, "fit": "pad"})
    earlier = samples.champion()  # its description does not say how, as those of before
    assert pixels.views(canvas, [earlier.pin]) == (View(8, 3, "pad"), View(8, 3, "crop"))
    assert pixels.views(canvas, [samples.champion(model=samples.description(fit="pad")).pin]) == (View(8, 3, "pad"),)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_pixels_of_one_fit_are_not_taken_for_those_of_another(tmp_path, put, limits, fit):
    rows, store = put(1, 2), Store(tmp_path)
    kept = [Kept(tmp_path / "kept", View(VIEW.size, VIEW.channels, one)) for one in ("crop", fit)]
    pixels.keep(store, rows, limits, kept[:1], "new", "test")
    assert not kept[1].take(rows["digest"], np.zeros((2, 4, 4, 3), np.uint8)).any()
    pixels.collect(store, rows, limits, {kept[1]: tmp_path / "target.npy"}, "test")
    np.testing.assert_array_equal(np.load(tmp_path / "target.npy"), expected(tmp_path, rows, kept[1].view))


def test_pixels_have_their_room_on_the_disk_before_they_are_written(tmp_path):
    """A mapped file that finds none later ends the process by a signal."""
    array = pixels._create(tmp_path / "pixels.npy", 100, View(64, 3))
    assert (tmp_path / "pixels.npy").stat().st_blocks * 512 >= array.nbytes
