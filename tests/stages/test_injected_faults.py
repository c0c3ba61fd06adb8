"""Faulty images, one cycle after another: each costs itself, is listed with its reason, and enters once it is right.

The rows of the table of faults are in the research that this project began with; here each goes through resolve,
detect, validate and prepare of a real project.
"""

import unicodedata
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from project import Done, Project, encoded, picture, pictures

from benchmarks import corpus
from pipeline.data import dataset
from pipeline.images import pictures as kept

FILES = corpus.corpus() | {"slow.jpg": corpus.slow_jpeg(4000, 4000)}

REFUSED = {
    "empty.jpg": "empty file",
    "text.jpg": "a text file; expected JPEG, PNG, WEBP or BMP",
    "page.jpg": "an HTML page",
    "lfs_pointer.jpg": "a Git LFS pointer, not the image itself",
    "half.jpg": "image file is truncated",
    "half.png": "image file is truncated",
    "half.webp": "damaged WEBP",
    "flipped_bit.png": "damaged PNG",
    "noise.jpg": "not an image, or damaged at its beginning",
    "gif_named.jpg": "a GIF file; expected JPEG, PNG, WEBP or BMP",
    "scan.tiff": "a TIFF file",
    "phone.heic": "a HEIC file",
    "not_a_number.tiff": "a TIFF file",
    "picture.svg": "an SVG file",
    "archive.jpg": "a ZIP file",
    "moving.png": "animated, 4 frames; expected a single picture",
    "moving.webp": "animated, 4 frames",
    "pages.tiff": "a TIFF file",
    "one_pixel.png": "width is 1; expected that widths are between 8 and 10000",
    "sliver.png": "width is 1; expected that widths are between 8 and 10000",
    "bomb_header.png": "60000 x 60000 pixels, more than 64,000,000",
    "bomb_over_the_cap.png": "8001 x 8000 pixels, more than 64,000,000",
    "bomb_at_the_cap.png": "needs more than 256 MB of memory",
    "bomb_text.png": "Decompressed data too large",
    "slow.jpg": "took more than 1 s of CPU time",
}
"""File to what its reason says."""

UNSAFE = {
    "-rf.png": "starts with -",
    "two\nlines.png": r"its name holds '\n', which cannot be seen",
    "\u202egnp.exe.png": r"its name holds '\u202e', which cannot be seen",
    "bell\x07.png": r"its name holds '\x07', which cannot be seen",
    f"{'long' * 50}.png": "its name has 204 bytes, more than 200",
    unicodedata.normalize("NFD", "é.png"): "not in Unicode's normal form C",
    "Same.png": "is the same name on macOS and Windows",
    "same.png": "is the same name on macOS and Windows",
}
"""File name to what the reason says; the images are faultless."""

READ = {
    "cmyk.jpg": "CMYK",
    "palette.png": "P",
    "palette_clear.png": "P",
    "grey_alpha.png": "LA",
    "alpha.png": "RGBA",
    "alpha.webp": "RGBA",
    "one_bit.png": "1",
    "sixteen_bit_grey.png": "I;16",
    "grey.jpg": "L",
    "mpo.jpg": "RGB",
    "rgb.bmp": "RGB",
    "broken_exif.jpg": "RGB",
    "broken_profile.jpg": "RGB",
}
"""File to its mode; made canonical, not set aside."""

WARNED = {
    "png_named.jpg": (FILES["png_named.jpg"], "file names end as their contents are"),
    "flat.png": (FILES["flat.png"], "contrast is at least"),
    "black.png": (encoded(Image.new("RGB", (40, 40))), "brightness is between"),
    "long.png": (encoded(Image.linear_gradient("L").resize((200, 10))), "sides are at most 1 : 10"),
}
"""File to its bytes and what is warned of; accepted."""

LEFT_BEHIND = (".DS_Store", "Thumbs.db", "._1.png", "desktop.ini", "notes.txt", "__MACOSX/._1.png")

