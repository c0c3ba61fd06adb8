"""Cells of tables for spreadsheets: no text that comes from outside is taken for a formula. Pure."""

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How cells begin that spreadsheets compute (OWASP, CSV injection)."""


def harmless(text: str) -> str:
    """A text with an apostrophe before it where a spreadsheet would compute it."""
    return f"'{text}" if text.startswith(FORMULAS) else text
