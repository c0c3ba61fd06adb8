"""Values that pictures are drawn from, and what a test reads of a picture."""

import io
from typing import Any

import numpy as np
from PIL import Image

from pipeline.artifacts.comparison import (
    Confused,
    Doubted,
    Doubters,
    LabelScore,
    ModelComparison,
    Pair,
    PartScore,
    Seen,
    SliceScore,
)

HOSTILE = [
    "$\\frac{1}{2}$_^",
    "W" * 200,
    "שלום עולם",
    "مرحبا",
    "🐈 cat 猫",
    "a\nb\0\u202egpj.exe",
    "<b>&%s{x}",
    "-",
    "x" * 64,
]
"""Names as they may come from outside."""


def seen(
    number: int, label: str = "cat", champion: str | None = "cat", challenger: str = "dog", path: str = ""
) -> Seen:
    return Seen(
        digest=f"{number:032x}",
        path=path,
        label=label,
        champion=champion,
        champion_probability=0.7,
        challenger=challenger,
        challenger_probability=0.9,
    )


def label(name: str, images: int, champion: int | None, challenger: int, finding: Any = "fine") -> LabelScore:
    return LabelScore(label=name, images=images, champion=champion, challenger=challenger, finding=finding)


def slice_of(
    value: str, images: int, champion: int, challenger: int, worse: bool = False, small: bool = False
) -> SliceScore:
    kind = "batch"
    return SliceScore(
        slice=kind,
        value=value,
        images=images,
        champion=champion,
        challenger=challenger,
        is_worse=worse,
        is_too_small=small,
    )


def confused(actual: str, predicted: str, champion: int, challenger: int) -> Confused:
    return Confused(actual=actual, predicted=predicted, champion=champion, challenger=challenger)


LABELS = (label("cat", 40, 30, 33), label("dog", 40, 30, 20, "surely fell"), label("fox", 10, 5, 5, "too few"), label("hat", 16, None, 4, None))  # fmt: skip # noqa: E501
CONFUSED = (
    confused("cat", "cat", 30, 33),
    confused("cat", "dog", 10, 7),
    confused("dog", "dog", 30, 20),
    confused("dog", "cat", 10, 12),
    confused("dog", "fox", 0, 8),
    confused("fox", "fox", 5, 5),
    confused("fox", "cat", 5, 5),
    confused("hat", "cat", 16, 0),
    confused("hat", "dog", 0, 12),
    confused("hat", "hat", 0, 4),
)


def comparison(**changes: Any) -> ModelComparison:
    """One of version 1 with a challenger, with other values for some keys."""
    values: dict[str, Any] = {
        "champion": 1,
        "metric": "accuracy",
        "confidence": 0.9,
        "holdout_images": 106,
        "parts": (PartScore(name="all", images=106, champion=0.6, challenger=0.58, at_least=-0.1),),
        "labels": LABELS,
        "slices": (slice_of("second", 60, 44, 33, worse=True), slice_of("first", 30, 20, 21)),
        "num_lost": 2,
        "num_won": 1,
        "lost": (seen(1), seen(2, "dog", "dog", "fox")),
        "won": (seen(3, "cat", "dog", "cat"),),
        "doubted": (doubted(4),),
        "num_suspicious": 1,
        "pairs": (Pair(one=seen(5, "cat", path="x/one.jpg"), other=seen(6, "dog", path="x/other.jpg")),),
        "doubters": Doubters(right=412, images=480),
        "undoubted": ("hat",),
        "confused": CONFUSED,
    }
    return ModelComparison(**{**values, **changes})


def doubted(number: int, name: str = "cat", otherwise: str = "dog", probability: float = 0.98) -> Doubted:
    path = f"data/images/second/{name}/{number}.jpg"
    return Doubted(
        seen=seen(number, name, path=path), otherwise=otherwise, probability=probability, doubt=0.9, is_suspicious=True
    )


def first() -> ModelComparison:
    """That of a first version."""
    return comparison(
        champion=None,
        labels=tuple(label(one.label, one.images, None, one.challenger, None) for one in LABELS),
        slices=(),
        num_lost=0,
        num_won=0,
        lost=(),
        won=(),
        doubted=(),
        num_suspicious=0,
        pairs=(),
        doubters=None,
        undoubted=(),
        confused=tuple(confused(one.actual, one.predicted, 0, one.challenger) for one in CONFUSED if one.challenger),
    )


