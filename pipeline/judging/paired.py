"""Two models on the same images: how often only one of them is right, and how sure a difference is. Pure."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Hits:
    """How many of some images a model got right."""

    right: int
    total: int


def lower_bound(counts: Counts, confidence: float) -> float:
    """One-sided lower confidence bound of the difference of two paired proportions.

    The difference is challenger minus champion. The bound is of the adjusted Wald interval of Agresti and Min
    (Statistics in Medicine 24, 2005): half an observation is added to each cell, which keeps its coverage near nominal
    at small counts.

    Args:
        counts: of the two.
        confidence: that the difference is not less, 0 to 1.
    """
    total = counts.total + 2
    gained, lost = counts.challenger_only + 0.5, counts.champion_only + 0.5
    difference = (gained - lost) / total
    variance = ((gained + lost) / total - difference**2) / total
    bound: float = difference - NormalDist().inv_cdf(confidence) * variance**0.5
    return bound
