"""The trigger: whether enough has changed for a cycle, and what is waited for if not. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pipeline.base.params import OpenShare, Section
from pipeline.base.words import counted

FORCE = "EVERGREEN_FORCE"
"""Environment variable that starts a cycle whatever is waited for; `python -m pipeline run --force` sets it."""


class StartRule(Section, part=True):
    """When a cycle starts."""

    start_at: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]
    start_after_hours: Annotated[float, Field(ge=0)] | None
    start_at_drift: OpenShare | None
    start_at_new_label: bool


@dataclass(frozen=True)
class Change:
    """What changed since the last cycle."""

    images: int
    """Added, removed or relabelled; those set aside before do not count."""
    total: int
    """Images of the last cycle."""
    hours: float
    """Since the oldest change."""
    new_labels: Sequence[str]
    drift: Mapping[str, float]
    """Distances of the new images from those of the last cycle; empty where not asked for or too few."""


def reason(change: Change, rule: StartRule) -> str | None:
    """Why a cycle starts now; None while it does not."""
    if change.images >= enough(change.total, rule):
        return f"{counted(change.images, 'image')} changed"
    if rule.start_at_new_label and change.new_labels:
        return f"new label {', '.join(change.new_labels)}"
    if rule.start_after_hours is not None and change.hours >= rule.start_after_hours:
        return f"the oldest change is {counted(round(change.hours), 'hour')} old"
    far = {name: value for name, value in change.drift.items() if value > (rule.start_at_drift or 1)}
    if far:
        name = max(far, key=far.__getitem__)
        return f"the new images drift: {name} is {far[name]:.2f} away"
    return None


def enough(total: int, rule: StartRule) -> int:
    """Changed images that start a cycle."""
    at = rule.start_at
    return at if isinstance(at, int) else max(1, round(at * total))


def waiting(change: Change, rule: StartRule) -> str:
    """What is waited for, as far as that can be told in advance."""
    awaited = [f"{counted(enough(change.total, rule), 'changed image')} (resolve.start_at)"]
    if rule.start_after_hours is not None:
        left = rule.start_after_hours - change.hours
        awaited.append(f"{counted(round(left), 'hour')} to pass (resolve.start_after_hours)")
    if rule.start_at_drift is not None:
        near = max(change.drift.values(), default=0.0)
        awaited.append(f"a drift of {rule.start_at_drift}, now {near:.2f} (resolve.start_at_drift)")
    if rule.start_at_new_label:
        awaited.append("a new label (resolve.start_at_new_label)")
    return (
        f"waiting with {counted(change.images, 'changed image')} for {', or '.join(awaited)}; "
        "`python -m pipeline run --force` starts a cycle now"
    )
