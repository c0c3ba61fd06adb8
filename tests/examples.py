"""How many examples a property is tried on."""

import hypothesis

USUAL = 60
"""Of the profile that `make test` has; see `conftest.py`."""


def examples(count: int) -> hypothesis.settings:
    """So many in `make test`; in `make unit`, whose profile has a sixth of the usual, a sixth of them."""
    return hypothesis.settings(max_examples=max(1, count * hypothesis.settings().max_examples // USUAL))
