"""The README of an export: its code makes the pixels that the model was trained on."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.exported import Checked, Exported
from pipeline.images import decoding
from pipeline.showing import manual

CHECKED = Checked(holdout=100, noise=0, largest_difference=2.3e-7, tolerance=0.001)


def exported(**changes: Any) -> Exported:
    usual = {
        "format": "onnx", "file": "model.onnx", "registered_model": "evergreen", "version": 7, "run_key": "key",
        "labels": ("cat", "dog"), "input": "pixels", "image_shape": (16, 16, 3), "fit": "crop",
        "output": "probabilities", "min_probability": 0.0, "checked": CHECKED,
    }  # fmt: skip
    return Exported(**usual | changes)


def seen(readme: str, photo: bytes, folder: Path) -> np.ndarray:
    """What the code in a README makes of a picture, without what runs the model."""
    (folder / "photo.jpg").write_bytes(photo)
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    lines = [line for line in code.splitlines() if not any(word in line for word in ("onnx", "model", "labels"))]
    made: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec("\n".join(lines), made)  # noqa: S102 - our own text
    return np.asarray(made["pixels"][0])


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (16, 16), (300, 7), (5, 9)], ids=str)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [3, 1])
def test_its_code_makes_the_pixels_that_the_version_sees(
    draw: Callable[..., bytes], tmp_path: Path, channels: int, fit: str, size: tuple[int, int]
) -> None:
    photo = draw("JPEG", size=size)
    readme = manual.readme(exported(fit=fit, image_shape=(16, 16, channels)))
    np.testing.assert_array_equal(seen(readme, photo, tmp_path), decoding.decode(photo, 16, channels, fit))


def test_a_picture_is_turned_as_its_exif_says(draw: Callable[..., bytes], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = draw("JPEG", size=(40, 30), exif=exif)
    found = seen(manual.readme(exported()), photo, tmp_path)
    np.testing.assert_array_equal(found, decoding.decode(photo, 16, 3, "crop"))
    assert (found != decoding.decode(draw("JPEG", size=(40, 30)), 16, 3, "crop")).any()


@pytest.mark.parametrize(
    ("holdout", "noise", "words"),
    [
        (100, 0, "On 100 holdout images its labels"),
        (1, 99, "On 1 holdout image and 99 images of noise its labels"),
        (0, 100, "On 100 images of noise its labels"),
    ],
)
def test_it_says_what_the_model_was_compared_on(holdout: int, noise: int, words: str) -> None:
    checked = Checked(holdout=holdout, noise=noise, largest_difference=2.3e-7, tolerance=0.001)
    readme = manual.readme(exported(checked=checked))
    assert words in readme
    assert "differ by 2e-07 at most (0.001 is tolerated)" in readme


def test_it_says_below_which_probability_there_is_no_label() -> None:
    assert "Below a probability of 0.6 the version" in manual.readme(exported(min_probability=0.6))
    assert "Below" not in manual.readme(exported())
