"""The delta: what differs between the data now and the data that the parent was trained on. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.sources import Image, Source


@dataclass(frozen=True)
class Delta:
    """Images added, removed and relabelled; falsy when there are none.

    A renamed image (same bytes, same label, other path) is none of these.
    """

    added: tuple[Image, ...] = ()
    """Sorted; copies of one image are all here, so that validation sees them."""
    removed: tuple[Image, ...] = ()
    relabelled: tuple[Image, ...] = ()
    """As they are now; the parent knew the same bytes under another label."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.relabelled)

    def summary(self) -> dict[str, object]:
        """Counts for people: of each kind, and of the added by label."""
        return {
            "added": len(self.added),
            "removed": len(self.removed),
            "relabelled": len(self.relabelled),
            "added_by_label": dict(sorted(Counter(image.label for image in self.added).items())),
        }


def changed(before: Iterable[Source], now: Iterable[Source]) -> tuple[list[Source], list[Source]]:
    """The batches to open: those of either side whose directory hash the other side has not.

    A batch that only moved keeps hash and name and stays unopened; its name may be a label, so one
    that was renamed is opened.
    """
    before, now = list(before), list(now)
    old, new = {_contents(source) for source in before}, {_contents(source) for source in now}
    return (
        [source for source in before if _contents(source) not in new],
        [source for source in now if _contents(source) not in old],
    )


def _contents(source: Source) -> tuple[str, str]:
    return source.digest, source.path.rpartition("/")[2]


def diff(before: Iterable[Image], now: Iterable[Image], kept: Iterable[str] = ()) -> Delta:
    """Compare two collections of images by digest and label.

    Args:
        before: images of the changed batches as the parent knew them.
        now: images of the changed batches now.
        kept: digests that unchanged batches hold; such an image was not removed.
    """
    old: dict[str, set[str]] = {}
    new: dict[str, set[str]] = {}
    before, now = list(before), list(now)
    for images, known in ((before, old), (now, new)):
        for image in images:
            known.setdefault(image.digest, set()).add(image.label)
    still = set(kept)
    return Delta(
        added=tuple(sorted(image for image in now if image.digest not in old)),
        removed=tuple(sorted(i for i in before if i.digest not in new and i.digest not in still)),
        relabelled=tuple(sorted(i for i in now if i.digest in old and old[i.digest] != new[i.digest])),
    )
