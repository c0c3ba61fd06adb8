"""Words for people: numbers with their nouns, and texts from outside. Pure."""

import re
import textwrap

KEPT = "\x00"
"""Stands for a space at which no line ends."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 image`, `2 images`.

    Args:
        number: of them.
        noun: in the singular.
        plural: where it is not the singular and an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def are(number: int, noun: str, one: str = "is", many: str = "are", where: str = "") -> str:
    """A number, what it counts, perhaps where, and what that does: `1 image is`, `2 images in it are`."""
    return f"{counted(number, noun)}{where and f' {where}'} {one if number == 1 else many}"


def folded(line: str, width: int) -> str:
    """A sentence of a command on several lines, each at most so wide; what begins otherwise stays as it is.

    A command in backticks stays whole, to be copied, and so does a path.
    """
    if len(line) <= width or not re.match(r"[a-z-]+: ", line):
        return line
    whole = re.sub(r"`[^`]*`", lambda found: found[0].replace(" ", KEPT), line)
    lines = textwrap.wrap(whole, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(KEPT, " ")


def percent(share: float, digits: int = 1) -> str:
    """A share, 0 to 1: `59.6 %`."""
    return f"{100 * share:.{digits}f} %"


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]


def readable(text: str) -> str:
    """A text as it is, or with escapes and in quotes where it holds what cannot be seen."""
    return text if text.isprintable() else repr(text)


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
