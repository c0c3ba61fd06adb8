"""Pictures for the tests of this room."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photograph() -> Callable[[np.random.Generator, int, int], Image.Image]:
    """Noise in which coarse structures are the strongest, as in photographs: `photograph(rng, width, height)`."""

    def drawn(rng: np.random.Generator, width: int, height: int) -> Image.Image:
        coarse = [Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)) for side in (4, 9, 40)]
        layers = [np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC), float) for layer in coarse]
        return Image.fromarray(np.average(layers, axis=0, weights=(5, 3, 1)).astype(np.uint8))

    return drawn
