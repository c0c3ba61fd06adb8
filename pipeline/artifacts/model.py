"""`model.json`: all that is needed to build a model again."""

from pipeline.artifacts.artifact import Artifact


class Description(Artifact):
    """What a model is, but for its weights."""

    architecture: str
    """As in `train.architecture`."""
    image_shape: tuple[int, int, int]
    """Height and width in pixels, channels."""
    labels: tuple[str, ...]
    """The label map: position is the model's output."""
