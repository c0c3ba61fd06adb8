"""Two models on the same images: how often only one of them is right, and how sure a difference is. Pure."""

import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from statistics import NormalDist


@dataclass(frozen=True)
class Counts:
    """How many of the same images champion and challenger got right.

    Benchmarks have arrays in the place of each number, one entry for each of many projects.
    """

    both: int
    champion_only: int
    challenger_only: int
    neither: int

    @property
    def total(self) -> int:
        """All of the images."""
        return self.both + self.champion_only + self.challenger_only + self.neither

    @property
    def effective(self) -> float:
        """How many images tell as much: all of them; see `Balanced`."""
        return self.total

    @property
    def difference(self) -> float:
        """Accuracy of challenger minus champion; there must be images."""
        return (self.challenger_only - self.champion_only) / self.total

    @property
    def adjusted(self) -> tuple[float, float]:
        """The difference and its variance, with half an observation added to each cell."""
        total = self.total + 2
        gained, lost = self.challenger_only + 0.5, self.champion_only + 0.5
        difference = (gained - lost) / total
        return difference, ((gained + lost) / total - difference**2) / total

    def turned(self) -> "Counts":
        """Seen from the other side."""
        return replace(self, champion_only=self.challenger_only, challenger_only=self.champion_only)

    def grown(self, factor: float) -> "Counts":
        """So many times the images, at the same rates: perhaps fractions of images."""
        return Counts(*(count * factor for count in astuple(self)))


@dataclass(frozen=True)
class Hits:
    """How many of some images a model got right."""

    right: int
    total: int


@dataclass(frozen=True)
class Balanced:
    """The same, each label counted alike: balanced accuracy is the mean recall of the labels."""

    labels: tuple[Counts, ...]
    """Of each label that has images."""

    @property
    def champion_only(self) -> int:
        """Images, of all labels."""
        return sum(label.champion_only for label in self.labels)

    @property
    def challenger_only(self) -> int:
        """Likewise."""
        return sum(label.challenger_only for label in self.labels)

    @property
    def total(self) -> int:
        """All of the images."""
        return sum(label.total for label in self.labels)

    @property
    def effective(self) -> float:
        """How many images of equally frequent labels would tell as much."""
        return effective(label.total for label in self.labels)

    @property
    def difference(self) -> float:
        """Balanced accuracy of challenger minus champion."""
        return sum(label.difference for label in self.labels) / len(self.labels) if self.labels else 0.0

    @property
    def adjusted(self) -> tuple[float, float]:
        """The difference and its variance. Only the variance has what `Counts` adds: on a label of a few images the
        difference itself would become far too small."""
        if not self.labels:
            return 0.0, math.inf
        variance: float = sum(label.adjusted[1] for label in self.labels) / len(self.labels) ** 2
        return self.difference, variance

    def turned(self) -> "Balanced":
        """Seen from the other side."""
        return Balanced(tuple(label.turned() for label in self.labels))

    def grown(self, factor: float) -> "Balanced":
        """So many times the images, at the same rates."""
        return Balanced(tuple(label.grown(factor) for label in self.labels))


def effective(totals: Iterable[int]) -> float:
    """How many images of equally frequent labels tell as much of balanced accuracy as so many of each label do."""
    some = [total for total in totals if total]
    return len(some) ** 2 / sum(1 / total for total in some) if some else 0.0


Compared = Counts | Balanced
"""Two models on the same images."""


def lower_bound(compared: Compared, confidence: float) -> float:
    """One-sided lower confidence bound of the difference in accuracy, or balanced accuracy: challenger minus champion.

    Of accuracy it is of the adjusted Wald interval of Agresti and Min (Statistics in Medicine 24, 2005): half an
    observation is added to each cell, which keeps its coverage near nominal at small counts. Of balanced accuracy it is
    that of a stratified sample, with the same variance in each label.

    Args:
        compared: the two.
        confidence: that the difference is not less, 0 to 1.
    """
    difference, variance = compared.adjusted
    bound: float = difference - NormalDist().inv_cdf(confidence) * variance**0.5
    return bound
