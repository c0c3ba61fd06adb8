"""What a sample tells of a collection of images; above all whether left and right differ."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from pipeline.base import files
from pipeline.images import traits
from pipeline.images.workers import Limits

LIMITS = Limits(64_000_000, 5, 2**30)


def drawn(shapes: int, seed: int = 0, is_mirrored: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """120 pictures of so many shapes, with noise; if mirrored, either way round by chance."""
    rng = np.random.default_rng(seed)
    plans = rng.normal(size=(shapes, 32, 32))
    labels = rng.integers(0, shapes, 120)
    pictures = plans[labels] + rng.normal(size=(120, 32, 32))
    if is_mirrored:
        turned = rng.random(120) < 0.5
        pictures[turned] = pictures[turned, :, ::-1]
    return pictures, labels


def test_shapes_that_are_always_the_same_way_round_differ_in_a_mirror() -> None:
    assert traits.handed_by_looks(*drawn(5)) == "their mirror images look like other labels"


NOISE = (np.random.default_rng(1).normal(size=(120, 32, 32)), np.arange(120) % 5)


@pytest.mark.parametrize("pictures", [drawn(5, is_mirrored=True), drawn(1), NOISE], ids=["both", "one label", "noise"])
def test_where_it_cannot_be_told_nothing_is_said(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    assert traits.handed_by_looks(*pictures) == ""


def test_near_duplicates_tell_nothing_of_left_and_right() -> None:
    """As the frames of a film, each label of which was seen from one side by chance."""
    rng = np.random.default_rng(0)
    scenes = rng.normal(size=(20, 32, 32))
    pictures = np.repeat(scenes, 6, axis=0) + 0.1 * rng.normal(size=(120, 32, 32))
    assert traits.handed_by_looks(pictures, np.repeat(np.arange(20) % 2, 6)) == ""


def test_a_few_pictures_tell_nothing() -> None:
    pictures, labels = drawn(5)
    assert traits.handed_by_looks(pictures[:16], labels[:16]) == ""


def test_a_single_picture_tells_nothing() -> None:
    assert traits.handed_by_looks(np.zeros((1, 32, 32)), np.array(["cat"])) == ""


def test_handwritten_digits_differ_in_a_mirror() -> None:
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = np.kron(found.images[:200], np.ones((4, 4)))
    assert traits.handed_by_looks(pictures, found.target[:200])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["0", "7"], "labels are digits or letters"),
        (["A", "b", "ж"], "labels are digits or letters"),
        (["hand_left", "hand_right"], "labels name left or right"),
        (["Left hand", "other"], "labels name left or right"),
        (["cat", "bright"], ""),
        (["leftover", "cleft"], ""),
        (["a"], ""),
        (["a", "cat"], ""),
    ],
)
def test_names_of_labels_tell_it_too(labels: list[str], said: str) -> None:
    assert traits.handed_by_name(labels) == said


def collection(folder: Path, images: Iterable[tuple[str, Image.Image]]) -> pl.DataFrame:
    """Images as files: (label, picture) each."""
    rows = []
    for number, (label, picture) in enumerate(images):
        sink = io.BytesIO()
        picture.save(sink, "PNG")
        path = folder / f"{number}.png"
        path.write_bytes(sink.getvalue())
        rows.append((files.md5(sink.getvalue()), label, str(path)))
    return pl.DataFrame(rows, schema=["digest", "label", "path"], orient="row")


def noise(number: int, size: tuple[int, int], is_grey: bool = False) -> Image.Image:
    width, height = size
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert("L").convert("RGB") if is_grey else Image.fromarray(pixels)


def test_sizes_shape_and_colours_are_told(tmp_path: Path) -> None:
    images = [(label, noise(n, (90, 50), is_grey=n < 2)) for n, label in enumerate("aaaab" * 2)]
    seen = traits.look(collection(tmp_path, images), {"a": 8, "b": 2}, LIMITS)
    assert seen is not None
    assert (seen.width, seen.height, seen.side, seen.long, seen.grey, seen.total) == (90, 50, 50, 1.0, 0.2, 10)
    assert seen.handed == "labels are digits or letters"


def test_what_cannot_be_decoded_takes_no_part(tmp_path: Path) -> None:
    table = collection(tmp_path, [("cat", noise(n, (20, 20))) for n in range(3)])
    (tmp_path / "0.png").write_bytes(b"changed meanwhile")
    seen = traits.look(table, {"cat": 3}, LIMITS)
    assert seen is not None
    assert (seen.side, seen.grey) == (20, 0.0)
    for path in table["path"]:
        files.write(tmp_path / path, b"gone")
    assert traits.look(table, {"cat": 3}, LIMITS) is None


def test_a_sample_has_images_of_each_label_and_is_no_larger_than_it_may_be() -> None:
    rows = [(f"{number:05d}", "rare" if number % 500 == 0 else "usual", "") for number in range(5000)]
    many = traits._sample(pl.DataFrame(rows, schema=["digest", "label", "path"], orient="row"))
    assert dict(many.group_by("label").len().iter_rows()) == {"rare": 10, "usual": 100}
    labels = [(f"{number:05d}", f"{number}", "") for number in range(5000)]
    assert len(traits._sample(pl.DataFrame(labels, schema=["digest", "label", "path"], orient="row"))) == traits.SAMPLE
