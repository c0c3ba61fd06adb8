"""What later cycles say and do of images that are gone, and of known images that cannot be read any more."""

import io
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faulty_decoders
import numpy as np
import pytest
from PIL import Image
from project import MadeOnce, Project, encoded, picture, pictures

from pipeline.base.files import md5
from pipeline.images import workers
from pipeline.registry import packaging

LARGE = 64
"""Pixels; smaller pictures are near-duplicates only if they are equal."""


def scene(number: int) -> bytes:
    small = np.random.default_rng([number, 5]).integers(0, 256, (6, 6, 3), np.uint8)
    return encoded(Image.fromarray(small).resize((LARGE, LARGE), Image.Resampling.BICUBIC))


def likeness(number: int) -> bytes:
    """A near-duplicate of a scene."""
    return encoded(Image.open(io.BytesIO(scene(number))), "JPEG", quality=90)


@pytest.fixture(scope="module")
def learned(made_once: MadeOnce, empty_database: Path) -> Project:
    """A champion that learned from two batches, one of which has a few scenes."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        project.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
        project.add("first", pictures(range(40), "cat", "dog"))
        project.add("scenes", {"cat": {f"{number}.png": scene(number) for number in range(6)}})
        project.cycle()
        project.promote()

    return made_once("gone", make)


def prepared(project: Project) -> str:
    done = project.upto("prepare")
    assert done.code == 0, done.err
    return done.out


def test_of_two_near_duplicates_under_two_labels_both_are_named(learned: Project, tmp_path: Path) -> None:
    project = learned.copy(tmp_path / "clone")
    project.add("likenesses", {"dog": {"0.jpg": likeness(0)}})
    said = prepared(project)
    assert "prepare: 1 new image with near-duplicates, which share one split\n" in said
    assert (
        "prepare: warning: 'data/images/likenesses/dog/0.jpg' is labelled dog; its near-duplicate "
        "'data/images/scenes/cat/0.png' is labelled cat\n"
    ) in said


def test_a_near_duplicate_that_is_gone_is_not_named(learned: Project, tmp_path: Path) -> None:
    project = learned.copy(tmp_path / "clone")
    split = project.ledger()["scenes/cat/0.png"]["split"]
    project.space.dvc("remove", "--outs", "data/images/scenes.dvc")
    project.add("likenesses", {"dog": {f"{number}.jpg": likeness(number) for number in range(2)}})
    said = prepared(project)
    assert (
        "prepare: 2 new images with near-duplicates, which share one split; those of 2 are gone or set aside\n" in said
    )
    assert "data/images/scenes" not in said
    assert project.ledger()["likenesses/dog/0.jpg"]["split"] == split


def test_a_near_duplicate_that_is_gone_need_not_be_anywhere(learned: Project, tmp_path: Path) -> None:
    """Not what DVC keeps of it either: then nothing can be compared with it."""
    project = learned.copy(tmp_path / "clone")
    project.space.dvc("remove", "--outs", "data/images/scenes.dvc")
    for number in range(6):
        digest = md5(scene(number))
        for kept in (".dvc/cache/files/md5", "store/remote/files/md5"):
            (project.root / kept / digest[:2] / digest[2:]).unlink(missing_ok=True)
    project.add("likenesses", {"dog": {f"{number}.jpg": likeness(number) for number in range(2)}})
    assert "near-duplicate" not in prepared(project)


def test_labels_and_places_of_near_duplicates_are_those_of_now(learned: Project, tmp_path: Path) -> None:
    """Both are relabelled in the very cycle that sees the likeness."""
    project = learned.copy(tmp_path / "clone")
    (project.root / "data/images/scenes/dog").mkdir()
    for number in range(2):
        (project.root / f"data/images/scenes/cat/{number}.png").rename(
            project.root / f"data/images/scenes/dog/moved-{number}.png"
        )
    project.track("scenes")
    project.add("likenesses", {"dog": {"0.jpg": likeness(0)}, "cat": {"1.jpg": likeness(1)}})
    warnings = [line for line in prepared(project).splitlines() if " is labelled " in line]
    assert warnings == [
        "prepare: warning: 'data/images/likenesses/cat/1.jpg' is labelled cat; its near-duplicate "
        "'data/images/scenes/dog/moved-1.png' is labelled dog"
    ]


def test_a_copy_of_an_image_that_is_gone_is_not_said_to_carry_its_label(learned: Project, tmp_path: Path) -> None:
    project = learned.copy(tmp_path / "clone")
    project.remove("first/cat/3.png")
    project.track("first")
    project.add("second", {"dog": {"3.png": picture(3, "cat")}})
    said = prepared(project)
    assert project.aside() == {}
    assert "first/cat/3.png" not in said
    assert project.ledger()["second/dog/3.png"]["label"] == "dog"


def torn(number: int, label: str) -> bytes:
    """A copy that was cut off on a file of full size: Pillow reads it."""
    content = picture(number, label, side=64)
    return content[:-4000] + bytes(4000)


def trusting_sources(sources: Callable[[str], dict[str, bytes]]) -> Callable[[str], dict[str, bytes]]:
    """The code that goes along with a version refuses no damage either."""

    def changed(architecture: str) -> dict[str, bytes]:
        found = sources(architecture)
        found["pipeline/images/damage.py"] += b"\n\ndef refuse(*_):\n    pass\n"
        return found

    return changed


@pytest.fixture(scope="module")
def trusting(made_once: MadeOnce, empty_database: Path) -> Project:
    """A champion whose decoder accepted damaged images."""

    def make(root: Path) -> None:
        project = Project.create(root, empty_database)
        images = pictures(range(40), "cat", "dog")
        for label in images:
            images[label] |= {f"torn-{number}.png": torn(number, label) for number in range(8)}
        project.add("first", images)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(workers, "look", partial(workers.look, _decode=faulty_decoders.trust))
            patch.setattr(packaging, "_sources", trusting_sources(packaging._sources))
            done = project.upto("promote")
        assert done.code == 0, done.err
        assert project.aside() == {}
        project.promote()
        shutil.rmtree(root / "data/scratch/pixels")

    return made_once("trusting", make)


def test_known_images_that_a_stricter_decoder_refuses_stop_the_cycle_once_each_with_its_reason(
    trusting: Project, tmp_path: Path
) -> None:
    project = trusting.copy(tmp_path / "clone")
    project.add("second", pictures(range(100, 110), "cat", "dog"))
    done = project.upto("prepare")
    named = sorted(set(re.findall(r"'data/images/first/(\S+)' cannot be decoded any more: damaged PNG: ", done.out)))
    assert len(named) == 16, "of all splits at once"
    assert re.fullmatch(
        r"prepare: error: 16 images accepted once cannot be decoded now, e\.g\. "
        r"'data/images/first/cat/torn-0\.png' \(damaged PNG: .+\); export them again or remove them, `dvc add` their "
        r"batch and commit; if a limit refuses them, raise it in section validate of params\.yaml",
        done.error,
    )

    for number, name in enumerate(named):
        if number % 2:
            project.remove(f"first/{name}")
        else:
            project.write(f"first/{name}", picture(200 + number, name[:3], side=64))
    project.space.params(detect={"max_removed": 1.0, "max_removed_of_label": 1.0})
    project.track("first")
    project.cycle()
    assert set(project.ledger()) >= {f"first/{name}" for name in named[::2]}
