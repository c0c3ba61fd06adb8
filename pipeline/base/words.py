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


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
