"""The model that is served: encoded images in, labels and probabilities out.

It goes along with each version, under a package name of its own; `registry.entry` calls it there.
"""

import base64
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts.model import Description
from pipeline.base.errors import ModelError, UnreadableError
from pipeline.images import decoding as images
from pipeline.judging import metrics
from pipeline.judging.settings import MIN_PROBABILITY
from pipeline.learning import model


class Classifier:
    """Decodes with the one decoder of the pipeline, so that it sees what training saw."""

    def __init__(self, description: Path, weights: Path) -> None:
        """Build the model from its description and fill in its weights.

        Raises:
            ValueError: a file is damaged, or no model can be made of them.
        """
        try:
            self._description = Description.read(description)
            with model.standard():
                self._network = model.load(self._description, weights, "registered model")
        except UnreadableError as error:
            raise ValueError(
                f"a file of this model version is damaged: {error.what}; fetch it again, and if it still is, "
                "restore the files of its run from a backup or serve another version"
            ) from None
        except ModelError as error:
            raise ValueError(f"no model can be made of the files of this version: {error}; serve another one") from None

    def predict(self, model_input: pd.DataFrame, params: dict[str, float] | None = None) -> pd.DataFrame:
        """Classify images.

        Args:
            model_input: a column `image` of bytes, or of base64 text as REST clients send it.
            params: `min_probability`, 0 to 1: an image whose label has less gets no label. MLflow passes that of the
                version where a request names none.

        Returns:
            Columns label (None: no answer) and probability, 0 to 1, calibrated: one row per image.

        Raises:
            ValueError: an image cannot be decoded; names the rows. Or min_probability is no probability.
        """
        least = (params or {}).get(MIN_PROBABILITY, 0.0)
        if not 0 <= least <= 1:
            raise ValueError(f"{MIN_PROBABILITY} is {least}; expected 0 to 1; leave it out for that of the version")
        (size, _, channels), fit = self._description.image_shape, self._description.fit
        contents = [_bytes(value) for value in model_input["image"]]
        facts = [images.inspect(content) for content in contents]
        faults = [f"row {row}: {fact.error}" for row, fact in enumerate(facts) if fact.error]
        if faults:
            raise ValueError(f"{len(faults)} of {len(contents)} images cannot be decoded: {'; '.join(faults[:3])}")
        pixels = np.stack([images.decode(content, size, channels, fit) for content in contents])
        logits = model.logits(self._network, pixels, 256)
        probability = metrics.probabilities(logits, self._description.temperature).max(axis=1)
        labels = [
            self._description.labels[number] if one >= least else None
            for number, one in zip(logits.argmax(axis=1), probability, strict=True)
        ]
        # In a column of texts None would become NaN, which JSON does not have.
        return pd.DataFrame({"label": pd.Series(labels, dtype=object), "probability": probability})


def _bytes(value: bytes | str) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else value
