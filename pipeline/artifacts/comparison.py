"""`comparison.json`: how champion and challenger did on the same holdout images. Card, pictures and report draw it."""

import csv
import io
from typing import ClassVar, Literal

from pipeline.artifacts.artifact import Artifact, Count, Number

COMPARISON = "comparison.json"
"""Its file among those of evaluate."""

SEEN = "new.parquet"
"""File of evaluate: what both models say to the new images, a row each. Columns digest, path, label, split; champion,
challenger, and both with _probability: null where a model did not answer (`learning.sightings`)."""

PICTURES = "pictures.parquet"
"""File of a stage: small pictures of the images that people are shown (`images.pictures`)."""

LABELS, FLIPS, DOUBT, CONFUSION, CURVES, SLICES, RELIABILITY, HISTORY = (
    "labels.png",
    "flips.png",
    "doubt.png",
    "confusion.png",
    "curves.png",
    "slices.png",
    "reliability.png",
    "history.png",
)
"""Names of the pictures that are drawn of it."""

ALL, KNOWN, NEW_LABELS, NEW, OLD, ALIKE = (
    "all",
    "known labels",
    "new labels",
    "new images",
    "old images",
    "each label alike",
)
"""Names of the parts of the holdout. Each label alike is balanced accuracy over all."""

Finding = Literal["surely fell", "fell", "fine", "too few"]
"""surely fell: by more than it may, beyond chance. fell: by more than it may, on these images. too few: even if the
challenger got all images wrong, that would not be sure."""


class PartScore(Artifact):
    """Some of the holdout images."""

    name: str
    """ALL, or another one of these."""
    images: Count
    champion: float | None
    """Its accuracy, 0 to 1; None without a champion, and where it knows no label of these images."""
    challenger: float
    at_least: float | None = None
    """One-sided lower bound of the change; None where it is not compared."""

    @property
    def change(self) -> float | None:
        """Challenger minus champion, -1 to 1."""
        return None if self.champion is None else self.challenger - self.champion


class LabelScore(Artifact):
    """How many images of a label each model gets right. Labels stand in the order of the model's outputs."""

    label: str
    images: Count
    champion: Count | None
    """None without a champion, and for a label that it does not know."""
    challenger: Count
    finding: Finding | None = None
    """Whether it fell; None where that was not asked."""

    @property
    def change(self) -> float | None:
        """Challenger minus champion, -1 to 1; None where they are not compared."""
        if self.champion is None or not self.images:
            return None
        return (self.challenger - self.champion) / self.images


class SliceScore(Artifact):
    """The same for the images of a slice whose labels the champion knows."""

    slice: str
    """What it is told by: a column of labels.csv, batch, age, brightness or side."""
    value: str
    images: Count
    champion: Count
    challenger: Count
    is_worse: bool
    """Surely, beyond chance."""
    is_too_small: bool
    """Nothing can be told of it."""

    @property
    def change(self) -> float:
        """Challenger minus champion, -1 to 1."""
        return (self.challenger - self.champion) / self.images


class Seen(Artifact):
    """An image, and what both models say to it."""

    digest: str
    path: str
    """Of its file; empty where nobody knows it."""
    label: str
    champion: str | None
    """The label that it gives; None without a champion, and where the cycle has not the image as it sees it."""
    champion_probability: float | None
    challenger: str | None
    """Likewise; None for an image that the cycle did not use."""
    challenger_probability: float | None


class Doubted(Artifact):
    """A new image whose label is doubted."""

    seen: Seen
    otherwise: str
    """The likeliest other label."""
    probability: float
    """That models give to it which did not learn this label."""
    doubt: float
    """Probability that the label is wrong, 0 to 1."""
    is_suspicious: bool
    """Whether it likely has the other label (evaluate.suspicious)."""


class Pair(Artifact):
    """Two images that look alike, under two labels."""

    one: Seen
    other: Seen


class Doubters(Artifact):
    """How good those models are that doubt labels: on old images, whose labels are trusted."""

    right: Count
    images: Count


class Confused(Artifact):
    """How often each model gives a label to images of another one, or of the same."""

    actual: str
    predicted: str
    champion: Count
    challenger: Count


class ModelComparison(Artifact):
    """Both models on the same images."""

    IS_FINITE: ClassVar[bool] = True

    champion: Number | None
    """Number of its version; None without one."""
    judged_by: str = ALL
    """The part that the verdict is about: OLD where the labels of the new images are not trusted."""
    metric: str
    """What the verdict is about: accuracy or balanced_accuracy."""
    confidence: float
    """Of `PartScore.at_least`, 0 to 1."""
    holdout_images: Count
    parts: tuple[PartScore, ...]
    """All of them first; a part without images is not there."""
    labels: tuple[LabelScore, ...]
    """Every label of today, in the order of the model's outputs."""
    slices: tuple[SliceScore, ...]
    """The largest fall first."""
    num_lost: Count
    """Images that the champion has right and the challenger wrong."""
    num_won: Count
    """The other way round."""
    lost: tuple[Seen, ...]
    """The first of these, that of which the challenger is most sure first."""
    won: tuple[Seen, ...]
    doubted: tuple[Doubted, ...]
    """New images, the least believed label first; those of which nothing is doubted are not there."""
    num_suspicious: Count
    """How many of all new images likely have another label."""
    pairs: tuple[Pair, ...]
    """Near-duplicates under two labels, of which one is new."""
    doubters: Doubters | None
    """Of the labels; None where none were in question."""
    undoubted: tuple[str, ...]
    """Labels that the champion does not know, and of whose new images those that train nobody can doubt."""
    confused: tuple[Confused, ...]
    """Without those that are zero for both."""

    @property
    def new_labels(self) -> tuple[str, ...]:
        """Those that the champion does not know; none without one."""
        return tuple(one.label for one in self.labels if self.champion and one.champion is None)

    @property
    def everything(self) -> PartScore:
        """All holdout images."""
        return self.parts[0]

    def part(self, name: str) -> PartScore | None:
        """One of the parts, if there is such."""
        return next((one for one in self.parts if one.name == name), None)

    def confusion_csv(self) -> str:
        """For `dvc plots`: rows of actual and predicted label, images, and their share of those of the actual label.

        The plot has labels in the order in which they first come. So each is there with itself first, in the order of
        the model's outputs, and then those that the challenger confuses.
        """
        found = {(one.actual, one.predicted): one.challenger for one in self.confused if one.challenger}
        totals = {one.label: max(one.images, 1) for one in self.labels}
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator="\n")
        writer.writerow(["actual", "predicted", "images", "share"])
        itself = [(one.label, one.label) for one in self.labels]
        for actual, predicted in dict.fromkeys([*itself, *found]):
            images = found.get((actual, predicted), 0)
            writer.writerow([actual, predicted, images, round(images / totals[actual], 4)])
        return sink.getvalue()
