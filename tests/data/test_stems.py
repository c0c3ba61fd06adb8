"""Names that look like groups, and names that do not."""

import random
import uuid

import polars as pl
import pytest

from pipeline.base import files
from pipeline.data import remarks, stems

LABELS = ("cat", "dog")


def named(*names: str) -> list[tuple[str, str]]:
    """In folders of labels, by turns."""
    return [(f"{LABELS[n % 2]}/{name}", LABELS[n % 2]) for n, name in enumerate(names)]


@pytest.mark.parametrize(
    ("images", "group"),
    [
        (named(*(f"patient{n // 4}_{n % 4:03}.jpg" for n in range(80))), "patient0"),
        (named(*(f"video{n // 10}-frame{n:04}.png" for n in range(200))), "video0"),
        (named(*(f"{n // 4}_{n % 4}.jpg" for n in range(80))), "0"),
        (
            named(*(f"{word}_{n}.jpg" for word in ("red-shoe", "hat", "sock", "belt", "scarf") for n in range(8))),
            "belt",
        ),
        (named(*(f"subject {n // 5} scan {n % 5}.png" for n in range(60))), "subject 0"),
        ([(f"shots/patient{n // 4}/{n}.jpg", "cat") for n in range(80)], "patient0"),
        ([(f"{n // 4}/P{n // 4}_{n}.jpg", LABELS[n % 2]) for n in range(80)], "P0"),
    ],
    ids=["patients", "videos", "numbers", "products", "words", "folders", "letters"],
)
def test_names_with_many_common_stems_give_a_rule_that_groups_them(images, group):
    found = stems.suggested(sorted(images))
    assert found is not None
    assert found.example[1] == group
    paths = pl.Series([path for path, _ in images])
    assert remarks.named_by(paths, found.rule).n_unique() == found.num_groups


@pytest.mark.parametrize(
    "images",
    [
        [],
        named(*(f"patient{n // 4}_{n % 4}.jpg" for n in range(12))),
        named(*(f"IMG_{n:04}.jpg" for n in range(500))),
        named(*(f"DSC{n:05}.JPG" for n in range(500))),
        named(*(f"IMG_{20240501 + n // 50}_{120000 + n}.jpg" for n in range(500))),
        named(*(f"IMG-202405{1 + n // 50:02}-WA{n:04}.jpg" for n in range(500))),
        named(*(f"Screenshot 2024-05-{1 + n // 50:02} 12.{n % 60:02}.00.png" for n in range(500))),
        named(*(f"IMG_{n:04}.jpg" if n % 2 else f"DSC_{n:04}.jpg" for n in range(500))),
        named(*(f"{files.md5(bytes([n]))}.jpg" for n in range(256))),
        named(*(f"{uuid.UUID(int=random.Random(n).getrandbits(128))}.jpg" for n in range(300))),
        named(*(f"{files.md5(bytes([n]))[:6]}.jpg" for n in range(256))),
        named(*(f"{n}.png" for n in range(500))),
        named(*(f"{n:08}.png" for n in range(500))),
        [(f"{label}/{label}_{n:04}.jpg", label) for label in ("car", "bird", "cat", "dog") for n in range(50)],
        [(f"n{label}/n{label}_{n}.JPEG", f"n{label}") for label in range(1440764, 1440784) for n in range(30)],
        [(f"{label}/{label}_{n}.png", str(label)) for label in range(10) for n in range(50)],
        [(f"shots/day{n % 2}/{n}.jpg", LABELS[n % 2]) for n in range(80)],
    ],
    ids=[
        *("none", "few", "camera", "another camera", "dates", "a messenger", "screenshots", "two cameras", "hashes"),
        *("UUIDs", "short hashes", "numbers", "long numbers", "labels", "ImageNet", "digits", "two folders"),
    ],
)  # fmt: skip
def test_names_of_cameras_hashes_numbers_and_labels_are_no_groups(images):
    assert stems.suggested(sorted(images)) is None
