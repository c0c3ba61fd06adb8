"""A version of the registered model, as far as a cycle needs to know it."""

from collections.abc import Mapping
from dataclasses import dataclass

PREFIX = "evergreen."
"""Of the tags that are Evergreen's."""

FORMAT = "2"
"""Tag `format` of the versions of today. Those without it were made when a reworded comment was other code: their
recipe cannot be compared with one of today."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    run_id: str
    tags: Mapping[str, str]

    def _tag(self, name: str) -> str:
        return self.tags.get(f"{PREFIX}{name}", "")

    @property
    def run_key(self) -> str:
        """Hash of everything that determines the model: dataset, parent, params, code."""
        return self._tag("run_key")

    @property
    def parent(self) -> int | None:
        """Number of the version that it was trained from."""
        return int(number) if (number := self._tag("parent")) else None

    @property
    def champion(self) -> int | None:
        """Number of the version that it was judged against."""
        return int(number) if (number := self._tag("rival")) else None

    @property
    def promoted(self) -> bool:
        """Whether promote moved the alias to it; a person may have moved it since, or have done it instead."""
        return self._tag("promoted") == "true"

    @property
    def is_best(self) -> bool:
        """Whether it was the best that there ever was when it was judged."""
        return self._tag("is_best") == "true"

    @property
    def verdict_digest(self) -> str:
        """Hash of the judgement that was carried out on it; empty if there was none."""
        return self._tag("verdict_digest")

    @property
    def min_probability(self) -> float:
        """With which it is served, unless a request names another one; 0 for a version of before there was one."""
        return float(self._tag("min_probability") or 0)

    @property
    def lineage_digest(self) -> str | None:
        """SHA-256 of its lineage; None for a version that Evergreen did not register."""
        return self._tag("lineage") or None

    @property
    def sources(self) -> str:
        """Digest of the batches that it was made from; empty where Evergreen did not register it to the end."""
        return self._tag("sources")

    @property
    def is_whole(self) -> bool:
        """Whether Evergreen registered it to the end: the tag sources comes last."""
        return bool(self.sources)


def name(version: Version | None) -> str:
    """v7, or none."""
    return f"v{version.number}" if version else "none"
