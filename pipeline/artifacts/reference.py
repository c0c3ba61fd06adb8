"""`reference.json`: what the images looked like so far, as counts that add up (`checking.drift`)."""

from collections.abc import Mapping

from pipeline.artifacts.artifact import Artifact, Count, Name


class Statistics(Artifact):
    """Histograms of the facts of some images, and how many each label has; without a layout there are none."""

    layout: Count = 0
    """Of the bins; counts of other bins cannot be added or compared."""
    facts: Mapping[Name, tuple[Count, ...]] = {}
    """Images per bin, by fact."""
    labels: Mapping[str, Count] = {}
    """Images per label."""

    @property
    def num_images(self) -> int:
        """How many images were counted."""
        return sum(self.labels.values())