TURNED = {
    f"turned_{way}.png": encoded(Image.open(BytesIO(FILES["rgb.png"])), exif=corpus.turned(way)) for way in (1, 6)
}


@dataclass
class State:
    """What one cycle said and left behind."""

    done: Done
    aside: dict[str, str]
    accepted: set[str]
    labels: dict[str, str]
    report: dict = field(repr=False)


def take(project: Project) -> State:
    done = project.cycle()
    project.promote()
    present = {path: row["label"] for path, row in project.ledger().items() if not row["removed"]}
    report = project.space.read("validation/report.json")
    return State(done, project.aside(), project.accepted(), present, report)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Project:
    made = Project.create(tmp_path_factory.mktemp("faults") / "clone", empty_database)
    made.space.params(validate={"max_quarantined_images": 60, "max_seconds": 1, "max_memory": 256, "max_side": 10000})
    return made


@pytest.fixture(scope="module")
def first(project: Project) -> State:
    """Thirty good images of each label, and every fault there is."""
    project.space.put("first", pictures(range(30), "cat", "dog"))
    files = {name: FILES[name] for name in [*REFUSED, *READ]}
    files |= {name: picture(100 + number) for number, name in enumerate(UNSAFE)}
    files |= {name: content for name, (content, _) in WARNED.items()} | TURNED
    project.space.put("odd", {"cat": files})
    project.write("odd/cat/__MACOSX/._1.png", b"Mac")
    for name in LEFT_BEHIND:
        project.write(f"odd/cat/{name}", b"left behind by a system")
    project.track("first", "odd")
    return take(project)


def test_the_good_images_go_on(first: State) -> None:
    assert {path for path in first.labels if path.startswith("first/")} == {
        f"first/{label}/{number}.png" for label in ("cat", "dog") for number in range(30)
    }
    assert "is the new champion" in first.done.out


@pytest.mark.parametrize("name", REFUSED)
def test_a_faulty_image_is_set_aside_with_its_reason(first: State, name: str) -> None:
    assert REFUSED[name] in first.aside[f"odd/cat/{name}"]
    assert f"odd/cat/{name}" not in first.labels


@pytest.mark.parametrize("name", UNSAFE, ids=ascii)
def test_an_image_with_an_unsafe_name_is_set_aside_with_its_reason(first: State, name: str) -> None:
    assert UNSAFE[name] in first.aside[f"odd/cat/{name}"]
    assert f"odd/cat/{name}" not in first.labels


def test_nothing_else_is_set_aside(first: State) -> None:
    assert set(first.aside) == {f"odd/cat/{name}" for name in [*REFUSED, *UNSAFE]}


@pytest.mark.parametrize("name", READ)
def test_an_unusual_image_is_accepted(first: State, name: str) -> None:
    assert f"odd/cat/{name}" in first.labels


@pytest.mark.parametrize("name", WARNED)
def test_an_image_that_looks_odd_is_accepted_with_a_warning(first: State, name: str) -> None:
    assert f"odd/cat/{name}" in first.labels
    (warning,) = [line for line in first.report["warnings"] if WARNED[name][1] in line]
    assert "odd/cat/" in warning


def test_what_systems_leave_behind_takes_no_part(first: State) -> None:
    assert not any(Path(path).name in LEFT_BEHIND for path in [*first.labels, *first.aside])


def test_no_raw_name_reaches_screen_or_page(project: Project, first: State) -> None:
    page = (project.root / "data/cycle/validation/page.html").read_text()
    report = (project.root / "data/cycle/report.md").read_text()
    for text in (page, report, first.done.out):
        for hostile in ("\u202e", "\x07", "two\nlines"):
            assert hostile not in text


def test_the_report_lists_what_is_set_aside_and_why(project: Project, first: State) -> None:
    assert first.report["success"]
    assert first.report["counts"]["quarantined"] == len(first.aside)
    assert {
        row["path"].removeprefix("data/images/"): row["reason"] for row in first.report["quarantined"]
    } == first.aside
    shown = kept.read(project.root / "data/cycle/validation/pictures.parquet")
    aside = {row["digest"] for row in first.report["quarantined"]}
    assert set(shown) & aside, "some of them can be decoded"
    assert aside - set(shown), "and some cannot"
    assert f"and {len(first.aside) - 5} more are set aside; see the report" in first.done.out


