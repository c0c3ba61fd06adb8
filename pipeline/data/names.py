"""Names that could hurt: on another machine, in a terminal, on a page, or because another looks the same. Pure."""

import re
import unicodedata
from collections.abc import Iterable

MAX_BYTES = 200
"""Of a name in UTF-8; file systems end at 255, and tools append to names."""

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+()@,=-]*")

_LIKE_LATIN = str.maketrans(
    "АВЕКМНОРСТХУЅІЈԌԚԜаесорхуіјѕԁһӏԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορυ‐‑‒–—−＿",
    "ABEKMHOPCTXYSIJGQWaecopxyijsdhlqwABEZHIKMNOPTYXaiKvopu------_",
)
"""Cyrillic and Greek letters that are drawn as Latin ones, and dashes; of Unicode's confusables (UTS #39) those that
people meet by a wrong keyboard."""


def fault(path: str) -> str:
    """Why a path below the images is unsafe; empty if it is not."""
    for name in path.split("/"):
        if PLAIN.fullmatch(name) and len(name) <= MAX_BYTES:
            continue
        reason = _fault(name)
        if reason:
            return reason
    return ""


def _fault(name: str) -> str:
    if any(unicodedata.category(character) == "Cs" for character in name):
        return "its name is not UTF-8"
    if len(name.encode()) > MAX_BYTES:
        return f"its name has {len(name.encode())} bytes, more than {MAX_BYTES}"
    if name.startswith("-"):
        return "its name starts with -, as an option of a command does"
    # C: control, format (where bidirectional overrides are), private use, unassigned; Zl, Zp: line separators.
    hidden = [c for c in name if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp")]
    if hidden:
        return f"its name holds {hidden[0]!a}, which cannot be seen"
    if unicodedata.normalize("NFC", name) != name:
        return "its name is not in Unicode's normal form C, so macOS and Linux take it for different files"
    return ""


def collisions(paths: Iterable[str]) -> dict[str, str]:
    """Paths that some file systems take for one file, each with another that it collides with."""
    first: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for path in sorted(set(paths)):
        key = unicodedata.normalize("NFC", path).casefold()
        other = first.setdefault(key, path)
        if other != path:
            pairs[path] = other
            pairs.setdefault(other, path)
    return pairs


def lookalikes(labels: Iterable[str]) -> dict[str, str]:
    """Labels that people take for one, each with another that it looks like: by case, width, blanks, dashes, accents
    that are written in another way, or letters of another script."""
    first: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for label in sorted(set(labels)):
        for look in _looks(label):
            other = first.setdefault(look, label)
            if other != label:
                pairs.setdefault(label, other)
                pairs.setdefault(other, label)
    return pairs


def _looks(label: str) -> set[str]:
    """What a name looks like: two that share one look alike."""
    plain = " ".join(unicodedata.normalize("NFKC", label).replace("_", " ").split())
    return {look.casefold() for look in (plain, plain.translate(_LIKE_LATIN))}


def spelt(name: str) -> str:
    """A name with its escapes beside it, where it is not ASCII: two names that look the same are then told apart."""
    return f"'{name}'" if name.isascii() else f"'{name}' ({name!a})"
