"""The gallery: the images of a comparison that a person should look at, as PNG bytes, 736 pixels wide.

Pictures (`images.pictures`) come by digest; where one is missing there is a placeholder.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pipeline.artifacts.comparison import Doubted, ModelComparison, Pair, Seen
from pipeline.base.words import counted, percent
from pipeline.showing import charts, tiles
from pipeline.showing.charts import FELL, INK, ROSE, SIZE, WIDTH
from pipeline.showing.fonts import length

MOST_FLIPS = 10
"""Of each kind: two rows. The page of the cycle has all."""

MOST_DOUBTED = 24

MOST_PAIRS = 8

_MARGIN, _INNER = 12, WIDTH - 24
_LINE = 22  # of text
_SIDE = 128  # of a picture that was flipped, or is one of a pair: that of a thumbnail
_SMALL = 104  # of one that is doubted
_GAP = 14

_SOFT, _PLAIN = tiles.SOFT, "#b9c2c9"
LOST, WON, DOUBT = FELL, ROSE, "#8f5200"
_SIGNS = {LOST: "×", WON: "✓", DOUBT: "?", _PLAIN: ""}


@dataclass(frozen=True)
class Caption:
    """Text at a place, drawn as it is."""

    text: str
    x: int
    y: int
    """Of the baseline."""
    colour: str = INK
    is_bold: bool = False


@dataclass(frozen=True)
class Photo:
    """A picture at a place, with a frame."""

    digest: str
    x: int
    y: int
    side: int
    frame: str


@dataclass(frozen=True)
class Gallery:
    """What is drawn where, in pixels from the top left corner."""

    photos: tuple[Photo, ...]
    lines: tuple[Caption, ...]
    height: int


class _Column:
    """A gallery that grows downwards."""

    def __init__(self) -> None:
        self.y = _MARGIN
        self.photos: list[Photo] = []
        self.lines: list[Caption] = []

    def heading(self, text: str, colour: str = INK) -> None:
        """A line of its own, bold."""
        self.lines.append(Caption(text, _MARGIN, self.y + 17, colour, True))
        self.y += _LINE + 4

    def say(self, text: str) -> None:
        """A sentence, in lines that fit."""
        for line in charts.folded(text):
            self.lines.append(Caption(line, _MARGIN, self.y + 17, _SOFT))
            self.y += _LINE

    def space(self, height: int) -> None:
        """Nothing."""
        self.y += height

    def grid(self, count: int, per_row: int, height: int, put: Callable[[int, int, int], None]) -> None:
        """So many things in rows; `put` gets the number of each, its left and its top."""
        across = (_INNER + _GAP) // per_row
        for number in range(count):
            row, column = divmod(number, per_row)
            put(number, _MARGIN + column * across, self.y + row * (height + _GAP))
        self.y += -(-count // per_row) * (height + _GAP)

    def done(self) -> Gallery:
        """All of it."""
        return Gallery(tuple(self.photos), tuple(self.lines), self.y + _MARGIN - 4)


def flips(comparison: ModelComparison, pictures: Mapping[str, np.ndarray]) -> bytes:
    """Images that only one of both models has right: first those that were lost, then those that were won.

    Args:
        comparison: of the models.
        pictures: uint8 (height, width, 3) by digest.
    """
    return _png(of_flips(comparison), pictures)


def doubts(comparison: ModelComparison, pictures: Mapping[str, np.ndarray]) -> bytes:
    """The least believed labels of new images, near-duplicates under two labels, and how good the judge of them is.

    Args:
        comparison: of the models.
        pictures: uint8 (height, width, 3) by digest.
    """
    return _png(of_doubts(comparison), pictures)


def of_flips(comparison: ModelComparison) -> Gallery:
    """Where each image that flipped is drawn, and what is said of it."""
    column = _Column()
    if comparison.champion is None:
        column.say("No image can flip: there is no champion.")
    elif not comparison.num_lost and not comparison.num_won:
        column.say(f"No image flipped: champion v{comparison.champion} and challenger have the same images right.")
    else:
        before = f"v{comparison.champion}"
        lost = f"{comparison.num_lost:,} right before, wrong now"
        won = f"{comparison.num_won:,} wrong before, right now"
        _flipped(
            column, lost, f"true label (given by {before}) → challenger", comparison.lost, comparison.num_lost, LOST
        )
        column.space(6)
        _flipped(column, won, f"{before} → challenger (gives the true label)", comparison.won, comparison.num_won, WON)
    return column.done()


def _flipped(column: _Column, title: str, note: str, seen: Sequence[Seen], count: int, colour: str) -> None:
    """One kind: a heading with the count, what captions mean, and the pictures."""
    shown = seen[:MOST_FLIPS]
    column.heading(f"{_SIGNS[colour]} {title}", colour)
    if not count:
        return
    most = f"; the {len(shown)} surest are shown" if len(shown) < count else ""
    column.say(f"{note}{most}")
    column.space(10)

    def put(number: int, x: int, y: int) -> None:
        one = shown[number]
        column.photos.append(Photo(one.digest, x + 3, y, _SIDE, colour))
        was = charts.name(one.champion or "-", _SIDE + 6)
        now = charts.name(one.challenger or "-", _SIDE + 6 - length("→ ", SIZE))
        column.lines.append(Caption(was, x, y + _SIDE + 20))
        column.lines.append(Caption(f"→ {now}", x, y + _SIDE + 20 + _LINE, colour))
        column.lines.append(Caption(charts.name(_file(one), _SIDE + 6), x, y + _SIDE + 20 + 2 * _LINE, _SOFT))

    column.grid(len(shown), 5, _SIDE + 3 * _LINE + 6, put)


def of_doubts(comparison: ModelComparison) -> Gallery:
    """Where each image whose label is doubted is drawn, and what is said of it."""
    column = _Column()
    shown = comparison.doubted[:MOST_DOUBTED]
    if shown:
        column.heading("Least believed labels of new images")
        column.say(f"{_suspicious(comparison.num_suspicious)}; {_of_all(len(shown), len(comparison.doubted))}.")
        column.say("Below each: its label; what it seems to be, and how surely; its file.")
        column.space(12)
        height = _SMALL + 4 * _LINE + 8
        column.grid(len(shown), 6, height, lambda number, x, y: _doubted(column, shown[number], x, y))
    else:
        column.say("No label of a new image is doubted.")
    if comparison.pairs:
        column.space(4)
        _pairs(column, comparison.pairs)
    column.space(2)
    if comparison.doubters:
        right, images = comparison.doubters.right, comparison.doubters.images
        share = f" ({percent(right / images, 0)})" if images else ""
        column.say(f"The models that doubt labels get {right:,} of {counted(images, 'old image')} right{share}.")
    if comparison.undoubted:
        known = f"v{comparison.champion} does not know" if comparison.champion else "No model knew"
        column.say(f"{known} {_listed(comparison.undoubted)}; those that train cannot be doubted.")
    return column.done()


def _suspicious(count: int) -> str:
    return f"{counted(count, 'image')} likely {'has' if count == 1 else 'have'} another label"


def _of_all(shown: int, count: int) -> str:
    return f"the {shown} most doubted are shown" if shown < count else "all that are doubted are shown"


def _listed(labels: Sequence[str]) -> str:
    """Some labels, and how many more there are."""
    rest = len(labels) - 5
    shown = ", ".join(charts.name(label, 200) for label in labels[:5])
    return f"{shown} and {rest} more" if rest > 0 else shown


def _doubted(column: _Column, one: Doubted, x: int, y: int) -> None:
    """The picture, and below it the label, what it seems to be and how surely, and the file."""
    column.photos.append(Photo(one.seen.digest, x + 3, y, _SMALL, DOUBT))
    width, top = _SMALL + 8, y + _SMALL + 20
    column.lines.append(Caption(charts.name(one.seen.label, width), x, top))
    column.lines.append(Caption(f"{charts.name(one.otherwise, width - length('?', SIZE))}?", x, top + _LINE, DOUBT))
    column.lines.append(Caption(percent(one.probability, 0), x, top + 2 * _LINE, DOUBT))
    column.lines.append(Caption(charts.name(_file(one.seen), width), x, top + 3 * _LINE, _SOFT))


def _pairs(column: _Column, pairs: Sequence[Pair]) -> None:
    """Two images side by side, each with its label; two pairs in a row."""
    shown = pairs[:MOST_PAIRS]
    rest = f"; {len(shown)} are shown" if len(shown) < len(pairs) else ""
    column.heading(f"{counted(len(pairs), 'pair')} of near-duplicates under two labels{rest}")
    column.space(8)

    def put(number: int, x: int, y: int) -> None:
        half = _SIDE + 6
        for place, seen in ((x, shown[number].one), (x + half + 10, shown[number].other)):
            column.photos.append(Photo(seen.digest, place + 3, y, _SIDE, _PLAIN))
            column.lines.append(Caption(charts.name(seen.label, half), place, y + _SIDE + 20))
            column.lines.append(Caption(charts.name(_file(seen), half), place, y + _SIDE + 20 + _LINE, _SOFT))

    column.grid(len(shown), 2, _SIDE + 2 * _LINE + 8, put)


def _file(seen: Seen) -> str:
    """The name of its file without the kind, which is what differs; else the start of its digest."""
    return PurePosixPath(seen.path).stem or seen.digest[:8]


def _png(gallery: Gallery, pictures: Mapping[str, np.ndarray]) -> bytes:
    """The gallery as a file; the same values give the same bytes."""
    return charts.png(figure(gallery, pictures))


def figure(gallery: Gallery, pictures: Mapping[str, np.ndarray]) -> Any:
    """The gallery as a picture; all text is in axes "page"."""
    sheet = tiles.paper(WIDTH, gallery.height)
    for photo in gallery.photos:
        place, pixels = (photo.x, photo.y), pictures.get(photo.digest)
        tiles.draw(sheet, pixels, place, photo.side, photo.frame, _SIGNS[photo.frame])
    made = charts.figure(gallery.height)
    made.figimage(np.asarray(sheet), zorder=-1)
    page = charts.page(made)
    for line in gallery.lines:
        page.text(line.x, line.y, line.text, color=line.colour, fontweight="bold" if line.is_bold else "normal")
    return made
