"""A version of the registered model, as far as a cycle needs to know it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from pipeline.base.errors import LostError

PREFIX = "evergreen."
"""Of the tags that are Evergreen's."""

HIDDEN = "mlflow.evergreen."
"""Of those of them that the protocol needs and no person: the page of a version shows no tag that begins with
`mlflow.`."""

SHOWN = ("verdict", "standing", "review", "why")
"""Tags of a version that people read, or write."""

MADE, JUDGED, DECIDED = (f"{HIDDEN}{name}" for name in ("made", "judged", "decided"))
"""Tags with all the rest, as JSON: a list of versions shows every tag, and 15 of them hid the versions. MADE is written
with the version and never again. JUDGED is there once it was judged again; what it says takes the place of what MADE
says. DECIDED is what came of it."""

_DECIDED = ("verdict_digest", "is_best", "promoted", "proof")


def former(name: str) -> str:
    """How a tag was called when each value had one: versions of then have it under this name."""
    return f"{PREFIX}{name}"


def created(values: Mapping[str, str]) -> dict[str, str]:
    """The tags of a new version.

    Args:
        values: by name, without a prefix.
    """
    shown = {former(name): value for name, value in values.items() if name in SHOWN}
    return shown | {MADE: _json({name: value for name, value in values.items() if name not in SHOWN})}


def changed(values: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """The tags to be set on a version for values that are new, in the order of the values.

    Args:
        values: by name, without a prefix.
        before: its tags.
    """
    tags: dict[str, str] = {}
    for name, value in values.items():
        if name in SHOWN:
            # One of no value says nothing to people; it is written where it takes another one's place.
            tags |= {former(name): value} if value or former(name) in before else {}
        else:
            pack = DECIDED if name in _DECIDED else JUDGED
            tags[pack] = _json(unpacked(tags.get(pack, before.get(pack, ""))) | {name: value})
    return tags


def condition(name: str, value: str | None) -> tuple[str, str]:
    """How MLflow's search is asked for versions that were made with a value: as it is written today, and as it was.

    Args:
        name: of the value.
        value: None stands for any.
    """
    was = f"tag.`{former(name)}` LIKE '%'" if value is None else f"tag.`{former(name)}`='{value}'"
    if name in SHOWN:
        return was, was
    wanted = f'"{name}":"' if value is None else f'"{name}":"{value}"'
    return f"tag.`{MADE}` LIKE '%{wanted}%'", was


def unpacked(text: str) -> dict[str, str]:
    """The values of a tag that has several; none if it is not what `created` or `changed` wrote."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        return {}
    return values


def _json(values: Mapping[str, str]) -> str:
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"))


FORMAT = "2"
"""Tag `format` of the versions of today. Those without it were made when a reworded comment was other code: their
recipe cannot be compared with one of today."""


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: int
    run_id: str
    tags: Mapping[str, str]

    @cached_property
    def _values(self) -> Mapping[str, str]:
        """By name, what is newest."""
        former = {name.removeprefix(PREFIX): value for name, value in self.tags.items() if name.startswith(PREFIX)}
        packs = (unpacked(self.tags.get(name, "")) for name in (MADE, JUDGED, DECIDED))
        return {**former, **{name: value for pack in packs for name, value in pack.items() if name not in SHOWN}}

    def _tag(self, name: str) -> str:
        return self._values.get(name, "")

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
        packs = (name_of for name_of in (DECIDED, JUDGED, MADE) if name in unpacked(self.tags.get(name_of, "")))
        pack = next(packs, None)
        called = f"{name} in tag {pack}" if pack else f"tag {former(name)}"
        where = "by MLflow's client (set_model_version_tag)" if pack else "in the MLflow UI, or delete the tag"
        return LostError(
            f"{called} of v{self.number} is {self._tag(name)[:50]!r}; expected {expected}",
            f"set it back {where}",
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
