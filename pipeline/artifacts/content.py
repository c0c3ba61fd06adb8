"""`content.json` and `unusual.json` of features: what is new in the images that came in (`features.observation`)."""

from typing import Literal

from pipeline.artifacts.artifact import Artifact
from pipeline.base.words import are

MOMENTS, CONTENT, UNUSUAL = "statistics.npz", "content.json", "unusual.json"
"""Files in the folder of features, only there where the features of new images were looked at: moments of all images so
far (`features.content`), a `Content`, a list of `Unusual`; their pictures are beside it (`images.pictures`)."""

Kind = Literal["strange", "astray"]
"""strange: unlike the images of any label. astray: more like the images of another label than of its own."""


class Content(Artifact):
    """How far the content of the new images lies from that of the parent's."""

    distance: float | None
    """0 to 1; None where one side has too few images."""
    num_new: int
    """New images that were compared."""
    num_before: int
    """Images that they were compared with."""
    max_distance: float
    """The distance above which it warns."""

    @property
    def is_far(self) -> bool:
        """Whether it warns."""
        return self.distance is not None and self.distance > self.max_distance

    @property
    def said(self) -> str:
        """In words."""
        if self.distance is None:
            return f"too few images to compare, {self.num_new} new ones and {self.num_before} of before"
        return (
            f"{are(self.num_new, 'new image')} {self.distance:.2f} away from {self.num_before} of before, by what is "
            f"in them; it warns above {self.max_distance} (validate.max_content_drift)"
        )


class Unusual(Artifact):
    """A new image that stands out."""

    kind: Kind
    path: str
    label: str
    nearest: str
    """The other label that it is most like."""
    score: float
    """strange: how many times as far from the nearest label as images usually are. astray: how many times as far from
    its own label as from the other."""

    @property
    def said(self) -> str:
        """In words."""
        if self.kind == "strange":
            return f"labelled {self.label}, unlike any label ({self.score:.2f} times as far as is usual)"
        return f"labelled {self.label}, more like {self.nearest} ({self.score:.2f} times as far from {self.label})"
