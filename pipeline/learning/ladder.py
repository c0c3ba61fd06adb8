"""The ladder: what a cycle starts from, the cheapest first. Audits say when that no longer does. Pure.

Warm starts may wear out: a network that is trained on and on can lose its ability to learn (Dohare et al., Nature 632,
2024), and nobody sees that it falls behind training from scratch. So every `train.audit_every` cycles a second model is
trained from scratch on all images, and both are compared on the validation images.

If the model from scratch is surely better, the cycle gives that one, warm starts go on from it, and the cycles stand
one rung higher; else one rung lower. If the next audit finds it surely better again, warm starts wear out faster than
audits come, and the cycles start from what costs more.

A cycle that brings many images for those that there were (`train.audit_above`) is audited too. A warm start learns less
from so many at once than a cold one (`python -m benchmarks.learning`, stream S2), so no rule prefers it: the better
one on the validation images is kept. That scratch is better then is no sign of wear, and leads no rung up.
"""

from dataclasses import dataclass

from pipeline.artifacts.parent import Parent
from pipeline.artifacts.training import FOOT, Audit, Place, StartKind
from pipeline.base.words import are, counted
from pipeline.judging.paired import Counts, lower_bound
from pipeline.learning.settings import Start, Train

RUNGS: tuple[StartKind, ...] = ("warm", "warm", "shrink", "cold")
"""What a cycle starts from, by rung:

0. the parent's weights;
1. the same, after an audit kept a model from scratch;
2. the parent's weights, shrunk and perturbed;
3. fresh weights.

From rung 2 on every cycle trains on all images until early stopping, until an audit leads down. That costs about half
as much as training from scratch on rung 2, and as much on rung 3 (`python -m benchmarks.learning`).
"""

CONFIDENCE = 0.95
"""One-sided, with which the model from scratch has to be better: only then is it worth what it costs."""


@dataclass(frozen=True)
class Growth:
    """How much a cycle brings."""

    num_new: int
    """Images that the parent's cycle did not have, or not under this label."""
    num_known: int
    """Images that it had."""


@dataclass(frozen=True)
class Plan:
    """How a cycle starts."""

    kind: StartKind
    is_audited: bool
    """Whether a model is trained from scratch beside it."""
    place: Place
    """Before the cycle."""
    is_asked_for: bool = False
    """Whether `train.start` says so, and not the ladder."""
    growth: Growth | None = None
    """What it brings, where that is so much that the better of the two models is kept."""

    @property
    def needs_all(self) -> bool:
        """Whether it trains on all images, not only on the new ones and some old ones."""
        return self.is_audited or self.kind != "warm"


def plan(parent: Parent, start: Start, growth: Growth) -> Plan:
    """What the cycle starts from.

    Args:
        parent: the version to start from, and where the cycles before it stood on the ladder.
        start: part of section `train` of params.yaml.
        growth: what the cycle brings.
    """
    # Without audits nothing says that a warm start is worse, and nothing could lead down again.
    place = parent.ladder if start.audit_every else FOOT
    if not parent.version:
        return Plan("cold", False, place)
    if start.start != "warm":
        return Plan(start.start, False, place, is_asked_for=True)
    is_due = start.audit_every is not None and place.cycles + 1 >= start.audit_every
    is_large = start.audit_above is not None and growth.num_new > start.audit_above * growth.num_known
    if is_large and RUNGS[place.rung] != "cold":
        return Plan(RUNGS[place.rung], True, place, growth=growth)
    # An audit on the highest rung asks whether the one below would do again.
    return Plan(RUNGS[min(place.rung, len(RUNGS) - 2) if is_due else place.rung], is_due, place)


def reason(plan: Plan, version: int | None, train: Train) -> str:
    """Why a cycle starts so, in words.

    Args:
        plan: how it starts.
        version: number of the parent.
        train: section `train` of params.yaml.
    """
    weights = {
        "warm": f"from v{version}, its {', '.join(['weights', *train.restore])}",
        "shrink": f"from v{version}, its weights shrunk and perturbed",
        "cold": f"{train.pretrained or 'fresh'} weights",
    }[plan.kind]
    if not version:
        return f"{weights}: no version to start from"
    if plan.is_asked_for:
        return f"{weights}: train.start is {plan.kind}"
    worse = f": audits found training from scratch better (rung {plan.place.rung} of {len(RUNGS) - 1})"
    why = f"{counted(plan.place.cycles + 1, 'cycle')} after the last audit or cold start"
    if plan.growth:
        why = f"for {are(plan.growth.num_new, 'image')} new to the {plan.growth.num_known:,} before (train.audit_above)"
    audited = f"; audited against training from scratch, {why}"
    return f"{weights}{worse if plan.kind != 'warm' else ''}{audited if plan.is_audited else ''}"


def is_kept(scratch: Counts, done: Plan) -> bool:
    """Whether an audit keeps the model from scratch.

    Args:
        scratch: it, as the challenger of the other model.
        done: how the cycle started.
    """
    return scratch.challenger_only > scratch.champion_only if done.growth else is_surely_better(scratch)


def is_surely_better(scratch: Counts) -> bool:
    """Whether scratch, as the challenger of the other model, is better beyond chance."""
    return lower_bound(scratch, CONFIDENCE) > 0


def finding(audit: Audit) -> str:
    """What an audit found, in words."""
    better = "better" if audit.is_measured else "surely better"
    said = {
        True: f"is {better}, and kept",
        False: f"is not {better}, and dropped",
        None: f"is not {better} as far as the budget went, which says nothing, and dropped",
    }[audit.is_scratch_better]
    return (
        f"of {audit.val_images} validation images the model from scratch gets {audit.gained} right that the "
        f"other gets wrong, and {audit.lost} the other way round: it {said}"
    )


def after(done: Plan, is_scratch_better: bool | None, *, is_cut: bool) -> Place:
    """Where the cycles stand after this one.

    Args:
        done: how it started.
        is_scratch_better: what an audit found; None if it found nothing, or there was none.
        is_cut: whether the budget cut it short. An audit that was due is then made up for only when the next is due:
            else every cycle would train on all images and be cut short again.
    """
    if is_scratch_better is not None:
        step = int(done.growth is None) if is_scratch_better else -1
        return Place(rung=min(max(done.place.rung + step, 0), len(RUNGS) - 1), cycles=0)
    if done.is_audited and done.growth is None and is_cut:
        return Place(rung=done.place.rung, cycles=0)
    if done.kind == "cold" and done.place.rung < len(RUNGS) - 1:
        return FOOT
    return Place(rung=done.place.rung, cycles=done.place.cycles + 1)
