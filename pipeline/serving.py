"""The model as MLflow serves it: encoded images in, labels and probabilities out.

MLflow runs this file when it loads a version (`models from code`), with the package beside it.
"""

import base64
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from pipeline.artifacts.model import Description
from pipeline.base.errors import UnreadableError
from pipeline.images import decoding as images
from pipeline.judging import metrics
from pipeline.learning import model


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

    def predict(
        self,
        context: mlflow.pyfunc.PythonModelContext,  # noqa: ARG002 - MLflow passes it
        model_input: pd.DataFrame,
        params: dict[str, object] | None = None,  # noqa: ARG002 - MLflow passes it
    ) -> pd.DataFrame:
        """Classify images.

        Args:
            context: of MLflow.
            model_input: a column `image` of bytes, or of base64 text as REST clients send it.
            params: of MLflow.

        Returns:
            Columns label and probability, 0 to 1: one row per image.

        Raises:
            ValueError: an image cannot be decoded; names the rows.
        """
        (size, _, channels), fit = self._description.image_shape, self._description.fit
        contents = [_bytes(value) for value in model_input["image"]]
        facts = [images.inspect(content) for content in contents]
        faults = [f"row {row}: {fact.error}" for row, fact in enumerate(facts) if fact.error]
        if faults:
            raise ValueError(f"{len(faults)} of {len(contents)} images cannot be decoded: {'; '.join(faults[:3])}")
        pixels = np.stack([images.decode(content, size, channels, fit) for content in contents])
        probabilities = metrics.probabilities(model.logits(self._network, pixels, 256))
        best = probabilities.argmax(axis=1)
        return pd.DataFrame(
            {
                "label": [self._description.labels[number] for number in best],
                "probability": probabilities[np.arange(len(best)), best],
            }
        )


def _bytes(value: bytes | str) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else value


mlflow.models.set_model(Classifier())
