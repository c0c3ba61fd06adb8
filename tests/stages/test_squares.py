"""Pictures of any shape, fitted to a square as params.yaml says; each version goes on seeing them as it was trained."""

import io

import pytest
from PIL import Image
from project import Project, encoded, picture, pictures

pytestmark = pytest.mark.project  # its cycles train

SIZES = ((40, 30), (30, 40), (100, 10), (10, 100), (20, 20))


def photographs(numbers: range) -> dict[str, dict[str, bytes]]:
    """Pictures of many aspects, one in three turned by its EXIF."""
    exif = Image.Exif()
    exif[0x0112] = 6

    def one(number: int, label: str) -> bytes:
        image = Image.open(io.BytesIO(picture(number, label))).resize(SIZES[number % len(SIZES)])
        return encoded(image, "JPEG", **({"exif": exif} if number % 3 == 0 else {}))

    return {label: {f"{number}.jpg": one(number, label) for number in numbers} for label in ("cat", "dog")}


def test_a_champion_of_another_fit_is_judged_by_the_pixels_that_it_was_trained_on(project: Project) -> None:
    project.space.params(prepare={"fit": "pad"}, evaluate={"suspicious": 0.5001})
    project.add("first", photographs(range(40)))
    project.cycle()
    assert project.space.read("model/model.json")["fit"] == "pad"

    project.space.params(prepare={"fit": "stretch"}, train={"start": "cold"})
    project.add("second", photographs(range(100, 120)))
    project.cycle()
    folder = project.root / "data/cycle/dataset"
    assert sorted(path.name for path in folder.glob("holdout*.npy")) == [
        "holdout-8x8x3-pad.npy",
        "holdout-8x8x3-stretch.npy",
    ]
    assert project.space.read("model/model.json")["fit"] == "stretch"
    assert project.space.read("evaluation.json")["champion"]["accuracy"] > 0.4
    assert project.suspicious() == [], "its opinion is of other pixels than are there"

    project.promote()
    project.space.params(train={"start": "warm"})
    project.add("third", photographs(range(200, 220)))
    done = project.cycle()
    assert "warm start" in done.out
    assert project.space.read("model/model.json")["fit"] == "stretch"


def test_what_the_warnings_of_the_shapes_advise_can_be_followed(project: Project) -> None:
    """To the letter: after that they are silent, and the cycle is one like any other."""

    def wide(content: bytes) -> bytes:
        return encoded(Image.open(io.BytesIO(content)).resize((140, 70)))

    def add(batch: str, numbers: range) -> None:
        images = pictures(numbers, "cat", "dog")
        project.add(batch, {label: {name: wide(images[label][name]) for name in images[label]} for label in images})

    add("first", range(40))
    done = project.cycle()
    said = [line for line in done.out.splitlines() if "cannot be continued" in line]
    advised = [line.partition("; set ")[2].partition(" (")[0] for line in said]
    assert sorted(advised) == ["prepare.fit: pad", "prepare.image_size: 32"]
    assert all(line.removeprefix("validate: warning: ") in project.warnings() for line in said)
    page = (project.root / "data/cycle/validation/page.html").read_text()
    assert page.count("set prepare.fit: pad") == 1

    add("second", range(100, 120))
    project.space.params(prepare={"image_size": 32, "fit": "pad"})
    assert "cannot start from v1" in project.run("resolve").error
    project.space.params(train={"start": "cold"})
    again = project.cycle()
    assert "cannot be continued" not in again.out
    assert project.warnings() == []
    made = project.space.read("model/model.json")
    assert (made["image_shape"], made["fit"]) == ([32, 32, 3], "pad")
