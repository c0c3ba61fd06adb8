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


def middle(text: object, limit: int) -> str:
    """Visible text of at most so many characters: of a longer one the middle is left out, for names differ at the end.

    Args:
        text: may be of any length.
        limit: characters, 3 or more.
    """
    whole = visible(text)
    if len(whole) <= limit:
        return whole
    end = (limit - 1) // 2
    return f"{whole[: limit - 1 - end]}…{whole[len(whole) - end :]}"
