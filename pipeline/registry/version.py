"""A version of the registered model, as far as a cycle needs to know it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.base.errors import LostError

PREFIX = "evergreen."
"""Of the tags that are Evergreen's."""

HIDDEN = "mlflow.evergreen."
"""Of those of them that the protocol needs and no person: MLflow's UI shows no tag that begins with `mlflow.`."""

SHOWN = ("verdict", "standing", "parent", "review", "why")
"""Tags of a version that people read, or write."""


def tag(name: str) -> str:
    """How a tag of a version is called in MLflow."""
    return f"{PREFIX if name in SHOWN else HIDDEN}{name}"


def former(name: str) -> str:
    """How it was called when all tags were shown: versions of then have it under this name."""
    return f"{PREFIX}{name}"


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
        return self.tags.get(tag(name), self.tags.get(former(name), ""))

    def _number(self, name: str) -> int | None:
        """A version's number.

        Raises:
            LostError: the tag is none.
        """
        if not (value := self._tag(name)):
            return None
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
            raise self._foreign(name, "the number of a version")
        return int(value)

    def _foreign(self, name: str, expected: str) -> LostError:
        called = next(one for one in (tag(name), former(name)) if one in self.tags)
        where = "in the MLflow UI" if called.startswith(PREFIX) else "by MLflow's client (set_model_version_tag)"
        return LostError(
            f"tag {called} of v{self.number} is {self._tag(name)[:50]!r}; expected {expected}",
            f"set it back {where}, or delete the tag",
        )

    @property
    def run_key(self) -> str:
        """Hash of everything that determines the model: dataset, parent, params, code."""
        return self._tag("run_key")

    @property
    def parent(self) -> int | None:
        """Number of the version that it was trained from."""
        return self._number("parent")

    @property
    def champion(self) -> int | None:
        """Number of the version that it was judged against."""
        return self._number("rival")

    @property
    def sources(self) -> str:
        """Digest of the batches that it was trained on."""
        return self._tag("sources")

    @property
    def weights(self) -> str:
        """SHA-256 of its weights; empty for a version of before that was noted."""
        return self._tag("weights")

    @property
    def verdict(self) -> str:
        """The verdict's word; empty if it was not carried out yet."""
        return self._tag("verdict")

    @property
    def standing(self) -> str:
        """What became of it, as the registry shows it; see `registry.chain.Standing`."""
        return self._tag("standing")

    @property
    def review(self) -> str:
        """What a person says of it in MLflow, `approved` or `declined`; empty if nothing."""
        said = self._tag("review").strip().lower()
        return {"approve": "approved", "decline": "declined", "reject": "declined", "rejected": "declined"}.get(
            said, said
        )

    @property
    def why(self) -> str:
        """Why a person says that."""
        return self._tag("why")

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
        value = self._tag("min_probability") or "0"
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(e-[0-9]+)?", value) or not 0 <= float(value) <= 1:
            raise self._foreign("min_probability", "0 to 1")
        return float(value)

    @property
    def lineage_digest(self) -> str | None:
        """SHA-256 of its lineage; None for a version that Evergreen did not register."""
        return self._tag("lineage") or None

    @property
    def served_digest(self) -> str | None:
        """SHA-256 of the file that MLflow runs to serve it (`registry.packaging`); None for a version of before that
        file checked the others."""
        return self._tag("served") or None

    @property
    def proof_digest(self) -> str | None:
        """SHA-256 of the record that it answered from the registry as it was judged (`registry.proof`); None without
        one."""
        return self._tag("proof") or None

    @property
    def is_whole(self) -> bool:
        """Whether Evergreen registered it to the end: the tag sources comes last."""
        return bool(self.sources)


def numbered(number: int | None) -> str:
    """v7, or none."""
    return f"v{number}" if number else "none"


def name(version: Version | None) -> str:
    """v7, or none."""
    return numbered(version.number if version else None)
