"""The model that is served: encoded images in, labels and probabilities out.

It goes along with each version, under a package name of its own; `registry.entry` calls it there.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import openapi
from pipeline.artifacts.model import Description
from pipeline.base.errors import ModelError, UnreadableError
from pipeline.images import decoding as images
from pipeline.images.decoding import View
from pipeline.judging import metrics
from pipeline.judging.settings import MIN_PROBABILITY
from pipeline.learning import model

BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*={0,2}\s*")
"""Bytes that are text in base64: no file in a format of `images.sniffing` is of these signs alone."""


class UnansweredError(ValueError):
    """A request that cannot be answered; the words are for whoever asked."""


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
            UnansweredError: an image cannot be decoded; names the rows. Or min_probability is no probability.
        """
        least = (params or {}).get(MIN_PROBABILITY, 0.0)
        if not 0 <= least <= 1:
            remedy = "leave it out for that of the version"
            raise UnansweredError(f"{MIN_PROBABILITY} is {least}; expected 0 to 1; {remedy}")
        (size, _, channels), fit = self._description.image_shape, self._description.fit
        looked = [_look(value, View(size, channels, fit)) for value in model_input["image"]]
        faults = [f"row {row}: {seen}" for row, seen in enumerate(looked) if isinstance(seen, str)]
        if faults:
            raise UnansweredError(f"{len(faults)} of {len(looked)} images cannot be decoded: {'; '.join(faults[:3])}")
        if not looked:
            return pd.DataFrame({"label": pd.Series([], dtype=object), "probability": pd.Series([], dtype=float)})
        pixels = np.stack(looked)
        logits = model.logits(self._network, pixels, 256)
        probability = metrics.probabilities(logits, self._description.temperature).max(axis=1)
        labels = [
            self._description.labels[number] if one >= least else None
            for number, one in zip(logits.argmax(axis=1), probability, strict=True)
        ]
        # In a column of texts None would become NaN, which JSON does not have.
        return pd.DataFrame({"label": pd.Series(labels, dtype=object), "probability": probability})

    def described(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """What a server says of itself, with what a request holds; see `openapi.described`."""
        return openapi.described(schema, self._description.labels)


def _look(value: object, view: View) -> np.ndarray | str:
    """Pixels of an image, or why it is none."""
    if not isinstance(value, (bytes, str)):
        return f"expected a file's bytes, or base64 text, and this is {type(value).__name__}"
    content = value.encode(errors="replace") if isinstance(value, str) else value
    # MLflow decodes base64 of some kinds of requests, and of others it hands it over as bytes.
    if isinstance(value, str) or BASE64.fullmatch(content):
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            return "no base64; expected a file's bytes in base64, with nothing before them"
    facts, pixels = images.look(content, view)
    return facts.error if pixels is None else pixels