def many(count: int = 200) -> ModelComparison:
    """One of so many labels, slices, flips, doubts and pairs."""
    names = [f"label {number:03d}" for number in range(count)]
    return comparison(
        labels=tuple(
            label(name, 4000, None if n % 20 == 9 else 2000, 2000 + 7 * n * (-1) ** n) for n, name in enumerate(names)
        ),
        slices=tuple(slice_of(f"batch {n}", 4000, 2000, 2000 + 7 * n * (-1) ** n) for n in range(count)),
        num_lost=12345,
        lost=tuple(seen(n) for n in range(40)),
        doubted=tuple(doubted(n) for n in range(60)),
        num_suspicious=37,
        pairs=tuple(Pair(one=seen(n), other=seen(n + 1, "dog")) for n in range(30)),
        undoubted=tuple(names[9::20]),
        confused=tuple(
            confused(a, b, 9, 9 + n % 7) for n, a in enumerate(names) for b in (a, names[n - 3], names[n // 2])
        ),
    )


def hostile() -> ModelComparison:
    """One with names as they may come from outside."""
    names, back = HOSTILE, HOSTILE[::-1]
    images = [seen(n, one, one, other, f"x/{one}.jpg") for n, (one, other) in enumerate(zip(names, back, strict=True))]
    return comparison(
        labels=tuple(
            label(name, 1000, 500 + 7 * n, 510, "surely fell" if n == 1 else "fine") for n, name in enumerate(names)
        ),
        slices=tuple(slice_of(name, 1234567, 1000000, 999999 - n, worse=n == 1) for n, name in enumerate(names)),
        num_lost=9,
        num_won=9,
        lost=tuple(images),
        won=tuple(images),
        doubted=tuple(
            Doubted(seen=one, otherwise=str(one.challenger), probability=1.0, doubt=1.0, is_suspicious=True)
            for one in images
        ),
        pairs=tuple(Pair(one=one, other=other) for one, other in zip(images, images[::-1], strict=True)),
        undoubted=tuple(names),
        confused=tuple(confused(a, b, 12, 12345 if a == b else 99) for a in names for b in names),
    )


NEW = tuple(label(one.label, one.images, None, one.challenger, None) for one in LABELS)
CASES = {
    "usual": comparison(),
    "first version": first(),
    "champion knows no label": comparison(labels=NEW, slices=()),
    "one label": comparison(labels=LABELS[:1], slices=(), confused=CONFUSED[:1]),
    "no holdout image of a label": comparison(labels=(*LABELS, label("rare", 0, 0, 0))),
    "nothing flipped": comparison(num_lost=0, num_won=0, lost=(), won=()),
    "nothing doubted": comparison(doubted=(), num_suspicious=0, pairs=(), doubters=None, undoubted=()),
    "no label": comparison(labels=(), slices=(), confused=()),
    "many": many(),
    "hostile": hostile(),
}  # fmt: skip


def pixels(png: bytes) -> np.ndarray:
    """Those of a PNG file, uint8 (height, width, 3)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def axes(figure: Any, name: str) -> Any:
    """Those of a name."""
    return next(one for one in figure.axes if one.get_label() == name)


def texts(figure: Any) -> list[str]:
    """All that is written on the page, in the order in which it was; marks for right-to-left are left out."""
    return [one.get_text().replace("\u200e", "") for one in axes(figure, "page").texts]


def lines(figure: Any, name: str, gid: str) -> list[tuple[list[float], list[float]]]:
    """Data of the lines of a kind."""
    found = (one for one in axes(figure, name).lines if one.get_gid() == gid)
    return [([float(x) for x in one.get_xdata()], [float(y) for y in one.get_ydata()]) for one in found]


def check_layout(figure: Any) -> None:
    """Nothing leaves the picture, and no text is written over another one of the page."""
    width, height = figure.canvas.get_width_height()
    assert width == 736
    figure.canvas.draw()
    drawn = figure.get_tightbbox()  # inches
    assert drawn.x0 * figure.dpi >= -1
    assert drawn.x1 * figure.dpi <= width + 1
    assert drawn.y0 * figure.dpi >= -1
    assert drawn.y1 * figure.dpi <= height + 1
    page = [(one.get_text(), one.get_window_extent()) for one in axes(figure, "page").texts if one.get_text()]
    for number, (text, box) in enumerate(page):
        for other, place in page[number + 1 :]:
            across = min(box.x1, place.x1) - max(box.x0, place.x0)
            down = min(box.y1, place.y1) - max(box.y0, place.y0)
            assert across <= 1 or down <= 4, (text, other)
