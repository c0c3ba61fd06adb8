"""Versions: what a batch held in other commits, as far as DVC's cache knows it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts.sources import Source
from pipeline.base import git
from pipeline.base.errors import DataError
from pipeline.data.store import Store

AT_MOST = 50
"""Commits that are looked at, of those that changed a pointer."""

_DIGEST = re.compile(r"^[-+ ].*\bmd5: ([0-9a-f]{32}(?:\.dir)?)\r?$", re.MULTILINE)
"""In a patch of a pointer, whatever its line ends."""


def listed(batch: str, store: Store) -> Iterator[dict[str, str]]:
    """What a batch listed, path to digest: on all branches, in stashes, in commits that were left behind, and now.

    Args:
        batch: its path, which need not have a pointer here.
        store: gives the listings.
    """
    for digest in dict.fromkeys(_DIGEST.findall(git.patches(f"{batch}.dvc", at_most=AT_MOST))):
        if Path(store.places(digest, batch)[1]).is_file():
            with suppress(DataError):  # DVC's cache may hold anything
                table = store.listing(Source(batch, digest, 0))
                yield dict(table.select("path", "digest").iter_rows())
