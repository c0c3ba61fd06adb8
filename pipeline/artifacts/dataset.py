"""`dataset.json`: what the dataset of a cycle holds (`data.dataset`)."""

from collections.abc import Mapping

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.model import Fit


class Contents(Artifact):
    """What is true of a dataset as a whole."""

    labels: tuple[str, ...]
    """The label map: position is the model's output; it only ever grows at the end."""
    image_shape: tuple[int, int, int]
    """Height and width in pixels, and channels, as the model sees them."""
    fit: Fit
    """How pictures became squares."""
    inputs: str
    """What the model of the cycle is fed: see `Description.inputs`."""
    num_images: int
    """In the data as a whole, of which the dataset holds the new and the picked."""
    num_added: int
    """That the parent's cycle did not have."""
    num_unlearned: int
    """That it did not have under this label: those added and those relabelled."""
    num_known: int
    """That it had."""
    num_computed: int
    """Images whose features were not kept anywhere, and were computed."""
    is_unchanged: bool
    """There is nothing to learn: no image was added, removed or relabelled, or there are no training images."""
    counts: Mapping[str, int]
    """Images by split."""
    label_counts: tuple[int, ...]
    """Training images of each label in the data as a whole, by output."""
    digest: str
    """Of everything in it: digests, labels, splits and how pixels were made."""