def test_set_aside_images_stay_where_the_user_put_them(project: Project, first: State) -> None:
    for name in first.aside:
        assert (project.root / "data/images" / name).is_file()


def test_an_image_is_turned_as_its_exif_says_before_it_is_learned(project: Project, first: State) -> None:
    assert {f"odd/cat/{name}" for name in TURNED} <= set(first.labels)
    images, ledger = dataset.read(project.root / "data/cycle/dataset"), project.ledger()
    pixels = {}
    for name in TURNED:
        row = ledger[f"odd/cat/{name}"]
        part = images.part(row["split"])
        pixels[name] = part.inputs[list(part.digests).index(row["digest"])]
    one, six = pixels.values()
    assert np.abs(np.rot90(one, -1).astype(int) - six).mean() < 3


@pytest.fixture(scope="module")
def second(project: Project, first: State) -> State:
    """A new batch; nothing was done about the faults."""
    assert first.aside
    project.add("second", pictures(range(200, 206), "cat", "dog"))
    return take(project)


def test_what_is_set_aside_stays_listed_while_it_is_there(first: State, second: State) -> None:
    assert second.aside == first.aside
    assert second.accepted == {f"second/{label}/{number}.png" for label in ("cat", "dog") for number in range(200, 206)}
    assert f"{len(first.aside)} images are tried again that did not pass before" in second.done.out


@pytest.fixture(scope="module")
def third(project: Project, second: State) -> State:
    """Some faults are mended, some removed, and a threshold is lowered."""
    assert second.aside
    project.write("odd/cat/half.jpg", FILES["rgb.jpg"])
    project.write("odd/cat/empty.jpg", picture(150, kind="JPEG"))
    project.remove("odd/cat/text.jpg", "odd/cat/Same.png")
    (project.root / "data/images/odd/cat/-rf.png").rename(project.root / "data/images/odd/cat/rf.png")
    project.track("odd")
    project.space.params(validate={"max_side": 20_000, "min_side": 1})
    return take(project)


def test_an_image_enters_by_itself_once_its_bytes_are_right(third: State) -> None:
    assert {"odd/cat/half.jpg", "odd/cat/empty.jpg"} <= third.accepted & set(third.labels)


def test_an_image_enters_by_itself_once_its_name_is_right(third: State) -> None:
    assert {"odd/cat/rf.png", "odd/cat/same.png"} <= third.accepted & set(third.labels)


def test_an_image_enters_by_itself_once_a_threshold_lets_it(third: State) -> None:
    assert {"odd/cat/one_pixel.png", "odd/cat/sliver.png"} <= third.accepted & set(third.labels)


def test_what_is_mended_or_removed_disappears_from_the_list_and_nothing_else_does(second: State, third: State) -> None:
    right = {"half.jpg", "empty.jpg", "-rf.png", "same.png", "one_pixel.png", "sliver.png"}
    gone = {f"odd/cat/{name}" for name in [*right, "text.jpg", "Same.png"]}
    assert third.aside == {path: reason for path, reason in second.aside.items() if path not in gone}


def test_a_mended_image_is_no_removal(project: Project, third: State) -> None:
    assert third.report["counts"]["removed"] == 0
    assert not any("removed" in warning for warning in third.report["warnings"])
    assert project.delta("removed") == set()


@pytest.fixture(scope="module")
def fourth(project: Project, third: State) -> State:
    """A threshold is raised again: what is in already is not judged anew."""
    assert third.aside
    project.space.params(validate={"min_side": 8})
    project.add("fourth", pictures(range(300, 306), "cat", "dog"))
    return take(project)


def test_a_stricter_threshold_sets_no_old_image_aside(third: State, fourth: State) -> None:
    assert fourth.aside == third.aside
    assert "odd/cat/one_pixel.png" in fourth.labels
