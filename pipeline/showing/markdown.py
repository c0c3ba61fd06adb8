"""Markdown from what people and models say: text stays text. Pure."""

import html
import re
from collections.abc import Sequence

from pipeline.base.words import counted
from pipeline.showing.text import middle, visible

NAME = 40
"""Characters of a name that are shown."""

FEW = 3
"""Names in one sentence; the rest is counted."""

_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|^[#+\-=]")
"""What Markdown would take for markup. An underscore inside of a word is none."""


def escape(text: object) -> str:
    """Text that stays text in Markdown and in the HTML made from it; what needs no escape has none, for lists show it
    as it is written."""
    shown = html.escape(visible(" ".join(str(text).split())), quote=False)
    return _MARKUP.sub(lambda found: f"\\{found[0]}", shown)


def name(text: str) -> str:
    """A name, cut in the middle where it is long."""
    return escape(middle(text, NAME))


def listed(parts: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def few(parts: Sequence[str], noun: str = "", plural: str = "") -> str:
    """The first parts, and how many more there are.

    Args:
        parts: any.
        noun: what they are, where that has to be said.
        plural: where it is not the noun and an s.
    """
    rest = len(parts) - FEW
    more = counted(rest, f"more {noun}", f"more {plural or noun + 's'}") if noun else f"{rest:,} more"
    return ", ".join(parts[:FEW]) + (f" and {more}" if rest > 0 else "")
