"""`parent.json` and `champion.json`: the versions that a cycle starts from and has to beat, pinned by resolve."""

import json
from typing import Any, Self

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.lineage import Lineage
from pipeline.artifacts.training import FOOT, Place


class Pin(Artifact):
    """A version as it was when resolve looked."""

    version: int
    run_id: str
    lineage: Lineage
    """With its labels as they are called today."""
    called: tuple[str, ...]
    """Its labels as it calls them itself."""


class Elder(Artifact):
    """A version whose ledger remembers splits of images that the parent never saw."""

    version: int
    run_id: str
    ledger: str
    """SHA-256 of its ledger."""
    features: str | None = None
    """SHA-256 of its index of features; None where it has none."""


class Pinned(Artifact):
    """A version, if there is one; its file has the keys of the pin itself."""

    pin: Pin | None

    @property
    def version(self) -> int | None:
        """Its number."""
        return self.pin.version if self.pin else None

    @property
    def lineage(self) -> Lineage | None:
        """What it was made from."""
        return self.pin.lineage if self.pin else None

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Self:
        """See `Artifact.from_json`."""
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return super().from_json(content, name)
        if isinstance(value, dict) and "version" in value:
            pinned = {key: value.pop(key) for key in Pin.model_fields if key in value}
            value["pin"] = pinned if pinned["version"] is not None else None
        return super().from_json(json.dumps(value).encode(), name)

    def to_json(self) -> dict[str, Any]:
        """The pin's keys beside the others; without a version only that it is null."""
        value = super().to_json()
        return (value.pop("pin") or {"version": None}) | value


class Champion(Pinned):
    """The version to beat, if there is one, and the best that there ever was."""

    anchor: Pin | None = None
    """The best that there ever was (`judging.lifetime`); None where that is the champion."""
    judged: int = 0
    """How many challengers were ever judged against a champion, the one of this cycle included; 0 without a champion.
    """

    @property
    def best(self) -> Pin | None:
        """The anchor."""
        return self.anchor or self.pin


class Parent(Pinned):
    """The version to start from, if there is one, and what a cycle has to know of the cycles before it."""

    ladder: Place = FOOT
    """A parent of before the ladder stands at its foot."""
    elder: Elder | None = None
