"""The ladder: what a cycle starts from. Cheapest first, and an audit now and then says whether it still does. Pure.

A warm start may wear out: networks that were trained on and on can lose what it takes to learn (Dohare et al., Nature
632, 2024), and fall behind training from scratch without anybody seeing it. So every `train.audit_every` cycles a
second model is trained from scratch on all images, and both are compared on the validation images. Where scratch is
surely better it is what the cycle gives, and what warm starts go on from. Where it is so again in the next audit they
wear out sooner than audits come, and the cycles start one rung higher; where it is not, one lower.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.base.params import Train
from pipeline.judging.paired import Counts, lower_bound

Kind = Literal["warm", "shrink", "cold"]

RUNGS: tuple[Kind, ...] = ("warm", "warm", "shrink", "cold")
"""The parent's weights; those of the model from scratch that an audit kept; the parent's weights shrunk and perturbed;
fresh weights. The last two train on all images until early stopping, in every cycle until an audit leads down: about
half of what training from scratch costs, and all of it (`python -m benchmarks.learning`)."""

CONFIDENCE = 0.95
"""With which scratch has to be better, one-sided: only then is it worth what it costs."""


@dataclass(frozen=True)
class Place:
    """Where on the ladder the cycles stand."""

    rung: int = 0
    cycles: int = 0
    """Since the last audit or cold start."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """How a cycle starts, and why."""

    kind: Kind
    reason: str
    is_audited: bool
    """Whether a model is trained from scratch beside it."""
    place: Place
    """Before the cycle."""

    @property
    def needs_all(self) -> bool:
        """Whether it trains on all images, not only on the new ones and some old ones."""
        return self.is_audited or self.kind != "warm"


def plan(pinned: Mapping[str, Any], train: Train) -> Plan:
    """What the cycle starts from.

    Args:
        pinned: `parent.json`: version, and where the cycles before it stood on the ladder.
        train: section `train` of params.yaml.
    """
    # Without audits nothing says that a warm start is not as good, nor could anything lead down again.
    place = Place(**pinned.get("ladder", {})) if train.audit_every else Place()
    version, fresh = pinned["version"], f"{train.pretrained or 'fresh'} weights"
    if not version:
        return Plan("cold", f"{fresh}: no version to start from", False, place)
    if train.start == "cold":
        return Plan("cold", f"{fresh}: train.start is cold", False, place)
    weights = f"its {', '.join(['weights', *train.restore])}"
    if train.start == "shrink":
        return Plan("shrink", f"from v{version}, its weights shrunk and perturbed: train.start is shrink", False, place)
    is_audited = train.audit_every is not None and place.cycles + 1 >= train.audit_every
    # An audit on the highest rung asks whether the one below would do again.
    kind = RUNGS[min(place.rung, len(RUNGS) - 2) if is_audited else place.rung]
    worse = f"audits found training from scratch better (rung {place.rung} of {len(RUNGS) - 1})"
    reason = {
        "warm": f"from v{version}, {weights}",
        "shrink": f"from v{version}, its weights shrunk and perturbed: {worse}",
        "cold": f"{fresh}: {worse}",
    }[kind]
    if is_audited:
        reason += (
            f"; audited against training from scratch, {place.cycles + 1} cycles after the last audit or cold start"
        )
    return Plan(kind, reason, is_audited, place)


def is_surely_better(scratch: Counts) -> bool:
    """Whether scratch, as the challenger of the other model, is better beyond chance."""
    return lower_bound(scratch, CONFIDENCE) > 0


def finding(audit: Mapping[str, Any]) -> str:
    """What an audit found, in words."""
    said = {
        True: "is surely better, and kept",
        False: "is not surely better, and dropped",
        None: "is not surely better as far as the budget went, which says nothing, and dropped",
    }[audit["is_scratch_better"]]
    return (
        f"of {audit['val_images']} validation images the model from scratch gets {audit['gained']} right that the "
        f"other gets wrong, and {audit['lost']} the other way round: it {said}"
    )


def after(done: Plan, is_scratch_better: bool | None, *, is_cut: bool) -> Place:
    """Where the cycles stand after this one.

    Args:
        done: how it started.
        is_scratch_better: what an audit found; None if it found nothing, or there was none.
        is_cut: by the budget. An audit that was due is then not repeated before the next is: it would be cut short in
            every cycle, each on all images.
    """
    if is_scratch_better is not None:
        step = 1 if is_scratch_better else -1
        return Place(min(max(done.place.rung + step, 0), len(RUNGS) - 1), 0)
    if done.is_audited and is_cut:
        return Place(done.place.rung, 0)
    if done.kind == "cold" and done.place.rung < len(RUNGS) - 1:
        return Place()
    return Place(done.place.rung, done.place.cycles + 1)
