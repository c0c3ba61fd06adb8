"""What slices are told from: which images are in which, and what champion and challenger say to each image. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base import words
from pipeline.judging import metrics
from pipeline.judging.paired import Counts

if TYPE_CHECKING:
    import polars as pl

AT_ONCE = 2**15
"""Members whose values are in memory at the same time."""


@dataclass(frozen=True)
class Pairs:
    """What champion and challenger say to the same images; arrays (images,).

    The images should be those whose label the champion knows. A label that it cannot give is all gain, and beside that
    gain every other slice looks worse than the whole.
    """

    champion_right: np.ndarray
    """bool"""
    challenger_right: np.ndarray
    champion: np.ndarray
    """float: probability of the true label, 0 to 1."""
    challenger: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, champion: np.ndarray, challenger: np.ndarray) -> "Pairs":
        """From logits.

        Args:
            labels: numbers of the true labels, int (images,).
            champion, challenger: logits, float (images, labels). Where one is not finite, the answer is wrong and the
                probability 0.
        """
        rows = np.arange(len(labels))
        right, told = [], []
        for logits in (champion, challenger):
            is_whole = np.isfinite(logits).all(axis=1)
            right.append((logits.argmax(axis=1) == labels) & is_whole)
            told.append(metrics.probabilities(np.where(is_whole[:, None], logits, 0))[rows, labels] * is_whole)
        return cls(*right, *told)

    def __len__(self) -> int:
        return len(self.champion_right)

    @property
    def lost(self) -> np.ndarray:
        """int (images,): 1 where only the champion is right, -1 where only the challenger is, else 0."""
        return np.asarray(self.champion_right.astype(int) - self.challenger_right)


@dataclass(frozen=True)
class Tally:
    """How both models did on one slice."""

    slice: str
    """The column; `label` for labels."""
    value: str
    images: int
    before: int
    """Images that the champion gets right."""
    gained: int
    """Images that only the challenger gets right."""
    lost: int
    """Images that only the champion gets right."""

    @property
    def now(self) -> int:
        """Images that the challenger gets right."""
        return self.before + self.gained - self.lost

    @property
    def difference(self) -> float:
        """Accuracy of challenger minus champion, -1 to 1."""
        return (self.gained - self.lost) / self.images

    @property
    def name(self) -> str:
        """Column and value, for people."""
        return f"{words.readable(self.slice)} {words.readable(self.value)}"

    @property
    def change(self) -> str:
        """What became of it, for people."""
        if self.now == self.before:
            return f"{self.name} stayed at {self.now:,} of {self.images:,}"
        moved = "fell" if self.now < self.before else "rose"
        return f"{self.name} {moved} from {self.before:,} to {self.now:,} of {self.images:,}"


@dataclass(frozen=True)
class Membership:
    """Which images are in which slices. A slice has at least one image; an image may be in any number."""

    names: tuple[tuple[str, str], ...]
    """Of each slice: its column and the value there, sorted."""
    starts: np.ndarray
    """int (slices,): where in `images` those of a slice begin."""
    images: np.ndarray
    """int (members,): numbers of images, slice after slice."""

    @classmethod
    def of(cls, slices: "pl.DataFrame", digests: Sequence[str], at_least: int = 1) -> "Membership":
        """Look up the members.

        Args:
            slices: columns digest, slice and value, in any order; `Dataset.slices()` and whatever else is told of
                images. Rows of other images and rows that are there twice do not matter.
            digests: of the images.
            at_least: so many images has a slice that counts.
        """
        import polars as pl

        numbers = pl.DataFrame({"digest": list(digests)}, schema={"digest": pl.String}).with_row_index("image")
        rows = slices.select("digest", "slice", "value").drop_nulls().unique().join(numbers, on="digest")
        rows = rows.filter(pl.len().over("slice", "value") >= at_least)
        rows = rows.sort("slice", "value", "image")
        found = rows.group_by("slice", "value", maintain_order=True).len()
        starts = np.cumsum([0, *found["len"]])[:-1]
        return cls(tuple(found.select("slice", "value").iter_rows()), starts, rows["image"].to_numpy().astype(np.intp))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sizes(self) -> np.ndarray:
        """int (slices,): images in each."""
        return np.diff(np.append(self.starts, len(self.images)))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums over the images of each slice, (slices, ...).

        Args:
            values: of each image, (images, ...); numbers.
        """
        found = np.empty((len(self), *values.shape[1:]), values.dtype)
        for part in self._parts():
            first, last = self.starts[part.start], self.starts[part.stop - 1] + self.sizes[part.stop - 1]
            found[part] = np.add.reduceat(values[self.images[first:last]], self.starts[part] - first, axis=0)
        return found

    def _parts(self) -> Iterator[slice]:
        """Slices that are summed at once: together they have about AT_ONCE members."""
        begins = 0
        while begins < len(self):
            ends = int(np.searchsorted(self.starts, self.starts[begins] + AT_ONCE))
            yield slice(begins, max(ends, begins + 1))
            begins = max(ends, begins + 1)

    def counts(self, pairs: Pairs) -> Counts:
        """How both models did on the images of each slice; arrays (slices,)."""
        champion, challenger = pairs.champion_right, pairs.challenger_right
        cells = (champion & challenger, champion & ~challenger, ~champion & challenger, ~champion & ~challenger)
        return Counts(*self.sums(np.stack(cells, axis=1).astype(np.int64)).T)

    def tallies(self, counts: Counts) -> list[Tally]:
        """The same for each slice by itself, in their order."""
        before = np.asarray(counts.both + counts.champion_only)
        columns = (self.sizes, before, np.asarray(counts.challenger_only), np.asarray(counts.champion_only))
        rows = zip(self.names, *(column.tolist() for column in columns), strict=True)
        return [Tally(*name, *numbers) for name, *numbers in rows]
