"""Distortions: one picture cropped, recoloured or distorted at random, by Pillow. Pure.

It is Pillow's second home: what is distorted was decoded long before, and the room of decoding trains nothing.
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from pipeline.learning.settings import Augmentation

ASPECT = 4 / 3
"""Of a crop at most, beside the picture's own; its inverse is the least (Szegedy et al. 2014, arXiv:1409.4842)."""

DEGREES, SHEAR, TRANSLATION, SHARPNESS = 30.0, 0.3, 0.2, 0.9
"""What RandAugment does, up or down, at most: rotation; shear, as a slope; translation, as a share of width and height;
sharpness, beside the factor 1."""

LEAST_BITS, LEAST_THRESHOLD = 4, 128
"""Bits that posterizing leaves of 8, and the value from which solarizing inverts."""

GREY = 128
"""What comes in at the edge."""


def distorted(pixels: "np.ndarray", settings: "Augmentation", rng: "np.random.Generator") -> "np.ndarray":
    """Crop, then distort, then recolour a picture, as far as the settings ask for it.

    Args:
        pixels: uint8 (height, width, channels), 1 or 3 channels.
        settings: crop, colour and rand_augment count.
        rng: draws.
    """
    import numpy as np
    from PIL import Image, ImageEnhance

    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if settings.crop:
        box = crop_box(*picture.size, settings.crop, rng)
        picture = picture.resize(picture.size, Image.Resampling.BILINEAR, box)
    for operation in rng.integers(len(OPERATIONS), size=settings.rand_augment):
        picture = OPERATIONS[operation](picture, rng)
    if settings.colour:
        for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhancer(picture).enhance(rng.uniform(1 - settings.colour, 1 + settings.colour))
    return np.asarray(picture).reshape(pixels.shape)


def crop_box(width: int, height: int, least: float, rng: "np.random.Generator") -> tuple[float, float, float, float]:
    """Draw a crop: its area first, then one of the aspects with which it fits in, then its place; each is uniform.

    Args:
        width, height: of the picture, pixels.
        least: share of the area that it has at least, above 0, to 1.
        rng: draws.

    Returns:
        Left, top, right and bottom, in pixels and parts of them.
    """
    area = rng.uniform(least, 1)
    most = math.log(min(ASPECT, 1 / area))
    aspect = math.exp(rng.uniform(-most, most))  # as likely so much wider as so much higher
    across, down = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
    left, top = (1 - across) * rng.random(), (1 - down) * rng.random()
    # What is rounded up must not lie outside.
    return left * width, top * height, min(left + across, 1) * width, min(top + down, 1) * height


def _rotate(picture: "Image", rng: "np.random.Generator") -> "Image":
    from PIL.Image import Resampling

    return picture.rotate(rng.uniform(-DEGREES, DEGREES), Resampling.BILINEAR, fillcolor=_grey(picture))


def _shear(picture: "Image", rng: "np.random.Generator") -> "Image":
    """To the side or upwards; the centre stays where it is."""
    slope = rng.uniform(-SHEAR, SHEAR)
    if rng.random() < 0.5:
        return _affine(picture, (1, slope, -slope * picture.height / 2, 0, 1, 0))
    return _affine(picture, (1, 0, 0, slope, 1, -slope * picture.width / 2))


def _translate(picture: "Image", rng: "np.random.Generator") -> "Image":
    """By whole pixels, for which Pillow takes a thirtieth of the time."""
    from PIL.Image import Resampling, Transform

    right, down = (round(side * rng.uniform(-TRANSLATION, TRANSLATION)) for side in picture.size)
    by = (1, 0, right, 0, 1, down)
    return picture.transform(picture.size, Transform.AFFINE, by, Resampling.NEAREST, fillcolor=_grey(picture))


def _posterize(picture: "Image", rng: "np.random.Generator") -> "Image":
    from PIL import ImageOps

    return ImageOps.posterize(picture, int(rng.integers(LEAST_BITS, 8)))


def _solarize(picture: "Image", rng: "np.random.Generator") -> "Image":
    from PIL import ImageOps

    return ImageOps.solarize(picture, int(rng.integers(LEAST_THRESHOLD, 256)))


def _equalize(picture: "Image", _: "np.random.Generator") -> "Image":
    from PIL import ImageOps

    return ImageOps.equalize(picture)


def _autocontrast(picture: "Image", _: "np.random.Generator") -> "Image":
    from PIL import ImageOps

    return ImageOps.autocontrast(picture)


def _sharpen(picture: "Image", rng: "np.random.Generator") -> "Image":
    """Or soften."""
    from PIL import ImageEnhance

    return ImageEnhance.Sharpness(picture).enhance(rng.uniform(1 - SHARPNESS, 1 + SHARPNESS))


def _affine(picture: "Image", affine: tuple[float, ...]) -> "Image":
    from PIL.Image import Resampling, Transform

    return picture.transform(picture.size, Transform.AFFINE, affine, Resampling.BILINEAR, fillcolor=_grey(picture))


def _grey(picture: "Image") -> tuple[int, ...]:
    return (GREY,) * len(picture.getbands())


OPERATIONS = (_rotate, _shear, _translate, _posterize, _solarize, _equalize, _autocontrast, _sharpen)
"""Of RandAugment, which draws among them, each time anew (Cubuk et al. 2019, arXiv:1909.13719). Brightness, contrast
and colour are left to `train.colour`. Magnitudes are drawn, up to a moderate one."""
