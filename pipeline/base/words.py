"""Words for people: numbers with their nouns, and texts from outside. Pure."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 image`, `2 images`.

    Args:
        number: of them.
        noun: in the singular.
        plural: where it is not the singular and an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def readable(text: str) -> str:
    """A text as it is, or with escapes and in quotes where it holds what cannot be seen."""
    return text if text.isprintable() else repr(text)
