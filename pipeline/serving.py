"""The model as MLflow serves it: encoded images in, labels and probabilities out.

MLflow runs this file when it loads a version (`models from code`), with the package beside it.
"""

import base64
import binascii
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from pipeline.artifacts.model import Description
from pipeline.base.errors import UnreadableError
from pipeline.images import decoding as images
from pipeline.images.decoding import View
from pipeline.judging import metrics
from pipeline.judging.settings import MIN_PROBABILITY
from pipeline.learning import model
from pipeline.showing import openapi

SERVER = "mlflow.pyfunc.scoring_server.app"
"""The module that MLflow's server consists of: it loads the model first, and makes its application then."""

BASE64 = re.compile(rb"[A-Za-z0-9+/\s]*={0,2}\s*")
"""Bytes that are text in base64: no file in a format of `images.sniffing` is of these signs alone."""


class BadRequestError(MlflowException, ValueError):  # type: ignore[misc]
    """A request that cannot be answered. MLflow's server gives it as status 400 with these words, and no traceback."""

    def __init__(self, words: str) -> None:
        MlflowException.__init__(self, words, error_code=INVALID_PARAMETER_VALUE)
        self._words = words

    def serialize_as_json(self) -> str:
        """What the server answers."""
        self.message = self._words  # it has put all that was sent before them
        return str(super().serialize_as_json())


class Classifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Decodes with the one decoder of the pipeline, so that it sees what training saw."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Build the model from its description and fill in its weights.

        Raises:
            ValueError: a file of the version is damaged.
        """
        try:
            self._description = Description.read(Path(context.artifacts["model"]))
            with model.standard():
                self._network = model.load(self._description, Path(context.artifacts["weights"]), "registered model")
        except UnreadableError as error:
            raise ValueError(
                f"a file of this model version is damaged: {error.what}; fetch it again, and if it still is, "
                "restore the files of its run from a backup or serve another version"
            ) from None
        if SERVER in sys.modules:
            _show_requests(self._description.labels)

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,  # noqa: ARG002 - MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, float] | None = None,
    ) -> pd.DataFrame:
        """Classify images.

        Args:
            context: of MLflow.
            model_input: a column `image` of bytes, or of base64 text as REST clients send it.
            params: `min_probability`, 0 to 1: an image whose label has less gets no label. MLflow passes that of the
                version where a request names none.

        Returns:
            Columns label (None: no answer) and probability, 0 to 1, calibrated: one row per image.

        Raises:
            BadRequestError: an image cannot be decoded; names the rows. Or min_probability is no probability.
        """
        least = (params or {}).get(MIN_PROBABILITY, 0.0)
        if not 0 <= least <= 1:
            raise BadRequestError(
                f"{MIN_PROBABILITY} is {least}; expected 0 to 1; leave it out for that of the version"
            )
        (size, _, channels), fit = self._description.image_shape, self._description.fit
        looked = [_look(value, View(size, channels, fit)) for value in model_input["image"]]
        faults = [f"row {row}: {seen}" for row, seen in enumerate(looked) if isinstance(seen, str)]
        if faults:
            raise BadRequestError(f"{len(faults)} of {len(looked)} images cannot be decoded: {'; '.join(faults[:3])}")
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


def _show_requests(labels: Sequence[str]) -> None:
    """Let the docs page of the server that this process is say what a request holds.

    MLflow's application takes any body, and so shows none. It does not exist yet: where FastAPI lets an application
    describe itself in another way, all of this process do; `openapi.described` changes only MLflow's.
    """
    import fastapi

    plain = fastapi.FastAPI.openapi

    def described(self: fastapi.FastAPI) -> dict[str, Any]:
        return openapi.described(plain(self), labels)

    fastapi.FastAPI.openapi = described  # type: ignore[method-assign]


mlflow.models.set_model(Classifier())
