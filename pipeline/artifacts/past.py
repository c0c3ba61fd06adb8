"""What cycles until now gave and cost, for those who compare them. Nothing of it is kept in a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PastCycle:
    """The cycle of a version, as the registry tells it."""

    version: int
    standing: str
    """What became of it: see `registry.chain.Standing`; empty: it is registered."""
    verdict: str
    champion: float | None
    """Accuracy of the version that it was judged against, on its holdout images, 0 to 1."""
    accuracy: float | None
    """Its own, on the same images."""
    lost: float | None
    """Share of these that the champion had right and it has wrong."""
    passes: float | None
    """Images that went through training."""
    seconds: float | None
    """Of training, by the clock."""
    images: int | None
    """That train, val and holdout had."""
    start: str
    """warm, shrink or cold; empty where nobody noted it."""
