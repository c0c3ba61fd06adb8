"""Bins: facts of images that are numbers, cut into a few kinds with names, so that they can be slices. Pure."""

import math
from collections.abc import Sequence

import numpy as np

BINS = 4
"""Of a fact, at most: about a quarter of the images each."""

DIGITS = 3
"""That matter in a name; more where two bins would be called the same."""

LONGEST = 1e15
"""Numbers from here on have an exponent."""

AGES = ((0, 0), (1, 2), (3, 8), (9, None))
"""First and last number of cycles ago; each is about three times as long as the one before."""


def quarters(values: Sequence[float | None] | np.ndarray) -> tuple[str | None, ...]:
    """The bin of each image, such as "0.12 to 0.31", called by the least and the largest value in it.

    Equal values are in one bin, so bins may be fewer and unequal.

    Args:
        values: of each image; None, NaN and infinity are unknown.

    Returns:
        Names; None where the value is unknown, and for all if there is only one bin, which tells nothing.
    """
    numbers = np.array([math.nan if value is None else value for value in values], float)
    known = np.isfinite(numbers)
    if not known.any():
        return (None,) * len(numbers)
    # Upper ends are values that there are, so that equal values cannot be divided.
    ends = np.unique(np.quantile(numbers[known], np.arange(1, BINS + 1) / BINS, method="inverted_cdf"))
    places = np.searchsorted(ends, numbers)
    if len(ends) == 1:
        return (None,) * len(numbers)
    edges = [(numbers[known & (places == place)].min(), end) for place, end in enumerate(ends)]
    names = _names(edges)
    return tuple(names[place] if is_known else None for place, is_known in zip(places, known, strict=True))


def _names(edges: Sequence[tuple[float, float]]) -> list[str]:
    """Names with as few digits as tell them apart."""
    for digits in range(DIGITS, 18):
        told = [(_told(first, digits), _told(last, digits)) for first, last in edges]
        if all(told[place][1] != told[place + 1][0] for place in range(len(told) - 1)):
            break
    return [first if first == last else f"{first} to {last}" for first, last in told]


def _told(value: float, digits: int) -> str:
    """A number with so many digits, or all of those before the point."""
    is_long = 10 ** (digits - 1) <= abs(value) < LONGEST
    return f"{value:.0f}" if is_long else f"{value + 0.0:.{digits}g}"  # -0.0 is 0


def ages(cycles_ago: Sequence[int | None] | np.ndarray) -> tuple[str | None, ...]:
    """When each image came, such as "1 to 2 cycles ago".

    Args:
        cycles_ago: 0 for an image of this cycle; None if it is unknown.
    """
    return tuple(None if cycles is None else _age(int(cycles)) for cycles in cycles_ago)


def _age(cycles: int) -> str | None:
    for first, last in AGES:
        if cycles >= first and (last is None or cycles <= last):
            if last == 0:
                return "this cycle"
            return f"{first} or more cycles ago" if last is None else f"{first} to {last} cycles ago"
    return None
