"""Text that hides nothing: what comes from outside may hold characters that hide or reorder others. Pure."""

import unicodedata


def visible(text: object) -> str:
    r"""Text on one line without characters that hide or reorder others: each is written as \uXXXX.

    A lone surrogate stands for a byte of a file name that is not UTF-8 (PEP 383); as it is, it could
    not be written to a file.
    """
    return "".join(_code(one) if _is_hidden(one) else one for one in str(text))


def _is_hidden(character: str) -> bool:
    # C: control, format (bidi, zero width), surrogate, private, unassigned. Zl, Zp: line, paragraph separator.
    kind = unicodedata.category(character)
    return kind[0] == "C" or kind in ("Zl", "Zp")


def _code(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def embedded(text: str) -> str:
    """A text to be set among others from left to right: what runs from right to left does not carry them along.

    It then stands between two marks that are not seen (U+200E); else "seems NAME (98 %)" shows "seems (% 98) EMAN".
    """
    is_from_right = any(unicodedata.bidirectional(one) in ("R", "AL", "AN") for one in text)
    return f"\u200e{text}\u200e" if is_from_right else text


def middle(text: str, limit: int) -> str:
    """A text of at most so many characters: what is too long loses its middle, for names often differ at their ends.

    Args:
        text: any.
        limit: characters, at least 1.
    """
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"
